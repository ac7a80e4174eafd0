"""How the network sees an image while it is climbed: shifted and scaled, anew in each step."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

__all__ = ["shifted_and_scaled"]


def shifted_and_scaled(images: Tensor, jitter: float, scale: float, generator: torch.Generator) -> Tensor:
    """Shift and scale all images alike, by random amounts; what comes in at the borders is mirrored.

    Args:
        images: ``(B, C, H, W)``.
        jitter: At most this share of the shorter side, in rows and in columns.
        scale: At most this share, up or down.
        generator: Draws the amounts, the same whatever the images are.

    Returns:
        ``(B, C, H, W)``.
    """
    if not jitter and not scale:
        return images
    height, width = images.shape[2:]
    factor, *shares = (2 * torch.rand(3, generator=generator) - 1).tolist()
    most = max(1, round(jitter * min(height, width))) if jitter else 0
    down, right = (round(share * most) for share in shares)
    rows, columns = (max(1, round(side * (1 + factor * scale))) for side in (height, width))
    if (rows, columns) != (height, width):
        images = interpolate(images, (rows, columns), mode="bilinear", align_corners=False)
    top, left = (rows - height) // 2 + down, (columns - width) // 2 + right
    borders = [max(0, -left), max(0, left + width - columns), max(0, -top), max(0, top + height - rows)]
    if any(borders):
        images = _mirrored(images, borders)
    top, left = top + borders[2], left + borders[0]
    return images[:, :, top : top + height, left : left + width]


def _mirrored(images: Tensor, borders: list[int]) -> Tensor:
    left, right, top, bottom = borders
    height, width = images.shape[2:]
    if max(left, right) < width and max(top, bottom) < height:
        return pad(images, borders, mode="reflect")
    rows, columns = _folded(height, top, bottom), _folded(width, left, right)
    return images[:, :, rows[:, None].to(images.device), columns.to(images.device)]


def _folded(side: int, before: int, after: int) -> Tensor:
    """Give places of a side that borders wider than itself mirror, to and fro."""
    period = max(1, 2 * (side - 1))
    places = torch.arange(-before, side + after) % period
    return torch.minimum(places, period - places)
