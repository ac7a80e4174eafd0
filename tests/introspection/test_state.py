import argparse
import random
import types
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor, nn

from lightning_viz import isolated
from lightning_viz.introspection import state


class Bank:
    """A plain object with a method that forward calls."""

    def __init__(self) -> None:
        self.calls, self.kept = 0, deque(maxlen=3)

    def keep(self, value: object) -> None:
        self.calls += 1
        self.kept.append(value)


class Slotted:
    __slots__ = ("calls", "kept")

    def __init__(self) -> None:
        self.calls, self.kept = 0, []

    def keep(self, value: object) -> None:
        self.calls += 1
        self.kept.append(value)


class Counting:
    """A plain iterator."""

    def __init__(self) -> None:
        self.place = 0

    def __next__(self) -> int:
        self.place += 1
        return self.place

    def __iter__(self) -> "Counting":
        return self


def closed_over() -> Callable[[], list[int]]:
    numbers, last = [], 0

    def add() -> list[int]:
        nonlocal last
        last += 1
        numbers.append(last)
        return numbers

    return add


READ: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (Tensor, Tensor.tolist),
    ((Bank, Slotted), lambda value: (value.calls, list(value.kept))),
    (torchmetrics.MeanMetric, lambda value: (value.mean_value.tolist(), value.update_count)),
    (nn.Module, lambda value: [one.tolist() for one in value.buffers()]),
    (np.random.Generator, lambda value: value.bit_generator.state),
    (np.random.RandomState, lambda value: value.get_state()),
    (torch.Generator, lambda value: value.get_state().tolist()),
    (random.Random, lambda value: value.getstate()),
    (types.FunctionType, lambda value: [cell.cell_contents for cell in value.__closure__]),
    (Counting, lambda value: value.place),
)


def read(value: object) -> str:
    """What an object holds, as text: NaN equals NaN."""
    return repr(next((look(value) for kind, look in READ if isinstance(value, kind)), value))


NAN = float("nan")
KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "list": (list, lambda held: held.append(1)),
    "list in a dict in a tuple": (lambda: ({"a": [1]},), lambda held: held[0]["a"].append(1)),
    "dict": (lambda: {"calls": 0}, lambda held: held.update(calls=held["calls"] + 1)),
    "ordered dict": (lambda: OrderedDict(b=1, a=2), lambda held: held.move_to_end("b")),
    "default dict": (lambda: defaultdict(int), lambda held: held["calls"]),
    "counter": (Counter, lambda held: held.update("abc")),
    "set": (set, lambda held: held.add(1)),
    "deque": (lambda: deque([1, 2], maxlen=2), lambda held: held.append(3)),
    "bytes": (lambda: bytearray(b"ab"), lambda held: held.extend(b"c")),
    "array": (lambda: array("d", [1.0]), lambda held: held.append(2.0)),
    "numbers of NumPy": (lambda: np.array([1.0, NAN]), lambda held: held.fill(3)),
    "tensor": (lambda: torch.tensor([1.0, NAN]), lambda held: held.zero_()),
    "tensor's data": (lambda: torch.ones(2), lambda held: setattr(held, "data", torch.zeros(3))),
    "tensors in a list": (lambda: [torch.ones(2)], lambda held: held[0].mul_(2)),
    "torch generator": (torch.Generator, lambda held: torch.rand(1, generator=held)),
    "NumPy generator": (lambda: np.random.default_rng(0), lambda held: held.random()),
    "old NumPy generator": (lambda: np.random.RandomState(0), lambda held: held.rand()),
    "Python generator": (lambda: random.Random(0), lambda held: held.random()),
    "plain object": (Bank, lambda held: held.keep(1)),
    "object with slots": (Slotted, lambda held: held.keep(1)),
    "plain iterator": (Counting, next),
    "namespace": (lambda: types.SimpleNamespace(n=0), lambda held: setattr(held, "n", 1)),
    "arguments": (lambda: argparse.Namespace(n=[0]), lambda held: held.n.append(1)),
    "closure": (closed_over, lambda held: held()),
    "hidden network": (lambda: nn.Sequential(nn.BatchNorm1d(2)), lambda held: held(torch.randn(4, 2))),
    "metric": (torchmetrics.MeanMetric, lambda held: held.update(3.0)),
}


