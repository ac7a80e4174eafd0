"""Filters side by side."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_viz.render.palettes import GAP, mark_non_finite
from lightning_viz.render.scaling import as_floats, finite_range, to_bytes

__all__ = ["FilterGrid", "Scale", "filter_grid", "grid_columns", "lay_out"]

Scale = Literal["filter", "shared"]

MOST = 64


class FilterGrid(NamedTuple):
    """A picture of filters, and how to read it."""

    picture: NDArray[np.uint8]
    caption: str
    columns: int


def filter_grid(filters: ArrayLike, scale: Scale = "filter") -> FilterGrid:
    """Draw the filters of a convolution side by side, one pixel per weight, one pixel between filters.

    Three input channels are drawn in colour and one in grey, a tile per filter, row by row. Any other number has no
    colours: then each row is a filter and each column an input channel, in grey (the first 64 of each).

    Args:
        filters: ``(K, C, h, w)`` float array or tensor. Left untouched.
        scale: ``"filter"``: each filter from its own minimum (black) to its own maximum (white), over all its
            channels. ``"shared"``: the minimum and maximum of all filters, so that strengths can be compared.
            A constant is mid-grey.

    Returns:
        The picture ``(H, W, 3)`` uint8, a caption that names layout and scale, and the number of columns. NaN is
        magenta, +infinity yellow, -infinity cyan, whichever channel it is in; the caption counts them.

    Raises:
        ValueError: Not four axes, nothing to draw, or an unknown scale.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, Fig. 6.

    Example:
        >>> grid = filter_grid(np.random.rand(96, 3, 11, 11))
        >>> grid.picture.shape, grid.columns
        ((95, 143, 3), 12)
        >>> grid.caption
        '96 filters of 3x11x11 in colour, each on its own scale'
    """
    filters = as_floats(filters)
    if filters.ndim != 4 or 0 in filters.shape:
        raise ValueError(f"filter_grid: filters must be (K, C, h, w) and not empty; got {filters.shape}.")
    if scale not in ("filter", "shared"):
        raise ValueError(f'filter_grid: scale must be "filter" or "shared"; got {scale!r}.')
    units, channels, height, width = filters.shape
    low, high = finite_range(filters, axes=(1, 2, 3) if scale == "filter" else (0, 1, 2, 3))
    scale_text = "each on its own scale" if scale == "filter" else f"one scale, {low.min():.3g} to {high.max():.3g}"
    bad = filters.size - np.isfinite(filters).sum()
    steps = to_bytes(filters, low, high)
    if channels in (1, 3):
        columns, layout = grid_columns(units), "in colour" if channels == 3 else "in grey"
    else:
        rows, columns = min(units, MOST), min(channels, MOST)
        layout = f"rows: filters{_part(rows, units)}, columns: input channels{_part(columns, channels)}"
        filters = filters[:MOST, :MOST].reshape(-1, 1, height, width)
        steps = steps[:MOST, :MOST].reshape(-1, 1, height, width)
    pixels = np.repeat(steps.transpose(0, 2, 3, 1), 3 // steps.shape[1], axis=3)
    if bad:
        for channel in np.moveaxis(filters, 1, 0):
            mark_non_finite(pixels, channel)
    caption = f"{units} filters of {channels}x{height}x{width} {layout}, {scale_text}"
    return FilterGrid(lay_out(pixels, columns), caption + (f", {bad} values not finite" if bad else ""), columns)


def _part(shown: int, of: int) -> str:
    return f" 0-{shown - 1} of {of}" if shown < of else ""


def grid_columns(count: int) -> int:
    """Choose how many tiles stand in a row: a full rectangle that is square or wider, else nearly a square.

    Example:
        >>> [grid_columns(count) for count in (1, 64, 96, 512, 13)]
        [1, 8, 12, 32, 4]
    """
    root = math.isqrt(count - 1) + 1
    return next((columns for columns in range(root, 2 * root) if count % columns == 0), root)


def lay_out(tiles: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Put tiles into rows, with a gap of one pixel between them.

    Args:
        tiles: ``(N, h, w, 3)`` uint8.
        columns: Tiles in a row.

    Returns:
        ``(rows * (h + 1) - 1, columns * (w + 1) - 1, 3)`` uint8.
    """
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    cells = np.full((rows * columns, height + 1, width + 1, 3), GAP, dtype=np.uint8)
    cells[:count, :height, :width] = tiles
    cells = cells.reshape(rows, columns, height + 1, width + 1, 3).swapaxes(1, 2)
    return cells.reshape(rows * (height + 1), columns * (width + 1), 3)[:-1, :-1]
