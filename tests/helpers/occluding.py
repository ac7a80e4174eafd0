"""What tests of occlusion maps share: the loop that pastes the square and runs the model, and a network."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from helpers.networks import head
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional import occlusion_map

IMAGES = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
PHOTOS = F.interpolate(
    torch.randn(6, 3, 16, 24, generator=torch.Generator().manual_seed(1)), size=(64, 96), mode="bicubic"
)

EMPTY_BORDER = torch.zeros(1, 1, 28, 36)
EMPTY_BORDER[:, :, 9:19, 13:23] = torch.rand(10, 10, generator=torch.Generator().manual_seed(2))


class Truth(NamedTuple):
    """What a loop finds."""

    scores: Tensor
    """``(N, rows, cols, classes)``"""
    sums: Tensor | None
    """``(N, rows, cols, units)`` of the layer."""
    clean: Tensor
    """``(N, classes)``"""


def places(length: int, square: int, stride: int) -> list[int]:
    """From the first pixel on; the last square ends with the image."""
    found = []
    while not found or found[-1] + square < length:
        found.append(min(stride * len(found), length - square))
    return found


@torch.no_grad()
def loop(
    model: nn.Module,
    images: Tensor,
    square: int,
    stride: int,
    hide: Callable[[Tensor], Tensor] | float = 0.0,
    layer: str | None = None,
    together: bool = True,
) -> Truth:
    """Paste the square and run the model; ``hide`` makes of an image one that is hidden altogether."""
    tops, lefts = (places(length, square, stride) for length in images.shape[2:])
    scores, kept, clean = [], [], []
    handle = layer and model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output.flatten(2).sum(2))
    )
    for image in images:
        clean.append(model(image[None].clone()))
        kept.clear()
        hidden = hide(image) if callable(hide) else torch.full_like(image, hide)
        occluded = []
        for top in tops:
            for left in lefts:
                one = image.clone()
                one[:, top : top + square, left : left + square] = hidden[:, top : top + square, left : left + square]
                occluded.append(one)
        whole = torch.stack(occluded)
        scores.append(torch.cat([model(part.clone()) for part in whole.split(len(whole) if together else 1)]))
    if handle:
        handle.remove()
    grid = (len(images), len(tops), len(lefts), -1)
    sums = None
    if layer:
        assert len(images) == 1
        sums = torch.cat(kept).reshape(grid)
    return Truth(torch.stack(scores).reshape(grid), sums, torch.cat(clean))


def shares_of(truth: Truth, classes: Sequence[int]) -> Tensor:
    """``(N, rows, cols)`` probabilities of a class of each image."""
    return torch.stack([one.softmax(-1)[..., number] for one, number in zip(truth.scores, classes, strict=True)])


def mean_over_squares(fall: Tensor, square: int, stride: int, size: Sequence[int]) -> Tensor:
    """``(rows, cols)`` to ``(H, W)``, pixel by pixel."""
    tops, lefts = (places(length, square, stride) for length in size)
    drop = torch.full(tuple(size), torch.nan)
    for row in range(size[0]):
        for column in range(size[1]):
            covering = [
                fall[i, j]
                for i, top in enumerate(tops)
                for j, left in enumerate(lefts)
                if top <= row < top + square and left <= column < left + square
            ]
            if covering:
                drop[row, column] = torch.stack(covering).double().mean()
    return drop


def settled_convnet(channels: int = 3, classes: int = 5, size: Sequence[int] = (16, 24)) -> nn.Sequential:
    """Overlapping pooling, normalisation with statistics of its own, every place counts."""
    torch.manual_seed(0)
    height, width = size[0] // 2, size[1] // 2
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        head(8, height, width, classes),
    )
    unsettle(model)
    with torch.no_grad():
        model[6][1].weight.mul_(4)  # probabilities that move
    return model.eval()


def unsettle(model: nn.Module) -> None:
    """Give normalisations statistics, so that they do something."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))


def assert_as_the_loop(model: nn.Module, images: Tensor, square: int, stride: int, **options: object) -> None:
    truth = loop(model, images, square, stride, together=False)
    for number in range(truth.scores.shape[-1]):
        found = occlusion_map(model, images, number, square, stride, **options).probability
        expected = shares_of(truth, [number] * len(images))
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-5
