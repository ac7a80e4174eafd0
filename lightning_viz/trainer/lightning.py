"""One ``Callback`` class for both Lightning packages, and what a Trainer's loops know about the moment.

``pytorch_lightning`` and ``lightning.pytorch`` are two copies of one source without a common base class. A class that
inherits from the callbacks of both is accepted everywhere: bare, in a list, and by LightningCLI.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:
    bases = []
    for package in ("pytorch_lightning", "lightning.pytorch"):
        with suppress(ModuleNotFoundError):
            bases.append(import_module(package).Callback)
    if not bases:
        raise ImportError(
            "The callbacks of lightning_viz need PyTorch Lightning: pip install pytorch-lightning (or: lightning)."
        )
    Callback = type("Callback", tuple(bases), {})

__all__ = [
    "Callback",
    "Moment",
    "finished_batches",
    "moment_of",
    "resumed_behind_an_epoch",
    "validation_data",
]

Trainer = Any


class Moment(NamedTuple):
    """Where training stands. See ``store.schema.Record`` for what each number means."""

    batches: int = 0
    epoch: float = 0.0
    step: int = 0


def finished_batches(trainer: Trainer) -> int:
    """Count the finished training batches, with those before a resume."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.processed)


def resumed_behind_an_epoch(trainer: Trainer) -> bool:
    """Whether the first batch to come is the first of an epoch, and a checkpoint holds the one before."""
    return trainer.ckpt_path is not None and trainer.fit_loop.epoch_loop.batch_progress.current.processed == 0


def moment_of(trainer: Trainer, *, epoch_ended: bool) -> Moment:
    """Read where training stands.

    Args:
        trainer: During ``fit``.
        epoch_ended: Whether the hook comes after an epoch (``on_train_epoch_end``, ``on_train_end``) rather than at a
            batch. Lightning then logs scalars one step lower than its counter says.
    """
    loop = trainer.fit_loop.epoch_loop
    step = max(0, loop._batches_that_stepped - (1 if epoch_ended else 0))
    return Moment(loop.batch_progress.total.processed, _epoch(trainer, epoch_ended=epoch_ended), step)


def _epoch(trainer: Trainer, *, epoch_ended: bool) -> float:
    progress = trainer.fit_loop.epoch_loop.batch_progress
    finished, done = trainer.fit_loop.epoch_progress.current.processed, progress.current.processed
    cut_short = trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step
    if epoch_ended and not cut_short:
        return float(finished)
    whole = finished - epoch_ended
    length = trainer.num_training_batches
    if math.isinf(length):
        # A stream does not say how long it is: take the epochs before, and in the first one something that grows.
        before = progress.total.processed - done
        length = before / whole if whole and before else done + (not epoch_ended)
    return float(whole + (min(1.0, done / length) if length else 1.0))


def validation_data(trainer: Trainer, who: str) -> Any:
    """Give the data set of the (first) validation loader.

    Raises:
        ValueError: There is none, or none with a length and items.
    """
    loaders = trainer.val_dataloaders
    while isinstance(loaders, Sequence | Mapping) and loaders:
        loaders = next(iter(loaders.values() if isinstance(loaders, Mapping) else loaders))
    data = getattr(loaders, "dataset", None)
    map_style = hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, IterableDataset)
    if data is None or not map_style:
        raise ValueError(
            f"{who}: there is no map-style validation data set, or Lightning has not loaded it yet "
            f"(num_sanity_val_steps=0). Give one: {who}(data=...)."
        )
    return data
