"""Images and labels in batches of any form: found, or not guessed."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from lightning_viz.data.unpacking import UnusualBatchError, unpack_batch

IMAGES = torch.rand(5, 3, 12, 20, generator=torch.Generator().manual_seed(0))
OTHERS = IMAGES + 1
LABELS = torch.tensor([3, 1, 0, 2, 1])
ONE_HOT = torch.eye(4)[LABELS]
Pair = namedtuple("Pair", ["first", "second"])
Named = namedtuple("Named", ["index", "input", "target"])


@dataclass
class Annotated:
    index: Tensor
    photograph: Tensor
    label: Tensor


class Tagged(Tensor):
    """Keeps a name for each image; a list of names is not indexed by a list, as MONAI's metadata are not."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(function, types, args, kwargs or {})
        if function is Tensor.__getitem__ and hasattr(args[0], "names_of"):
            result.names_of = args[0].names_of[args[1]]
        return result


def tagged(images: Tensor) -> Tensor:
    made = images.as_subclass(Tagged)
    made.names_of = [str(number) for number in range(len(images))]
    return made


def told(batch: Any, batch_fn: Any = None) -> tuple[Tensor, Tensor | None, list[str]]:
    said: list[str] = []
    return *unpack_batch(batch, batch_fn, said.append), said


FOUND: dict[str, Any] = {
    "two views": ([IMAGES, OTHERS], LABELS),
    "views in a tuple, labels first": (LABELS, (IMAGES, OTHERS)),
    "views three levels down": {"views": {"augmented": [IMAGES, OTHERS]}, "label": LABELS},
    "two dicts": ({"image": IMAGES}, {"label": LABELS}),
    "labels in a dict behind an index": (IMAGES, torch.arange(5), {"label": LABELS}),
    "targets in a dict in a dict": {"image": IMAGES, "annotation": {"target": LABELS, "index": torch.arange(5)}},
    "of two loaders": [(IMAGES, LABELS), (OTHERS, LABELS + 1)],
    "of two loaders by name": {"labelled": (IMAGES, LABELS), "unlabelled": ([OTHERS], LABELS + 1)},
    "the image's own name": {"picture": IMAGES, "label": LABELS, "index": torch.arange(5)},
    "a usual name beside another": {"mask": OTHERS, "image": IMAGES, "label": LABELS},
    "a usual name that holds a dict": {"mask": OTHERS, "image": {"data": IMAGES}, "label": LABELS},
    "names in capitals": {"Image": IMAGES, "Mask": OTHERS, "Label": LABELS},
    "a name that is no text": {0: IMAGES, "label": LABELS},
    "an ordered dict": OrderedDict(image=IMAGES, label=LABELS),
    "a dataclass": Annotated(torch.arange(5), IMAGES, LABELS),
    "a named tuple": Pair(IMAGES, LABELS),
    "a named tuple with usual names": Named(torch.arange(5), IMAGES, LABELS),
    "a list of images": (list(IMAGES), LABELS),
    "a tuple of images and one of labels": (tuple(IMAGES), (3, 1, 0, 2, 1)),
    "whole numbers in a list": (IMAGES, [3, 1, 0, 2, 1]),
    "a tuple of scalars": (tuple(IMAGES), tuple(LABELS)),
    "numbers of NumPy": (IMAGES, list(LABELS.numpy())),
    "names of the files": (IMAGES, LABELS, ["a", "b", "c", "d", "e"]),
    "weights": (IMAGES, LABELS, torch.rand(5)),
    "boxes": (IMAGES, LABELS, torch.rand(5, 4) * 20),
    "a column": (IMAGES, LABELS[:, None]),
    "bytes": (IMAGES, LABELS.to(torch.uint8)),
    "one-hot": (IMAGES, ONE_HOT),
    "one-hot whole numbers": {"image": IMAGES, "label": ONE_HOT.long()},
    "one-hot of truth": (IMAGES, ONE_HOT.bool()),
    "soft": (IMAGES, ONE_HOT * 0.6 + 0.1),
    "soft in half precision": (IMAGES, (ONE_HOT * 0.6 + 0.1).bfloat16()),
    "multi-hot, the first counts": (IMAGES, torch.cat([ONE_HOT, torch.ones(5, 1)], 1)),
    "a subclass": (tagged(IMAGES), LABELS.as_subclass(Tagged)),
    "a list of a subclass": ([tv_tensors.Image(image) for image in IMAGES], LABELS),
    "a parameter": (torch.nn.Parameter(IMAGES), LABELS),
}


@pytest.mark.parametrize("kind", FOUND)
def test_images_and_labels_are_found(kind: str) -> None:
    images, labels, said = told(FOUND[kind])
    assert type(images) is Tensor
    assert torch.equal(images, IMAGES)
    assert labels is not None
    assert labels.dtype == torch.int64
    assert labels.tolist() == LABELS.tolist()
    assert said == []
    assert torch.equal(images[[4, 0]], IMAGES[[4, 0]])


