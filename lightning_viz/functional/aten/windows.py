"""Windows that slide over maps: what a box of the output sees of the input, and what a box of the input reaches."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from lightning_viz.functional.aten.boxes import Box, Side
from lightning_viz.introspection.trace import Step, Value

__all__ = ["NotFollowedError", "Slide", "Window", "averages_evenly", "seen_box", "window_of"]


class NotFollowedError(Exception):
    """An operation lies on the way that can't be followed; the message names it."""


class Slide(NamedTuple):
    """How a window slides along one axis; what is asked of it may be a number or an array."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def extent(self) -> int:
        """How many inputs lie between the first and the last that one output sees, these included."""
        return self.dilation * (self.kernel - 1) + 1

    def sees(self, start: Any, size: int) -> tuple[Any, int]:
        """Give start and size of what ``size`` outputs from ``start`` on see of the input, padding included."""
        return start * self.stride - self.padding, (size - 1) * self.stride + self.extent

    def reaches(self, first: Any, last: Any) -> tuple[Any, Any]:
        """Give the outputs (half-open) that see any of the inputs ``first..last``."""
        return (
            -((self.extent - 1 - first - self.padding) // self.stride),
            (last - 1 + self.padding) // self.stride + 1,
        )


class Window(NamedTuple):
    """What slides over maps."""

    rows: Slide
    columns: Slide


def window_of(step: Step) -> Window | None:
    """Read the window of a convolution with filters of the model's own, or of a pooling; None of anything else."""
    given = step.arguments
    if step.operation == "convolution":
        weight, source = given["weight"], given["input"]
        if given["transposed"] or not isinstance(weight, Tensor) or weight.ndim != 4:
            return None
        kernel: Sequence[int] = weight.shape[2:]
    elif step.operation in ("max_pool2d_with_indices", "avg_pool2d"):
        kernel, source = given["kernel_size"], given["self"]
    else:
        return None
    if not isinstance(source, Value) or step.inputs != [source.number]:
        return None
    sizes = kernel, given["stride"] or kernel, given["padding"] or [0], given.get("dilation") or [1]
    return Window(*(Slide(*(size[axis] for size in sizes)) for axis in (0, -1)))


def averages_evenly(given: Mapping[str, Any]) -> bool:
    """Whether all windows of an average pooling divide by the size of the kernel."""
    padded = any(given["padding"]) and not given["count_include_pad"]
    return not (padded or given["ceil_mode"] or given["divisor_override"])


def seen_box(window: Window, box: Box) -> Box:
    """Give the box of the input that a box of the output sees."""
    sides = zip(window, box, strict=True)
    return Box(*(Side(side.stride * slide.stride, *slide.sees(side.start, side.size)) for slide, side in sides))
