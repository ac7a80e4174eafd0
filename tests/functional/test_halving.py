"""Where a GPU's memory runs out, a pass over data goes on with halves: same answer, no image twice, none left out."""

import pytest
import torch
from helpers.networks import network
from torch import Tensor, nn

from lightning_viz.functional import collect_features, top_patches
from lightning_viz.functional.halving import run_on_each

IMAGES = torch.randn(22, 3, 12, 20, generator=torch.Generator().manual_seed(0))


class Small(nn.Module):
    """Runs out of memory half-way, as a GPU does, when it gets more than so many images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.most, self.ran = network().eval(), most, []

    def forward(self, images: Tensor) -> Tensor:
        found = self.net[:4](images)
        if len(images) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.ran.append(len(images))
        return self.net[4:](found)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 7, 8, 22])
@pytest.mark.parametrize("batch_size", [8, 22])
def test_top_patches_are_the_same(most: int, batch_size: int) -> None:
    found = top_patches(Small(most), ["net.0", "net.7"], IMAGES, k=5, batch_size=batch_size)
    right = top_patches(Small(99), ["net.0", "net.7"], IMAGES, k=5, batch_size=batch_size)
    for layer, table in right.items():
        assert torch.equal(found[layer].image_ids, table.image_ids)
        assert torch.equal(found[layer].positions, table.positions)
        torch.testing.assert_close(found[layer].values, table.values)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 7, 8, 22])
@pytest.mark.parametrize("layer", [None, "net.3", lambda model, images: model(images)])
def test_features_are_the_same_in_the_same_order(most: int, layer: object) -> None:
    found = collect_features(Small(most), IMAGES, layer, batch_size=8)
    torch.testing.assert_close(found, collect_features(Small(99), IMAGES, layer, batch_size=8))


def test_an_image_that_is_too_large_alone_is_an_error() -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError):
        top_patches(Small(0), "net.3", IMAGES)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        collect_features(Small(0), IMAGES, "net.3")


def test_every_image_comes_once_in_order_and_no_larger_parts_are_tried_again() -> None:
    numbers, ran, tried = torch.arange(22), [], []

    def run(ids: Tensor, images: Tensor) -> None:
        assert torch.equal(images, IMAGES[ids])
        tried.append(len(ids))
        if len(ids) > 3:
            raise torch.cuda.OutOfMemoryError
        ran.extend(ids.tolist())

    run_on_each(zip(numbers.split(10), IMAGES.split(10), strict=True), run)
    assert ran == numbers.tolist()
    assert tried == [10, 5, 3, 2, 3, 2, 3, 3, 3, 1, 2]


def test_other_errors_are_not_caught() -> None:
    def run(ids: Tensor, images: Tensor) -> None:
        raise RuntimeError(len(ids))

    with pytest.raises(RuntimeError, match="10"):
        run_on_each([(torch.arange(10), IMAGES[:10])], run)
