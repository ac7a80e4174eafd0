"""Real Trainers with data of all kinds: pictures are of the images that the network gets, or one word says why not."""

import multiprocessing
import os
import zipfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from contract.harness import PACKAGES, all_callbacks, contents, fingerprint, make_trainer, store_of
from helpers.data import seed
from helpers.networks import network
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lightning_viz import (
    AttentionMaps,
    Embedding,
    FeatureEvolution,
    GradCAM,
    Probe,
    Saliency,
    TopPatches,
    VizCallback,
)
from lightning_viz.data.reading import UnsuitableDataError
from lightning_viz.store import Record

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 12, 20, 3), np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255
LABELS = torch.arange(24) % 3

LOOKING = [callback for callback in all_callbacks() if callback is not AttentionMaps]  # no network here has attention


class Pictures(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"picture": PIL.Image.fromarray(PIXELS[index]), "kind": index % 3}


def collate(items: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    images = torch.stack([torch.from_numpy(np.array(item["picture"])).permute(2, 0, 1) / 255 for item in items])
    return images, torch.tensor([item["kind"] for item in items])


def first_two(batch: Any) -> tuple[Tensor, Tensor]:
    return batch[0], batch[1]


@cache
def net_class(package: str) -> type:
    class Net(import_module(package).LightningModule):
        """Takes a batch to images and labels by a function."""

        def __init__(self, unpack: Callable[[Any], tuple[Tensor, Tensor]] = first_two) -> None:
            super().__init__()
            seed(0)
            self.net, self.unpack = network(), unpack

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            images, labels = self.unpack(batch)
            return cross_entropy(self(images), labels)

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self(self.unpack(batch)[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.05)

    return Net


def fit(folder: Path, callbacks: Any, module: Any, train: Any, val: Any = None, **options: Any) -> Any:
    seed(0)
    trainer = make_trainer("lightning.pytorch", folder, callbacks, **{"max_epochs": 1, "logger": False, **options})
    trainer.fit(module, **(train if isinstance(train, dict) else {"train_dataloaders": train, "val_dataloaders": val}))
    return trainer


def records_of(trainer: Any) -> list[Record]:
    return [record for store in Path(trainer.default_root_dir).rglob("plugins") for record in _read(store)]


def _read(plugins: Path) -> list[Record]:
    from lightning_viz.store import read_store

    return read_store(str(plugins / "lightning_viz")).records


def values_of(trainer: Any, record: Record, name: str) -> Any:
    (store,) = Path(trainer.default_root_dir).rglob("plugins")
    (file,) = [item.file for item in record.items if item.name == name]
    return torch.from_numpy(np.load(store / "lightning_viz" / file))


def assert_largest_responses(trainer: Any, images: Tensor, method: str = "patches") -> None:
    """The strongest activations of the last record are those to these images, and so are their numbers."""
    model = trainer.lightning_module
    record = [one for one in records_of(trainer) if (one.method, one.layer) == (method, "net.0")][-1]
    assert record.error is None
    with torch.no_grad():
        strongest, numbers = model.net[0](images.float()).amax((2, 3)).max(0)
    torch.testing.assert_close(values_of(trainer, record, "values")[:, 0], strongest)
    assert values_of(trainer, record, "image_ids")[:, 0].tolist() == numbers.tolist()


def strict(kind: type[VizCallback], **arguments: Any) -> VizCallback:
    return kind(layers="net.0", on_error="raise", **arguments)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_over_data_uses_the_collate_fn_of_the_validation_loader(workers: int, tmp_path: Path) -> None:
    loader = DataLoader(Pictures(), 8, collate_fn=collate, num_workers=workers)
    watching = [strict(TopPatches), strict(FeatureEvolution), strict(Embedding, projector=False)]
    trainer = fit(tmp_path, watching, net_class("lightning.pytorch")(), loader, loader)
    assert_largest_responses(trainer, IMAGES)
    assert_largest_responses(trainer, IMAGES, FeatureEvolution.method)
    last = [record for record in records_of(trainer) if record.method == "embedding"][-1]
    assert values_of(trainer, last, "labels").tolist() == LABELS.tolist()


def test_data_that_are_given_are_read_like_the_trainers_own(tmp_path: Path) -> None:
    train = DataLoader(Pictures(), 8, collate_fn=collate, shuffle=True)
    trainer = fit(tmp_path, strict(TopPatches, data=Pictures()), net_class("lightning.pytorch")(), train)
    assert_largest_responses(trainer, IMAGES)


class Archive(Dataset[Any]):
    """Opens its archive on first use, each reader its own."""

    def __init__(self, folder: Path) -> None:
        self.path, self.archive, self.opener = folder / "images.zip", None, 0
        self.foreign, self.here = multiprocessing.Value("i", 0), os.getpid()
        self.in_main = multiprocessing.Value("i", 0)
        with zipfile.ZipFile(self.path, "w") as archive:
            for number, image in enumerate(IMAGES):
                archive.writestr(str(number), image.numpy().tobytes())

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if self.archive is None:
            self.archive, self.opener = zipfile.ZipFile(self.path), os.getpid()
        with self.foreign:
            self.foreign.value += self.opener != os.getpid()
            self.in_main.value += self.here == os.getpid()
        image = torch.frombuffer(bytearray(self.archive.read(str(index))), dtype=torch.float32)
        return image.view(3, 12, 20), index % 3


@pytest.mark.parametrize("what", ["validation", "data", "probe"])
def test_an_archive_that_workers_open_is_never_opened_in_the_main_process(what: str, tmp_path: Path) -> None:
    data = Archive(tmp_path)
    arguments = {"data": data} if what == "data" else {"probe": Probe(dataset=data)} if what == "probe" else {}
    plain = TensorDataset(IMAGES, LABELS)
    val = DataLoader(data if what == "validation" else plain, 8, num_workers=2)
    train = DataLoader(data if what == "validation" else plain, 8, num_workers=1)
    watching = [strict(GradCAM if what == "probe" else TopPatches, **arguments)]
    watching += [strict(Embedding, projector=False, data=arguments.get("data"))] if what != "probe" else []
    trainer = fit(tmp_path, watching, net_class("lightning.pytorch")(), train, val, max_epochs=2)
    assert (data.foreign.value, data.in_main.value, data.archive) == (0, 0, None)
    assert {record.error for record in records_of(trainer)} == {None}


def normalise(images: Tensor) -> Tensor:
    return (images - 128) / 60


def hooked(package: str, name: str) -> type:
    """A module that normalises in one of its hooks, and augments what it trains on."""

    class Hooked(net_class(package)):
        calls = 0

        def _change(self, batch: Any) -> Any:
            self.calls += 1
            images = normalise(batch[0])
            if self.trainer.training:
                images = images + torch.randn_like(images)
            return images, *batch[1:]

    if name == "transfer_batch_to_device":

        def hook(self: Any, batch: Any, device: Any, dataloader_idx: int) -> Any:
            return super(Hooked, self).transfer_batch_to_device(self._change(batch), device, dataloader_idx)
    else:

        def hook(self: Any, batch: Any, dataloader_idx: int) -> Any:
            return getattr(super(Hooked, self), name)(self._change(batch), dataloader_idx)

    setattr(Hooked, name, hook)
    return Hooked


HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


@pytest.mark.parametrize("hook", HOOKS)
def test_a_pass_over_data_goes_through_the_hooks_as_validation_does(hook: str, tmp_path: Path) -> None:
    raw = TensorDataset((IMAGES * 255).round(), LABELS)
    loader, module_class = DataLoader(raw, 8), hooked("lightning.pytorch", hook)
    watching = [strict(TopPatches), strict(Saliency, probe=Probe(dataset=raw, indices=[5, 2]))]
    trainer = fit(tmp_path, watching, module_class(), loader, loader)
    assert_largest_responses(trainer, normalise((IMAGES * 255).round()))
    probe = next(Path(tmp_path).rglob("probes/given-*.npz"))
    assert np.array_equal(np.load(probe)["images"], normalise((IMAGES * 255).round())[[5, 2]])
    assert np.load(probe)["labels"].tolist() == [2, 2]
    alone = fit(tmp_path / "alone", [], module_class(), loader, loader)
    assert trainer.lightning_module.calls == alone.lightning_module.calls
    assert fingerprint(trainer) == fingerprint(alone)


def test_the_hooks_of_a_data_module_count_too(tmp_path: Path) -> None:
    class Module(import_module("lightning.pytorch").LightningDataModule):
        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset((IMAGES * 255).round(), LABELS), 8)

        val_dataloader = train_dataloader

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return normalise(batch[0]), batch[1]

    watching = [strict(TopPatches), strict(Saliency, probe=Probe(dataset=Module().train_dataloader().dataset))]
    trainer = fit(tmp_path, watching, net_class("lightning.pytorch")(), {"datamodule": Module()})
    assert_largest_responses(trainer, normalise((IMAGES * 255).round()))


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_the_precision_of_the_trainer_counts(precision: Any, tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(IMAGES, LABELS), 8)
    watching = strict(TopPatches, probe=Probe(dataset=TensorDataset(IMAGES, LABELS)))
    trainer = fit(tmp_path, watching, net_class("lightning.pytorch")(), loader, loader, precision=precision)
    last = records_of(trainer)[-1]
    model = trainer.lightning_module.net[0]
    with torch.no_grad():
        right = model(IMAGES.to(model.weight)).amax((0, 2, 3)).float()
    torch.testing.assert_close(values_of(trainer, last, "values")[:, 0], right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"num_sanity_val_steps": 0}, {"limit_val_batches": 0}])
