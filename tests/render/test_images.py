import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate

from lightning_viz.render import image_picture, mosaic, outline, overlay, resize_map, shrink, signed_picture
from lightning_viz.render.palettes import GAP, NON_FINITE, palette

MARKS = [list(colour) for colour in NON_FINITE.values()]
ODD = [np.nan, np.inf, -np.inf]

rng = np.random.default_rng(0)


def by_torch(values: np.ndarray, height: int, width: int) -> np.ndarray:
    precise = torch.tensor(values, dtype=torch.float64)[None, None]
    return interpolate(precise, (height, width), mode="bilinear", align_corners=False)[0, 0].numpy()


def random_map(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)


def assert_within_one_step(picture: np.ndarray, expected: np.ndarray) -> None:
    assert picture.dtype == np.uint8
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 0.501


def photograph(height: int = 12, width: int = 20) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_in_colour_has_its_colours():
    image = rng.uniform(size=(3, 12, 20))
    assert_within_one_step(image_picture(image), 255 * image.transpose(1, 2, 0))


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_other_number_of_channels_is_their_mean_in_grey(channels):
    image = rng.uniform(size=(channels, 12, 20))
    picture = image_picture(image)
    assert_within_one_step(picture, np.repeat(255 * image.mean(0)[..., None], 3, axis=2))


def test_what_lies_outside_0_and_1_is_clipped():
    assert image_picture([[[-3.0, 0, 1, 7]]])[0, :, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("draw", [image_picture, signed_picture])
def test_what_is_not_finite_is_marked_in_whatever_channel_and_changes_nothing_else(draw, channels):
    image = rng.uniform(size=(channels, 2, 3))
    image[:, 1, 2] = 1.0  # the largest: of a signed picture the scale
    clean = draw(image)
    image[channels - 1, 0] = ODD
    picture = draw(image)
    assert picture[0].tolist() == MARKS
    assert np.array_equal(picture[1], clean[1])


@pytest.mark.parametrize("draw", [image_picture, signed_picture])
def test_an_image_without_a_finite_value_is_all_marks(draw):
    assert (draw(np.full((3, 2, 4), np.nan)) == NON_FINITE["nan"]).all()


@pytest.mark.parametrize("draw", [image_picture, signed_picture])
@pytest.mark.parametrize("shape", [(12, 20), (3, 0, 20), (2, 3, 12, 20)])
def test_what_is_no_image_is_refused(draw, shape):
    with pytest.raises(
        ValueError, match=rf"^{draw.__name__}: an image must be \(C, H, W\) and not empty; got "
    ) as raised:
        draw(np.zeros(shape))
    assert str(shape) in str(raised.value)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_zero_is_mid_grey_and_both_signs_go_to_the_ends(channels):
    values = np.zeros((channels, 1, 4), np.float32)
    values[:, 0] = -2, 0, 1, 2
    assert signed_picture(values)[0].tolist() == [[0] * 3, [128] * 3, [191] * 3, [255] * 3]
    assert (signed_picture(0 * values) == 128).all()


def test_each_channel_of_a_signed_picture_has_its_sign():
    values = rng.normal(size=(3, 12, 20))
    bound = np.abs(values).max()
    assert_within_one_step(signed_picture(values), 127.5 + 127.5 * (values / bound).transpose(1, 2, 0))


def test_two_signed_pictures_with_one_bound_are_comparable():
    values = np.array([[[-1.0, 0, 1, 8]]])
    assert signed_picture(values, bound=4)[0, :, 0].tolist() == [96, 128, 159, 255]
    assert np.array_equal(signed_picture(values, bound=8), signed_picture(values))
    assert signed_picture(values, bound=0)[0, 1].tolist() == [128, 128, 128]
    with pytest.raises(ValueError, match="signed_picture: bound must not be negative; got -1"):
        signed_picture(values, bound=-1)


@pytest.mark.parametrize("draw", [image_picture, signed_picture])
def test_tensors_are_drawn_like_arrays_and_both_are_left_untouched(draw):
    values = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    before = values.detach().clone()
    array = before.numpy().copy()
    assert np.array_equal(draw(values), draw(array))
    assert torch.equal(values, before)
    assert np.array_equal(array, before.numpy())
    draw(array.astype(np.float32))[:] = 7
    assert np.array_equal(draw(values), draw(array))


@settings(deadline=None)
@given(*[st.integers(1, 9)] * 2, *[st.integers(1, 40)] * 2, st.integers(0, 9))
def test_maps_are_resized_as_torch_does(height, width, tall, wide, seed):
    values = random_map(seed, height, width)
    large = resize_map(values, tall, wide)
    assert large.dtype == np.float32
    np.testing.assert_allclose(large, by_torch(values, tall, wide), rtol=1e-5, atol=1e-6)


@given(*[st.integers(1, 9)] * 2, st.integers(0, 9))
def test_a_map_of_the_right_size_stays(height, width, seed):
    values = random_map(seed, height, width)
    assert np.array_equal(resize_map(values, height, width), values)


@given(*[st.integers(1, 9)] * 2, *[st.integers(1, 40)] * 2, st.integers(0, 9))
def test_a_resized_map_stays_within_its_values(height, width, tall, wide, seed):
    values = random_map(seed, height, width)
    large = resize_map(values, tall, wide)
    margin = 1e-6 * np.abs(values).max()
    assert values.min() - margin <= large.min() <= large.max() <= values.max() + margin


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 4)])
@pytest.mark.parametrize("size", [(12, 20), (7, 30), (9, 15)])
def test_what_is_not_finite_spreads_to_its_neighbours_alone(size, place, odd):
    values = random_map(0, 3, 5)
    clean = resize_map(values, *size)
    values[place] = odd
    large = resize_map(values, *size)
    finite = np.isfinite(by_torch(values, *size))
    assert 0 < finite.sum() < finite.size
    # torch also takes a share of nothing of its neighbour, which makes NaN of it; ours does not.
    assert not (finite & ~np.isfinite(large)).any()
    assert not np.isfinite(large).all()
    assert np.array_equal(large[finite], clean[finite])


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 4)])
def test_at_its_own_size_it_does_not_spread(place, odd):
    values = random_map(0, 3, 5)
    values[place] = odd
    assert np.array_equal(resize_map(values, 3, 5), values, equal_nan=True)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_corner_shows_the_value_of_the_corner(corner, odd):
    values = random_map(0, 3, 5)
    values[corner] = odd
    assert np.array_equal(resize_map(values, 12, 20)[corner], np.float32(odd), equal_nan=True)


