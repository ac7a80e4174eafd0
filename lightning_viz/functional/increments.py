"""A forward pass of many variants of one image that differ from it in a small square, computed only where they differ.

The values of the image itself are kept. For each variant only the box of each value is recomputed that the square can
reach, many variants at once; from where the box covers most of a map the whole map is computed. The idea is that of
Krypton (Nakandala et al., SIGMOD 2019).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from lightning_viz.functional.normalisations import NORMALISATIONS, affine, by_batch
from lightning_viz.trace import Step, Trace, Value

__all__ = ["NumberTakenOutError", "Part", "Plan", "Square", "keep_outputs", "make_plan", "run", "whole_maps"]

LARGE = 0.85
"""A box that covers so much of its map is taken to be the whole map."""


class NumberTakenOutError(ValueError):
    """What the model does hangs on a number taken out of the maps, so that images of a batch change each other."""


class Span(NamedTuple):
    """Rows (or columns) of B boxes in a map: what differs lies in ``first..last``; kept are ``size`` from ``at`` on."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    at: NDArray[np.int64]
    size: int


class Part(NamedTuple):
    """A value of B variants: in boxes ``(B, C, rows, columns)``, or whole, where there are no spans."""

    tensor: Tensor
    rows: Span | None = None
    columns: Span | None = None


class Square(NamedTuple):
    """What is put into an image where, for each of B variants."""

    content: Tensor
    """``(B, C, h, w)``"""
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]


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


def keep_outputs(operation: str, arguments: Mapping[str, Any], outputs: Sequence[Tensor]) -> list[Tensor]:
    """Keep all, as they are before anything is changed in place."""
    return [_channels_last(output.clone()) for output in outputs]


def _refuse(steps: Sequence[Step]) -> None:
    used = {value for step in steps for value in step.inputs}
    for step in steps:
        if step.operation in _TAKEN_OUT or not step.outputs:
            raise NumberTakenOutError(f"a number is taken out of the maps ({step.operation})")
        if step.arguments.get("training") is True:
            raise ValueError(f"the statistics of the batch count ({step.operation})")
        if step.operation == "max_pool2d_with_indices" and step.outputs[1] in used:
            raise ValueError("the places of maxima are used")


def make_plan(trace: Trace, image: Tensor, wanted: Sequence[int]) -> Plan:
    """Prepare the recomputation.

    Args:
        trace: Of one image, made with ``keep_outputs``.
        image: ``(1, C, H, W)``.
        wanted: The values to compute.

    Raises:
        ValueError: What the model does depends on numbers taken out of the maps, or on the other images of a batch.
    """
    _refuse(trace.steps)
    clean = {0: _channels_last(image)}
    for step in trace.steps:
        clean |= dict(zip(step.outputs, step.kept, strict=True))
    needed, steps = set(wanted), []
    for step in reversed(trace.steps):
        if needed & set(step.outputs):
            steps.append(step)
            needed |= set(step.inputs)
    steps.reverse()
    last_use = {value: number for number, step in enumerate(steps) for value in step.inputs}
    last_use |= dict.fromkeys(wanted, len(steps))
    folded, skipped = _fold(steps, wanted)
    return Plan(steps, clean, last_use, tuple(wanted), folded, frozenset(skipped))


@torch.no_grad()
def run(plan: Plan, square: Square) -> dict[int, Part]:
    """Compute the wanted values of all variants.

    Returns:
        Value to its part; a value that does not change is missing.
    """
    rows, columns = (
        Span(places, places + size, places, size)
        for places, size in zip((square.tops, square.lefts), square.content.shape[2:], strict=True)
    )
    parts = {0: Part(_channels_last(square.content), rows, columns)}
    count = len(square.tops)
    for number, step in enumerate(plan.steps):
        inputs = [value for value in step.inputs if value in parts]
        if inputs:
            output = step.outputs[0]
            if output in plan.skipped:
                parts[output] = parts[inputs[0]]
            else:
                outcome = _HANDLERS.get(step.operation, _whole_again)(plan, step, parts, count)
                parts |= outcome if isinstance(outcome, dict) else {output: outcome}
        for value in set(step.inputs):
            if plan.last_use.get(value) == number:
                parts.pop(value, None)
    return {value: part for value, part in parts.items() if value in plan.wanted}


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor.contiguous()


