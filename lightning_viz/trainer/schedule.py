"""When a callback draws."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LOG_SPACED", "Schedule", "is_whole"]

LOG_SPACED = (0, 1, 2, 5, 10, 20, 30, 40, 64, 100, 150, 200, 300, 400, 600, 800, 1000)
"""The epochs of Zeiler & Fergus, Fig. 4, and on."""


@dataclass(frozen=True)
class Schedule:
    """At most one of the three; none means every epoch. Needs no memory, so a resumed run goes on by itself.

    Attributes:
        who: The callback, for the error message.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when Lightning's ``global_step`` (optimizer steps; with several optimizers it counts
            each) crosses a multiple.
        epochs: Draw at these numbers of finished epochs.
    """

    who: str
    every_n_epochs: int | None = None
    every_n_train_steps: int | None = None
    epochs: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            ValueError: More than one of them, a number below 1, or an epoch below 0.
        """
        given = [
            name for name in ("every_n_epochs", "every_n_train_steps", "epochs") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{self.who}: {' and '.join(given)} exclude each other; give one.")
        for name in ("every_n_epochs", "every_n_train_steps"):
            value = getattr(self, name)
            if value is not None and not is_whole(value, 1):
                raise ValueError(f"{self.who}({name}={value!r}): must be a whole number of 1 or more.")
        if self.epochs is not None and not (
            isinstance(self.epochs, Sequence) and all(is_whole(epoch, 0) for epoch in self.epochs)
        ):
            raise ValueError(f"{self.who}(epochs={self.epochs!r}): must be a list of whole numbers of 0 or more.")

    def at_epoch_end(self, finished: int) -> bool:
        """Whether to draw after this number of finished epochs."""
        if self.every_n_train_steps is not None:
            return False
        return finished in self.epochs if self.epochs is not None else finished % (self.every_n_epochs or 1) == 0

    def at_step(self, before: int, after: int) -> bool:
        """Whether to draw after a batch that moved ``global_step`` from one number to another."""
        every = self.every_n_train_steps
        return every is not None and after // every > before // every


def is_whole(value: object, least: int) -> bool:
    """Whether something is a whole number, and not a small one."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
