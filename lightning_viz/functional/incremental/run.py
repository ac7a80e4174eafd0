"""A forward pass of many variants of one image that differ from it in a small square, computed only where they differ.

The values of the image itself are kept. For each variant only the box of each value is recomputed that the square can
reach, many variants at once; from where the box covers most of a map the whole map is computed. The idea is that of
Krypton (Nakandala et al., SIGMOD 2019).
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_viz.functional.incremental.ops import recompute
from lightning_viz.functional.incremental.plan import Plan
from lightning_viz.functional.incremental.regions import Region, Span, channels_last

__all__ = ["Square", "run"]


class Square(NamedTuple):
    """What is put into an image where, for each of B variants."""

    content: Tensor
    """``(B, C, h, w)``"""
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]


@torch.no_grad()
def run(plan: Plan, square: Square, sizes: list[int] | None = None) -> dict[int, Region]:
    """Compute the wanted values of all variants.

    Args:
        plan: Of the image.
        square: What is put where.
        sizes: Gets the bytes of each value that is computed.

    Returns:
        Value to its region; a value that does not change is missing.
    """
    rows, columns = (
        Span(starts, starts + size, starts, size)
        for starts, size in zip((square.tops, square.lefts), square.content.shape[2:], strict=True)
    )
    regions = {0: Region(channels_last(square.content), rows, columns)}
    count = len(square.tops)
    for number, step in enumerate(plan.steps):
        inputs = [value for value in step.inputs if value in regions]
        if inputs:
            output = step.outputs[0]
            if output in plan.skipped:
                regions[output] = regions[inputs[0]]
            else:
                done = recompute(plan, step, regions, count)
                regions |= done
                if sizes is not None:
                    sizes += [region.tensor.nbytes for region in done.values()]
        for value in set(step.inputs):
            if plan.last_use.get(value) == number:
                regions.pop(value, None)
    return {value: region for value, region in regions.items() if value in plan.wanted}
