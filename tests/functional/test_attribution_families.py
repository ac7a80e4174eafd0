"""Grad-CAM without a layer's name on the networks that people use: the right layer and places, autograd's map."""

from typing import Any

import pytest
import torch
from helpers.checks import assert_same_map, left_as_found
from helpers.families import FAMILIES, Family
from torch import Tensor, nn

from lightning_viz.functional import grad_cam
from lightning_viz.functional.attribution import grad_cam_layer


def scores_of(returned: Any) -> Tensor:
    return returned if isinstance(returned, Tensor) else returned.logits


def by_hand(model: nn.Module, layer: str, images: Tensor, labels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Equations 1 and 2 of the paper, with the axes of the layer said by where the grid is in its shape."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept[:] = [output]
        return output.clone()

    handle = model.get_submodule(layer).register_forward_hook(keep)
    score = scores_of(model(images)).gather(1, labels[:, None]).sum()
    handle.remove()
    pair = [kept[-1].detach(), torch.autograd.grad(score, kept[-1])[0]]
    if kept[-1].ndim == 3:
        pair = [one[:, -grid[0] * grid[1] :].mT.unflatten(2, grid) for one in pair]
    elif kept[-1].shape[2:] != grid:
        pair = [one.permute(0, 3, 1, 2) for one in pair]
    maps, gradients = pair
    assert maps.shape[2:] == grid
    return (gradients.mean((2, 3), keepdim=True) * maps).sum(1).clamp(min=0)


@pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
def test_the_default_layer_of_a_family_has_its_places_and_autograds_map(family: Family):
    torch.manual_seed(0)
    model = family.make().train()
    for weight in model.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)  # some heads start from zero: nothing speaks for anything
    images, labels = torch.randn(5, 3, *family.size), torch.arange(5)
    with left_as_found(model):
        assert grad_cam_layer(model, images) == family.layer
        maps = grad_cam(model, None, images, labels)
    assert_same_map(maps, by_hand(model.eval(), family.layer, images, labels, family.grid))
