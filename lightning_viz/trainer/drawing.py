"""What one ``draw`` yields, and its way into a record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lightning_viz.export.projector import ProjectorPoints
from lightning_viz.render import encode_png
from lightning_viz.render.png import reduced
from lightning_viz.store import Item
from lightning_viz.store.schema import LARGEST_FILE, LARGEST_PICTURE

__all__ = ["Drawing"]


@dataclass(frozen=True)
class Drawing:
    """What a visualisation shows of one layer at one moment.

    Attributes:
        layer: Dotted name.
        values: Name to the numbers behind the pictures: tensors or arrays of any shape; kept as float32.
        pictures: ``(H, W, 3)`` uint8 arrays, one pixel per number: the viewer enlarges.
        captions: One per picture, or none.
        scalars: Name to number; also handed to the loggers, as ``viz/<name of the record>/<layer>/<name>``.
        meta: What it takes to compare this with another run (kernel, stride, vmin, ...); anything JSON can say.
        photographs: Pictures of the images behind it, by a hash of these; kept once.
        projector: The features ``(N, D)`` behind it for TensorBoard's Projector, with what is known of the points.
    """

    layer: str
    values: Mapping[str, Tensor | ArrayLike] = field(default_factory=dict)
    pictures: Sequence[NDArray[np.uint8]] = ()
    captions: Sequence[str] = ()
    scalars: Mapping[str, float | Tensor] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    photographs: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    projector: tuple[Tensor, ProjectorPoints] | None = None

    def __post_init__(self) -> None:
        """Check that captions and pictures belong together.

        Raises:
            ValueError: They don't.
        """
        if self.captions and len(self.captions) != len(self.pictures):
            raise ValueError(f"Drawing: {len(self.captions)} captions for {len(self.pictures)} pictures.")

    @cached_property
    def encoded(self) -> list[tuple[NDArray[np.uint8], bytes, str]]:
        """Each picture, its PNG, and its caption (empty where there is none). What is too large is made smaller."""
        captions = list(self.captions or [""] * len(self.pictures))
        if self.left_out and captions:
            names = ", ".join(self.left_out)
            captions[0] = _joined(captions[0], f"values not kept, larger than {LARGEST_FILE >> 20} MiB: {names}")
        return [_encoded(picture, caption) for picture, caption in zip(self.pictures, captions, strict=True)]

    @cached_property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The values as they are kept."""
        return {name: _as_float32(values) for name, values in self.values.items()}

    @property
    def left_out(self) -> dict[str, list[int]]:
        """The shapes of values that are too large to be kept, by name."""
        room = LARGEST_FILE - 1024  # for the header of the file
        return {name: list(array.shape) for name, array in self.arrays.items() if array.nbytes > room}

    def kept(self) -> "Drawing":
        """Give a copy for the next drawing: values (weights change in place), scalars and meta."""
        values = {name: array.copy() for name, array in self.arrays.items()}
        return Drawing(self.layer, values, scalars=self.plain_scalars(), meta=self.meta)

    def plain_scalars(self) -> dict[str, float]:
        """Give the scalars as Python floats."""
        return {
            name: float(value.detach() if isinstance(value, Tensor) else value) for name, value in self.scalars.items()
        }

    def blobs(self) -> Iterator[tuple[Item, bytes]]:
        """Encode pictures and values as files for the store; without those that are left out."""
        for number, (picture, png, caption) in enumerate(self.encoded):
            yield Item("picture", f"picture {number}", "", picture.shape, "uint8", caption), png
        for name, array in self.arrays.items():
            if name in self.left_out:
                continue
            file = BytesIO()
            np.save(file, array, allow_pickle=False)
            yield Item("values", name, "", array.shape, "float32"), file.getvalue()


def _encoded(picture: NDArray[np.uint8], caption: str) -> tuple[NDArray[np.uint8], bytes, str]:
    """Encode a picture; of each square of pixels only the mean stays, where all would be too many."""
    for side in count(1):
        smaller = reduced(picture, side) if side > 1 else picture
        if smaller.shape[0] * smaller.shape[1] <= LARGEST_PICTURE and len(png := encode_png(smaller)) <= LARGEST_FILE:
            break
    note = f"a pixel is the mean of {side} x {side}" if side > 1 else ""
    return smaller, png, _joined(caption, note)


def _joined(*captions: str) -> str:
    return " | ".join(filter(None, captions))


def _as_float32(values: Tensor | ArrayLike) -> NDArray[np.float32]:
    if isinstance(values, Tensor):
        values = values.detach().float().cpu().numpy()
    return np.ascontiguousarray(values, dtype=np.float32)
