"""Where an ascent starts: at the plainest image that has a gradient."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from lightning_viz.functional.backward.rules import gradient_of
from lightning_viz.functional.synthesis.canvas import Canvas
from lightning_viz.functional.synthesis.domain import Domain

__all__ = ["Score", "Start", "noise", "plain_starts", "start_of"]

Score = Callable[[Tensor], Tensor]
"""Takes images ``(B, C, H, W)`` to the score ``(B,)`` of each, with its graph."""

FAINT, STRONG = 0.01, 0.25
"""Standard deviations of noise, as a share of the range."""

Start = tuple[Tensor, Tensor, Tensor]
"""Images ``(B, C, H, W)``; whether nothing moves the target ``(B,)``; whether its score is nowhere finite ``(B,)``."""


def start_of(score: Score, canvas: Canvas, candidates: Iterable[Tensor], count: int, who: str) -> Start:
    """Find for each target the first of some images that has a gradient.

    Args:
        score: Of each image for its own target.
        canvas: What will be changed.
        candidates: ``(count, C, H, W)`` or ``(1, C, H, W)`` each. What is not finite is no start.
        count: Of targets.
        who: Begins the error message.

    Raises:
        ValueError: There is no way from the scores to the image.
    """
    domain = canvas.domain
    shape = count, len(domain.low), *domain.size
    images = domain.centre.expand(shape).clone()
    found, seen = (torch.zeros(count, dtype=torch.bool, device=images.device) for _ in range(2))
    for candidate in candidates:
        tried = canvas.decode(canvas.encode(candidate.expand(shape))).detach()
        leaf = torch.where(tried.isfinite(), tried, domain.centre).requires_grad_()
        scores = score(leaf)
        gradient = gradient_of(scores.sum(), leaf, who=who).flatten(1)
        is_finite = scores.isfinite() & gradient.isfinite().all(1) & tried.flatten(1).isfinite().all(1)
        better = is_finite & gradient.any(1) & ~found
        images = torch.where(better[:, None, None, None], tried, images)
        found, seen = found | better, seen | is_finite
        if found.all():
            break
    return images, seen & ~found, ~seen


def plain_starts(canvas: Canvas, seed: int) -> Iterator[Tensor]:
    """Give the plain image, faint noise, and noise over the whole range; no plain one where it has no phases."""
    domain = canvas.domain
    if canvas.starts_from_nothing:
        yield domain.centre
    yield noise(domain, seed, FAINT)
    yield noise(domain, seed, STRONG)


def noise(domain: Domain, seed: int, share: float) -> Tensor:
    """Draw ``(1, C, H, W)`` around the centre, with a standard deviation of a share of the range."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(1, len(domain.low), *domain.size, generator=generator).to(domain.low)
    return (domain.centre + share * (domain.high - domain.low) * drawn).clamp(domain.low, domain.high)
