"""Images, and maps over images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lightning_viz.render.palettes import GAP, Palette, mark_non_finite, palette
from lightning_viz.render.scaling import as_floats, to_bytes

__all__ = ["image_picture", "mosaic", "outline", "overlay", "resize_map", "shrink", "signed_picture"]

Picture = NDArray[np.uint8]

LINE = (64, 255, 64)
"""Green: few photographs have it, and no mark of what is not finite."""


def image_picture(image: ArrayLike) -> Picture:
    """Draw an image: three channels in colour, any other number as their mean in grey.

    Args:
        image: ``(C, H, W)`` floats in 0..1. Left untouched.

    Returns:
        ``(H, W, 3)`` uint8. NaN is magenta, +infinity yellow, -infinity cyan.

    Raises:
        ValueError: Another shape.

    Example:
        >>> image_picture(np.zeros((3, 12, 20))).shape
        (12, 20, 3)
    """
    return _draw(_three_axes(image, "image_picture"), 0.0, 1.0)


def signed_picture(values: ArrayLike, bound: float | None = None) -> Picture:
    """Draw signed values per channel, as the gradient of an image has them: zero is mid-grey.

    Args:
        values: ``(C, H, W)`` floats: three channels in colour, any other number as their mean in grey. Left untouched.
        bound: The value of full colour, on both sides of zero; the largest absolute value when omitted.

    Returns:
        ``(H, W, 3)`` uint8. NaN is magenta, +infinity yellow, -infinity cyan.

    Raises:
        ValueError: Another shape, or a negative bound.

    Example:
        >>> signed_picture(np.zeros((3, 12, 20)))[0, 0].tolist()
        [128, 128, 128]
    """
    floats = _three_axes(values, "signed_picture")
    if bound is not None and bound < 0:
        raise ValueError(f"signed_picture: bound must not be negative; got {bound}.")
    finite = np.abs(floats[np.isfinite(floats)])
    most = bound if bound is not None else float(finite.max(initial=0))
    return _draw(floats, -most, most)


def _three_axes(image: ArrayLike, who: str) -> NDArray[np.float32]:
    floats = as_floats(image)
    if floats.ndim != 3 or floats.size == 0:
        raise ValueError(f"{who}: an image must be (C, H, W) and not empty; got {floats.shape}.")
    with np.errstate(invalid="ignore"):
        return floats if len(floats) in (1, 3) else floats.mean(axis=0, keepdims=True)


def _draw(floats: NDArray[np.float32], low: float, high: float) -> Picture:
    steps = np.broadcast_to(to_bytes(floats, low, high), (3, *floats.shape[1:]))
    pixels = steps.transpose(1, 2, 0).copy()
    for channel in floats:
        mark_non_finite(pixels, channel)
    return pixels


def resize_map(values: ArrayLike, height: int, width: int) -> NDArray[np.float32]:
    """Enlarge a map to the size of its image, bilinearly (``align_corners=False``), as Grad-CAM is shown.

    Args:
        values: ``(h, w)`` floats. Left untouched.
        height: Of the image.
        width: Of the image.

    Returns:
        ``(height, width)`` float32. What is not finite spreads to its neighbours.

    Example:
        >>> resize_map([[0.0, 1.0]], 1, 4).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    floats = as_floats(values)
    for axis, size in enumerate((height, width)):
        before = floats.shape[axis]
        places = np.clip((np.arange(size) + 0.5) * before / size - 0.5, 0, before - 1)
        low = np.floor(places).astype(int)
        share = (places - low).reshape((-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        near, far = floats.take(low, axis), floats.take(np.minimum(low + 1, before - 1), axis)
        with np.errstate(invalid="ignore"):
            # A share of nothing takes nothing, of infinity too.
            floats = np.where(share == 0, near, near * (1 - share) + far * share)
    return floats


def overlay(
    picture: Picture, values: ArrayLike, vmax: float, vmin: float = 0.0, opacity: float = 0.6, colours: Palette = "heat"
) -> Picture:
    """Lay a map over an image.

    Args:
        picture: ``(H, W, 3)`` uint8. Left untouched; drawn in grey, so that colour is the map's alone.
        values: ``(h, w)`` floats, enlarged to the picture.
        vmax: Value of the last colour.
        vmin: Value of the first colour.
        opacity: 0 shows the picture alone, 1 the map alone.
        colours: ``"heat"``, ``"grey"`` or ``"diverging"``.

    Returns:
        ``(H, W, 3)`` uint8. NaN is magenta, +infinity yellow, -infinity cyan, without the picture.

    Example:
        >>> overlay(np.zeros((12, 20, 3), np.uint8), [[0.0, 1.0]], vmax=1.0).shape
        (12, 20, 3)
    """
    large = resize_map(values, *picture.shape[:2])
    grey = picture.astype(np.float32).mean(axis=2, keepdims=True)
    # A range of nothing (a map of zeros) shows as nothing, not as half.
    steps = to_bytes(large, vmin, vmax) if vmax > vmin else np.zeros(large.shape, np.uint8)
    mixed = (1 - opacity) * grey + opacity * palette(colours)[steps]
    pixels: Picture = (mixed + 0.5).astype(np.uint8)
    mark_non_finite(pixels, large)
    return pixels


def mosaic(rows: Sequence[Sequence[Picture]], most: int = 128) -> Picture:
    """Put pictures side by side in rows and columns, each at most ``most`` pixels wide and high.

    Args:
        rows: Pictures ``(H, W, 3)`` uint8, those of a row next to each other. Larger ones are shrunk, smaller ones keep
            their pixels.
        most: The longer side of a tile.

    Returns:
        ``(H, W, 3)`` uint8, white between the tiles.

    Raises:
        ValueError: No pictures.

    Example:
        >>> mosaic([[np.zeros((12, 20, 3), np.uint8)] * 2] * 3).shape
        (38, 41, 3)
    """
    if not any(len(row) for row in rows):
        raise ValueError("mosaic: there are no pictures.")
    tiles = [[shrink(picture, most) for picture in row] for row in rows]
    height = max(tile.shape[0] for row in tiles for tile in row)
    width = max(tile.shape[1] for row in tiles for tile in row)
    columns = max(len(row) for row in tiles)
    page = np.empty((len(tiles) * (height + 1) - 1, columns * (width + 1) - 1, 3), np.uint8)
    page[:] = GAP
    for down, row in enumerate(tiles):
        for across, tile in enumerate(row):
            top, left = down * (height + 1), across * (width + 1)
            page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return page


def shrink(picture: Picture, most: int) -> Picture:
    """Shrink a picture whose longer side has more than ``most`` pixels; others keep theirs."""
    height, width = picture.shape[:2]
    scale = most / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def outline(picture: Picture, box: Sequence[int]) -> Picture:
    """Draw a line around a box of a picture: outside of it, so that it hides nothing in it.

    Args:
        picture: ``(H, W, 3)`` uint8. Left untouched.
        box: Top, left, bottom, right (half-open) in pixels; where it reaches the picture's border there is no line.

    Returns:
        ``(H, W, 3)`` uint8.

    Example:
        >>> outline(np.zeros((4, 5, 3), np.uint8), (1, 1, 2, 5))[:, :, 1].tolist()
        [[255, 255, 255, 255, 255], [255, 0, 0, 0, 0], [255, 255, 255, 255, 255], [0, 0, 0, 0, 0]]
    """
    top, left, bottom, right = box
    around = np.zeros(picture.shape[:2], bool)
    around[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
    around[top:bottom, left:right] = False
    return np.where(around[:, :, None], np.array(LINE, np.uint8), picture)
