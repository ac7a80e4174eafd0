"""Many images on one sheet."""

import math
from collections.abc import Iterable, Sized
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["ThumbnailSheet", "encode_sprite", "thumbnail_sheet"]

Picture = NDArray[np.uint8]

SHEET, TILE = 4096, 64
"""The longest side in pixels: every graphics card draws a texture of 4096."""

CLEAR = 32
"""An image smaller than this is enlarged: on a screen 8 pixels are a dot."""


class ThumbnailSheet(NamedTuple):
    """Small images row by row, and how to find one."""

    picture: Picture
    height: int
    width: int
    columns: int


def thumbnail_sheet(pictures: Iterable[Picture], count: int | None = None) -> ThumbnailSheet:
    """Put small versions of many pictures on one sheet, as many rows as columns.

    A tile has the shape of the first picture, with at most 64 pixels a side and no more than fit on a sheet of 4096.
    Larger pictures are shrunk with antialiasing; those of less than 32 pixels a side are enlarged by a whole factor.

    Args:
        pictures: N pictures ``(H, W, 3)`` uint8, read one after the other; one of another shape than the first stands
            in the middle of its tile, on black.
        count: N, where ``pictures`` doesn't tell its length.

    Returns:
        The sheet ``(columns * height, columns * width, 3)`` uint8 with the size of a tile; number i stands in row
        ``i // columns``. Places without a picture are black.

    Raises:
        ValueError: No pictures, a number of pictures that differs from ``count``, or what is no picture.

    Example:
        >>> sheet = thumbnail_sheet(np.zeros((100, 180, 120, 3), np.uint8))
        >>> sheet.picture.shape, sheet.height, sheet.width, sheet.columns
        ((640, 430, 3), 64, 43, 10)
    """
    if count is None:
        if not isinstance(pictures, Sized):
            raise ValueError("thumbnail_sheet: pictures have no length; count must say how many there are.")
        count = len(pictures)
    columns = math.isqrt(max(count, 1) - 1) + 1
    most = min(TILE, SHEET // columns)
    cells: Picture | None = None
    done = 0
    for picture in pictures:
        _check(picture)
        if cells is None:
            first, (height, width) = picture.shape, _fitted(picture, most, most)
            cells = np.zeros((columns, height, columns, width, 3), np.uint8)
        if done == count:
            raise ValueError(f"thumbnail_sheet: there are more pictures than count says, {count}.")
        size = (height, width) if picture.shape == first else _fitted(picture, height, width)
        _place(cells[done // columns, :, done % columns], picture, *size)
        done += 1
    if cells is None or done < count:
        raise ValueError(f"thumbnail_sheet: expected {'some' if cells is None else count} pictures; got {done}.")
    return ThumbnailSheet(cells.reshape(columns * height, columns * width, 3), height, width, columns)


def encode_sprite(sheet: ThumbnailSheet) -> bytes:
    """Encode a sheet for TensorBoard's Projector, which draws every tile as a square and clear pixels not at all.

    Returns:
        A PNG; each tile stands in the middle of a clear square, whose side is the tile's longer one.
    """
    columns, height, width = sheet.columns, sheet.height, sheet.width
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    cells = np.zeros((columns, side, columns, side, 4), np.uint8)
    inner = cells[:, top : top + height, :, left : left + width]
    inner[..., :3] = sheet.picture.reshape(columns, height, columns, width, 3)
    inner[..., 3] = 255
    file = BytesIO()
    Image.fromarray(cells.reshape(columns * side, columns * side, 4)).save(file, "png", compress_level=1)
    return file.getvalue()


def _check(picture: Picture) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
        raise ValueError(f"thumbnail_sheet: a picture is (H, W, 3) uint8; got {picture.shape} {picture.dtype}.")


def _fitted(picture: Picture, most_height: int, most_width: int) -> tuple[int, int]:
    """The size at which a picture fits: enlarged only when small, and only by a whole factor."""
    height, width = picture.shape[:2]
    scale = min(most_height / height, most_width / width)
    if scale >= 1:
        factor = max(1, min(CLEAR // max(height, width), int(scale)))
        return height * factor, width * factor
    return max(1, round(height * scale)), max(1, round(width * scale))


def _place(tile: Picture, picture: Picture, height: int, width: int) -> None:
    top, left = (tile.shape[0] - height) // 2, (tile.shape[1] - width) // 2
    larger = height >= picture.shape[0] and width >= picture.shape[1]
    image = Image.fromarray(np.ascontiguousarray(picture))
    small = image.resize((width, height), Image.Resampling.NEAREST if larger else Image.Resampling.BOX)
    tile[top : top + height, left : left + width] = np.asarray(small)