def test_the_map_that_is_resized_may_be_a_tensor_and_is_left_untouched():
    values = torch.randn(3, 4, requires_grad=True)
    before = values.detach().clone()
    large = resize_map(values, 3, 4)
    assert np.array_equal(large, before.numpy())
    large[:] = 7
    assert torch.equal(values, before)


def test_an_overlay_mixes_the_grey_picture_with_the_colours_of_the_map():
    picture, values = photograph(), np.abs(random_map(0, 3, 5))
    large = by_torch(values, 12, 20)
    colours = palette("heat")[np.clip(255 * large / 2 + 0.5, 0, 255).astype(np.uint8)]
    expected = 0.6 * colours + 0.4 * picture.mean(axis=2, keepdims=True)
    shown = overlay(picture, values, vmax=2.0)
    # One step of the palette either way, where resizing rounded otherwise.
    assert np.abs(shown - expected).max() <= 0.6 * np.abs(np.diff(palette("heat").astype(int), axis=0)).max() + 0.51
    assert (np.abs(shown - expected) <= 0.501).mean() > 0.99


@pytest.mark.parametrize(("opacity", "shown"), [(0.0, "picture"), (1.0, "map")])
def test_opacity_goes_from_the_picture_to_the_map(opacity, shown):
    picture, values = photograph(), random_map(0, 12, 20)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    expected = {"picture": grey, "map": palette("grey")[np.clip(255 * values + 0.5, 0, 255).astype(np.uint8)]}
    drawn = overlay(picture, values, vmax=1.0, opacity=opacity, colours="grey")
    assert_within_one_step(drawn, expected[shown])


