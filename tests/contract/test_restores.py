"""G3, G4, G13: whatever goes wrong while drawing, the model comes back as it was; and drawing has manners."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from inspect import signature
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import DrawsAlways, contents, fit, loaders, make_trainer, module_class, with_code_of_their_own
from helpers.checks import snapshot
from helpers.data import CleanImages
from torch import nn
from torch.utils.data import DataLoader, Subset

import lightning_viz
from lightning_viz import Context, Drawing, Probe, VizCallback
from lightning_viz.functional.backward.rules import rectified_by

PACKAGE_FOLDER = str(Path(lightning_viz.__file__).parent)


Calls = tuple[str, ...]


@contextmanager
def fault_at(number: int | None = None) -> Iterator[list[Calls]]:
    """Raise when our code calls its ``number``-th function inside a drawing; gives the chain of calls to each."""
    reached: list[Calls] = []

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        if _is_ours(frame) and (reached or frame.f_code.co_name == "_draw_all"):
            reached.append(tuple(_ours(frame)))
            if len(reached) - 1 == number:
                sys.settrace(None)
                raise ConnectionError(f"fault in {reached[-1][0]}")

    gc.disable()
    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(None)
        gc.enable()


ISOLATION = tuple(f"/introspection/{name}.py" for name in ("isolation", "interrupts", "state", "restoring"))


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(PACKAGE_FOLDER) and not name.endswith(ISOLATION)


def _ours(frame: FrameType | None) -> Iterator[str]:
    """Name our functions that wait for this one, the innermost first, down to ``_draw_all``."""
    while frame is not None:
        if _is_ours(frame):
            yield f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
            if frame.f_code.co_name == "_draw_all":
                return
        frame = frame.f_back


def _first_and_last(reached: list[Calls]) -> list[int]:
    """Choose the first and the last time that a function calls another; in between it is the next row or layer."""
    places: dict[Calls, list[int]] = {}
    for number, chain in enumerate(reached):
        places.setdefault(chain[:2], []).append(number)
    return sorted({number for found in places.values() for number in (found[0], found[-1])} - {0})


@pytest.mark.parametrize("kind", with_code_of_their_own(), ids=lambda kind: kind.__name__)
def test_the_model_is_restored_after_a_fault_at_any_point(kind: type[VizCallback], tmp_path: Path) -> None:
    points: set[str] = set()

    class Faults(kind):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_fit_start(trainer, pl_module)
            self.fresh = dict(vars(self))

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx != 1:
                return
            reached = self._draw_as_the_first_time(trainer, pl_module, None)
            for number in _first_and_last(reached):
                before = snapshot(pl_module)
                chain = self._draw_as_the_first_time(trainer, pl_module, number)[-1]
                assert snapshot(pl_module) == before, chain
                assert chain == reached[number]
                points.add(chain[0])

        def _draw_as_the_first_time(self, trainer: Any, pl_module: Any, number: int | None) -> list[Calls]:
            """What is found out in the first drawing and kept is a point of failure too."""
            vars(self).update(self.fresh, _before={})
            gc.collect()  # generators that a fault left half-way are closed now, not while calls are counted
            with fault_at(number) as reached:
                self._draw(trainer, pl_module, epoch_ended=False)
            self._begun = True
            return reached

    probe = Probe((torch.rand(1, 3, 12, 20), torch.tensor([1])))
    few = {"data": Subset(CleanImages(), [4]), "layers": "net.3", "units": [1], "k": 1}  # so that it is drawn quickly
    known = signature(kind).parameters
    watching = Faults(probe=probe, **{name: few[name] for name in few if "data" in known and name in known})
    gc.freeze()  # so that collecting is quick
    try:
        trainer = fit("pytorch_lightning", tmp_path, watching, max_epochs=1, accumulate_grad_batches=3)
    finally:
        gc.unfreeze()
    assert any(point.endswith(":draw") for point in points)
    assert {"writer.py:write", "loggers.py:log_picture", "probe.py:on"} <= points
    assert [record.error for record in contents(trainer).records if record.error]


class Forgets(VizCallback):
    """Takes back what it did, but not if it is interrupted."""

    def draw(self, context: Context) -> Iterator[Drawing]:
        self.mode = rectified_by("guided", context.model)  # kept, since a generator that is let go closes itself
        self.mode.__enter__()
        context.probe.unnormalised()
        self.mode.__exit__(None, None, None)
        yield Drawing("net.0", pictures=[np.zeros((2, 2, 3), np.uint8)])


def test_sabotage_what_stays_behind_after_one_fault_is_found(tmp_path: Path) -> None:
    depth = torch._C._len_torch_function_stack()
    try:
        with pytest.raises(AssertionError, match="probe.py:unnormalised"):
            test_the_model_is_restored_after_a_fault_at_any_point(Forgets, tmp_path)
    finally:
        while torch._C._len_torch_function_stack() > depth:
            torch._C._pop_torch_function_stack()


def test_the_drawing_is_the_same_in_every_grad_mode(callback: type[VizCallback], tmp_path: Path) -> None:
    drawn: dict[str, bytes] = {}
    modes = {
        "here": nullcontext,
        "no_grad": torch.no_grad,
        "inference": torch.inference_mode,
        "grad": torch.enable_grad,
    }

    class Compares(callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            for name, mode in modes.items():
                probe = self._session(trainer, pl_module).probes.of(self.probe)
                with mode():
                    drawings = self.drawings(pl_module, probe, trainer.val_dataloaders.dataset)
                    drawn[name] = b"".join(blob for drawing in drawings for _, blob in drawing.blobs())

    fit("pytorch_lightning", tmp_path, Compares(on_error="raise"), max_epochs=1)
    assert drawn["here"]
    assert {name for name in modes if drawn[name] != drawn["here"]} == set()


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_nothing_is_drawn_outside_fit(package: str, every: list[type[VizCallback]], stage: str, tmp_path: Path) -> None:
    model = module_class(package)()
    model.test_step = model.validation_step
    model.predict_step = lambda batch, batch_idx: model(batch[0])
    trainer = make_trainer(package, tmp_path, [callback(on_error="raise") for callback in every])
    modes, weights = [module.training for module in model.modules()], [p.clone() for p in model.parameters()]
    getattr(trainer, stage)(model, loaders()["val_dataloaders"])
    assert [module.training for module in model.modules()] == modes
    assert all(map(torch.equal, weights, model.parameters()))
    assert not contents(trainer).records


def _spies(monkeypatch: pytest.MonkeyPatch, model: nn.Module, trainer_loaders: list[Any]) -> list[str]:
    """Write down what a callback does to a user's things, whoever calls it inside a drawing."""
    heard: list[str] = []

    def spy(owner: type, name: str, concerns: Callable[[Any], bool]) -> None:
        original = getattr(owner, name)

        def listening(self: Any, *args: Any, **kwargs: Any) -> Any:
            frames, frame = [], sys._getframe(1)
            while frame is not None:
                frames.append(frame.f_code.co_name)
                frame = frame.f_back
            if "_draw_all" in frames and concerns(self):
                heard.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, listening)

    spy(DataLoader, "__iter__", lambda loader: any(loader is known for known in trainer_loaders))
    spy(torch.Tensor, "backward", lambda tensor: True)
    for name in ("train", "eval", "zero_grad", "requires_grad_"):
        spy(nn.Module, name, lambda module: any(module is part for part in model.modules()))
    return heard


def _heard(callback: VizCallback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    model, data = module_class("pytorch_lightning")(), loaders()
    trainer = make_trainer("pytorch_lightning", tmp_path, callback, max_epochs=1)
    with monkeypatch.context() as patches:
        heard = _spies(patches, model, list(data.values()))
        trainer.fit(model, **data)
    return heard


def test_a_callback_has_manners(callback: type[VizCallback], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _heard(callback(on_error="raise"), tmp_path, monkeypatch) == []


@pytest.mark.parametrize(
    ("name", "habit"),
    {
        "__iter__": lambda model: next(iter(model.trainer.train_dataloader)),
        "backward": lambda model: model(torch.zeros(1, 3, 12, 20)).sum().backward(),
        "train": lambda model: model.train(),
        "eval": lambda model: model.eval(),
        "zero_grad": lambda model: model.zero_grad(),
        "requires_grad_": lambda model: model.net.requires_grad_(False),
    }.items(),
)
def test_sabotage_bad_manners_are_heard(
    name: str, habit: Callable[[Any], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in _heard(DrawsAlways(habit), tmp_path, monkeypatch)
