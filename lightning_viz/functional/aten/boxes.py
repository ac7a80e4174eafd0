"""Boxes of a layer's map that move with a position: which part of each map concerns it, for many positions at once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["LARGE", "Box", "Pairs", "Side", "clear_outside", "empty", "moved", "seen_in", "settled", "united", "whole"]

LARGE = 0.85
"""A box that covers so much of its map is taken to be the whole map."""


class Side(NamedTuple):
    """One side of a box: for the layer's position p it begins at ``stride * p + start`` and has ``size`` pixels."""

    stride: int
    start: int
    size: int


class Box(NamedTuple):
    """Rows and columns; with stride 0 it is the same for all positions."""

    rows: Side
    columns: Side


class Pairs(NamedTuple):
    """P pairs on their way: which image, and where in the layer."""

    images: Tensor
    rows: Tensor
    columns: Tensor


def whole(shape: Sequence[int]) -> Box:
    """Give the box of a whole map ``(N, C, h, w)``."""
    return Box(Side(0, 0, shape[2]), Side(0, 0, shape[3]))


def settled(box: Box, shape: Sequence[int]) -> Box:
    """Take a box that covers most of its map for the whole map."""
    area = box.rows.size * box.columns.size
    large = box.rows.stride == 0 or area >= LARGE * shape[2] * shape[3]
    return whole(shape) if large else box


def united(known: Box | None, box: Box, shape: Sequence[int]) -> Box:
    """Give the smallest box that holds two of the same map."""
    if known is None or known == box:
        return box
    if known.rows.stride != box.rows.stride or known.columns.stride != box.columns.stride:
        return whole(shape)
    return Box(_span(known.rows, box.rows), _span(known.columns, box.columns))


def _span(one: Side, other: Side) -> Side:
    start = min(one.start, other.start)
    return Side(one.stride, start, max(one.start + one.size, other.start + other.size) - start)


def _places(box: Box, pairs: Pairs) -> list[tuple[int, int]]:
    """Top and left of the box of each pair."""
    rows = (pairs.rows * box.rows.stride + box.rows.start).tolist()
    columns = (pairs.columns * box.columns.stride + box.columns.start).tolist()
    return list(zip(rows, columns, strict=True))


def clear_outside(signal: Tensor, box: Box, shape: Sequence[int], pairs: Pairs) -> None:
    """Set to zero, in place, what lies outside the map: padding passes nothing on."""
    if box.rows.stride == 0:
        return
    height, width = box.rows.size, box.columns.size
    for one, (top, left) in zip(signal, _places(box, pairs), strict=True):
        if top < 0:
            one[:, :-top] = 0
        if top + height > shape[2]:
            one[:, shape[2] - top :] = 0
        if left < 0:
            one[:, :, :-left] = 0
        if left + width > shape[3]:
            one[:, :, shape[3] - left :] = 0


def moved(signal: Tensor, box: Box, target: Box, pairs: Pairs) -> Tensor:
    """Take a signal from one box of a value to another: what lies outside the other is dropped, the rest is zero."""
    if box == target:
        return signal
    if box.rows.stride == target.rows.stride and box.columns.stride == target.columns.stride:
        edges = []
        for one, other in ((box.columns, target.columns), (box.rows, target.rows)):
            before = one.start - other.start
            edges += [before, other.size - one.size - before]
        return pad(signal, edges)
    whole = empty(signal, len(signal), target).zero_()
    for one, other, (top, left) in zip(signal, whole, _places(box, pairs), strict=True):
        (there, here), (across, along) = (
            _overlap(top, one.shape[1], target.rows.size),
            _overlap(left, one.shape[2], target.columns.size),
        )
        other[:, there, across] = one[:, here, along]
    return whole


def empty(like: Tensor, count: int, box: Box) -> Tensor:
    """Make room for a box of each of some pairs, with the channels of another tensor."""
    size = (count, like.shape[1], box.rows.size, box.columns.size)
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _overlap(start: int, size: int, room: int) -> tuple[slice, slice]:
    """Where something of some size lies in a room, and which part of it does."""
    first, last = max(0, start), max(0, start, min(room, start + size))
    return slice(first, last), slice(first - start, last - start)


def seen_in(kept: Tensor, box: Box, pairs: Pairs) -> Tensor:
    """Cut what was kept of the images' maps to the box of each pair; zero outside the map."""
    if box.rows.stride == 0:
        return kept[pairs.images]
    seen = empty(kept, len(pairs.images), box).zero_()
    for one, image, (top, left) in zip(seen, pairs.images.tolist(), _places(box, pairs), strict=True):
        there, here = _overlap(-top, kept.shape[2], box.rows.size)
        across, along = _overlap(-left, kept.shape[3], box.columns.size)
        one[:, there, across] = kept[image, :, here, along]
    return seen
