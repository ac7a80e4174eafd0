"""Features against plain hooks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.checks import left_as_found
from helpers.data import CleanImages
from helpers.networks import network
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from lightning_viz.functional import collect_features, feature_layer

IMAGES = torch.randn(11, 3, 17, 26, generator=torch.Generator().manual_seed(0))


class Reused(nn.Module):
    """Its second linear layer runs twice, the first one last in registration but never last in time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d((2, 3))
        self.head, self.body = nn.Linear(30, 30), nn.Linear(30, 30)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv(x)).flatten(1)
        return self.head(self.head(input=self.body(x).relu_()).relu_())


class Spoils(nn.Module):
    """Works in place on what its linear layer was given."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x.mul_(2)).flatten(1)
        scores = self.head(x)
        x.zero_()
        return scores


class Tokens(nn.Module):
    """A linear layer over tokens comes last."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.norm, self.head = nn.Conv2d(3, 8, (5, 6), (4, 5)), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.cut(x).flatten(2).transpose(1, 2))).mean(1)


def heard(model: nn.Module, layer: str, images: Tensor, inputs: bool) -> Tensor:
    """What a plain hook hears of a model in eval mode, the last time that the layer runs."""
    kept: list[Tensor] = []
    modes = [(module, module.training) for module in model.modules()]
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, args, kwargs, output: kept.append(
            ((args or tuple(kwargs.values()))[0] if inputs else output).clone()
        ),
        with_kwargs=True,
    )
    with torch.no_grad():
        model.eval()(images.clone())
    handle.remove()
    for module, training in modes:
        module.training = training
    return kept[-1]


