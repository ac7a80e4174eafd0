"""G5, G6: drawn when it was promised, at the x of the loss, also after a resume."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from contract.harness import CleanImages, contents, fit, loaders, make_trainer, manual_class, module_class, seed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, IterableDataset

from lightning_viz import VizCallback

SCHEDULES: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {
    "every epoch": ({}, {"max_epochs": 3}, [0, 6, 12, 18]),
    "every second epoch, and the last": ({"every_n_epochs": 2}, {"max_epochs": 5}, [0, 12, 24, 30]),
    "named epochs, and the last": ({"epochs": [1, 3]}, {"max_epochs": 4}, [0, 6, 18, 24]),
    "the untrained and the last": ({"epochs": []}, {"max_epochs": 2}, [0, 12]),
    "by steps": ({"every_n_train_steps": 4}, {"max_epochs": 2}, [0, 4, 8, 12]),
    "by steps that do not divide": ({"every_n_train_steps": 5}, {"max_epochs": 2}, [0, 5, 10, 12]),
    "by steps, accumulating": ({"every_n_train_steps": 2}, {"accumulate_grad_batches": 2}, [0, 4, 8, 12]),
    "by steps, accumulating oddly": ({"every_n_train_steps": 1}, {"accumulate_grad_batches": 4}, [0, 4, 6, 10, 12]),
    "by steps of two optimizers": (
        {"every_n_train_steps": 3},
        {"make_module": manual_class},
        [0, 2, 3, 5, 6, 8, 9, 11, 12],
    ),
    "ended by max_steps": ({"every_n_epochs": 4}, {"max_steps": 8, "max_epochs": -1}, [0, 8]),
    "validating in the middle": ({}, {"val_check_interval": 0.5}, [0, 6, 12]),
    "without validation": ({}, {"limit_val_batches": 0}, [0, 6, 12]),
    "few batches": ({}, {"limit_train_batches": 2}, [0, 2, 4]),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_it_draws_exactly_when_promised(callback: type[VizCallback], case: str, tmp_path: Path) -> None:
    arguments, options, expected = SCHEDULES[case]
    trainer = fit("pytorch_lightning", tmp_path, callback(**arguments, on_error="raise"), **options)
    drawn = [record.batches for record in contents(trainer).records]
    assert drawn == expected
    assert len(list((Path(trainer.log_dir) / "plugins/lightning_viz/blobs").glob("*.npy"))) == len(expected)


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"max_epochs": 2}, [0, 1, 2]),
        ({"max_steps": 9, "max_epochs": -1}, [0, 1, 1.5]),
        ({"max_epochs": 1, "limit_train_batches": 3}, [0, 1]),
    ],
)
def test_the_epoch_is_the_number_of_finished_ones(options: dict[str, Any], epochs: list[float], tmp_path: Path) -> None:
    from lightning_viz import FilterImages

    trainer = fit("pytorch_lightning", tmp_path, FilterImages(on_error="raise"), **options)
    assert [record.epoch for record in contents(trainer).records] == epochs


def test_a_draw_in_the_middle_of_an_epoch_carries_its_fraction(callback: type[VizCallback], tmp_path: Path) -> None:
    trainer = fit("pytorch_lightning", tmp_path, callback(every_n_train_steps=3, on_error="raise"))
    assert [record.epoch for record in contents(trainer).records] == [0, 0.5, 1, 1.5, 2]


def test_early_stopping_gets_the_last_state(package: str, callback: type[VizCallback], tmp_path: Path) -> None:
    stopping = import_module(f"{package}.callbacks").EarlyStopping("val_loss", mode="max", patience=1, min_delta=9)
    trainer = fit(package, tmp_path, [callback(every_n_epochs=5, on_error="raise"), stopping], max_epochs=20)
    assert trainer.current_epoch < 5
    assert [record.batches for record in contents(trainer).records] == [0, 6 * trainer.current_epoch]


def _interrupted_and_resumed(package: str, callback: VizCallback, folder: Path, step: int, **checkpoint: Any) -> Any:
    callbacks, loggers = import_module(f"{package}.callbacks"), import_module(f"{package}.loggers")
    saving = callbacks.ModelCheckpoint(dirpath=folder / "checkpoints", save_top_k=-1, **checkpoint)
    options = {
        "enable_checkpointing": True,
        "logger": loggers.TensorBoardLogger(folder, version="run"),
        "max_epochs": 3,
    }
    fit(package, folder, [callback, saving], **options, max_steps=8)
    (saved,) = (folder / "checkpoints").glob(f"*step={step}.ckpt")
    options["logger"] = loggers.TensorBoardLogger(folder, version="run")
    return fit(package, folder, callback, ckpt_path=str(saved), **options)


@pytest.mark.parametrize("schedule", [{}, {"every_n_train_steps": 3}, {"every_n_epochs": 2}])
@pytest.mark.parametrize(
    ("step", "checkpoint"),
    [
        (6, {"every_n_epochs": 1}),
        (4, {"every_n_train_steps": 4}),
        (7, {"every_n_train_steps": 7}),
        (8, {"every_n_train_steps": 4}),
    ],
    ids=["epoch's end", "middle", "after one batch", "where it was interrupted"],
)
def test_a_resumed_run_goes_on_with_the_same_schedule(
    callback: type[VizCallback], schedule: dict[str, int], step: int, checkpoint: dict[str, int], tmp_path: Path
) -> None:
    resumed = _interrupted_and_resumed(
        "pytorch_lightning", callback(**schedule, on_error="raise"), tmp_path, step, **checkpoint
    )
    straight = fit("pytorch_lightning", tmp_path / "straight", callback(**schedule, on_error="raise"), max_epochs=3)
    # The interrupted run also drew its own last state, after 8 batches.
    moments = {(record.batches, record.epoch, record.step) for record in contents(resumed).records}
    assert moments - {(8, 8 / 6, 7)} == {(r.batches, r.epoch, r.step) for r in contents(straight).records} - {
        (8, 8 / 6, 7)
    }
    assert not contents(resumed).skipped


def _echo(package: str) -> Any:
    class Echo(import_module(package).Callback):
        """Logs the number of finished batches as a scalar in the hooks in which callbacks draw."""

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            pl_module.log("echo/step", float(trainer.fit_loop.epoch_loop.batch_progress.total.processed), on_step=True)

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            pl_module.log("echo/epoch", float(trainer.fit_loop.epoch_loop.batch_progress.total.processed))

    return Echo()


def _events(folder: str) -> EventAccumulator:
    events = EventAccumulator(folder, {"scalars": 0, "images": 0})
    events.Reload()
    return events


X_AXIS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "epochs": ({}, {}, "echo/epoch"),
    "steps": ({"every_n_train_steps": 2}, {}, "echo/step"),
    "epochs, accumulating": ({}, {"accumulate_grad_batches": 4}, "echo/epoch"),
    "steps, accumulating": ({"every_n_train_steps": 1}, {"accumulate_grad_batches": 4}, "echo/step"),
    "epochs, two optimizers": ({}, {"make_module": manual_class}, "echo/epoch"),
    "steps, two optimizers": ({"every_n_train_steps": 3}, {"make_module": manual_class}, "echo/step"),
}


@pytest.mark.parametrize("case", X_AXIS)
def test_pictures_stand_at_the_x_of_scalars_of_the_same_hook(
    package: str, callback: type[VizCallback], case: str, tmp_path: Path
) -> None:
    arguments, options, tag = X_AXIS[case]
    trainer = fit(package, tmp_path, [callback(**arguments, on_error="raise"), _echo(package)], max_epochs=3, **options)
    _compare_x(trainer, tag)


def test_pictures_stand_at_the_x_of_scalars_after_a_resume(callback: type[VizCallback], tmp_path: Path) -> None:
    with_echo = callback(on_error="raise")
    trainer = _interrupted_and_resumed("pytorch_lightning", with_echo, tmp_path, 4, every_n_train_steps=4)
    trainer = make_trainer(
        "pytorch_lightning", tmp_path, [with_echo, _echo("pytorch_lightning")], logger=trainer.logger, max_epochs=5
    )
    seed(0)
    (saved,) = (tmp_path / "checkpoints").glob("*step=4.ckpt")
    trainer.fit(module_class("pytorch_lightning")(), **loaders(), ckpt_path=str(saved))
    _compare_x(trainer, "echo/epoch")


def _compare_x(trainer: Any, tag: str) -> None:
    events = _events(trainer.log_dir)
    x_of_batches = {int(event.value): event.step for event in events.Scalars(tag)}
    records = [record for record in contents(trainer).records if record.batches in x_of_batches]
    assert len(records) >= 3
    assert [record.step for record in records] == [x_of_batches[record.batches] for record in records]
    for record in records:
        assert record.step in [event.step for event in events.Images(f"lightning_viz/{record.method}/{record.layer}")]


class Stream(IterableDataset[tuple[torch.Tensor, int]]):
    """Nobody knows its length; the first time it is empty."""

    def __init__(self, empty_first: bool) -> None:
        self.data, self.empty = CleanImages(), empty_first

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        empty, self.empty = self.empty, False
        return iter([] if empty else [self.data[index] for index in range(24)])


@pytest.mark.parametrize(
    ("empty_first", "epochs"), [(False, [0, 3 / 4, 6 / 7, 1.5, 2]), (True, [1, 1 + 3 / 4, 1 + 6 / 7])]
)
def test_a_stream_of_unknown_length_is_drawn_too(empty_first: bool, epochs: list[float], tmp_path: Path) -> None:
    from lightning_viz import FilterImages

    trainer = make_trainer("pytorch_lightning", tmp_path, FilterImages(every_n_train_steps=3, on_error="raise"))
    trainer.fit(module_class("pytorch_lightning")(), DataLoader(Stream(empty_first), batch_size=4))
    assert [record.epoch for record in contents(trainer).records] == pytest.approx(epochs)


def test_an_epoch_that_another_callback_prolongs_is_whole(tmp_path: Path) -> None:
    from lightning_viz import FilterImages

    averaging = import_module("pytorch_lightning.callbacks").StochasticWeightAveraging(swa_lrs=0.01)
    trainer = fit("pytorch_lightning", tmp_path, [FilterImages(on_error="raise"), averaging], max_epochs=4)
    # Averaging adds an epoch of its own, which does not train.
    assert [record.epoch for record in contents(trainer).records] == [0, 1, 2, 3, 4, 5]


def test_a_callback_that_came_late_or_forgot_super_draws_all_the_same(tmp_path: Path) -> None:
    from lightning_viz import FilterImages

    class Forgets(FilterImages):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            pass

    trainer = fit("pytorch_lightning", tmp_path, Forgets(on_error="raise"))
    assert [record.batches for record in contents(trainer).records] == [0, 6, 12]