def _fold(steps: Sequence[Step], wanted: Sequence[int]) -> tuple[dict[int, tuple[Tensor, Tensor | None]], set[int]]:
    """Take each normalisation that alone follows a convolution into its filters."""
    uses: dict[int, int] = {}
    for step in steps:
        for value in step.inputs:
            uses[value] = uses.get(value, 0) + 1
    made_by = {step.outputs[0]: step for step in steps}
    folded: dict[int, tuple[Tensor, Tensor | None]] = {}
    skipped = set()
    for step in steps:
        given = step.arguments
        if step.operation == "convolution" and isinstance(given["weight"], Tensor) and not given["transposed"]:
            folded.setdefault(step.outputs[0], (_channels_last(given["weight"]), given["bias"]))
        if step.operation not in NORMALISATIONS or by_batch(given):
            continue
        source = given["input"].number
        before = made_by.get(source)
        if before is None or source not in folded or uses[source] != 1 or source in wanted:
            continue
        scale, shift = affine(given)
        weight, bias = folded[source]
        bias = shift if bias is None else bias * scale + shift
        folded[source] = _channels_last(weight * scale.reshape(-1, 1, 1, 1)), bias
        skipped.add(step.outputs[0])
    return folded, skipped


def _is_whole(part: Part) -> bool:
    return part.rows is None


def whole_maps(plan: Plan, value: int, parts: Mapping[int, Part], count: int) -> Tensor:
    """Give a value of all variants as whole maps; of one that does not differ, the image's own."""
    if value not in parts:
        clean = plan.clean[value]
        return clean.expand(count, *clean.shape[1:]) if clean.ndim and len(clean) == 1 else clean
    part = parts[value]
    if part.rows is None or part.columns is None:
        return part.tensor
    clean = plan.clean[value]
    whole = _channels_last(clean.expand(count, *clean.shape[1:]).clone(memory_format=torch.channels_last))
    _paste(whole, part, np.zeros_like(part.rows.at), np.zeros_like(part.columns.at))
    return whole


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
    outcome = step.function(**arguments)
    outputs = [one for one in (outcome if isinstance(outcome, (list, tuple)) else [outcome]) if isinstance(one, Tensor)]
    return {value: Part(output) for value, output in zip(step.outputs, outputs, strict=True)}


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
    boxes = _cut(plan.clean[value], rows.at, columns.at, rows.size, columns.size)
    if part is not None:
        _paste(boxes, part, rows.at, columns.at)
    return boxes


def _cut(clean: Tensor, tops: NDArray[np.int64], lefts: NDArray[np.int64], height: int, width: int) -> Tensor:
    rows = (tops[:, None] + np.arange(height)) * clean.shape[3]
    columns = lefts[:, None] + np.arange(width)
    places = torch.from_numpy(rows[:, :, None] + columns[:, None, :]).to(clean.device)
    boxes = _pixels(clean).index_select(0, places.flatten())
    return boxes.reshape(len(tops), height, width, -1).permute(0, 3, 1, 2)


