"""Maps whose channels a model moves to the last axis and back (ConvNeXt does), seen as the maps that they are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from lightning_viz.functional.aten.linear import linear_of
from lightning_viz.introspection.trace import Step, Value

__all__ = ["CHANNEL_NORM", "turn_back"]

CHANNEL_NORM = "channel_norm"

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]

_VIEWS = frozenset(("view", "_unsafe_view", "reshape", "clone", "alias"))


def turn_back(
    steps: Sequence[Step], clean: dict[int, Tensor], place_by_place: Collection[str], wanted: Collection[int]
) -> list[Step]:
    """Rewrite what is done pixel by pixel on values ``(..., C)`` as operations on maps ``(1, C, h, w)``.

    A linear layer becomes a convolution with 1 x 1 filters.

    Args:
        steps: Of one image.
        clean: Their values; those of new steps are added.
        place_by_place: Operations that treat all numbers alike.
        wanted: Values that must keep their number.

    Returns:
        The same computation; steps that nobody needs any more are among them.
    """
    numbers = count(max(clean) + 1)
    turned: dict[int, int] = {}  # a value to its maps
    same: dict[int, int] = {}  # maps that are back where they began
    rewritten = []
    for original in steps:
        step = replace(original, arguments={name: _renamed(value, same) for name, value in original.arguments.items()})
        output, source = step.outputs[0], step.inputs[0] if step.inputs else None
        new = _on_maps(step, turned, clean, place_by_place)
        if new is not None:
            maps = next(numbers)
            height, width = clean[new.inputs[0]].shape[2:]
            clean[maps] = clean[output].reshape(1, height, width, -1).permute(0, 3, 1, 2)
            turned[output] = maps
            back = partial(_turned, shape=tuple(clean[output].shape))
            rewritten += [replace(new, outputs=(maps,)), Step("turn", {"maps": Value(maps)}, (output,), None, back)]
            continue
        rewritten.append(step)
        if source is None:
            continue
        if step.operation == "permute" and clean[source].ndim == 4:
            order = [axis % 4 for axis in step.arguments["dims"]]
            if order == LAST and len(clean[source]) == 1 and source not in turned:
                turned[output] = source
            if order == FIRST and source in turned and clean[turned[source]].shape == clean[output].shape:
                same |= {output: turned[source]} if output not in wanted else {}
        elif step.operation in _VIEWS and source in turned and clean[output].shape[-1] == clean[source].shape[-1]:
            turned[output] = turned[source]
    return rewritten


def _renamed(argument: Any, same: Mapping[int, int]) -> Any:
    if isinstance(argument, Value):
        return Value(same.get(argument.number, argument.number))
    if isinstance(argument, list):
        return [_renamed(one, same) for one in argument]
    return argument


def _on_maps(
    step: Step, turned: Mapping[int, int], clean: Mapping[int, Tensor], place_by_place: Collection[str]
) -> Step | None:
    """Give an operation on turned values as one on maps; its outputs are still the old ones."""
    given, maps = step.arguments, [turned.get(value) for value in step.inputs]
    if not maps or None in maps or len({clean[one].shape for one in maps if one is not None}) != 1:
        return None
    channels = clean[turned[step.inputs[0]]].shape[1]
    if step.operation == "native_layer_norm" and list(given["normalized_shape"]) == [channels]:
        norm = partial(_channel_norm, weight=given["weight"], bias=given["bias"], eps=given["eps"])
        return Step(CHANNEL_NORM, {"self": Value(turned[step.inputs[0]])}, step.outputs, None, norm)
    if step.operation in ("addmm", "mm"):
        return _as_convolution(step, turned[step.inputs[0]])
    numbers = [value for value in given.values() if isinstance(value, Tensor) and value.ndim]
    if step.operation not in place_by_place or any(tuple(one.shape) != (channels,) for one in numbers):
        return None
    return replace(step, arguments={name: _as_maps(value, turned) for name, value in given.items()})


def _as_maps(argument: Any, turned: Mapping[int, int]) -> Any:
    if isinstance(argument, Value):
        return Value(turned[argument.number])
    return argument.reshape(-1, 1, 1) if isinstance(argument, Tensor) and argument.ndim else argument


def _as_convolution(step: Step, maps: int) -> Step | None:
    linear = linear_of(step)
    if linear is None:
        return None
    arguments = {
        "input": Value(maps),
        "weight": linear.weight[:, :, None, None],
        "bias": linear.bias,
        "stride": [1, 1],
        "padding": [0, 0],
        "dilation": [1, 1],
        "transposed": False,
        "output_padding": [0, 0],
        "groups": 1,
    }
    return Step("convolution", arguments, step.outputs, None, torch.ops.aten.convolution.default)


def _channel_norm(self: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    pixels = self.permute(0, 2, 3, 1)
    return layer_norm(pixels, pixels.shape[3:], weight, bias, eps).permute(0, 3, 1, 2)


def _turned(maps: Tensor, shape: tuple[int, ...]) -> Tensor:
    return maps.permute(0, 2, 3, 1).reshape(len(maps) * shape[0], *shape[1:])
