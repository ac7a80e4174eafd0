"""Colours as data."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CLASS_COLOURS",
    "GAP",
    "NON_FINITE",
    "NO_CLASS",
    "PALETTES",
    "Palette",
    "class_colours",
    "mark_non_finite",
    "palette",
]

Palette = Literal["grey", "heat", "diverging"]

# Anchors at equal distances, dark to light; "diverging" has its middle (zero) in white.
PALETTES: dict[Palette, str] = {
    "grey": "000000 ffffff",
    "heat": "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
    "diverging": "053061 2166ac 4393c3 92c5de f7f7f7 f4a582 d6604d b2182b 67001f",
}

GAP = (255, 255, 255)

NON_FINITE = {"nan": (255, 0, 255), "+inf": (255, 230, 0), "-inf": (0, 230, 255)}


# Okabe & Ito (2008), the yellow darker so that it stands on white; the others are as far as can be from all of these in
# CIEDE2000, for most eyes and for each kind of colour blindness (Machado et al. 2009).
_CODES = (
    "#0072b2 #e69f00 #009e73 #cc79a7 #d55e00 #56b4e9 #e8dc3c #84303c #8478fc #605400 "
    "#48486c #b4cca8 #906c48 #fcb4cc #0048c0 #9c9c54 #006c60 #846c90 #3cd8f0 #f07884"
)
CLASS_COLOURS = tuple(_CODES.split())
"""Colours of the classes 0, 1, ...; after the last they begin again."""

NO_CLASS = "#9a9a9a"


def class_colours(labels: ArrayLike) -> NDArray[np.uint8]:
    """Give each label the colour of its class; a negative label is grey.

    Args:
        labels: ``(N,)`` class numbers.

    Returns:
        ``(N, 3)`` uint8.

    Example:
        >>> class_colours([0, 20, -1]).tolist()
        [[0, 114, 178], [0, 114, 178], [154, 154, 154]]
    """
    codes = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in (*CLASS_COLOURS, NO_CLASS)], np.uint8)
    numbers = np.asarray(labels).astype(np.int64)
    return codes[np.where(numbers < 0, len(CLASS_COLOURS), numbers % len(CLASS_COLOURS))]


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