def _pixels(maps: Tensor) -> Tensor:
    """See maps as rows of channels; a view, since they lie channels last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _paste(boxes: Tensor, part: Part, tops: NDArray[np.int64], lefts: NDArray[np.int64]) -> None:
    """Put what differs into boxes that begin at other places; what lies outside them is left out."""
    assert part.rows is not None
    assert part.columns is not None
    height, width = boxes.shape[2:]
    down, across = part.rows.at - tops, part.columns.at - lefts
    inside = down.min() >= 0 and down.max() <= height - part.rows.size
    inside = inside and across.min() >= 0 and across.max() <= width - part.columns.size
    if inside and (down == down[0]).all() and (across == across[0]).all():
        boxes[:, :, down[0] : down[0] + part.rows.size, across[0] : across[0] + part.columns.size] = part.tensor
        return
    rows, columns = down[:, None] + np.arange(part.rows.size), across[:, None] + np.arange(part.columns.size)
    start = (np.arange(len(tops)) * height * width)[:, None, None]
    places = torch.from_numpy((start + rows[:, :, None] * width + columns[:, None, :]).flatten()).to(boxes.device)
    changed = _pixels(part.tensor)
    if not inside:
        fits = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        chosen = torch.from_numpy(np.flatnonzero(fits)).to(boxes.device)
        places, changed = places[chosen], changed[chosen]
    _pixels(boxes).index_copy_(0, places, changed)


def _placed(first: NDArray[np.int64], last: NDArray[np.int64], room: int) -> Span:
    """Boxes of one size that hold what differs and lie inside the map."""
    first, last = first.clip(0, room), last.clip(0, room)
    size = max(1, int((last - first).max()))
    return Span(first, last, first.clip(0, room - size), size)


def _large(rows: Span, columns: Span, shape: Sequence[int]) -> bool:
    return rows.size * columns.size >= LARGE * shape[2] * shape[3]


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
        spans.append(_placed(first, last, shape[2 + axis]))
        starts.append(spans[axis].at * strides[axis] - paddings[axis])
        sizes.append((spans[axis].size - 1) * strides[axis] + reach + 1)
    if _large(spans[0], spans[1], shape):
        return Part(apply(whole_maps(plan, source, parts, count), True))
    clean = plan.clean[source]
    if any(paddings) or given.get("ceil_mode"):
        edges = [paddings[1], paddings[1] + strides[1], paddings[0], paddings[0] + strides[0]]
        clean = _channels_last(pad(clean, edges, value=fill))
    boxes = _cut(clean, starts[0] + paddings[0], starts[1] + paddings[1], sizes[0], sizes[1])
    _paste(boxes, part, starts[0], starts[1])
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
    boxed = all(not _is_whole(parts[value]) for value in changed)
    same_size = all(plan.clean[value].shape[2:] == shape[2:] for value in values)
    elsewhere = step.operation == "cat" and step.arguments["dim"] not in (1, -3)
    if len(shape) != 4 or not boxed or not same_size or elsewhere:
        return _whole_again(plan, step, parts, count)
    spans = _union([parts[value] for value in changed], shape)
    if spans is None:
        return _whole_again(plan, step, parts, count)
    arguments = {name: _in_boxes(plan, value, parts, shape, *spans) for name, value in step.arguments.items()}
    return Part(step.function(**arguments), *spans)


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
        maps = _channels_last(argument.expand(1, channels, *shape[2:]))
        return _cut(maps, rows.at, columns.at, rows.size, columns.size)
    return argument


def _union(parts: Sequence[Part], shape: Sequence[int]) -> tuple[Span, Span] | None:
    """Boxes that hold what differs in any of some parts; None where they are large."""
    if len(parts) == 1:
        assert parts[0].rows is not None
        assert parts[0].columns is not None
        return parts[0].rows, parts[0].columns
    spans = []
    for axis, name in enumerate(("rows", "columns")):
        sides = [getattr(part, name) for part in parts]
        first = np.minimum.reduce([side.first for side in sides])
        last = np.maximum.reduce([side.last for side in sides])
        spans.append(_placed(first, last, shape[2 + axis]))
    return None if _large(spans[0], spans[1], shape) else (spans[0], spans[1])


def _normalisation(plan: Plan, step: Step, parts: Mapping[int, Part], count: int) -> Part | dict[int, Part]:
    given = step.arguments
    if by_batch(given):
        return _whole_again(plan, step, parts, count)
    part = parts[given["input"].number]
    scale, shift = (one.reshape(1, -1, *[1] * (part.tensor.ndim - 2)) for one in affine(given))
    return part._replace(tensor=torch.addcmul(shift, part.tensor, scale))


_TAKEN_OUT = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique2", "_unique2")
"""What comes out of them is no map; a decision may hang on it."""

_SIZED = {"view": "size", "_unsafe_view": "size", "reshape": "shape", "expand": "size"}
"""Operations whose sizes hold the number of images, in the first place."""

# fmt: off
_PLACE_BY_PLACE = (
    "relu", "hardtanh", "clamp", "clamp_min", "threshold", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish",
    "hardsigmoid", "sigmoid", "tanh", "softplus", "add", "sub", "mul", "div", "rsub", "cat", "clone", "neg", "abs",
)
# fmt: on

_HANDLERS: dict[str, Callable[[Plan, Step, Mapping[int, Part], int], Part | dict[int, Part]]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    **dict.fromkeys(NORMALISATIONS, _normalisation),
    **dict.fromkeys(_PLACE_BY_PLACE, _pointwise),
}
