import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from contract.harness import contents, store_of
from jsonargparse import ArgumentParser
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_viz import Drawing, Embedding, Probe
from lightning_viz.functional import align, drift
from lightning_viz.store import Record, read_store
from lightning_viz.trainer.schedule import LOG_SPACED

COUNT, HEIGHT, WIDTH = 36, 8, 12


def clusters(labelled: bool = True, count: int = COUNT) -> TensorDataset:
    """Images of three kinds between 0 and 1."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    kinds = torch.rand(3, 1, HEIGHT, WIDTH, generator=draw)
    images = (kinds[labels] + 0.2 * torch.rand(count, 1, HEIGHT, WIDTH, generator=draw)).clamp(0, 1)
    return TensorDataset(images, labels) if labelled else TensorDataset(images)


class Classifier(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(360, 16), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.net(images))

    def training_step(self, batch: Sequence[Tensor], _: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), torch.arange(len(batch[0])) % 3)

    def validation_step(self, batch: Sequence[Tensor], _: int) -> None:
        self.log("val_loss", self(batch[0]).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.05)


def half(model: Classifier, images: Tensor) -> Tensor:
    return model.net[:4](images)


def fit(folder: Path, callback: Embedding, data: Dataset[Any] | None = None, epochs: int = 3, **options: Any) -> Any:
    data = data or clusters()
    ckpt_path = options.pop("ckpt_path", None)
    trainer = pl.Trainer(
        max_epochs=epochs,
        default_root_dir=folder,
        callbacks=[callback],
        logger=pl.loggers.TensorBoardLogger(folder, name="run", version=0),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )
    loaders = DataLoader(clusters(), 12), DataLoader(data, 10)
    trainer.fit(Classifier(), *loaders, ckpt_path=ckpt_path)
    return trainer


def values(trainer: Any, record: Record) -> dict[str, np.ndarray]:
    return {item.name: np.load(store_of(trainer) / item.file) for item in record.items if item.kind == "values"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    callback = Embedding(every_n_epochs=1, max_points=30, neighbours=4, perplexity=5.0, on_error="raise")
    return fit(tmp_path_factory.mktemp("trained"), callback)


def test_every_record_has_the_same_points_and_its_own_layout(trained):
    records = contents(trained).records
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    assert {record.layer for record in records} == {"head"}
    assert len({str(record.meta["points"]) for record in records}) == 1
    points = records[0].meta["points"]
    assert (points["count"], points["thumbnail"], points["columns"]) == (30, [16, 24], 6)
    layouts = [values(trained, record)["layout"] for record in records]
    assert all(layout.shape == (30, 2) and np.isfinite(layout).all() for layout in layouts)
    assert len({layout.tobytes() for layout in layouts}) == 4
    assert records[0].meta["input"] is True
    assert records[0].meta["engine"].startswith("openTSNE ")
    assert records[0].meta["iterations"] == 750


def test_neighbours_are_scikit_learns_in_the_input_of_the_last_linear_layer(trained):
    record = contents(trained).records[-1]
    found = values(trained, record)
    chosen = [round(place * (COUNT - 1) / 29) for place in range(30)]
    data = clusters().tensors
    with torch.no_grad():
        features = trained.lightning_module.net(data[0][chosen])
    distances, neighbours = NearestNeighbors(n_neighbors=4).fit(features).kneighbors()
    assert np.array_equal(found["labels"], data[1][chosen])
    assert np.allclose(found["distances"], distances, atol=1e-4)
    assert (found["neighbours"] == neighbours).mean() > 0.95  # but for what is equally far
    votes = data[1][chosen][torch.as_tensor(neighbours)].mode(1).values
    assert record.scalars["knn_accuracy"] == pytest.approx((votes == data[1][chosen]).float().mean().item(), abs=0.04)


def test_points_move_instead_of_jumping(trained):
    records = contents(trained).records
    layouts = [torch.as_tensor(values(trained, record)["layout"]) for record in records]
    assert "drift" not in records[0].scalars
    for before, after, record in zip(layouts[:-1], layouts[1:], records[1:], strict=True):
        assert record.scalars["drift"] == pytest.approx(drift(after, before), abs=1e-5)
        assert drift(align(after, before), before) == pytest.approx(drift(after, before), abs=1e-4)
        assert record.scalars["drift"] < 1


def test_the_sheet_holds_each_image_at_its_place(trained):
    points = contents(trained).records[0].meta["points"]
    with Image.open(store_of(trained) / f"probes/{points['hash']}-0.png") as file:
        sheet = np.asarray(file)
    (height, width), columns = points["thumbnail"], points["columns"]
    for number in (0, 7, 29):
        top, left = height * (number // columns), width * (number % columns)
        image = clusters().tensors[0][round(number * (COUNT - 1) / 29)][0].numpy()
        tile = sheet[top : top + height : 2, left : left + width : 2, 0]
        assert np.abs(tile / 255 - image).max() <= 0.5 / 255 + 1e-6


def test_scalars_and_a_picture_reach_the_loggers(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(trained.log_dir)
    events.Reload()
    assert "viz/embedding/head" in events.Tags()["images"]
    for name in ("knn_accuracy", "silhouette", "trustworthiness"):
        assert len(events.Scalars(f"viz/embedding/head/{name}")) == 4


def test_the_projector_gets_the_features(trained):
    folder = Path(trained.log_dir) / "plugins/org_tensorflow_tensorboard_projector"
    text = (folder / "projector_config.pbtxt").read_text()
    assert [f"head epoch 00{epoch}" in text for epoch in range(4)] == [True] * 4
    (last,) = folder.glob("*003*")
    with torch.no_grad():
        features = trained.lightning_module.net(clusters().tensors[0][:1])
    assert np.allclose(np.fromfile(last, "<f4").reshape(30, 16)[0], features[0], atol=1e-5)
    assert len(list(folder.glob("sprite-*.png"))) == 1


def test_without_labels_there_are_no_scores_of_classes(tmp_path):
    trainer = fit(tmp_path, Embedding(on_error="raise", perplexity=5.0), clusters(labelled=False), epochs=1)
    records = contents(trainer).records
    assert set(records[0].scalars) == {"trustworthiness"}
    assert set(records[1].scalars) == {"trustworthiness", "drift"}
    assert "labels" not in values(trainer, records[0])


def test_a_function_or_named_layers_instead(tmp_path):
    callback = Embedding(features=half, on_error="raise", epochs=[], projector=False)
    trainer = fit(tmp_path / "function", callback, epochs=1)
    assert [record.layer for record in contents(trainer).records] == ["half", "half"]
    assert not (Path(trainer.log_dir) / "plugins/org_tensorflow_tensorboard_projector").exists()
    trainer = fit(tmp_path / "layers", Embedding(layers=["net.0", "head"], on_error="raise", epochs=[]), epochs=1)
    records = contents(trainer).records
    assert sorted(record.layer for record in records) == ["head", "head", "net.0", "net.0"]
    assert records[0].meta["input"] is False


def test_a_resumed_run_goes_on_from_the_last_layout(tmp_path):
    fit(tmp_path, Embedding(every_n_epochs=1, perplexity=5.0, on_error="raise"), epochs=2)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    trainer = fit(
        tmp_path, Embedding(every_n_epochs=1, perplexity=5.0, on_error="raise"), epochs=3, ckpt_path=str(checkpoint)
    )
    records = sorted(contents(trainer).records, key=lambda record: record.batches)
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    before, after = (torch.as_tensor(values(trainer, record)["layout"]) for record in records[2:])
    assert records[3].scalars["drift"] == pytest.approx(drift(after, before), abs=1e-5)


def test_other_points_start_anew(tmp_path):
    fit(tmp_path, Embedding(every_n_epochs=1, perplexity=5.0, on_error="raise"), epochs=1)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    callback = Embedding(every_n_epochs=1, perplexity=5.0, max_points=20, on_error="raise")
    trainer = fit(tmp_path, callback, epochs=2, ckpt_path=str(checkpoint))
    last = max(contents(trainer).records, key=lambda record: record.batches)
    assert last.meta["points"]["count"] == 20
    assert "drift" not in last.scalars


class Diverged(Classifier):
    """Of every fourth image the features are not numbers."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.net(images).masked_fill((images[:, :, 0, 0] > 0.5), torch.nan))