NO_LABELS: dict[str, Any] = {
    "fractions": (IMAGES, torch.tensor([0.0, 1.0, 0.5, 1.0, 0.0])),
    "whole floats above 1": (IMAGES, torch.tensor([20.0, 31.0, 4.0, 50.0, 1.0])),
    "a column of fractions": (IMAGES, torch.rand(5, 1)),
    "boxes as shares": (IMAGES, torch.rand(5, 4)),
    "negative shares that sum to 1": (IMAGES, torch.tensor([[2.0, -1.0]]).expand(5, 2)),
    "boxes as whole numbers": (IMAGES, torch.randint(2, 20, (5, 4))),
    "not a number": (IMAGES, torch.full((5,), torch.nan)),
    "masks": (IMAGES, torch.zeros(5, 12, 20, dtype=torch.int64)),
    "an unusual name": {"image": IMAGES, "index": torch.arange(5)},
    "boxes in a dict for each image": (list(IMAGES), [{"labels": torch.arange(5)}] * 5),
    "complex": (IMAGES, torch.zeros(5, dtype=torch.complex64)),
    "nothing": (IMAGES, None),
    "sizes": (IMAGES, (12, 20)),
}


@pytest.mark.parametrize("kind", NO_LABELS)
def test_what_is_no_label_is_not_taken_for_one(kind: str) -> None:
    images, labels, said = told(NO_LABELS[kind])
    assert torch.equal(images, IMAGES)
    assert labels is None
    assert said == []


@pytest.mark.parametrize(
    ("targets", "labels"),
    [
        (torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0]), [0, 1, 1, 0, 1]),
        (torch.tensor([[0.0], [1.0], [1.0], [0.0], [1.0]]), [0, 1, 1, 0, 1]),
        (torch.tensor([False, True, True, False, True]), [0, 1, 1, 0, 1]),
        (torch.tensor([2, -1, 0, -100, 1]), [2, -1, 0, -1, 1]),
        (torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]]), [1, -1, 0, 2, 0]),
        (torch.tensor([[0.5, 0.5], [0.4, 0.6], [0.0, 0.0], [1.0, 0.0], [0.9, 0.1]]), [0, 1, -1, 0, 0]),
    ],
)
def test_targets_of_losses_are_labels(targets: Tensor, labels: list[int]) -> None:
    for images, found, said in (told((IMAGES, targets)), told(IMAGES, lambda images: (images, targets))):
        assert torch.equal(images, IMAGES)
        assert found is not None
        assert found.tolist() == labels
        assert said == []


@pytest.mark.parametrize(
    "batch",
    [
        (IMAGES, torch.arange(5), LABELS),
        (IMAGES, LABELS, torch.arange(5)),
        (torch.arange(5), IMAGES, torch.ones(5)),
        (IMAGES, (LABELS, LABELS + 1)),
        ([IMAGES, OTHERS], LABELS, ONE_HOT),
        (IMAGES, torch.tensor([7, 2, 9]), torch.tensor([1, 1, 0, 0, 1])),
        Pair(IMAGES, [torch.arange(5), LABELS]),
    ],
)
def test_of_several_that_could_be_labels_none_is_taken_and_a_word_is_said(batch: Any) -> None:
    images, labels, said = told(batch)
    assert torch.equal(images, IMAGES)
    assert labels is None
    assert len(said) == 1
    assert "2 parts of the batch could be labels" in said[0]
    assert "batch_fn=" in said[0]
    _, labels, said = told(batch, lambda batch: (IMAGES, LABELS))
    assert torch.equal(labels, LABELS)
    assert said == []


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"left": IMAGES, "right": OTHERS}, r"several parts of a dict .* could be the images: 'left', 'right'"),
        ([IMAGES[0], IMAGES[1, :, :8]], r"no images .* They are of several sizes"),
        (([IMAGES[0], IMAGES[1, :, :8]], LABELS[:2]), r"no images .* They are of several sizes"),
        ((IMAGES[:, :, None], LABELS), r"no images .* Volumes, clips"),
        ({"t1": {"data": IMAGES[:, :, None]}}, r"no images .* Volumes, clips"),
        ([("a photograph", 3)], r"no images .* in a list of a tuple of a str, a int"),
        ((IMAGES, LABELS[:4]), "5 images but 4 labels in a tuple"),
        ({"image": IMAGES, "label": LABELS[:4]}, "5 images but 4 labels in a dict"),
    ],
)
def test_what_can_not_be_used_is_said_with_the_cure(batch: Any, message: str) -> None:
    with pytest.raises(UnusualBatchError, match=message) as caught:
        told(batch)
    assert "batch_fn=" in str(caught.value) or "labels in a" in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (IMAGES, "batch_fn must return"),
        ((IMAGES[0], None), "batch_fn must return"),
        ((IMAGES[:0], None), "batch_fn found no images"),
        ((IMAGES, LABELS[:3]), "5 images but 3 labels"),
    ],
)
def test_what_a_function_returns_is_checked(returned: Any, message: str) -> None:
    with pytest.raises(UnusualBatchError, match=message):
        told(None, lambda batch: returned)


def test_a_function_may_give_lists_subclasses_and_whole_floats() -> None:
    images, labels, _ = told(None, lambda batch: (tagged(IMAGES), LABELS.tolist()))
    assert type(images) is Tensor
    assert torch.equal(labels, LABELS)
    assert torch.equal(told(None, lambda batch: (list(IMAGES), LABELS.float()))[1], LABELS)
    assert told(None, lambda batch: (IMAGES, torch.rand(5)))[1] is None


def test_a_batch_that_holds_itself_ends() -> None:
    batch: list[Any] = ["a"]
    batch.append(batch)
    with pytest.raises(UnusualBatchError, match="no images"):
        told(batch)
