"""Climb a score: each image its own, all in one batch."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from lightning_viz.functional.backward.rules import gradient_of
from lightning_viz.functional.synthesis.canvas import Canvas
from lightning_viz.functional.synthesis.domain import Domain
from lightning_viz.functional.synthesis.regularisation import Regularisation
from lightning_viz.functional.synthesis.start import Score
from lightning_viz.functional.synthesis.views import shifted_and_scaled

__all__ = ["Climbed", "ascend"]

FIRST_MOVE = 0.1
"""By the root mean square of so much, in the network's units, the first step of a search moves a pixel."""

LONGER, SHORTER = 1.5, 0.5
"""What a search does to its step after one that rose, and after one that did not."""

ROUNDING = 1e-5
"""Of a score in float32, relative."""


class Climbed(NamedTuple):
    """Where the ascent of B images ended."""

    images: Tensor
    """``(B, C, H, W)``, finite."""
    stopped: Tensor
    """``(B,)`` bool: its score or gradient was not finite, and it stays where it was before."""


def ascend(
    score: Score, start: Tensor, canvas: Canvas, terms: Regularisation, turns: Iterable[int], seed: int, who: str
) -> Climbed:
    """Climb.

    Args:
        score: What rises.
        start: ``(B, C, H, W)``.
        canvas: What is changed.
        terms: Of the objective and of each step.
        turns: Numbers the steps.
        seed: Of the shifts.
        who: Begins the error message.

    Raises:
        ValueError: There is no way from the score to the image.
    """
    if terms.parametrisation != "pixels":
        return _by_adam(score, canvas.encode(start), canvas, terms, turns, seed, who)
    if terms.is_searched:
        return _by_search(score, start, terms, turns, who)
    return _by_rules(score, start, canvas.domain, terms, turns, seed, who)


def _by_adam(
    score: Score, parameter: Tensor, canvas: Canvas, terms: Regularisation, turns: Iterable[int], seed: int, who: str
) -> Climbed:
    generator = torch.Generator().manual_seed(seed)
    parameter = parameter.requires_grad_()
    assert terms.step_size is not None
    optimiser = torch.optim.Adam([parameter], lr=terms.step_size, maximize=True)
    stopped = torch.zeros(len(parameter), dtype=torch.bool, device=parameter.device)
    for _ in turns:
        images = canvas.decode(parameter)
        climbed = _penalised(score(shifted_and_scaled(images, terms.jitter, terms.scale, generator)), images, terms)
        gradient = gradient_of(climbed.sum(), parameter, who=who)
        stopped = stopped | ~_is_finite(climbed, gradient)
        before = parameter.detach().clone()
        parameter.grad = torch.where(_each(stopped, gradient), 0, gradient)
        optimiser.step()
        with torch.no_grad():
            parameter.copy_(torch.where(_each(stopped, before), before, parameter))
    return Climbed(canvas.decode(parameter).detach(), stopped)


def _by_search(score: Score, images: Tensor, terms: Regularisation, turns: Iterable[int], who: str) -> Climbed:
    """Go along the gradient, as far as the objective still rises."""
    now, gradient = _with_gradient(score, images, terms, who)
    stopped = ~_is_finite(now, gradient)
    length = FIRST_MOVE * images[0].numel() ** 0.5 / gradient.flatten(1).norm(dim=1).clamp(min=1e-30)
    for _ in turns:
        tried = images + _each(length, images) * torch.where(_each(stopped, gradient), 0, gradient)
        then, next_gradient = _with_gradient(score, tried, terms, who)
        rises = _rises(now, then, gradient, next_gradient) & tried.flatten(1).isfinite().all(1) & ~stopped
        stopped = stopped | (rises & ~_is_finite(then, next_gradient))
        goes = rises & ~stopped
        images, gradient = (
            torch.where(_each(goes, new), new, old) for new, old in ((tried, images), (next_gradient, gradient))
        )
        now = torch.where(goes, then, now)
        length = length * torch.where(goes, LONGER, SHORTER)
    return Climbed(images, stopped)


def _rises(now: Tensor, then: Tensor, gradient: Tensor, next_gradient: Tensor) -> Tensor:
    """Whether an objective rose. Where rounding hides it, whether the gradient still points the same way."""
    is_hidden = (then - now).abs() <= ROUNDING * now.abs()
    goes_on = (gradient * next_gradient).flatten(1).sum(1) >= 0
    return torch.where(is_hidden, goes_on, then >= now)


def _by_rules(
    score: Score, images: Tensor, domain: Domain, terms: Regularisation, turns: Iterable[int], seed: int, who: str
) -> Climbed:
    """Yosinski et al. 2015, in the order of their toolbox: clip, climb, decay, blur, clip what is small."""
    generator = torch.Generator().manual_seed(seed)
    unit = (domain.high - domain.low) / 255
    blurs = [_blur_matrix(side, terms.blur).to(images) for side in images.shape[2:]] if terms.blur else None
    stopped = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for step in turns:
        before = images = torch.clamp(images, domain.low, domain.high)
        leaf = images.detach().clone().requires_grad_()
        seen = shifted_and_scaled(leaf, terms.jitter, terms.scale, generator)
        climbed = _penalised(score(seen), leaf, terms)
        gradient = gradient_of(climbed.sum(), leaf, who=who)
        stopped = stopped | ~_is_finite(climbed, gradient)
        images = images + _step_sizes(gradient * unit, terms) * gradient * unit**2
        images = images * (1 - terms.decay)
        if blurs is not None and step % terms.blur_every == 0:
            images = blurs[0] @ images @ blurs[1].T
        images = _without_small(images, (images / unit).norm(dim=1), terms.small_norm)
        images = _without_small(images, (images * gradient).sum(1).abs(), terms.small_contribution)
        stopped = stopped | ~images.flatten(1).isfinite().all(1)
        images = torch.where(_each(stopped, before), before, images)
    return Climbed(torch.clamp(images, domain.low, domain.high), stopped)


def _step_sizes(gradient: Tensor, terms: Regularisation) -> Tensor:
    """Give ``(B, 1, 1, 1)`` factors of a gradient in units of 0..255."""
    most = torch.full((len(gradient),), terms.step_size or float("inf"), device=gradient.device)
    if terms.progress:
        squared = gradient.flatten(1).square().sum(1)
        most = torch.where(squared > 0, torch.minimum(most, terms.progress / squared), 0)  # of no gradient, no step
    return _each(most, gradient)


def _without_small(images: Tensor, size: Tensor, percentage: float) -> Tensor:
    if not percentage:
        return images
    limit = torch.quantile(size.flatten(1), percentage / 100, dim=1)
    return torch.where((size < limit[:, None, None])[:, None], 0, images)


def _blur_matrix(side: int, deviation: float) -> Tensor:
    return torch.from_numpy(gaussian_filter1d(np.eye(side), deviation, axis=0))


def _with_gradient(score: Score, images: Tensor, terms: Regularisation, who: str) -> tuple[Tensor, Tensor]:
    leaf = images.detach().clone().requires_grad_()
    climbed = _penalised(score(leaf), leaf, terms)
    return climbed.detach(), gradient_of(climbed.sum(), leaf, who=who)


def _penalised(scores: Tensor, images: Tensor, terms: Regularisation) -> Tensor:
    return scores - terms.l2 * images.flatten(1).square().sum(1) if terms.l2 else scores


def _is_finite(scores: Tensor, gradient: Tensor) -> Tensor:
    return scores.detach().isfinite() & gradient.flatten(1).isfinite().all(1)


def _each(values: Tensor, like: Tensor) -> Tensor:
    """Shape one value per image so that it meets all numbers of that image."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
