"""G7, G14, G16: the same pictures again, of odd models too, and with the right pixels."""

import re
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import (
    all_callbacks,
    check_drawn,
    contents,
    fingerprint,
    fit,
    layer_for,
    module_class,
    pictures,
)
from helpers.networks import Calls
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lightning_viz import FilterImages, VizCallback


def test_two_runs_give_the_same_pictures(package: str, every: list[type[VizCallback]], tmp_path: Path) -> None:
    drawn = []
    for name in ("first", "second"):
        trainer = fit(package, tmp_path / name, [callback(on_error="raise") for callback in every])
        check_drawn(contents(trainer).records, [0, 6, 12], every)
        drawn.append(pictures(trainer))
    assert {identity for identity in drawn[0] if drawn[0][identity] != drawn[1][identity]} == set()
    # Training shows in each of them.
    assert len(set(drawn[0].values())) == len(drawn[0])


class Checkpointed(nn.Module):
    """Forgets what it computed, and computes it again on the way back."""

    def __init__(self, body: nn.Module, use_reentrant: bool) -> None:
        super().__init__()
        self.body, self.use_reentrant = body, use_reentrant

    def forward(self, images: Tensor) -> Tensor:
        return checkpoint(self.body, images, use_reentrant=self.use_reentrant)


def _change(**parts: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Sequential], None]:
    def change(net: nn.Sequential) -> None:
        for name, replace in parts.items():
            net[int(name[1:])] = replace(net[int(name[1:])])

    return change


def _in_place(net: nn.Sequential) -> None:
    net[5].inplace = True


def _compiled(net: nn.Sequential) -> None:
    net.compile(backend="eager")


def _channels_last(net: nn.Sequential) -> None:
    net.to(memory_format=torch.channels_last)


def _rectifies(function: Callable[[Tensor], Tensor]) -> Callable[[nn.Sequential], None]:
    return _change(_2=lambda _: Calls(function), _5=lambda _: Calls(function))


def _nothing(net: nn.Sequential) -> None:
    pass


SAME_NETWORK: dict[str, tuple[Callable[[nn.Sequential], None], dict[str, Any]]] = {
    "in-place": (_in_place, {}),
    "F.relu": (_rectifies(functional.relu), {}),
    "F.relu in place": (_rectifies(lambda x: functional.relu(x, inplace=True)), {}),
    "F.relu_": (_rectifies(functional.relu_), {}),
    "relu_ of the tensor": (_rectifies(lambda x: x.relu_()), {}),
    "clamp_": (_rectifies(lambda x: x.clamp_(min=0)), {}),
    "reused ReLU": (lambda net: net.__setitem__(5, net[2]), {}),
    "compiled": (_compiled, {}),
    "checkpointed": (_change(_5=lambda relu: Checkpointed(relu, use_reentrant=False)), {}),
    "deterministic": (_nothing, {"deterministic": True}),
    "detect anomaly": (_nothing, {"detect_anomaly": True}),
}

OTHER_NETWORK: dict[str, tuple[Callable[[nn.Sequential], None], dict[str, Any]]] = {
    "spectral norm": (_change(_0=torch.nn.utils.parametrizations.spectral_norm), {}),
    "channels last": (_channels_last, {}),
    "channels last, in place": (lambda net: (_channels_last(net), _in_place(net)), {}),
    "bf16-true": (_nothing, {"precision": "bf16-true"}),
    "bf16-mixed": (_nothing, {"precision": "bf16-mixed"}),
    "double": (_nothing, {"precision": "64-true"}),
    "strided pooling with overlaps": (_change(_2=lambda _: nn.MaxPool2d(3, 2, 1)), {}),
    "GELU": (_change(_2=lambda _: nn.GELU(), _5=lambda _: nn.LeakyReLU(0.1, inplace=True)), {}),
}


def _fit_changed(
    folder: Path, callbacks: list[Any], change: Callable[[nn.Sequential], None], options: dict[str, Any]
) -> Any:
    class Odd(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            change(self.net)

    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        return fit("pytorch_lightning", folder, callbacks, lambda _: Odd, **options)
    finally:
        torch.use_deterministic_algorithms(deterministic)


@cache
def _plain_pictures(folder: Path) -> dict[tuple[str, str, int], bytes]:
    return pictures(_fit_changed(folder, [callback(on_error="raise") for callback in all_callbacks()], _nothing, {}))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plain")


@pytest.mark.parametrize("case", SAME_NETWORK)
def test_the_same_network_written_otherwise_gives_the_same_pictures(
    every: list[type[VizCallback]], case: str, once: Path, tmp_path: Path
) -> None:
    trainer = _fit_changed(tmp_path / "watched", [callback() for callback in every], *SAME_NETWORK[case])
    check_drawn(contents(trainer).records, [0, 6, 12], every)
    drawn, expected = pictures(trainer), _plain_pictures(once)
    assert drawn.keys() == expected.keys()
    assert {identity for identity in expected if drawn[identity] != expected[identity]} == set()
    assert fingerprint(trainer) == fingerprint(_fit_changed(tmp_path / "alone", [], *SAME_NETWORK[case]))


@pytest.mark.parametrize("case", OTHER_NETWORK)
def test_odd_models(every: list[type[VizCallback]], case: str, tmp_path: Path) -> None:
    trainer = _fit_changed(tmp_path / "watched", [callback() for callback in every], *OTHER_NETWORK[case])
    check_drawn(contents(trainer).records, [0, 6, 12], every)
    drawn = pictures(trainer)
    assert len(set(drawn.values())) == len(drawn)
    assert fingerprint(trainer) == fingerprint(_fit_changed(tmp_path / "alone", [], *OTHER_NETWORK[case]))


def test_a_part_that_was_compiled_gives_the_same_pictures(
    every: list[type[VizCallback]], once: Path, tmp_path: Path
) -> None:
    class Compiled(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.compile(self.net, backend="eager")

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.net._orig_mod[4].eval()

    trainer = fit("pytorch_lightning", tmp_path, [callback() for callback in every], lambda _: Compiled)
    check_drawn(contents(trainer).records, [0, 6, 12], every)
    drawn, expected = pictures(trainer), _plain_pictures(once)
    assert {identity for identity in expected if drawn.get(identity) != expected[identity]} == set()


def test_reentrant_checkpoints_are_drawn_or_one_clear_message(every: list[type[VizCallback]], tmp_path: Path) -> None:
    change = _change(_7=lambda conv: Checkpointed(conv, use_reentrant=True))
    trainer = _fit_changed(
        tmp_path / "watched", [callback(layers=layer_for(callback, "net.3")) for callback in every], change, {}
    )
    records = contents(trainer).records
    assert {(record.method, record.batches) for record in records} == {
        (callback.method, batches) for callback in every for batches in (0, 6, 12)
    }
    unclear = {
        (record.method, record.error)
        for record in records
        if record.error and not re.match(r"\w+: \w+: .*use_reentrant=False", record.error)
    }
    assert unclear == set()
    assert fingerprint(trainer) == fingerprint(_fit_changed(tmp_path / "alone", [], change, {}))


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
