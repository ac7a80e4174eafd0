"""Train with some callbacks in one or two processes; run by test_ddp.py, which kills it when it hangs."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from contract.harness import CleanImages, Draws, all_callbacks, make_trainer, module_class, seed
from pytorch_lightning import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader


class SaveWeights(Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"rank-{trainer.global_rank}.pt")


def fail(model: nn.Module) -> None:
    raise ArithmeticError("rank 0 only")


CASES = {
    "alone": list,
    "watched": lambda: [callback(on_error="raise") for callback in all_callbacks()],
    "failing": lambda: [Draws(fail)],
}


def main(folder: Path, case: str, processes: int) -> None:
    torch.set_num_threads(1)
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
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
