"""What matters in an image: the scores while a square hides one part of it after the other."""

import logging
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from lightning_viz.functional.activations import last_call
from lightning_viz.functional.increments import (
    NumberTakenOutError,
    Plan,
    Square,
    keep_outputs,
    make_plan,
    run,
    whole_maps,
)
from lightning_viz.isolation import isolated
from lightning_viz.layers import capture, find_layer
from lightning_viz.outputs import (
    ACTIVATIONS,
    Activation,
    Output,
    as_maps,
    check_images,
    class_scores,
    find_scores,
    probabilities,
)
from lightning_viz.trace import trace

__all__ = ["OcclusionMap", "occlusion_map"]

log = logging.getLogger("lightning_viz")

WHO = "occlusion_map"

Grid = NDArray[np.int64]
"""``(P, 2)`` top and left of P places of the square."""

Fill = float | Sequence[float] | Literal["mean", "blur"]

SAME = 3e-4
"""How far the scores of the two ways may be apart, in units of the largest score."""


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
    batch_size: int = 64,
) -> OcclusionMap:
    """Show how the probability of a class changes when a square hides one part of the image after the other.

    Only what the square can reach is computed again, in every layer; exact but for rounding. What can't be followed
    runs in plain batches.

    Args:
        model: Left exactly as found; runs in eval mode.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        classes: One for all images, or one for each; the prediction when omitted.
        square: Side in pixels; a seventh of the shorter side of the image when omitted.
        stride: Between two places; a quarter of the square when omitted. The last square is flush with the edge.
        fill: What hides: a value in normalised units (0 is the mean of the data), one per channel, ``"mean"`` of the
            image, or ``"blur"``.
        layer: Also sum the map of a unit of this layer.
        unit: Which; the strongest of each image when omitted.
        activation: What makes probabilities of scores.
        output: Where the scores are in what the model returns: a key, an index or a function.
        batch_size: How many places at once.

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
    if batch_size < 1:
        raise ValueError(f"{WHO}(batch_size={batch_size}): must be at least 1.")
    if layer is not None:
        find_layer(model, layer, nn.Module, who=WHO)
    elif unit is not None:
        raise ValueError(f"{WHO}(unit={unit}): name its layer: layer=...")
    tops, lefts = (_places(length, size, step) for length in images.shape[2:])
    grid = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
    with isolated(model), torch.no_grad():
        # One by one: some models let the images of a batch change each other.
        alone = [_plainly(model, image.detach(), layer, output) for image in torch.split(images, 1)]
        before = probabilities(torch.cat([scores for scores, _ in alone]).float(), activation)
        wanted = class_scores(before, before.argmax(1) if classes is None else classes, WHO)[1]
        units, content = [_unit(maps, unit) for _, maps in alone], _content(images.detach(), fill)
        found = []
        follow, together = True, batch_size
        for number, one in enumerate(units):
            here = slice(number, number + 1)
            question = _Question(model, images[here].detach(), content[here], layer, one, output)
            plan = None
            try:
                plan = _follow(question, grid, size) if follow else None
            except NumberTakenOutError as error:
                log.debug("lightning_viz: %s of %s runs image by image: %s", WHO, type(model).__name__, error)
                together = 1
            follow = plan is not None
            found.append(_occlude(question, plan, grid, size, together))
    scores = torch.stack([one.scores for one in found]).float()
    shares = probabilities(scores.flatten(0, 1), activation).reshape(len(images), len(tops), len(lefts), -1)
    probability = shares.gather(3, wanted[:, None, None, None].expand(*shares.shape[:3], 1))[..., 0]
    fall = before.gather(1, wanted[:, None])[:, :, None] - probability
    activity = torch.stack([one.activity for one in found]).reshape(probability.shape) if layer is not None else None
    return OcclusionMap(probability, shares.argmax(3), _spread(fall, tops, lefts, size, images.shape[2:]), activity)


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


def _unit(maps: Tensor | None, unit: int | None) -> int | None:
    """Check the unit, or take the strongest of an image; None without a layer."""
    if maps is None:
        return None
    if unit is not None and not 0 <= unit < maps.shape[1]:
        raise ValueError(f"{WHO}(unit={unit}): the layer has units 0 to {maps.shape[1] - 1}.")
    return int(maps.flatten(2).amax(2).argmax()) if unit is None else unit


def _content(images: Tensor, fill: Fill) -> Tensor:
    """What an image would be if it were hidden altogether."""
    if isinstance(fill, str):
        if fill == "mean":
            return images.mean((2, 3), keepdim=True).expand_as(images)
        if fill == "blur":
            sigma = min(images.shape[2:]) / 16
            reach = min(2 * round(2 * sigma) + 1, 2 * ((min(images.shape[2:]) - 1) // 2) + 1)
            return _blurred(images, reach, sigma)
        raise ValueError(f'{WHO}(fill={fill!r}): must be a number, one per channel, "mean" or "blur".')
    values = torch.as_tensor(fill, dtype=images.dtype, device=images.device).reshape(1, -1, 1, 1)
    if values.shape[1] not in (1, images.shape[1]):
        raise ValueError(f"{WHO}(fill=...): {values.shape[1]} values for {images.shape[1]} channels.")
    return values.expand_as(images)


def _blurred(images: Tensor, size: int, sigma: float) -> Tensor:
    places = torch.arange(size, dtype=images.dtype, device=images.device) - size // 2
    weights = (-0.5 * (places / sigma) ** 2).exp()
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, size)
    half = size // 2
    across = conv2d(pad(images, (half, half, 0, 0), mode="reflect"), weights, groups=images.shape[1])
    return conv2d(pad(across, (0, 0, half, half), mode="reflect"), weights.transpose(2, 3), groups=images.shape[1])


class _Question(NamedTuple):
    """One image, and what is asked about it."""

    model: nn.Module
    image: Tensor
    content: Tensor
    layer: str | None
    unit: int | None
    output: Output | None


class _Answer(NamedTuple):
    """For P places: the scores ``(P, classes)``, and the sum of the unit's map ``(P,)``."""

    scores: Tensor
    activity: Tensor


