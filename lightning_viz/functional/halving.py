"""A pass over data with batches as large as the memory allows."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

__all__ = ["run_on_each"]


def run_on_each(batches: Iterable[tuple[Tensor, Tensor]], run: Callable[[Tensor, Tensor], object]) -> None:
    """Run on each batch; where a GPU's memory runs out on the halves of it, and on no larger parts from then on.

    Args:
        batches: Numbers and images.
        run: Takes both. When memory runs out half-way it is called again, on parts of the same.

    Raises:
        torch.cuda.OutOfMemoryError: One image is too large.
    """
    most: int | None = None
    for batch in batches:
        parts = _split(batch, most)
        while parts:
            part = parts.pop(0)
            if not _fits(run, part):
                most = (len(part[0]) + 1) // 2
                parts = [half for one in (part, *parts) for half in _split(one, most)]


def _split(batch: tuple[Tensor, Tensor], most: int | None) -> list[tuple[Tensor, Tensor]]:
    return [batch] if most is None else list(zip(*(torch.split(part, most) for part in batch), strict=True))


def _fits(run: Callable[[Tensor, Tensor], object], batch: tuple[Tensor, Tensor]) -> bool:
    try:
        run(*batch)
    except torch.cuda.OutOfMemoryError:
        if len(batch[0]) == 1:
            raise
        return False
    return True
