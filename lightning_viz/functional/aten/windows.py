"""Windows that slide over a map: which box of their input a box of their output sees."""

from collections.abc import Sequence

from lightning_viz.functional.aten.boxes import Box, Side
from lightning_viz.introspection.trace import Step

__all__ = ["NotFollowedError", "at_axis", "window"]


class NotFollowedError(Exception):
    """An operation lies on the way that can't be followed; the message names it."""


def window(step: Step, box: Box, kernel: Sequence[int]) -> tuple[Box, list[tuple[int, int]]]:
    """Which box a window that slides over a map sees, and its stride and dilation on each side."""
    given, sides, steps = step.arguments, [], []
    for axis, side in enumerate(box):
        stride, padding, dilation = (
            at_axis(given[name], axis) if given.get(name) else default
            for name, default in (("stride", kernel[axis]), ("padding", 0), ("dilation", 1))
        )
        size = (side.size - 1) * stride + dilation * (kernel[axis] - 1) + 1
        sides.append(Side(side.stride * stride, side.start * stride - padding, size))
        steps.append((stride, dilation))
    return Box(*sides), steps


def at_axis(sizes: Sequence[int], axis: int) -> int:
    """Give the size along an axis of an argument that names one for both, or one for each."""
    return sizes[axis] if len(sizes) > 1 else sizes[0]
