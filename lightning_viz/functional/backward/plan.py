"""The way from one position of a layer down to the pixels, computed only where something arrives.

What one activation sends down stays in a box that grows from layer to layer, as its receptive field does. Many pairs of
a unit and an image go down together, each with its box at its own place.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_viz.functional.aten.boxes import Box, Pairs, Side, clear_outside, moved, settled, united, whole
from lightning_viz.functional.aten.windows import NotFollowedError
from lightning_viz.functional.backward.ops import Flow, flows_down
from lightning_viz.functional.backward.rules import Rule
from lightning_viz.introspection.trace import Step, Trace

__all__ = ["Descent", "descend", "plan_descent"]


class Descent(NamedTuple):
    """A plan: for each value from the layer down its box, and what flows from it."""

    layer: int
    boxes: dict[int, Box]
    shapes: Mapping[int, torch.Size]
    flows: dict[int, list[Flow]]


def plan_descent(trace: Trace, layer: str, rule: Rule) -> Descent:
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
    flows: dict[int, list[Flow]] = {}
    for step in reversed(trace.steps):
        for output in step.outputs:
            if output not in boxes:
                continue
            boxes[output] = settled(boxes[output], trace.shapes[output])
            scale = _folded(step, output, flows)
            flows[output] = flows_down(step, output, boxes[output], trace, rule, scale)
            for flow in flows[output]:
                boxes[flow.value] = united(boxes.get(flow.value), flow.box, trace.shapes[flow.value])
    if 0 not in boxes:
        raise NotFollowedError("nothing arrives at the images")
    return Descent(start, boxes, trace.shapes, flows)


def _folded(step: Step, output: int, flows: dict[int, list[Flow]]) -> Tensor | None:
    """Take the scale of a normalisation into the convolution before it, if nothing else arrives there."""
    arriving = [(number, flow) for number, many in flows.items() for flow in many if flow.value == output]
    if step.operation != "convolution" or len(arriving) != 1 or arriving[0][1].scale is None:
        return None
    number, flow = arriving[0]
    flows[number] = [flow._replace(apply=_as_it_is)]
    return flow.scale


def _as_it_is(signal: Tensor, pairs: Pairs) -> Tensor:
    return signal


def descend(descent: Descent, units: Tensor, activations: Tensor, pairs: Pairs) -> Tensor:
    """Send activations down.

    Args:
        descent: The plan, for the images that ``pairs`` counts.
        units: ``(P,)`` int64.
        activations: ``(P,)`` float.
        pairs: Image and position of each.

    Returns:
        ``(P, C, H, W)``.
    """
    seed = activations.new_zeros(len(units), descent.shapes[descent.layer][1], 1, 1)
    seed[torch.arange(len(units), device=units.device), units, 0, 0] = activations
    signals = {descent.layer: seed.contiguous(memory_format=torch.channels_last)}
    for value in sorted(descent.flows, reverse=True):
        signal = signals.pop(value)
        clear_outside(signal, descent.boxes[value], descent.shapes[value], pairs)
        for flow in descent.flows[value]:
            arrived = moved(flow.apply(signal, pairs), flow.box, descent.boxes[flow.value], pairs)
            signals[flow.value] = signals[flow.value] + arrived if flow.value in signals else arrived
    return moved(signals[0], descent.boxes[0], whole(descent.shapes[0]), pairs)
