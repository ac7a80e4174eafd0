"""Which box of its inputs an operation looks at, for a box of its output."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lightning_viz.functional.aten.batch_norm import by_batch
from lightning_viz.functional.aten.boxes import Box, Side, whole_map
from lightning_viz.functional.aten.operations import POINTWISE, kind_of
from lightning_viz.functional.aten.windows import NotFollowedError, seen_box, window_of
from lightning_viz.introspection.trace import Step

__all__ = ["is_global", "seen_by"]

_ARRANGES = ("reshape", "permutation", "pieces", "cat")

_PLACE_BY_PLACE = (*POINTWISE, "identity", "normalisation", "native_dropout", "detach")


def is_global(given: Mapping[str, Any]) -> bool:
    """Whether a reduction of maps ``(N, C, h, w)`` takes in all their places, and nothing else."""
    if "output_size" in given:
        return tuple(given["output_size"]) == (1, 1)
    return isinstance(given.get("dim"), list) and sorted(axis % 4 for axis in given["dim"]) == [2, 3]


def seen_by(step: Step, box: Box, shapes: Mapping[int, torch.Size]) -> list[tuple[int, Box]]:
    """Say which box of each input a box of the output depends on.

    Args:
        step: The operation.
        box: Of its output.
        shapes: Of each value.

    Raises:
        NotFollowedError: That is not known of this operation.
    """
    given, inputs, kind, window = step.arguments, step.inputs, kind_of(step.operation), window_of(step)
    before, after = [shapes[value] for value in inputs], shapes[step.outputs[0]]
    if window is not None:
        return [(inputs[0], seen_box(window, box))]
    if kind == "constant_pad_nd" and len(given["pad"]) == 4:
        left, _, top, _ = given["pad"]
        return [(inputs[0], Box(_earlier(box.rows, top), _earlier(box.columns, left)))]
    over_places = kind == "native_group_norm" or (kind == "reduction" and is_global(given))
    if len(before[0]) == 4 and (over_places or (kind == "normalisation" and by_batch(given))):
        return [(inputs[0], whole_map(before[0]))]
    if kind in _ARRANGES and all(_keeps_places(step, one, after) for one in before):
        return [(value, box) for value in inputs]
    if kind in _PLACE_BY_PLACE and all(len(one) == 4 and one[-2:] in (after[-2:], (1, 1)) for one in before):
        # A gate has one value for all places.
        boxes = [box if one[-2:] == after[-2:] else whole_map(one) for one in before]
        return list(zip(inputs, boxes, strict=True))
    raise NotFollowedError(step.operation)


def _earlier(side: Side, pixels: int) -> Side:
    return side._replace(start=side.start - pixels)


def _keeps_places(step: Step, before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether an operation only arranges channels."""
    given, axes = step.arguments, len(before)
    if min(axes, len(after)) < 4 or before[-2:] != after[-2:]:
        return False
    named = [given[name] for name in ("dim", "dim0", "dim1") if isinstance(given.get(name), int)]
    if isinstance(given.get("dims"), list):
        return [dim % axes for dim in given["dims"]][-2:] == [axes - 2, axes - 1]
    return all(dim % axes < axes - 2 for dim in named)