def test_points_without_finite_features_have_no_place(tmp_path):
    data = clusters()
    trainer = pl.Trainer(
        max_epochs=1,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_checkpointing=False,
        callbacks=[Embedding(on_error="raise", perplexity=5.0)],
        enable_model_summary=False,
    )
    trainer.fit(Diverged(), DataLoader(data, 12), DataLoader(data, 10))
    record = contents(trainer).records[0]
    lost = data.tensors[0][:, 0, 0, 0].numpy() > 0.5
    assert 0 < lost.sum() < COUNT
    found = values(trainer, record)
    assert np.array_equal(np.isnan(found["layout"]).all(1), lost)
    assert (found["neighbours"][lost] == -1).all()
    assert not math.isnan(record.scalars["trustworthiness"])


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_a_few_points_are_enough(count, tmp_path):
    data = clusters(count=count)
    records = contents(fit(tmp_path, Embedding(on_error="raise"), data, epochs=1)).records
    assert [record.meta["points"]["count"] for record in records] == [count] * 2
    assert all(record.error is None for record in records)


def test_a_layout_that_lags_is_worked_on_for_longer():
    draw = torch.Generator().manual_seed(0)
    callback = Embedding(perplexity=10.0)
    one, other = (torch.randn(120, 8, generator=draw) for _ in range(2))
    first = callback._lay_out(one, None)
    before = Drawing("head", {"layout": first.places.numpy()}, scalars={"trustworthiness": first.trust})
    still = callback._lay_out(one + 0.001, before)
    assert (first.iterations, still.iterations) == (750, 100)
    changed = callback._lay_out(other, before)
    assert changed.iterations == 350


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_points": 1}, "max_points=1.*whole number of 2 or more"),
        ({"neighbours": 0}, "neighbours=0.*whole number of 1 or more"),
        ({"perplexity": -1.0}, "perplexity=-1.0.*above 0"),
        ({"engine": "umap"}, 'engine=.umap.*"auto", "openTSNE", "scikit-learn"|engine=.umap'),
        ({"layers": "head", "features": half}, "exclude each other"),
        ({"features": 3}, "must be a function"),
    ],
)
def test_wrong_arguments_are_refused_when_constructed(arguments, message):
    with pytest.raises(ValueError, match=message):
        Embedding(**arguments)


