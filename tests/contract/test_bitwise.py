"""G1, G2: training is the same with and without a callback, bit for bit; and the test can tell."""

import random
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import (
    Draws,
    DrawsAlways,
    contents,
    fingerprint,
    fit,
    manual_class,
    module_class,
    remembering_class,
)
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from lightning_viz import VizCallback


def _ema(package: str) -> list[Any]:
    callbacks = import_module(f"{package}.callbacks")
    return [callbacks.EMAWeightAveraging(decay=0.9)]


MODES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "workers": {"workers": 2},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "accumulate": {"accumulate_grad_batches": 3},
    "accumulate-bf16-mixed": {"accumulate_grad_batches": 3, "precision": "bf16-mixed"},
    "validate-mid-epoch": {"val_check_interval": 0.5, "accumulate_grad_batches": 4},
    "two-optimizers": {"make_module": manual_class},
    "remembers": {"make_module": remembering_class},
    "ema": {"others": _ema},
}


@cache
def alone(package: str, mode: str, folder: Path) -> dict[str, str]:
    return fingerprint(_fit(package, mode, folder, []))


def _fit(package: str, mode: str, folder: Path, callbacks: list[Any]) -> Any:
    options = dict(MODES[mode])
    others = options.pop("others", lambda _: [])(package)
    return fit(package, folder, [*others, *callbacks], **options)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alone")


def _watched(package: str, mode: str, folder: Path, callbacks: list[type[VizCallback]]) -> Any:
    """Train with two of each, one that draws by epochs and one that draws after every step."""
    by_steps = {"every_n_train_steps": 1}
    watching = [one(on_error="raise", **when) for one in callbacks for when in ({}, by_steps)]
    trainer = _fit(package, mode, folder, watching)
    drawn = {(record.method, record.batches) for record in contents(trainer).records}
    assert drawn >= {(one.method, batches) for one in callbacks for batches in (0, 6, 12)}
    return trainer


def _who_changes_training(
    package: str, mode: str, callbacks: list[type[VizCallback]], once: Path, folder: Path
) -> dict[str, list[str]]:
    """Name the callbacks with which training ends otherwise, and in what; looked for only if all together do it."""
    expected = alone(package, mode, once)

    def changed(some: list[type[VizCallback]], name: str) -> list[str]:
        found = fingerprint(_watched(package, mode, folder / name, some))
        return [part for part in expected if found[part] != expected[part]]

    together = changed(callbacks, "together")
    if not together:
        return {}
    each = {one.__name__: changed([one], one.__name__) for one in callbacks}
    return {name: parts for name, parts in each.items() if parts} or {"only together": together}


def test_training_is_bitwise_the_same_with_a_callback(
    package: str, callback: type[VizCallback], once: Path, tmp_path: Path
) -> None:
    trainer = _watched(package, "fp32", tmp_path, [callback])
    assert fingerprint(trainer) == alone(package, "fp32", once)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "fp32"])
def test_training_is_bitwise_the_same_with_all_callbacks(
    package: str, every: list[type[VizCallback]], mode: str, once: Path, tmp_path: Path
) -> None:
    assert _who_changes_training(package, mode, every, once, tmp_path) == {}


