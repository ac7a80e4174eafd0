from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers.checks import left_as_found
from helpers.known import small_vit
from helpers.networks import Calls, Does, convnet, in_training, network
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.signal import convolve2d, correlate2d
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional.deep_dream import deep_dream, dream, octave_sizes

PLAIN = {"jitter": 0, "octaves": 1}


def photographs(count: int = 2, channels: int = 3, size: tuple[int, int] = (17, 26)) -> Tensor:
    """All with the same range, which others in the batch would change; another one for each channel."""
    images = torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(channels)).clamp(-2, 2)
    images[:, :, 0, 0], images[:, :, -1, -1] = -2, 2
    return images * torch.linspace(1, 1.5, channels)[:, None, None]


def energy_of(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).flatten(1).square().sum(1) / 2


def convolution(channels: int = 3, units: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, units, 3), nn.ReLU()).eval()


@dataclass
class Port:
    """google/deepdream in NumPy and SciPy, of one convolution and a rectifier; the derivatives are made by hand."""

    model: nn.Sequential
    low: np.ndarray
    high: np.ndarray
    step_size: float = 1.5 / 255
    objective: Callable[[np.ndarray], np.ndarray] = lambda activation: activation

    def activation(self, image: np.ndarray) -> np.ndarray:
        weight, bias = (value.detach().double().numpy() for value in self.model[0].parameters())
        maps = [sum(map(lambda x, w: correlate2d(x, w, "valid"), image, one)) for one in weight]
        return np.maximum(np.stack(maps) + bias[:, None, None], 0)

    def gradient(self, image: np.ndarray) -> np.ndarray:
        activation = self.activation(image)
        signal = self.objective(activation) * (activation > 0)
        weight = self.model[0].weight.detach().double().numpy()
        return np.stack(
            [
                sum(convolve2d(one, weight[unit, channel], "full") for unit, one in enumerate(signal))
                for channel in range(weight.shape[1])
            ]
        )

    def make_step(self, image: np.ndarray) -> np.ndarray:
        gradient = self.gradient(image)
        length = self.step_size * (self.high - self.low).max()
        return np.clip(image + length / np.abs(gradient).mean() * gradient, self.low, self.high)

    def deepdream(self, image: np.ndarray, steps: int, octaves: int = 1, scale: float = 1.4) -> np.ndarray:
        height, width = image.shape[1:]
        detail = np.zeros_like(image)
        for number in range(octaves - 1, -1, -1):
            size = round(height / scale**number), round(width / scale**number)
            base = resized(image, size)
            now = base + resized(detail, size)
            for _ in range(steps):
                now = self.make_step(now)
            detail = now - base
        return now


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """By Pillow, which smooths what it makes smaller."""
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in image]
    return np.stack([np.asarray(one.resize(size[::-1], Image.Resampling.BILINEAR), np.float64) for one in channels])


def port_for(model: nn.Sequential, images: Tensor, **more: object) -> Port:
    low, high = (end(images.double().numpy(), axis=(0, 2, 3))[:, None, None] for end in (np.min, np.max))
    return Port(model, low, high, **more)


# Against a port


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_with_one_octave_it_is_plain_ascent_each_image_by_the_mean_of_its_gradient(channels, steps):
    model, images = convolution(channels), photographs(3, channels)
    images += torch.linspace(0, 3, channels)[:, None, None]  # no channel is as wide as all of them
    images[1] *= 0.2  # its gradients are small, its steps are as long
    found = deep_dream(model, "1", images, steps=steps, step_size=0.02, **PLAIN)
    port = port_for(model, images, step_size=0.02)
    expected = [port.deepdream(one, steps) for one in images.double().numpy()]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected - images.numpy()).max((1, 2, 3)).min() > 0.01


