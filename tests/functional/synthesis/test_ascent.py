"""Each rule against a port of the toolbox of Yosinski et al., line by line, in NumPy and in 0..255 units."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.networks import convnet
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lightning_viz.functional.synthesis.ascent import Climbed, ascend
from lightning_viz.functional.synthesis.canvas import canvas_for
from lightning_viz.functional.synthesis.domain import Domain
from lightning_viz.functional.synthesis.regularisation import NAMED, Regularisation

SIZE = (12, 20)
TARGETS = torch.tensor([0, 3, 4])
DOMAIN = Domain(
    torch.tensor([-2.0, -1.5, -1.8])[:, None, None],
    torch.tensor([2.5, 2.0, 1.7])[:, None, None],
    torch.eye(3),
    SIZE,
    None,
)
START = 0.7 * torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
MODEL = convnet(size=SIZE)

PIXELS = {
    "nothing else": Regularisation(step_size=3000),
    "progress": Regularisation(progress=0.05),
    "progress up to a step size": Regularisation(step_size=2000, progress=0.05),
    "l2": Regularisation(step_size=3000, l2=0.01),
    "decay": Regularisation(step_size=3000, decay=0.2),
    "blur": Regularisation(step_size=3000, blur=0.8),
    "blur at times": Regularisation(step_size=3000, blur=1.3, blur_every=3),
    "blur wider than the image": Regularisation(step_size=3000, blur=7, blur_every=2),
    "small norm": Regularisation(step_size=3000, small_norm=33),
    "small contribution": Regularisation(step_size=3000, small_contribution=72),
    "all": Regularisation(
        step_size=3000, l2=0.01, decay=0.1, blur=0.5, blur_every=2, small_norm=21, small_contribution=13
    ),
    **{name: NAMED[name] for name in ("yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4")},
}


def score(images: Tensor) -> Tensor:
    return MODEL(images).gather(1, TARGETS[:, None])[:, 0]


def yosinski(start: np.ndarray, target: int, terms: Regularisation, steps: int) -> np.ndarray:
    """``optimize/gradient_optimizer.py`` for one image; the mean image is where the network's input is 0."""
    low, high = DOMAIN.low.double().numpy(), DOMAIN.high.double().numpy()
    unit = (high - low) / 255
    model, xx = convnet(size=SIZE).double(), start / unit
    for step in range(steps):
        xx = np.minimum(high / unit, np.maximum(low / unit, xx))
        leaf = torch.from_numpy(xx * unit)[None].requires_grad_()
        objective = model(leaf)[0, target] - terms.l2 * leaf.square().sum()
        grad = torch.autograd.grad(objective, leaf)[0][0].numpy() * unit
        rate = np.inf if terms.step_size is None else terms.step_size
        if terms.progress:
            rate = min(rate, terms.progress / np.linalg.norm(grad) ** 2)
        xx = xx + rate * grad
        xx = xx * (1 - terms.decay)
        if terms.blur and step % terms.blur_every == 0:
            xx = np.stack([gaussian_filter(channel, terms.blur) for channel in xx])
        if terms.small_norm:
            norms = np.linalg.norm(xx, axis=0)
            xx = xx * (norms >= np.percentile(norms, terms.small_norm))
        if terms.small_contribution:
            benefit = np.abs((-xx * grad).sum(0))
            xx = xx * (benefit >= np.percentile(benefit, terms.small_contribution))
    return np.minimum(high, np.maximum(low, xx * unit))


def climb(terms: Regularisation, steps: int, start: Tensor = START, seed: int = 0, score=score) -> Climbed:
    return ascend(score, start, canvas_for(terms.parametrisation, DOMAIN, None), terms, range(steps), seed, "who")


@pytest.mark.parametrize("name", PIXELS)
def test_every_rule_is_that_of_the_toolbox(name):
    terms, start = PIXELS[name], START.clone()
    found = climb(terms, 9)
    expected = [
        yosinski(one, target, terms, 9) for one, target in zip(START.double().numpy(), TARGETS.tolist(), strict=True)
    ]
    assert np.abs(expected - START.numpy()).max() > 0.1  # it went somewhere
    np.testing.assert_allclose(found.images, expected, atol=2e-4)
    assert not found.stopped.any()
    assert torch.equal(START, start)


def test_every_rule_matters():
    """Or the port would agree with anything."""
    images = [climb(terms, 4).images for terms in PIXELS.values()]
    pairs = [(one, other) for number, one in enumerate(images) for other in images[:number]]
    assert all((one - other).abs().max() > 1e-3 for one, other in pairs)


