"""Which part of the image a position of a layer sees."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_viz.functional.aten.batch_norm import NORMALISATIONS, by_batch
from lightning_viz.functional.aten.boxes import Box, Side, bounding_box, whole_map
from lightning_viz.functional.aten.windows import NotFollowedError, window
from lightning_viz.functional.empirical_receptive_field import measured_field, refusal
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import find_layer
from lightning_viz.introspection.trace import Step, Trace, trace

__all__ = ["ReceptiveField", "receptive_field", "receptive_fields"]

WHO = "receptive_field"


class ReceptiveField(NamedTuple):
    """Rows and columns each: the position (i, j) of the layer sees ``size`` pixels from ``start + stride * (i, j)``.

    It may begin before the image or end behind it, where there is padding. A layer behind global pooling sees the whole
    image from everywhere, and so it is said of one whose fields differ from place to place (windowed attention): then
    the stride is 0.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def boxes(self, positions: Tensor) -> Tensor:
        """Give the boxes of positions.

        Args:
            positions: ``(..., 2)`` rows and columns in the layer's map.

        Returns:
            ``(..., 4)`` top, left, bottom, right (half-open) in the image; they may reach beyond it.
        """
        first = positions * torch.tensor(self.stride) + torch.tensor(self.start)
        return torch.cat([first, first + torch.tensor(self.size)], dim=-1)


def receptive_field(model: nn.Module, layer: str, image_size: Sequence[int]) -> ReceptiveField:
    """Find which part of the image a position of a layer sees.

    It follows the operations of the forward pass: branches take the union, global pooling sees everything. Where an
    operation can't be followed (attention, resizing), it is measured: the pixels that move the position, in the same
    network with positive weights and average pooling, where nothing cancels out.

    Args:
        model: Left exactly as found.
        layer: Dotted name.
        image_size: (H, W), or (C, H, W) where the number of channels is not that of the first convolution.

    Returns:
        Size, stride and start, (rows, columns) each, in pixels.

    Raises:
        ValueError: No such layer, one that does not run, or one without maps.

    Source: Araujo et al., Computing receptive fields of convolutional neural networks, Distill 2019.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2))
        >>> receptive_field(model, "2", (64, 96))
        ReceptiveField(size=(19, 19), stride=(8, 8), start=(-2, -2))
    """
    return receptive_fields(model, [layer], image_size)[layer].field


class Found(NamedTuple):
    """A layer's receptive field, and how often the layer runs."""

    field: ReceptiveField
    runs: int


def receptive_fields(model: nn.Module, layers: Sequence[str], image_size: Sequence[int]) -> dict[str, Found]:
    """Find the receptive fields of several layers with one forward pass; see ``receptive_field``."""
    for layer in layers:
        find_layer(model, layer, nn.Module, who=WHO)
    with isolated(model):
        images = _images(model, image_size)
        runs = dict.fromkeys(layers, 0)
        handles = [model.get_submodule(layer).register_forward_hook(partial(_count, runs, layer)) for layer in layers]
        traced = trace(model, images, layers)
        for handle in handles:
            handle.remove()
        return {layer: Found(_field(model, layer, images, traced), runs[layer]) for layer in layers}


def _count(runs: dict[str, int], layer: str, module: nn.Module, inputs: object, output: object) -> None:
    if not isinstance(output, Tensor):
        raise ValueError(refusal(WHO, layer, f"returns a {type(output).__name__}, no maps"))
    runs[layer] += 1


def _images(model: nn.Module, image_size: Sequence[int]) -> Tensor:
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    channels = image_size[0] if len(image_size) == 3 else first.in_channels if first is not None else 3
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.zeros(()))
    return torch.rand(1, channels, *image_size[-2:], generator=torch.Generator().manual_seed(0)).to(like)


