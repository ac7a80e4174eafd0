"""The backward pass through each operation, for what arrives in a box of its output."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad, pixel_shuffle

from lightning_viz.functional.aten.batch_norm import affine, by_batch, fold
from lightning_viz.functional.aten.boxes import Box, Pairs, crop_boxes, empty_boxes
from lightning_viz.functional.aten.operations import RECTIFIERS, kind_of
from lightning_viz.functional.aten.windows import NotFollowedError, Window, averages_evenly, seen_box, window_of
from lightning_viz.functional.backward.rules import Rule
from lightning_viz.introspection.trace import Step, Value

__all__ = ["BackwardStep", "Context", "backward_of", "keep_for"]

Signal = Tensor
"""``(P, C, rows, columns)``: what arrives in the box of a value, for each pair."""


class BackwardStep(NamedTuple):
    """From an operation's output to one of its inputs: in which box the signal arrives, and how."""

    value: int
    box: Box
    apply: Callable[[Signal, Pairs], Signal]


class Context(NamedTuple):
    """What all operations need to know."""

    shapes: Mapping[int, torch.Size]
    """Of each value."""
    rule: Rule
    """What passes through rectifiers."""
    norms: Mapping[int, Step]
    """Output of a convolution to the normalisation that is folded into it."""


def keep_for(rule: Rule) -> Callable[[str, Mapping[str, Any], Sequence[Tensor]], Any]:
    """Say what of a forward pass the backward pass needs: the places of maxima, and what was positive."""

    def keep(operation: str, arguments: Mapping[str, Any], outputs: Sequence[Tensor]) -> Any:
        if operation == "max_pool2d_with_indices":
            return outputs[1]
        if operation in RECTIFIERS and rule != "deconvnet":
            upper = arguments.get(RECTIFIERS[operation].upper or "")
            passed = outputs[0] > 0 if upper is None else (outputs[0] > 0) & (outputs[0] < float(upper))
            return passed.contiguous(memory_format=torch.channels_last) if passed.ndim == 4 else passed
        return None

    return keep


def backward_of(step: Step, output: int, box: Box, context: Context) -> list[BackwardStep]:
    """Say what goes from the output of an operation to its inputs.

    Args:
        step: The operation.
        output: Which of its outputs.
        box: Where in the output something arrived.
        context: Shapes, rule and folded normalisations.

    Raises:
        NotFollowedError: There is no way back here through this operation.
    """
    if output != step.outputs[0] or len(context.shapes[output]) != 4:
        raise NotFollowedError(f"{step.operation} with several outputs, or one that is no stack of maps")
    kind = kind_of(step.operation)
    if kind not in _BACKWARD:
        raise NotFollowedError(step.operation)
    return _BACKWARD[kind](step, box, context)


def _value(argument: Any, name: str) -> int:
    if not isinstance(argument, Value):
        raise NotFollowedError(f"{name} of something else than the layer's maps")
    return argument.number


def _unchanged(signal: Signal, pairs: Pairs) -> Signal:
    return signal


def _times(factor: float | Tensor) -> Callable[[Signal, Pairs], Signal]:
    if not isinstance(factor, Tensor) and factor == 1:
        return _unchanged
    return lambda signal, pairs: signal * factor


