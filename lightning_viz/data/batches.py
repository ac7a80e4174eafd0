"""From a batch, a data set or a loader to images."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, Subset

if TYPE_CHECKING:
    from typing import Never

    from tqdm import tqdm

__all__ = [
    "Batch",
    "BatchFn",
    "Data",
    "count_images",
    "progress_bar",
    "read_batches",
    "same_twice",
    "sample",
    "spread",
    "unpack_batch",
    "with_progress",
]

Batch = Any
BatchFn = Callable[[Batch], tuple[Tensor, Tensor | None]]

Data = Tensor | Dataset[Any] | Iterable[Batch]
"""Images ``(N, C, H, W)``, a map-style data set, or a loader of batches."""

SHOWN = 8
IMAGE_KEYS = ("image", "images", "img", "x", "input", "inputs", "pixel_values")
LABEL_KEYS = ("label", "labels", "target", "targets", "y", "class")


def unpack_batch(batch: Batch, batch_fn: BatchFn | None = None) -> tuple[Tensor, Tensor | None]:
    """Find images and labels in a batch.

    Args:
        batch: A tensor; a tuple or list (the first 4-D float tensor, and the first 1-D integer tensor); or a
            dict with one of the usual keys (image, images, x, pixel_values, ... and label, target, y, ...).
        batch_fn: Does it instead.

    Returns:
        Images ``(N, C, H, W)`` float, labels ``(N,)`` int64 or None.

    Raises:
        ValueError: Nothing fits; the message says what was found.

    Example:
        >>> unpack_batch([torch.rand(2, 1, 8, 9), torch.tensor([3, 1])])[1]
        tensor([3, 1])
    """
    images: Tensor | None
    labels: Tensor | None
    if batch_fn is not None:
        found = batch_fn(batch)
        if not (isinstance(found, tuple) and len(found) == 2 and _is_images(found[0])):
            raise ValueError(
                f"batch_fn must return (images (N, C, H, W) of a float type, labels or None); got {_described(found)}."
            )
        images, labels = found[0], None if found[1] is None else torch.as_tensor(found[1])
    elif isinstance(batch, Mapping):
        images = next((batch[key] for key in IMAGE_KEYS if key in batch and _is_images(batch[key])), None)
        labels = next((batch[key] for key in LABEL_KEYS if key in batch and _is_labels(batch[key])), None)
    else:
        parts = batch if isinstance(batch, (tuple, list)) else [batch]
        images = next((part for part in parts if _is_images(part)), None)
        labels = next((part for part in parts if _is_labels(part)), None)
    if images is None or len(images) == 0:
        raise ValueError(
            f"no images (N, C, H, W) of a float type in {_described(batch)}. "
            "Say where they are: batch_fn=... with a function from a batch to (images, labels or None)."
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(images)} images but {len(labels)} labels in {_described(batch)}.")
    return images, None if labels is None else labels.long()


def _is_images(part: Any) -> bool:
    return isinstance(part, Tensor) and part.ndim == 4 and part.is_floating_point()


def _is_labels(part: Any) -> bool:
    return isinstance(part, Tensor) and part.ndim == 1 and not part.is_floating_point() and not part.is_complex()


def _described(batch: Batch) -> str:
    if isinstance(batch, Tensor):
        return f"a tensor {tuple(batch.shape)} {batch.dtype}"
    if isinstance(batch, Mapping):
        return "a dict with " + ", ".join(f"{key!r}: {_described(part)}" for key, part in batch.items())
    if isinstance(batch, (tuple, list)):
        parts = [_described(part) for part in batch[:SHOWN]] + ["..."] * (len(batch) > SHOWN)
        return f"a {type(batch).__name__} of " + (", ".join(parts) or "nothing")
    return f"a {type(batch).__name__}"


def read_batches(
    data: Data, batch_size: int, max_images: int | None, batch_fn: BatchFn | None, who: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read images with their numbers, in order.

    Args:
        data: A tensor, a map-style data set (read here, in this process), or a loader of batches (its order counts).
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
        images = unpack_batch(batch, batch_fn)[0][: None if max_images is None else max_images - seen]
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
        batches: Iterable[Batch] = (
            data[chosen[first : first + batch_size]] for first in range(0, len(chosen), batch_size)
        )
    elif same_twice(data, [chosen[one] for one in spread(len(chosen), SHOWN)]):
        batches = DataLoader(Subset(data, chosen), batch_size)
    else:
        raise ValueError(
            f"{who}(data=...): an item differs when it is read twice, so that the answer would change for no reason. "
            "Give the data set without augmentation: data=..."
        )
    for numbers, batch in zip(torch.split(torch.tensor(chosen), batch_size), batches, strict=True):
        yield numbers, unpack_batch(batch, batch_fn)[0]


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


def same_twice(data: Dataset[Any], indices: Sequence[int]) -> bool:
    """Whether items of a data set are the same when they are read again."""
    once, again = ([data[index] for index in indices] for _ in range(2))
    return _same(once, again)


def spread(size: int, most: int) -> list[int]:
    """Choose indices from the first to the last, evenly."""
    count = min(most, size)
    return [round(position * (size - 1) / max(1, count - 1)) for position in range(count)]


def sample(data: Any, most: int, who: str) -> Subset[Any]:
    """Choose at most so many items, spread over a data set.

    Raises:
        ValueError: Not map-style, or empty.
    """
    if not _is_a_map(data):
        raise ValueError(f"{who}(data=...): must be a data set with a length and items; got {type(data).__name__}.")
    if len(data) == 0:
        raise ValueError(f"{who}(data=...): there are no images in it. Give another: data=...")
    return Subset(data, spread(len(data), most))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        both = isinstance(one, Tensor) and isinstance(other, Tensor)
        alike = both and (one.shape, one.dtype) == (other.shape, other.dtype)
        return alike and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    if isinstance(one, np.ndarray):
        if not isinstance(other, np.ndarray) or one.dtype != other.dtype:
            return False
        return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, Mapping):
        same_names = isinstance(other, Mapping) and one.keys() == other.keys()
        return same_names and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        alike = isinstance(other, (tuple, list)) and len(one) == len(other)
        return alike and all(map(_same, one, other))
    not_a_number = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return one is other or not_a_number or bool(one == other)
