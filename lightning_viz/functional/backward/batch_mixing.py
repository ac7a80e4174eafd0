"""Networks that mix the images of a batch, as a BatchNorm without running statistics does."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["first_alone", "is_close"]


def first_alone(run: Callable[[Tensor], Tensor], images: Tensor) -> Tensor | None:
    """Give what comes out for the first image in a batch of its own; None where there is no other to mix it with.

    If it differs from its row of the whole batch, images are mixed, and the derivative of a sum over them is not that
    of each.
    """
    if len(images) == 1:
        return None
    pair = images[:1].detach().expand(2, -1, -1, -1).clone()  # one image would be refused by some normalisations
    with torch.no_grad():
        return run(pair)[0]


def is_close(one: Tensor, other: Tensor) -> bool:
    """Whether two rows of numbers are the same but for rounding."""
    one, other = one.detach().float(), other.detach().float()
    return bool(
        torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().nan_to_num(0, 0, 0).max()), equal_nan=True)
    )
