"""What the user's images say about how a synthesised one may look: size, channels, range, colours, frequencies."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["Domain", "domain_of", "magnitude_of", "plain_domain"]

PLAIN_RANGE = 2.0
"""Without images: of what was brought to mean 0 and standard deviation 1, two of these on both sides."""

RGB_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""The square root of the covariance of ImageNet's colours, as Lucid gives it (Olah et al. 2017)."""


class Domain(NamedTuple):
    """The images that a network is made for."""

    low: Tensor
    """``(C, 1, 1)``, the smallest value of each channel."""
    high: Tensor
    """Likewise the largest."""
    colours: Tensor
    """``(C, C)``: takes independent colours to those that go together; the columns are orthogonal, the longest 1."""
    size: tuple[int, int]
    images: Tensor | None
    """``(N, C, H, W)``, of this size."""

    @property
    def centre(self) -> Tensor:
        """``(C, 1, 1)``: zero, the mean of centred data; of others the middle of their range."""
        inside = (self.low < 0) & (self.high > 0)
        return torch.where(inside.all(), torch.zeros_like(self.low), (self.low + self.high) / 2)

    @property
    def axes(self) -> Tensor:
        """``(C, C)`` orthonormal: the directions of ``colours`` without their lengths."""
        axes, _ = torch.linalg.qr(self.colours.cpu().double())
        return torch.as_tensor(axes).to(self.colours)


def plain_domain(channels: int, size: tuple[int, int]) -> Domain:
    """Assume normalised images where none are given."""
    most = torch.full((channels, 1, 1), PLAIN_RANGE)
    colours = torch.tensor(RGB_COLOURS) if channels == 3 else torch.eye(channels)
    return Domain(-most, most, colours / colours.norm(dim=0).max(), size, None)


def domain_of(images: Tensor, size: tuple[int, int] | None) -> Domain:
    """Measure images.

    Args:
        images: ``(N, C, H, W)``, finite. Left untouched.
        size: Of the image to make; theirs when None.
    """
    images = images.detach().float()
    low, high = (values[:, None, None] for values in (images.amin((0, 2, 3)), images.amax((0, 2, 3))))
    flat = low == high
    low, high = torch.where(flat, low - 1, low), torch.where(flat, high + 1, high)
    colours = _colours(images)
    if size is not None and size != tuple(images.shape[2:]):
        images = interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
    return Domain(low, high, colours, (images.shape[2], images.shape[3]), images)


def _colours(images: Tensor) -> Tensor:
    pixels = images.cpu().transpose(0, 1).flatten(1).double()  # not every device knows float64
    variances, axes = torch.linalg.eigh(torch.cov(pixels).reshape(len(pixels), -1))
    # The direction of an axis is arbitrary: let the sum of each be positive. The widest comes first.
    axes = axes * torch.where(axes.sum(0) < 0, -1.0, 1.0)
    spread = variances.clamp(min=1e-6 * max(float(variances.max()), 1e-12)).sqrt()
    return torch.as_tensor(axes * (spread / spread.max())).flip(1).to(images)


def magnitude_of(images: Tensor, axes: Tensor) -> Tensor:
    """Measure how strong each frequency is: the root of the mean power.

    Args:
        images: ``(N, C, H, W)``.
        axes: ``(C, C)`` orthonormal; along these colours.

    Returns:
        ``(C, H, W // 2 + 1)``, of the unnormalised ``rfft2``. The constant part is the mean colour of all, with its
        sign, since it is no wave.
    """
    spectrum = torch.fft.rfft2(torch.einsum("dc,ndhw->nchw", axes, images))
    magnitude: Tensor = spectrum.abs().square().mean(0).sqrt()
    magnitude[:, 0, 0] = spectrum[:, :, 0, 0].real.mean(0)
    return magnitude
