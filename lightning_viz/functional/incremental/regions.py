"""Regions of a map of many variants of one image: where they differ from it, cropped and pasted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_viz.functional.aten.boxes import WHOLE_MAP_SHARE

__all__ = ["Region", "Span", "channels_last", "covers_map", "crop", "enclosing_span", "paste", "union"]


class Span(NamedTuple):
    """Rows (or columns) of B boxes in a map: ``first..last`` differ; kept are ``size`` from ``start`` on."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    start: NDArray[np.int64]
    size: int


class Region(NamedTuple):
    """A value of B variants: in boxes ``(B, C, rows, columns)``, or whole, where there are no spans."""

    tensor: Tensor
    rows: Span | None = None
    columns: Span | None = None


def channels_last(tensor: Tensor) -> Tensor:
    """Lay the channels of a pixel side by side, so that boxes are cropped from rows of memory."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor.contiguous()


def crop(clean: Tensor, tops: NDArray[np.int64], lefts: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Crop a box per variant from the image's own maps ``(1, C, h, w)``."""
    rows = (tops[:, None] + np.arange(height)) * clean.shape[3]
    columns = lefts[:, None] + np.arange(width)
    pixels = torch.from_numpy(rows[:, :, None] + columns[:, None, :]).to(clean.device)
    boxes = _pixels(clean).index_select(0, pixels.flatten())
    return boxes.reshape(len(tops), height, width, -1).permute(0, 3, 1, 2)


def _pixels(maps: Tensor) -> Tensor:
    """See maps as rows of channels; a view, since they lie channels last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def paste(boxes: Tensor, region: Region, tops: NDArray[np.int64], lefts: NDArray[np.int64]) -> None:
    """Put what differs into boxes that begin elsewhere; what lies outside them is left out."""
    assert region.rows is not None
    assert region.columns is not None
    height, width = boxes.shape[2:]
    down, across = region.rows.start - tops, region.columns.start - lefts
    inside = down.min() >= 0 and down.max() <= height - region.rows.size
    inside = inside and across.min() >= 0 and across.max() <= width - region.columns.size
    if inside and (down == down[0]).all() and (across == across[0]).all():
        boxes[:, :, down[0] : down[0] + region.rows.size, across[0] : across[0] + region.columns.size] = region.tensor
        return
    rows, columns = down[:, None] + np.arange(region.rows.size), across[:, None] + np.arange(region.columns.size)
    start = (np.arange(len(tops)) * height * width)[:, None, None]
    pixels = torch.from_numpy((start + rows[:, :, None] * width + columns[:, None, :]).flatten()).to(boxes.device)
    changed = _pixels(region.tensor)
    if not inside:
        fits = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        chosen = torch.from_numpy(np.flatnonzero(fits)).to(boxes.device)
        pixels, changed = pixels[chosen], changed[chosen]
    _pixels(boxes).index_copy_(0, pixels, changed)


def enclosing_span(first: NDArray[np.int64], last: NDArray[np.int64], length: int) -> Span:
    """Boxes of one size that hold what differs and lie inside the map."""
    first, last = (np.minimum(np.maximum(side, 0), length) for side in (first, last))
    size = max(1, int((last - first).max()))
    return Span(first, last, np.minimum(first, length - size), size)


def covers_map(rows: Span, columns: Span, shape: Sequence[int]) -> bool:
    """Whether boxes are as good as the whole map."""
    return rows.size * columns.size >= WHOLE_MAP_SHARE * shape[2] * shape[3]


def union(regions: Sequence[Region], shape: Sequence[int]) -> tuple[Span, Span] | None:
    """Boxes that hold what differs in any of some regions; None where they cover most of the map."""
    if len(regions) == 1:
        assert regions[0].rows is not None
        assert regions[0].columns is not None
        return regions[0].rows, regions[0].columns
    spans = []
    for axis, name in enumerate(("rows", "columns")):
        sides = [getattr(region, name) for region in regions]
        first = np.minimum.reduce([side.first for side in sides])
        last = np.maximum.reduce([side.last for side in sides])
        spans.append(enclosing_span(first, last, shape[2 + axis]))
    return None if covers_map(spans[0], spans[1], shape) else (spans[0], spans[1])
