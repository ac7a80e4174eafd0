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


# Okabe & Ito (2008), the yellow darker so that it stands on white; then, one after the other, the colour that is
# farthest from all before it in Oklab, for most eyes and for each kind of colour blindness (Machado et al. 2009).
_CODES = (
    "#0072b2 #e69f00 #009e73 #cc79a7 #d55e00 #56b4e9 #d6c630 #a81860 #845400 #9078e4 "
    "#90b484 #6c5484 #a85454 #5448c0 #84cccc #906c90 #c09cc0 #48900c #7890cc #b47854"
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
