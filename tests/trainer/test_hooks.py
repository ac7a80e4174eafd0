"""What the hooks tell a drawing of the moment: whether training ends here."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.harness import PACKAGES, contents, fit
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from lightning_viz import Context, Drawing, VizCallback
from lightning_viz.trainer.lightning import ends_here


class Last(VizCallback):
    """Notes down after which batches it drew, and whether it was told that training ends there."""

    uses_probe = False

    def draw(self, context: Context) -> Iterator[Drawing]:
        self.told = [*getattr(self, "told", []), (context.moment.batches, context.is_last)]
        yield Drawing("net.0", scalars={"one": 1.0})


class Asks(Callback):
    """Asks at the end of each epoch; what is right shows when another epoch begins, or none."""

    def __init__(self) -> None:
        self.answers: list[bool] = []
        self.begun = 0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.begun += 1

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        before, epoch = deepcopy(trainer.fit_loop.state_dict()), trainer.current_epoch
        self.answers.append(ends_here(trainer, epoch_ended=True))
        assert (trainer.fit_loop.state_dict(), trainer.current_epoch) == (before, epoch)


class Stops(Callback):
    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == self.batches:
            trainer.should_stop = True


ENDS: dict[str, tuple[dict[str, Any], int | None, int]] = {
    "epochs": ({"max_epochs": 3}, None, 3),
    "steps": ({"max_epochs": None, "max_steps": 12}, None, 2),
    "steps in an epoch": ({"max_epochs": -1, "max_steps": 8}, None, 2),
    "steps of several batches": ({"max_epochs": -1, "max_steps": 4, "accumulate_grad_batches": 3}, None, 2),
    "steps before epochs": ({"max_epochs": 3, "max_steps": 6}, None, 1),
    "stopped in an epoch": ({"max_epochs": 5}, 8, 2),
    "stopped at the end of one": ({"max_epochs": -1}, 12, 2),
    "stopped before enough epochs": ({"max_epochs": 5, "min_epochs": 3}, 2, 3),
    "stopped before enough steps": ({"max_epochs": 5, "min_steps": 15}, 2, 3),
}
"""What the Trainer is told, after which batch it is stopped, and how many epochs it begins."""


@pytest.mark.parametrize("case", ENDS)
def test_that_training_ends_is_known_at_the_end_of_its_last_epoch_and_no_earlier(case: str, tmp_path: Path) -> None:
    options, stop, epochs = ENDS[case]
    asks = Asks()
    fit("pytorch_lightning", tmp_path, [asks, *([Stops(stop)] if stop else [])], **options)
    assert asks.begun == epochs
    assert asks.answers == [False] * (epochs - 1) + [True]


def test_a_resumed_run_counts_the_epochs_before(tmp_path: Path) -> None:
    asks, saving = Asks(), ModelCheckpoint(tmp_path, save_last=True)
    fit("pytorch_lightning", tmp_path, saving, enable_checkpointing=True)
    fit("pytorch_lightning", tmp_path, asks, ckpt_path=str(tmp_path / "last.ckpt"), max_epochs=4)
    assert asks.answers[-2:] == [False, True]


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({}, [(0, False), (6, False), (12, True)]),
        ({"epochs": [2]}, [(0, False), (12, True)]),
        ({"every_n_epochs": 5}, [(0, False), (12, True)]),
        ({"every_n_train_steps": 5}, [(0, False), (5, False), (10, False), (12, True)]),
        ({"every_n_train_steps": 6}, [(0, False), (6, False), (12, True)]),
    ],
)
def test_the_last_drawing_is_told_that_it_is_the_last(
    package: str, schedule: dict[str, Any], told: list[tuple[int, bool]], tmp_path: Path
) -> None:
    last = Last(on_error="raise", **schedule)
    fit(package, tmp_path, last)
    assert last.told == told


@pytest.mark.parametrize(("decided_before", "known"), [(True, True), (False, False)])
def test_of_early_stopping_is_known_what_was_decided_before(decided_before: bool, known: bool, tmp_path: Path) -> None:
    when = {"check_on_train_epoch_end": not decided_before}  # else behind validation, which comes before that hook
    stopping = EarlyStopping("val_loss", mode="max", patience=1, min_delta=9, **when)
    last = Last(on_error="raise")
    fit("pytorch_lightning", tmp_path, [last, stopping], max_epochs=9)
    assert last.told == [(0, False), (6, False), (12, known)]


def test_without_a_trainer_nothing_is_known_of_an_end() -> None:
    last = Last()
    last.drawings(nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert last.told == [(0, False)]


class Shows(VizCallback):
    uses_probe = False

    def draw(self, context: Context) -> Iterator[Drawing]:
        yield Drawing("net.0", pictures=[np.zeros((4, 5, 3), np.uint8)], scalars={"one": 1.0})


@pytest.mark.parametrize(
    ("mirror", "images", "scalars"), [("both", 1, 1), ("pictures", 1, 0), ("scalars", 0, 1), ("none", 0, 0)]
)
def test_loggers_get_what_is_mirrored_and_the_store_all(mirror: Any, images: int, scalars: int, tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="run", version="")
    trainer = fit("pytorch_lightning", tmp_path, Shows(mirror=mirror, on_error="raise"), logger=logger)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    found = {kind: [tag for tag in events.Tags()[kind] if tag.startswith("viz/")] for kind in ("images", "scalars")}
    assert found == {"images": ["viz/shows/net.0"] * images, "scalars": ["viz/shows/net.0/one"] * scalars}
    assert sorted([*events.Tags()["scalars"], "viz/"])[-1 - scalars] == "viz/"  # behind those of the user
    assert [len(record.items) for record in contents(trainer).records] == [1, 1, 1]


def test_another_word_for_what_is_mirrored_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Shows\(mirror='all'\): choices are 'both', 'pictures', 'scalars', 'none'"):
        Shows(mirror="all")  # type: ignore[arg-type]