def test_overlays_on_one_scale_are_comparable():
    picture = np.zeros((1, 3, 3), np.uint8)
    weak, strong = (overlay(picture, [[0, peak / 2, peak]], vmax=4.0, opacity=1, colours="grey") for peak in (2, 4))
    assert weak[0, :, 0].tolist() == [0, 64, 128]
    assert strong[0, :, 0].tolist() == [0, 128, 255]
    from_two = overlay(picture, [[2.0, 3, 4]], vmin=2.0, vmax=4.0, opacity=1, colours="grey")
    assert from_two[0, :, 0].tolist() == [0, 128, 255]


def test_a_map_of_zeros_shows_as_nothing_and_not_as_half():
    picture = photograph()
    nothing = overlay(picture, np.zeros((3, 5)), vmax=0.0)
    assert np.array_equal(nothing, overlay(picture, np.zeros((3, 5)), vmax=1.0))


def test_what_is_not_finite_is_marked_without_the_picture():
    values = np.zeros((3, 8), np.float32)
    values[1, [1, 4, 7]] = ODD
    picture = overlay(photograph(3, 8), values, vmax=1.0)
    assert picture[1, [1, 4, 7]].tolist() == MARKS
    marked = (picture[..., None, :] == np.array(MARKS)).all(-1).any(-1)
    assert marked.sum() == 3


def test_an_overlay_leaves_picture_and_map_untouched():
    picture, values = photograph(), torch.randn(3, 5)
    kept, before = picture.copy(), values.clone()
    overlay(picture, values, vmax=1.0)[:] = 0
    assert np.array_equal(picture, kept)
    assert torch.equal(values, before)
    assert np.array_equal(overlay(picture, values, vmax=1.0), overlay(picture, values.numpy(), vmax=1.0))


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4), min_size=1, max_size=4)
)
def test_tiles_stand_in_rows_and_columns_of_the_largest_with_white_between_them(sizes):
    rows = [
        [np.full((height, width, 3), 10 * row + column, np.uint8) for column, (height, width) in enumerate(line)]
        for row, line in enumerate(sizes)
    ]
    height, width = (max(size[axis] for line in sizes for size in line) + 1 for axis in (0, 1))
    expected = np.full((len(rows) * height, max(map(len, rows)) * width, 3), GAP, np.uint8)
    for row, line in enumerate(rows):
        for column, tile in enumerate(line):
            expected[row * height :, column * width :][: tile.shape[0], : tile.shape[1]] = tile
    assert np.array_equal(mosaic(rows), expected[:-1, :-1])


@pytest.mark.parametrize(
    ("size", "shrunk"), [((40, 100), (8, 20)), ((100, 40), (20, 8)), ((1, 300), (1, 20)), ((20, 20), (20, 20))]
)
def test_what_is_larger_than_a_tile_is_shrunk_to_its_longer_side(size, shrunk):
    picture = photograph(*size)
    tile = mosaic([[picture]], most=20)
    assert tile.shape == (*shrunk, 3)
    expected = Image.fromarray(picture).resize(shrunk[::-1], Image.Resampling.BOX)
    assert np.array_equal(tile, np.asarray(expected))


def test_shrinking_by_a_whole_number_is_the_mean_of_the_pixels():
    picture = photograph(24, 40)
    means = picture.reshape(12, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(mosaic([[picture]], most=20) - means).max() <= 1  # rounded once per axis


def test_a_mosaic_leaves_its_pictures_untouched():
    picture = photograph()
    kept = picture.copy()
    mosaic([[picture]])[:] = 0
    mosaic([[picture]], most=5)[:] = 0
    assert np.array_equal(picture, kept)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_an_outline_is_around_the_box_and_hides_nothing_in_it(height, width, data):
    (top, bottom), (left, right) = (
        sorted((data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size)))) for size in (height, width)
    )
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    picture = np.minimum(photograph(height, width), 200)
    kept = picture.copy()
    drawn = outline(picture, (top, left, bottom, right))
    assert np.array_equal(picture, kept)
    for row in range(height):
        for column in range(width):
            away = max(top - row, row - bottom + 1, left - column, column - right + 1)
            expected = [64, 255, 64] if away == 1 else picture[row, column].tolist()
            assert drawn[row, column].tolist() == expected


def test_what_is_small_is_not_shrunk():
    picture = photograph(12, 20)
    assert np.array_equal(shrink(picture, 20), picture)
    assert shrink(picture, 10).shape == (6, 10, 3)
