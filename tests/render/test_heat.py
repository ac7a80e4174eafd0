import numpy as np
import pytest
import torch

from lightning_viz.render import heat_map
from lightning_viz.render.grids import grid_columns
from lightning_viz.render.palettes import NON_FINITE, palette

RAMP = np.arange(256, dtype=np.float32)


def greys(values, **arguments) -> list[int]:
    return heat_map(np.float32([values]), colours="grey", **arguments)[0, :, 0].tolist()


@pytest.mark.parametrize("colours", ["grey", "heat", "diverging"])
def test_a_ramp_shows_the_palette(colours):
    picture = heat_map(RAMP[None], vmin=RAMP.min(), vmax=RAMP.max(), colours=colours)
    assert np.array_equal(picture[0], palette(colours))


def test_one_limit_of_the_diverging_palette_sets_the_other():
    for limits in ({"vmin": -2}, {"vmax": 2}):
        picture = heat_map([[-1, 0, 1]], colours="diverging", **limits)
        assert picture[0, 1].tolist() == palette("diverging")[128].tolist()


def test_zero_is_in_the_middle_of_the_diverging_palette():
    picture = heat_map([[-1, 0, 3]], colours="diverging")
    assert picture[0, 1].tolist() == palette("diverging")[128].tolist()
    assert picture[0, 2].tolist() == palette("diverging")[255].tolist()
    assert picture[0, 0].tolist() == palette("diverging")[85].tolist()


def test_a_map_has_one_pixel_per_value_in_place():
    values = np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
    picture = heat_map(values, colours="grey")
    exact = np.interp(values, [values.min(), values.max()], [0, 255])
    assert picture.shape == (12, 20, 3)
    assert np.abs(picture - exact[..., None]).max() <= 0.501


def test_two_maps_on_given_limits_are_comparable():
    assert greys([0, 1, 2], vmin=0, vmax=4) == [0, 64, 128]
    assert greys([2, 4, 9], vmin=0, vmax=4) == [128, 255, 255]


def test_values_beyond_a_single_limit_are_clipped_and_not_inverted():
    assert greys([-3, -2, -1], vmin=0) == [0, 0, 0]
    assert greys([1, 2, 3], vmax=0) == [255, 255, 255]


def test_a_limit_of_zero_counts():
    assert greys([5, 10], vmin=0) == [128, 255]
    assert greys([-10, -5], vmax=0) == [0, 128]


def test_a_constant_is_mid_grey():
    assert greys([3, 3]) == [128, 128]
    assert greys([0, 0]) == [128, 128]


def test_what_is_not_finite_is_marked_and_does_not_stretch_the_scale():
    picture = heat_map(np.float32([[0, np.nan, np.inf], [1, -np.inf, 2]]), colours="grey")
    assert picture[[0, 1, 1], [0, 0, 2], 0].tolist() == [0, 128, 255]
    marked = [tuple(picture[place].tolist()) for place in ((0, 1), (0, 2), (1, 1))]
    assert marked == list(NON_FINITE.values())


def test_one_value_per_unit_stands_where_its_filter_stands():
    values = 20 * np.arange(13)
    picture = heat_map(values, vmin=0, vmax=255, colours="grey")
    columns = grid_columns(13)
    assert picture.shape == (7, 2 * columns - 1, 3)
    for unit in range(13):
        row, column = divmod(unit, columns)
        assert picture[2 * row, 2 * column, 0] == 20 * unit
    assert (picture[1::2] == 255).all()
    assert (picture[6, 2:] == 255).all()


def test_tensors_are_drawn_like_arrays_and_left_alone():
    values = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    before = values.detach().clone()
    assert np.array_equal(heat_map(values), heat_map(before.numpy()))
    assert torch.equal(values, before)


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (np.zeros((2, 3, 4)), {}, r"heat_map: values must be \(h, w\) or \(K,\) and not empty; got \(2, 3, 4\)"),
        (np.zeros(0), {}, r"not empty; got \(0,\)"),
        (np.zeros((2, 3)), {"vmin": 1, "vmax": 0}, "heat_map: vmin must not be above vmax; got 1 and 0"),
        (np.zeros((2, 3)), {"colours": "jet"}, "Choices: grey, heat, diverging"),
    ],
)
def test_wrong_arguments_are_refused(values, arguments, message):
    with pytest.raises(ValueError, match=message):
        heat_map(values, **arguments)
