"""Real Trainers of both packages, and what they leave behind."""

import hashlib
import importlib
import inspect
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchmetrics
from helpers.checks import bytes_of
from helpers.data import CleanImages, NoisyImages, seed
from helpers.networks import AttentionPool, network
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import lightning_viz
from lightning_viz import Context, Drawing, VizCallback
from lightning_viz.store import Contents, Record, read_store

PACKAGES = ("pytorch_lightning", "lightning.pytorch")


def all_callbacks() -> list[type[VizCallback]]:
    """Every public callback: a new one is tested the day it is added."""
    public = [getattr(lightning_viz, name) for name in lightning_viz.__all__]
    found = [thing for thing in public if isinstance(thing, type) and issubclass(thing, VizCallback)]
    return [callback for callback in found if callback is not VizCallback]


def with_code_of_their_own() -> list[type[VizCallback]]:
    """Without those that only set attributes of another."""
    return [
        callback
        for callback in all_callbacks()
        if callback.__base__ not in all_callbacks() or any(map(callable, vars(callback).values()))
    ]


def give_data(callback: type[VizCallback], **arguments: Any) -> VizCallback:
    """Make one that needs no validation data: one that looks at data is given some."""
    if "data" in inspect.signature(callback).parameters:
        arguments["data"] = CleanImages()
    return callback(**arguments)


def layer_for(callback: type[VizCallback], layer: str) -> str:
    """The layer that a callback is given: of the network's, one alone has attention."""
    return "net.8" if callback is lightning_viz.AttentionMaps else layer


def loaders(workers: int = 0) -> dict[str, DataLoader[Any]]:
    keep = {"num_workers": workers, "persistent_workers": workers > 0}
    return {
        "train_dataloaders": DataLoader(NoisyImages(), batch_size=4, shuffle=True, **keep),
        "val_dataloaders": DataLoader(CleanImages(), batch_size=4, **keep),
    }


@cache
def module_class(package: str) -> type:
    lightning = importlib.import_module(package)

    class Net(lightning.LightningModule):
        def __init__(self, learning_rate: float = 0.05) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = network()
            self.net[8] = AttentionPool(4)  # one network has something for every callback

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.net[4].eval()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            images, labels = batch
            loss = cross_entropy(self(images), labels)
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            images, labels = batch
            self.log("val_loss", cross_entropy(self(images), labels))

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], self.hparams.learning_rate)
            return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)]

    return Net


@cache
def manual_class(package: str) -> type:
    class TwoOptimizers(module_class(package)):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            images, labels = batch
            for optimizer in self.optimizers():
                loss = cross_entropy(self(images), labels)
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            self.log("loss", loss)

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.net[0].parameters(), 0.1), torch.optim.Adam(self.net[10].parameters(), 0.1)]

    return TwoOptimizers


class Bank:
    """A plain object that keeps what it has seen, as a memory bank does."""

    def __init__(self) -> None:
        self.seen, self.noise = 0, torch.Generator().manual_seed(0)

    def strength(self) -> float:
        self.seen += 1
        return 1 + 0.01 * self.seen + 0.01 * float(torch.rand((), generator=self.noise))


@cache
def remembering_class(package: str) -> type:
    """Its forward leaves something behind in Python objects, and what it gives depends on that."""

    class Remembers(module_class(package)):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.penalties, self.bank = {"forward": 0}, [], Bank()
            self.register_module("score", torchmetrics.MeanMetric())

        def forward(self, images: Tensor) -> Tensor:
            self.calls["forward"] += 1
            scores = self.net(images * (self.bank.strength() + 0.01 * self.calls["forward"]))
            self.penalties.append(scores.square().mean())
            self.score.update(scores.detach().mean())
            return scores

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx) + 0.01 * sum(self.penalties)
            self.penalties.clear()
            return loss

        def on_validation_batch_end(self, *_: Any) -> None:
            self.penalties.clear()

        def on_train_epoch_end(self) -> None:
            self.log("score", self.score.compute())

    return Remembers


def make_trainer(package: str, folder: Path, callbacks: Any = None, **options: Any) -> Any:
    lightning = importlib.import_module(package)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    defaults = {"max_epochs": 2, "log_every_n_steps": 1, "accelerator": "cpu", "default_root_dir": str(folder)}
    if isinstance(callbacks, list):
        callbacks = [*callbacks]  # the Trainer adds its own to the list that it gets
    return lightning.Trainer(callbacks=callbacks, **{**quiet, **defaults, **options})


def fit(
    package: str,
    folder: Path,
    callbacks: Any = None,
    make_module: Callable[[str], type] = module_class,
    workers: int = 0,
    ckpt_path: str | None = None,
    **options: Any,
) -> Any:
    """Train for two epochs of 6 batches, seeded, and give the Trainer."""
    seed(0)
    trainer = make_trainer(package, folder, callbacks, **options)
    trainer.fit(make_module(package)(), **loaders(workers), ckpt_path=ckpt_path)
    return trainer


def contents(trainer: Any) -> Contents:
    """What the store of a run holds."""
    return read_store(str(store_of(trainer)))


def store_of(trainer: Any) -> Path:
    return Path(trainer.log_dir or trainer.default_root_dir) / "plugins/lightning_viz"


def pictures(trainer: Any) -> dict[tuple[str, str, int], bytes]:
    """Identity of a record to the bytes of its pictures, one after the other."""
    return {
        record.identity: b"".join(
            (store_of(trainer) / item.file).read_bytes() for item in record.items if item.kind == "picture"
        )
        for record in contents(trainer).records
    }


def image_tags(record: Record) -> list[str]:
    """Under which tags stock dashboards show a record."""
    tag = f"viz/{record.method}/{record.layer}"
    count = sum(item.kind == "picture" for item in record.items)
    return [tag] if count == 1 else [f"{tag}/{number}" for number in range(count)]


def check_drawn(
    records: list[Record], expected: list[float], callbacks: list[type[VizCallback]], what: str = "batches"
) -> None:
    """Check that each callback drew each of its layers at these moments and no others, without an error."""
    errors = {(record.method, record.error) for record in records if record.error}
    assert not errors, f"{errors}"
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        found.setdefault((record.method, record.layer), []).append(getattr(record, what))
    drew_otherwise = {drawing: moments for drawing, moments in found.items() if moments != expected}
    assert not drew_otherwise, f"expected {expected}: {drew_otherwise}"
    assert {method for method, _ in found} == {callback.method for callback in callbacks}


def fingerprint(trainer: Any) -> dict[str, str]:
    """What training left behind, bit for bit."""
    module = trainer.lightning_module
    parts: dict[str, Any] = {
        "weights": dict(module.named_parameters()),
        "buffers": dict(module.named_buffers()),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "metrics": dict(trainer.callback_metrics),
        "modes": [part.training for part in module.modules()],
        "requires_grad": [parameter.requires_grad for parameter in module.parameters()],
        "torch stream": torch.get_rng_state(),
        "numpy stream": np.random.get_state(),
        "python stream": random.getstate(),
    }
    return {name: hashlib.sha256(b"".join(bytes_of(part))).hexdigest()[:12] for name, part in parts.items()}


class Draws(VizCallback):
    """Does something to the model when it draws, for the tests that try to do harm."""

    def __init__(self, action: Callable[[nn.Module], object], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.action = action

    def draw(self, context: Context) -> Iterator[Drawing]:
        self.action(context.model)
        yield Drawing("net.0", scalars={"drawn": 1.0})


class DrawsAlways(Draws):
    """Draws after every batch, so also in the middle of an accumulation window."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._draw(trainer, pl_module, epoch_ended=False)
