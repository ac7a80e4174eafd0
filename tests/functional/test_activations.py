from contextlib import nullcontext

import pytest
import torch
from captum.attr import LayerActivation
from helpers.checks import left_as_found
from helpers.networks import in_training
from torch import Tensor, nn

from lightning_viz.functional import activation_maps

IMAGES = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))


class Twice(nn.Module):
    """A layer that runs twice, and one that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.spare = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.relu(self.conv(self.relu(self.conv(images))))


class Tokens(nn.Module):
    """Patches of 4x4 behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.last = nn.Conv2d(3, 6, 4, stride=4), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        return self.last(torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1))


def small_network(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)]
    return nn.Sequential(*layers, nn.Conv2d(5, 7, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(7 * 4 * 8, 4))


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "5"])
def test_maps_are_what_the_layer_gave_before_anything_in_place(layer, channels):
    model, images = small_network(channels).eval(), torch.randn(2, channels, 12, 20)
    with torch.no_grad():
        expected = images
        for part in model[: int(layer) + 1]:
            expected = part(expected.clone())
    maps = activation_maps(model, layer, images)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert torch.equal(maps, expected)


@pytest.mark.parametrize("layer", ["2", "3", "5"])
def test_maps_are_those_of_captum(layer):
    model = small_network().eval()
    theirs = LayerActivation(model, model.get_submodule(layer)).attribute(IMAGES)
    assert torch.equal(activation_maps(model, layer, IMAGES), theirs)


def test_of_a_layer_that_runs_several_times_the_last_counts():
    model = Twice().eval()
    with torch.no_grad():
        once = model.conv(IMAGES).relu()
        twice = model.conv(once)
    assert torch.equal(activation_maps(model, "conv", IMAGES), twice)
    assert torch.equal(activation_maps(model, "relu", IMAGES), twice.relu())


def test_a_linear_layer_has_maps_of_one_value():
    model = small_network().eval()
    maps = activation_maps(model, "7", IMAGES)
    assert maps.shape == (2, 4, 1, 1)
    assert torch.equal(maps.flatten(1), model(IMAGES))


def test_tokens_are_laid_out_on_their_grid():
    model = Tokens()
    assert torch.equal(activation_maps(model, "last", IMAGES), model.patches(IMAGES))


def test_units_on_the_last_axis_are_turned():
    class LastAxis(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(48)

        def forward(self, maps: Tensor) -> Tensor:
            return self.norm(maps.permute(0, 2, 3, 1))

    model = nn.Sequential(nn.Conv2d(3, 48, 2, stride=2), LastAxis())
    assert torch.equal(activation_maps(model, "1", IMAGES), model(IMAGES).permute(0, 3, 1, 2))


def test_the_users_function_makes_maps():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2))
    maps = activation_maps(model, "1", IMAGES, reshape=lambda output: output.unflatten(2, (10, 18)))
    assert torch.equal(maps, model[0](IMAGES))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_maps_are_float32_whatever_the_model_computes_in(dtype):
    model = small_network().to(dtype).eval()
    maps = activation_maps(model, "5", IMAGES.to(dtype))
    assert maps.dtype == torch.float32
    assert torch.equal(maps, model[:6](IMAGES.to(dtype)).float())


@pytest.mark.parametrize("surroundings", [nullcontext, torch.no_grad, torch.inference_mode])
def test_a_model_in_training_is_left_as_found(surroundings):
    model, images = in_training(IMAGES), IMAGES.clone()
    with left_as_found(model), surroundings():
        maps = activation_maps(model, "3", images)
    assert torch.equal(images, IMAGES)
    assert torch.equal(maps, model.eval()[:4](IMAGES))


def test_images_that_a_model_works_on_in_place_are_left_untouched():
    images = IMAGES.clone()
    activation_maps(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)), "0", images)
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize(
    ("layer", "images", "message"),
    [
        ("convolution", IMAGES, "activation_maps: Twice has no layer \"convolution\".*'conv', 'relu', 'spare'"),
        ("*", IMAGES, r'activation_maps: "\*" is a pattern; give one name'),
        ("spare", IMAGES, 'activation_maps: layer "spare" does not run when the model is called on images'),
        ("conv", IMAGES[0], r"activation_maps: images must be \(N, C, H, W\).*got \(3, 12, 20\) torch.float32"),
        ("conv", (IMAGES * 255).byte(), "torch.uint8"),
    ],
)
def test_wrong_arguments_are_refused_and_the_model_is_left_as_found(layer, images, message):
    model = Twice().train()
    with left_as_found(model), pytest.raises(ValueError, match=message):
        activation_maps(model, layer, images)


def test_an_output_that_is_no_stack_of_maps_is_refused_with_the_cure():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2))
    with pytest.raises(ValueError, match=r"\(2, 4, 180\).*activation_maps\(reshape=...\)"):
        activation_maps(model, "1", IMAGES)
