"""G7, G14, G16: the same pictures again, of odd models too, and with the right pixels."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import contents, fit, module_class, pictures
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightning_viz import FilterImages, VizCallback


def test_two_runs_give_the_same_pictures(package: str, callback: type[VizCallback], tmp_path: Path) -> None:
    first = pictures(fit(package, tmp_path / "first", callback(on_error="raise")))
    second = pictures(fit(package, tmp_path / "second", callback(on_error="raise")))
    assert first == second
    assert len(set(first.values())) == len(first) >= 3


def _in_place(net: nn.Sequential) -> None:
    net[5].inplace = True


def _reused_relu(net: nn.Sequential) -> None:
    net[5] = net[2]


def _compiled(net: nn.Sequential) -> None:
    net.compile(backend="eager")


def _spectral_norm(net: nn.Sequential) -> None:
    net[0] = torch.nn.utils.parametrizations.spectral_norm(net[0])


def _channels_last(net: nn.Sequential) -> None:
    net.to(memory_format=torch.channels_last)


def _checkpointed(net: nn.Sequential) -> None:
    body = net[7].forward
    net[7].forward = lambda images: checkpoint(body, images, use_reentrant=True)


ODD_MODELS: dict[str, tuple[Callable[[nn.Sequential], None], dict[str, Any]]] = {
    "in-place": (_in_place, {}),
    "reused ReLU": (_reused_relu, {}),
    "compiled": (_compiled, {}),
    "spectral norm": (_spectral_norm, {}),
    "channels last": (_channels_last, {}),
    "checkpointed": (_checkpointed, {}),
    "deterministic": (lambda net: None, {"deterministic": True}),
    "bf16-true": (lambda net: None, {"precision": "bf16-true"}),
    "bf16-mixed": (lambda net: None, {"precision": "bf16-mixed"}),
    "double": (lambda net: None, {"precision": "64-true"}),
}


@pytest.mark.parametrize("case", ODD_MODELS)
def test_odd_models(callback: type[VizCallback], case: str, tmp_path: Path) -> None:
    change, options = ODD_MODELS[case]

    class Odd(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            change(self.net)

    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        trainer = fit("pytorch_lightning", tmp_path, callback(on_error="raise"), lambda _: Odd, **options)
    finally:
        torch.use_deterministic_algorithms(deterministic)
    assert [record.error for record in contents(trainer).records] == [None] * 3
    assert len(set(pictures(trainer).values())) == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_known_filters_give_known_pixels(channels: int, tmp_path: Path) -> None:
    ramp = torch.arange(5 * 5, dtype=torch.float32).reshape(5, 5)

    class Known(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.net[0] = nn.Conv2d(channels, 8, 5, stride=2, padding=2)
            with torch.no_grad():
                self.net[0].weight[:] = ramp
                self.net[0].weight[1] = -ramp

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images.mean(1, keepdim=True).expand(-1, channels, -1, -1))

    trainer = fit("pytorch_lightning", tmp_path, FilterImages(on_error="raise"), lambda _: Known, max_epochs=1)
    record = contents(trainer).records[0]
    pixels = np.array(Image.open(BytesIO(pictures(trainer)[record.identity])))
    rising = np.floor(ramp.numpy() * 255 / 24 + 0.5).astype(np.uint8)
    columns = {1: 4, 3: 4, 4: 4}[channels]
    assert pixels.shape == ((8 if channels == 4 else 2) * 6 - 1, columns * 6 - 1, 3)
    second = (slice(6, 11), slice(0, 5)) if channels == 4 else (slice(0, 5), slice(6, 11))
    for channel in range(3):
        assert np.array_equal(pixels[0:5, 0:5, channel], rising)
        assert np.array_equal(pixels[(*second, channel)], rising[::-1, ::-1])