@pytest.mark.parametrize(("size", "octaves", "scale"), [((17, 26), 2, 1.4), ((21, 16), 3, 1.3), ((16, 40), 2, 2.0)])
def test_detail_is_carried_up_through_the_octaves(size, octaves, scale):
    model, images = convolution(), photographs(2, 3, size)
    found = deep_dream(model, "1", images, 3, 0.03, octaves, scale, jitter=0)
    port = port_for(model, images, step_size=0.03)
    expected = np.stack([port.deepdream(one, 3, octaves, scale) for one in images.double().numpy()])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    plain = np.stack([port.deepdream(one, 3) for one in images.double().numpy()])
    assert np.abs(expected - plain).max() > 0.1


def test_an_image_of_one_row_is_made_smaller_without_aliases():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    stripes = torch.tensor([-1.0, 1.0]).repeat(20)[None, None, None]
    found = deep_dream(model, "1", stripes, 1, 1e-6, octaves=2, octave_scale=2, jitter=0)
    assert torch.allclose(found, stripes, atol=1e-3)
    seen: list[Tensor] = []
    model[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].detach()))
    deep_dream(model, "1", stripes, 1, 1e-6, octaves=2, octave_scale=2, jitter=0)
    (small,) = {tuple(one.shape) for one in seen} - {(1, 1, 1, 40)}
    assert small == (1, 1, 1, 20)
    assert all(one.abs().max() < 0.51 for one in seen if one.shape[3] == 20)  # stripes of one pixel are grey


def test_a_unit_has_the_gradient_of_its_map_alone():
    model, images = convolution(), photographs()
    for unit in (0, 3):
        port = port_for(model, images, objective=lambda maps, unit=unit: maps * (np.arange(4) == unit)[:, None, None])
        found = deep_dream(model, "1", images, 3, unit=unit, **PLAIN)
        expected = [port.deepdream(one, 3) for one in images.double().numpy()]
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(12, 9), (17, 26), (30, 8)])
@pytest.mark.parametrize("axes", [3, 4])
def test_towards_a_guide_each_place_goes_where_it_is_most_like(size, axes):
    model, images = convolution(), photographs()
    guide = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(5))
    y = port_for(model, guide).activation(guide[0].double().numpy()).reshape(4, -1)

    def objective_guide(maps: np.ndarray) -> np.ndarray:
        """As the notebook of the original has it."""
        x = maps.reshape(4, -1)
        return y[:, (x.T @ y).argmax(1)].reshape(maps.shape)

    found = deep_dream(model, "1", images, 2, guide=guide if axes == 4 else guide[0], **PLAIN)
    port = port_for(model, images, objective=objective_guide)
    np.testing.assert_allclose(found, [port.deepdream(one, 2) for one in images.double().numpy()], atol=1e-4)


def test_at_the_layer_the_gradient_is_the_activation():
    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            outputs.append(x.detach().clone())
            return x.view_as(x)

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            gradients.append((outputs[-1], gradient.clone()))
            return gradient

    outputs: list[Tensor] = []
    gradients: list[tuple[Tensor, Tensor]] = []
    model = nn.Sequential(convnet(size=(17, 26))[:5], Calls(Noted.apply), nn.Identity())
    deep_dream(model, "2", photographs(), steps=3, octaves=2)
    assert len(gradients) == 7  # the first is that of a try
    assert all(torch.equal(activation, gradient) for activation, gradient in gradients[1:])


# Jitter and octaves


