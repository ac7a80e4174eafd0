"""What is asked of one image, and what the model itself answers."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_viz.functional.aten.linear import FastLinears
from lightning_viz.functional.incremental.regions import channels_last, crop
from lightning_viz.introspection.layers import capture, last_call
from lightning_viz.introspection.outputs import Output, as_maps, find_scores

__all__ = ["WHO", "Answer", "Grid", "Query", "activity_of", "as_layer_maps", "check_unit", "hidden_content"]
__all__ += ["run_model", "score_by_model"]

WHO = "occlusion_map"

Grid = NDArray[np.int64]
"""``(P, 2)`` top and left of P positions of the square."""

Answer = tuple[Tensor, Tensor]
"""For P positions: the scores ``(P, classes)``, and the sums of the unit's map ``(P,)``."""


class Query(NamedTuple):
    """One image, and what is asked about it."""

    model: nn.Module
    image: Tensor
    content: Tensor
    """What the image would be if it were hidden altogether."""
    layer: str | None
    unit: int | None
    output: Output | None


def run_model(query: Query, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run the model on images.

    Returns:
        Scores ``(N, classes)``, and the layer's maps; None without a layer.
    """
    model, layer = query.model, query.layer
    if layer is None:
        with FastLinears():
            return find_scores(model(images.clone()), query.output, WHO), None
    with capture(model, layer) as outputs, FastLinears():
        scores = find_scores(model(images.clone()), query.output, WHO)
    return scores, as_layer_maps(query, last_call(outputs, layer, WHO))


def score_by_model(query: Query, positions: Grid, hidden: Tensor) -> Answer:
    """Answer by forward passes of whole images."""
    images = query.image.repeat(len(positions), 1, 1, 1)
    for image, square, (top, left) in zip(images, hidden, positions.tolist(), strict=True):
        image[:, top : top + square.shape[1], left : left + square.shape[2]] = square
    scores, maps = run_model(query, images)
    return scores, torch.zeros(len(images), dtype=torch.float32) if maps is None else activity_of(query, maps)


def hidden_content(query: Query, positions: Grid, size: int) -> Tensor:
    """Give what the square shows at some positions ``(P, C, size, size)``."""
    return crop(channels_last(query.content), positions[:, 0], positions[:, 1], size, size)


def as_layer_maps(query: Query, output: Tensor) -> Tensor:
    """Give the layer's output as maps ``(N, K, h, w)``."""
    assert query.layer is not None
    module = query.model.get_submodule(query.layer)
    return as_maps(output, query.image.shape[2:], None, WHO, module, "Choose another layer.")


def activity_of(query: Query, maps: Tensor) -> Tensor:
    """Sum the unit's map."""
    assert query.unit is not None
    return maps[:, query.unit].sum((1, 2)).float().cpu()


def check_unit(maps: Tensor | None, unit: int | None) -> int | None:
    """Check the unit, or take the strongest; None without a layer.

    Raises:
        ValueError: The layer has no such unit.
    """
    if maps is None:
        return None
    if unit is not None and not 0 <= unit < maps.shape[1]:
        raise ValueError(f"{WHO}(unit={unit}): the layer has units 0 to {maps.shape[1] - 1}.")
    return int(maps.flatten(2).amax(2).argmax()) if unit is None else unit
