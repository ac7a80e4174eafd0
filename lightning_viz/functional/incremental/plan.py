"""A forward pass of many variants of one image that differ from it in a small square, computed only where they differ.

The values of the image itself are kept. For each variant only the box of each value is recomputed that the square can
reach, many variants at once; from where the box covers most of a map the whole map is computed. The idea is that of
Krypton (Nakandala et al., SIGMOD 2019).
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_viz.functional.aten.batch_norm import NORMALISATIONS, affine, by_batch
from lightning_viz.functional.incremental.channels_last import to_channels_first
from lightning_viz.functional.incremental.ops import BOXED, PLACE_BY_PLACE, Plan, recompute, whole_maps
from lightning_viz.functional.incremental.regions import Region, Span, channels_last
from lightning_viz.introspection.trace import Step, Trace, Value

__all__ = ["ImagesMixError", "Plan", "Square", "keep_outputs", "make_plan", "run", "whole_maps"]


class ImagesMixError(ValueError):
    """The images of a batch would change each other."""


class Square(NamedTuple):
    """What is put into an image where, for each of B variants."""

    content: Tensor
    """``(B, C, h, w)``"""
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]


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
    needed, steps = set(wanted), []
    for step in reversed(to_channels_first(trace.steps, clean, set(PLACE_BY_PLACE) - {"cat"}, wanted)):
        if needed & set(step.outputs):
            steps.append(step)
            needed |= set(step.inputs)
    steps.reverse()
    mixing = next((step.operation for step in steps if _is_over_images(step, clean)), None)
    if mixing is not None:
        raise ImagesMixError(f"something is done over the images of a batch ({mixing})")
    local, most = _multiplications(steps, clean)
    if local < LOCAL * most:
        raise ValueError("little of what it does is local")
    last_use = {value: number for number, step in enumerate(steps) for value in step.inputs}
    last_use |= dict.fromkeys(wanted, len(steps))
    uses = Counter([value for step in steps for value in step.inputs] + list(wanted))
    folded, skipped = _fold(steps, uses)
    return Plan(steps, clean, last_use, tuple(wanted), folded, frozenset(skipped), _in_place(steps, uses, clean))


def _refuse(steps: Sequence[Step]) -> None:
    used = {value for step in steps for value in step.inputs}
    for step in steps:
        if step.operation in _TAKEN_OUT or not step.outputs:
            raise ImagesMixError(f"a number is taken out of the maps ({step.operation})")
        if step.arguments.get("training") is True:
            raise ValueError(f"the statistics of the batch count ({step.operation})")
        if step.operation == "max_pool2d_with_indices" and step.outputs[1] in used:
            raise ValueError("the places of maxima are used")


def _is_over_images(step: Step, clean: Mapping[int, Tensor]) -> bool:
    """Whether an operation works along the first axis."""
    before, after = clean[step.inputs[0]].shape, clean[step.outputs[0]].shape
    if not after:
        return True
    if step.operation in ("index", "index_put"):
        return step.arguments["indices"][0] is not None
    name = "dims" if step.operation in ("flip", "roll") else "dim"
    if name not in step.arguments or step.operation in ("squeeze", "unsqueeze"):
        return False
    if step.operation in _PIECES:
        if before[0] != 1 or _is_whole(step.arguments):  # q, k and v, say: the axis is not that of the images
            return False
    elif before == after and step.operation not in _ALONG:
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
        elif step.operation in _PRODUCTS:
            other += size * _shape(step.arguments[_PRODUCTS[step.operation]], clean)[-1]
    return local, local + other


def _shape(argument: Tensor | Value, clean: Mapping[int, Tensor]) -> torch.Size:
    return clean[argument.number].shape if isinstance(argument, Value) else argument.shape


def _fold(steps: Sequence[Step], uses: Mapping[int, int]) -> tuple[dict[int, tuple[Tensor, Tensor | None]], set[int]]:
    """Take each normalisation that alone follows a convolution into its filters."""
    made_by = {step.outputs[0]: step for step in steps}
    folded: dict[int, tuple[Tensor, Tensor | None]] = {}
    skipped = set()
    for step in steps:
        given = step.arguments
        usual = step.operation == "convolution" and isinstance(given["weight"], Tensor) and not given["transposed"]
        if usual and given["weight"].ndim == 4:
            folded.setdefault(step.outputs[0], (channels_last(given["weight"]), given["bias"]))
        if step.operation not in NORMALISATIONS or by_batch(given):
            continue
        source = given["input"].number
        before = made_by.get(source)
        if before is None or source not in folded or uses[source] != 1:
            continue
        scale, shift = affine(given)
        weight, bias = folded[source]
        bias = shift if bias is None else bias * scale + shift
        folded[source] = channels_last(weight * scale.reshape(-1, 1, 1, 1)), bias
        skipped.add(step.outputs[0])
    return folded, skipped


def _in_place(steps: Sequence[Step], uses: Mapping[int, int], clean: Mapping[int, Tensor]) -> frozenset[int]:
    """Find what may be written over the only thing that it is made of; memory that is new each time costs much."""
    own = {step.outputs[0] for step in steps if step.operation in BOXED}
    found = set()
    for step in steps:
        output, first = step.outputs[0], step.arguments.get("self", step.arguments.get("input"))
        if isinstance(first, Value) and first.number in own and uses[first.number] == 1:
            before, after = clean[first.number], clean[output]
            if (before.shape, before.dtype) == (after.shape, after.dtype):
                found.add(output)
    return frozenset(found)


@torch.no_grad()
def run(plan: Plan, square: Square, sizes: list[int] | None = None) -> dict[int, Region]:
    """Compute the wanted values of all variants.

    Args:
        plan: Of the image.
        square: What is put where.
        sizes: Gets the bytes of each value that is computed.

    Returns:
        Value to its part; a value that does not change is missing.
    """
    rows, columns = (
        Span(places, places + size, places, size)
        for places, size in zip((square.tops, square.lefts), square.content.shape[2:], strict=True)
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
    return {value: part for value, part in regions.items() if value in plan.wanted}


# fmt: off
_ALONG = frozenset((
    "_softmax", "_log_softmax", "cumsum", "cumprod", "sort", "topk", "flip", "roll", "argsort",
    "index_select", "gather", "scatter", "mean", "sum", "amax", "amin", "linalg_vector_norm",
))
# fmt: on
"""What may keep the shape, and does something along an axis."""

_PIECES = frozenset(("select", "slice", "split", "split_with_sizes", "unbind"))
"""What takes pieces along an axis."""

LOCAL = 0.25
"""From which share of the multiplications on it pays."""

_PRODUCTS = {"mm": "self", "addmm": "mat1", "bmm": "self", "baddbmm": "batch1"}
"""Products of matrices, and what their first factor is called."""

_TAKEN_OUT = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique2", "_unique2")
"""What comes out of them is no map; a decision may hang on it."""