def test_a_probe_of_pictures_is_read_by_the_collate_fn(options: dict[str, Any], tmp_path: Path) -> None:
    loader = DataLoader(Pictures(), 8, collate_fn=collate)
    watching = strict(GradCAM, probe=Probe(dataset=Pictures(), indices=[4, 9, 11]))
    fit(tmp_path, watching, net_class("lightning.pytorch")(), loader, loader, **options)
    saved = np.load(next(Path(tmp_path).rglob("probes/given-*.npz")))
    assert np.array_equal(saved["images"], IMAGES[[4, 9, 11]])
    assert saved["labels"].tolist() == [1, 0, 2]


def test_a_probe_that_callbacks_share_is_read_once(tmp_path: Path) -> None:
    class Counted(TensorDataset):
        read = 0

        def __getitem__(self, index: int) -> Any:
            Counted.read += 1
            return super().__getitem__(index)

        __getitems__ = None  # one by one

    loader, probe = DataLoader(TensorDataset(IMAGES, LABELS), 8), Probe(dataset=Counted(IMAGES, LABELS), indices=[1, 2])
    watching = [strict(GradCAM, probe=probe), strict(Saliency, probe=probe)]
    watching[1].layers = None
    fit(tmp_path, watching, net_class("lightning.pytorch")(), loader)
    assert Counted.read == 2 + 2 * 2  # each once more, twice, to see whether it changes


