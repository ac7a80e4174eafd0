"""G5, G6: drawn when it was promised, at the x of the loss, also after a resume."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from contract.harness import (
    Draws,
    check_drawn,
    contents,
    fit,
    give_data,
    image_tags,
    loaders,
    make_trainer,
    manual_class,
    module_class,
    pictures,
    store_of,
)
from helpers.data import CleanImages, seed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset

from lightning_viz import Context, Drawing, VizCallback
from lightning_viz.store import Record

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
def test_they_draw_exactly_when_promised(every: list[type[VizCallback]], case: str, tmp_path: Path) -> None:
    arguments, options, expected = SCHEDULES[case]
    watching = [give_data(callback, **arguments, on_error="raise") for callback in every]
    trainer = fit("pytorch_lightning", tmp_path, watching, **options)
    check_drawn(contents(trainer).records, expected, every)
    _check_drawn_once(trainer)


@pytest.mark.parametrize("case", ["by steps", "every second epoch, and the last"])
def test_it_draws_exactly_when_promised(callback: type[VizCallback], case: str, tmp_path: Path) -> None:
    arguments, options, expected = SCHEDULES[case]
    trainer = fit("pytorch_lightning", tmp_path, callback(**arguments, on_error="raise"), **options)
    check_drawn(contents(trainer).records, expected, [callback])
    _check_drawn_once(trainer)


def _check_drawn_once(trainer: Any) -> None:
    """A second record of equal identity hides the first, whose files stay."""
    kept = {item.file for record in contents(trainer).records for item in record.items}
    assert {str(path.relative_to(store_of(trainer))) for path in store_of(trainer).glob("blobs/*")} == kept


def test_sabotage_a_moment_that_one_of_many_missed_or_drew_twice_is_found(
    every: list[type[VizCallback]], tmp_path: Path
) -> None:
    class Misses(Draws):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            pass

    class Twice(Draws):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_epoch_end(trainer, pl_module)
            super().on_train_epoch_end(trainer, pl_module)

        def draw(self, context: Context) -> Iterator[Drawing]:
            yield Drawing("net.0", values={"numbers": torch.zeros(2)})

    watching = [callback(on_error="raise") for callback in every]
    odd = [Misses(id, on_error="raise"), Twice(id, on_error="raise")]
    trainer = fit("pytorch_lightning", tmp_path, [*watching, *odd])
    with pytest.raises(AssertionError, match="'misses'.*0, 12"):
        check_drawn(contents(trainer).records, [0, 6, 12], [*every, Misses, Twice])
    with pytest.raises(AssertionError, match="twice"):
        _check_drawn_once(trainer)


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


def test_a_draw_in_the_middle_of_an_epoch_carries_its_fraction(every: list[type[VizCallback]], tmp_path: Path) -> None:
    watching = [callback(every_n_train_steps=3, on_error="raise") for callback in every]
    trainer = fit("pytorch_lightning", tmp_path, watching)
    check_drawn(contents(trainer).records, [0, 0.5, 1, 1.5, 2], every, "epoch")


def test_early_stopping_gets_the_last_state(package: str, every: list[type[VizCallback]], tmp_path: Path) -> None:
    stopping = import_module(f"{package}.callbacks").EarlyStopping("val_loss", mode="max", patience=1, min_delta=9)
    watching = [callback(every_n_epochs=5, on_error="raise") for callback in every]
    trainer = fit(package, tmp_path, [*watching, stopping], max_epochs=20)
    assert trainer.current_epoch < 5
    check_drawn(contents(trainer).records, [0, 6 * trainer.current_epoch], every)


def _interrupted_and_resumed(
    package: str,
    watching: list[VizCallback],
    folder: Path,
    step: int,
    make_module: Callable[[str], type] = module_class,
    **checkpoint: Any,
) -> Any:
    callbacks, loggers = import_module(f"{package}.callbacks"), import_module(f"{package}.loggers")
    saving = callbacks.ModelCheckpoint(dirpath=folder / "checkpoints", save_top_k=-1, **checkpoint)
    options = {
        "enable_checkpointing": True,
        "logger": loggers.TensorBoardLogger(folder, version="run"),
        "max_epochs": 3,
    }
    fit(package, folder, [*watching, saving], make_module, **options, max_steps=8)
    (saved,) = (folder / "checkpoints").glob(f"*step={step}.ckpt")
    options["logger"] = loggers.TensorBoardLogger(folder, version="run")
    return fit(package, folder, watching, make_module, ckpt_path=str(saved), **options)


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
    every: list[type[VizCallback]], schedule: dict[str, int], step: int, checkpoint: dict[str, int], tmp_path: Path
) -> None:
    watching = [callback(**schedule, on_error="raise") for callback in every]
    resumed = contents(_interrupted_and_resumed("pytorch_lightning", watching, tmp_path, step, **checkpoint))
    straight = contents(fit("pytorch_lightning", tmp_path / "straight", watching, max_epochs=3))
    # The interrupted run also drew its own last state, after 8 batches.
    assert _moments(resumed.records) == _moments(straight.records)
    assert {record.method for record in straight.records} == {callback.method for callback in every}
    assert not resumed.skipped


def _moments(records: list[Record]) -> set[tuple[str, str, int, float, int]]:
    return {(r.method, r.layer, r.batches, r.epoch, r.step) for r in records if (r.batches, r.step) != (8, 7)}


def steady_class(package: str) -> type:
    """Trains the same whatever the random streams say, so that a resumed run is the one that never stopped."""

    class Steady(module_class(package)):
        def __init__(self) -> None:
            super().__init__()
            self.net[6].p = 0.0

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            data = CleanImages()
            images, labels = zip(*[data[(4 * batch_idx + number) % 24] for number in range(4)], strict=True)
            return cross_entropy(self(torch.stack(images)), torch.tensor(labels))

    return Steady


def test_a_resumed_run_goes_on_with_its_probe_and_draws_the_same_pictures(
    every: list[type[VizCallback]], tmp_path: Path
) -> None:
    watching = [callback(on_error="raise") for callback in every]
    resumed = _interrupted_and_resumed("pytorch_lightning", watching, tmp_path, 6, steady_class, every_n_epochs=1)
    straight = fit("pytorch_lightning", tmp_path / "straight", watching, steady_class, max_epochs=3)
    expected = pictures(straight)
    drawn = {identity: png for identity, png in pictures(resumed).items() if identity[2] != 8}
    assert {identity for identity in expected if drawn.get(identity) != expected[identity]} == set()
    assert len(drawn) == len(expected)
    hashes = {record.probe for record in contents(resumed).records} - {None}
    assert hashes == {record.probe for record in contents(straight).records} - {None}
    (key,) = hashes
    names = {path.name for path in (store_of(resumed) / "probes").iterdir()}
    (points,) = {record.meta["points"]["hash"] for record in contents(resumed).records if "points" in record.meta}
    assert names == {f"captured-{key}.npz", *(f"{key}-{number}.png" for number in range(4)), f"{points}-0.png"}


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
    package: str, every: list[type[VizCallback]], case: str, tmp_path: Path
) -> None:
    arguments, options, tag = X_AXIS[case]
    watching = [callback(**arguments, on_error="raise") for callback in every]
    trainer = fit(package, tmp_path, [*watching, _echo(package)], max_epochs=3, **options)
    _compare_x(trainer, tag, every)


def test_pictures_stand_at_the_x_of_scalars_after_a_resume(every: list[type[VizCallback]], tmp_path: Path) -> None:
    watching = [callback(on_error="raise") for callback in every]
    trainer = _interrupted_and_resumed("pytorch_lightning", watching, tmp_path, 4, every_n_train_steps=4)
    trainer = make_trainer(
        "pytorch_lightning", tmp_path, [*watching, _echo("pytorch_lightning")], logger=trainer.logger, max_epochs=5
    )
    seed(0)
    (saved,) = (tmp_path / "checkpoints").glob("*step=4.ckpt")
    trainer.fit(module_class("pytorch_lightning")(), **loaders(), ckpt_path=str(saved))
    _compare_x(trainer, "echo/epoch", every)


def _compare_x(trainer: Any, tag: str, callbacks: list[type[VizCallback]]) -> None:
    events = _events(trainer.log_dir)
    x_of_batches = {int(event.value): event.step for event in events.Scalars(tag)}
    records = [record for record in contents(trainer).records if record.batches in x_of_batches]
    for callback in callbacks:
        assert len({record.batches for record in records if record.method == callback.method}) >= 3, callback
    for record in records:
        assert (record.identity, record.step) == (record.identity, x_of_batches[record.batches])
        for name in image_tags(record):
            assert record.step in [event.step for event in events.Images(name)]


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


def test_an_epoch_of_a_stream_that_is_cut_short_is_no_whole_one(tmp_path: Path) -> None:
    from lightning_viz import FilterImages

    options = {"max_steps": 9, "max_epochs": -1}
    trainer = make_trainer("pytorch_lightning", tmp_path, FilterImages(on_error="raise"), **options)
    trainer.fit(module_class("pytorch_lightning")(), DataLoader(Stream(empty_first=False), batch_size=4))
    assert [record.epoch for record in contents(trainer).records] == [0, 1, 1.5]


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