def _field(model: nn.Module, layer: str, images: Tensor, traced: Trace | None) -> ReceptiveField:
    try:
        if traced is None:
            raise NotFollowedError("changes in place that reach another value")
        rows, columns = _followed(traced, layer)
    except NotFollowedError:
        rows, columns = measured_field(model, layer, images, WHO)
    return ReceptiveField(*((getattr(rows, name), getattr(columns, name)) for name in ("size", "stride", "start")))


def _followed(traced: Trace, layer: str) -> Box:
    found = traced.layers.get(layer)
    if found is None:
        raise ValueError(refusal(WHO, layer, "does not run when the model is called on images"))
    if found.value is None:
        raise ValueError(refusal(WHO, layer, "does not depend on the images"))
    if len(traced.shapes[found.value]) != 4:
        raise NotFollowedError("no stack of maps")
    boxes = {found.value: Box(Side(1, 0, 1), Side(1, 0, 1))}
    for step in reversed(traced.steps):
        for output in step.outputs:
            if output in boxes:
                for value, seen in _seen_by(step, boxes[output], traced):
                    box = whole_map(traced.shapes[value]) if seen.rows.stride == 0 else seen
                    boxes[value] = bounding_box(boxes.get(value), box, traced.shapes[value])
    if 0 not in boxes:
        raise ValueError(refusal(WHO, layer, "does not depend on the images"))
    return boxes[0]


def _seen_by(step: Step, box: Box, traced: Trace) -> list[tuple[int, Box]]:
    """Which box of each input a box of the output depends on."""
    name, given, inputs = step.operation, step.arguments, step.inputs
    shapes, shape = [traced.shapes[value] for value in inputs], traced.shapes[step.outputs[0]]
    weight = given.get("weight") if name == "convolution" else None
    if isinstance(weight, Tensor) and weight.ndim == 4 and not given["transposed"] and len(inputs) == 1:
        return [(inputs[0], window(step, box, weight.shape[2:])[0])]
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        sizes = given["kernel_size"]
        return [(inputs[0], window(step, box, [sizes[0], sizes[-1]])[0])]
    if name == "constant_pad_nd" and len(given["pad"]) == 4:
        left, _, top, _ = given["pad"]
        return [(inputs[0], Box(_earlier(box.rows, top), _earlier(box.columns, left)))]
    if name in _OVER_SPACE and len(shapes[0]) == 4 and _OVER_SPACE[name](given):
        return [(inputs[0], whole_map(shapes[0]))]
    if name in _RESHAPES and all(_keeps_places(step, one, shape) for one in shapes):
        return [(value, box) for value in inputs]
    if name in _POINTWISE and all(one[-2:] in (shape[-2:], (1, 1)) and len(one) == 4 for one in shapes):
        # A gate has one value for all places.
        return [
            (value, box if one[-2:] == shape[-2:] else whole_map(one))
            for value, one in zip(inputs, shapes, strict=True)
        ]
    raise NotFollowedError(name)


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


def _is_global(given: Mapping[str, Any]) -> bool:
    if "output_size" in given:
        return tuple(given["output_size"]) == (1, 1)
    return isinstance(given["dim"], list) and {dim % 4 for dim in given["dim"]} == {2, 3} and given["keepdim"]


_OVER_SPACE: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    **dict.fromkeys(["_adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax", "sum"], _is_global),
    **dict.fromkeys(["native_group_norm"], lambda given: True),
    **dict.fromkeys(NORMALISATIONS, by_batch),
}

_RESHAPES = frozenset(
    ("view", "_unsafe_view", "reshape", "transpose", "permute", "split", "split_with_sizes", "slice", "select", "cat")
)

# fmt: off
_POINTWISE = frozenset((
    *NORMALISATIONS,
    "relu", "relu6", "hardtanh", "clamp", "clamp_min", "threshold", "leaky_relu", "elu", "selu", "celu", "silu",
    "gelu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "_prelu_kernel", "native_dropout",
    "add", "sub", "mul", "div", "rsub", "pow", "sqrt", "exp", "neg", "abs", "square", "maximum", "minimum", "clone",
    "alias", "detach", "contiguous", "_to_copy", "lift_fresh",
))
# fmt: on
