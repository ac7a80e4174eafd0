"""G3, G4, G13: whatever goes wrong while drawing, the model comes back as it was; and drawing has manners."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from contract.harness import (
    DrawsAlways,
    contents,
    fit,
    loaders,
    make_trainer,
    module_class,
    snapshot,
)
from torch import nn
from torch.utils.data import DataLoader

import lightning_viz
from lightning_viz import VizCallback, isolated

PACKAGE_FOLDER = str(Path(lightning_viz.__file__).parent)


@contextmanager
def fault_at(number: int) -> Iterator[list[str]]:
    """Raise when our code calls its ``number``-th function inside a drawing."""
    reached: list[str] = []

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        ours = code.co_filename.startswith(PACKAGE_FOLDER) and not code.co_filename.endswith("isolation.py")
        if ours and (reached or code.co_name == "_draw_all"):
            reached.append(f"{Path(code.co_filename).name}:{code.co_name}")
            if len(reached) == number + 1:
                sys.settrace(None)
                raise ConnectionError(f"fault in {reached[-1]}")

    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(None)


def test_the_model_is_restored_after_a_fault_at_any_point(callback: type[VizCallback], tmp_path: Path) -> None:
    points: list[str] = []

    class Faults(callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx != 1:
                return
            for number in range(1, 10_000):
                before = snapshot(pl_module)
                with fault_at(number) as reached:
                    self._draw(trainer, pl_module, epoch_ended=False)
                assert snapshot(pl_module) == before, reached[-1]
                if len(reached) <= number:
                    return
                points.append(reached[-1])

    trainer = fit("pytorch_lightning", tmp_path, Faults(), max_epochs=1, accumulate_grad_batches=3)
    assert any(point.endswith(":draw") for point in points)
    assert "writer.py:write" in points
    assert "loggers.py:log_picture" in points
    assert [record.error for record in contents(trainer).records if record.error]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_drawing_is_the_same_in_every_grad_mode(callback: type[VizCallback], mode: Any, tmp_path: Path) -> None:
    drawn: dict[str, bytes] = {}

    class Compares(callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            for name, context in (("here", nullcontext()), ("mode", mode())):
                with context, isolated(pl_module):
                    probe = self._session_probe(trainer).on(pl_module)
                    drawn[name] = b"".join(
                        blob for drawing in self.draw(pl_module, probe) for _, blob in drawing.blobs()
                    )

        def _session_probe(self, trainer: Any) -> Any:
            return self._session(trainer, trainer.lightning_module).probes.of(self.probe)

    fit("pytorch_lightning", tmp_path, Compares(on_error="raise"), max_epochs=1)
    assert drawn["here"]
    assert drawn["here"] == drawn["mode"]


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_nothing_is_drawn_outside_fit(package: str, callback: type[VizCallback], stage: str, tmp_path: Path) -> None:
    model = module_class(package)()
    model.test_step = model.validation_step
    model.predict_step = lambda batch, batch_idx: model(batch[0])
    trainer = make_trainer(package, tmp_path, callback(on_error="raise"))
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
