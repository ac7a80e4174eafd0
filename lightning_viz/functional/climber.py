"""Climb for many targets: a start for each, batches, and what became of every one."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_viz.data.batches import progress_bar
from lightning_viz.functional.halving import run_on_each
from lightning_viz.functional.synthesis.ascent import ascend
from lightning_viz.functional.synthesis.canvas import Canvas, canvas_for
from lightning_viz.functional.synthesis.domain import Domain, magnitude_of
from lightning_viz.functional.synthesis.objective import Objective, against_rivals
from lightning_viz.functional.synthesis.regularisation import Regularisation
from lightning_viz.functional.synthesis.start import Score, plain_starts, start_of

__all__ = ["Climber", "Synthesis"]

STRONGEST = 9
"""So many of the user's images, those that excite a target most, give the magnitudes of its frequencies."""


class Synthesis(NamedTuple):
    """The images of K targets, and what became of each."""

    images: Tensor
    """``(K, C, H, W)`` float32; NaN where the target is dead."""
    values: Tensor
    """``(K, targets)``: the values of all targets there are, for each image; NaN where it is dead."""
    dead: Tensor
    """``(K,)`` bool: nothing was found that moves it."""
    stopped: Tensor
    """``(K,)`` bool: its score or gradient became infinite or NaN; the last finite image stands."""


class Climber:
    """One way of climbing, for all targets.

    Args:
        objective: Of all targets, for images.
        domain: What the images are like.
        terms: Of the objective and of each step.
        steps: How many.
        seed: Of noise, shifts and scales.
        who: Begins the error message.
        most: So many images are run at once.
    """

    def __init__(
        self, objective: Objective, domain: Domain, terms: Regularisation, steps: int, seed: int, who: str, most: int
    ) -> None:
        self.values, self.maps = objective
        self.domain, self.terms = domain, terms
        self.steps, self.seed, self.who, self.most = steps, seed, who, most

    def of_all(self, targets: Tensor, init: Tensor | None) -> Synthesis:
        """Climb in batches."""
        parts: dict[int, Synthesis] = {}
        numbers = torch.arange(len(targets))
        with progress_bar(self.steps * len(targets), self.who, "steps") as bar:

            def run(ids: Tensor, chosen: Tensor) -> None:
                parts[int(ids[0])] = self._of_batch(chosen, None if init is None else init[ids], bar.update)

            run_on_each(zip(torch.split(numbers, self.most), torch.split(targets, self.most), strict=True), run)
        return Synthesis(*(torch.cat(same) for same in zip(*(parts[key] for key in sorted(parts)), strict=True)))

    def _of_batch(self, targets: Tensor, init: Tensor | None, advance: Callable[[int], object]) -> Synthesis:
        magnitude = self._magnitude(targets) if self.terms.parametrisation == "phase" else None
        canvas = canvas_for(self.terms.parametrisation, self.domain, magnitude)
        starts = self._starts(canvas, targets, init)
        # By its own score: where nothing moves that, lowering its rivals would draw a picture of them.
        images, dead, stopped = start_of(self._score_of(targets, 0), canvas, starts, len(targets), self.who)
        climbs = ~(dead | stopped)
        if climbs.any():
            if magnitude is not None:
                canvas = canvas_for(self.terms.parametrisation, self.domain, magnitude[climbs])
            score = self._score_of(targets[climbs], self.terms.rivals)
            turns = _counted(self.steps, int(climbs.sum()), advance)
            climbed = ascend(score, images[climbs], canvas, self.terms, turns, self.seed, self.who)
            images[climbs], stopped[climbs] = climbed
        with torch.no_grad():
            values = self.values(images)
        images[dead], values[dead] = torch.nan, torch.nan
        return Synthesis(images, values, dead, stopped)

    def _score_of(self, targets: Tensor, rivals: float) -> Score:
        return lambda images: against_rivals(self.values(images), targets, rivals)

    def _starts(self, canvas: Canvas, targets: Tensor, init: Tensor | None) -> Iterator[Tensor]:
        if init is not None:
            yield init
        yield from plain_starts(canvas, self.seed)
        if self.domain.images is not None:
            yield self.domain.images[self._ranked(targets)[:, 0]]
            if self.maps is not None:
                yield self._centred(self.domain.images, targets)

    def _magnitude(self, targets: Tensor) -> Tensor:
        assert self.domain.images is not None
        best, axes = self.domain.images[self._ranked(targets)[:, :STRONGEST]], self.domain.axes
        return torch.stack([magnitude_of(images, axes) for images in best])

    def _ranked(self, targets: Tensor) -> Tensor:
        """Order the user's images for each target by their score, the strongest first: ``(B, N)``."""
        values, rivals = self._values_of_images, self.terms.rivals
        scores = [against_rivals(values, target.expand(len(values)), rivals) for target in targets]
        return torch.stack(scores).nan_to_num(-torch.inf).argsort(dim=1, descending=True, stable=True)

    @torch.no_grad()
    def _centred(self, images: Tensor, targets: Tensor) -> Tensor:
        """Roll for each target the image that excites it most anywhere, so that the place lies at the centre."""
        assert self.maps is not None
        maps = torch.cat([self.maps(some)[:, targets] for some in torch.split(images, self.most)])
        height, width = maps.shape[2:]
        strongest = maps.transpose(0, 1).flatten(1).nan_to_num(-torch.inf).argmax(1)
        rolled = []
        for number, place in zip((strongest // (height * width)).tolist(), strongest.tolist(), strict=True):
            row, column = place % (height * width) // width, place % width
            down = round((height // 2 - row) * images.shape[2] / height)
            right = round((width // 2 - column) * images.shape[3] / width)
            rolled.append(images[number].roll((down, right), (1, 2)))
        return torch.stack(rolled)

    @cached_property
    def _values_of_images(self) -> Tensor:
        assert self.domain.images is not None
        with torch.no_grad():
            return torch.cat([self.values(some) for some in torch.split(self.domain.images, self.most)])


def _counted(steps: int, images: int, advance: Callable[[int], object]) -> Iterator[int]:
    for step in range(steps):
        yield step
        advance(images)
