"""Boxes of a map of many variants of one image: where they differ from it, cut out and pasted in."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_viz.functional.aten.boxes import LARGE

__all__ = ["Part", "Span", "channels_last", "cut", "join", "large", "paste", "place"]


class Span(NamedTuple):
    """Rows (or columns) of B boxes in a map: what differs lies in ``first..last``; kept are ``size`` from ``at`` on."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    at: NDArray[np.int64]
    size: int


class Part(NamedTuple):
    """A value of B variants: in boxes ``(B, C, rows, columns)``, or whole, where there are no spans."""

    tensor: Tensor
    rows: Span | None = None
    columns: Span | None = None


def channels_last(tensor: Tensor) -> Tensor:
    """Lay the channels of a pixel side by side, so that boxes are cut out of rows of memory."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor.contiguous()


def cut(clean: Tensor, tops: NDArray[np.int64], lefts: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Cut a box per variant out of the image's own maps ``(1, C, h, w)``."""
    rows = (tops[:, None] + np.arange(height)) * clean.shape[3]
    columns = lefts[:, None] + np.arange(width)
    places = torch.from_numpy(rows[:, :, None] + columns[:, None, :]).to(clean.device)
    boxes = _pixels(clean).index_select(0, places.flatten())
    return boxes.reshape(len(tops), height, width, -1).permute(0, 3, 1, 2)


def _pixels(maps: Tensor) -> Tensor:
    """See maps as rows of channels; a view, since they lie channels last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def paste(boxes: Tensor, part: Part, tops: NDArray[np.int64], lefts: NDArray[np.int64]) -> None:
    """Put what differs into boxes that begin at other places; what lies outside them is left out."""
    assert part.rows is not None
    assert part.columns is not None
    height, width = boxes.shape[2:]
    down, across = part.rows.at - tops, part.columns.at - lefts
    inside = down.min() >= 0 and down.max() <= height - part.rows.size
    inside = inside and across.min() >= 0 and across.max() <= width - part.columns.size
    if inside and (down == down[0]).all() and (across == across[0]).all():
        boxes[:, :, down[0] : down[0] + part.rows.size, across[0] : across[0] + part.columns.size] = part.tensor
        return
    rows, columns = down[:, None] + np.arange(part.rows.size), across[:, None] + np.arange(part.columns.size)
    start = (np.arange(len(tops)) * height * width)[:, None, None]
    places = torch.from_numpy((start + rows[:, :, None] * width + columns[:, None, :]).flatten()).to(boxes.device)
    changed = _pixels(part.tensor)
    if not inside:
        fits = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        chosen = torch.from_numpy(np.flatnonzero(fits)).to(boxes.device)
        places, changed = places[chosen], changed[chosen]
    _pixels(boxes).index_copy_(0, places, changed)


def place(first: NDArray[np.int64], last: NDArray[np.int64], room: int) -> Span:
    """Boxes of one size that hold what differs and lie inside the map."""
    first, last = (np.minimum(np.maximum(side, 0), room) for side in (first, last))
    size = max(1, int((last - first).max()))
    return Span(first, last, np.minimum(first, room - size), size)


def large(rows: Span, columns: Span, shape: Sequence[int]) -> bool:
    """Whether boxes are as good as the whole map."""
    return rows.size * columns.size >= LARGE * shape[2] * shape[3]


def join(parts: Sequence[Part], shape: Sequence[int]) -> tuple[Span, Span] | None:
    """Boxes that hold what differs in any of some parts; None where they are large."""
    if len(parts) == 1:
        assert parts[0].rows is not None
        assert parts[0].columns is not None
        return parts[0].rows, parts[0].columns
    spans = []
    for axis, name in enumerate(("rows", "columns")):
        sides = [getattr(part, name) for part in parts]
        first = np.minimum.reduce([side.first for side in sides])
        last = np.maximum.reduce([side.last for side in sides])
        spans.append(place(first, last, shape[2 + axis]))
    return None if large(spans[0], spans[1], shape) else (spans[0], spans[1])
