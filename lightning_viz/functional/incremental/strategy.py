"""The scores of an image while a square hides one part of it after the other, in the fastest way that is exact."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_viz.functional.incremental.ops import whole_maps
from lightning_viz.functional.incremental.plan import ImagesMixError, Plan, keep_outputs, make_plan
from lightning_viz.functional.incremental.query import (
    WHO,
    Answer,
    Grid,
    Query,
    activity_of,
    as_layer_maps,
    check_unit,
    hidden_content,
    run_model,
    score_by_model,
)
from lightning_viz.functional.incremental.regions import channels_last
from lightning_viz.functional.incremental.run import Square, run
from lightning_viz.introspection.outputs import find_scores
from lightning_viz.introspection.trace import Trace, trace

__all__ = ["Strategy", "choose_strategy", "score_occlusions"]

log = logging.getLogger("lightning_viz")

SCORE_TOLERANCE = 3e-4
"""How far the scores of the two ways may be apart, in units of the largest score."""

MAX_BATCH_BYTES = 24 * 2**20
"""Bytes of the largest maps of the positions that are computed together; larger ones cost more in new memory pages."""

MIN_BATCH, MAX_BATCH, PLAIN_BATCH = 32, 128, 32
"""How many positions are computed together; PLAIN_BATCH by the model itself."""


class _Incremental(NamedTuple):
    """A plan, and which of its values are the scores and the layer's maps."""

    plan: Plan
    scores: int
    maps: int | None


class Strategy(NamedTuple):
    """How a query will be answered."""

    query: Query
    clean_scores: Tensor
    """Scores ``(classes,)`` of the image itself."""
    incremental: _Incremental | None
    """None: by the model itself."""
    batch_size: int
    answers: tuple[Answer, ...] = ()
    """Of the first positions."""


