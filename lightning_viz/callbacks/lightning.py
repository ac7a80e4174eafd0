"""One ``Callback`` class for both Lightning packages, and what a Trainer's loops know about the moment.

``pytorch_lightning`` and ``lightning.pytorch`` are two copies of one source without a common base class. A class that
inherits from the callbacks of both is accepted everywhere: bare, in a list, and by LightningCLI.
"""

import math
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:
    packages = [name for name in ("pytorch_lightning", "lightning") if find_spec(name)]
    if not packages:
        raise ImportError(
            "The callbacks of lightning_viz need PyTorch Lightning: pip install pytorch-lightning (or: lightning)."
        )
    modules = ["lightning.pytorch" if name == "lightning" else name for name in packages]
    Callback = type("Callback", tuple(import_module(name).Callback for name in modules), {})

__all__ = ["Callback", "Moment", "moment_of"]

Trainer = Any


class Moment(NamedTuple):
    """Where training stands. See ``store.schema.Record`` for what each number means."""

    batches: int
    epoch: float
    step: int


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
    length = trainer.num_training_batches
    if epoch_ended:
        # An epoch can end early (max_steps): then it is not whole.
        return float(finished if math.isinf(length) or done >= length else finished - 1 + done / length)
    if math.isinf(length):
        # A stream does not say how long it is: take the epochs before, and in the first one something that grows.
        length = (progress.total.processed - done) / finished if finished else done + 1
    return float(finished + min(1.0, done / length))
