"""Points as a picture."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from lightning_viz.render.palettes import CLASS_COLOURS, class_colours
from lightning_viz.render.scaling import as_floats

__all__ = ["scatter_picture"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, QUIET = (252, 252, 252), (51, 51, 51), (128, 128, 128)
NAMES, LETTERS = 12, 24
"""The most class names that a legend shows, and how much of each."""
SMOOTH = 4
"""Dots are drawn this much larger, then shrunk: PIL draws without antialiasing."""


def scatter_picture(
    layout: ArrayLike,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    size: int = 720,
) -> NDArray[np.uint8]:
    """Draw points on a plane, coloured by class, with one scale for both axes.

    Args:
        layout: ``(N, 2)`` floats, x to the right and y upwards. Points that are not finite are left out, and counted in
            the line below. Left untouched.
        labels: ``(N,)`` class numbers; a negative one is grey. Without them all points have one colour.
        class_names: Shown beside their colours where there are at most 12; without them the numbers are.
        size: Height of the picture; the width without the legend is the same.

    Returns:
        ``(size, W, 3)`` uint8. W does not depend on the points, so that all epochs have one size.

    Raises:
        ValueError: Another shape, or another number of labels than points.

    Example:
        >>> scatter_picture(np.random.randn(100, 2), np.arange(100) % 2).shape
        (720, 771, 3)
    """
    points = as_floats(layout)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"scatter_picture: layout must be (N, 2); got {points.shape}.")
    numbers = np.zeros(len(points), np.int64) if labels is None else np.asarray(labels)
    if numbers.shape != (len(points),):
        raise ValueError(f"scatter_picture: {len(points)} points need as many labels; got {numbers.shape}.")
    finite = np.asarray(np.isfinite(points).all(axis=1))
    letter = max(10, size // 45)
    font = ImageFont.load_default(letter)
    names = [] if labels is None else _legend(numbers, class_names)
    row = round(1.6 * letter)
    page = Image.new("RGB", (size + _legend_width(names, font, letter), size), PAPER)
    page.paste(_draw_dots(points[finite], class_colours(numbers[finite]), size, margin=2 * row), (0, 0))
    pen = ImageDraw.Draw(page)
    for number, name in enumerate(names):
        middle = size // 2 + (number - (len(names) - 1) / 2) * row
        page.paste(_dot(CLASS_COLOURS[number], letter), (size, round(middle - letter / 2)))
        pen.text((size + 1.6 * letter, middle), name, INK, font, anchor="lm")
    place, anchor = ((row, size - row), "lm") if finite.any() else ((size / 2, size / 2), "mm")
    pen.text(place, _line(finite), QUIET, font, anchor=anchor)
    return np.asarray(page)


def _draw_dots(points: NDArray[np.float32], colours: NDArray[np.uint8], size: int, margin: int) -> Image.Image:
    radius = min(max(0.16 * size / math.sqrt(max(len(points), 1)), size / 450), size / 120)
    page = Image.new("RGB", (size * SMOOTH, size * SMOOTH), PAPER)
    pen = ImageDraw.Draw(page)
    places = _on_page(points, size, margin + radius)
    # In an order of chance, always the same, so that no class covers the others.
    for i in np.random.default_rng(0).permutation(len(points)):
        _draw_dot(pen, places[i] * SMOOTH, radius * SMOOTH, tuple(colours[i].tolist()))
    return page.resize((size, size), Image.Resampling.BOX)


def _on_page(points: NDArray[np.float32], size: int, margin: float) -> NDArray[np.float64]:
    """Centre the points, y upwards; where all are in one place, they are in the middle."""
    if len(points) == 0:
        return np.zeros((0, 2))
    # Halves: the span of float32 overflows float32, and the sum of its ends too.
    halves = points.astype(np.float64) / 2
    low, high = halves.min(axis=0), halves.max(axis=0)
    span = (high - low).max()
    scale = (size - 2 * margin) / span if span > 0 else 0.0
    places: NDArray[np.float64] = size / 2 + (halves - (low + high) / 2) * scale * (1, -1)
    return places


def _draw_dot(pen: ImageDraw.ImageDraw, place: NDArray[np.float64], radius: float, colour: tuple[int, ...]) -> None:
    x, y = place.tolist()
    rim = radius + min(0.6 * SMOOTH, 0.25 * radius)
    pen.ellipse((x - rim, y - rim, x + rim, y + rim), PAPER)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def _dot(colour: str, side: int) -> Image.Image:
    large = Image.new("RGB", (side * SMOOTH, side * SMOOTH), PAPER)
    fifth = large.width / 5
    ImageDraw.Draw(large).ellipse((fifth, fifth, 4 * fifth, 4 * fifth), colour)
    return large.resize((side, side), Image.Resampling.BOX)


def _legend(labels: NDArray[np.int64], class_names: Sequence[str] | None) -> list[str]:
    """The names beside the colours, the classes' numbers where they have none; nothing where they are too many."""
    most = int(labels.max(initial=-1)) + 1
    if max(most, len(class_names or ())) > NAMES:
        return []
    class_names = [*(class_names or ()), *(str(number) for number in range(len(class_names or ()), most))]
    return [name if len(name) <= LETTERS else f"{name[:LETTERS]}..." for name in class_names]


def _legend_width(names: Sequence[str], font: Font, letter: int) -> int:
    return math.ceil(2.6 * letter + max(font.getlength(name) for name in names)) if names else 0


def _line(finite: NDArray[np.bool_]) -> str:
    shown, bad = int(finite.sum()), int((~finite).sum())
    points = f"{format(shown, ',') if shown else 'no'} point{'' if shown == 1 else 's'}"
    return points + (f", {bad:,} not finite left out" if bad else "")