def vit() -> nn.Module:
    return models.VisionTransformer(16, 8, 2, 2, 12, 24, num_classes=5)


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (network, "10"),
        (Reused, "head"),
        (Spoils, "head"),
        (Tokens, "head"),
        (lambda: models.resnet18(num_classes=5), "fc"),
    ],
)
def test_by_default_it_is_the_input_of_the_last_linear_layer_that_runs(
    make: Callable[[], nn.Module], last: str
) -> None:
    torch.manual_seed(0)
    model = make().train()
    with left_as_found(model):
        features = collect_features(model, IMAGES, batch_size=4)
        assert feature_layer(model, IMAGES) == last
    expected = heard(model, last, IMAGES, inputs=True)
    assert features.dtype == torch.float32
    assert features.device.type == "cpu"
    torch.testing.assert_close(features, expected.mean(1) if expected.ndim == 3 else expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_channel_and_three(channels: int) -> None:
    model, images = network(channels), torch.randn(5, channels, 12, 20)
    torch.testing.assert_close(collect_features(model, images), heard(model, "10", images, inputs=True))


def test_a_named_layer_gives_its_output_averaged_over_places_or_tokens() -> None:
    model = Tokens()
    for layer, axes in (("cut", (2, 3)), ("norm", (1,)), ("head", (1,))):
        expected = heard(model, layer, IMAGES, inputs=False).mean(axes)
        torch.testing.assert_close(collect_features(model, IMAGES, layer, batch_size=3), expected)
    torch.testing.assert_close(collect_features(network(), IMAGES, "10").shape, torch.Size([11, 3]))
    reused = Reused()
    torch.testing.assert_close(collect_features(reused, IMAGES, "head"), heard(reused, "head", IMAGES, inputs=False))


def test_of_a_transformer_it_is_the_class_token() -> None:
    model, images = vit(), torch.randn(3, 3, 16, 16)
    assert feature_layer(model, images) == "heads.head"
    expected = heard(model, "encoder", images, inputs=False)[:, 0]
    torch.testing.assert_close(collect_features(model, images), expected)


def test_a_layer_with_the_channels_last_is_averaged_over_places() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(3, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(x[:, :, ::2, ::2].permute(0, 2, 3, 1))

    model = Last()
    assert collect_features(model, IMAGES, "mix").shape == (11, 7)
    expected = IMAGES[:, :, ::2, ::2].mean((2, 3))
    torch.testing.assert_close(collect_features(model, IMAGES), expected)


def test_a_function_takes_the_lent_model() -> None:
    model = network().train()

    def branch(lent: nn.Module, images: Tensor) -> Tensor:
        assert lent is model
        assert not any(module.training for module in lent.modules())
        assert not torch.is_grad_enabled()
        return images.double().mean((2, 3))

    torch.testing.assert_close(collect_features(model, IMAGES, branch, batch_size=5), IMAGES.mean((2, 3)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda model, images: images,
        lambda model, images: images.mean((1, 2, 3)),
        lambda model, images: images.mean((2, 3))[1:],
        lambda model, images: images.mean((2, 3)).long(),
        lambda model, images: images.new_zeros(len(images), 0),
        lambda model, images: images.mean((2, 3))[:, : 2 if len(images) == 4 else 3],
        lambda model, images: None,
    ],
)
def test_a_function_that_gives_something_else_is_refused(wrong: Callable[[nn.Module, Tensor], Any]) -> None:
    with pytest.raises(ValueError, match=r"collect_features\(layer=\.\.\.\): features of \d images must be .*got"):
        collect_features(network(), IMAGES, wrong, batch_size=4)


def test_a_layer_that_does_not_have_a_row_for_each_image_is_refused() -> None:
    class Folds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(26, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(0, 2)).reshape(len(x), -1)

    for layer in (None, "head"):
        with pytest.raises(ValueError, match=r"features of 11 images must be \(11, D\) .*got \(561, "):
            collect_features(Folds(), IMAGES, layer)


def test_without_a_linear_layer_the_cure_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=r"collect_features: no nn\.Linear runs .* layer="):
        collect_features(model, IMAGES)
    with pytest.raises(ValueError, match=r"feature_layer: no nn\.Linear runs"):
        feature_layer(model, IMAGES)
    torch.testing.assert_close(collect_features(model, IMAGES, "2"), heard(model, "2", IMAGES, inputs=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "nowhere"}, 'collect_features: .*no layer "nowhere".*Choices'),
        ({"layer": "*"}, "collect_features: .*is a pattern"),
        ({"batch_size": 0}, r"collect_features\(batch_size=0\)"),
        ({"max_images": 0}, r"collect_features\(max_images=0\)"),
        ({"data": IMAGES[:0]}, "collect_features.*no images in it"),
        ({"data": 3}, r"collect_features\(data=\.\.\.\)"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collect_features(network(), **{"data": IMAGES} | arguments)


def test_a_tensor_a_data_set_and_a_loader_give_the_same() -> None:
    model, images = network(), CleanImages().images
    expected = collect_features(model, images)
    for data in (CleanImages(), TensorDataset(images), DataLoader(CleanImages(), 5), images.split(7)):
        torch.testing.assert_close(collect_features(model, data, batch_size=9), expected)
    twice = ({"both": torch.stack([part, part])} for part in images.split(5))
    torch.testing.assert_close(
        collect_features(model, twice, batch_fn=lambda batch: (batch["both"][1], None)), expected
    )
    torch.testing.assert_close(collect_features(model, images, max_images=3), expected[[0, 12, 23]])
    torch.testing.assert_close(collect_features(model, DataLoader(CleanImages(), 5), max_images=7), expected[:7])


def test_images_take_the_type_of_the_weights_and_are_left_untouched() -> None:
    for model in (Spoils(), Spoils().double()):
        images = IMAGES.clone()
        features = collect_features(model, [images])
        assert features.dtype == torch.float32
        torch.testing.assert_close(features, 2 * IMAGES.mean((2, 3)))
        assert feature_layer(model.float(), images) == "head"
        assert torch.equal(images, IMAGES)


def test_the_model_is_left_as_found_also_after_an_error() -> None:
    model = network().train()
    model[1].eval()
    model[3].weight.grad = torch.ones_like(model[3].weight)
    with left_as_found(model):
        with pytest.raises(ArithmeticError):
            collect_features(model, IMAGES, lambda lent, images: 1 / 0)
        with pytest.raises(RuntimeError):
            collect_features(model, [IMAGES, IMAGES[:, :2]])


@pytest.mark.parametrize("device", ["cpu"] + ["cuda"] * torch.cuda.is_available())
def test_on_every_device_the_features_come_back(device: str) -> None:
    model = network()
    expected = heard(model, "10", IMAGES, inputs=True)
    found = collect_features(model.to(device), IMAGES)
    assert found.device.type == "cpu"
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
