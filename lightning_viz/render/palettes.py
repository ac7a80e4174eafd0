"""Colours as data."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAP", "NON_FINITE", "PALETTES", "Palette", "mark_non_finite", "palette"]

Palette = Literal["grey", "heat", "diverging"]

# Anchors at equal distances, dark to light; "diverging" has its middle (zero) in white.
PALETTES: dict[Palette, str] = {
    "grey": "000000 ffffff",
    "heat": "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
    "diverging": "053061 2166ac 4393c3 92c5de f7f7f7 f4a582 d6604d b2182b 67001f",
}

GAP = (255, 255, 255)

NON_FINITE = {"nan": (255, 0, 255), "+inf": (255, 230, 0), "-inf": (0, 230, 255)}


def palette(name: Palette) -> NDArray[np.uint8]:
    """Give the 256 colours of a palette.

    Returns:
        ``(256, 3)`` uint8.

    Raises:
        ValueError: No such palette.

    Example:
        >>> palette("grey")[128].tolist()
        [128, 128, 128]
    """
    if name not in PALETTES:
        raise ValueError(f'palette: there is no "{name}". Choices: {", ".join(PALETTES)}.')
    anchors = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in PALETTES[name].split()])
    positions = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(positions, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def mark_non_finite(pixels: NDArray[np.uint8], values: NDArray[np.floating]) -> None:
    """Paint NaN magenta, +infinity yellow and -infinity cyan.

    Args:
        pixels: ``(..., 3)`` uint8, changed in place.
        values: ``(...)`` what the pixels show.
    """
    pixels[np.isnan(values)] = NON_FINITE["nan"]
    pixels[np.isposinf(values)] = NON_FINITE["+inf"]
    pixels[np.isneginf(values)] = NON_FINITE["-inf"]
