"""G10, G11: odd Trainers, wrong arguments, failures in the middle."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import (
    CleanImages,
    Draws,
    contents,
    fit,
    make_trainer,
    module_class,
    pictures,
)
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader

from lightning_viz import FilterImages, VizCallback
from lightning_viz.store import read_store, read_values


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _our_files(folder: Path) -> set[str]:
    return {name for name in _files(folder) if "lightning_viz" in name}


@pytest.mark.parametrize(
    ("options", "store"),
    [
        ({"logger": False}, "lightning_viz/version_0/plugins/lightning_viz"),
        ({"barebones": True, "logger": None, "log_every_n_steps": 0}, "lightning_viz/version_0/plugins/lightning_viz"),
        ({"overfit_batches": 2}, "lightning_logs/version_0/plugins/lightning_viz"),
        ({"limit_val_batches": 0}, "lightning_logs/version_0/plugins/lightning_viz"),
        ({"num_sanity_val_steps": 0}, "lightning_logs/version_0/plugins/lightning_viz"),
        ({"detect_anomaly": True}, "lightning_logs/version_0/plugins/lightning_viz"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_odd_trainers(callback: type[VizCallback], options: dict[str, Any], store: str, tmp_path: Path) -> None:
    fit("pytorch_lightning", tmp_path, callback(on_error="raise"), **options)
    records = read_store(str(tmp_path / store)).records
    assert [record.epoch for record in records] == [0, 1, 2]
    marks = {name for name in _our_files(tmp_path) if ".tfevents." in name}
    assert all(name.startswith(store) for name in _our_files(tmp_path) - marks)
    assert len(marks) == ("logger" in options)


def test_fast_dev_run_draws_and_writes_nothing(callback: type[VizCallback], tmp_path: Path) -> None:
    drawn = []

    class Counts(callback):
        def draw(self, model: nn.Module, probe: Any) -> Iterator[Any]:
            for drawing in super().draw(model, probe):
                drawn.append(drawing.layer)
                yield drawing

    fit("pytorch_lightning", tmp_path, Counts(on_error="raise"), fast_dev_run=True)
    assert len(drawn) >= 2
    assert not _files(tmp_path)


def test_two_loggers_share_one_store(package: str, callback: type[VizCallback], tmp_path: Path) -> None:
    loggers = import_module(f"{package}.loggers")
    both = [loggers.CSVLogger(tmp_path, "csv"), loggers.TensorBoardLogger(tmp_path, "tensorboard")]
    fit(package, tmp_path, callback(on_error="raise"), logger=both)
    assert len(read_store(str(tmp_path / "tensorboard/version_0/plugins/lightning_viz")).records) == 3
    assert not _our_files(tmp_path / "csv")


def test_each_run_without_a_logger_gets_a_folder_of_its_own(callback: type[VizCallback], tmp_path: Path) -> None:
    for _ in range(2):
        fit("pytorch_lightning", tmp_path, callback(on_error="raise"), logger=False, max_epochs=1)
    for version in (0, 1):
        folder = tmp_path / f"lightning_viz/version_{version}"
        assert len(read_store(str(folder / "plugins/lightning_viz")).records) == 2
        assert len(list(folder.glob("*.tfevents.*"))) == 1


@pytest.mark.parametrize("kind", ["list", "dict", "tensor", "text"])
def test_any_kind_of_batch(callback: type[VizCallback], kind: str, tmp_path: Path) -> None:
    def collate(items: list[tuple[torch.Tensor, int]]) -> Any:
        images, labels = torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])
        texts = ["a photograph"] * len(items)
        return {"list": [images, labels], "dict": {"image": images, "label": labels}, "tensor": images, "text": texts}[
            kind
        ]

    class AnyBatch(module_class("pytorch_lightning")):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self(torch.ones(2, 3, 12, 20)).sum()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

    trainer = make_trainer("pytorch_lightning", tmp_path, callback(), max_epochs=1)
    loader = DataLoader(CleanImages(), batch_size=4, collate_fn=collate)
    trainer.fit(AnyBatch(), loader, loader)
    records = contents(trainer).records
    assert {record.batches for record in records} == {0, 6}
    if kind != "text":
        assert not [record.error for record in records if record.error]


WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no epochs": ({"every_n_epochs": 0}, r"FilterImages\(every_n_epochs=0\): must be a whole number of 1 or more"),
    "half a step": ({"every_n_train_steps": 0.5}, r"FilterImages\(every_n_train_steps=0.5\)"),
    "two schedules": ({"every_n_epochs": 1, "epochs": [1]}, "every_n_epochs and epochs exclude each other"),
    "negative epoch": ({"epochs": [-1]}, r"FilterImages\(epochs=\[-1\]\)"),
    "policy": ({"on_error": "ignore"}, 'must be "warn" or "raise"'),
    "a number for layers": ({"layers": 5}, r"FilterImages\(layers=5\): must be a layer's name or a list of names"),
    "no layers": ({"layers": []}, r"FilterImages\(layers=\[\]\)"),
    "images for a probe": ({"probe": torch.zeros(1)}, "must be a Probe; got a Tensor"),
    "scale": ({"scale": "max"}, 'must be "filter" or "shared"'),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_arguments_fail_at_construction(case: str) -> None:
    arguments, message = WRONG_ARGUMENTS[case]
    with pytest.raises(ValueError, match=message):
        FilterImages(**arguments)


def test_an_unknown_layer_fails_before_the_first_batch_and_names_the_choices(
    package: str, callback: type[VizCallback], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r'layers=.*conv1.*Net has no .*"conv1".*net\.0') as caught:
        fit(package, tmp_path, callback(layers="conv1"))
    assert callback.__name__ in str(caught.value)
    assert not _our_files(tmp_path)


def test_a_layer_of_the_wrong_kind_fails_before_the_first_batch_or_is_drawn(
    callback: type[VizCallback], tmp_path: Path
) -> None:
    try:
        trainer = fit("pytorch_lightning", tmp_path, callback(layers="net.9"))
    except ValueError as error:
        assert '"net.9" is a Flatten' in str(error)
        assert not _our_files(tmp_path)
    else:
        assert [record.error for record in contents(trainer).records] == [None] * 3


def test_a_model_without_convolutions_fails_before_the_first_batch(tmp_path: Path) -> None:
    class NoConvolutions(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(720, 3))

    with pytest.raises(ValueError, match=r'has no Conv2d or ConvTranspose2d.*"net\.1" \(Linear\)'):
        fit("pytorch_lightning", tmp_path, FilterImages(), lambda _: NoConvolutions)


def test_a_model_that_builds_itself_late_is_checked_then(tmp_path: Path) -> None:
    class Late(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.late, self.net = self.net, None

        def configure_model(self) -> None:
            if self.net is None:
                self.net, self.late = self.late, None

    trainer = fit("pytorch_lightning", tmp_path, FilterImages(layers="net.0", on_error="raise"), lambda _: Late)
    assert len(contents(trainer).records) == 3


def _fail(model: nn.Module) -> None:
    raise ArithmeticError("no picture today")


def test_a_failing_drawing_never_ends_a_run(package: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = fit(package, tmp_path, [Draws(_fail), FilterImages(on_error="raise")], max_epochs=3)
    records = contents(trainer).records
    assert [r.error for r in records if r.method == "draws"] == ["ArithmeticError: no picture today"] * 4
    assert len([r for r in records if r.method == "filters"]) == 4
    (said,) = [record for record in caplog.records if record.name == "lightning_viz"]
    assert "could not draw Draws: ArithmeticError: no picture today" in said.getMessage()
    assert "Training goes on" in said.getMessage()
    assert said.exc_info is not None


def test_the_same_failure_is_said_once_whatever_numbers_it_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(model: nn.Module) -> None:
        raise ArithmeticError(f"loss is {model.trainer.global_step}")

    trainer = fit("pytorch_lightning", tmp_path, Draws(fail), max_epochs=3)
    assert len({record.error for record in contents(trainer).records}) == 4
    assert caplog.text.count("could not draw Draws") == 1


def test_a_hyper_parameter_that_can_not_be_written_costs_no_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Circular(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.hparams["self"] = self.hparams

        def _log_hyperparams(self) -> None:
            pass

    trainer = make_trainer("pytorch_lightning", tmp_path, FilterImages(), logger=False, max_epochs=1)
    trainer.fit(Circular(), DataLoader(CleanImages(), batch_size=4))
    assert len(read_store(str(tmp_path / "lightning_viz/version_0/plugins/lightning_viz")).records) == 2
    assert "could not describe the run" in caplog.text


def test_on_error_raise_ends_it(package: str, tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="no picture today"):
        fit(package, tmp_path, Draws(_fail, on_error="raise"))


def test_ctrl_c_is_not_swallowed(tmp_path: Path) -> None:
    def interrupt(model: nn.Module) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit("pytorch_lightning", tmp_path, Draws(interrupt))


def test_something_that_is_no_drawing_is_named(tmp_path: Path) -> None:
    class Wrong(VizCallback):
        def draw(self, model: nn.Module, probe: Any) -> Iterator[Any]:
            yield np.zeros((3, 3, 3))

    with pytest.raises(TypeError, match=r"Wrong\.draw must yield Drawing; got ndarray"):
        fit("pytorch_lightning", tmp_path, Wrong(on_error="raise"))


def test_an_unwritable_folder_leaves_the_loggers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = import_module("pytorch_lightning.loggers").TensorBoardLogger(tmp_path, name="run", version="")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/plugins").write_text("a file where a folder should be")
    trainer = fit("pytorch_lightning", tmp_path, FilterImages(), logger=logger)
    assert trainer.current_epoch == 2
    assert "could not open the store" in caplog.text
    events = EventAccumulator(str(tmp_path / "run"), {"images": 0})
    events.Reload()
    assert len(events.Images("lightning_viz/filters/net.0")) == 3


@contextmanager
def _full_disk(room: int) -> Iterator[None]:
    """No file may grow beyond ``room`` bytes: writing fails half-way, for real."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_neither_run_nor_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class FullInTheMiddle(FilterImages):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            with _full_disk(64 if trainer.current_epoch == 1 else 10**9):
                super().on_train_epoch_end(trainer, pl_module)

    trainer = fit("pytorch_lightning", tmp_path, FullInTheMiddle(), max_epochs=4, logger=False)
    store = tmp_path / "lightning_viz/version_0/plugins/lightning_viz"
    assert trainer.current_epoch == 4
    assert "File too large" in caplog.text
    kept = read_store(str(store))
    assert [record.batches for record in kept.records if not record.error] == [0, 6, 18, 24]
    assert not kept.skipped
    assert not list(store.rglob("*.tmp"))
    for record in kept.records:
        for item in record.items:
            if item.kind == "values":
                assert read_values((store / item.file).read_bytes()).shape == item.shape


