"""Which part of the image a position of a layer sees."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lightning_viz.functional.aten.boxes import Box, Side, bounding_box, whole_map
from lightning_viz.functional.aten.receptive import seen_by
from lightning_viz.functional.aten.windows import NotFollowedError
from lightning_viz.functional.empirical_receptive_field import measured_field, refusal
from lightning_viz.introspection.calls import image_type
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import find_layer
from lightning_viz.introspection.trace import Trace, trace

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
    channels = image_size[0] if len(image_size) == 3 else _first_channels(model)
    shape, generator = (1, channels, *image_size[-2:]), torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=generator, dtype=torch.float32)
    return images.to(*image_type(model, images))


def _first_channels(model: nn.Module) -> int:
    """Give the input channels of the first convolution, also of one in TorchScript."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
        if getattr(module, "original_name", None) == "Conv2d":
            return cast("Tensor", module.weight).shape[1]  # a traced one has no more to tell
    return 3


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
                for value, seen in seen_by(step, boxes[output], traced.shapes):
                    box = whole_map(traced.shapes[value]) if seen.rows.stride == 0 else seen
                    boxes[value] = bounding_box(boxes.get(value), box, traced.shapes[value])
    if 0 not in boxes:
        raise ValueError(refusal(WHO, layer, "does not depend on the images"))
    return boxes[0]
