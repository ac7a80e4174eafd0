"""Look at data in two processes at once, one case after the other; test_sharded.py kills it when it hangs."""

import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from contract.harness import make_trainer, module_class
from helpers.data import CleanImages, seed
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_viz import FeatureEvolution, TopPatches, VizCallback
from lightning_viz.introspection.state import LARGEST

Net = module_class("pytorch_lightning")

TIMEOUT = 50
"""Seconds that a process waits for another."""


class Breaks(CleanImages):
    """One image can't be read: with two processes, the even ones are the share of the first."""

    def __init__(self, broken: int) -> None:
        super().__init__()
        self.broken = broken

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == self.broken:
            raise ArithmeticError(f"image {index} is broken")
        return super().__getitem__(index)


class Still(Net):
    """Learns nothing, so that one process has the same weights as two."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0)
        self.net[1].momentum = 0.0


class OneWantsToStop(Net):
    def on_validation_epoch_end(self) -> None:
        self.log("own", 1.0 if self.global_rank == 1 else -float(self.current_epoch))


class BreaksDown(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.global_step == 4:
            raise ArithmeticError("no more training")
        return super().training_step(batch, batch_idx)


class OneCanNotBeLent(Net):
    """In one process it holds more than is copied for a drawing."""

    def on_fit_start(self) -> None:
        if self.global_rank == 1:
            self.bank = torch.empty(LARGEST + 1, dtype=torch.uint8)


class Keeps(Callback):
    """Writes down what each process ended with, and that it began; saves checkpoints in an epoch and behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_start(self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        (self.folder / f"began-{trainer.global_rank}").touch()

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == 2:
            trainer.save_checkpoint(self.folder / "two-batches.ckpt")

    def on_validation_end(self, trainer: Any, pl_module: nn.Module) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.total.processed == 3:
            trainer.save_checkpoint(self.folder / "an-epoch.ckpt")

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"rank-{trainer.global_rank}.pt")


def sharded(
    name: str, folder: Path, kind: type[VizCallback] = TopPatches, *, among: bool = True, **arguments: Any
) -> VizCallback:
    """One with a name of its own, of which each process writes down when it took part."""

    class Named(kind):
        method = name

        def _look(self, trainer: Any, *rest: Any) -> Any:
            with (folder / f"{name}-{trainer.global_rank}.txt").open("a") as notes:
                notes.write(f"{trainer.fit_loop.epoch_loop.batch_progress.total.processed}\n")
            return super()._look(trainer, *rest)

    return Named(sharded=among, **{"on_error": "raise", "k": 3, **arguments})


def tables(folder: Path) -> list[Any]:
    few = {"units": [0, 2]}
    return [
        sharded("every_image", folder, **few),
        sharded("seven_images", folder, max_images=7, **few),
        sharded("more_than_there_are", folder, k=30, **few),
        sharded("evolution_of_one_layer", folder, FeatureEvolution, layers="net.3"),
    ]


def drifting(folder: Path) -> list[Any]:
    """In the middle of an epoch each process has statistics of its own; those of the first are the network's."""
    often = {"every_n_train_steps": 1, "units": [0]}
    return [sharded("shares", folder, **often), sharded("whole", folder, among=False, **often)]


def failing(folder: Path) -> list[Any]:
    return [
        sharded("first", folder, data=Breaks(0), on_error="warn"),
        sharded("second", folder, data=Breaks(1), on_error="warn"),
        sharded("healthy", folder),
    ]


def schedules(folder: Path) -> list[Any]:
    return [
        sharded("steps", folder, every_n_train_steps=2),
        sharded("epochs", folder, epochs=[1]),
        sharded("last", folder, every_n_epochs=5),
        sharded("default", folder),
    ]


CASES: dict[str, tuple[type, Callable[[Path], list[Any]], dict[str, Any]]] = {
    "alone": (Net, lambda folder: [], {}),
    "tables": (Still, tables, {}),
    "drifting": (Net, drifting, {}),
    "one": (Net, lambda folder: [sharded("one", folder, max_images=1, on_error="warn")], {}),
    "failing": (Net, failing, {}),
    "unlendable": (OneCanNotBeLent, lambda folder: [sharded("one", folder, on_error="warn")], {}),
    "raising": (Net, lambda folder: [sharded("second", folder, data=Breaks(1))], {}),
    "schedules": (Net, schedules, {}),
    "resumed": (Net, schedules, {"ckpt": "schedules-2/two-batches.ckpt"}),
    "owing": (Net, schedules, {"ckpt": "schedules-2/an-epoch.ckpt"}),
    "owing_nothing": (Net, schedules, {"ckpt": "schedules-2/an-epoch.ckpt", "store": "schedules-2/run"}),
    "stopping": (
        OneWantsToStop,
        lambda folder: [*schedules(folder), EarlyStopping("own", patience=1)],
        {"max_epochs": 9},
    ),
    "exception": (BreaksDown, schedules, {}),
    "mixed": (
        Net,
        lambda folder: [
            sharded("before", folder),
            sharded("between", folder, among=False),
            sharded("behind", folder),
        ],
        {},
    ),
}


def main(folder: Path, case: str, processes: int) -> None:
    make_module, make_callbacks, extra = CASES[case]
    folder.mkdir(parents=True)
    options: dict[str, Any] = {"devices": processes, "logger": TensorBoardLogger(folder, name="run", version="")}
    if processes > 1:
        options["strategy"] = DDPStrategy(
            process_group_backend="gloo", start_method="fork", timeout=timedelta(seconds=TIMEOUT)
        )
    if "store" in extra:
        shutil.copytree(folder.parent / extra["store"], folder / "run")
    seed(0)
    callbacks = [*make_callbacks(folder), Keeps(folder)]
    trainer = make_trainer("pytorch_lightning", folder, callbacks, max_epochs=extra.get("max_epochs", 2), **options)
    loader = DataLoader(CleanImages(), batch_size=4)
    checkpoint = str(folder.parent / extra["ckpt"]) if "ckpt" in extra else None
    begun = time.monotonic()
    try:
        trainer.fit(make_module(), loader, loader, ckpt_path=checkpoint)
    except Exception as error:  # noqa: BLE001 (what a process raised comes as one of several classes)
        (folder / "ended").write_text(str(error))
    (folder / "seconds").write_text(str(time.monotonic() - begun))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[2:]:  # one process last: after its backward pass this one can't be forked any more
        sys.stderr.write(f"{name}\n")
        case, processes = name.split("-")
        main(Path(sys.argv[1]) / name, case, int(processes))