def _identity(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    return [BackwardStep(_value(step.arguments["self"], step.operation), box, _unchanged)]


def _rectifier(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    if any(step.arguments[name] != 0 for name in RECTIFIERS[step.operation].lower):
        raise NotFollowedError(f"{step.operation} that does not begin at zero")
    rule = context.rule

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        if rule != "gradient":
            signal = signal.clamp(min=0)
        return signal if rule == "deconvnet" else signal * crop_boxes(step.kept, box, pairs)

    return [BackwardStep(_value(step.arguments["self"], step.operation), box, apply)]


def _normalisation(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    given, source = step.arguments, _value(step.arguments["input"], step.operation)
    if by_batch(given):
        raise NotFollowedError("normalisation by the batch's own statistics")
    if source in context.norms:
        return [BackwardStep(source, box, _unchanged)]
    return [BackwardStep(source, box, _times(affine(given)[0].detach().reshape(1, -1, 1, 1)))]


def _convolution(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    window, groups = window_of(step), step.arguments["groups"]
    if window is None:
        raise NotFollowedError("a transposed convolution, or weights that depend on the images")
    filters = fold(step, context.norms.get(step.outputs[0]))[0].detach()
    filters = filters.contiguous(memory_format=torch.channels_last)
    _, stride, _, dilation = zip(*window, strict=True)
    if groups == 1 and dilation == (1, 1) and stride[0] == stride[1] > 1 and filters.shape[1] <= FEW_CHANNELS:
        apply = _small_strided(filters, stride[0])
    else:

        def apply(signal: Signal, pairs: Pairs) -> Signal:
            down: Tensor = conv_transpose2d(signal, filters, stride=stride, dilation=dilation, groups=groups)
            return down

    return [BackwardStep(step.inputs[0], seen_box(window, box), apply)]


def _small_strided(filters: Tensor, stride: int) -> Callable[[Signal, Pairs], Signal]:
    """Compute a transposed convolution with few channels as a dense one: three times faster.

    A channel of it per place between two strides, then woven together (Shi et al. 2016, sub-pixel convolution).
    """
    units, channels, height, width = filters.shape
    tall, wide = -(-height // stride), -(-width // stride)
    filled = pad(filters, (0, wide * stride - width, 0, tall * stride - height))
    parts = filled.reshape(units, channels, tall, stride, wide, stride).permute(1, 3, 5, 0, 2, 4).flip(4, 5)
    dense = parts.reshape(-1, units, tall, wide).contiguous(memory_format=torch.channels_last)

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        woven = pixel_shuffle(conv2d(signal, dense, padding=(tall - 1, wide - 1)), stride)
        rows, columns = ((signal.shape[axis] - 1) * stride + size for axis, size in ((2, height), (3, width)))
        return woven[:, :, :rows, :columns]

    return apply


def _pool_window(step: Step) -> Window:
    window = window_of(step)
    if window is None:
        raise NotFollowedError(f"{step.operation} of something else than the layer's maps")
    return window


def _max_pool(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    window, source = _pool_window(step), step.inputs[0]
    arrives, switches = seen_box(window, box), _switches(step.kept, context.shapes[source][3], window)
    kernel, stride, _, dilation = zip(*window, strict=True)
    width = arrives.columns.size

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        device = signal.device
        in_window = [
            row * dilation[0] * width + column * dilation[1] for row in range(kernel[0]) for column in range(kernel[1])
        ]
        rows, columns = (
            torch.arange(size, device=device) * step for size, step in zip(signal.shape[2:], stride, strict=True)
        )
        starts = rows[:, None] * width + columns
        indices = torch.tensor(in_window, device=device)[crop_boxes(switches, box, pairs).long()] + starts
        # Where windows overlap it adds up.
        down: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            signal, empty_boxes(signal, len(signal), arrives), kernel, stride, [0, 0], dilation, False, indices
        )
        return down

    return [BackwardStep(source, arrives, apply)]


def _switches(indices: Tensor, width: int, window: Window) -> Tensor:
    """Say for each maximum at which place of its window it lay, from its place in maps of some width."""
    rows, columns = (
        (place - (torch.arange(count, device=place.device) * slide.stride - slide.padding).reshape(shape))
        // slide.dilation
        for place, count, slide, shape in zip(
            (indices // width, indices % width), indices.shape[2:], window, ((-1, 1), (1, -1)), strict=True
        )
    )
    number: Tensor = rows * window.columns.kernel + columns
    kind = torch.uint8 if number.max() < 256 else torch.int32
    return number.to(kind).contiguous(memory_format=torch.channels_last)


def _average_pool(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    if not averages_evenly(step.arguments):
        raise NotFollowedError("avg_pool2d with windows that differ")
    window = _pool_window(step)
    arrives, (rows, columns) = seen_box(window, box), window

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        share, down = signal / (rows.kernel * columns.kernel), empty_boxes(signal, len(signal), arrives).zero_()
        height, width = ((count - 1) * slide.stride + 1 for count, slide in zip(signal.shape[2:], window, strict=True))
        for row in range(rows.kernel):
            for column in range(columns.kernel):
                down[:, :, row : row + height : rows.stride, column : column + width : columns.stride] += share
        return down

    return [BackwardStep(step.inputs[0], arrives, apply)]


def _addition(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    found = []
    for name, sign in (("self", 1), ("other", step.arguments.get("alpha", 1) * (1 if step.operation == "add" else -1))):
        argument = step.arguments[name]
        if not isinstance(argument, Value):
            continue
        if context.shapes[argument.number] != context.shapes[step.outputs[0]]:
            raise NotFollowedError("a sum of maps of different size")
        found.append(BackwardStep(argument.number, box, _times(sign)))
    return found


def _multiplication(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    maps, factor = step.arguments["self"], step.arguments["other"]
    if isinstance(factor, Value) and step.operation == "mul":
        maps, factor = factor, maps
    if isinstance(factor, Value):
        raise NotFollowedError(f"{step.operation} of maps by maps")
    if isinstance(maps, Value) and context.shapes[maps.number] != context.shapes[step.outputs[0]]:
        raise NotFollowedError(f"{step.operation} that enlarges the maps")
    if isinstance(factor, Tensor):
        shape = (1,) * (4 - factor.ndim) + tuple(factor.shape)
        if shape[0] != 1 or shape[2:] != (1, 1):
            raise NotFollowedError(f"{step.operation} by something that differs from place to place")
        factor = factor.detach().reshape(shape)
    return [BackwardStep(_value(maps, step.operation), box, _times(factor if step.operation == "mul" else 1 / factor))]


def _concatenation(step: Step, box: Box, context: Context) -> list[BackwardStep]:
    found, first = [], 0
    if step.arguments["dim"] not in (1, -3):
        raise NotFollowedError("a concatenation in space")
    for part in step.arguments["tensors"]:
        size = part.shape[1] if isinstance(part, Tensor) else context.shapes[part.number][1]
        if isinstance(part, Value):
            found.append(BackwardStep(part.number, box, _channels(first, first + size)))
        first += size
    return found


def _channels(first: int, last: int) -> Callable[[Signal, Pairs], Signal]:
    return lambda signal, pairs: signal[:, first:last]


FEW_CHANNELS = 4
"""Channels of what is taken for an image."""

_BACKWARD: dict[str, Callable[[Step, Box, Context], list[BackwardStep]]] = {
    "rectifier": _rectifier,
    "identity": _identity,
    "copy": _identity,
    "normalisation": _normalisation,
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    "addition": _addition,
    "multiplication": _multiplication,
    "cat": _concatenation,
}
"""By kind."""
