"""What the ascent changes, and the images that it makes of it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lightning_viz.functional.synthesis.domain import Domain
from lightning_viz.functional.synthesis.regularisation import Parametrisation

__all__ = ["Canvas", "canvas_for"]

SATURATED = 1e-3
"""So near to the border of the range an image is taken, whose parameter would else be infinite."""

CONTRAST = 4.0
"""Lucid's divisor, by which the first steps do not saturate."""


class Canvas(ABC):
    """Makes images ``(B, C, H, W)`` of a parameter, and the other way round."""

    starts_from_nothing = True
    """Whether a plain image has a parameter of its own."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Give the parameter whose images come nearest."""

    @abstractmethod
    def decode(self, parameter: Tensor) -> Tensor:
        """Give the images, differentiably."""


class _Pixels(Canvas):
    def encode(self, images: Tensor) -> Tensor:
        return images.clone()

    def decode(self, parameter: Tensor) -> Tensor:
        return parameter


class _Fourier(Canvas):
    """Olah et al., Feature visualization, 2017: frequencies, weighed by 1 / frequency, of independent colours."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain)
        height, width = domain.size
        rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
        frequency = (rows**2 + columns**2).sqrt().to(domain.low)
        self._weight = 1 / (CONTRAST * frequency.clamp(min=1 / max(height, width)))
        share = (domain.centre - domain.low) / (domain.high - domain.low)
        self._offset = torch.logit(share)

    def encode(self, images: Tensor) -> Tensor:
        domain = self.domain
        share = (images - domain.low) / (domain.high - domain.low)
        values = torch.logit(share, eps=SATURATED) - self._offset
        independent = torch.einsum("dc,nchw->ndhw", torch.linalg.pinv(domain.colours), values)
        return torch.view_as_real(torch.fft.rfft2(independent, norm="ortho") / self._weight)

    def decode(self, parameter: Tensor) -> Tensor:
        domain = self.domain
        spectrum = torch.view_as_complex(parameter) * self._weight
        independent = torch.fft.irfft2(spectrum, s=domain.size, norm="ortho")
        values = torch.einsum("dc,nchw->ndhw", domain.colours, independent)
        return domain.low + (domain.high - domain.low) * torch.sigmoid(values + self._offset)


class _Phase(Canvas):
    """Fel et al., MACO, NeurIPS 2023: the phases alone; here with the magnitudes of the user's data."""

    starts_from_nothing = False

    def __init__(self, domain: Domain, magnitude: Tensor) -> None:
        super().__init__(domain)
        self._magnitude = magnitude
        self._axes = domain.axes

    def encode(self, images: Tensor) -> Tensor:
        independent = torch.einsum("dc,ndhw->nchw", self._axes, images)
        return torch.angle(torch.fft.rfft2(independent))

    def decode(self, parameter: Tensor) -> Tensor:
        height, width = self.domain.size
        phase = parameter.clone()
        # A real image has opposite phases at opposite frequencies; these columns hold both.
        for column in {0, width // 2} if width % 2 == 0 else {0}:
            own = parameter[..., column]
            opposite = own[..., (-torch.arange(height, device=own.device)) % height]
            phase[..., column] = (own - opposite) / 2
        spectrum = torch.polar(torch.ones_like(phase), phase) * self._magnitude
        independent = torch.fft.irfft2(spectrum, s=self.domain.size)
        return torch.einsum("dc,nchw->ndhw", self._axes, independent)


def canvas_for(parametrisation: Parametrisation, domain: Domain, magnitude: Tensor | None) -> Canvas:
    """Give the canvas of a parametrisation.

    Args:
        parametrisation: What is changed.
        domain: What the images are like.
        magnitude: ``(B, C, H, W // 2 + 1)``, held where phases are changed.
    """
    if parametrisation == "phase":
        assert magnitude is not None
        return _Phase(domain, magnitude)
    return _Fourier(domain) if parametrisation == "fourier" else _Pixels(domain)