def test_weights_that_are_not_finite_are_shown_as_such(tmp_path: Path) -> None:
    class Diverged(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            with torch.no_grad():
                self.net[0].weight[2, :, 1, 1] = float("nan")
                self.net[0].weight[3] = float("inf")

    trainer = fit("pytorch_lightning", tmp_path, FilterImages(on_error="raise"), lambda _: Diverged, max_epochs=1)
    record = contents(trainer).records[0]
    assert "78 values not finite" in record.items[0].caption
    pixels = np.array(Image.open(BytesIO(pictures(trainer)[record.identity])))
    assert pixels[1, 13].tolist() == [255, 0, 255]
    assert (pixels[0:5, 18:23] == [255, 230, 0]).all()
    assert not (pixels[0:5, 0:11] == [255, 0, 255]).all(axis=-1).any()


def test_a_corrupted_record_is_reported_and_the_run_resumes(tmp_path: Path) -> None:
    logger = import_module("pytorch_lightning.loggers").TensorBoardLogger
    options = {"logger": logger(tmp_path, name="run", version=""), "max_epochs": 1}
    fit("pytorch_lightning", tmp_path, FilterImages(on_error="raise"), **options)
    store = tmp_path / "run/plugins/lightning_viz"
    (store / "records/000099-filters.json").write_text('{"schema": 1, "method": "fil')
    fit("pytorch_lightning", tmp_path, FilterImages(every_n_train_steps=4, on_error="raise"), **options)
    kept = read_store(str(store))
    assert [record.batches for record in kept.records] == [0, 4, 6]
    assert list(kept.skipped) == ["records/000099-filters.json"]
    assert min(record.seq for record in kept.records if record.batches == 4) > 99


def test_training_with_a_failing_logger_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger_class = import_module("pytorch_lightning.loggers").TensorBoardLogger

    class TensorBoardLogger(logger_class):
        @property
        def experiment(self) -> Any:
            writer = super().experiment
            writer._get_file_writer = _writer_that_fails_on_images(writer._get_file_writer())
            return writer

    watching = FilterImages()
    trainer = fit("pytorch_lightning", tmp_path, watching, logger=TensorBoardLogger(tmp_path, name="run", version=""))
    assert [record.error for record in contents(trainer).records] == [None] * 3
    assert caplog.text.count("could not hand pictures to the TensorBoardLogger: ConnectionError") == 1


def _writer_that_fails_on_images(writer: Any) -> Callable[[], Any]:
    class Fails:
        def add_summary(self, summary: Any, *step: Any) -> None:
            if summary.value[0].HasField("image"):
                raise ConnectionError("gone")
            writer.add_summary(summary, *step)

        def __getattr__(self, name: str) -> Any:
            return getattr(writer, name)

    return Fails
