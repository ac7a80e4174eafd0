import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_viz.functional.synthesis.canvas import canvas_for
from lightning_viz.functional.synthesis.domain import Domain, magnitude_of, plain_domain

SIZES = st.tuples(st.integers(2, 9), st.integers(2, 9))


def domain_with(channels: int, size: tuple[int, int]) -> Domain:
    """Colours that go together, and another range for each channel."""
    generator = torch.Generator().manual_seed(channels)
    low = -1 - torch.rand(channels, 1, 1, generator=generator)
    high = 1 + torch.rand(channels, 1, 1, generator=generator)
    axes = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]
    return Domain(low, high, axes * torch.linspace(1, 0.3, channels), size, None)


def inside(domain: Domain, count: int, seed: int) -> Tensor:
    share = torch.rand(count, len(domain.low), *domain.size, generator=torch.Generator().manual_seed(seed))
    return domain.low + (domain.high - domain.low) * (0.01 + 0.98 * share)


def lucid(parameter: np.ndarray, domain: Domain) -> np.ndarray:
    """Lucid's fft_image, with any colours and any range."""
    height, width = domain.size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, : width // 2 + 1]
    frequency = np.sqrt(rows**2 + columns**2)
    scale = np.sqrt(height * width) / np.maximum(np.abs(frequency), 1 / max(height, width))
    image = np.fft.irfft2(scale * (parameter[..., 0] + 1j * parameter[..., 1]), s=(height, width)) / 4
    image = np.einsum("dc,nchw->ndhw", domain.colours.numpy(), image)
    low, high, centre = (value.numpy().astype(np.float64) for value in (domain.low, domain.high, domain.centre))
    offset = np.log((centre - low) / (high - centre))
    return low + (high - low) / (1 + np.exp(-(image + offset)))


@settings(max_examples=25)
@given(st.integers(1, 4), SIZES, st.integers(0, 10**6))
def test_frequencies_make_the_images_that_they_were_made_of(channels, size, seed):
    domain = domain_with(channels, size)
    canvas, images = canvas_for("fourier", domain, None), inside(domain, 2, seed)
    assert torch.allclose(canvas.decode(canvas.encode(images)), images, atol=1e-4)


@settings(max_examples=25)
@given(st.sampled_from([1, 3, 4]), SIZES, st.integers(0, 10**6))
def test_frequencies_are_decoded_as_lucid_does_and_stay_in_the_range(channels, size, seed):
    domain = plain_domain(channels, size) if seed % 2 else domain_with(channels, size)
    parameter = torch.randn(2, channels, size[0], size[1] // 2 + 1, 2, generator=torch.Generator().manual_seed(seed))
    images = canvas_for("fourier", domain, None).decode(parameter)
    np.testing.assert_allclose(images, lucid(parameter.numpy().astype(np.float64), domain), atol=1e-5)
    extreme = canvas_for("fourier", domain, None).decode(1000 * parameter)
    assert ((extreme >= domain.low - 1e-6) & (extreme <= domain.high + 1e-6)).all()  # but for rounding


def test_images_outside_the_range_come_back_at_its_border():
    domain = domain_with(3, (6, 9))
    canvas = canvas_for("fourier", domain, None)
    found = canvas.decode(canvas.encode(domain.high.expand(1, 3, 6, 9) + 5))
    assert torch.allclose(found, domain.high.expand(1, 3, 6, 9), atol=0.01)


@settings(max_examples=25)
@given(st.integers(1, 4), SIZES, st.integers(0, 10**6))
def test_phases_move_and_magnitudes_stay(channels, size, seed):
    domain = domain_with(channels, size)
    images = inside(domain, 4, seed)
    magnitude = magnitude_of(images, domain.axes)
    canvas = canvas_for("phase", domain, magnitude[None])
    generator = torch.Generator().manual_seed(seed)
    parameter = 10 * torch.randn(2, channels, size[0], size[1] // 2 + 1, generator=generator)
    made = np.einsum("dc,ndhw->nchw", domain.axes.numpy(), canvas.decode(parameter).numpy().astype(np.float64))
    found = np.abs(np.fft.rfft2(made))
    np.testing.assert_allclose(found, magnitude.abs().expand(2, -1, -1, -1), rtol=1e-3, atol=1e-4 * found.max())
    np.testing.assert_allclose(made.mean((2, 3)) * size[0] * size[1], magnitude[:, 0, 0].expand(2, -1), atol=1e-3)


@settings(max_examples=10)
@given(st.integers(1, 3), SIZES, st.integers(0, 10**6))
def test_the_phases_of_what_was_made_make_it_again(channels, size, seed):
    domain = domain_with(channels, size)
    canvas = canvas_for("phase", domain, magnitude_of(inside(domain, 4, seed), domain.axes)[None])
    made = canvas.decode(canvas.encode(inside(domain, 2, seed + 1)))
    assert torch.allclose(canvas.decode(canvas.encode(made)), made, atol=1e-3)


@pytest.mark.parametrize("name", ["pixels", "fourier", "phase"])
def test_gradients_reach_what_is_changed(name):
    domain = domain_with(2, (6, 8))
    images = inside(domain, 2, 0)
    canvas = canvas_for(name, domain, magnitude_of(images, domain.axes)[None])
    parameter = canvas.encode(images).requires_grad_()
    (gradient,) = torch.autograd.grad(canvas.decode(parameter).pow(3).sum(), parameter)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
    if name == "pixels":
        assert torch.equal(canvas.decode(canvas.encode(images)), images)
