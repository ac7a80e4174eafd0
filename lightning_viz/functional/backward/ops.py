"""The way back through each operation, for what arrives in a box of its output."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad, pixel_shuffle

from lightning_viz.functional.aten.batch_norm import NORMALISATIONS, affine, by_batch
from lightning_viz.functional.aten.boxes import Box, Pairs, crop_boxes, empty_boxes
from lightning_viz.functional.aten.windows import NotFollowedError, at_axis, window
from lightning_viz.functional.backward.rules import Rule
from lightning_viz.introspection.trace import Step, Trace, Value

__all__ = ["BackwardStep", "backward_of", "keep_for"]

Signal = Tensor
"""``(P, C, rows, columns)``: what arrives in the box of a value, for each pair."""


class BackwardStep(NamedTuple):
    """What goes from a step's output to one of its inputs: in which box it arrives, and how."""

    value: int
    box: Box
    apply: Callable[[Signal, Pairs], Signal]
    scale: Tensor | None = None
    """``(C,)``, if all it does is to scale the channels."""


def keep_for(rule: Rule) -> Callable[[str, Mapping[str, Any], Sequence[Tensor]], Any]:
    """Say what of a forward pass the way back needs: the places of maxima, and what was positive."""

    def keep(operation: str, arguments: Mapping[str, Any], outputs: Sequence[Tensor]) -> Any:
        if operation == "max_pool2d_with_indices":
            return outputs[1]
        if operation in _RECTIFIERS and rule != "deconvnet":
            most = _upper_bound(arguments)
            passed = outputs[0] > 0 if most is None else (outputs[0] > 0) & (outputs[0] < most)
            return passed.contiguous(memory_format=torch.channels_last) if passed.ndim == 4 else passed
        return None

    return keep


def backward_of(
    step: Step, output: int, box: Box, trace: Trace, rule: Rule, scale: Tensor | None = None
) -> list[BackwardStep]:
    """Say what flows from the output of an operation to its inputs.

    Args:
        step: The operation.
        output: Which of its outputs.
        box: Where in the output something arrived.
        trace: Knows the shapes.
        rule: What passes through rectifiers.
        scale: ``(C,)`` by which what arrives at a convolution is still to be multiplied.

    Raises:
        NotFollowedError: There is no way back here through this operation.
    """
    name, given = step.operation, step.arguments
    if output != step.outputs[0] or len(trace.shapes[output]) != 4:
        raise NotFollowedError(f"{name} with several outputs, or one that is no stack of maps")
    if name in _RECTIFIERS:
        return [_through_rectifier(step, box, rule)]
    if name in _IDENTITIES:
        return [BackwardStep(_value(given["self"], name), box, lambda signal, pairs: signal)]
    if name in NORMALISATIONS:
        return [_through_normalisation(step, box)]
    if name == "convolution":
        return [_through_convolution(step, box, scale)]
    if name not in _BACKWARD:
        raise NotFollowedError(name)
    return _BACKWARD[name](step, box, trace)


def _value(argument: Any, name: str) -> int:
    if not isinstance(argument, Value):
        raise NotFollowedError(f"{name} of something else than the layer's maps")
    return argument.number


def _through_rectifier(step: Step, box: Box, rule: Rule) -> BackwardStep:
    if step.operation != "relu" and (
        _RECTIFIERS[step.operation] and any(step.arguments[name] != 0 for name in _RECTIFIERS[step.operation])
    ):
        raise NotFollowedError(f"{step.operation} that does not begin at zero")

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        if rule != "gradient":
            signal = signal.clamp(min=0)
        return signal if rule == "deconvnet" else signal * crop_boxes(step.kept, box, pairs)

    return BackwardStep(_value(step.arguments["self"], step.operation), box, apply)


def _upper_bound(arguments: Mapping[str, Any]) -> float | None:
    bound = arguments.get("max_val", arguments.get("max"))
    return None if bound is None else float(bound)


