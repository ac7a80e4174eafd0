"""What matters in an image: the scores while a square hides one part of it after the other."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lightning_viz.data.batches import progress_bar
from lightning_viz.functional.incremental.query import WHO, Grid, Query
from lightning_viz.functional.incremental.strategy import choose_strategy, score_occlusions
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import find_layer
from lightning_viz.introspection.outputs import (
    ACTIVATIONS,
    Activation,
    Output,
    check_images,
    class_scores,
    probabilities,
)

__all__ = ["OcclusionMap", "occlusion_map"]

Fill = float | Sequence[float] | Literal["mean", "blur"]


class OcclusionMap(NamedTuple):
    """What the model says as a function of the square's place: ``rows x cols`` places from top left.

    ``probability (N, rows, cols)`` of the class; ``predicted (N, rows, cols)`` the most likely class; ``drop
    (N, H, W)`` by how much the probability falls, the mean over the squares that cover a pixel (NaN where none does);
    ``activity (N, rows, cols)`` the sum of a unit's map, None when no layer was named.
    """

    probability: Tensor
    predicted: Tensor
    drop: Tensor
    activity: Tensor | None


def occlusion_map(
    model: nn.Module,
    images: Tensor,
    classes: int | Sequence[int] | Tensor | None = None,
    square: int | None = None,
    stride: int | None = None,
    fill: Fill = 0.0,
    layer: str | None = None,
    unit: int | None = None,
    activation: Activation = "softmax",
    output: Output | None = None,
    batch_size: int | None = None,
) -> OcclusionMap:
    """Show how the probability of a class changes when a square hides one part of the image after the other.

    Only what the square can reach is computed again, in every layer; exact but for rounding. What can't be followed
    runs in plain batches.

    Args:
        model: Left exactly as found; runs in eval mode.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched. The same
            image several times, for several classes, costs no more than once.
        classes: One for all images, or one for each; the prediction when omitted.
        square: Side in pixels; a seventh of the shorter side of the image when omitted.
        stride: Between two places; a quarter of the square when omitted. The last square is flush with the edge.
        fill: What hides: a value in normalised units (0 is the mean of the data), one per channel, ``"mean"`` of the
            image, or ``"blur"``.
        layer: Also sum the map of a unit of this layer.
        unit: Which; the strongest of each image when omitted.
        activation: What makes probabilities of scores.
        output: Where the scores are in what the model returns: a key, an index or a function.
        batch_size: How many places at once (a check takes three); chosen by the size of the maps when omitted.

    Returns:
        Probability, prediction, drop and activity.

    Raises:
        ValueError: A square larger than the image, no such class, layer or unit.
        TypeError: No scores in what the model returns.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2 and Fig. 6.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 18, 5))
        >>> occlusion_map(model, torch.randn(2, 3, 12, 20), square=4, stride=2).probability.shape
        torch.Size([2, 5, 9])
    """
    check_images(images, WHO)
    size, step = _square_and_stride(square, stride, images.shape[2:])
    if activation not in ACTIVATIONS:
        raise ValueError(f"{WHO}(activation={activation!r}): choices are {', '.join(map(repr, ACTIVATIONS))}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"{WHO}(batch_size={batch_size}): must be at least 1.")
    if layer is not None:
        find_layer(model, layer, nn.Module, who=WHO)
    elif unit is not None:
        raise ValueError(f"{WHO}(unit={unit}): name its layer: layer=...")
    tops, lefts = (_places(length, size, step) for length in images.shape[2:])
    grid = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
    order = _from_the_border(grid)
    grid, back = grid[order], torch.from_numpy(np.argsort(order))
    with isolated(model), torch.no_grad(), progress_bar(len(images) * len(grid), WHO, "places") as bar:
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        incremental = True
        for number, image in enumerate(torch.split(images.detach(), 1)):
            earlier = next((one for one in range(number) if torch.equal(images[one], image[0])), None)
            if earlier is not None:
                found.append(found[earlier])
                bar.update(len(grid))
                continue
            query = Query(model, image, _content(image, fill), layer, unit, output)
            strategy = choose_strategy(query, grid, size, batch_size, incremental)
            if classes is not None:  # before a long computation
                class_scores(strategy.clean_scores.expand(len(images), -1), classes, WHO)
            scores, sums, strategy = score_occlusions(strategy, grid, size, bar.update)
            found.append((strategy.clean_scores, scores[back.to(scores.device)], sums[back]))
            if strategy.incremental is None:  # nor will it be for the others
                incremental, batch_size = False, strategy.batch_size
    before, scores, sums = (torch.stack(parts) for parts in zip(*found, strict=True))
    before = probabilities(before.float(), activation)
    wanted = class_scores(before, before.argmax(1) if classes is None else classes, WHO)[1]
    shares = probabilities(scores.float().flatten(0, 1), activation).reshape(len(images), len(tops), len(lefts), -1)
    probability = shares.gather(3, wanted[:, None, None, None].expand(*shares.shape[:3], 1))[..., 0]
    drop = _spread(before.gather(1, wanted[:, None])[:, :, None] - probability, tops, lefts, size, images.shape[2:])
    activity = sums.reshape(probability.shape) if layer is not None else None
    return OcclusionMap(probability, shares.argmax(3), drop, activity)


def _square_and_stride(square: int | None, stride: int | None, image_size: Sequence[int]) -> tuple[int, int]:
    size = max(1, round(min(image_size) / 7)) if square is None else square
    step = max(1, size // 4) if stride is None else stride
    if not 1 <= size <= min(image_size):
        raise ValueError(f"{WHO}(square={square}): must be from 1 to {min(image_size)}, the shorter side of the image.")
    if step < 1:
        raise ValueError(f"{WHO}(stride={stride}): must be at least 1.")
    return size, step


def _places(length: int, size: int, step: int) -> list[int]:
    places = list(range(0, length - size + 1, step))
    return places if places[-1] == length - size else [*places, length - size]


def _from_the_border(grid: Grid) -> Grid:
    """Order places so that those near the border, where what can be reached is cut off, come together."""
    away = np.minimum(grid, grid.max(0) - grid)
    return np.lexsort((away[:, 1], away[:, 0]))


def _content(images: Tensor, fill: Fill) -> Tensor:
    """What an image would be if it were hidden altogether."""
    if isinstance(fill, str):
        if fill == "mean":
            return images.mean((2, 3), keepdim=True).expand_as(images)
        if fill == "blur":
            sigma = min(images.shape[2:]) / 16
            reach = min(2 * round(2 * sigma) + 1, 2 * ((min(images.shape[2:]) - 1) // 2) + 1)
            from torchvision.transforms.functional import gaussian_blur  # noqa: PLC0415 (takes long to import)

            blurred: Tensor = gaussian_blur(images, reach, sigma)
            return blurred
        raise ValueError(f'{WHO}(fill={fill!r}): must be a number, one per channel, "mean" or "blur".')
    values = torch.as_tensor(fill, dtype=images.dtype, device=images.device).reshape(1, -1, 1, 1)
    if values.shape[1] not in (1, images.shape[1]):
        raise ValueError(f"{WHO}(fill=...): {values.shape[1]} values for {images.shape[1]} channels.")
    return values.expand_as(images)


def _spread(fall: Tensor, tops: Sequence[int], lefts: Sequence[int], size: int, image_size: Sequence[int]) -> Tensor:
    """Give each pixel the mean over the squares that cover it."""
    down, across = (
        torch.stack([((pixels >= place) & (pixels < place + size)).to(fall) for place in places])
        for places, pixels in ((tops, torch.arange(image_size[0])), (lefts, torch.arange(image_size[1])))
    )
    covered = down.sum(0)[:, None] * across.sum(0)
    total: Tensor = torch.einsum("nrc,rh,cw->nhw", fall, down, across)
    return torch.where(covered > 0, total / covered, torch.nan)
