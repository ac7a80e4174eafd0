"""Images out of tensors, data sets and loaders: all of them, in order, with the numbers that they have in the data."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lightning_viz.data.batches import count_images, read_batches, spread

IMAGES = torch.randn(11, 3, 4, 6, generator=torch.Generator().manual_seed(0))


class Items(Dataset[Any]):
    """Gives the number of a reading, and of an item, to a function."""

    def __init__(self, give: Callable[[int, int], Any], size: int = 11) -> None:
        self.give, self.size, self.read = give, size, 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return self.give(self.read, index)


class Stream(IterableDataset[Tensor]):
    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Tensor]:
        return iter(IMAGES.split(self.batch_size))


KINDS: dict[str, Callable[[int], Any]] = {
    "tensor": lambda size: IMAGES,
    "tensors": lambda size: TensorDataset(IMAGES, torch.arange(11)),
    "items": lambda size: Items(lambda read, index: IMAGES[index]),
    "items of dicts": lambda size: Items(lambda read, index: {"y": index, "pixel_values": IMAGES[index]}),
    "loader": lambda size: DataLoader(TensorDataset(IMAGES), size),
    "list": lambda size: list(IMAGES.split(size)),
    "generator": lambda size: (part for part in IMAGES.split(size)),
    "stream": Stream,
    "loader of a stream": lambda size: DataLoader(Stream(size), batch_size=None),
}
IN_ORDER = ("tensor", "tensors", "items", "items of dicts")


def read(data: Any, batch_size: int = 4, most: int | None = None, batch_fn: Any = None) -> list[tuple[Tensor, Tensor]]:
    return list(read_batches(data, batch_size, most, batch_fn, "me"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 4, 11, 20])
def test_every_image_comes_once_in_order_with_its_number(kind, size):
    batches = read(KINDS[kind](size), size)
    assert torch.equal(torch.cat([numbers for numbers, _ in batches]), torch.arange(11))
    assert torch.equal(torch.cat([images for _, images in batches]), IMAGES)
    assert [len(images) for _, images in batches] == [len(part) for part in IMAGES.split(size)]
    assert all(numbers.dtype == torch.int64 and len(numbers) == len(images) for numbers, images in batches)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 3, 4, 8, 11, 12])
def test_at_most_so_many_spread_over_the_data_or_the_first_of_a_loader(kind, most):
    batches = read(KINDS[kind](4), 4, most)
    numbers = torch.cat([one for one, _ in batches])
    expected = np.linspace(0, 10, min(most, 11)).round().astype(int) if kind in IN_ORDER else np.arange(min(most, 11))
    assert numbers.tolist() == expected.tolist()
    assert torch.equal(torch.cat([images for _, images in batches]), IMAGES[numbers])
    assert max(len(one) for one, _ in batches) <= 4


def test_no_more_is_read_than_wanted():
    given = iter(IMAGES.split(4))
    read(given, 4, 5)
    assert len(list(given)) == 1
    items = Items(lambda read, index: IMAGES[index])
    read(items, 4, 3)
    assert items.read <= 3 + 2 * 3  # some twice, to see whether they change


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [None, 1, 5, 30])
def test_as_many_are_counted_as_come_where_the_data_know(kind, most):
    counted = count_images(KINDS[kind](4), most)
    came = sum(len(images) for _, images in read(KINDS[kind](4), 4, most))
    assert counted == came or (counted is None and kind not in (*IN_ORDER, "loader"))


@pytest.mark.parametrize("options", [{"drop_last": True}, {"sampler": [3, 1]}, {"batch_sampler": [[1, 2], [5]]}])
def test_a_loader_that_leaves_images_out_is_not_counted_as_if_it_did_not(options):
    loader = DataLoader(TensorDataset(IMAGES), **({} if "batch_sampler" in options else {"batch_size": 4}), **options)
    assert count_images(loader, None) in (None, sum(len(images) for _, images in read(loader)))


def test_a_function_says_where_the_images_are():
    double = [(part, part + 1) for part in IMAGES.split(4)]
    assert torch.equal(torch.cat([one for _, one in read(double, 4, None, lambda batch: (batch[1], None))]), IMAGES + 1)
    items = Items(lambda read, index: (IMAGES[index], IMAGES[index] + 1))
    batches = read(items, 4, None, lambda batch: (batch[1], None))
    assert torch.equal(torch.cat([images for _, images in batches]), IMAGES + 1)


def test_the_order_of_a_loader_counts_and_its_batches_stay():
    order = [4, 2, 9, 0, 1]
    batches = read(DataLoader(TensorDataset(IMAGES), 2, sampler=order), 100)
    assert torch.equal(torch.cat([images for _, images in batches]), IMAGES[order])
    assert [numbers.tolist() for numbers, _ in batches] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (IMAGES[:0], "there are no images in it"),
        ([], "there are no images in it"),
        (Items(lambda read, index: IMAGES[index], 0), "there are no images in it"),
        (5, r"must be images, a data set with a length, or a loader; got .*int"),
        (None, r"must be images, a data set with a length, or a loader; got .*NoneType"),
        (
            Items(lambda read, index: IMAGES[index] + read),
            r"an item differs when it is read twice.*augmentation: data=",
        ),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(data, message):
    with pytest.raises(ValueError, match=rf"me\(data=\.\.\.\): .*{message}|me\(data=\.\.\.\): {message}"):
        read(data)


@pytest.mark.parametrize("most", [0, -1])
@pytest.mark.parametrize("kind", ["tensor", "items", "loader"])
def test_less_than_one_image_is_refused(kind, most):
    with pytest.raises(ValueError, match="max_images"):
        read(KINDS[kind](4), 4, most)


def test_a_stream_that_knows_its_length_is_no_map():
    class Sized(Stream):
        def __len__(self) -> int:
            return 3

    assert torch.equal(torch.cat([images for _, images in read(Sized(4))]), IMAGES)


@given(st.integers(1, 200), st.integers(1, 250))
def test_indices_are_spread_evenly_from_the_first_to_the_last(size, most):
    chosen = spread(size, most)
    assert len(chosen) == len(set(chosen)) == min(size, most)
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] == (size - 1 if most > 1 else 0)
    gaps = np.diff(chosen)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