def _through_normalisation(step: Step, box: Box) -> BackwardStep:
    given = step.arguments
    if by_batch(given):
        raise NotFollowedError("normalisation by the batch's own statistics")
    scale = affine(given)[0].detach()
    return BackwardStep(_value(given["input"], step.operation), box, _times(scale.reshape(1, -1, 1, 1)), scale)


def _through_convolution(step: Step, box: Box, scale: Tensor | None) -> BackwardStep:
    given, weight = step.arguments, step.arguments["weight"]
    if given["transposed"] or not isinstance(weight, Tensor) or weight.ndim != 4:
        raise NotFollowedError("a transposed convolution, or weights that depend on the images")
    arrives, steps = window(step, box, weight.shape[2:])
    (stride, dilation), groups = zip(*steps, strict=True), given["groups"]
    filters = (weight if scale is None else weight * scale.reshape(-1, 1, 1, 1)).detach()
    filters = filters.contiguous(memory_format=torch.channels_last)
    if groups == 1 and dilation == (1, 1) and stride[0] == stride[1] > 1 and weight.shape[1] <= FEW:
        apply = _small_strided(filters, stride[0])
    else:

        def apply(signal: Signal, pairs: Pairs) -> Signal:
            down: Tensor = conv_transpose2d(signal, filters, stride=stride, dilation=dilation, groups=groups)
            return down

    return BackwardStep(_value(given["input"], "convolution"), arrives, apply)


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


def _through_max_pool(step: Step, box: Box, trace: Trace) -> list[BackwardStep]:
    kernel = [at_axis(step.arguments["kernel_size"], axis) for axis in (0, 1)]
    arrives, steps = window(step, box, kernel)
    switches = _switches(step, trace, steps)
    strides, dilations = zip(*steps, strict=True)
    sizes = [side.size for side in arrives]

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        device = signal.device
        within = torch.tensor(
            [
                row * dilations[0] * sizes[1] + column * dilations[1]
                for row in range(kernel[0])
                for column in range(kernel[1])
            ],
            device=device,
        )
        rows, columns = (
            torch.arange(size, device=device) * step for size, step in zip(signal.shape[2:], strides, strict=True)
        )
        places = within[crop_boxes(switches, box, pairs).long()] + (rows[:, None] * sizes[1] + columns)
        # Where windows overlap it adds up.
        down: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            signal, empty_boxes(signal, len(signal), arrives), kernel, strides, [0, 0], dilations, False, places
        )
        return down

    return [BackwardStep(_value(step.arguments["self"], "max_pool2d"), arrives, apply)]


