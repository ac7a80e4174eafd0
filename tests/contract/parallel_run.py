"""Train in two processes that share a model in different ways, one after the other; test_parallel.py kills it when it
hangs."""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from contract.harness import all_callbacks, make_trainer, module_class
from helpers.data import CleanImages, seed
from pytorch_lightning import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.utils.data import DataLoader

from lightning_viz import TopPatches, VizCallback

WAIT = timedelta(seconds=30)
"""How long a process waits for another."""


class Plain(module_class("pytorch_lightning")):
    """Nothing of it is frozen: what is sharded together must be alike."""

    def __init__(self) -> None:
        super().__init__()
        self.net[3].requires_grad_(True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.05, foreach=False)


class RootIsSharded(Plain):
    def configure_model(self) -> None:
        fully_shard(self, mesh=self.device_mesh["data_parallel"])


class ShardedAgain(Plain):
    """At every moment when callbacks draw, its parameters are DTensors."""

    def configure_model(self) -> None:
        fully_shard(self, mesh=self.device_mesh["data_parallel"], reshard_after_forward=True)


class PartStaysWhole(Plain):
    """What is sharded lies inside; it is whole from the first forward to the next step."""

    def configure_model(self) -> None:
        fully_shard(self.net, mesh=self.device_mesh["data_parallel"], reshard_after_forward=False)


class TensorParallel(Plain):
    def configure_model(self) -> None:
        plan = {"10": ColwiseParallel(output_layouts=Replicate())}
        parallelize_module(self.net, self.device_mesh["tensor_parallel"], plan)


class Compiled(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.net.compile(backend="eager")


class Keeps(Callback):
    """Writes down what each process ended with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        whole = {name: _whole(tensor) for name, tensor in pl_module.state_dict().items()}
        torch.save(whole, self.folder / f"rank-{trainer.global_rank}.pt")


def _whole(tensor: Any) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


class Together(TopPatches):
    """All processes take part in its pass over data."""

    method = "together"


def watching(**arguments: Any) -> list[VizCallback]:
    return [*(callback(**arguments) for callback in all_callbacks()), Together(sharded=True, **arguments)]


WATCHING: dict[str, Callable[[], list[VizCallback]]] = {
    "alone": list,
    "watched": watching,
    "raising": lambda: watching(on_error="raise"),
}


def _strategy(data: int, tensor: int) -> Any:
    return ModelParallelStrategy(data, tensor, process_group_backend="gloo", timeout=WAIT)


WAYS: dict[str, tuple[type, Callable[[], Any]]] = {
    "root": (RootIsSharded, lambda: _strategy(2, 1)),
    "again": (ShardedAgain, lambda: _strategy(2, 1)),
    "part": (PartStaysWhole, lambda: _strategy(2, 1)),
    "tensor": (TensorParallel, lambda: _strategy(1, 2)),
    "static": (Plain, lambda: DDPStrategy(process_group_backend="gloo", timeout=WAIT, static_graph=True)),
    "compiled": (Compiled, lambda: DDPStrategy(process_group_backend="gloo", timeout=WAIT)),
}


def main(folder: Path, way: str, watched: str, rank: int) -> None:
    make_module, make_strategy = WAYS[way]
    folder.mkdir(parents=True, exist_ok=True)
    seed(0)
    trainer = make_trainer(
        "pytorch_lightning",
        folder,
        [*WATCHING[watched](), Keeps(folder)],
        max_epochs=1,
        devices=2,
        strategy=make_strategy(),
        logger=TensorBoardLogger(folder, name="run", version=""),
    )
    loader = DataLoader(CleanImages(), batch_size=4)
    try:
        trainer.fit(make_module(), loader, loader)
    except RuntimeError as error:
        (folder / f"ended-{rank}").write_text(str(error))


def fork(folder: Path, names: list[str]) -> None:
    """Copies have loaded torch."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    children = []
    for rank in (0, 1):
        children.append(os.fork())
        if children[-1] == 0:
            os.environ |= {**meeting, "WORLD_SIZE": "2", "NODE_RANK": "0", "LOCAL_RANK": str(rank)}
            try:
                for name in names:
                    main(folder / name, *name.split("-"), rank)
                os._exit(0)
            except BaseException:  # noqa: BLE001 (a copy must not go on as if it were the parent)
                traceback.print_exc()
                os._exit(1)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    fork(Path(sys.argv[1]), sys.argv[2:])
