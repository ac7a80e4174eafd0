"""Images, what models return of them, and random streams."""

import random

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

SCORES = torch.tensor([[1.0, 3.0, 2.0], [0.5, -1.0, 0.0]])

RETURNED = [
    (None, SCORES),
    ("logits", {"loss": 0.1, "logits": SCORES}),
    (1, ("features", SCORES)),
    (-1, ["x", SCORES]),
]
"""Where the scores are in what a model returned."""

NOT_RETURNED = [
    (None, {"loss": 0.1, "head": SCORES}, "a dict with keys 'loss', 'head', and output=None gives a dict"),
    ("scores", {"logits": SCORES}, "a dict with keys 'logits', and output='scores' gives a NoneType"),
    (2, (SCORES,), "a tuple, and output=2 gives a NoneType"),
    ("logits", (SCORES,), "a tuple, and output='logits' gives a NoneType"),
    ("loss", {"loss": 0.1}, "a dict with keys 'loss', and output='loss' gives a float"),
]
"""Where they are not, and what is said of that."""


class NoisyImages(Dataset[tuple[Tensor, int]]):
    """Rectangular images, augmented with the three random streams that a leak would move."""

    def __init__(self, channels: int = 3) -> None:
        self.images = torch.randn(24, channels, 12, 20, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = float(np.random.rand()) + random.random() + torch.rand(1)
        return self.images[index] + 0.1 * noise, index % 3


class CleanImages(NoisyImages):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], index % 3


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
