import numpy as np
import pytest
import torch
from helpers.known import small_vit
from helpers.networks import convnet
from scipy.special import logsumexp
from torch import nn

from lightning_viz.functional.synthesis.objective import against_rivals, check_place, objective_of

VALUES = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 5, 2, 2])
IMAGES = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_rivals_count_by_their_log_sum_exp(share):
    expected = [
        row[target] - share * logsumexp(np.delete(row, target))
        for row, target in zip(VALUES.double().numpy(), TARGETS.tolist(), strict=True)
    ]
    np.testing.assert_allclose(against_rivals(VALUES, TARGETS, share), expected, rtol=1e-5)


def test_with_all_of_them_it_is_the_log_of_the_odds_and_so_are_its_derivatives():
    values = VALUES.clone().requires_grad_()
    found = against_rivals(values, TARGETS, 1)
    chance = values.softmax(1).gather(1, TARGETS[:, None])[:, 0]
    expected = (chance / (1 - chance)).log()
    assert torch.allclose(found, expected, atol=1e-5)
    ours, theirs = (torch.autograd.grad(one.sum(), values)[0] for one in (found, expected))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_units_activation_is_that_of_the_centre_of_its_map_or_the_mean():
    model = convnet()
    maps = model[:4](IMAGES)
    centre = objective_of(model, "3", "centre", None, IMAGES, "who").values(IMAGES)
    mean = objective_of(model, "3", "mean", None, IMAGES, "who").values(IMAGES)
    assert torch.equal(centre, maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2])
    assert torch.allclose(mean, maps.mean((2, 3)), atol=1e-6)


def test_the_units_of_tokens_lie_on_their_grid():
    model, images = small_vit(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    layer = "encoder.layers.encoder_layer_0"
    outputs = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.no_grad():
        model(images)
    handle.remove()
    found = [objective_of(model, layer, place, None, images, "who").values(images) for place in ("centre", "mean")]
    tokens = outputs[0]  # the class token first, then 4 x 4 places
    assert torch.allclose(found[0], tokens[:, 1 + 2 * 4 + 2], atol=1e-5)
    assert torch.allclose(found[1], tokens[:, 1:].mean(1), atol=1e-5)


def test_images_are_left_alone_by_a_model_that_works_in_place():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 12 * 20, 4))
    before = IMAGES.clone()
    objective_of(model, None, "centre", None, IMAGES, "who").values(IMAGES)
    objective_of(model, "0", "mean", None, IMAGES, "who").values(IMAGES)
    assert torch.equal(IMAGES, before)


def test_an_unknown_place_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"who\(place='corner'\): choices are 'centre', 'mean'"):
        check_place("corner", "who")