def choose_strategy(query: Query, grid: Grid, size: int, batch_size: int | None, incremental: bool) -> Strategy:
    """Run the image itself, and try whether recomputing only what the square can reach is exact.

    Args:
        query: The image; the model is on loan.
        grid: The positions.
        size: Side of the square.
        batch_size: How many positions at once; chosen well when None.
        incremental: Whether to try at all.

    Raises:
        ValueError: The layer has no such unit.
    """
    traced = _trace_query(query) if incremental else None
    if traced is None or traced.result is None:
        scores, maps = run_model(query, query.image)
    else:
        scores = traced.result.output
        maps = None if query.layer is None else as_layer_maps(query, traced.layers[query.layer].output)
    asked, query = query, query._replace(unit=check_unit(maps, query.unit))
    try:
        if traced is None:
            return _plain_strategy(asked, batch_size or PLAIN_BATCH, (scores, maps))
        planned = _plan_query(query, traced)
        answer, largest = _verify(planned, query, grid, size, min(batch_size or MIN_BATCH, MIN_BATCH))
        count = batch_size or min(max(MAX_BATCH_BYTES // largest, MIN_BATCH), MAX_BATCH)
        return Strategy(query, scores[0], planned, count, (answer,))
    except ImagesMixError as error:
        _log(query, f"image by image: {error}")
        return _plain_strategy(asked, 1)
    except Exception as error:  # noqa: BLE001 (whatever an unusual model does, plain batches still work)
        _log(query, f"in plain batches: {error}")
        return _plain_strategy(asked, batch_size or PLAIN_BATCH, (scores, maps))


def _plain_strategy(query: Query, batch_size: int, traced: tuple[Tensor, Tensor | None] | None = None) -> Strategy:
    """Leave it to the model: in batches where its output for the image is the same beside noise, else one by one.

    What came out of a trace need not be what the model gives, since strides may count.
    """
    batched = _output_beside_noise(query) if batch_size > 1 else None
    clean = traced
    if clean is None or batched is None or not _agree(batched, clean):
        clean = run_model(query, query.image)
        if batched is not None and not _agree(batched, clean):
            _log(query, "image by image, since those of a batch change each other")
            batched = None
    scores, maps = clean
    unit = check_unit(maps, query.unit)
    return Strategy(query._replace(unit=unit), scores[0], None, 1 if batched is None else batch_size)


def _output_beside_noise(query: Query) -> tuple[Tensor, Tensor | None] | None:
    """Run the image where it is neither the first nor the last of a batch; None if the model can't."""
    noise = _noise(query, 2, query.image.shape[2:])
    try:
        scores, maps = run_model(query, torch.cat([noise[:1], query.image, noise[1:]]))
    except Exception as error:  # noqa: BLE001 (it may take single images only)
        _log(query, f"image by image: {error}")
        return None
    return scores[1:2], None if maps is None else maps[1:2]


def _noise(query: Query, count: int, size: Sequence[int]) -> Tensor:
    image = query.image
    shape, generator = (count, image.shape[1], *size), torch.Generator().manual_seed(0)
    random = torch.rand(shape, generator=generator, dtype=torch.float32)
    return image.mean() + (2 * random.to(image) - 1) * (image.std() + 0.1)


def score_occlusions(
    strategy: Strategy, grid: Grid, size: int, advance: Callable[[int], object]
) -> tuple[Tensor, Tensor, Strategy]:
    """Compute the scores for all positions of the square.

    Args:
        strategy: By ``choose_strategy``.
        grid: The positions.
        size: Side of the square.
        advance: Hears how many more positions are done.

    Returns:
        For P positions: the scores ``(P, classes)``, the sums of the unit's map ``(P,)``; and the strategy in the end.
    """
    answers = list(strategy.answers)
    done = sum(len(scores) for scores, _ in answers)
    advance(done)
    while done < len(grid):
        # Of one size as far as possible: each new shape costs the convolutions a preparation.
        rest = len(grid) - done
        positions = grid[done : done + -(-rest // -(-rest // strategy.batch_size))]
        answer = _answer(strategy, positions, hidden_content(strategy.query, positions, size))
        if isinstance(answer, Strategy):
            strategy = answer
            continue
        answers.append(answer)
        done += len(positions)
        advance(len(positions))
    scores, activity = (torch.cat(batches) for batches in zip(*answers, strict=True))
    return scores, activity, strategy


def _answer(strategy: Strategy, positions: Grid, hidden: Tensor) -> Answer | Strategy:
    """Score some positions, or fall back on another strategy."""
    query = strategy.query
    if strategy.incremental is not None:
        try:
            return _score_incrementally(strategy.incremental, query, positions, hidden)
        except Exception as error:  # noqa: BLE001 (as in choose_strategy)
            _log(query, f"in plain batches: {error}")
            return _plain_strategy(query, min(strategy.batch_size, PLAIN_BATCH))
    return score_by_model(query, positions, hidden)


def _log(query: Query, how: str) -> None:
    log.debug("lightning_viz: %s of %s runs %s", WHO, type(query.model).__name__, how)


def _trace_query(query: Query) -> Trace | None:
    model, image, _, layer, _, output = query
    layers = [] if layer is None else [layer]
    pick = partial(find_scores, output=output, who=WHO)
    try:
        try:  # the values are kept channels last, and need no conversion where they are made so
            traced = trace(model, channels_last(image), layers, keep_outputs, pick=pick)
        except RuntimeError:  # view() asks for the usual order
            traced = trace(model, image, layers, keep_outputs, pick=pick)
        if traced is None:
            raise ValueError("something is changed in place that another value is a view of")
        return traced if set(layers) <= set(traced.layers) else None
    except Exception as error:  # noqa: BLE001 (as in choose_strategy)
        _log(query, f"in plain batches: {error}")
        return None


def _plan_query(query: Query, traced: Trace) -> _Incremental:
    if traced.result is None or traced.result.value is None:
        raise ValueError("the scores do not depend on the images")
    scores, maps = traced.result.value, None if query.layer is None else traced.layers[query.layer].value
    if query.layer is not None and maps is None:
        raise ValueError(f"{query.layer} does not depend on the images")
    return _Incremental(make_plan(traced, query.image, [scores] + ([] if maps is None else [maps])), scores, maps)


def _verify(planned: _Incremental, query: Query, grid: Grid, size: int, count: int) -> tuple[Answer, int]:
    """Score the first positions, and compare both ways at one more, with noise in the square.

    What hides may be what is there, so that it would show nothing; and a position alone would not show how several are
    told apart.

    Returns:
        The answer for the first positions, and the bytes of the largest value of a position.

    Raises:
        ValueError: The two ways differ.
    """
    bottom = grid[grid[:, 0] == grid[:, 0].max()]
    # Neither the first nor the last, lest a model that looks at these compares the position with itself.
    others = grid[1:count] if count > 1 else grid[:1]
    positions = np.concatenate([grid[:1], bottom[len(bottom) // 2 :][:1], others])
    hidden, noise = hidden_content(query, positions, size), _noise(query, 1, (size, size))
    hidden[1] = noise[0]
    sizes: list[int] = []
    ours = _score_incrementally(planned, query, positions, hidden, sizes)
    for mine, other in zip(ours, score_by_model(query, positions[1:2], noise), strict=True):
        difference = _difference(mine[1:2], other) if len(mine) == len(positions) else torch.inf
        if not difference <= SCORE_TOLERANCE:
            raise ValueError(f"the scores would be off by {difference:.1e}")
    scores, activity = (torch.cat([one[:1], one[2:][: count - 1]]) for one in ours)
    return (scores, activity), max(sizes) // len(positions)


def _agree(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(one is None or other is None or _difference(one, other) <= SCORE_TOLERANCE for one, other in pairs)


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference in units of the largest value; infinite where the shapes differ."""
    if ours.shape != theirs.shape:
        return torch.inf
    return float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-12)


def _score_incrementally(
    planned: _Incremental, query: Query, positions: Grid, hidden: Tensor, sizes: list[int] | None = None
) -> Answer:
    plan, count = planned.plan, len(positions)
    regions = run(plan, Square(hidden, positions[:, 0], positions[:, 1]), sizes)
    activity = torch.zeros(count, dtype=torch.float32)
    if planned.maps is not None:
        activity = activity_of(query, as_layer_maps(query, whole_maps(plan, planned.maps, regions, count)))
    return whole_maps(plan, planned.scores, regions, count), activity
