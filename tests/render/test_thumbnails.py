from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_viz.render import ThumbnailSheet, thumbnail_sheet
from lightning_viz.render.thumbnails import encode_sprite

rng = np.random.default_rng(0)


def tiles(sheet: ThumbnailSheet) -> np.ndarray:
    """Cut a sheet as its readers do, one tile after the other."""
    cut = sheet.picture.reshape(sheet.columns, sheet.height, sheet.columns, sheet.width, 3)
    return cut.swapaxes(1, 2).reshape(-1, sheet.height, sheet.width, 3)


def plain(count: int, height: int, width: int) -> np.ndarray:
    """Pictures of one colour each."""
    colours = np.random.default_rng(count).integers(1, 256, (count, 1, 1, 3), np.uint8)
    return np.broadcast_to(colours, (count, height, width, 3))


@given(st.integers(1, 40), st.integers(8, 90), st.integers(8, 90))
def test_every_picture_is_where_the_numbers_say(count, height, width):
    pictures = plain(count, height, width)
    sheet = thumbnail_sheet(pictures)
    assert sheet.columns == int(np.ceil(np.sqrt(count)))
    assert max(sheet.height, sheet.width) <= 64
    scale = sheet.height / height
    assert abs(sheet.width - scale * width) <= 0.5 + scale * width * 0.5 / sheet.height
    cut = tiles(sheet)
    assert (cut[:count] == pictures[:, :1, :1]).all()
    assert (cut[count:] == 0).all()


def test_large_pictures_are_shrunk_with_antialiasing():
    pictures = rng.integers(0, 256, (5, 128, 96, 3), np.uint8)
    sheet = thumbnail_sheet(pictures)
    means = pictures.reshape(5, 64, 2, 48, 2, 3).mean((2, 4))
    assert (sheet.height, sheet.width) == (64, 48)
    assert np.abs(tiles(sheet)[:5] - means).max() <= 1


@pytest.mark.parametrize(("height", "width", "factor"), [(8, 8, 4), (16, 10, 2), (28, 28, 1), (40, 30, 1)])
def test_small_pictures_are_enlarged_pixel_by_pixel(height, width, factor):
    pictures = rng.integers(0, 256, (3, height, width, 3), np.uint8)
    expected = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    assert np.array_equal(tiles(thumbnail_sheet(pictures))[:3], expected)


def test_ten_thousand_fit_a_texture_and_are_read_one_by_one():
    pictures = (np.full((30, 60, 3), i % 251, np.uint8) for i in range(10_000))
    sheet = thumbnail_sheet(pictures, count=10_000)
    assert (sheet.height, sheet.width, sheet.columns) == (20, 40, 100)
    assert max(sheet.picture.shape) <= 4096
    assert (tiles(sheet)[:, 10, 20, 0] == np.arange(10_000) % 251).all()


def test_another_shape_stands_undistorted_in_the_middle():
    wide, tall = np.full((20, 40, 3), 100, np.uint8), np.full((40, 20, 3), 200, np.uint8)
    first, second = tiles(thumbnail_sheet([wide, tall]))[:2]
    assert (first == 100).all()
    assert first.shape == (20, 40, 3)
    assert (second[:, 15:25] == 200).all()
    assert (second[:, :15] == 0).all()
    assert (second[:, 25:] == 0).all()


@pytest.mark.parametrize(
    ("pictures", "count", "said"),
    [
        ([], None, "expected some pictures; got 0"),
        (iter([]), None, "count must say how many"),
        (iter(plain(3, 8, 8)), 4, "expected 4 pictures; got 3"),
        (iter(plain(3, 8, 8)), 2, "more pictures than count says, 2"),
        (np.zeros((2, 8, 8), np.uint8), None, r"a picture is \(H, W, 3\) uint8; got \(8, 8\)"),
        (np.zeros((2, 8, 8, 3)), None, "float64"),
    ],
)
def test_what_makes_no_sheet_is_refused(pictures, count, said):
    with pytest.raises(ValueError, match=said):
        thumbnail_sheet(pictures, count)


@pytest.mark.parametrize(("height", "width"), [(60, 31), (31, 60), (40, 40)])
def test_a_sprite_has_the_pictures_in_clear_squares(height, width):
    pictures = rng.integers(0, 256, (7, height, width, 3), np.uint8)
    sprite = np.asarray(Image.open(BytesIO(encode_sprite(thumbnail_sheet(pictures)))))
    side = max(height, width)
    assert sprite.shape == (3 * side, 3 * side, 4)
    tile = sprite[side : 2 * side, 2 * side :]  # number 5
    opaque = tile[..., 3] == 255
    assert opaque.sum() == height * width
    assert np.array_equal(tile[opaque][:, :3], pictures[5].reshape(-1, 3))
    rows, columns = np.nonzero(opaque)
    assert abs(rows.min() + rows.max() - side + 1) <= 1
    assert abs(columns.min() + columns.max() - side + 1) <= 1
    assert (tile[~opaque] == 0).all()
