import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.utils import make_grid

from lightning_viz.render import filter_grid
from lightning_viz.render.grids import grid_columns, lay_out
from lightning_viz.render.palettes import GAP, NON_FINITE


def filters_of(units: int, channels: int, height: int = 12, width: int = 20) -> torch.Tensor:
    torch.manual_seed(units * 100 + channels)
    return torch.randn(units, channels, height, width) * torch.logspace(-2, 2, units).view(-1, 1, 1, 1)


def peer_grid(tiles: torch.Tensor, columns: int, **arguments) -> np.ndarray:
    """Torchvision's grid without its outer frame, as floats 0..255."""
    grid = make_grid(tiles, nrow=columns, padding=1, pad_value=1, normalize=True, **arguments)
    return 255 * (grid[:, 1:-1, 1:-1] if len(tiles) > 1 else grid).permute(1, 2, 0).numpy()


def assert_within_one_step(picture: np.ndarray, expected: np.ndarray) -> None:
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("units", [1, 2, 12, 13, 96])
def test_images_are_those_of_torchvision(units, channels):
    filters = filters_of(units, channels)
    each, shared = filter_grid(filters), filter_grid(filters, scale="shared")
    assert_within_one_step(each.picture, peer_grid(filters, each.columns, scale_each=True))
    assert_within_one_step(shared.picture, peer_grid(filters, shared.columns))


@pytest.mark.parametrize("channels", [2, 4, 16])
@pytest.mark.parametrize("units", [1, 5])
def test_other_channels_are_columns_and_a_filter_is_a_row(units, channels):
    filters = filters_of(units, channels)
    each, shared = filter_grid(filters), filter_grid(filters, scale="shared")
    gap = np.full((1, channels * 21 - 1, 3), GAP)
    rows = [np.concatenate([gap, peer_grid(one[:, None], channels)]) for one in filters]
    assert each.columns == shared.columns == channels
    assert_within_one_step(each.picture, np.concatenate(rows)[1:])
    assert_within_one_step(shared.picture, peer_grid(filters.reshape(-1, 1, 12, 20), channels))


def test_more_than_64_units_or_channels_are_cut_and_said_but_scale_over_all():
    filters = np.random.default_rng(0).uniform(size=(66, 65, 2, 3)).astype(np.float32)
    filters[:, 64] = 9
    grid = filter_grid(filters)
    assert grid.picture.shape == (64 * 3 - 1, 64 * 4 - 1, 3)
    assert "rows: filters 0-63 of 66, columns: input channels 0-63 of 65" in grid.caption
    tiles = grid.picture[np.arange(191) % 3 < 2][:, np.arange(255) % 4 < 3]
    assert 20 < tiles.max() <= round(255 / 9) + 1
    assert filter_grid(filters[:64, :64]).caption == (
        "64 filters of 64x2x3 rows: filters, columns: input channels, each on its own scale"
    )


@pytest.mark.parametrize(
    ("channels", "scale", "caption"),
    [
        (1, "filter", "2 filters of 1x1x2 in grey, each on its own scale"),
        (3, "shared", "2 filters of 3x1x2 in colour, one scale, -1 to 2.5"),
        (2, "filter", "2 filters of 2x1x2 rows: filters, columns: input channels, each on its own scale"),
    ],
)
def test_the_caption_names_layout_and_scale(channels, scale, caption):
    filters = np.zeros((2, channels, 1, 2))
    filters[0, 0, 0] = -1, 2.5
    assert filter_grid(filters, scale).caption == caption


def test_constant_filters_are_mid_grey():
    filters = np.stack([np.full((3, 2, 4), 5.0), np.zeros((3, 2, 4))])
    grid = filter_grid(filters)
    assert (grid.picture[:, :4] == 128).all()
    assert (grid.picture[:, 5:] == 128).all()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_is_not_finite_is_marked_in_place_counted_and_not_part_of_the_scale(channels):
    filters = np.zeros((2, channels, 2, 3), np.float32)
    filters[:, :, 1, 2] = 1
    clean = filter_grid(filters)
    filters[1, channels - 1, 0] = np.nan, np.inf, -np.inf
    grid = filter_grid(filters)
    tile = (slice(3, 5), slice(4, 7)) if channels == 2 else (slice(0, 2), slice(4, 7))
    assert grid.picture[tile][0].tolist() == [list(colour) for colour in NON_FINITE.values()]
    assert grid.caption == clean.caption + ", 3 values not finite"
    clean.picture[tile][0] = grid.picture[tile][0]
    assert np.array_equal(grid.picture, clean.picture)


def test_filters_are_left_untouched():
    filters = filters_of(4, 3)
    filters[0, 0, 0, 0] = torch.nan
    before = filters.clone()
    filter_grid(filters)
    assert torch.equal(filters.nan_to_num(), before.nan_to_num())


@pytest.mark.parametrize(
    ("filters", "scale", "message"),
    [
        (np.zeros((3, 12, 20)), "filter", r"filters must be \(K, C, h, w\) and not empty; got \(3, 12, 20\)"),
        (np.zeros((0, 3, 12, 20)), "filter", r"not empty; got \(0, 3, 12, 20\)"),
        (np.zeros((2, 3, 12, 20)), "each", """filter_grid: scale must be "filter" or "shared"; got 'each'"""),
    ],
)
def test_wrong_arguments_are_refused(filters, scale, message):
    with pytest.raises(ValueError, match=message):
        filter_grid(filters, scale)


@given(st.integers(1, 5000))
def test_columns_make_the_squarest_full_rectangle_no_flatter_than_four_to_one_else_nearly_a_square(count):
    square = math.ceil(math.sqrt(count))
    full = [columns for columns in range(1, count + 1) if count % columns == 0 and square <= columns < 2 * square]
    assert grid_columns(count) == min(full, default=square)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
def test_tiles_are_laid_out_row_by_row_with_a_gap(count, columns, height, width):
    tiles = np.random.default_rng(0).integers(0, 250, (count, height, width, 3), np.uint8)
    picture = lay_out(tiles, columns)
    rows = -(-count // columns)
    expected = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), GAP)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        expected[top : top + height, left : left + width] = tile
    assert np.array_equal(picture, expected)
