"""How each operation is done again on what differs: in boxes where that is enough, else on whole maps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from lightning_viz.functional.aten.batch_norm import NORMALISATIONS, affine, by_batch
from lightning_viz.functional.aten.linear import fast_linear, linear_of
from lightning_viz.functional.incremental.channels_last import CHANNEL_NORM
from lightning_viz.functional.incremental.regions import Part, Span, channels_last, cut, join, large, paste, place
from lightning_viz.introspection.trace import Step, Value

__all__ = ["BOXED", "PLACE_BY_PLACE", "Plan", "do_again", "whole_maps"]


class Plan(NamedTuple):
    """The operations of an image, with its values."""

    steps: list[Step]
    clean: dict[int, Tensor]
    last_use: dict[int, int]
    wanted: tuple[int, ...]
    folded: dict[int, tuple[Tensor, Tensor | None]]
    """Output of a convolution to its filters and biases, with the normalisation behind it."""
    skipped: frozenset[int]
    """Outputs of normalisations that were folded."""
    in_place: frozenset[int]
    """Outputs that may be written over their first input."""


def whole_maps(plan: Plan, value: int, parts: Mapping[int, Part], count: int) -> Tensor:
    """Give a value of all variants as whole maps; of one that does not differ, the image's own."""
    if value not in parts:
        clean = plan.clean[value]
        return clean.expand(count, *clean.shape[1:]) if clean.ndim and len(clean) == 1 else clean
    part = parts[value]
    if part.rows is None or part.columns is None:
        return part.tensor
    clean = plan.clean[value]
    whole = channels_last(clean.expand(count, *clean.shape[1:]).clone(memory_format=torch.channels_last))
    paste(whole, part, np.zeros_like(part.rows.at), np.zeros_like(part.columns.at))
    return whole