@pytest.mark.parametrize("jitter", [1, 7, 32, 100])
def test_the_jitter_is_undone(jitter):
    """To a network that goes round the borders a rolled image is the same image."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.Tanh()).eval()
    images = photographs()
    seen: list[Tensor] = []
    handle = model[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].detach()))
    found = deep_dream(model, "1", images, 3, jitter=jitter, octaves=1)
    handle.remove()
    assert torch.allclose(found, deep_dream(model, "1", images, 3, **PLAIN), atol=1e-5)
    first = next(one for one in seen if not torch.equal(one[:1], images[:1]))
    down, right = (np.arange(-jitter, jitter + 1) for _ in range(2))
    assert any(torch.equal(first, images.roll((int(y), int(x)), (2, 3))) for y in down for x in right)


def test_the_jitter_matters_where_borders_do_and_differs_with_the_seed():
    model, images = convnet(size=(17, 26)), photographs()
    first, again, other = (deep_dream(model, "3", images, 3, octaves=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@settings(max_examples=50)
@given(st.tuples(*[st.integers(1, 300)] * 2), st.integers(1, 6), st.floats(1.05, 3))
def test_each_octave_is_smaller_by_the_scale(size, octaves, scale):
    sizes = octave_sizes(size, octaves, scale)
    assert len(sizes) == octaves
    assert sizes[-1] == size
    assert min(min(one) for one in sizes) >= 1
    for number, found in enumerate(reversed(sizes)):
        for side, whole in zip(found, size, strict=True):
            assert side == 1 or abs(side - whole / scale**number) <= 0.5 + 1e-9


# What must hold


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (40, 9)])
@pytest.mark.parametrize("layer", [2, 4])
def test_the_objective_rises_and_values_stay_in_the_range_of_their_channel(layer, size):
    model, images = convnet(size=(12, 20)), photographs(2, 3, size)  # the classifier takes another size
    found = dream(model, str(layer), images, 10, 1.5 / 255, 3, 1.4, 8)
    before, after = (energy_of(model[: layer + 1], one) for one in (images, found.images))
    assert (after > 1.2 * before).all()
    assert torch.allclose(found.growth, after / before, rtol=1e-4)
    assert found.sizes == octave_sizes(size, 3, 1.4)
    low, high = images.amin((0, 2, 3))[:, None, None], images.amax((0, 2, 3))[:, None, None]
    assert ((found.images >= low) & (found.images <= high)).all()
    assert found.images.shape == images.shape


@pytest.mark.parametrize("arguments", [{}, {"unit": 1}, {"guide": photographs(1)[0, :, :12]}])
def test_several_images_dream_as_each_does_alone(arguments):
    model, images = convnet(size=(17, 26)), photographs(3)
    together = deep_dream(model, "3", images, 4, octaves=2, **arguments)
    alone = torch.cat([deep_dream(model, "3", one[None], 4, octaves=2, **arguments) for one in images])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"unit": 0}])
def test_what_excites_nothing_stays_as_it_is(arguments):
    model = convolution()
    nn.init.constant_(model[0].bias, -1000)
    images = photographs()
    found = dream(model, "1", images, 3, 0.01, 3, 1.4, 8, **arguments)
    assert torch.equal(found.images, images)
    assert found.growth.eq(1).all()


def test_an_image_of_one_value_stays_as_it_is():
    images = torch.full((1, 3, 17, 26), 0.5)
    assert torch.equal(deep_dream(convolution(), "1", images, 3, octaves=3), images)


def test_gradients_too_small_for_their_inverse_move_as_far_as_others():
    model = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
    with torch.no_grad():
        model[0].weight[:, 1:] = 0  # some numbers of the gradient are zero, and must stay so
    images = photographs()
    expected = deep_dream(model, "0", images, 3, **PLAIN)
    with torch.no_grad():
        model[0].weight.mul_(1e-20)
    found = deep_dream(model, "0", images, 3, **PLAIN)
    assert found.isfinite().all()
    assert torch.allclose(found, expected, atol=0.02)  # the gradients are denormal


def test_where_a_gradient_is_not_finite_the_last_finite_image_stands_and_others_go_on():
    images = photographs()
    model = convolution()
    limit = float(energy_of(model, deep_dream(model, "1", images, 3, **PLAIN))[0])

    def breaks(maps: Tensor) -> Tensor:
        is_large = (maps.detach().flatten(1).square().sum(1) / 2 > limit) & (torch.arange(len(maps)) == 0)
        return maps * torch.where(is_large, torch.nan, 1)[:, None, None, None]

    found = deep_dream(nn.Sequential(model, Calls(breaks)), "1", images, 8, **PLAIN)
    free = deep_dream(model, "1", images, 8, **PLAIN)
    assert found.isfinite().all()
    assert torch.equal(found[1], free[1])
    assert limit < energy_of(model, found)[0] < energy_of(model, free)[0]


def test_sizes_at_which_the_layer_can_not_run_are_left_out_with_a_warning(said):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 9), nn.ReLU()).eval()
    images = photographs(1, 3, (20, 24))
    found = deep_dream(model, "1", images, 3, octaves=4, octave_scale=1.6, jitter=0)
    assert said() == ['deep_dream: "1" runs at 2 of 4 octaves; the others are left out.']
    assert torch.equal(found, deep_dream(model, "1", images, 3, octaves=2, octave_scale=1.6, jitter=0))
    assert len(said()) == 1


@pytest.mark.parametrize("arguments", [{}, {"unit": 5}, {"guide": photographs(1, 3, (32, 32))}])
def test_a_transformer_of_one_size_dreams_at_that(arguments, said):
    model, images = small_vit(), photographs(2, 3, (32, 32))
    layer = "encoder.layers.encoder_layer_1.mlp"
    found = dream(model, layer, images, 4, 0.01, 4, 1.4, 0, **arguments)
    assert found.sizes == [(32, 32)]
    assert (found.growth > 1.01).all()
    deep_dream(model, layer, images, 1, **arguments)
    assert said() == [f'deep_dream: "{layer}" runs at 1 of 4 octaves; the others are left out.']


def test_networks_that_mix_the_images_of_a_batch_dream_one_at_a_time():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()).eval()
    images = photographs(3)
    together = deep_dream(model, "2", images, 3, octaves=2)
    assert torch.equal(together, torch.cat([deep_dream(model, "2", one[None], 3, octaves=2) for one in images]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_dreams_nearly_the_same_in_float32(dtype):
    images = photographs()
    found = deep_dream(convolution().to(dtype), "1", images, 3, octaves=2)
    expected = deep_dream(convolution(), "1", images, 3, octaves=2)
    assert found.dtype == torch.float32
    assert (found - expected).abs().mean() < 0.05 * (expected - images).abs().mean()


def test_an_in_place_rectifier_behind_the_layer_and_a_layer_that_runs_twice():
    def forward(self: Does, x: Tensor) -> Tensor:
        return F.relu(self.conv(self.conv(x)), inplace=True)

    torch.manual_seed(0)
    model = Does(forward, conv=nn.Conv2d(3, 3, 3)).eval()
    chain = nn.Sequential(model.conv, model.conv)
    images = photographs()
    plain = nn.Sequential(chain, nn.Identity())
    assert torch.equal(deep_dream(model, "conv", images, 3), deep_dream(plain, "0", images, 3))


def test_nothing_behind_the_layer_runs_with_gradients():
    def refuse(x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return x

    model, images = convnet(size=(17, 26)), photographs()
    guarded = nn.Sequential(*model[:4], Calls(refuse), *model[4:])
    assert torch.equal(deep_dream(guarded, "3", images, 2), deep_dream(model, "3", images, 2))


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "nowhere"}, "deep_dream: Sequential has no layer \"nowhere\". Choices: '0', '1'"),
        ({"images": photographs()[0]}, r"deep_dream: images must be \(N, C, H, W\)"),
        ({"images": photographs().long()}, "deep_dream: images must be .*int64"),
        ({"images": photographs() * torch.nan}, "deep_dream: images must be finite"),
        ({"images": photographs() / 0}, "deep_dream: images must be finite"),
        *[({"steps": wrong}, rf"deep_dream\(steps={wrong}\): must be a whole number") for wrong in (0, 1.5)],
        ({"octaves": 0}, r"deep_dream\(octaves=0\): must be a whole number of at least 1"),
        ({"jitter": -1}, r"deep_dream\(jitter=-1\): must be a whole number of at least 0"),
        *[({"step_size": wrong}, "step_size must be more than 0") for wrong in (0, -1, float("nan"), float("inf"))],
        *[({"octave_scale": wrong}, "octave_scale more than 1") for wrong in (1, 0.5, float("nan"), float("inf"))],
        ({"unit": 8}, r"deep_dream\(unit=8\): the layer has 8: 0 to 7"),
        ({"unit": -1}, r"deep_dream\(unit=-1\): the layer has 8"),
        ({"unit": 1.0}, r"deep_dream\(unit=1.0\): the layer has 8"),
        ({"unit": 1, "guide": photographs(1)}, "deep_dream: guide and unit exclude each other"),
        (
            {"guide": photographs(2)},
            r"deep_dream\(guide=...\): must be one image of 3 .* got \(2, 3, 17, 26\)",
        ),
        ({"guide": photographs(1, 1)}, r"deep_dream\(guide=...\): must be one image of 3 channels"),
        ({"guide": photographs(1)[0, 0]}, r"deep_dream\(guide=...\): images must be \(N, C, H, W\)"),
        ({"guide": photographs(1) * torch.nan}, r"deep_dream\(guide=...\): .* finite"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    model = convnet(size=(17, 26))
    with left_as_found(model), pytest.raises(ValueError, match=message):
        deep_dream(model, **{"layer": "3", "images": photographs(), "steps": 1, **arguments})


def test_a_layer_without_a_way_to_the_image_is_refused():
    model = nn.Sequential(Calls(lambda x: x.detach()), nn.Conv2d(3, 4, 3))
    with left_as_found(model), pytest.raises(ValueError, match="deep_dream: no derivative reaches"):
        deep_dream(model, "1", photographs())


def test_a_unit_of_what_has_no_maps_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(2), Calls(lambda x: x[:, :5]))
    with pytest.raises(ValueError, match=r"deep_dream: an output of shape .* Choose a layer that gives one"):
        deep_dream(model, "2", photographs(), 1, unit=0)
    assert deep_dream(model, "2", photographs(), 1).isfinite().all()  # the whole of it has a norm


# The model is borrowed


@pytest.mark.parametrize("arguments", [{}, {"unit": 1}, {"guide": photographs(1)}])
def test_the_model_and_the_images_are_left_as_found(arguments):
    images, model = photographs(), in_training(photographs())
    with left_as_found(model):
        found = deep_dream(model, "3", images, 2, octaves=2, **arguments)
    assert not found.requires_grad
    assert torch.equal(images, photographs())


def test_it_runs_in_eval_mode():
    model, images = network().train(), photographs()
    expected = deep_dream(model.eval(), "5", images, 2)
    assert torch.equal(deep_dream(model.train(), "5", images, 2), expected)


def test_a_model_that_raises_half_way_is_left_as_found():
    class Breaks(nn.Module):
        runs = 0

        def forward(self, x: Tensor) -> Tensor:
            self.runs += 1
            if self.runs > 12:
                raise KeyError("half-way")
            return x

    model = nn.Sequential(Breaks(), in_training(photographs()))
    with left_as_found(model), pytest.raises(KeyError, match="half-way"):
        deep_dream(model, "1.3", photographs(), unit=2)


@pytest.mark.parametrize("caller", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")])
@pytest.mark.parametrize("arguments", [{}, {"unit": 1}, {"guide": photographs(1)}])
def test_a_caller_without_gradients_gets_the_same(caller, arguments):
    model = convnet(size=(17, 26))
    expected = deep_dream(model, "3", photographs(), 2, octaves=2, **arguments)
    with caller():
        more = {key: value * 1 for key, value in arguments.items()}
        found = deep_dream(model, "3", photographs() * 1, 2, octaves=2, **more)
    assert torch.equal(found, expected)
