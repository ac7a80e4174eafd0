"""The points of an embedding: a fixed sample of a data set, with labels and thumbnails."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat

from lightning_viz.data.probe import Probe
from lightning_viz.data.reading import Sample
from lightning_viz.render import ThumbnailSheet, image_picture, thumbnail_sheet

__all__ = ["Points", "read_points"]


class Points(NamedTuple):
    """What is known of N points, the same at every epoch."""

    hash: str
    """Of images and labels, sixteen hexadecimal digits: equal in two runs, the same points in the same order."""
    size: int
    labels: Tensor | None
    """``(N,)`` int64."""
    sheet: ThumbnailSheet


def read_points(items: Sample, probe: Probe) -> Points:
    """Look at each image of a sample once.

    Args:
        items: Of a data set.
        probe: Its mean and std are used.

    Raises:
        ValueError: No images in it.
    """
    digest = hashlib.sha256()
    labels: list[Tensor] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for images, classes in items:
            digest.update(images.detach().float().cpu().numpy().tobytes())
            if classes is not None:
                labels.append(classes.cpu())
                digest.update(labels[-1].numpy().tobytes())
            yield from map(image_picture, probe.unnormalise(images)[0])

    sheet = thumbnail_sheet(pictures(), len(items))
    return Points(
        digest.hexdigest()[:16], len(items), cat(labels) if sum(map(len, labels)) == len(items) else None, sheet
    )
