"""How each operation is recomputed where variants differ: in boxes where that is enough, else on whole maps."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from lightning_viz.functional.aten.batch_norm import affine, by_batch
from lightning_viz.functional.aten.linear import fast_linear, linear_of
from lightning_viz.functional.aten.operations import POINTWISE, SIZES, kind_of
from lightning_viz.functional.aten.receptive import is_global
from lightning_viz.functional.aten.windows import averages_evenly, window_of
from lightning_viz.functional.incremental.channels_last import CHANNEL_NORM
from lightning_viz.functional.incremental.plan import Plan
from lightning_viz.functional.incremental.regions import (
    Region,
    Span,
    channels_last,
    covers_map,
    crop,
    enclosing_span,
    paste,
    union,
)
from lightning_viz.introspection.trace import Step, Value

__all__ = ["recompute", "whole_maps"]


def whole_maps(plan: Plan, value: int, regions: Mapping[int, Region], count: int) -> Tensor:
    """Give a value of all variants as whole maps; of one that does not differ, the image's own."""
    if value not in regions:
        clean = plan.clean[value]
        return clean.expand(count, *clean.shape[1:]) if clean.ndim and len(clean) == 1 else clean
    region = regions[value]
    if region.rows is None or region.columns is None:
        return region.tensor
    clean = plan.clean[value]
    whole = channels_last(clean.expand(count, *clean.shape[1:]).clone(memory_format=torch.channels_last))
    paste(whole, region, np.zeros_like(region.rows.start), np.zeros_like(region.columns.start))
    return whole


