"""Networks that mix the images of a batch, as a BatchNorm without running statistics does."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["mixes_images"]


def mixes_images(run: Callable[[Tensor], Tensor], images: Tensor, together: Tensor) -> bool:
    """Whether what comes out for an image depends on the others: then a sum over them has not the derivatives of each.

    Args:
        run: Takes images to one row for each.
        images: ``(N, C, H, W)``. Left untouched.
        together: What came out for all of them. The first is run alone, and compared but for rounding.
    """
    if len(images) == 1:
        return False
    try:
        with torch.no_grad():
            alone = run(images[:1].detach())[0].float()
    except Exception:  # noqa: BLE001 (some normalisations refuse a single image, and those mix)
        return True
    first = together[0].detach().float()
    largest = float(first.abs().nan_to_num(0, 0, 0).max())
    return not torch.allclose(first, alone, rtol=1e-3, atol=1e-3 * largest, equal_nan=True)
