"""The scores of an image while a square hides one part of it after the other; the fastest way that is exact."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_viz.functional.activations import last_call
from lightning_viz.functional.increments import (
    ImagesMixError,
    Plan,
    Square,
    keep_outputs,
    make_plan,
    run,
    whole_maps,
)
from lightning_viz.functional.parts import channels_last, cut
from lightning_viz.layers import capture
from lightning_viz.outputs import Output, as_maps, find_scores
from lightning_viz.trace import Trace, trace

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
    question = question._replace(unit=_unit(maps, question.unit))
    try:
        if traced is None:
            return _by_itself(question, scores[0], together or PLAIN)
        way = _way(question, traced)
        begun, largest = _try(way, question, grid, size, min(together or FEWEST, FEWEST))
        return Prepared(question, scores[0], way, together or min(max(ROOM // largest, FEWEST), MOST), (begun,))
    except ImagesMixError as error:
        _say(question, f"image by image: {error}")
        return _by_itself(question, scores[0], 1)
    except Exception as error:  # noqa: BLE001 (whatever an unusual model does, plain batches still work)
        _say(question, f"in plain batches: {error}")
        return _by_itself(question, scores[0], together or PLAIN)


def _by_itself(question: Question, before: Tensor, together: int) -> Prepared:
    """Leave it to the model; alone, no batch would show whether the scores of the trace are its own."""
    own = _plainly(question, question.image)[0][0] if together == 1 else before
    return Prepared(question, own, None, together)


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
    checked = False
    advance(done)
    while done < len(grid):
        beside = prepared.way is None and prepared.together > 1 and not checked
        room = prepared.together - beside
        # Of one size as far as possible: each new shape costs the convolutions a preparation.
        rest = len(grid) - done
        part = grid[done : done + -(-rest // -(-rest // room))]
        found = _answer(prepared, part, _hidden(prepared.question, part, size), beside=beside)
        if isinstance(found, Prepared):
            prepared = found
            continue
        answers.append(found)
        checked = prepared.way is None
        done += len(part)
        advance(len(part))
    scores, activity = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return scores, activity, prepared


def _answer(prepared: Prepared, part: Grid, hidden: Tensor, *, beside: bool) -> Answer | Prepared:
    """Compute some places, or say how to do it otherwise."""
    question = prepared.question
    if prepared.way is not None:
        try:
            return _by_increments(prepared.way, question, part, hidden)
        except Exception as error:  # noqa: BLE001 (as in prepare)
            _say(question, f"in plain batches: {error}")
            return _by_itself(question, prepared.before, min(prepared.together, PLAIN))
    return _beside_the_image(prepared, part, hidden) if beside else _by_forward(question, part, hidden)


def _beside_the_image(prepared: Prepared, part: Grid, hidden: Tensor) -> Answer | Prepared:
    """Compute some places by the model itself in one batch with the image, whose scores must stay what they are."""
    question = prepared.question
    scores, activity = _by_forward(question, part, hidden, beside=True)
    if _far(scores[-1], prepared.before) <= SAME:
        return scores[:-1], activity[:-1]
    alone = _plainly(question, question.image)[0][0]
    if _far(scores[-1], alone) <= SAME:  # what was traced is not what the model says: strides may count, say
        return prepared._replace(before=alone)
    _say(question, "image by image, since those of a batch change each other")
    return prepared._replace(before=alone, together=1)


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
    places = np.concatenate([grid[:count], bottom[len(bottom) // 2 :][:1]])
    random = torch.rand((1, question.image.shape[1], size, size), generator=torch.Generator().manual_seed(0))
    noise = question.image.mean() + (2 * random.to(question.image) - 1) * (question.image.std() + 0.1)
    hidden = torch.cat([_hidden(question, places[:-1], size), noise])
    seen: list[int] = []
    ours, theirs = _by_increments(way, question, places, hidden, seen), _by_forward(question, places[-1:], noise)
    _compare([part[-1:] for part in ours], theirs)
    return (ours[0][:-1], ours[1][:-1]), max(seen) // len(places)


def _compare(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        if mine.shape != other.shape:
            raise ValueError(f"the shapes would differ: {tuple(mine.shape)}, {tuple(other.shape)}")
        far = _far(mine, other)
        if not far <= SAME:
            raise ValueError(f"the scores would be off by {far:.1e}")


def _far(mine: Tensor, other: Tensor) -> float:
    return float((mine - other).abs().max()) / max(float(other.abs().max()), 1e-12)


def _by_increments(
    way: _Way, question: Question, places: Grid, hidden: Tensor, seen: list[int] | None = None
) -> Answer:
    parts = run(way.plan, Square(hidden, places[:, 0], places[:, 1]), seen)
    activity = torch.zeros(len(places))
    if way.maps is not None:
        activity = _activity(question, _maps(question, whole_maps(way.plan, way.maps, parts, len(places))))
    return whole_maps(way.plan, way.scores, parts, len(places)), activity


def _by_forward(question: Question, places: Grid, hidden: Tensor, *, beside: bool = False) -> Answer:
    images = question.image.repeat(len(places) + beside, 1, 1, 1)
    for image, square, (top, left) in zip(images, hidden, places.tolist(), strict=False):
        image[:, top : top + square.shape[1], left : left + square.shape[2]] = square
    scores, maps = _plainly(question, images)
    return scores, torch.zeros(len(images)) if maps is None else _activity(question, maps)


def _hidden(question: Question, places: Grid, size: int) -> Tensor:
    return cut(channels_last(question.content), places[:, 0], places[:, 1], size, size)


def _plainly(question: Question, images: Tensor) -> tuple[Tensor, Tensor | None]:
    model, layer = question.model, question.layer
    if layer is None:
        return find_scores(model(images.clone()), question.output, WHO), None
    with capture(model, layer) as outputs:
        scores = find_scores(model(images.clone()), question.output, WHO)
    return scores, _maps(question, last_call(outputs, layer, WHO))


def _maps(question: Question, output: Tensor) -> Tensor:
    assert question.layer is not None
    module = question.model.get_submodule(question.layer)
    return as_maps(output, question.image.shape[2:], None, WHO, module)


def _activity(question: Question, maps: Tensor) -> Tensor:
    assert question.unit is not None
    return maps[:, question.unit].sum((1, 2)).float().cpu()
