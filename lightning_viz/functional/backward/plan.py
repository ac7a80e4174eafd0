"""The way from one position of a layer down to the pixels, computed only where something arrives.

What one activation sends down stays in a box that grows from layer to layer, as its receptive field does. Many pairs of
a unit and an image go down together, each with its box at its own place.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

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
from lightning_viz.functional.backward.ops import BackwardStep, backward_of
from lightning_viz.functional.backward.rules import Rule
from lightning_viz.introspection.trace import Step, Trace

__all__ = ["BackwardPlan", "plan_backward", "run_backward"]


class BackwardPlan(NamedTuple):
    """A plan: for each value from the layer down its box, and what backward from it."""

    layer: int
    boxes: dict[int, Box]
    shapes: Mapping[int, torch.Size]
    backward: dict[int, list[BackwardStep]]


def plan_backward(trace: Trace, layer: str, rule: Rule) -> BackwardPlan:
    """Plan the way down from a position of a layer.

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
    backward: dict[int, list[BackwardStep]] = {}
    for step in reversed(trace.steps):
        for output in step.outputs:
            if output not in boxes:
                continue
            boxes[output] = whole_if_large(boxes[output], trace.shapes[output])
            scale = _folded(step, output, backward)
            backward[output] = backward_of(step, output, boxes[output], trace, rule, scale)
            for flow in backward[output]:
                boxes[flow.value] = bounding_box(boxes.get(flow.value), flow.box, trace.shapes[flow.value])
    if 0 not in boxes:
        raise NotFollowedError("nothing arrives at the images")
    return BackwardPlan(start, boxes, trace.shapes, backward)


def _folded(step: Step, output: int, backward: dict[int, list[BackwardStep]]) -> Tensor | None:
    """Take the scale of a normalisation into the convolution before it, if nothing else arrives there."""
    arriving = [(number, flow) for number, many in backward.items() for flow in many if flow.value == output]
    if step.operation != "convolution" or len(arriving) != 1 or arriving[0][1].scale is None:
        return None
    number, flow = arriving[0]
    backward[number] = [flow._replace(apply=_as_it_is)]
    return flow.scale


def _as_it_is(signal: Tensor, pairs: Pairs) -> Tensor:
    return signal


def run_backward(plan: BackwardPlan, units: Tensor, activations: Tensor, pairs: Pairs) -> Tensor:
    """Send activations down.

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
    for value in sorted(plan.backward, reverse=True):
        signal = signals.pop(value)
        clear_outside(signal, plan.boxes[value], plan.shapes[value], pairs)
        for flow in plan.backward[value]:
            arrived = rebox(flow.apply(signal, pairs), flow.box, plan.boxes[flow.value], pairs)
            signals[flow.value] = signals[flow.value] + arrived if flow.value in signals else arrived
    return rebox(signals[0], plan.boxes[0], whole_map(plan.shapes[0]), pairs)
