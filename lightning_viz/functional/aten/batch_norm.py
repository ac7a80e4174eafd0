"""Batch normalisation in eval mode: a scale and a shift per channel, which the convolution before it can take over."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lightning_viz.functional.aten.operations import kind_of
from lightning_viz.functional.aten.windows import window_of
from lightning_viz.introspection.trace import Step, Value

__all__ = ["affine", "by_batch", "fold", "foldable"]


def by_batch(given: Mapping[str, Any]) -> bool:
    """Whether a normalisation with these arguments takes the statistics of its own input."""
    return bool(given.get("training", False)) or not isinstance(given["running_var"], Tensor)


def affine(given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Give the scale and the shift ``(C,)`` of a normalisation with these arguments."""
    scale = (given["running_var"] + given.get("eps", given.get("epsilon"))).rsqrt()
    scale = scale if given["weight"] is None else scale * given["weight"]
    shift = -given["running_mean"] * scale
    return scale, shift if given["bias"] is None else shift + given["bias"]


def foldable(steps: Sequence[Step], uses: Mapping[int, int]) -> dict[int, Step]:
    """Find the normalisations that alone use what a convolution gives.

    Args:
        steps: In order.
        uses: How often each value is used.

    Returns:
        Output of a convolution to its normalisation.
    """
    convolutions = {step.outputs[0] for step in steps if step.operation == "convolution" and window_of(step)}
    found = {}
    for step in steps:
        if kind_of(step.operation) != "normalisation" or by_batch(step.arguments):
            continue
        source = step.arguments["input"]
        if isinstance(source, Value) and source.number in convolutions and uses[source.number] == 1:
            found[source.number] = step
    return found


def fold(convolution: Step, norm: Step | None) -> tuple[Tensor, Tensor | None]:
    """Give the filters and biases of a convolution with the normalisation behind it."""
    weight, bias = convolution.arguments["weight"], convolution.arguments["bias"]
    if norm is None:
        return weight, bias
    scale, shift = affine(norm.arguments)
    return weight * scale.reshape(-1, 1, 1, 1), shift if bias is None else bias * scale + shift
