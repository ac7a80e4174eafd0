"""The points of an embedding: a fixed sample of a data set, with labels and thumbnails."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat
from torch.utils.data import DataLoader, Subset

from lightning_viz.data.batches import unpack_batch
from lightning_viz.data.probe import Probe
from lightning_viz.render import ThumbnailSheet, image_picture, thumbnail_sheet

__all__ = ["Points", "read_points"]

BATCH = 64


class Points(NamedTuple):
    """What is known of N points, the same at every epoch."""

    hash: str
    """Of images and labels, sixteen hexadecimal digits: equal in two runs, the same points in the same order."""
    size: int
    labels: Tensor | None
    """``(N,)`` int64."""
    sheet: ThumbnailSheet


def read_points(items: Subset[Any], probe: Probe) -> Points:
    """Look at each image of a sample once.

    Args:
        items: Of a map-style data set.
        probe: Its ``batch_fn``, mean and std are used.

    Raises:
        ValueError: No images in it.
    """
    digest = hashlib.sha256()
    labels: list[Tensor] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for batch in DataLoader(items, BATCH):
            images, classes = unpack_batch(batch, probe.batch_fn)
            digest.update(images.detach().float().cpu().numpy().tobytes())
            if classes is not None:
                labels.append(classes.cpu())
                digest.update(labels[-1].numpy().tobytes())
            yield from map(image_picture, probe.unnormalise(images)[0])

    sheet = thumbnail_sheet(pictures(), len(items))
    return Points(digest.hexdigest()[:16], len(items), cat(labels) if labels else None, sheet)