def recompute(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> dict[int, Region]:
    """Do an operation of which some input differs, for all variants."""
    outcome = _RECOMPUTE.get(kind_of(step.operation), _recompute_whole)(plan, step, regions, count)
    return outcome if isinstance(outcome, dict) else {step.outputs[0]: outcome}


def _recompute_whole(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> dict[int, Region]:
    """Do an operation on whole values; the first axis counts the variants."""
    arguments = {name: _whole_argument(plan, value, regions, count) for name, value in step.arguments.items()}
    if step.operation in SIZES:
        name = SIZES[step.operation]
        arguments[name] = [arguments[name][0] * count if arguments[name][0] > 0 else -1, *arguments[name][1:]]
        arguments["self"] = arguments["self"].contiguous()
    if step.operation == "native_group_norm":
        arguments["N"] = count
    if step.operation == "cat":  # a class token is the same for all variants
        arguments["tensors"] = [one.expand(count, *one.shape[1:]) for one in arguments["tensors"]]
    if step.operation == "as_strided":
        return {step.outputs[0]: _unstrided(plan, step, arguments["self"])}
    outcome = _callable(plan, step, regions)(**arguments)
    outputs = [one for one in (outcome if isinstance(outcome, (list, tuple)) else [outcome]) if isinstance(one, Tensor)]
    for value, output in zip(step.outputs, outputs, strict=True):
        if output.numel() != plan.clean[value].numel() * count and not step.operation.startswith("new_"):
            raise ValueError(f"the values of {count} images are not {count} times as many ({step.operation})")
    return {value: Region(output) for value, output in zip(step.outputs, outputs, strict=True)}


def _unstrided(plan: Plan, step: Step, whole: Tensor) -> Region:
    """Global pooling of maps whose channels lie last ends with it, and changes nothing but strides."""
    before, after = plan.clean[step.inputs[0]], plan.clean[step.outputs[0]]
    if before.shape != after.shape or not torch.equal(before, after):
        raise ValueError("strides of memory are chosen by hand (as_strided)")
    return Region(whole)


def _whole_argument(plan: Plan, argument: Any, regions: Mapping[int, Region], count: int) -> Any:
    if isinstance(argument, Value):
        return whole_maps(plan, argument.number, regions, count)
    if isinstance(argument, list):
        return [_whole_argument(plan, one, regions, count) for one in argument]
    return argument


def _in_boxes(plan: Plan, value: int, regions: Mapping[int, Region], rows: Span, columns: Span) -> Tensor:
    """Give a value of all variants in some boxes, which hold all that differs."""
    region = regions.get(value)
    if region is not None and region.rows is not None and region.columns is not None:
        same = region.rows.size == rows.size and region.columns.size == columns.size
        if same and (region.rows.start == rows.start).all() and (region.columns.start == columns.start).all():
            return region.tensor
    boxes = crop(plan.clean[value], rows.start, columns.start, rows.size, columns.size)
    if region is not None:
        paste(boxes, region, rows.start, columns.start)
    return boxes


def _recompute_window(
    plan: Plan,
    step: Step,
    regions: Mapping[int, Region],
    count: int,
    fill: float,
    apply: Callable[[Tensor, bool], Tensor],
) -> Region | dict[int, Region]:
    """A window that slides over maps: what it gives differs where it touches what differs."""
    window, source, shape = window_of(step), step.inputs[0], plan.clean[step.outputs[0]].shape
    if window is None:
        return _recompute_whole(plan, step, regions, count)
    region = regions[source]
    if region.rows is None or region.columns is None:
        return Region(apply(region.tensor, True))
    sides = list(zip(window, (region.rows, region.columns), shape[2:], strict=True))
    spans = [enclosing_span(*slide.reaches(span.first, span.last), length) for slide, span, length in sides]
    if covers_map(spans[0], spans[1], shape):
        return Region(apply(whole_maps(plan, source, regions, count), True))
    (tops, height), (lefts, width) = (
        slide.sees(span.start, span.size) for slide, span in zip(window, spans, strict=True)
    )
    (_, down, above, _), (_, across, left, _) = window
    clean = plan.clean[source]
    if above or left or step.arguments.get("ceil_mode"):
        clean = channels_last(pad(clean, [left, left + across, above, above + down], value=fill))
    boxes = crop(clean, tops + above, lefts + left, height, width)
    paste(boxes, region, tops, lefts)
    return Region(apply(boxes, False), *spans)


def _convolution(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    if step.outputs[0] not in plan.folded:
        return _recompute_whole(plan, step, regions, count)
    given, (weight, bias) = step.arguments, plan.folded[step.outputs[0]]

    def apply(maps: Tensor, whole: bool) -> Tensor:
        padding = given["padding"] if whole else 0
        return conv2d(maps, weight, bias, given["stride"], padding, given["dilation"], given["groups"])

    return _recompute_window(plan, step, regions, count, 0.0, apply)


def _max_pool(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    given = step.arguments

    def apply(maps: Tensor, whole: bool) -> Tensor:
        padding, ceil_mode = (given["padding"], given["ceil_mode"]) if whole else (0, False)
        sizes = given["kernel_size"], given["stride"] or None, padding, given["dilation"], ceil_mode
        pooled: Tensor = max_pool2d(maps, *sizes)
        return pooled

    return _recompute_window(plan, step, regions, count, -torch.inf, apply)


def _average_pool(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    given = step.arguments
    if not averages_evenly(given):
        return _recompute_whole(plan, step, regions, count)

    def apply(maps: Tensor, whole: bool) -> Tensor:
        return avg_pool2d(maps, given["kernel_size"], given["stride"] or None, given["padding"] if whole else 0)

    return _recompute_window(plan, step, regions, count, 0.0, apply)


def _pointwise(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    """Operations place by place, on one or several maps of the same size."""
    shape = plan.clean[step.outputs[0]].shape
    values = step.inputs
    changed = [value for value in values if value in regions]
    boxed = all(regions[value].rows is not None for value in changed)
    same_size = all(plan.clean[value].shape[2:] == shape[2:] for value in values)
    elsewhere = step.operation == "cat" and step.arguments["dim"] not in (1, -3)
    if len(shape) != 4 or not boxed or not same_size or elsewhere:
        return _recompute_whole(plan, step, regions, count)
    spans = union([regions[value] for value in changed], shape)
    if spans is None:
        return _recompute_whole(plan, step, regions, count)
    arguments = {name: _boxed_argument(plan, value, regions, shape, *spans) for name, value in step.arguments.items()}
    return Region(_callable(plan, step, regions)(**arguments), *spans)


def _callable(plan: Plan, step: Step, regions: Mapping[int, Region]) -> Callable[..., Any]:
    """The operation, in place where that is allowed and what it would overwrite is not the image's own."""
    over = step.outputs[0] in plan.in_place and kind_of(step.operation) in POINTWISE
    over = over and step.arguments["self"].number in regions
    return (_in_place_form(step.operation) if over else None) or step.function


@cache
def _in_place_form(operation: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(torch.ops.aten, operation + "_", None)
    return found


def _boxed_argument(
    plan: Plan, argument: Any, regions: Mapping[int, Region], shape: Sequence[int], rows: Span, columns: Span
) -> Any:
    if isinstance(argument, Value):
        return _in_boxes(plan, argument.number, regions, rows, columns)
    if isinstance(argument, list):
        return [_boxed_argument(plan, one, regions, shape, rows, columns) for one in argument]
    if isinstance(argument, Tensor) and argument.ndim >= 2 and tuple(argument.shape[-2:]) != (1, 1):
        # A map of numbers of the model's own (a mask, coordinates): the same place of it.
        channels = argument.shape[1] if argument.ndim == 4 else argument.shape[0] if argument.ndim == 3 else 1
        maps = channels_last(argument.expand(1, channels, *shape[2:]))
        return crop(maps, rows.start, columns.start, rows.size, columns.size)
    return argument


def _normalisation(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    given = step.arguments
    if by_batch(given):
        return _recompute_whole(plan, step, regions, count)
    region = regions[given["input"].number]
    scale, shift = (one.reshape(1, -1, *[1] * (region.tensor.ndim - 2)) for one in affine(given))
    over = region.tensor if step.outputs[0] in plan.in_place else None
    return region._replace(tensor=torch.addcmul(shift, region.tensor, scale, out=over))


def _linear(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    linear = linear_of(step)
    if linear is None:
        return _recompute_whole(plan, step, regions, count)
    return Region(fast_linear(whole_maps(plan, linear.rows.number, regions, count), linear.weight, linear.bias))


def _reduction(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region | dict[int, Region]:
    """Global pooling: what the boxes add to the image's own map outside them."""
    given, source = step.arguments, step.inputs[0]
    region, clean = regions[source], plan.clean[source]
    pooled = step.operation == "mean" and clean.ndim == 4 and is_global(given) and given.get("dtype") is None
    if region.rows is None or region.columns is None or not pooled:
        return _recompute_whole(plan, step, regions, count)
    # In double precision, since what lies in the box may be much larger than what lies outside.
    exact = torch.float32 if clean.device.type == "mps" else torch.float64
    sums = pad(clean[0].to(exact).cumsum(1).cumsum(2), (1, 0, 1, 0))  # of what lies above and to the left
    above, left = (torch.from_numpy(span.start).to(clean.device) for span in (region.rows, region.columns))
    below, right = above + region.rows.size, left + region.columns.size
    inside = sums[:, below, right] - sums[:, above, right] - sums[:, below, left] + sums[:, above, left]
    added = region.tensor.mean((2, 3)).to(exact) * (region.rows.size * region.columns.size)
    mean = ((sums[:, -1, -1:] - inside).t() + added) / (clean.shape[2] * clean.shape[3])
    return Region(mean.to(clean.dtype).reshape(count, *plan.clean[step.outputs[0]].shape[1:]))


def _identity(plan: Plan, step: Step, regions: Mapping[int, Region], count: int) -> Region:
    return regions[step.inputs[0]]


_RECOMPUTE: dict[str, Callable[[Plan, Step, Mapping[int, Region], int], Region | dict[int, Region]]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    "reduction": _reduction,
    "matrix product": _linear,
    "normalisation": _normalisation,
    **dict.fromkeys((*POINTWISE, "cat", CHANNEL_NORM), _pointwise),
    **dict.fromkeys(("identity", "detach"), _identity),
}
"""By kind; all others are recomputed whole."""
