"""G10, G11: odd Trainers, wrong arguments, failures in the middle."""

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import (
    Draws,
    check_drawn,
    contents,
    fingerprint,
    fit,
    give_data,
    layer_for,
    make_trainer,
    module_class,
    pictures,
)
from helpers.data import CleanImages, NoisyImages, seed
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset

from lightning_viz import Context, FilterImages, Probe, VizCallback
from lightning_viz.store import Record, read_store, read_values


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
def test_odd_trainers(every: list[type[VizCallback]], options: dict[str, Any], store: str, tmp_path: Path) -> None:
    fit("pytorch_lightning", tmp_path, [give_data(callback, on_error="raise") for callback in every], **options)
    check_drawn(read_store(str(tmp_path / store)).records, [0, 1, 2], every, "epoch")
    marks = {name for name in _our_files(tmp_path) if ".tfevents." in name}
    projector = str(Path(store).parent / "org_tensorflow_tensorboard_projector")
    assert all(name.startswith((store, projector)) for name in _our_files(tmp_path) - marks)
    assert len(marks) == ("logger" in options)


def test_fast_dev_run_draws_and_writes_nothing(callback: type[VizCallback], tmp_path: Path) -> None:
    drawn = []

    class Counts(callback):
        def draw(self, context: Context) -> Iterator[Any]:
            for drawing in super().draw(context):
                drawn.append(drawing.layer)
                yield drawing

    fit("pytorch_lightning", tmp_path, Counts(on_error="raise"), fast_dev_run=True)
    assert len(drawn) >= 2
    assert not _files(tmp_path)


def test_two_loggers_share_one_store(package: str, every: list[type[VizCallback]], tmp_path: Path) -> None:
    loggers = import_module(f"{package}.loggers")
    both = [loggers.CSVLogger(tmp_path, "csv"), loggers.TensorBoardLogger(tmp_path, "tensorboard")]
    fit(package, tmp_path, [callback(on_error="raise") for callback in every], logger=both)
    records = read_store(str(tmp_path / "tensorboard/version_0/plugins/lightning_viz")).records
    check_drawn(records, [0, 6, 12], every)
    assert not _our_files(tmp_path / "csv")


def test_each_run_without_a_logger_gets_a_folder_of_its_own(every: list[type[VizCallback]], tmp_path: Path) -> None:
    for _ in range(2):
        watching = [callback(on_error="raise") for callback in every]
        fit("pytorch_lightning", tmp_path, watching, logger=False, max_epochs=1)
    for version in (0, 1):
        folder = tmp_path / f"lightning_viz/version_{version}"
        check_drawn(read_store(str(folder / "plugins/lightning_viz")).records, [0, 6], every)
        assert len(list(folder.glob("*.tfevents.*"))) == 1


