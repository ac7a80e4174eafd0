"""The scores of an image while a square hides one part of it after the other; the fastest way that is exact."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_viz.functional.aten.linear import FastLinears
from lightning_viz.functional.incremental.plan import (
    ImagesMixError,
    Plan,
    Square,
    keep_outputs,
    make_plan,
    run,
    whole_maps,
)
from lightning_viz.functional.incremental.regions import channels_last, cut
from lightning_viz.introspection.layers import capture, last_call
from lightning_viz.introspection.outputs import Output, as_maps, find_scores
from lightning_viz.introspection.trace import Trace, trace

__all__ = ["Grid", "Prepared", "Question", "hide", "prepare"]

log = logging.getLogger("lightning_viz")

WHO = "occlusion_map"

Grid = NDArray[np.int64]
"""``(P, 2)`` top and left of P places of the square."""

SAME = 3e-4
"""How far the scores of the two ways may be apart, in units of the largest score."""

ROOM = 24 * 2**20
"""Bytes of the largest maps of the places that are computed together; larger ones cost more in new memory pages."""

FEWEST, MOST, PLAIN = 32, 128, 32
"""How many places are computed together; PLAIN by the model itself."""

Answer = tuple[Tensor, Tensor]
"""For P places: the scores ``(P, classes)``, and the sums of the unit's map ``(P,)``."""


class Question(NamedTuple):
    """One image, and what is asked about it."""

    model: nn.Module
    image: Tensor
    content: Tensor
    """What the image would be if it were hidden altogether."""
    layer: str | None
    unit: int | None
    output: Output | None


class _Way(NamedTuple):
    plan: Plan
    scores: int
    maps: int | None


class Prepared(NamedTuple):
    """How the question will be answered."""

    question: Question
    before: Tensor
    """Scores ``(classes,)`` of the image itself."""
    way: _Way | None
    """None: by the model itself."""
    together: int
    begun: tuple[Answer, ...] = ()
    """Of the first places."""


