"""Maps whose channels a model moves to the last axis and back (ConvNeXt does), rewritten as maps, channels first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from lightning_viz.functional.aten.linear import linear_of
from lightning_viz.functional.aten.operations import POINTWISE, kind_of
from lightning_viz.introspection.trace import Step, Value

__all__ = ["CHANNEL_NORM", "to_channels_first"]

CHANNEL_NORM = "channel_norm"
"""A layer norm over the channels of each pixel of a map; no operation of ATen."""

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def to_channels_first(steps: Sequence[Step], clean: dict[int, Tensor], wanted: Collection[int]) -> list[Step]:
    """Rewrite what is done pixel by pixel on values ``(..., C)`` as operations on maps ``(1, C, h, w)``.

    A linear layer becomes a convolution with 1 x 1 filters.

    Args:
        steps: Of one image.
        clean: Their values; those of new steps are added.
        wanted: Values that must keep their number.

    Returns:
        The same computation; steps that nobody needs any more are among them.
    """
    numbers = count(max(clean) + 1)
    maps_of: dict[int, int] = {}  # a value with channels last to the same as maps
    renamed: dict[int, int] = {}  # a value that equals maps to these
    rewritten = []
    for original in steps:
        arguments = {name: _rename(value, renamed) for name, value in original.arguments.items()}
        step = replace(original, arguments=arguments)
        output, source = step.outputs[0], step.inputs[0] if step.inputs else None
        on_maps = _on_maps(step, maps_of, clean)
        if on_maps is not None:
            maps = next(numbers)
            height, width = clean[on_maps.inputs[0]].shape[2:]
            clean[maps] = clean[output].reshape(1, height, width, -1).permute(0, 3, 1, 2)
            maps_of[output] = maps
            back = partial(_to_channels_last, shape=tuple(clean[output].shape))
            rewritten.append(replace(on_maps, outputs=(maps,)))
            rewritten.append(Step("to_channels_last", {"maps": Value(maps)}, (output,), None, back))
            continue
        rewritten.append(step)
        if source is None:
            continue
        if step.operation == "permute" and clean[source].ndim == 4:
            order = [axis % 4 for axis in step.arguments["dims"]]
            if order == LAST and len(clean[source]) == 1 and source not in maps_of:
                maps_of[output] = source
            if order == FIRST and source in maps_of and clean[maps_of[source]].shape == clean[output].shape:
                renamed |= {output: maps_of[source]} if output not in wanted else {}
        elif (
            kind_of(step.operation) in ("reshape", "identity")
            and source in maps_of
            and clean[output].shape[-1] == clean[source].shape[-1]
        ):
            maps_of[output] = maps_of[source]
    return rewritten


def _rename(argument: Any, renamed: Mapping[int, int]) -> Any:
    if isinstance(argument, Value):
        return Value(renamed.get(argument.number, argument.number))
    if isinstance(argument, list):
        return [_rename(one, renamed) for one in argument]
    return argument


def _on_maps(step: Step, maps_of: Mapping[int, int], clean: Mapping[int, Tensor]) -> Step | None:
    """Give an operation on values with channels last as one on maps; its outputs are still the old ones."""
    given, maps = step.arguments, [maps_of.get(value) for value in step.inputs]
    if not maps or None in maps or len({clean[one].shape for one in maps if one is not None}) != 1:
        return None
    source = maps_of[step.inputs[0]]
    channels = clean[source].shape[1]
    if step.operation == "native_layer_norm" and list(given["normalized_shape"]) == [channels]:
        norm = partial(_channel_norm, weight=given["weight"], bias=given["bias"], eps=given["eps"])
        return Step(CHANNEL_NORM, {"self": Value(source)}, step.outputs, None, norm)
    if kind_of(step.operation) == "matrix product":
        return _as_convolution(step, source)
    numbers = [value for value in given.values() if isinstance(value, Tensor) and value.ndim]
    if kind_of(step.operation) not in POINTWISE or any(tuple(one.shape) != (channels,) for one in numbers):
        return None
    return replace(step, arguments={name: _as_maps(value, maps_of) for name, value in given.items()})


def _as_maps(argument: Any, maps_of: Mapping[int, int]) -> Any:
    if isinstance(argument, Value):
        return Value(maps_of[argument.number])
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


def _to_channels_last(maps: Tensor, shape: tuple[int, ...]) -> Tensor:
    return maps.permute(0, 2, 3, 1).reshape(len(maps) * shape[0], *shape[1:])
