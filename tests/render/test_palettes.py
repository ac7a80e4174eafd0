import numpy as np
import pytest

from lightning_viz.render.palettes import GAP, NON_FINITE, PALETTES, mark_non_finite, palette

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_has_256_colours_from_its_first_to_its_last_anchor(name):
    colours = palette(name)
    anchors = PALETTES[name].split()
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    assert [bytes(colours[i]).hex() for i in (0, 255)] == [anchors[0], anchors[-1]]


def test_grey_is_the_identity():
    assert (palette("grey") == np.arange(256)[:, None]).all()


def test_heat_gets_brighter_and_never_jumps():
    colours = palette("heat").astype(int)
    assert (np.diff(colours @ LUMINANCE) > -0.5).all()
    assert np.abs(np.diff(colours, axis=0)).max() <= 4


def test_diverging_is_brightest_in_the_middle_and_blue_below_red():
    colours = palette("diverging").astype(int)
    brightness = colours @ LUMINANCE
    assert (np.diff(brightness[:128]) > 0).all()
    assert (np.diff(brightness[128:]) < 0).all()
    assert colours[40, 2] > colours[40, 0]
    assert colours[215, 0] > colours[215, 2]


def test_an_unknown_palette_names_the_choices():
    with pytest.raises(ValueError, match=r'palette: there is no "jet"\. Choices: grey, heat, diverging\.'):
        palette("jet")


def test_each_kind_of_non_finite_has_its_colour_and_the_rest_stays():
    pixels = np.full((2, 2, 3), 7, np.uint8)
    mark_non_finite(pixels, np.float32([[np.nan, np.inf], [-np.inf, 0]]))
    assert pixels.reshape(4, 3).tolist() == [[255, 0, 255], [255, 230, 0], [0, 230, 255], [7, 7, 7]]


def test_no_palette_has_a_colour_of_non_finite_values():
    colours = {tuple(colour) for name in PALETTES for colour in palette(name).tolist()}
    assert not colours & set(NON_FINITE.values())
    assert GAP not in NON_FINITE.values()