def _occlude(question: _Question, plan: "_Followed | None", grid: Grid, size: int, batch_size: int) -> _Answer:
    answers = []
    for first in range(0, len(grid), batch_size):
        part = grid[first : first + batch_size]
        if plan is not None:
            try:
                answers.append(_by_increments(plan, question, part, size))
                continue
            except Exception as error:  # noqa: BLE001 (as in _follow)
                log.debug(
                    "lightning_viz: %s of %s runs in plain batches: %s", WHO, type(question.model).__name__, error
                )
                plan = None
        answers.append(_by_forward(question, part, size))
    return _Answer(*(torch.cat(parts) for parts in zip(*answers, strict=True)))


class _Followed(NamedTuple):
    plan: Plan
    scores: int
    maps: int | None


def _follow(question: _Question, grid: Grid, size: int) -> _Followed | None:
    """Plan the recomputation, and try it; None where it can't be followed."""
    model, image, _, layer, _, output = question
    try:
        layers = [] if layer is None else [layer]
        traced = trace(model, image, layers, keep_outputs, pick=lambda returned: find_scores(returned, output, WHO))
        if traced is None or traced.result is None or traced.result.value is None:
            raise ValueError(
                "something is changed in place that another value is a view of, or nothing depends on images"
            )
        maps = None if layer is None else traced.layers[layer].value
        if layer is not None and maps is None:
            raise ValueError(f"{layer} does not depend on the images")
        wanted = [traced.result.value] + ([] if maps is None else [maps])
        followed = _Followed(make_plan(traced, image, wanted), traced.result.value, maps)
        _try(followed, question, grid, size)
    except NumberTakenOutError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever an unusual model does, plain batches still work)
        log.debug("lightning_viz: %s of %s runs in plain batches: %s", WHO, type(model).__name__, error)
        return None
    return followed


def _try(followed: _Followed, question: _Question, grid: Grid, size: int) -> None:
    """Compare both ways at some places, with noise in the square: what hides may be what is there."""
    noise = torch.rand(question.content.shape, generator=torch.Generator().manual_seed(0)).to(question.content)
    spread = question.image.std() + 0.1
    tried = question._replace(content=question.image.mean() + (2 * noise - 1) * spread)
    rows, columns = sorted(set(grid[:, 0].tolist())), sorted(set(grid[:, 1].tolist()))
    some = np.array([[rows[len(rows) // 2], columns[len(columns) // 2]], [rows[-1], columns[0]]])
    ours, theirs = _by_increments(followed, tried, some, size), _by_forward(tried, some, size)
    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"the shapes would differ: {tuple(one.shape)}, {tuple(other.shape)}")
        far = float((one - other).abs().max()) / max(float(other.abs().max()), 1e-12)
        if not far <= SAME:
            raise ValueError(f"the scores would be off by {far:.1e}")


def _by_increments(followed: _Followed, question: _Question, places: Grid, size: int) -> _Answer:
    plan, scores, maps = followed
    parts = run(plan, Square(_hidden(question, places, size), places[:, 0], places[:, 1]))
    count = len(places)
    activity = torch.zeros(count)
    if question.unit is not None and question.layer is not None and maps is not None:
        module = question.model.get_submodule(question.layer)
        whole = as_maps(whole_maps(plan, maps, parts, count), question.image.shape[2:], None, WHO, module)
        activity = whole[:, question.unit].sum((1, 2)).float().cpu()
    return _Answer(whole_maps(plan, scores, parts, count), activity)


def _hidden(question: _Question, places: Grid, size: int) -> Tensor:
    return torch.cat([question.content[:, :, top : top + size, left : left + size] for top, left in places.tolist()])


def _by_forward(question: _Question, places: Grid, size: int) -> _Answer:
    images = question.image.repeat(len(places), 1, 1, 1)
    for image, hidden, (top, left) in zip(images, _hidden(question, places, size), places.tolist(), strict=True):
        image[:, top : top + size, left : left + size] = hidden
    scores, maps = _plainly(question.model, images, question.layer, question.output)
    activity = torch.zeros(len(places))
    if maps is not None and question.unit is not None:
        activity = maps[:, question.unit].sum((1, 2)).float().cpu()
    return _Answer(scores, activity)


def _plainly(
    model: nn.Module, images: Tensor, layer: str | None, output: Output | None
) -> tuple[Tensor, Tensor | None]:
    if layer is None:
        return find_scores(model(images.clone()), output, WHO), None
    with capture(model, layer) as outputs:
        scores = find_scores(model(images.clone()), output, WHO)
    maps = as_maps(last_call(outputs, layer, WHO), images.shape[2:], None, WHO, model.get_submodule(layer))
    return scores, maps


def _spread(fall: Tensor, tops: Sequence[int], lefts: Sequence[int], size: int, image_size: Sequence[int]) -> Tensor:
    """Give each pixel the mean over the squares that cover it."""
    down, across = (
        torch.stack([((pixels >= place) & (pixels < place + size)).to(fall) for place in places])
        for places, pixels in ((tops, torch.arange(image_size[0])), (lefts, torch.arange(image_size[1])))
    )
    covered = down.sum(0)[:, None] * across.sum(0)
    total: Tensor = torch.einsum("nrc,rh,cw->nhw", fall, down, across)
    return torch.where(covered > 0, total / covered, torch.nan)