def do_again(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> dict[int, Part]:
    """Do an operation of which some input differs, for all variants."""
    outcome = _HANDLERS.get(step.operation, _whole_again)(plan, step, parts, count)
    return outcome if isinstance(outcome, dict) else {step.outputs[0]: outcome}


def _whole_again(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> dict[int, Part]:
    """Do an operation on whole values; the first axis counts the variants."""
    arguments = {name: _filled(plan, value, parts, count) for name, value in step.arguments.items()}
    if step.operation in _SIZED:
        name = _SIZED[step.operation]
        arguments[name] = [arguments[name][0] * count if arguments[name][0] > 0 else -1, *arguments[name][1:]]
        arguments["self"] = arguments["self"].contiguous()
    if step.operation == "native_group_norm":
        arguments["N"] = count
    if step.operation == "cat":  # a class token is the same for all variants
        arguments["tensors"] = [one.expand(count, *one.shape[1:]) for one in arguments["tensors"]]
    if step.operation == "as_strided":
        return {step.outputs[0]: _as_it_was(plan, step, arguments["self"])}
    outcome = _function(plan, step, parts)(**arguments)
    outputs = [one for one in (outcome if isinstance(outcome, (list, tuple)) else [outcome]) if isinstance(one, Tensor)]
    for value, output in zip(step.outputs, outputs, strict=True):
        if output.numel() != plan.clean[value].numel() * count and not step.operation.startswith("new_"):
            raise ValueError(f"the values of {count} images are not {count} times as many ({step.operation})")
    return {value: Part(output) for value, output in zip(step.outputs, outputs, strict=True)}


def _as_it_was(plan: Plan, step: Step, whole: Tensor) -> Part:
    """Global pooling of maps whose channels lie last ends with it, and changes nothing but strides."""
    before, after = plan.clean[step.inputs[0]], plan.clean[step.outputs[0]]
    if before.shape != after.shape or not torch.equal(before, after):
        raise ValueError("strides of memory are chosen by hand (as_strided)")
    return Part(whole)


def _filled(plan: Plan, argument: Any, parts: Mapping[int, Part], count: int) -> Any:
    if isinstance(argument, Value):
        return whole_maps(plan, argument.number, parts, count)
    if isinstance(argument, list):
        return [_filled(plan, one, parts, count) for one in argument]
    return argument


def _boxed(plan: Plan, value: int, parts: Mapping[int, Part], rows: Span, columns: Span) -> Tensor:
    """Give a value of all variants in some boxes, which hold all that differs."""
    part = parts.get(value)
    if part is not None and part.rows is not None and part.columns is not None:
        same = part.rows.size == rows.size and part.columns.size == columns.size
        if same and (part.rows.at == rows.at).all() and (part.columns.at == columns.at).all():
            return part.tensor
    boxes = cut(plan.clean[value], rows.at, columns.at, rows.size, columns.size)
    if part is not None:
        paste(boxes, part, rows.at, columns.at)
    return boxes


def _slide(
    plan: Plan,
    step: Step,
    parts: Mapping[int, Part],
    count: int,
    source: int,
    kernel: Sequence[int],
    fill: float,
    apply: Callable[[Tensor, bool], Tensor],
) -> Part:
    """A window that slides over a map: what it gives differs where it touches what differs."""
    given, part, shape = step.arguments, parts[source], plan.clean[step.outputs[0]].shape
    strides = _pair(given["stride"]) if given["stride"] else list(kernel)
    paddings, dilations = _pair(given["padding"]), _pair(given.get("dilation") or [1])
    if part.rows is None or part.columns is None:
        return Part(apply(part.tensor, True))
    spans, starts, sizes = [], [], []
    for axis, span in enumerate((part.rows, part.columns)):
        reach = dilations[axis] * (kernel[axis] - 1)
        first = -((reach - span.first - paddings[axis]) // strides[axis])
        last = (span.last - 1 + paddings[axis]) // strides[axis] + 1
        spans.append(place(first, last, shape[2 + axis]))
        starts.append(spans[axis].at * strides[axis] - paddings[axis])
        sizes.append((spans[axis].size - 1) * strides[axis] + reach + 1)
    if large(spans[0], spans[1], shape):
        return Part(apply(whole_maps(plan, source, parts, count), True))
    clean = plan.clean[source]
    if any(paddings) or given.get("ceil_mode"):
        edges = [paddings[1], paddings[1] + strides[1], paddings[0], paddings[0] + strides[0]]
        clean = channels_last(pad(clean, edges, value=fill))
    boxes = cut(clean, starts[0] + paddings[0], starts[1] + paddings[1], sizes[0], sizes[1])
    paste(boxes, part, starts[0], starts[1])
    return Part(apply(boxes, False), *spans)


def _pair(sizes: Sequence[int]) -> list[int]:
    return [sizes[0], sizes[-1]]


def _convolution(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    given = step.arguments
    if given["transposed"] or step.outputs[0] not in plan.folded or given["input"].number not in parts:
        return _whole_again(plan, step, parts, count)
    weight, bias = plan.folded[step.outputs[0]]

    def apply(maps: Tensor, whole: bool) -> Tensor:
        padding = given["padding"] if whole else 0
        return conv2d(maps, weight, bias, given["stride"], padding, given["dilation"], given["groups"])

    return _slide(plan, step, parts, count, given["input"].number, weight.shape[2:], 0.0, apply)


def _max_pool(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part:
    given, kernel = step.arguments, _pair(step.arguments["kernel_size"])

    def apply(maps: Tensor, whole: bool) -> Tensor:
        padding, ceil_mode = (given["padding"], given["ceil_mode"]) if whole else (0, False)
        pooled: Tensor = max_pool2d(maps, kernel, given["stride"] or None, padding, given["dilation"], ceil_mode)
        return pooled

    return _slide(plan, step, parts, count, given["self"].number, kernel, -torch.inf, apply)


def _average_pool(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    given, kernel = step.arguments, _pair(step.arguments["kernel_size"])
    padded = any(given["padding"]) and not given["count_include_pad"]
    if padded or given["ceil_mode"] or given["divisor_override"]:
        return _whole_again(plan, step, parts, count)

    def apply(maps: Tensor, whole: bool) -> Tensor:
        return avg_pool2d(maps, kernel, given["stride"] or None, given["padding"] if whole else 0)

    return _slide(plan, step, parts, count, given["self"].number, kernel, 0.0, apply)


def _pointwise(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    """Operations place by place, on one or several maps of the same size."""
    shape = plan.clean[step.outputs[0]].shape
    values = step.inputs
    changed = [value for value in values if value in parts]
    boxed = all(parts[value].rows is not None for value in changed)
    same_size = all(plan.clean[value].shape[2:] == shape[2:] for value in values)
    elsewhere = step.operation == "cat" and step.arguments["dim"] not in (1, -3)
    if len(shape) != 4 or not boxed or not same_size or elsewhere:
        return _whole_again(plan, step, parts, count)
    spans = join([parts[value] for value in changed], shape)
    if spans is None:
        return _whole_again(plan, step, parts, count)
    arguments = {name: _in_boxes(plan, value, parts, shape, *spans) for name, value in step.arguments.items()}
    return Part(_function(plan, step, parts)(**arguments), *spans)


def _function(plan: Plan, step: Step, parts: Mapping[int, Part]) -> Callable[..., Any]:
    """The operation, in place where that is allowed and what it would overwrite is not the image's own."""
    writes = step.operation in _WRITE_OVER and step.outputs[0] in plan.in_place
    over = writes and step.arguments["self"].number in parts
    return getattr(torch.ops.aten, step.operation + "_") if over else step.function


def _in_boxes(
    plan: Plan, argument: Any, parts: Mapping[int, Part], shape: Sequence[int], rows: Span, columns: Span
) -> Any:
    if isinstance(argument, Value):
        return _boxed(plan, argument.number, parts, rows, columns)
    if isinstance(argument, list):
        return [_in_boxes(plan, one, parts, shape, rows, columns) for one in argument]
    if isinstance(argument, Tensor) and argument.ndim >= 2 and tuple(argument.shape[-2:]) != (1, 1):
        # A map of numbers of the model's own (a mask, coordinates): the same place of it.
        channels = argument.shape[1] if argument.ndim == 4 else argument.shape[0] if argument.ndim == 3 else 1
        maps = channels_last(argument.expand(1, channels, *shape[2:]))
        return cut(maps, rows.at, columns.at, rows.size, columns.size)
    return argument


def _normalisation(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    given = step.arguments
    if by_batch(given):
        return _whole_again(plan, step, parts, count)
    part = parts[given["input"].number]
    scale, shift = (one.reshape(1, -1, *[1] * (part.tensor.ndim - 2)) for one in affine(given))
    over = part.tensor if step.outputs[0] in plan.in_place else None
    return part._replace(tensor=torch.addcmul(shift, part.tensor, scale, out=over))


def _linear(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    linear = linear_of(step)
    if linear is None:
        return _whole_again(plan, step, parts, count)
    return Part(fast_linear(whole_maps(plan, linear.rows.number, parts, count), linear.weight, linear.bias))


def _mean(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    """Global pooling: what the boxes add to the image's own map outside them."""
    given, source = step.arguments, step.inputs[0]
    part, clean = parts[source], plan.clean[source]
    pooled = clean.ndim == 4 and sorted(axis % 4 for axis in given.get("dim") or []) == [2, 3]
    if part.rows is None or part.columns is None or not pooled or given.get("dtype") is not None:
        return _whole_again(plan, step, parts, count)
    # In double precision, since what lies in the box may be much larger than what lies outside.
    exact = torch.float32 if clean.device.type == "mps" else torch.float64
    sums = pad(clean[0].to(exact).cumsum(1).cumsum(2), (1, 0, 1, 0))  # of what lies above and to the left
    above, left = (torch.from_numpy(span.at).to(clean.device) for span in (part.rows, part.columns))
    below, right = above + part.rows.size, left + part.columns.size
    inside = sums[:, below, right] - sums[:, above, right] - sums[:, below, left] + sums[:, above, left]
    added = part.tensor.mean((2, 3)).to(exact) * (part.rows.size * part.columns.size)
    mean = ((sums[:, -1, -1:] - inside).t() + added) / (clean.shape[2] * clean.shape[3])
    return Part(mean.to(clean.dtype).reshape(count, *plan.clean[step.outputs[0]].shape[1:]))


_SIZED = {"view": "size", "_unsafe_view": "size", "reshape": "shape", "expand": "size"}
"""Operations whose sizes hold the number of images, in the first place."""

# fmt: off
PLACE_BY_PLACE = (
    "relu", "hardtanh", "clamp", "clamp_min", "threshold", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish",
    "hardsigmoid", "sigmoid", "tanh", "softplus", "add", "sub", "mul", "div", "rsub", "cat", "clone", "neg", "abs",
)
# fmt: on

_WRITE_OVER = frozenset(PLACE_BY_PLACE) - {"softplus", "rsub", "cat", "clone", "neg", "abs"}
"""What can be done in place."""

_HANDLERS: dict[str, Callable[[Plan, Step, Mapping[int, Part], int], Part | dict[int, Part]]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    "mean": _mean,
    **dict.fromkeys(("mm", "addmm"), _linear),
    **dict.fromkeys(NORMALISATIONS, _normalisation),
    **dict.fromkeys((*PLACE_BY_PLACE, CHANNEL_NORM), _pointwise),
}

BOXED = frozenset(_HANDLERS)
"""Operations that are done on boxes; what they give is in memory of its own."""
