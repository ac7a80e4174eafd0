"""Is a file what we write? The page gets nothing else, whoever made the logdir."""

import math
import struct
from io import BytesIO

import numpy as np

from lightning_viz.store import Item, SchemaError
from lightning_viz.store.schema import LARGEST_PICTURE

__all__ = ["check_blob", "check_png", "is_png"]

_PNG_HEAD = struct.Struct(">8s4x4sIIBB")
_PNG_TAIL = b"\0\0\0\0IEND\xaeB`\x82"


def check_blob(content: bytes, item: Item) -> None:
    """Check that a file is what its record says.

    Args:
        content: The whole file.
        item: How the record describes it.

    Raises:
        SchemaError: Not a whole 8-bit RGB PNG or C-ordered float32 .npy, not of the recorded shape, or too large for
            a browser.
    """
    shape = _png_shape(content) if item.kind == "picture" else _npy_shape(content)
    if shape != item.shape:
        raise SchemaError(f"its shape is {shape}; its record says {item.shape}")


def check_png(content: bytes) -> None:
    """Check that a file that no record describes is a picture as we write them.

    Raises:
        SchemaError: Not a whole 8-bit RGB PNG, or too large for a browser.
    """
    _png_shape(content)


def is_png(content: bytes) -> bool:
    """Whether a file starts like a PNG."""
    return content.startswith(b"\x89PNG\r\n\x1a\n")


def _png_shape(content: bytes) -> tuple[int, ...]:
    if not is_png(content) or len(content) < _PNG_HEAD.size or not content.endswith(_PNG_TAIL):
        raise SchemaError("not a whole PNG")
    _, chunk, width, height, depth, colour = _PNG_HEAD.unpack_from(content)
    if (chunk, depth, colour) != (b"IHDR", 8, 2):
        raise SchemaError("not a PNG in 8-bit RGB")
    if width * height > LARGEST_PICTURE:
        raise SchemaError(f"a picture of {height} x {width} pixels")
    return height, width, 3


def _npy_shape(content: bytes) -> tuple[int, ...]:
    file = BytesIO(content)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise SchemaError("not a .npy file of version 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except SchemaError:
        raise
    except Exception as error:  # noqa: BLE001 (damaged headers make NumPy raise TypeError, TokenError, ...)
        raise SchemaError(f"not a .npy file ({error})") from None
    if dtype.str != "<f4" or fortran:
        raise SchemaError("not a .npy file of C-ordered, little-endian float32")
    if len(content) - file.tell() != 4 * math.prod(shape):
        raise SchemaError("not a whole .npy file")
    return shape