def _switches(step: Step, trace: Trace, steps: Sequence[tuple[int, int]]) -> Tensor:
    """Say for each maximum at which place of its window it lay; the last places do not exist."""
    indices, given = step.kept, step.arguments
    width = trace.shapes[_value(given["self"], "max_pool2d")][3]
    places = []
    for axis, place in enumerate((indices // width, indices % width)):
        stride, dilation = steps[axis]
        starts = torch.arange(place.shape[2 + axis], device=place.device) * stride - at_axis(
            given["padding"] or [0], axis
        )
        places.append((place - (starts[:, None] if axis == 0 else starts)) // dilation)
    number: Tensor = places[0] * at_axis(given["kernel_size"], 1) + places[1]
    kind = torch.uint8 if number.max() < 256 else torch.int32
    return number.to(kind).contiguous(memory_format=torch.channels_last)


def _through_average_pool(step: Step, box: Box, trace: Trace) -> list[BackwardStep]:
    given = step.arguments
    padded = any(given["padding"]) and not given["count_include_pad"]
    if padded or given["ceil_mode"] or given["divisor_override"]:
        raise NotFollowedError("avg_pool2d with windows that differ")
    kernel = [at_axis(given["kernel_size"], axis) for axis in (0, 1)]
    arrives, steps = window(step, box, kernel)

    def apply(signal: Signal, pairs: Pairs) -> Signal:
        share, down = signal / (kernel[0] * kernel[1]), empty_boxes(signal, len(signal), arrives).zero_()
        for place in _window_places(kernel, steps, signal):
            down[place] += share
        return down

    return [BackwardStep(_value(given["self"], "avg_pool2d"), arrives, apply)]


def _window_places(
    kernel: Sequence[int], steps: Sequence[tuple[int, int]], signal: Signal
) -> list[tuple[slice, slice, slice, slice]]:
    """Where in the box below each place of the windows lies."""
    (stride, dilation), (step, spread) = steps
    all_of = slice(None)
    return [
        (
            all_of,
            all_of,
            slice(row * dilation, row * dilation + (signal.shape[2] - 1) * stride + 1, stride),
            slice(column * spread, column * spread + (signal.shape[3] - 1) * step + 1, step),
        )
        for row in range(kernel[0])
        for column in range(kernel[1])
    ]


def _through_sum(step: Step, box: Box, trace: Trace) -> list[BackwardStep]:
    found = []
    for name, sign in (("self", 1), ("other", step.arguments.get("alpha", 1) * (1 if step.operation == "add" else -1))):
        argument = step.arguments[name]
        if not isinstance(argument, Value):
            continue
        if trace.shapes[argument.number] != trace.shapes[step.outputs[0]]:
            raise NotFollowedError("a sum of maps of different size")
        found.append(BackwardStep(argument.number, box, _times(sign)))
    return found


def _times(factor: float | Tensor) -> Callable[[Signal, Pairs], Signal]:
    if not isinstance(factor, Tensor) and factor == 1:
        return lambda signal, pairs: signal
    return lambda signal, pairs: signal * factor


def _through_product(step: Step, box: Box, trace: Trace) -> list[BackwardStep]:
    maps, factor = step.arguments["self"], step.arguments["other"]
    if isinstance(factor, Value) and step.operation == "mul":
        maps, factor = factor, maps
    if isinstance(factor, Value):
        raise NotFollowedError(f"{step.operation} of maps by maps")
    if isinstance(maps, Value) and trace.shapes[maps.number] != trace.shapes[step.outputs[0]]:
        raise NotFollowedError(f"{step.operation} that enlarges the maps")
    if isinstance(factor, Tensor):
        shape = (1,) * (4 - factor.ndim) + tuple(factor.shape)
        if shape[0] != 1 or shape[2:] != (1, 1):
            raise NotFollowedError(f"{step.operation} by something that differs from place to place")
        factor = factor.detach().reshape(shape)
    return [BackwardStep(_value(maps, step.operation), box, _times(factor if step.operation == "mul" else 1 / factor))]


def _through_concatenation(step: Step, box: Box, trace: Trace) -> list[BackwardStep]:
    found, first = [], 0
    if step.arguments["dim"] not in (1, -3):
        raise NotFollowedError("a concatenation in space")
    for part in step.arguments["tensors"]:
        size = part.shape[1] if isinstance(part, Tensor) else trace.shapes[part.number][1]
        if isinstance(part, Value):
            found.append(BackwardStep(part.number, box, _channels(first, first + size)))
        first += size
    return found


def _channels(first: int, last: int) -> Callable[[Signal, Pairs], Signal]:
    return lambda signal, pairs: signal[:, first:last]


FEW = 4
"""Channels of what is taken for an image."""

_RECTIFIERS: dict[str, tuple[str, ...]] = {
    "relu": (),
    "clamp": ("min",),
    "clamp_min": ("min",),
    "hardtanh": ("min_val",),
    "threshold": ("threshold", "value"),
}

_IDENTITIES = ("alias", "clone", "contiguous", "lift_fresh", "_to_copy")

_BACKWARD: dict[str, Callable[[Step, Box, Trace], list[BackwardStep]]] = {
    "max_pool2d_with_indices": _through_max_pool,
    "avg_pool2d": _through_average_pool,
    "add": _through_sum,
    "sub": _through_sum,
    "mul": _through_product,
    "div": _through_product,
    "cat": _through_concatenation,
}
