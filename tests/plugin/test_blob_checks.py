"""Only what we write passes."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from plugin.harness import PICTURE, VALUES

from lightning_viz.plugin.blob_checks import check_blob
from lightning_viz.render import encode_png
from lightning_viz.store import Item, SchemaError

PICTURE_ITEM = Item("picture", "picture 0", "blobs/1.png", PICTURE.shape, "uint8")
VALUES_ITEM = Item("values", "weight", "blobs/1.npy", VALUES.shape, "float32")
PNG = encode_png(PICTURE)


def npy(values: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = BytesIO()
    np.lib.format.write_array(file, values, version=version, allow_pickle=True)
    return file.getvalue()


def image(mode: str, kind: str = "png") -> bytes:
    file = BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(file, kind)
    return file.getvalue()


def bomb(height: int, width: int) -> bytes:
    """A PNG of a hundred bytes that claims to be huge."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + PNG[-12:]


def test_what_we_write_passes():
    check_blob(PNG, PICTURE_ITEM)
    check_blob(npy(VALUES), VALUES_ITEM)
    check_blob(npy(np.float32(3)), replace(VALUES_ITEM, shape=()))
    check_blob(npy(np.zeros((0, 4), np.float32)), replace(VALUES_ITEM, shape=(0, 4)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a whole PNG"),
        (PNG[:20], "not a whole PNG"),
        (PNG[:-1], "not a whole PNG"),
        (PNG + b"<script>", "not a whole PNG"),
        (image("RGB", "bmp"), "not a whole PNG"),
        (image("RGBA"), "not a PNG in 8-bit RGB"),
        (image("L"), "not a PNG in 8-bit RGB"),
        (image("P"), "not a PNG in 8-bit RGB"),
        (bomb(1 << 14, 1 << 14), "a picture of 16384 x 16384 pixels"),
        (bomb(0xFFFFFFFF, 0xFFFFFFFF), "a picture of 4294967295 x 4294967295 pixels"),
        (encode_png(PICTURE[:, :5]), r"its shape is \(12, 5, 3\); its record says \(12, 20, 3\)"),
        (npy(VALUES), "not a whole PNG"),
    ],
)
def test_other_pictures_do_not_pass(content, reason):
    with pytest.raises(SchemaError, match=reason):
        check_blob(content, PICTURE_ITEM)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a .npy file"),
        (PNG, "not a .npy file"),
        (npy(VALUES)[:-1], "not a whole .npy file"),
        (npy(VALUES) + b"\0", "not a whole .npy file"),
        (npy(VALUES, version=(2, 0)), "not a .npy file of version 1.0"),
        (npy(VALUES.astype(np.float64)), "not a .npy file of C-ordered, little-endian float32"),
        (npy(VALUES.astype(">f4")), "not a .npy file of C-ordered, little-endian float32"),
        (npy(VALUES.T), "not a .npy file of C-ordered, little-endian float32"),
        (npy(np.array([object()])), "not a .npy file of C-ordered, little-endian float32"),
        (npy(VALUES).replace(b"(2, 3, 5)", b"(2,-3,-5)"), "its shape is"),
        (npy(VALUES).replace(b"(2, 3, 5)", b"(9**99,) "), "not a .npy file"),
        (npy(VALUES.reshape(6, 5)), r"its shape is \(6, 5\); its record says \(2, 3, 5\)"),
    ],
)
def test_other_values_do_not_pass(content, reason):
    with pytest.raises(SchemaError, match=reason):
        check_blob(content, VALUES_ITEM)


@given(at=st.integers(0, 150), byte=st.integers(0, 255), item=st.sampled_from([PICTURE_ITEM, VALUES_ITEM]))
def test_a_damaged_head_passes_only_if_it_says_the_same(at, byte, item):
    whole = PNG if item.kind == "picture" else npy(VALUES)
    damaged = whole[:at] + bytes([byte]) + whole[at + 1 :]
    try:
        check_blob(damaged, item)
    except SchemaError:
        assert damaged != whole
