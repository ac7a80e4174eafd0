"""Effective fields against autograd, line by line."""

import pytest
import torch
from helpers.checks import left_as_found
from torch import Tensor, nn

from lightning_viz.functional import effective_field, receptive_field


def energy_of(model: nn.Module, layer: str, image: Tensor, unit: int, place: tuple[int, int]) -> Tensor:
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    leaf = image[None].double().requires_grad_()
    model.double()(leaf)
    handle.remove()
    (gradient,) = torch.autograd.grad(kept[0][(0, unit, *place)], leaf)
    model.float()
    return gradient[0].square().sum(0)


def central_box(energy: Tensor) -> list[int]:
    """Cut lines off each side, one by one, while all that is cut there is no more than 1.25 % of the whole."""
    (height, width), whole = energy.shape, energy.sum()
    top, left, bottom, right = 0, 0, height, width
    while energy[: top + 1].sum() <= 0.0125 * whole:
        top += 1
    while energy[bottom - 1 :].sum() <= 0.0125 * whole:
        bottom -= 1
    while energy[:, : left + 1].sum() <= 0.0125 * whole:
        left += 1
    while energy[:, right - 1 :].sum() <= 0.0125 * whole:
        right -= 1
    assert energy[top:bottom, left:right].sum() >= 0.95 * whole
    return [top, left, bottom, right]


def convnet() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, (3, 5), padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 8, 3, padding=1, dilation=1)).eval()


def test_it_is_the_central_box_of_the_gradients_energy():
    model, images = convnet(), torch.randn(3, 3, 40, 56, generator=torch.Generator().manual_seed(1))
    units = torch.tensor([0, 3, 7, 2, 5])
    places, ids = torch.tensor([[0, 0], [9, 11], [4, 6], [2, 9], [5, 0]]), torch.tensor([2, 0, 1, 0, 2])
    before = images.clone()
    with left_as_found(model):
        found = effective_field(model, "5", images, units, places, ids)
    assert torch.equal(images, before)
    field = receptive_field(model, "5", (40, 56)).boxes(places)
    for box, unit, place, number, outer in zip(found, units, places, ids, field, strict=True):
        expected = central_box(energy_of(model, "5", images[number], int(unit), tuple(place.tolist())))
        assert box.tolist() == expected
        assert (box[:2] >= outer[:2]).all()
        assert (box[2:] <= outer[2:]).all()
    inner = found[2]
    assert (inner[2:] - inner[:2] < field[2, 2:] - field[2, :2]).all()


def test_of_attention_too_where_a_field_is_the_whole_image():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    sizes = {"img_size": (32, 48), "patch_size": 8, "embed_dim": 32, "num_heads": 2, "depth": 2}
    model = timm.create_model("vit_tiny_patch16_224", **sizes, num_classes=5).eval()
    image, layer = torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(1)), "blocks.0"
    (found,) = effective_field(model, layer, image, units=1, positions=[[1, 2]])
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    leaf = image.clone().requires_grad_()
    model(leaf)
    handle.remove()
    (gradient,) = torch.autograd.grad(kept[0][0, 1 + 48 // 8 + 2, 1], leaf)
    assert found.tolist() == central_box(gradient[0].double().square().sum(0))


def test_known_weights_have_a_known_field():
    model = nn.Sequential(nn.Conv2d(1, 1, (3, 41), bias=False))
    with torch.no_grad():
        model[0].weight.fill_(0)
        model[0].weight[0, 0, 1] = 1  # of 41 columns with the same energy none may be cut
    image = torch.ones(1, 1, 8, 60)
    assert effective_field(model, "0", image, 0, [[4, 7]]).tolist() == [[5, 7, 6, 48]]
    with torch.no_grad():
        model[0].weight[0, 0, 1, :10] = 0.01
        model[0].weight[0, 0, 1, -1] = 0.2  # 0.04 of 30 times 1 is more than nothing, and less than 1.25 %
    assert effective_field(model, "0", image, 0, [[4, 7]]).tolist() == [[5, 17, 6, 47]]


@pytest.mark.parametrize("weight", [0.0, torch.nan, torch.inf])
def test_no_gradient_or_none_that_is_finite_has_no_field(weight):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight[0] = weight
    found = effective_field(model, "1", torch.rand(2, 3, 12, 20) + 1, units=[0, 0], positions=[[1, 2], [3, 4]])
    assert found.tolist() == [[-1] * 4] * 2


def test_tiny_gradients_count_as_others():
    model, image = convnet(), torch.randn(1, 3, 40, 56)
    expected = effective_field(model, "5", image, 3, [[4, 6]])
    with torch.no_grad():
        model[5].weight *= 1e-18
        model[5].bias.zero_()
    assert torch.equal(effective_field(model, "5", image, 3, [[4, 6]]), expected)