class NoiseAtEpochEnd(Draws):
    """One torch.randn outside the isolation, in one of many callbacks."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(lambda model: None, **arguments)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        torch.randn(3)
        super().on_train_epoch_end(trainer, pl_module)


def test_sabotage_by_one_of_many_is_found_and_named(every: list[type[VizCallback]], once: Path, tmp_path: Path) -> None:
    found = _who_changes_training("pytorch_lightning", "accumulate", [*every, NoiseAtEpochEnd], once, tmp_path)
    assert list(found) == ["NoiseAtEpochEnd"]
    assert {"weights", "torch stream"} <= set(found["NoiseAtEpochEnd"])


def _forward_backward(model: nn.Module) -> None:
    images = torch.randn(2, 3, 12, 20, requires_grad=True)
    cross_entropy(model(images), torch.tensor([0, 1])).backward()


def _eval_train(model: nn.Module) -> None:
    model.eval()
    model.train()


def _forward_in_train_mode(model: nn.Module) -> None:
    model.train()
    with torch.no_grad():
        model(torch.zeros(2, 3, 12, 20))


def _leave_a_hook(model: nn.Module) -> None:
    model.net[0].register_forward_hook(lambda module, inputs, output: output * 1.01)


def _deterministic(model: nn.Module) -> None:
    torch.use_deterministic_algorithms(mode=True)
    model.net[4].running_mean.add_(1.0)


HABITS: dict[str, Callable[[nn.Module], object]] = {
    "noise": lambda model: torch.randn(3),
    "manual_seed": lambda model: torch.manual_seed(0),
    "numpy noise": lambda model: np.random.choice(10),
    "python noise": lambda model: random.random(),
    "eval and train": _eval_train,
    "eval not undone": lambda model: model.eval(),
    "forward in train mode": _forward_in_train_mode,
    "freeze and unfreeze": lambda model: (model.freeze(), model.unfreeze()),
    "backward": lambda model: model(torch.zeros(1, 3, 12, 20)).sum().backward(),
    "zero_grad": lambda model: model.zero_grad(),
    "a loader of its own": lambda model: next(iter(DataLoader([1, 2, 3]))),
    "the trainer's val loader": lambda model: next(iter(model.trainer.val_dataloaders)),
    "an augmented item": lambda model: model.trainer.train_dataloader.dataset[0],
    "a hook left behind": _leave_a_hook,
    "a buffer and a flag": _deterministic,
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_naive_habit_is_harmless_inside_the_isolation(habit: str, once: Path, tmp_path: Path) -> None:
    trainer = _fit("pytorch_lightning", "accumulate", tmp_path, [DrawsAlways(HABITS[habit], on_error="raise")])
    assert fingerprint(trainer) == alone("pytorch_lightning", "accumulate", once)


@pytest.mark.parametrize("habit", HABITS)
def test_sabotage_a_naive_habit_outside_the_isolation_is_found(
    habit: str, once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_viz.trainer.hooks.isolated", nullcontext)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        trainer = _fit("pytorch_lightning", "accumulate", tmp_path, [DrawsAlways(HABITS[habit], on_error="raise")])
    finally:
        torch.use_deterministic_algorithms(deterministic)
    assert fingerprint(trainer) != alone("pytorch_lightning", "accumulate", once)


def test_training_is_bitwise_the_same_when_drawing_fails(package: str, once: Path, tmp_path: Path) -> None:
    def fail_midway(model: nn.Module) -> None:
        _forward_in_train_mode(model)
        _forward_backward(model)
        raise RuntimeError("half-way")

    trainer = _fit(package, "accumulate", tmp_path, [DrawsAlways(fail_midway)])
    assert any(record.error for record in contents(trainer).records)
    assert fingerprint(trainer) == alone(package, "accumulate", once)


def test_compiled_modules_run_eagerly_inside_and_stay_compiled(every: list[type[VizCallback]], tmp_path: Path) -> None:
    def compiled_class(package: str) -> type:
        class Compiled(module_class(package)):
            def __init__(self) -> None:
                super().__init__()
                self.net.compile(backend="eager")

        return Compiled

    seen: list[int] = []

    def watch(model: nn.Module) -> None:
        handle = model.net[0].register_forward_hook(lambda *_: seen.append(1))
        model(torch.zeros(1, 3, 12, 20))
        handle.remove()

    watching = [Draws(watch, on_error="raise"), *(callback(on_error="raise") for callback in every)]
    bare = fit("pytorch_lightning", tmp_path, [], compiled_class)
    watched = fit("pytorch_lightning", tmp_path, watching, compiled_class)
    assert len(seen) == 3
    assert fingerprint(watched) == fingerprint(bare)