def test_a_layer_that_is_missing_is_refused_before_the_first_batch(tmp_path):
    with pytest.raises(ValueError, match="backbone"):
        fit(tmp_path, Embedding(layers="backbone"))


def test_it_is_drawn_at_spread_epochs_unless_told_otherwise():
    assert Embedding().schedule.epochs == LOG_SPACED
    assert Embedding(every_n_epochs=2).schedule.epochs is None


def test_mean_and_std_of_the_probe_make_the_thumbnails(tmp_path):
    normalised = TensorDataset((clusters().tensors[0] - 0.5) / 0.25)
    callback = Embedding(probe=Probe(clusters().tensors[0][:2], mean=0.5, std=0.25), on_error="raise", epochs=[])
    trainer = fit(tmp_path, callback, normalised, epochs=1)
    points = contents(trainer).records[0].meta["points"]
    with Image.open(store_of(trainer) / f"probes/{points['hash']}-0.png") as file:
        tile = np.asarray(file)[: points["thumbnail"][0] : 2, : points["thumbnail"][1] : 2, 0]
    assert np.abs(tile / 255 - clusters().tensors[0][0, 0].numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    "damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")], ids=["gone", "empty"]
)
def test_a_lost_layout_does_not_end_a_resumed_run(damage, tmp_path, caplog):
    fit(tmp_path, Embedding(every_n_epochs=1, perplexity=5.0), epochs=1)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    folder = tmp_path / "run/version_0/plugins/lightning_viz"
    records = sorted(read_store(str(folder)).records, key=lambda record: record.batches)
    damage(folder / next(item.file for item in records[-1].items if item.name == "layout"))
    trainer = fit(tmp_path, Embedding(every_n_epochs=1, perplexity=5.0), epochs=2, ckpt_path=str(checkpoint))
    last = max(contents(trainer).records, key=lambda record: record.batches)
    assert (last.epoch, last.error) == (2, None)
    assert "could not read what was drawn before, so that it begins anew" in caplog.text


def test_a_second_fit_of_the_same_trainer_goes_on_from_the_last_layout(tmp_path):
    trainer = fit(tmp_path, Embedding(every_n_epochs=1, perplexity=5.0, on_error="raise"), epochs=1)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(trainer.lightning_module, DataLoader(clusters(), 12), DataLoader(clusters(), 10))
    records = sorted(contents(trainer).records, key=lambda record: record.batches)
    assert [record.epoch for record in records] == [0, 1, 2]
    assert records[2].scalars["drift"] < 1


def test_an_empty_data_set_says_so(tmp_path):
    records = contents(fit(tmp_path, Embedding(data=clusters(count=0)), epochs=1)).records
    assert "Embedding(data=...): there are no images in it" in records[0].error


def test_the_command_line_can_give_data_and_a_function():
    parser = ArgumentParser()
    parser.add_class_arguments(Embedding, "embedding")
    arguments = {
        "data": {"class_path": f"{__name__}.Numbered", "init_args": {"count": 5}},
        "features": f"{__name__}.half",
    }
    made = parser.instantiate_classes(parser.parse_object({"embedding": arguments})).embedding
    assert isinstance(made.data, Numbered)
    assert len(made.data) == 5
    assert made.features is half


class Numbered(Dataset[int]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count
