"""One ``Callback`` class for both Lightning packages, and what a Trainer's loops know about the moment.

``pytorch_lightning`` and ``lightning.pytorch`` are two copies of one source without a common base class. A class that
inherits from the callbacks of both is accepted everywhere: bare, in a list, and by LightningCLI.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from torch.utils.data import IterableDataset

from lightning_viz.data.reading import Reader, UnsuitableDataError
from lightning_viz.data.unpacking import BatchFn, Say

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
    "ends_here",
    "finished_batches",
    "moment_of",
    "reader_of",
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


def ends_here(trainer: Trainer, *, epoch_ended: bool) -> bool:
    """Whether training ends with the epoch, or the batch, that has just ended, as far as is known in its hook.

    It asks what ``fit_loop.done`` asks. That one can't be read here: it prints that training has stopped, and counts
    the epoch as completed, so that whoever comes next in this hook finds ``current_epoch`` one too high.

    Args:
        trainer: During ``fit``.
        epoch_ended: Whether the hook is that of an epoch rather than of a batch.
    """
    finished = trainer.fit_loop.epoch_progress.current.processed
    finished += not epoch_ended and trainer.is_last_batch
    may_stop = finished >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    no_epoch_left = _is_reached(trainer.max_epochs, finished)
    return no_epoch_left or _is_reached(trainer.max_steps, trainer.global_step) or (trainer.should_stop and may_stop)


def _is_reached(limit: int | None, count: int) -> bool:
    return limit is not None and 0 <= limit <= count  # -1: no limit


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
    cut_short = trainer.should_stop or _is_reached(trainer.max_steps, trainer.global_step)
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
        UnsuitableDataError: There is none, or none with a length and items, or its loader changes what it reads.
    """
    loader = _first(trainer.val_dataloaders)
    data = getattr(loader, "dataset", None)
    map_style = hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, IterableDataset)
    if data is None or not map_style:
        raise UnsuitableDataError(
            f"{who}: there is no map-style validation data set, or Lightning has not loaded it yet "
            f"(num_sanity_val_steps=0). Give one: {who}(data=...)."
        )
    iterates = next((kind for kind in type(loader).__mro__ if "__iter__" in vars(kind)), object)
    if iterates.__module__.split(".")[0] not in ("torch", "torchdata"):
        raise UnsuitableDataError(
            f"{who}: the validation loader, a {type(loader).__name__}, makes its batches in an __iter__ of its own, "
            "which can't be asked for chosen items. Give a data set of images as the network gets them: "
            f"{who}(data=...)."
        )
    return data


def reader_of(trainer: Trainer, batch_fn: BatchFn | None, say: Say) -> Reader:
    """Read data as validation does: as the first validation loader, or where there is none as the training loader."""
    loader = _first(trainer.val_dataloaders)
    return Reader(
        loader if loader is not None else _first(trainer.train_dataloader), partial(_transfer, trainer), batch_fn, say
    )


def _first(loaders: Any) -> Any:
    while isinstance(loaders, Sequence | Mapping):
        loaders = next(iter(loaders.values() if isinstance(loaders, Mapping) else loaders), None)
    return loaders


def _transfer(trainer: Trainer, batch: Any) -> Any:
    """What the evaluation loop does with a batch before the step. Hooks that augment look at the stage."""
    stage, trainer.validating = trainer.state.stage, True
    try:
        batch = trainer.precision_plugin.convert_input(batch)
        batch = trainer.lightning_module._on_before_batch_transfer(batch, dataloader_idx=0)
        return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
    finally:
        trainer.state.stage = stage
