"""The backward pass from one position of a layer to the pixels, computed only where something arrives.

What one activation sends back stays in a box that grows from layer to layer, as its receptive field does. Many pairs of
a unit and an image are computed together, each with its box at its own place.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_viz.functional.aten.batch_norm import foldable
from lightning_viz.functional.aten.boxes import (
    Box,
    Pairs,
    Side,
    bounding_box,
    clear_outside,
    rebox,
    whole_if_large,
    whole_map,
)
from lightning_viz.functional.aten.windows import NotFollowedError
from lightning_viz.functional.backward.ops import BackwardStep, Context, backward_of
from lightning_viz.functional.backward.rules import Rule
from lightning_viz.introspection.trace import Trace, needed_steps

__all__ = ["BackwardPlan", "plan_backward", "run_backward"]


class BackwardPlan(NamedTuple):
    """For each value between the layer and the images its box, and how its signal goes on."""

    layer: int
    boxes: dict[int, Box]
    shapes: Mapping[int, torch.Size]
    steps: dict[int, list[BackwardStep]]


def plan_backward(trace: Trace, layer: str, rule: Rule) -> BackwardPlan:
    """Plan the backward pass from a position of a layer.

    Args:
        trace: Made with ``keep_for(rule)``.
        layer: Where to begin.
        rule: What passes through rectifiers.

    Raises:
        NotFollowedError: An operation without a way back here lies on the way.
    """
    start = trace.layers[layer].value
    if start is None or len(trace.shapes[start]) != 4:
        raise NotFollowedError("the layer's output is no stack of maps that depends on the images")
    boxes = {start: Box(Side(1, 0, 1), Side(1, 0, 1))}
    traced = needed_steps(trace.steps, [start])
    uses = Counter([value for step in traced for value in step.inputs] + [start])
    context = Context(trace.shapes, rule, foldable(traced, uses))
    steps: dict[int, list[BackwardStep]] = {}
    for step in reversed(traced):
        for output in step.outputs:
            if output not in boxes:
                continue
            boxes[output] = whole_if_large(boxes[output], trace.shapes[output])
            steps[output] = backward_of(step, output, boxes[output], context)
            for value, box, _ in steps[output]:
                boxes[value] = bounding_box(boxes.get(value), box, trace.shapes[value])
    if 0 not in boxes:
        raise NotFollowedError("nothing arrives at the images")
    return BackwardPlan(start, boxes, trace.shapes, steps)


def run_backward(plan: BackwardPlan, units: Tensor, activations: Tensor, pairs: Pairs) -> Tensor:
    """Send activations back to the images.

    Args:
        plan: The plan, for the images that ``pairs`` counts.
        units: ``(P,)`` int64.
        activations: ``(P,)`` float.
        pairs: Image and position of each.

    Returns:
        ``(P, C, H, W)``.
    """
    seed = activations.new_zeros(len(units), plan.shapes[plan.layer][1], 1, 1)
    seed[torch.arange(len(units), device=units.device), units, 0, 0] = activations
    signals = {plan.layer: seed.contiguous(memory_format=torch.channels_last)}
    for value in sorted(plan.steps, reverse=True):
        signal = signals.pop(value)
        clear_outside(signal, plan.boxes[value], plan.shapes[value], pairs)
        for source, box, apply in plan.steps[value]:
            arrived = rebox(apply(signal, pairs), box, plan.boxes[source], pairs)
            signals[source] = signals[source] + arrived if source in signals else arrived
    return rebox(signals[0], plan.boxes[0], whole_map(plan.shapes[0]), pairs)
