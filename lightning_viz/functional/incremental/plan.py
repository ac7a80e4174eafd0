"""What is known before the recomputation of an image's variants: its own values, and how each operation is done."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_viz.functional.aten.batch_norm import fold, foldable
from lightning_viz.functional.aten.operations import MATRIX_PRODUCTS, POINTWISE, kind_of
from lightning_viz.functional.aten.windows import window_of
from lightning_viz.functional.incremental.channels_last import CHANNEL_NORM, to_channels_first
from lightning_viz.functional.incremental.regions import channels_last
from lightning_viz.introspection.trace import Step, Trace, Value, needed_steps

__all__ = ["ImagesMixError", "Plan", "keep_outputs", "make_plan"]

MIN_LOCAL_SHARE = 0.25
"""From which share of convolutions in all multiplications on it pays."""


class ImagesMixError(ValueError):
    """The images of a batch would change each other."""


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


def keep_outputs(operation: str, arguments: Mapping[str, Any], outputs: Sequence[Tensor]) -> list[Tensor]:
    """Keep all, as they are before anything is changed in place."""
    order = [torch.channels_last if output.ndim == 4 else torch.contiguous_format for output in outputs]
    return [output.clone(memory_format=one) for output, one in zip(outputs, order, strict=True)]


def make_plan(trace: Trace, image: Tensor, wanted: Sequence[int]) -> Plan:
    """Prepare the recomputation.

    Args:
        trace: Of one image, made with ``keep_outputs``.
        image: ``(1, C, H, W)``.
        wanted: The values to compute.

    Raises:
        ImagesMixError: The model takes numbers out of the maps, or works along the axis of images.
        ValueError: It can't be followed, or that would not pay.
    """
    _refuse(trace.steps)
    clean = {0: channels_last(image)}
    for step in trace.steps:
        clean |= dict(zip(step.outputs, step.kept, strict=True))
    steps = needed_steps(to_channels_first(trace.steps, clean, wanted), wanted)
    mixing = next((step.operation for step in steps if _is_over_images(step, clean)), None)
    if mixing is not None:
        raise ImagesMixError(f"something is done over the images of a batch ({mixing})")
    local, most = _multiplications(steps, clean)
    if local < MIN_LOCAL_SHARE * most:
        raise ValueError("little of what it does is local")
    last_use = {value: number for number, step in enumerate(steps) for value in step.inputs}
    last_use |= dict.fromkeys(wanted, len(steps))
    uses = Counter([value for step in steps for value in step.inputs] + list(wanted))
    norms = foldable(steps, uses)
    folded = {
        step.outputs[0]: _filters(step, norms.get(step.outputs[0]))
        for step in steps
        if step.operation == "convolution" and window_of(step) is not None
    }
    skipped = frozenset(norm.outputs[0] for norm in norms.values())
    return Plan(steps, clean, last_use, tuple(wanted), folded, skipped, _in_place(steps, uses, clean))


def _refuse(steps: Sequence[Step]) -> None:
    used = {value for step in steps for value in step.inputs}
    for step in steps:
        if kind_of(step.operation) == "decision" or not step.outputs:
            raise ImagesMixError(f"a number is taken out of the maps ({step.operation})")
        if step.arguments.get("training") is True:
            raise ValueError(f"the statistics of the batch count ({step.operation})")
        if step.operation == "max_pool2d_with_indices" and step.outputs[1] in used:
            raise ValueError("the places of maxima are used")


def _is_over_images(step: Step, clean: Mapping[int, Tensor]) -> bool:
    """Whether an operation works along the first axis."""
    before, after, kind = clean[step.inputs[0]].shape, clean[step.outputs[0]].shape, kind_of(step.operation)
    if not after:
        return True
    if step.operation in ("index", "index_put"):
        return step.arguments["indices"][0] is not None
    name = "dims" if step.operation in ("flip", "roll") else "dim"
    if name not in step.arguments or step.operation in ("squeeze", "unsqueeze"):
        return False
    if kind == "pieces":
        if before[0] != 1 or _is_whole(step.arguments):  # q, k and v, say: the axis is not that of the images
            return False
    elif before == after and kind not in ("along an axis", "reduction"):
        return False
    given = step.arguments[name]
    axes = given if isinstance(given, list) else [given]
    return not axes or any(axis is None or axis % max(len(before), len(after)) == 0 for axis in axes)


def _is_whole(given: Mapping[str, Any]) -> bool:
    """Whether a slice leaves nothing out, however long the axis is."""
    return given.get("start", 0) in (0, None) and given.get("end", 0) in (None, sys.maxsize) and given.get("step") == 1


def _multiplications(steps: Sequence[Step], clean: Mapping[int, Tensor]) -> tuple[int, int]:
    """Count those of convolutions, and all."""
    local = other = 0
    for step in steps:
        size = clean[step.outputs[0]].numel()
        if step.operation == "convolution":
            local += size * int(np.prod(_shape(step.arguments["weight"], clean)[1:]))
        elif step.operation in MATRIX_PRODUCTS:
            other += size * _shape(step.arguments[MATRIX_PRODUCTS[step.operation]], clean)[-1]
    return local, local + other


def _shape(argument: Tensor | Value, clean: Mapping[int, Tensor]) -> torch.Size:
    return clean[argument.number].shape if isinstance(argument, Value) else argument.shape


def _filters(convolution: Step, norm: Step | None) -> tuple[Tensor, Tensor | None]:
    weight, bias = fold(convolution, norm)
    return channels_last(weight), bias


# fmt: off
_OWN_MEMORY = frozenset((
    *POINTWISE, "normalisation", "matrix product", "reduction", "cat", "convolution", "max_pool2d_with_indices",
    "avg_pool2d", CHANNEL_NORM,
))
# fmt: on
"""What these give is in memory of its own."""


def _in_place(steps: Sequence[Step], uses: Mapping[int, int], clean: Mapping[int, Tensor]) -> frozenset[int]:
    """Find what may be written over the only thing that it is made of; memory that is new each time costs much."""
    own = {step.outputs[0] for step in steps if kind_of(step.operation) in _OWN_MEMORY}
    found = set()
    for step in steps:
        output, first = step.outputs[0], step.arguments.get("self", step.arguments.get("input"))
        if isinstance(first, Value) and first.number in own and uses[first.number] == 1:
            before, after = clean[first.number], clean[output]
            if (before.shape, before.dtype) == (after.shape, after.dtype):
                found.add(output)
    return frozenset(found)
