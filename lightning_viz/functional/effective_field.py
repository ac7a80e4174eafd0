"""Which part of what a position sees counts: its effective field."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_viz.functional.reconstruction import Positions, reconstruct

__all__ = ["ENERGY", "effective_field"]

ENERGY = 0.95
"""The share of the gradient's energy that an effective field holds, at least."""


def effective_field(
    model: nn.Module,
    layer: str,
    images: Tensor,
    units: int | Sequence[int] | Tensor | None = None,
    positions: Positions = None,
    image_ids: Sequence[int] | Tensor | None = None,
) -> Tensor:
    """Find the part of each image that an activation hangs on: the box that holds 95 % of the gradient's energy.

    A receptive field is all that could count, often more than the image; most of what counts lies in its middle. The
    energy of a pixel is the squared gradient of the activation with respect to it, summed over channels. From each of
    the four sides as many rows or columns are cut off as together hold no more than 1.25 % of it, so that at least 95 %
    remain. The arguments are those of ``reconstruct``, and so is the cost.

    Args:
        model: Left exactly as found; runs in eval mode.
        layer: Dotted name.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        units: One for each of P activations, or one for all. None: the strongest of each image.
        positions: ``(P, 2)`` rows and columns in the layer's map. None: where the unit is strongest. ``"all"``: its
            whole map.
        image_ids: ``(P,)`` which image belongs to which unit. None: one unit per image, in order.

    Returns:
        ``(P, 4)`` int64 on the CPU: top, left, bottom, right (half-open) in the image; -1 where the gradient is zero
        or not finite, and of an activation of zero.

    Raises:
        ValueError: As ``reconstruct``.

    Source: Luo et al., Understanding the effective receptive field in deep convolutional neural networks, NeurIPS 2016.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3))
        >>> effective_field(model, "1", torch.randn(1, 3, 12, 20), units=5, positions=[[2, 4]]).tolist()
        [[2, 4, 7, 9]]
    """
    gradients = reconstruct(model, layer, images, units, positions, image_ids, rule="gradient").cpu()
    # Squares of small numbers would be zero.
    largest = gradients.abs().amax((1, 2, 3), keepdim=True)
    energy = (gradients / largest).square().sum(1, dtype=torch.float64)
    (top, bottom), (left, right) = _ends(energy.sum(2)), _ends(energy.sum(1))
    boxes = torch.stack([top, left, bottom, right], dim=1)
    return boxes.where(energy.sum((1, 2)).isfinite()[:, None], -1)


def _ends(energy: Tensor) -> tuple[Tensor, Tensor]:
    """Find the first line that stays and the last (half-open), of the energy ``(P, lines)``."""
    cut = energy.sum(1, keepdim=True) * (1 - ENERGY) / 4
    before, after = energy.cumsum(1), energy.flip(1).cumsum(1)
    return (before <= cut).sum(1), energy.shape[1] - (after <= cut).sum(1)
