import re
from pathlib import Path

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

import lightning_viz
from lightning_viz.render.palettes import (
    CLASS_COLOURS,
    GAP,
    NO_CLASS,
    NON_FINITE,
    PALETTES,
    class_colours,
    mark_non_finite,
    palette,
)

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


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
EYES = {
    "most": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("eyes", EYES)
def test_everyone_can_tell_twenty_classes_apart(eyes):
    linear = (class_colours(np.arange(20)) / 255) ** 2.2
    seen = (linear @ np.transpose(EYES[eyes])).clip(0, 1) ** (1 / 2.2)
    lab = rgb2lab(seen)
    apart = deltaE_ciede2000(lab[:, None], lab[None]) + 100 * np.eye(20)
    assert apart.min() > 7.5
    assert apart[:10, :10].min() > 9
    assert deltaE_ciede2000(lab, rgb2lab(np.ones((1, 3)))).min() > 10  # from the paper


def test_after_the_last_class_the_colours_begin_again_and_no_class_is_grey():
    colours = class_colours([0, 1, len(CLASS_COLOURS), -1, -7])
    assert [bytes(colour).hex() for colour in colours[:2]] == [code[1:] for code in CLASS_COLOURS[:2]]
    assert np.array_equal(colours[2], colours[0])
    assert np.ptp(colours[3:]) == 0


def test_the_tab_has_the_same_colours_of_classes() -> None:
    module = Path(lightning_viz.__file__).parent / "plugin/static/render/palettes.js"
    (codes,) = re.findall(r'"([0-9a-f]{6}(?: [0-9a-f]{6}){19})"', module.read_text())
    assert [f"#{code}" for code in codes.split()] == list(CLASS_COLOURS)
    assert f'channelsOf("{NO_CLASS[1:]}")' in module.read_text()
