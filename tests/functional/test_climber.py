from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.networks import convnet
from torch import Tensor

from lightning_viz.functional.climber import Climber, Synthesis
from lightning_viz.functional.synthesis.domain import domain_of
from lightning_viz.functional.synthesis.objective import Objective
from lightning_viz.functional.synthesis.regularisation import NAMED, Regularisation

IMAGES = torch.randn(14, 3, 12, 20, generator=torch.Generator().manual_seed(0))
MODEL = convnet()
TARGETS = torch.tensor([4, 1, 0, 2, 1])


def climbed(
    values: Callable[[Tensor], Tensor] = MODEL, regularisation: Regularisation | str = "maco", most: int = 64
) -> Synthesis:
    terms = NAMED.get(regularisation, regularisation)
    objective = Objective(values, None)
    return Climber(objective, domain_of(IMAGES, None), terms, 3, 0, "who", most).of_all(TARGETS, None)


def test_where_memory_runs_out_the_halves_come_back_in_order():
    sizes = []

    def greedy(images: Tensor) -> Tensor:
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.cuda.OutOfMemoryError
        return MODEL(images)

    whole, halved = climbed(regularisation="fourier"), climbed(greedy, "fourier")
    assert max(sizes) == 5
    assert torch.allclose(whole.images, halved.images, atol=1e-5)
    assert torch.allclose(whole.values, halved.values, atol=1e-4)


@pytest.mark.parametrize("name", ["l2", "yosinski-2", "fourier", "maco"])
def test_the_values_are_those_of_the_images(name):
    found = climbed(regularisation=name)
    assert torch.allclose(found.values, MODEL(found.images), atol=1e-4)
    assert found.images.dtype == torch.float32
    assert not found.dead.any()
    assert not found.stopped.any()
    assert torch.allclose(found.images[1], found.images[4], atol=1e-5)  # the same target twice


def test_magnitudes_are_those_of_the_nine_images_with_the_largest_odds():
    found = climbed().images.double().numpy()
    covariance = np.cov(IMAGES.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1))
    axes = np.linalg.eigh(covariance)[1]
    with torch.no_grad():
        chances = MODEL(IMAGES).double().softmax(1).numpy()
    for image, target in zip(found, TARGETS.tolist(), strict=True):
        odds = chances[:, target] / (1 - chances[:, target])
        best = IMAGES[np.argsort(-odds)[:9].copy()].double().numpy()
        power = np.abs(np.fft.rfft2(np.einsum("dc,ndhw->nchw", axes, best))) ** 2
        spectrum = np.abs(np.fft.rfft2(np.einsum("dc,dhw->chw", axes, image)))
        held = np.ones(spectrum.shape, bool)
        held[:, 0, 0] = False
        np.testing.assert_allclose(spectrum[held], np.sqrt(power.mean(0))[held], rtol=1e-4)
        np.testing.assert_allclose(image.mean((1, 2)), best.mean((0, 2, 3)), atol=1e-5)


def test_a_target_whose_images_give_nan_is_ranked_without_them():
    def nan_for_the_first(images: Tensor) -> Tensor:
        values = MODEL(images)
        is_first = (images - IMAGES[0]).flatten(1).abs().sum(1) == 0
        return torch.where(is_first[:, None], torch.nan, values)

    found = climbed(nan_for_the_first)
    assert found.images.isfinite().all()
    assert not found.stopped.any()