class Sizes(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": torch.full((3, 12 + index % 3, 20), index / 24), "label": index % 3}


@pytest.mark.parametrize("data", [Pictures(), Sizes()])
def test_a_probe_that_can_not_be_read_ends_the_run_before_training_and_names_itself(
    data: Dataset[Any], tmp_path: Path
) -> None:
    module = net_class("lightning.pytorch")()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    for arguments in ({}, {"batch_fn": collate}):
        with pytest.raises(ValueError, match=r"Probe\(dataset=...\): .*dataset=|Probe\(dataset=...\): .*collate_fn"):
            fit(
                tmp_path,
                GradCAM(probe=Probe(dataset=data, **arguments)),
                module,
                DataLoader(TensorDataset(IMAGES, LABELS), 8),
            )
    assert all(map(torch.equal, before, module.parameters()))


class Views(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        return [IMAGES[index], IMAGES[index].flip(2)], index % 3


class Tagged(Tensor):
    """Keeps a name for each image, cut along when it is indexed; the names are a list."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(function, types, args, kwargs or {})
        if function is Tensor.__getitem__ and hasattr(args[0], "names_of"):
            result.names_of = args[0].names_of[args[1][0] if isinstance(args[1], tuple) else args[1]]
        return result


def collate_tagged(items: list[Any]) -> tuple[Tensor, Tensor]:
    images = torch.stack([image for image, _ in items]).as_subclass(Tagged)
    images.names_of = [str(number) for number in range(len(items))]
    return images, torch.tensor([label for _, label in items])


def untagged(batch: Any) -> tuple[Tensor, Tensor]:
    return batch[0].as_subclass(Tensor), batch[1]


KINDS: dict[str, tuple[DataLoader[Any], Callable[[Any], tuple[Tensor, Tensor]]]] = {
    "two views": (DataLoader(Views(), 8), lambda batch: (batch[0][0], batch[1])),
    "a subclass": (DataLoader(TensorDataset(IMAGES, LABELS), 8, collate_fn=collate_tagged), untagged),
    "one-hot": (DataLoader(TensorDataset(IMAGES, torch.eye(3)[LABELS]), 8), first_two),
    "soft": (DataLoader(TensorDataset(IMAGES, torch.eye(3)[LABELS] * 0.7 + 0.1), 8), first_two),
    "a list of images": (
        DataLoader(TensorDataset(IMAGES, LABELS), 8, collate_fn=lambda items: tuple(zip(*items, strict=True))),
        lambda batch: (torch.stack(batch[0]), torch.stack(batch[1])),
    ),
    "unusual names": (
        DataLoader(Pictures(), 8, collate_fn=lambda items: dict(zip(("photo", "target"), collate(items), strict=True))),
        lambda batch: (batch["photo"], batch["target"]),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_callback_draws_batches_of_every_kind(kind: str, tmp_path: Path) -> None:
    loader, unpack = KINDS[kind]
    watching = [callback(on_error="raise") for callback in LOOKING]
    trainer = fit(tmp_path, watching, net_class("lightning.pytorch")(unpack), loader, loader)
    records = records_of(trainer)
    assert {record.error for record in records} == {None}
    assert {record.method for record in records} == {callback.method for callback in LOOKING}
    assert_largest_responses(trainer, IMAGES)
    labels = [[one["label"] for one in record.meta["predictions"]] for record in records if record.method == "grad_cam"]
    assert labels == [LABELS[:8].tolist()] * 2


def fit_and_listen(
    folder: Path, caplog: pytest.LogCaptureFixture, loader: Any, unpack: Callable[[Any], tuple[Tensor, Tensor]]
) -> tuple[Any, list[Any]]:
    """Fit with all callbacks, and give what the logger said."""
    caplog.clear()
    watching = [callback() for callback in LOOKING]
    trainer = fit(folder, watching, net_class("lightning.pytorch")(unpack), loader, loader, max_epochs=2)
    return trainer, [record for record in caplog.records if record.name == "lightning_viz"]


UNUSUAL: dict[str, tuple[DataLoader[Any], Callable[[Any], tuple[Tensor, Tensor]], str]] = {
    "several sizes": (
        DataLoader(Sizes(), 8, collate_fn=lambda items: [item["image"] for item in items]),
        lambda batch: (torch.stack([image[:, :12] for image in batch]), torch.zeros(len(batch), dtype=torch.int64)),
        "They are of several sizes",
    ),
    "pictures": (
        DataLoader(Pictures(), 8, collate_fn=list),
        collate,
        "no images",
    ),
    "volumes": (
        DataLoader(TensorDataset(IMAGES[:, :, None], LABELS), 8),
        lambda batch: (batch[0][:, :, 0], batch[1]),
        "Volumes",
    ),
    "bytes": (
        DataLoader(TensorDataset((IMAGES * 255).byte(), LABELS), 8),
        lambda batch: (batch[0].float(), batch[1]),
        "torch.uint8",
    ),
    "left and right": (
        DataLoader(Pictures(), 8, collate_fn=lambda items: {"left": collate(items)[0], "right": collate(items)[0]}),
        lambda batch: (batch["left"], torch.zeros(len(batch["left"]), dtype=torch.int64)),
        "'left', 'right'",
    ),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_one_unusual_batch_is_one_message(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loader, unpack, reason = UNUSUAL[kind]
    trainer, said = fit_and_listen(tmp_path, caplog, loader, unpack)
    assert len(said) == 1, [record.getMessage() for record in said]
    assert reason in said[0].getMessage()
    assert "batch_fn=" in said[0].getMessage()
    assert said[0].exc_info is None
    errors = [record.error for record in records_of(trainer) if record.error]
    assert len(errors) > 3
    assert all(reason in error for error in errors)
    alone = fit(tmp_path / "alone", [], net_class("lightning.pytorch")(unpack), loader, loader, max_epochs=2)
    assert fingerprint(trainer) == fingerprint(alone)


class Together(VizCallback):
    """Fails as one of several processes does: of what is not suitable the others hear by a RuntimeError."""

    uses_probe = False

    def draw(self, context: Any) -> Any:
        try:
            raise UnsuitableDataError("no images in process 0")
        except UnsuitableDataError as error:
            raise RuntimeError(f"process 0: {error}") from error


def test_what_processes_share_is_said_as_that_of_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loader = DataLoader(TensorDataset(IMAGES, LABELS), 8)
    fit(tmp_path, [Together(name="one"), Together(name="two")], net_class("lightning.pytorch")(), loader, loader)
    (said,) = [record for record in caplog.records if record.name == "lightning_viz"]
    assert "could not draw Together: process 0: no images in process 0" in said.getMessage()
    assert said.exc_info is None


def test_of_two_parts_that_could_be_labels_none_is_taken_and_one_word_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader = DataLoader(TensorDataset(IMAGES, torch.arange(24), LABELS), 8)
    trainer, said = fit_and_listen(tmp_path, caplog, loader, lambda batch: (batch[0], batch[2]))
    assert len(said) == 1, [record.getMessage() for record in said]
    assert "2 parts of the batch could be labels" in said[0].getMessage()
    assert "batch_fn=" in said[0].getMessage()
    records = records_of(trainer)
    assert {record.error for record in records} == {None}
    assert {one["label"] for record in records for one in record.meta.get("predictions", [])} == {None}
    assert not [item for record in records for item in record.items if item.name == "labels"]


@pytest.mark.parametrize(
    ("targets", "kept"),
    [
        (LABELS.masked_fill(LABELS == 2, -1), LABELS.masked_fill(LABELS == 2, -1)),
        (torch.eye(3)[LABELS].masked_fill((LABELS == 2)[:, None], 0), LABELS.masked_fill(LABELS == 2, -1)),
        (torch.cat([torch.ones(23), torch.tensor([0.5])]), None),  # the last batch tells that they are no classes
    ],
)
def test_the_points_of_an_embedding_have_all_their_labels_or_none(
    targets: Tensor, kept: Tensor | None, tmp_path: Path
) -> None:
    loader = DataLoader(TensorDataset(IMAGES, targets), 8)

    def unpack(batch: Any) -> tuple[Tensor, Tensor]:
        return batch[0], torch.zeros(len(batch[0]), dtype=torch.int64)

    trainer = fit(tmp_path, strict(Embedding), net_class("lightning.pytorch")(unpack), loader, loader)
    last = records_of(trainer)[-1]
    if kept is None:
        assert "labels" not in {item.name for item in last.items}
    else:
        assert values_of(trainer, last, "labels").tolist() == kept.tolist()


def test_binary_targets_are_labels(tmp_path: Path) -> None:
    class Binary(net_class("lightning.pytorch")):
        def __init__(self) -> None:
            super().__init__()
            self.net[10] = nn.Linear(4, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(self(batch[0]), batch[1])

    targets = (LABELS == 1).float()[:, None]
    loader = DataLoader(TensorDataset(IMAGES, targets), 8)
    trainer = fit(tmp_path, [Saliency(on_error="raise"), GradCAM(on_error="raise")], Binary(), loader, loader)
    shown = [[one["shown"] for one in record.meta["predictions"]] for record in records_of(trainer)]
    assert shown == [targets[:8, 0].int().tolist()] * 4


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(list(zip(IMAGES, LABELS, strict=True)))


class Normalising:
    """A loader around a loader, as those that prefetch to a GPU."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader, self.dataset = loader, loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        return ((normalise(images), labels) for images, labels in self.loader)


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (DataLoader(Stream(), 8), "there is no map-style validation data set"),
        (DataLoader(Stream(), 8, num_workers=1), "there is no map-style validation data set"),
        (Normalising(DataLoader(TensorDataset(IMAGES, LABELS), 8)), "in an __iter__ of its own"),
    ],
)
def test_data_that_can_not_be_read_by_items_are_one_word_for_each_who_needs_them(
    loader: Any, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer, said = fit_and_listen(tmp_path, caplog, loader, first_two)
    need_data = [callback for callback in LOOKING if "data" in signature(callback).parameters]
    assert len(said) == len(need_data)
    for record, callback in zip(said, need_data, strict=True):
        assert reason in record.getMessage()
        assert f"{callback.__name__}(data=...)" in record.getMessage()
        assert record.exc_info is None
    failed = {record.method for record in records_of(trainer) if record.error}
    assert failed == {callback.method for callback in need_data}


@pytest.mark.parametrize("package", PACKAGES)
def test_reading_in_workers_changes_nothing_of_training(package: str, tmp_path: Path) -> None:
    def run(name: str, callbacks: list[VizCallback]) -> Any:
        seed(0)
        trainer = make_trainer(package, tmp_path / name, callbacks, max_epochs=2)
        train = DataLoader(Pictures(), 4, shuffle=True, collate_fn=collate, num_workers=2, persistent_workers=True)
        val = DataLoader(Pictures(), 4, collate_fn=collate, num_workers=2, persistent_workers=True)
        trainer.fit(hooked(package, "on_after_batch_transfer")(), train, val)
        return trainer

    watched = run("watched", [strict(TopPatches), strict(GradCAM, probe=Probe(dataset=Pictures()))])
    assert len(contents(watched).records) == 6
    assert store_of(watched).is_dir()
    assert fingerprint(watched) == fingerprint(run("alone", []))
