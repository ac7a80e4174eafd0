"""From a tensor, a data set or a loader to images, with their numbers."""

from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from lightning_viz.data.reading import Reader, Sample, spread
from lightning_viz.data.unpacking import Batch, BatchFn, say_nothing, unpack_batch

if TYPE_CHECKING:
    from typing import Never

    from tqdm import tqdm

__all__ = ["BatchFn", "Data", "count_images", "progress_bar", "read_batches", "spread", "with_progress"]

Data = Tensor | Dataset[Any] | Iterable[Batch]
"""Images ``(N, C, H, W)``, a map-style data set, or a loader of batches."""


def read_batches(
    data: Data, batch_size: int, max_images: int | None, batch_fn: BatchFn | None, who: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read images with their numbers, in order.

    Args:
        data: A tensor, a map-style data set (a sample as its loader does it, others in this process), or a loader of
            batches (its order counts).
        batch_size: Of what is read here.
        max_images: At most so many, spread over a tensor or data set; the first of a loader.
        batch_fn: Takes a batch to ``(images, labels or None)``.
        who: Begins an error message.

    Yields:
        Numbers ``(B,)`` int64 in the data, and images ``(B, C, H, W)``.

    Raises:
        ValueError: Empty, or a data set of which some items differ when they are read twice.
    """
    for name, value in (("batch_size", batch_size), ("max_images", max_images)):
        if value is not None and value < 1:
            raise ValueError(f"{who}({name}={value}): must be at least 1.")
    if _is_a_map(data):
        yield from _read_in_order(data, batch_size, max_images, batch_fn, who)
        return
    if not isinstance(data, Iterable):
        raise ValueError(f"{who}(data=...): must be images, a data set with a length, or a loader; got {type(data)}.")
    seen = 0
    for batch in data:
        images = unpack_batch(batch, batch_fn, say_nothing)[0][: None if max_images is None else max_images - seen]
        yield torch.arange(seen, seen + len(images)), images
        seen += len(images)
        if seen == max_images:
            break
    if seen == 0:
        raise ValueError(f"{who}(data=...): there are no images in it.")


def _read_in_order(
    data: Any, batch_size: int, max_images: int | None, batch_fn: BatchFn | None, who: str
) -> Iterator[tuple[Tensor, Tensor]]:
    if len(data) == 0:
        raise ValueError(f"{who}(data=...): there are no images in it.")
    chosen = spread(len(data), max_images or len(data))
    if isinstance(data, Tensor):
        parts = (chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size))
        batches: Iterable[Batch] = (unpack_batch(data[part], batch_fn, say_nothing) for part in parts)
    elif isinstance(data, Sample):
        batches = data.of([data.indices[place] for place in chosen])
    else:
        reader = Reader(batch_fn=batch_fn, say=say_nothing)
        batches = Sample(data, chosen, reader, who, "data", batch_size)
    seen = 0
    for images, _ in batches:
        yield torch.tensor(chosen[seen : seen + len(images)]), images
        seen += len(images)


def _is_a_map(data: Data) -> bool:
    return isinstance(data, Tensor | Dataset) and not isinstance(data, IterableDataset) and isinstance(data, Sized)


def count_images(data: Data, max_images: int | None) -> int | None:
    """Say how many images ``read_batches`` will give; None where that is only known at the end, as of most loaders."""
    source: Any = data
    if isinstance(data, DataLoader) and data.batch_size is not None and not data.drop_last:
        all_of_them = isinstance(data.sampler, SequentialSampler | RandomSampler)
        source = data.dataset if all_of_them else None
    if not _is_a_map(source):
        return None
    return min(len(source), max_images or len(source))


def progress_bar(total: int | None, who: str, unit: str) -> "tqdm[Never]":
    """Give a bar for what takes longer than a few seconds.

    Args:
        total: How many there are, where it is known.
        who: Stands before the bar.
        unit: What they are.
    """
    from tqdm import tqdm  # noqa: PLC0415 (only here)

    return tqdm(total=total, desc=who, unit=f" {unit}", delay=5, leave=False)


def with_progress(
    batches: Iterable[tuple[Tensor, Tensor]], data: Data, max_images: int | None, who: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Show a bar for what takes longer than a few seconds.

    Args:
        batches: What ``read_batches`` gives for these data.
        data: Says how many images there are, where it is known.
        max_images: At most so many.
        who: Stands before the bar.

    Yields:
        The batches as they are.
    """
    with progress_bar(count_images(data, max_images), who, "images") as bar:
        for ids, images in batches:
            yield ids, images
            bar.update(len(ids))