class AnyBatch(module_class("pytorch_lightning")):
    """Learns to answer 2, whatever the loader gives."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.5)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return cross_entropy(self(CleanImages().images[:4]), torch.full((4,), 2))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass


def _fit_with_batches(folder: Path, callbacks: Any, make_batch: Callable[[Any, Any], Any], **options: Any) -> Any:
    def collate(items: list[tuple[torch.Tensor, int]]) -> Any:
        return make_batch(torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items]))

    seed(0)
    trainer = make_trainer("pytorch_lightning", folder, callbacks, **options)
    loader = DataLoader(CleanImages(), batch_size=4, collate_fn=collate)
    trainer.fit(AnyBatch(), loader, loader)
    return trainer


BATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "list": lambda images, labels: [images, labels],
    "tuple": lambda images, labels: (images, labels),
    "dict": lambda images, labels: {"image": images, "label": labels},
    "labels first": lambda images, labels: [labels, images],
}


def test_the_kind_of_batch_makes_no_difference(every: list[type[VizCallback]], tmp_path: Path) -> None:
    drawn = {}
    for kind, make_batch in BATCHES.items():
        watching = [callback(on_error="raise") for callback in every]
        trainer = _fit_with_batches(tmp_path / kind, watching, make_batch)
        check_drawn(contents(trainer).records, [0, 6, 12], every)
        drawn[kind] = pictures(trainer)
    assert {kind for kind in BATCHES if drawn[kind] != drawn["list"]} == set()


def test_a_probe_without_labels_shows_one_class_throughout(every: list[type[VizCallback]], tmp_path: Path) -> None:
    watching = [callback(on_error="raise") for callback in every]
    trainer = _fit_with_batches(tmp_path, watching, lambda images, labels: images)
    records = contents(trainer).records
    check_drawn(records, [0, 6, 12], every)
    for predictions in _predictions(records).values():
        assert {(one["label"], one["label_name"]) for moment in predictions for one in moment} == {(None, None)}
        assert len({tuple(one["shown"] for one in moment) for moment in predictions}) == 1
        # It is the class that the untrained network took the image for, and training changed its mind.
        assert [one["shown"] for one in predictions[0]] == [one["predicted"] for one in predictions[0]]
        assert {one["predicted"] for one in predictions[-1]} == {2} != {one["shown"] for one in predictions[-1]}


def test_a_resumed_run_without_labels_shows_the_same_class(every: list[type[VizCallback]], tmp_path: Path) -> None:
    logger = import_module("pytorch_lightning.loggers").TensorBoardLogger

    def run(epochs: int, saved: Path | None) -> Any:
        watching = [callback(probe=Probe(batch_fn=_without_labels), on_error="raise") for callback in every]
        trainer = make_trainer(
            "pytorch_lightning", tmp_path, watching, logger=logger(tmp_path, version="run"), max_epochs=epochs
        )
        loader = DataLoader(CleanImages(), batch_size=4)
        trainer.fit(AnyBatch(), loader, loader, ckpt_path=saved)
        return trainer

    seed(0)
    first = run(2, None)
    first.save_checkpoint(tmp_path / "run/last.ckpt")
    records = contents(run(3, tmp_path / "run/last.ckpt")).records
    check_drawn(records, [0, 6, 12, 18], every)
    for predictions in _predictions(records).values():
        assert {one["predicted"] for one in predictions[-1]} == {2} != {one["predicted"] for one in predictions[0]}
        assert [[one["shown"] for one in moment] for moment in predictions] == [
            [one["predicted"] for one in predictions[0]]
        ] * 4


def _without_labels(batch: Any) -> tuple[torch.Tensor, None]:
    return batch[0], None


def _predictions(records: list[Record]) -> dict[str, list[list[Any]]]:
    found: dict[str, list[list[Any]]] = {}
    for record in records:
        if "predictions" in record.meta:
            found.setdefault(record.method, []).append(record.meta["predictions"])
    assert found
    return found


def test_a_batch_without_images_fails_clearly_for_those_who_need_them(
    every: list[type[VizCallback]], tmp_path: Path
) -> None:
    trainer = _fit_with_batches(tmp_path, [callback() for callback in every], lambda images, labels: ["a photograph"])
    records = contents(trainer).records
    assert {(record.method, record.batches) for record in records} == {
        (callback.method, batches) for callback in every for batches in (0, 6, 12)
    }
    say_what_to_do = "Say where they are: batch_fn=..."
    assert {record.error for record in records if say_what_to_do not in str(record.error)} == {None}
    # Who drew all the same looked at no image.
    assert {record.probe for record in records if not record.error} == {None}


def test_scores_are_found_in_what_a_model_returns(every: list[type[VizCallback]], tmp_path: Path) -> None:
    def returns(wrap: Callable[[torch.Tensor], Any]) -> Callable[[str], type]:
        class Wrapped(module_class("pytorch_lightning")):
            def forward(self, images: torch.Tensor) -> Any:
                return wrap(super().forward(images))

            def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
                return cross_entropy(self.net(batch[0]), batch[1])

            def validation_step(self, batch: Any, batch_idx: int) -> None:
                pass

        return lambda package: Wrapped

    def drawn(name: str, output: Any, wrap: Callable[[torch.Tensor], Any]) -> Any:
        watching = [callback(probe=Probe(output=output), on_error="raise") for callback in every]
        trainer = fit("pytorch_lightning", tmp_path / name, watching, returns(wrap))
        check_drawn(contents(trainer).records, [0, 6, 12], every)
        return pictures(trainer)

    plain = drawn("plain", None, lambda scores: scores)
    assert drawn("key", "head", lambda scores: {"features": scores + 1, "head": scores}) == plain
    assert drawn("logits", None, lambda scores: {"features": scores + 1, "logits": scores}) == plain
    assert drawn("index", 1, lambda scores: (scores + 1, scores)) == plain
    assert drawn("function", _negated, lambda scores: {"scores": -scores}) == plain
    watching = [callback() for callback in every]
    lost = fit("pytorch_lightning", tmp_path / "lost", watching, returns(lambda scores: {"head": scores}))
    records = contents(lost).records
    assert {(record.method, record.batches) for record in records} == {identity[::2] for identity in plain}
    errors = {record.error for record in records if record.error}
    assert errors
    assert {error for error in errors if "with keys 'head'" not in error or "output=" not in error} == set()


def _negated(returned: dict[str, torch.Tensor]) -> torch.Tensor:
    return -returned["scores"]


class Stream(IterableDataset[tuple[torch.Tensor, int]]):
    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        data = CleanImages()
        return iter([data[index] for index in range(len(data))])


class CountedStream(Stream):
    def __len__(self) -> int:
        return 24


NO_DATA: dict[str, tuple[Any, dict[str, Any], str]] = {
    "none": (None, {}, "there is no map-style validation data set"),
    "switched off": (CleanImages(), {"limit_val_batches": 0}, "there is no map-style validation data set"),
    "a stream": (Stream(), {}, "there is no map-style validation data set"),
    "a stream with a length": (CountedStream(), {}, "there is no map-style validation data set"),
    "augmented": (NoisyImages(), {}, "an item differs when it is read twice"),
}


@pytest.mark.parametrize("case", NO_DATA)
def test_validation_data_that_can_not_be_looked_at_fail_clearly_for_those_who_need_them(
    every: list[type[VizCallback]], case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, options, reason = NO_DATA[case]

    def run(name: str, callbacks: list[VizCallback]) -> Any:
        seed(0)
        trainer = make_trainer("pytorch_lightning", tmp_path / name, callbacks, **options)
        validation = None if data is None else DataLoader(data, batch_size=4)
        trainer.fit(module_class("pytorch_lightning")(), DataLoader(NoisyImages(), 4, shuffle=True), validation)
        return trainer

    trainer = run("watched", [callback() for callback in every])
    need_data = [callback for callback in every if "data" in signature(callback).parameters]
    records = contents(trainer).records
    failed = [(record.method, record.batches) for record in records if record.error]
    assert sorted(failed) == sorted((callback.method, batches) for callback in need_data for batches in (0, 6, 12))
    for record in records:
        assert not record.error or (reason in record.error and "data=..." in record.error), record.error
    check_drawn(
        [record for record in records if not record.error],
        [0, 6, 12],
        [callback for callback in every if callback not in need_data],
    )
    for callback in need_data:
        assert caplog.text.count(f"could not draw {callback.__name__}: ") == 1
    assert fingerprint(trainer) == fingerprint(run("alone", []))


@pytest.mark.parametrize("wrap", [lambda loader: [loader, loader], lambda loader: {"a": loader, "b": [loader]}])
def test_of_several_validation_loaders_the_first_has_the_data(
    wrap: Callable[[Any], Any], every: list[type[VizCallback]], tmp_path: Path
) -> None:
    class Several(module_class("pytorch_lightning")):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            pass

    need_data = [callback for callback in every if "data" in signature(callback).parameters]
    trainer = make_trainer("pytorch_lightning", tmp_path, [callback(on_error="raise") for callback in need_data])
    loader = DataLoader(CleanImages(), batch_size=4)
    trainer.fit(Several(), loader, wrap(loader))
    check_drawn(contents(trainer).records, [0, 6, 12], need_data)


WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no epochs": ({"every_n_epochs": 0}, r"NAME\(every_n_epochs=0\): must be a whole number of 1 or more"),
    "half a step": ({"every_n_train_steps": 0.5}, r"NAME\(every_n_train_steps=0.5\)"),
    "two schedules": ({"every_n_epochs": 1, "epochs": [1]}, "NAME: every_n_epochs and epochs exclude each other"),
    "negative epoch": ({"epochs": [-1]}, r"NAME\(epochs=\[-1\]\)"),
    "policy": ({"on_error": "ignore"}, r"NAME\(on_error='ignore'\): must be \"warn\" or \"raise\""),
    "a number for layers": ({"layers": 5}, r"NAME\(layers=5\): must be a layer's name or a list of names"),
    "no layers": ({"layers": []}, r"NAME\(layers=\[\]\)"),
    "images for a probe": ({"probe": torch.zeros(1)}, r"NAME\(probe=...\): must be a Probe; got a Tensor"),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_arguments_fail_at_construction(callback: type[VizCallback], case: str) -> None:
    arguments, message = WRONG_ARGUMENTS[case]
    with pytest.raises(ValueError, match=message.replace("NAME", callback.__name__)):
        callback(**arguments)


def test_a_wrong_scale_fails_at_construction() -> None:
    with pytest.raises(ValueError, match='must be "filter" or "shared"'):
        FilterImages(scale="max")


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
        records = contents(trainer).records
        # What a layer computes is known only when the network runs.
        clear = 'ValueError: AttentionMaps: layer "net.9" computes no softmax attention. Layers that do: "net.8".'
        if {record.error for record in records} != {clear}:
            check_drawn(records, [0, 6, 12], [callback])


def test_without_convolutions_it_draws_or_says_so_once_and_rests(callback: type[VizCallback], tmp_path: Path) -> None:
    class NoConvolutions(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(720, 3))

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            pass

    trainer = fit("pytorch_lightning", tmp_path, callback(on_error="raise"), lambda _: NoConvolutions)
    records = contents(trainer).records
    errors = [record.error for record in records if record.error]
    assert trainer.global_step == 12
    if not errors:
        assert {record.batches for record in records} == {0, 6, 12}
        return
    assert [record.batches for record in records] == [0]
    has_none = r'has no Conv2d.* or ConvTranspose.d\. .*"net\.1" \(Linear\)'
    reasons = rf"NoConvolutions {has_none}|no layer of NoConvolutions (has an output|computes a softmax)"
    assert re.search(rf"^NoLayerError: \w+: ({reasons})", errors[0])


def test_a_model_that_builds_itself_late_is_checked_then(every: list[type[VizCallback]], tmp_path: Path) -> None:
    class Late(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.late, self.net = self.net, None

        def configure_model(self) -> None:
            if self.net is None:
                self.net, self.late = self.late, None

    watching = [callback(layers=layer_for(callback, "net.0"), on_error="raise") for callback in every]
    trainer = fit("pytorch_lightning", tmp_path, watching, lambda _: Late)
    check_drawn(contents(trainer).records, [0, 6, 12], every)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 1e30])
def test_a_network_that_diverged_or_died_is_drawn_all_the_same(
    every: list[type[VizCallback]], value: float, tmp_path: Path
) -> None:
    class Broken(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter.fill_(value)

    watching = [callback(on_error="raise") for callback in every]
    trainer = fit("pytorch_lightning", tmp_path, watching, lambda _: Broken)
    check_drawn(contents(trainer).records, [0, 6, 12], every)
    for record in contents(trainer).records:
        assert any(item.kind == "picture" for item in record.items), record.identity


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
        def draw(self, context: Context) -> Iterator[Any]:
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
    assert len(events.Images("viz/filters/net.0")) == 3


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
