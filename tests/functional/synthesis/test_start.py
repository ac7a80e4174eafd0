from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_viz.functional.synthesis.canvas import canvas_for
from lightning_viz.functional.synthesis.domain import plain_domain
from lightning_viz.functional.synthesis.start import noise, plain_starts, start_of

DOMAIN = plain_domain(2, (5, 7))
CANVAS = canvas_for("pixels", DOMAIN, None)


def level(value: float) -> Tensor:
    return torch.full((1, 2, 5, 7), value)


def above(*limits: float) -> object:
    """A score of each image that has a gradient only where its mean is larger than a limit of its own."""
    limit = torch.tensor(limits)
    return lambda images: torch.relu(images.mean((1, 2, 3)) - limit)


def test_each_target_starts_at_the_first_image_that_has_a_gradient():
    candidates = [level(0.1), level(0.5), level(0.3)]
    images, dead, infinite = start_of(above(-1, 0.2, 0.4, 0.9), CANVAS, candidates, 4, "who")
    np.testing.assert_allclose(images[:3, 0, 0, 0], [0.1, 0.5, 0.5], rtol=1e-6)
    assert dead.tolist() == [False, False, False, True]
    assert not infinite.any()
    assert (images[3] == DOMAIN.centre).all()


def test_no_more_candidates_are_made_than_are_needed():
    def candidates() -> Iterator[Tensor]:
        yield level(0.5)
        raise AssertionError("it was asked for another")

    images, dead, _ = start_of(above(0, 0.1), CANVAS, candidates(), 2, "who")
    assert images.eq(0.5).all()
    assert not dead.any()


def test_a_candidate_that_is_not_finite_is_no_start_for_its_target_alone():
    given = torch.cat([level(0.9), level(0.9)])
    given[1, 0, 2, 3] = torch.nan
    images, dead, infinite = start_of(above(0, 0), CANVAS, [given, level(0.4)], 2, "who")
    np.testing.assert_allclose(images[:, 1, 0, 0], [0.9, 0.4], rtol=1e-6)
    assert not dead.any()
    assert not infinite.any()


def test_a_score_that_is_nowhere_finite_is_not_taken_for_a_dead_one():
    def score(images: Tensor) -> Tensor:
        return images.mean((1, 2, 3)) * torch.tensor([1.0, torch.inf])

    images, dead, infinite = start_of(score, CANVAS, [level(0.5)], 2, "who")
    assert dead.tolist() == [False, False]
    assert infinite.tolist() == [False, True]
    assert images.isfinite().all()


def test_a_score_without_a_way_to_the_image_is_refused():
    with pytest.raises(ValueError, match="who: no derivative"):
        start_of(lambda images: images.detach().sum((1, 2, 3)), CANVAS, [level(0.5)], 1, "who")


def test_plain_starts_are_nothing_then_faint_then_strong_noise():
    plain, faint, strong = plain_starts(CANVAS, 0)
    assert plain.eq(0).all()
    big = plain_domain(3, (64, 96))
    for share in (0.01, 0.1):
        assert float(noise(big, 0, share).std()) == pytest.approx(4 * share, rel=0.03)
    assert 0 < faint.abs().max() < strong.abs().max()
    assert ((strong >= DOMAIN.low) & (strong <= DOMAIN.high)).all()
    assert torch.equal(noise(big, 3, 0.1), noise(big, 3, 0.1))
    assert not torch.equal(noise(big, 3, 0.1), noise(big, 4, 0.1))


def test_phases_have_no_plain_start():
    canvas = canvas_for("phase", DOMAIN, torch.ones(1, 2, 5, 4))
    assert [one.abs().max() > 0 for one in plain_starts(canvas, 0)] == [True, True]
