"""Networks that people have: called otherwise than on images alone, with parts that no image passes, in other types."""

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from contract.harness import fingerprint, make_trainer
from helpers.data import seed
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import googlenet

from lightning_viz import (
    ActivationMaps,
    FeatureEvolution,
    FilterImages,
    GradCAM,
    Occlusion,
    Probe,
    Reconstruction,
    Saliency,
    TopPatches,
)
from lightning_viz.store import Record, read_store

IMAGES = torch.randn(16, 3, 12, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 4
KINDS = (FilterImages, ActivationMaps, GradCAM, Saliency, TopPatches, Reconstruction)


class Net(pl.LightningModule):
    """Says how its steps call it in one line."""

    def __init__(self, call: Callable[["Net", Tensor, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.call = call
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
        for name, part in parts.items():
            setattr(self, name, part)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self.call(self, *batch), batch[-1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.call(self, *batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([weight for weight in self.parameters() if weight.requires_grad], 0.1)


def with_forward(forward: Callable[..., Tensor]) -> type[Net]:
    return type("Model", (Net,), {"forward": forward})


def fit(
    folder: Path, module: pl.LightningModule, callbacks: Any, data: Any = None, val: bool = True, **options: Any
) -> tuple[list[Record], Any]:
    seed(0)
    loader = DataLoader(data or TensorDataset(IMAGES, LABELS), 8)
    trainer = make_trainer("lightning.pytorch", folder, callbacks, **{"max_epochs": 1, "logger": False, **options})
    trainer.fit(module, loader, loader if val else None)
    stores = [read_store(str(store)) for store in folder.rglob("plugins/lightning_viz")]
    return [record for store in stores for record in store.records], trainer


def layers_of(records: list[Record], *methods: str) -> dict[str, list[str]]:
    assert not [record.error for record in records if record.error]
    return {method: sorted({record.layer for record in records if record.method == method}) for method in methods}


NO_FORWARD = {
    "one network": lambda s, x, y: s.body_and_head(x),
    "a chain": lambda s, x, y: s.head(s.body(x)),
    "a keyword": lambda s, x, y: s.by_keyword(pixels=x, labels=y, scale=1.0),
    "a dict": lambda s, x, y: s.by_dict({"pixels": x, "labels": y}),
    "a loss beside it": lambda s, x, y: s.beside(s.head(s.body(x)), y),
}


class ByKeyword(nn.Module):
    def __init__(self, net: Net) -> None:
        super().__init__()
        self.body, self.head = net.body, net.head

    def forward(self, pixels: Tensor, labels: Tensor | None = None, scale: float = 2.0) -> Tensor:
        return self.head(self.body(pixels)) * scale


class ByDict(ByKeyword):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return super().forward(batch["pixels"], batch.get("labels"), 1.0)


class Beside(nn.Module):
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return scores + 0 * labels[:, None]


@pytest.mark.parametrize("call", NO_FORWARD.values(), ids=NO_FORWARD)
def test_without_a_forward_it_is_called_as_its_validation_step_does(call: Any, tmp_path: Path) -> None:
    def made() -> Net:
        torch.manual_seed(0)
        net = Net(call)
        net.body_and_head = nn.Sequential(net.body, net.head)
        net.by_keyword, net.by_dict, net.beside = ByKeyword(net), ByDict(net), Beside()
        return net

    plain = fit(tmp_path / "plain", made(), [])[1]
    records, trainer = fit(tmp_path / "drawn", made(), [kind(on_error="raise") for kind in KINDS])
    assert fingerprint(plain) == fingerprint(trainer)
    assert {record.method for record in records} == {kind.method for kind in KINDS}
    assert {record.batches for record in records if record.method == "grad_cam"} == {0, 2}
    assert not [record.error for record in records if record.error]
    hooks = [module._forward_hooks or module._forward_pre_hooks for module in trainer.lightning_module.modules()]
    assert not any(hooks)


@pytest.mark.parametrize("val", [True, False], ids=["validation", "training"])
def test_a_step_that_fails_while_it_is_watched_leaves_no_hooks(val: bool, tmp_path: Path) -> None:
    def fail(self: Net, x: Tensor, y: Tensor) -> Tensor:
        self.body(x)
        raise ArithmeticError

    module = Net(fail)
    with pytest.raises(ArithmeticError):
        fit(tmp_path, module, [GradCAM()], val=val)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


UNCLEAR = {
    "two inputs": (lambda s, x, table, y: s(x, table), lambda self, x, table: self.head(self.body(x) + table.mean())),
    "two networks": (lambda s, x, table, y: s.head(s.body(x)) + s.other(x), None),
    "images that were worked on": (lambda s, x, table, y: s.head(s.body(x * 2)), None),
}


@pytest.mark.parametrize(("call", "forward"), UNCLEAR.values(), ids=UNCLEAR)
def test_where_it_is_not_clear_one_message_names_forward_fn_which_is_taken(
    call: Any, forward: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def made() -> Net:
        kind = with_forward(forward) if forward else Net
        return kind(call, other=nn.Sequential(nn.Flatten(), nn.Linear(720, 4)))

    data = TensorDataset(IMAGES, torch.randn(16, 2), LABELS)
    with caplog.at_level(logging.WARNING, "lightning_viz"):
        records, _ = fit(tmp_path / "plain", made(), [kind() for kind in KINDS], data)
    said = [record for record in caplog.records if record.name == "lightning_viz"]
    assert len(said) == 1
    assert "Probe(forward_fn=call)" in said[0].getMessage()
    assert said[0].exc_info is None
    assert {record.method for record in records if not record.error} == {"filters"}  # they need no call

    probe = Probe(forward_fn=lambda model, images: model.head(model.body(images)))
    watching = [kind(probe=probe, on_error="raise") for kind in KINDS]
    records, _ = fit(tmp_path / "told", made(), [*watching, Occlusion(probe=probe, square=6)], data, val=True)
    assert {record.method for record in records if not record.error} == {
        *(kind.method for kind in KINDS), "occlusion"
    }  # fmt: skip


def test_maps_of_a_network_that_is_called_by_forward_fn_are_those_of_the_plain_one() -> None:
    torch.manual_seed(0)
    odd = with_forward(lambda self, x, table: self.head(self.body(x) + table[:, :1, None, None]))(
        lambda *_: None
    ).eval()
    plain = nn.Sequential(odd.body, odd.head).eval()
    told = Probe((IMAGES, LABELS), forward_fn=lambda model, images: model(images, images.new_zeros(len(images), 2)))
    for callback, layers in (
        (GradCAM, ("body.2", "0.2")),
        (Saliency, (None, None)),
        (Reconstruction, ("body.2", "0.2")),
    ):
        ours, expected = (
            callback(layers=layer).drawings(model, probe)[0]
            for model, probe, layer in ((odd, told, layers[0]), (plain, Probe((IMAGES, LABELS)), layers[1]))
        )
        for name, value in expected.values.items():
            torch.testing.assert_close(ours.values[name], value)
    assert "forward" not in vars(odd)


def _teacher_beside(self: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        self.teacher(x)
    return self.head(self.body(x))


PARTS = {
    "a teacher, first": (None, "first"),
    "a teacher that forward runs beside it": (_teacher_beside, "first"),
    "a momentum copy, last": (None, "last"),
}


@pytest.mark.parametrize(("forward", "where"), PARTS.values(), ids=PARTS)
def test_parts_that_no_image_passes_on_its_way_to_the_output_are_not_chosen(
    forward: Any, where: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    other = nn.Sequential(nn.Conv2d(3, 5, 5), nn.Conv2d(5, 5, 3)).requires_grad_(False)
    module = with_forward(forward or (lambda self, x: self.head(self.body(x))))(lambda s, x, y: s(x), teacher=other)
    if where == "first":
        module._modules = {"teacher": module._modules.pop("teacher"), **module._modules}
    records, _ = fit(tmp_path, module, [kind(on_error="raise") for kind in (*KINDS, FeatureEvolution)])
    assert layers_of(records, "filters", "activations", "patches", "evolution", "reconstruction") == {
        "filters": ["body.0"],
        "activations": ["body.0", "body.2"],
        "patches": ["body.0", "body.2"],
        "evolution": ["body.0", "body.2"],
        "reconstruction": ["body.2"],
    }


def test_heads_for_training_only_are_not_chosen(tmp_path: Path) -> None:
    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = googlenet(weights=None, num_classes=4, init_weights=False)

        forward = lambda self, x: self.net(x)  # noqa: E731
        training_step = lambda self, batch, i: cross_entropy(self(batch[0])[0], batch[1])  # noqa: E731
        configure_optimizers = lambda self: torch.optim.SGD(self.parameters(), 0.01)  # noqa: E731

    data = TensorDataset(torch.randn(4, 3, 64, 64), torch.arange(4))
    records, _ = fit(tmp_path, Model(), [ActivationMaps(on_error="raise")], data, val=False)
    assert layers_of(records, "activations") == {"activations": ["net.conv1.conv", "net.inception5b.branch4.1.conv"]}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_have_the_type_that_the_network_takes_not_that_of_a_part_beside_it(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    other = nn.Conv2d(3, 6, 3).to(dtype).requires_grad_(False)
    module = with_forward(lambda self, x: self.head(self.body(x)))(lambda s, x, y: s(x), teacher=other)
    module._modules = {"teacher": module._modules.pop("teacher"), **module._modules}
    records, _ = fit(tmp_path, module, [kind(on_error="raise") for kind in KINDS])
    assert not [record.error for record in records if record.error]


def test_a_forward_that_logs_is_drawn_at_the_end_too_and_the_numbers_are_those_of_training(
    package: str, tmp_path: Path
) -> None:
    class Logs(import_module(package).LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.conv(x).relu()
            self.log("activity", maps.mean(), on_step=False, on_epoch=True)
            return self.fc(maps.mean((2, 3)))

        training_step = lambda self, batch, i: cross_entropy(self(batch[0]), batch[1])  # noqa: E731
        configure_optimizers = lambda self: torch.optim.SGD(self.parameters(), 0.1)  # noqa: E731

    numbers = []
    for callbacks in ([], [GradCAM(every_n_epochs=2, on_error="raise"), Saliency(every_n_train_steps=1)]):
        seed(0)
        trainer = make_trainer(package, tmp_path / str(len(callbacks)), callbacks, max_epochs=3, logger=False)
        trainer.fit(Logs(), DataLoader(TensorDataset(IMAGES, LABELS), 8))
        numbers.append(dict(trainer.callback_metrics))
    assert numbers[0] == numbers[1]
    records = [one for store in tmp_path.rglob("plugins/lightning_viz") for one in read_store(str(store)).records]
    assert {record.epoch for record in records if record.method == "grad_cam" and not record.error} == {0, 2, 3}


OUTPUTS = {
    "unit vectors": (lambda self, x: normalize(self.head(self.body(x)), dim=1), LABELS),
    "a number": (lambda self, x: self.head(self.body(x))[:, :1], torch.randn(16) * 10 + 40),
    "a dense map": (lambda self, x: self.body[:3](x), torch.randint(0, 4, (16, 8, 16))),
    "a reconstruction": (lambda self, x: self.body[0](x)[:, :3], torch.rand(16, 3, 10, 18)),
}


@pytest.mark.parametrize(("forward", "targets"), OUTPUTS.values(), ids=OUTPUTS)
def test_what_is_no_class_score_is_drawn_and_never_called_a_class(
    forward: Any, targets: Tensor, tmp_path: Path
) -> None:
    class Model(with_forward(forward)):
        training_step = lambda self, batch, i: self(batch[0]).square().mean()  # noqa: E731

    watching = [kind(on_error="raise") for kind in (GradCAM, Saliency)]
    records, _ = fit(tmp_path, Model(lambda s, x, y: s(x)), [*watching, Occlusion(square=6, on_error="raise")],
                     TensorDataset(IMAGES, targets))  # fmt: skip
    said = [item.caption.split("|")[0] for record in records for item in record.items if item.kind == "picture"]
    assert {record.method for record in records} == {"grad_cam", "saliency", "occlusion"}
    assert said
    assert all("output" in caption and "class" not in caption and "%" not in caption for caption in said)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_of_rows_and_volumes_there_are_filters_and_the_others_say_once_what_they_need(
    dimensions: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conv, size = (nn.Conv1d(2, 6, 5), (24,)) if dimensions == 1 else (nn.Conv3d(2, 6, (3, 2, 5)), (6, 8, 10))

    class Model(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).relu().flatten(2).mean(2))

    data = TensorDataset(torch.randn(16, 2, *size), LABELS)
    module = Model(lambda s, x, y: s(x), conv=conv)
    module.body = nn.Identity()
    with caplog.at_level(logging.WARNING, "lightning_viz"):
        records, _ = fit(tmp_path, module, [kind() for kind in KINDS], data)
    drawn = [record for record in records if not record.error]
    assert {(record.method, record.layer, record.batches) for record in drawn} == {
        ("filters", "conv", 0),
        ("filters", "conv", 2),
    }
    assert drawn[0].meta["kernel"] == ([1, 5] if dimensions == 1 else [2, 5])
    picture = next(item for item in drawn[0].items if item.kind == "picture")
    assert ("slice 1 of 0 to 2" in picture.caption) == (dimensions == 3)
    said = [record for record in caplog.records if record.name == "lightning_viz"]
    assert not any(record.exc_info for record in said)
    assert len({record.getMessage() for record in said}) == len(said) <= 5
