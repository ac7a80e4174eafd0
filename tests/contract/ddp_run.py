"""Train with some callbacks in one or two processes, one case after the other; test_ddp.py kills it when it hangs."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from contract.harness import Draws, all_callbacks, make_trainer, module_class
from helpers.data import CleanImages, seed
from pytorch_lightning import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader

from lightning_viz import Probe, VizCallback


class SaveWeights(Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"rank-{trainer.global_rank}.pt")


def fail(model: nn.Module) -> None:
    raise ArithmeticError("rank 0 only")


def given(callback: type[VizCallback]) -> VizCallback:
    """One that was given its images, beside one that captures the first batch (of which rank 0 sees its share)."""
    named = type(callback.__name__, (callback,), {"method": f"{callback.method}_given"})
    return named(probe=Probe((CleanImages().images[:3], torch.tensor([0, 1, 2]))), on_error="raise")


CASES = {
    "alone": list,
    "watched": lambda: [
        *(callback(on_error="raise") for callback in all_callbacks()),
        *map(given, all_callbacks()),
    ],
    "failing": lambda: [*(callback(on_error="raise") for callback in all_callbacks()), Draws(fail)],
}


def main(folder: Path, case: str, processes: int) -> None:
    folder.mkdir(parents=True)
    options: dict[str, Any] = {"devices": processes, "logger": TensorBoardLogger(folder, name="run", version="")}
    if processes > 1:
        options["strategy"] = DDPStrategy(
            process_group_backend="gloo", start_method="fork", timeout=timedelta(seconds=30)
        )
    seed(0)
    trainer = make_trainer("pytorch_lightning", folder, [*CASES[case](), SaveWeights(folder)], **options)
    loader = DataLoader(CleanImages(), batch_size=4)
    trainer.fit(module_class("pytorch_lightning")(), loader, loader)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[2:]:  # one process last: after its backward pass this one can't be forked any more
        sys.stderr.write(f"{name}\n")
        main(Path(sys.argv[1]) / name, *(kind(part) for kind, part in zip((str, int), name.split("-"), strict=True)))