def test_the_first_step_is_jittered_like_the_view_and_its_gradient_comes_back_to_the_pixels():
    terms = Regularisation(step_size=3000, jitter=0.25)
    weights = torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(3))
    found = climb(terms, 1, torch.zeros(3, 3, *SIZE), score=lambda images: (images * weights).sum((1, 2, 3)))
    moved = found.images / (3000 * ((DOMAIN.high - DOMAIN.low) / 255) ** 2)
    # Of a linear score the gradient is the weights, moved the other way; what was mirrored adds up near borders.
    inner = moved[0][:, 4:-4, 4:-4]
    windows = [
        weights[:, down : down + inner.shape[1], right : right + inner.shape[2]]
        for down in range(1, 8)
        for right in range(1, 8)
    ]
    clipped = inner.abs() < 1
    assert any(torch.allclose(inner[clipped], window[clipped], atol=1e-3) for window in windows)


@pytest.mark.parametrize(
    "terms",
    [
        Regularisation(l2=0.01),
        Regularisation(step_size=3000, blur=0.5, blur_every=4, jitter=0.1),
        replace(NAMED["fourier"], jitter=0.1),
        NAMED["maco"],
    ],
    ids=["search", "rules", "fourier", "phase"],
)
def test_each_image_climbs_as_it_does_alone_and_a_seed_repeats_it(terms):
    magnitude = torch.rand(3, 3, SIZE[0], SIZE[1] // 2 + 1, generator=torch.Generator().manual_seed(2)) * 20

    def run(chosen: slice, seed: int = 0) -> Climbed:
        canvas = canvas_for(terms.parametrisation, DOMAIN, magnitude[chosen])

        def own(images: Tensor) -> Tensor:
            return MODEL(images).gather(1, TARGETS[chosen, None])[:, 0]

        return ascend(own, START[chosen], canvas, terms, range(5), seed, "who")

    together = run(slice(0, 3)).images
    alone = torch.cat([run(slice(number, number + 1)).images for number in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(together, run(slice(0, 3)).images)
    assert torch.equal(together, run(slice(0, 3), seed=1).images) == (terms.jitter == 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("terms", [Regularisation(l2=1e-4), Regularisation(step_size=3000), NAMED["fourier"]])
def test_where_a_score_is_no_longer_finite_the_last_finite_image_stands_and_others_go_on(terms, bad):
    limit = score(climb(terms, 3).images)[0].item()

    def breaks(images: Tensor) -> Tensor:
        scores = score(images)
        return torch.cat([scores[:1].masked_fill(scores[:1] > limit, bad), scores[1:]])

    found, later, free = climb(terms, 30, score=breaks), climb(terms, 35, score=breaks), climb(terms, 30)
    assert found.images.isfinite().all()
    assert torch.allclose(found.images[1:], free.images[1:], atol=1e-5)
    assert not found.stopped[1:].any()
    assert not torch.allclose(found.images[0], free.images[0], atol=1e-2)
    assert score(found.images)[0] > score(climb(terms, 0).images)[0]
    if terms.is_searched and math.isnan(bad):  # it is not larger: a shorter step is tried instead
        assert score(found.images)[0].item() == pytest.approx(limit, abs=0.1)
        assert not found.stopped.any()
    else:
        assert found.stopped[0]
        assert torch.equal(found.images[0], later.images[0])


@pytest.mark.parametrize("terms", [Regularisation(l2=1e-4), Regularisation(step_size=3000), NAMED["fourier"]])
def test_where_only_the_gradient_is_infinite_it_is_the_same(terms):
    def breaks(images: Tensor) -> Tensor:
        scores = score(images)
        return torch.cat([(scores[:1] - scores[:1].detach()).sqrt() + scores[:1].detach(), scores[1:]])

    found, start = climb(terms, 5, score=breaks), climb(terms, 0)
    assert found.stopped.tolist() == [True, False, False]
    assert torch.allclose(found.images[0], start.images[0], atol=1e-6)
    assert (score(found.images)[1:] > score(start.images)[1:]).all()


@pytest.mark.parametrize("step_size", [None, 100])
def test_by_progress_a_target_without_a_gradient_stays_where_it_is(step_size):
    terms = Regularisation(step_size=step_size, progress=2)
    found = climb(terms, 4, score=lambda images: torch.relu(images.mean((1, 2, 3)) - torch.tensor([100, -100, -100])))
    assert not found.stopped.any()
    assert torch.allclose(found.images[0], torch.clamp(START[0], DOMAIN.low, DOMAIN.high))
    assert (found.images[1:].mean((1, 2, 3)) > START[1:].mean((1, 2, 3))).all()


def test_a_search_never_goes_down():
    """The objective along the search, by stopping it earlier."""
    terms = Regularisation(l2=0.05)
    reached = []
    for steps in range(0, 40, 3):
        images = climb(terms, steps).images
        reached.append(score(images) - 0.05 * images.square().sum((1, 2, 3)))
    rises = torch.stack(reached).diff(dim=0)
    assert (rises >= -1e-4).all()
    assert (rises.sum(0) > 1).all()


@pytest.mark.parametrize("terms", [Regularisation(), Regularisation(step_size=1), NAMED["fourier"]])
def test_a_score_without_a_way_to_the_image_is_refused(terms):
    with pytest.raises(ValueError, match="who: no derivative reaches"):
        climb(terms, 2, score=lambda images: images.detach().sum((1, 2, 3)))
