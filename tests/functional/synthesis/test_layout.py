from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_viz.functional import class_model, deep_dream
from lightning_viz.functional.synthesis.layout import fed

FLOAT = torch.device("cpu"), torch.float32


class Recording(nn.Module):
    """Keeps the strides of what it was given, and works in place."""

    def __init__(self, head: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), head
        self.strides: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.strides.append(images.stride())
        return self.head(self.conv(images.mul_(2)))


def by_view(maps: Tensor) -> Tensor:
    return maps.view(len(maps), -1)


def by_flatten(maps: Tensor) -> Tensor:
    return maps.flatten(1)


@pytest.mark.parametrize(("head", "stride"), [(by_flatten, 1), (by_view, 12 * 20)])
def test_channels_come_last_where_the_model_can_do_with_it(head: Callable[[Tensor], Tensor], stride: int) -> None:
    model, images = Recording(head), torch.randn(2, 3, 12, 20)
    before = images.clone()
    run = fed(model, FLOAT, images[:1])
    torch.testing.assert_close(run(images), head(model.conv(2 * before)))
    assert model.strides[-1][1] == stride
    assert torch.equal(images, before)


@pytest.mark.parametrize("view", [by_flatten, by_view])
def test_images_are_the_same_but_for_rounding(view: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 45, 4)
    )
    plainly = nn.Sequential(*model)
    plainly[3] = _Calls(view)
    options = {"size": (12, 20), "steps": 1}
    torch.testing.assert_close(class_model(plainly, [0, 2], **options), class_model(model, [0, 2], **options))


def test_a_layer_that_runs_twice_is_the_last_one_of_the_two() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 12, 20)
    dreams = [
        deep_dream(_Twice(between).eval(), "relu", images, steps=1, octaves=1) for between in (by_view, by_flatten)
    ]
    torch.testing.assert_close(*dreams)


class _Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, given: Tensor) -> Tensor:
        return self.function(given)


class _Twice(nn.Module):
    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.relu, self.between = nn.Conv2d(3, 4, 3), nn.ReLU(), between
        for weight in self.conv.parameters():
            weight.data.copy_(torch.randn(weight.shape, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.conv(images))
        return self.relu(1 - self.between(maps).reshape(maps.shape))
