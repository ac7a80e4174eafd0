import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_viz.functional.synthesis.domain import domain_of, magnitude_of, plain_domain


def coloured(channels: int, size: tuple[int, int] = (7, 10), count: int = 6) -> Tensor:
    """Images whose channels go together, each with a mean of its own."""
    generator = torch.Generator().manual_seed(channels)
    mixed = torch.randn(channels, channels, generator=generator) + torch.diag(torch.arange(1.0, channels + 1))
    independent = torch.randn(count, channels, *size, generator=generator)
    means = torch.linspace(-0.3, 0.4, channels)[:, None, None]
    return torch.einsum("dc,nchw->ndhw", mixed, independent) + means


def pixels_of(images: Tensor) -> np.ndarray:
    return images.numpy().astype(np.float64).transpose(1, 0, 2, 3).reshape(images.shape[1], -1)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_colours_are_the_root_of_the_covariance_and_along_the_axes_they_are_independent(channels):
    images = coloured(channels)
    domain = domain_of(images, None)
    covariance = np.cov(pixels_of(images)).reshape(channels, channels)
    largest = np.linalg.eigvalsh(covariance).max()
    colours, axes = domain.colours.numpy(), domain.axes.numpy()
    np.testing.assert_allclose(colours @ colours.T, covariance / largest, atol=1e-5)
    np.testing.assert_allclose(axes.T @ axes, np.eye(channels), atol=1e-5)
    along = np.cov(axes.T @ pixels_of(images)).reshape(channels, channels)
    np.testing.assert_allclose(along, np.diag(np.diag(along)), atol=1e-4 * largest)
    assert (np.diff(np.diag(along)) <= 0).all()  # the widest comes first


@pytest.mark.parametrize("channels", [1, 3])
def test_the_range_is_that_of_each_channel_before_images_are_resized(channels):
    images = coloured(channels)
    domain = domain_of(images, (4, 13))
    np.testing.assert_array_equal(domain.low[:, 0, 0], images.numpy().min((0, 2, 3)))
    np.testing.assert_array_equal(domain.high[:, 0, 0], images.numpy().max((0, 2, 3)))
    assert domain.size == (4, 13)
    assert domain.images.shape == (6, channels, 4, 13)
    assert domain_of(images, (7, 10)).images.equal(images)


@pytest.mark.parametrize("size", [(4, 13), (3, 5), (20, 31)])
def test_images_are_resized_as_pillow_does(size):
    images = coloured(2)
    bilinear = Image.Resampling.BILINEAR
    expected = [
        [np.asarray(Image.fromarray(channel).resize(size[::-1], bilinear)) for channel in one] for one in images.numpy()
    ]
    np.testing.assert_allclose(domain_of(images, size).images, expected, atol=1e-5)


def test_the_centre_is_zero_or_the_middle_where_zero_is_outside():
    images = coloured(3)
    assert domain_of(images, None).centre.eq(0).all()
    away = images - images.amin() + 1
    low, high = away.amin((0, 2, 3)), away.amax((0, 2, 3))
    assert torch.allclose(domain_of(away, None).centre[:, 0, 0], (low + high) / 2)


def test_images_of_one_colour_have_a_range_and_colours_all_the_same():
    flat = torch.full((2, 3, 4, 5), 0.25)
    domain = domain_of(flat, None)
    assert (domain.low < 0.25).all()
    assert (domain.high > 0.25).all()
    assert domain.colours.isfinite().all()
    assert domain.axes.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_without_images_the_colours_are_those_of_lucid_or_independent(channels):
    domain = plain_domain(channels, (6, 9))
    assert domain.low.shape == (channels, 1, 1)
    assert domain.low.eq(-2).all()
    assert domain.high.eq(2).all()
    if channels == 3:
        lucid = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
        expected = lucid / np.linalg.norm(lucid, axis=0).max()
    else:
        expected = np.eye(channels)
    np.testing.assert_allclose(domain.colours, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [(6, 9), (7, 8)])
def test_the_magnitude_of_a_frequency_is_the_root_of_its_mean_power(size):
    images = coloured(3, size)
    spectrum = np.fft.rfft2(images.numpy().astype(np.float64))
    expected = np.sqrt((np.abs(spectrum) ** 2).mean(0))
    expected[:, 0, 0] = images.numpy().mean((0, 2, 3)) * size[0] * size[1]
    np.testing.assert_allclose(magnitude_of(images, torch.eye(3)), expected, rtol=1e-4, atol=1e-4)
    axes = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    along = torch.einsum("dc,ndhw->nchw", axes, images)
    assert torch.allclose(magnitude_of(images, axes), magnitude_of(along, torch.eye(3)), rtol=1e-4, atol=1e-4)
