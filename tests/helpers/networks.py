"""Small networks that several tests share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Does(nn.Module):
    """A forward that is a function of the module and the images; layer ``end`` gives what it gives."""

    def __init__(self, does: Callable[["Does", Tensor], object], **parts: nn.Module) -> None:
        super().__init__()
        self.does = does
        for name, part in parts.items():
            setattr(self, name, part)
        self.end = nn.Identity()

    def forward(self, x: Tensor) -> object:
        return self.end(self.does(self, x))


class Calls(nn.Module):
    """A function, where others have a module."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def convnet(
    channels: int = 3,
    classes: int = 5,
    size: Sequence[int] = (12, 20),
    depth: int = 2,
    rectify: nn.Module | None = None,
) -> nn.Sequential:
    """Overlapping pooling behind the first of its convolutions; layer ``2 * depth`` is the last rectifier.

    Args:
        rectify: One for all, instead of one for each.
    """
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 5, 3), rectify or nn.ReLU(), nn.MaxPool2d(3, 2)]
    for width in [5, 8, 8][: depth - 1]:
        layers += [nn.Conv2d(width, 8, 3, padding=1), rectify or nn.ReLU()]
    height, width = ((side - 4) // 2 for side in size)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * height * width, classes)).eval()


def convolutions(channels: int = 3, seed: int = 0) -> nn.Sequential:
    """No head; a rectifier that works in place and one that does not."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 4, 1)
    ).eval()


def network(channels: int = 3) -> nn.Sequential:
    """A frozen convolution, a BatchNorm that its owner holds in eval mode, one that learns, dropout."""
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 5, stride=2, padding=2),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(6, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    net[3].requires_grad_(False)
    return net


class AttentionPool(nn.Module):
    """The mean over the places of maps, after each has looked at all."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.query_key = nn.Linear(units, 2 * units)
        nn.init.normal_(self.query_key.weight, std=2.0)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = maps.flatten(2).transpose(1, 2)
        query, key = self.query_key(tokens).unflatten(2, (2, 2, -1)).permute(2, 0, 3, 1, 4)
        values = tokens.unflatten(2, (2, -1)).transpose(1, 2)
        seen = functional.scaled_dot_product_attention(query, key, values)
        return seen.transpose(1, 2).flatten(2).mean(1)[:, :, None, None]


def in_training(images: Tensor) -> nn.Sequential:
    """``network`` in the middle of training: with gradients, and in mixed modes."""
    model = network().train()
    model[4].eval()
    model(images).sum().backward()
    return model


def head(channels: int, height: int, width: int, classes: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))
