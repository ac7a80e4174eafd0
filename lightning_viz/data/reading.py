"""The one door to a data set: it is read the way the Trainer's loader reads it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import cache, partial
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, default_collate

from lightning_viz.data.unpacking import Batch, BatchFn, Say, unpack_batch
from lightning_viz.introspection.unsuitable import UnsuitableError

__all__ = ["Reader", "Sample", "UnsuitableDataError", "sample", "spread"]

log = logging.getLogger("lightning_viz")

BATCH = 64
"""Where no loader says how large a batch is."""

CHECKED = 8
"""Items that are read twice."""

ROUNDING = 1e-5
"""A hook that computes may round otherwise at another place of the batch; by this share of the largest value."""


class UnsuitableDataError(UnsuitableError, ValueError):
    """A data set from which images can't be taken."""


class _CollateError(Exception):
    """Items that collate_fn does not take; raised where the workers read."""


def _as_it_is(batch: Batch) -> Batch:
    return batch


@dataclass(frozen=True)
class Reader:
    """How items become what a network gets: as in a Trainer's validation; by default, as torch does it.

    Attributes:
        loader: A loader whose ``collate_fn``, workers and batch size are used. It is never iterated.
        transfer: From a batch to what the hooks of the module make of it, on the device.
        batch_fn: Takes such a batch to ``(images, labels or None)``.
        say: Is told of a batch in which it is not clear what the labels are.
    """

    loader: Any = None
    transfer: Callable[[Batch], Batch] = _as_it_is
    batch_fn: BatchFn | None = None
    say: Say = field(default_factory=lambda: cache(log.warning))

    @property
    def batch_size(self) -> int:
        """That of the loader."""
        sizes = (getattr(one, "batch_size", None) for one in (self.loader, getattr(self.loader, "batch_sampler", None)))
        return next((size for size in sizes if isinstance(size, int)), BATCH)

    def items(self, data: Any) -> list[int]:
        """Say which items of a data set the loader sees: all but where its sampler is a list of some."""
        sampler = getattr(self.loader, "sampler", None) if data is getattr(self.loader, "dataset", None) else None
        if isinstance(sampler, SubsetRandomSampler):
            return sorted(map(int, sampler.indices))
        if isinstance(sampler, list | tuple) and all(isinstance(one, Integral) for one in sampler):
            return sorted(map(int, sampler))
        return list(range(len(data)))

    def load(self, data: Dataset[Any], batches: Sequence[list[int]]) -> DataLoader[Any]:
        """Give a loader of these batches of items; in worker processes, where the Trainer's loader uses some.

        What a worker opens, or draws from a generator of its own, is then not touched in this process.
        """
        workers = min(getattr(self.loader, "num_workers", 0), len(batches))
        for_workers = ("worker_init_fn", "multiprocessing_context", "timeout", "prefetch_factor") if workers else ()
        return DataLoader(
            data,
            batch_sampler=batches,
            collate_fn=partial(_collate, self._collate_fn),
            num_workers=workers,
            generator=torch.Generator(),  # else a number is drawn from the stream that training uses
            **{name: getattr(self.loader, name) for name in for_workers if hasattr(self.loader, name)},
        )

    def unpack(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Find images and labels in a batch of the loader."""
        with torch.no_grad():
            images, labels = unpack_batch(self.transfer(batch), self.batch_fn, self.say)
        return images.detach(), labels

    @property
    def _collate_fn(self) -> Callable[[list[Any]], Batch]:
        # With batch_size=None a loader's collate_fn gets one item, and makes no batch.
        makes_batches = getattr(self.loader, "batch_sampler", None) is not None
        return self.loader.collate_fn if makes_batches else default_collate


class Sample(Subset[Any]):
    """Some items of a data set, read by one door: as the Trainer's validation loader reads them.

    Iterating gives images ``(B, C, H, W)``, as the network gets them and on its device, with labels ``(B,)`` or None,
    in the order of ``indices``, which count in ``dataset``. Each time some items are read twice and compared.

    Raises:
        UnsuitableDataError: Items that can't be read this way, or that differ when they are read again.
        UnusualBatchError: No images in a batch of them.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        indices: Sequence[int],
        reader: Reader | None = None,
        who: str = "Sample",
        argument: str = "dataset",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(dataset, indices)
        self.reader = reader or Reader()
        self.who, self.argument = who, argument
        self.batch_size = batch_size or self.reader.batch_size

    def of(self, indices: Sequence[int]) -> "Sample":
        """Give other items of the same data set, which are read the same way."""
        return Sample(self.dataset, indices, self.reader, self.who, self.argument, self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Read them."""
        items = list(self.indices)
        if not items:
            return
        twice = [items[place] for place in spread(len(items), CHECKED)] * 2
        first, *others = [items[place : place + self.batch_size] for place in range(0, len(items), self.batch_size)]
        batches = self._read([first, twice, *others])
        beginning = next(batches)
        self._refuse_changing(*next(batches))
        yield beginning
        yield from batches

    def _read(self, batches: Sequence[list[int]]) -> Iterator[tuple[Tensor, Tensor | None]]:
        for wanted, batch in zip(batches, self._load(batches), strict=True):
            images, labels = self.reader.unpack(batch)
            if len(images) != len(wanted):
                raise UnsuitableDataError(
                    f"{self.who}({self.argument}=...): a batch of {len(wanted)} items has {len(images)} images, so "
                    "that it is not known which item an image is. Give a data set with one image an item: "
                    f"{self.argument}=..., or say which image stands for it: Probe(batch_fn=...)."
                )
            yield images, labels

    def _load(self, batches: Sequence[list[int]]) -> Iterator[Batch]:
        try:
            yield from self.reader.load(self.dataset, batches)
        except _CollateError as error:
            reason = str(error).strip().split(f"{_CollateError.__name__}: ")[-1]  # behind a worker's traceback
            raise UnsuitableDataError(
                f"{self.who}({self.argument}=...): no batch can be made of its items by the loader's collate_fn "
                f"({reason}). Give a data set whose items it takes: {self.argument}=..."
            ) from None

    def _refuse_changing(self, images: Tensor, labels: Tensor | None) -> None:
        if not _same_images(*images.chunk(2)) or (labels is not None and not torch.equal(*labels.chunk(2))):
            raise UnsuitableDataError(
                f"{self.who}({self.argument}=...): an item differs when it is read twice, so that the answer would "
                f"change for no reason. Give the data set without augmentation: {self.argument}=..."
            )


def _collate(collate_fn: Callable[[list[Any]], Batch], items: list[Any]) -> Batch:
    try:
        return collate_fn(items)
    except Exception as error:
        raise _CollateError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def _same_images(one: Tensor, other: Tensor) -> bool:
    largest = float(one.abs().nan_to_num(posinf=0).max())
    return torch.allclose(one, other, rtol=0, atol=ROUNDING * largest, equal_nan=True)


def _has_items(data: Any) -> bool:
    # Whatever a loader can take by numbers; it need not be a Dataset of torch.
    return isinstance(data, Sized) and hasattr(data, "__getitem__") and not isinstance(data, IterableDataset | Mapping)


def spread(size: int, most: int) -> list[int]:
    """Choose indices from the first to the last, evenly."""
    count = min(most, size)
    return [round(position * (size - 1) / max(1, count - 1)) for position in range(count)]


def sample(data: Any, most: int, who: str, reader: Reader | None = None) -> Sample:
    """Choose at most so many items, spread over a data set; of the loader's own, over those that it sees.

    Raises:
        UnsuitableDataError: Not map-style, or empty.
    """
    if not _has_items(data):
        raise UnsuitableDataError(
            f"{who}(data=...): must be a data set with a length and items; got {type(data).__name__}."
        )
    reader = reader or Reader()
    items = reader.items(data)
    if not items:
        raise UnsuitableDataError(f"{who}(data=...): there are no images in it. Give another: data=...")
    return Sample(data, [items[place] for place in spread(len(items), most)], reader, who, "data")
