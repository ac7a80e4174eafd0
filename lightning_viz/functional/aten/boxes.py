"""Boxes of a map that move with the position of a layer, for many positions at once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["WHOLE_MAP_SHARE", "Box", "Pairs", "Side", "bounding_box", "clear_outside", "crop_boxes", "empty_boxes"]
__all__ += ["rebox", "whole_if_large", "whole_map"]

WHOLE_MAP_SHARE = 0.85
"""A box that covers this share of its map is taken to be the whole map."""


class Side(NamedTuple):
    """One side of a box: for position p of the layer it begins at ``stride * p + start`` and has ``size`` pixels."""

    stride: int
    start: int
    size: int


class Box(NamedTuple):
    """Rows and columns; with stride 0 it is the same for all positions."""

    rows: Side
    columns: Side


class Pairs(NamedTuple):
    """For P pairs of a unit and an image: which image, and where in the layer."""

    images: Tensor
    rows: Tensor
    columns: Tensor


def whole_map(shape: Sequence[int]) -> Box:
    """Give the box of a whole map ``(N, C, h, w)``."""
    return Box(Side(0, 0, shape[2]), Side(0, 0, shape[3]))


def whole_if_large(box: Box, shape: Sequence[int]) -> Box:
    """Enlarge a box that covers most of its map to the whole map."""
    area = box.rows.size * box.columns.size
    large = box.rows.stride == 0 or area >= WHOLE_MAP_SHARE * shape[2] * shape[3]
    return whole_map(shape) if large else box


def bounding_box(known: Box | None, box: Box, shape: Sequence[int]) -> Box:
    """Give the smallest box that holds two of the same map."""
    if known is None or known == box:
        return box
    if known.rows.stride != box.rows.stride or known.columns.stride != box.columns.stride:
        return whole_map(shape)
    return Box(_span(known.rows, box.rows), _span(known.columns, box.columns))


def _span(one: Side, other: Side) -> Side:
    start = min(one.start, other.start)
    return Side(one.stride, start, max(one.start + one.size, other.start + other.size) - start)


def _corners(box: Box, pairs: Pairs) -> list[tuple[int, int]]:
    """Top and left of the box of each pair."""
    rows = (pairs.rows * box.rows.stride + box.rows.start).tolist()
    columns = (pairs.columns * box.columns.stride + box.columns.start).tolist()
    return list(zip(rows, columns, strict=True))


def clear_outside(signal: Tensor, box: Box, shape: Sequence[int], pairs: Pairs) -> None:
    """Set to zero, in place, what lies outside the map: padding has no gradient."""
    if box.rows.stride == 0:
        return
    height, width = box.rows.size, box.columns.size
    for one, (top, left) in zip(signal, _corners(box, pairs), strict=True):
        if top < 0:
            one[:, :-top] = 0
        if top + height > shape[2]:
            one[:, shape[2] - top :] = 0
        if left < 0:
            one[:, :, :-left] = 0
        if left + width > shape[3]:
            one[:, :, shape[3] - left :] = 0


def rebox(signal: Tensor, box: Box, target: Box, pairs: Pairs) -> Tensor:
    """Take a signal from one box of a value to another: what lies outside the other is dropped, the rest is zero."""
    if box == target:
        return signal
    if box.rows.stride == target.rows.stride and box.columns.stride == target.columns.stride:
        edges = []
        for one, other in ((box.columns, target.columns), (box.rows, target.rows)):
            before = one.start - other.start
            edges += [before, other.size - one.size - before]
        return pad(signal, edges)
    whole = empty_boxes(signal, len(signal), target).zero_()
    for one, other, (top, left) in zip(signal, whole, _corners(box, pairs), strict=True):
        (there, here), (across, along) = (
            _overlap(top, one.shape[1], target.rows.size),
            _overlap(left, one.shape[2], target.columns.size),
        )
        other[:, there, across] = one[:, here, along]
    return whole


def empty_boxes(like: Tensor, count: int, box: Box) -> Tensor:
    """Allocate a box for each of some pairs, with the channels of another tensor."""
    size = (count, like.shape[1], box.rows.size, box.columns.size)
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _overlap(start: int, size: int, length: int) -> tuple[slice, slice]:
    """Where something of some size lies in a length, and which part of it does."""
    first, last = max(0, start), max(0, start, min(length, start + size))
    return slice(first, last), slice(first - start, last - start)


def crop_boxes(maps: Tensor, box: Box, pairs: Pairs) -> Tensor:
    """Crop the images' maps to the box of each pair; zero outside the map."""
    if box.rows.stride == 0:
        return maps[pairs.images]
    seen = empty_boxes(maps, len(pairs.images), box).zero_()
    for one, image, (top, left) in zip(seen, pairs.images.tolist(), _corners(box, pairs), strict=True):
        there, here = _overlap(-top, maps.shape[2], box.rows.size)
        across, along = _overlap(-left, maps.shape[3], box.columns.size)
        one[:, there, across] = maps[image, :, here, along]
    return seen