def prepare(question: Question, grid: Grid, size: int, together: int | None, follow: bool) -> Prepared:
    """Look at the image itself, and try whether computing only what the square can reach is exact.

    Args:
        question: The image; the model is on loan.
        grid: The places.
        size: Side of the square.
        together: How many places at once; chosen well when None.
        follow: Whether to try at all.

    Raises:
        ValueError: The layer has no such unit.
    """
    traced = _traced(question) if follow else None
    if traced is None or traced.result is None:
        scores, maps = _plainly(question, question.image)
    else:
        scores = traced.result.output
        maps = None if question.layer is None else _maps(question, traced.layers[question.layer].output)
    asked, question = question, question._replace(unit=_unit(maps, question.unit))
    try:
        if traced is None:
            return _by_itself(asked, together or PLAIN, (scores, maps))
        way = _way(question, traced)
        begun, largest = _try(way, question, grid, size, min(together or FEWEST, FEWEST))
        return Prepared(question, scores[0], way, together or min(max(ROOM // largest, FEWEST), MOST), (begun,))
    except ImagesMixError as error:
        _say(question, f"image by image: {error}")
        return _by_itself(asked, 1)
    except Exception as error:  # noqa: BLE001 (whatever an unusual model does, plain batches still work)
        _say(question, f"in plain batches: {error}")
        return _by_itself(asked, together or PLAIN, (scores, maps))


def _by_itself(question: Question, together: int, said: tuple[Tensor, Tensor | None] | None = None) -> Prepared:
    """Leave it to the model: in batches where what it says of the image is the same beside noise, else one by one.

    What was said in a trace need not be what the model says, since strides may count.
    """
    beside = _beside_noise(question) if together > 1 else None
    if said is None or beside is None or not _same(beside, said):
        said = _plainly(question, question.image)
        if beside is not None and not _same(beside, said):
            _say(question, "image by image, since those of a batch change each other")
            beside = None
    scores, maps = said
    unit = _unit(maps, question.unit)
    return Prepared(question._replace(unit=unit), scores[0], None, 1 if beside is None else together)


def _beside_noise(question: Question) -> tuple[Tensor, Tensor | None] | None:
    """What the model says of the image when it is neither the first nor the last of a batch; None if it can't."""
    noise = _noise(question, 2, question.image.shape[2:])
    try:
        scores, maps = _plainly(question, torch.cat([noise[:1], question.image, noise[1:]]))
    except Exception as error:  # noqa: BLE001 (it may take single images only)
        _say(question, f"image by image: {error}")
        return None
    return scores[1:2], None if maps is None else maps[1:2]


def _noise(question: Question, count: int, size: Sequence[int]) -> Tensor:
    image = question.image
    random = torch.rand((count, image.shape[1], *size), generator=torch.Generator().manual_seed(0))
    return image.mean() + (2 * random.to(image) - 1) * (image.std() + 0.1)


def hide(
    prepared: Prepared, grid: Grid, size: int, advance: Callable[[int], object]
) -> tuple[Tensor, Tensor, Prepared]:
    """Compute what the model says of the image for all places of the square.

    Args:
        prepared: By ``prepare``.
        grid: The places.
        size: Side of the square.
        advance: Hears how many more places are done.

    Returns:
        For P places: the scores ``(P, classes)``, the sums of the unit's map ``(P,)``; and how it was done in the end.
    """
    answers = list(prepared.begun)
    done = sum(len(scores) for scores, _ in answers)
    advance(done)
    while done < len(grid):
        # Of one size as far as possible: each new shape costs the convolutions a preparation.
        rest = len(grid) - done
        part = grid[done : done + -(-rest // -(-rest // prepared.together))]
        found = _answer(prepared, part, _hidden(prepared.question, part, size))
        if isinstance(found, Prepared):
            prepared = found
            continue
        answers.append(found)
        done += len(part)
        advance(len(part))
    scores, activity = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return scores, activity, prepared


def _answer(prepared: Prepared, part: Grid, hidden: Tensor) -> Answer | Prepared:
    """Compute some places, or say how to do it otherwise."""
    question = prepared.question
    if prepared.way is not None:
        try:
            return _by_increments(prepared.way, question, part, hidden)
        except Exception as error:  # noqa: BLE001 (as in prepare)
            _say(question, f"in plain batches: {error}")
            return _by_itself(question, min(prepared.together, PLAIN))
    return _by_forward(question, part, hidden)


def _say(question: Question, how: str) -> None:
    log.debug("lightning_viz: %s of %s runs %s", WHO, type(question.model).__name__, how)


def _unit(maps: Tensor | None, unit: int | None) -> int | None:
    """Check the unit, or take the strongest; None without a layer."""
    if maps is None:
        return None
    if unit is not None and not 0 <= unit < maps.shape[1]:
        raise ValueError(f"{WHO}(unit={unit}): the layer has units 0 to {maps.shape[1] - 1}.")
    return int(maps.flatten(2).amax(2).argmax()) if unit is None else unit


def _traced(question: Question) -> Trace | None:
    model, image, _, layer, _, output = question
    layers = [] if layer is None else [layer]
    pick = partial(find_scores, output=output, who=WHO)
    try:
        try:  # the values are kept channels last, and need not be turned where they are made so
            traced = trace(model, channels_last(image), layers, keep_outputs, pick=pick)
        except RuntimeError:  # view() asks for the usual order
            traced = trace(model, image, layers, keep_outputs, pick=pick)
        if traced is None:
            raise ValueError("something is changed in place that another value is a view of")
        return traced if set(layers) <= set(traced.layers) else None
    except Exception as error:  # noqa: BLE001 (as in prepare)
        _say(question, f"in plain batches: {error}")
        return None


def _way(question: Question, traced: Trace) -> _Way:
    if traced.result is None or traced.result.value is None:
        raise ValueError("the scores do not depend on the images")
    scores, maps = traced.result.value, None if question.layer is None else traced.layers[question.layer].value
    if question.layer is not None and maps is None:
        raise ValueError(f"{question.layer} does not depend on the images")
    return _Way(make_plan(traced, question.image, [scores] + ([] if maps is None else [maps])), scores, maps)


def _try(way: _Way, question: Question, grid: Grid, size: int, count: int) -> tuple[Answer, int]:
    """Begin with some places, and compare both ways at one more, with noise in the square.

    What hides may be what is there, so that it would show nothing; and a place alone would not show how several are
    told apart.

    Returns:
        The answer for the first places, and the bytes of the largest value of a place.

    Raises:
        ValueError: The two ways differ.
    """
    bottom = grid[grid[:, 0] == grid[:, 0].max()]
    # Neither the first nor the last, lest a model that looks at these compares the place with itself.
    others = grid[1:count] if count > 1 else grid[:1]
    places = np.concatenate([grid[:1], bottom[len(bottom) // 2 :][:1], others])
    hidden, noise = _hidden(question, places, size), _noise(question, 1, (size, size))
    hidden[1] = noise[0]
    seen: list[int] = []
    ours, theirs = _by_increments(way, question, places, hidden, seen), _by_forward(question, places[1:2], noise)
    for mine, other in zip(ours, theirs, strict=True):
        far = _far(mine[1:2], other) if len(mine) == len(places) else torch.inf
        if not far <= SAME:
            raise ValueError(f"the scores would be off by {far:.1e}")
    scores, activity = (torch.cat([one[:1], one[2:][: count - 1]]) for one in ours)
    return (scores, activity), max(seen) // len(places)


def _same(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(one is None or other is None or _far(one, other) <= SAME for one, other in pairs)


def _far(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference in units of the largest value; endless where the shapes differ."""
    if ours.shape != theirs.shape:
        return torch.inf
    return float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-12)


def _by_increments(
    way: _Way, question: Question, places: Grid, hidden: Tensor, seen: list[int] | None = None
) -> Answer:
    parts = run(way.plan, Square(hidden, places[:, 0], places[:, 1]), seen)
    activity = torch.zeros(len(places))
    if way.maps is not None:
        activity = _activity(question, _maps(question, whole_maps(way.plan, way.maps, parts, len(places))))
    return whole_maps(way.plan, way.scores, parts, len(places)), activity


def _by_forward(question: Question, places: Grid, hidden: Tensor) -> Answer:
    images = question.image.repeat(len(places), 1, 1, 1)
    for image, square, (top, left) in zip(images, hidden, places.tolist(), strict=True):
        image[:, top : top + square.shape[1], left : left + square.shape[2]] = square
    scores, maps = _plainly(question, images)
    return scores, torch.zeros(len(images)) if maps is None else _activity(question, maps)


def _hidden(question: Question, places: Grid, size: int) -> Tensor:
    return cut(channels_last(question.content), places[:, 0], places[:, 1], size, size)


def _plainly(question: Question, images: Tensor) -> tuple[Tensor, Tensor | None]:
    model, layer = question.model, question.layer
    if layer is None:
        with FastLinears():
            return find_scores(model(images.clone()), question.output, WHO), None
    with capture(model, layer) as outputs, FastLinears():
        scores = find_scores(model(images.clone()), question.output, WHO)
    return scores, _maps(question, last_call(outputs, layer, WHO))


def _maps(question: Question, output: Tensor) -> Tensor:
    assert question.layer is not None
    module = question.model.get_submodule(question.layer)
    return as_maps(output, question.image.shape[2:], None, WHO, module)


def _activity(question: Question, maps: Tensor) -> Tensor:
    assert question.unit is not None
    return maps[:, question.unit].sum((1, 2)).float().cpu()
