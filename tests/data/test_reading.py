"""A data set is read as a loader reads it: by its collate_fn, in its workers, with no random stream moved."""

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.data import seed
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    get_worker_info,
)

from lightning_viz.data.probe import Probe
from lightning_viz.data.reading import Reader, Sample, UnsuitableDataError, sample
from lightning_viz.data.unpacking import UnusualBatchError

IMAGES = torch.rand(11, 3, 4, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(11) % 3
PIXELS = np.random.default_rng(0).integers(0, 255, (11, 4, 6, 3), np.uint8)


class Items(Dataset[Any]):
    """What a function makes of a number."""

    def __init__(self, give: Callable[[int], Any], size: int = 11) -> None:
        self.give, self.size = give, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return self.give(index)


def numbered(index: int) -> tuple[Tensor, int]:
    return IMAGES[index], int(LABELS[index])


def pictures(index: int) -> dict[str, Any]:
    return {"picture": PIL.Image.fromarray(PIXELS[index]), "kind": index % 3}


def collate_pictures(items: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    images = torch.stack([torch.from_numpy(np.array(item["picture"])).permute(2, 0, 1) / 255 for item in items])
    return images, torch.tensor([item["kind"] for item in items])


def read(
    data: Any, loader: Any = None, indices: Any = range(11), **options: Any
) -> tuple[Tensor, list[Any], list[int]]:
    batches = list(Sample(data, list(indices), Reader(loader, **options), "me", "data"))
    return torch.cat([images for images, _ in batches]), [labels for _, labels in batches], [len(i) for i, _ in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_items_that_only_the_collate_fn_makes_tensors_of(workers: int) -> None:
    data = Items(pictures)
    loader = DataLoader(data, 4, collate_fn=collate_pictures, num_workers=workers)
    images, labels, sizes = read(data, loader, [9, 0, 3, 4, 10])
    assert torch.equal(images, torch.from_numpy(PIXELS[[9, 0, 3, 4, 10]]).permute(0, 3, 1, 2) / 255)
    assert torch.cat(labels).tolist() == [0, 0, 0, 1, 1]
    assert sizes == [4, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_items_that_the_collate_fn_does_not_take_are_refused_by_name(workers: int) -> None:
    with pytest.raises(
        UnsuitableDataError, match=r"me\(data=\.\.\.\): no batch .*\(TypeError: default_collate"
    ) as caught:
        read(Items(pictures), DataLoader(Items(pictures), 4, num_workers=workers))
    assert "Traceback" not in str(caught.value)
    sizes = Items(lambda index: torch.rand(3, 4 + index, 6))
    with pytest.raises(UnsuitableDataError, match=r"stack expects each tensor to be equal size.*data="):
        read(sizes, DataLoader(sizes, 4, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_data_set_itself_stays_its_own(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        read(
            Items(lambda index: (IMAGES[index], 1 // (index - 8))), DataLoader(Items(numbered), 4, num_workers=workers)
        )


def test_batches_are_as_large_as_the_loaders() -> None:
    data = TensorDataset(IMAGES, LABELS)
    assert read(data, DataLoader(data, 4))[2] == [4, 4, 3]
    batches = BatchSampler(SequentialSampler(data), 5, drop_last=True)
    assert read(data, DataLoader(data, batch_sampler=batches))[2] == [5, 5, 1]
    assert read(data, DataLoader(data, batch_sampler=[[1, 2], [5]]))[2] == [11]
    assert read(data)[2] == [11]


def test_a_loader_whose_sampler_makes_the_batches() -> None:
    data = TensorDataset(IMAGES, LABELS)
    batches = BatchSampler(SequentialSampler(data), 5, drop_last=False)
    images, labels, _ = read(data, DataLoader(data, batch_size=None, sampler=batches))
    assert torch.equal(images, IMAGES)
    assert torch.equal(torch.cat(labels), LABELS)


@pytest.mark.parametrize(
    "sampler", [SubsetRandomSampler([9, 2, 7, 4]), SubsetRandomSampler(np.array([9, 2, 7, 4])), [9, 2, 7, 4]]
)
def test_of_a_data_set_that_is_split_by_samplers_only_what_the_loader_sees(sampler: Any) -> None:
    data = TensorDataset(IMAGES, LABELS)
    reader = Reader(DataLoader(data, 2, sampler=sampler))
    assert sample(data, 9, "me", reader).indices == [2, 4, 7, 9]
    assert sample(data, 2, "me", reader).indices == [2, 9]
    assert sample(TensorDataset(IMAGES), 9, "me", reader).indices == list(np.linspace(0, 10, 9).round())
    assert sample(data, 3, "me", Reader(DataLoader(data, shuffle=True))).indices == [0, 5, 10]


def test_items_that_are_batches_are_refused() -> None:
    data = Items(lambda index: (IMAGES[:4], LABELS[:4]))
    with pytest.raises(UnusualBatchError, match="batches for items"):
        read(data, DataLoader(data, batch_size=None))


def test_another_number_of_images_than_items_is_refused_with_the_cure() -> None:
    data = TensorDataset(IMAGES, LABELS)
    crops = DataLoader(data, 4, collate_fn=lambda items: torch.stack([one for one, _ in items]).repeat(2, 1, 1, 1))
    with pytest.raises(UnsuitableDataError, match=r"me\(data=...\): a batch of 4 items has 8 images.*data=.*batch_fn="):
        read(data, crops)
    images, _, _ = read(data, crops, batch_fn=lambda batch: (batch[: len(batch) // 2], None))
    assert torch.equal(images, IMAGES)


class Where(Dataset[Any]):
    """Opens something on first use, as archives are, and tells who used whose."""

    def __init__(self) -> None:
        self.opened_by: int | None = None
        self.noise = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.opened_by = self.opened_by or os.getpid()
        drawn = torch.rand((), generator=self.noise)
        assert self.opened_by == os.getpid()
        return IMAGES[index], torch.tensor([os.getpid(), get_worker_info().id if get_worker_info() else -1, drawn > 2])


def processes(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch[0], batch[1][:, 1]


def test_where_the_loader_has_workers_the_main_process_touches_nothing() -> None:
    data = Where()
    before = data.noise.get_state()
    _, labels, _ = read(data, DataLoader(data, 3, num_workers=2), batch_fn=processes)
    assert set(torch.cat(labels).tolist()) == {0, 1}
    assert data.opened_by is None
    assert torch.equal(data.noise.get_state(), before)


def _begin(worker: int, shared: Any) -> None:
    shared.value += 1


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_begin_as_those_of_the_loader(start: str) -> None:
    begun = multiprocessing.get_context(start).Value("i", 0)
    loader = DataLoader(
        TensorDataset(IMAGES, LABELS),
        6,
        num_workers=1,
        worker_init_fn=partial(_begin, shared=begun),
        multiprocessing_context=start,
        timeout=60,
        prefetch_factor=3,
        persistent_workers=True,
    )
    reader = Reader(loader)
    assert torch.equal(read(loader.dataset, loader)[0], IMAGES)
    assert begun.value == 1
    ours = reader.load(loader.dataset, [[0], [1]])
    assert (ours.timeout, ours.prefetch_factor, ours.persistent_workers) == (60, 3, False)
    assert loader._iterator is None


def test_no_more_workers_than_batches() -> None:
    data = TensorDataset(IMAGES, LABELS)
    assert Reader(DataLoader(data, 4, num_workers=7)).load(data, [[0], [1]]).num_workers == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_no_random_stream_moves_by_starting_to_read(workers: int) -> None:
    data = TensorDataset(IMAGES, LABELS)
    seed(0)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    read(data, DataLoader(data, 4, shuffle=True, num_workers=workers))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


CHANGES: dict[str, Callable[[int], Any]] = {
    "the image": lambda index: (IMAGES[index] + torch.rand(()), 0),
    "the image by NumPy": lambda index: (IMAGES[index] + float(np.random.rand()), 0),
    "the image by Python": lambda index: (IMAGES[index] + random.random(), 0),
    "a row": lambda index: (IMAGES[index].index_fill(2, torch.tensor([0]), 1 + random.random()), 0),
    "the last one": lambda index: (IMAGES[index] + (random.random() if index == 10 else 0), 0),
    "the label": lambda index: (IMAGES[index], random.randrange(10**6)),
    "a missing value": lambda index: (IMAGES[index].masked_fill(torch.rand(3, 4, 6) < 0.5, torch.nan), 0),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("what", CHANGES)
def test_items_that_change_are_refused_wherever_they_are_read(what: str, workers: int) -> None:
    data = Items(CHANGES[what])
    with pytest.raises(UnsuitableDataError, match=r"me\(data=...\): an item differs when it is read twice.*data="):
        read(data, DataLoader(data, 4, num_workers=workers))


def test_batches_that_the_collate_fn_or_a_hook_changes_are_refused() -> None:
    data = TensorDataset(IMAGES, LABELS)

    def noisy(items: list[Any]) -> Tensor:
        return torch.stack([image + torch.rand(()) for image, _ in items])

    with pytest.raises(UnsuitableDataError, match="differs when it is read twice"):
        read(data, DataLoader(data, 4, collate_fn=noisy))
    with pytest.raises(UnsuitableDataError, match="differs when it is read twice"):
        read(data, DataLoader(data, 4), transfer=lambda batch: batch[0] + torch.rand(len(batch[0]), 1, 1, 1))


def test_a_hook_that_rounds_otherwise_in_another_place_of_the_batch_is_no_change() -> None:
    data = TensorDataset(IMAGES * 100, LABELS)
    places = torch.arange(64)[:, None, None, None]
    images, _, _ = read(data, DataLoader(data, 4), transfer=lambda batch: batch[0] + 1e-4 * places[: len(batch[0])])
    assert torch.allclose(images, IMAGES * 100, atol=1e-3)


def test_a_doubt_is_said_once_for_all_batches(caplog: pytest.LogCaptureFixture) -> None:
    data = TensorDataset(IMAGES, torch.arange(11), LABELS)
    assert read(data, DataLoader(data, 2))[1] == [None] * 6
    assert len(caplog.records) == 1
    caplog.clear()
    assert Probe(dataset=data).read_dataset().labels is None
    assert len(caplog.records) == 1


def test_what_is_missing_stays_missing_and_is_no_change() -> None:
    data = TensorDataset(IMAGES.masked_fill(IMAGES > 0.9, torch.nan), LABELS)
    assert torch.equal(read(data)[0].isnan(), IMAGES > 0.9)


def test_batches_go_through_the_transfer_first() -> None:
    data = TensorDataset((IMAGES * 255).byte(), LABELS)

    def transfer(batch: Any) -> dict[str, Any]:
        assert not torch.is_grad_enabled()
        return {"images": (batch[0].double() - 128) / 60, "labels": batch[1]}

    images, labels, _ = read(data, DataLoader(data, 4), transfer=transfer)
    assert torch.equal(images, ((IMAGES * 255).byte().double() - 128) / 60)
    assert torch.equal(torch.cat(labels), LABELS)


class Listed:
    """No Dataset, but a loader takes it."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> Tensor:
        return IMAGES[index]


class Several(Listed):
    def __getitems__(self, indices: list[int]) -> list[Tensor]:
        return [IMAGES[index] for index in indices]

    def __getitem__(self, index: int) -> Tensor:
        raise AssertionError("the loader would ask for several at once")


@pytest.mark.parametrize("data", [Listed(), Several(), list(IMAGES), IMAGES, tuple(IMAGES), Items(numbered)])
def test_whatever_has_a_length_and_items_is_sampled(data: Any) -> None:
    chosen = sample(data, 3, "me")
    assert chosen.indices == [0, 5, 10]
    assert len(chosen) == 3
    assert chosen.dataset is data
    assert torch.equal(torch.cat([images for images, _ in chosen]), IMAGES[[0, 5, 10]])
    assert torch.equal(torch.cat([images for images, _ in chosen.of([4, 4])]), IMAGES[[4, 4]])
    assert list(chosen.of([])) == []


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(IMAGES)

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("data", [Stream(), iter(IMAGES), {"a": IMAGES}, DataLoader(TensorDataset(IMAGES)), 5, None])
def test_what_has_no_items_is_refused_by_name(data: Any) -> None:
    with pytest.raises(UnsuitableDataError, match=r"me\(data=...\): must be a data set with a length and items"):
        sample(data, 3, "me")


def test_an_empty_data_set_is_refused_by_name() -> None:
    with pytest.raises(UnsuitableDataError, match=r"me\(data=...\): there are no images in it.*data="):
        sample([], 3, "me")
