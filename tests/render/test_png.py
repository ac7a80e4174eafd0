from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from lightning_viz.render import encode_png

SIZES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)


def decode(content: bytes) -> np.ndarray:
    image = Image.open(BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image)


@given(hnp.arrays(np.uint8, SIZES.map(lambda size: (*size, 3))))
def test_a_picture_survives_bit_for_bit(picture):
    assert np.array_equal(decode(encode_png(picture)), picture)


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::2], np.s_[..., ::-1]])
def test_views_are_encoded_as_they_look(view):
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)[view]
    assert not picture.flags.c_contiguous
    assert np.array_equal(decode(encode_png(picture)), picture)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((12, 20), np.uint8),
        np.zeros((12, 20, 4), np.uint8),
        np.zeros((12, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match=r"encode_png: a picture is \(H, W, 3\) uint8; got \("):
        encode_png(picture)