class Leaves(nn.Module):
    """Changes what it holds whenever it runs."""

    def __init__(self, held: Any, leave: Callable[[Any], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.held = (held,) if isinstance(held, nn.Module) else held  # a module in a tuple is not registered
        self.leave = leave

    def forward(self, images: Tensor) -> Tensor:
        self.leave(self.held[0] if isinstance(self.held, tuple) and isinstance(self.held[0], nn.Module) else self.held)
        return self.conv(images)


IMAGES = torch.zeros(1, 3, 12, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_what_forward_leaves_behind_is_put_back_with_its_identity(kind: str) -> None:
    make, leave = KINDS[kind]
    held = make()
    model = Leaves(held, leave)
    same, before = model.held, read(held)
    with isolated(model):
        model(IMAGES)
        assert read(held) != before
    assert model.held is same
    assert read(held) == before


@pytest.mark.parametrize("kind", ["bound method", "partial"])
def test_what_a_function_is_bound_to_is_put_back(kind: str) -> None:
    bank, model = Bank(), Leaves(None, lambda held: None)
    model.act = bank.keep if kind == "bound method" else partial(Bank.keep, bank)
    with isolated(model):
        model.act(1)
    assert read(bank) == "(0, [])"


def test_counters_of_the_class_are_put_back() -> None:
    class Counts(nn.Module):
        calls, seen = 0, []

        def forward(self, images: Tensor) -> Tensor:
            type(self).calls += 1
            type(self).new = 1
            self.seen.append(1)
            return images

    model = Counts()
    with isolated(model):
        model(IMAGES)
        assert (Counts.calls, Counts.seen, Counts.new) == (1, [1], 1)
    assert (Counts.calls, Counts.seen) == (0, [])
    assert not hasattr(Counts, "new")


def test_circles_and_shared_objects_are_visited_once() -> None:
    model = Leaves(None, lambda held: None)
    model.ring = [model]
    model.ring.append(model.ring)
    with isolated(model):
        model.ring.append(1)
    assert len(model.ring) == 2


def test_an_iterator_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Streams(Leaves):
        pass

    model = Streams(iter([1, 2, 3]), next)
    for _ in range(2):
        with isolated(model):
            model(IMAGES)
    (said,) = [one.getMessage() for one in caplog.records]
    assert said.startswith('isolated: "held" of Streams is a list_iterator.')


@pytest.mark.parametrize("make", [torch.empty, np.empty], ids=["torch", "NumPy"])
def test_what_is_too_large_to_copy_is_refused_by_name(make: Callable[..., Any]) -> None:
    model = Leaves({"bank": make(state.LARGEST + 1, dtype=(torch if make is torch.empty else np).uint8)}, id)
    message = r"Leaves .*\"held\['bank'\]\" alone has 256 MB.*register_buffer"
    with pytest.raises(RuntimeError, match=message), isolated(model):
        pytest.fail("lent")
    model.held.clear()
    with isolated(model):
        model(IMAGES)


def test_weights_and_memory_maps_are_not_copied(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "LARGEST", 1000)
    model = Leaves((nn.Linear(100, 100),), lambda held: None)
    model.frames = np.memmap(tmp_path / "frames", np.float32, "w+", shape=(10_000,))
    with isolated(model):
        model.frames[0] = 3
    assert model.frames[0] == 3


class Untouchable(torch.utils.data.Dataset):
    """Belongs to the workers of a loader."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 1


def test_it_stops_at_data_sets_loaders_and_optimizers() -> None:
    data = Untouchable()
    model = Leaves([data, torch.utils.data.DataLoader(data)], lambda held: None)
    with isolated(model):
        data.reads += 1
    assert data.reads == 1
