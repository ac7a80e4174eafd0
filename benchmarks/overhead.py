"""Main-thread time inside the hooks of FilterImages, as a share of the same fit: the demo's stride-4 network.

Everything that the callback does is counted: isolation, drawing, encoding, store, mirror to TensorBoard.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_viz import FilterImages

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from kernel_and_stride import SmallAlexNet, load_data


class Timed(FilterImages):
    """Adds up the time of every hook."""

    spent = 0.0


def timed(name: str) -> Callable[..., Any]:
    """Wrap a hook of FilterImages."""

    def hook(self: Timed, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return getattr(FilterImages, name)(self, *args, **kwargs)
        finally:
            self.spent += time.perf_counter() - start

    return hook


for hook_name in [name for name in vars(FilterImages.__mro__[1]) if name.startswith("on_")]:
    setattr(Timed, hook_name, timed(hook_name))


def main() -> None:
    """Train, and print the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--fits", type=int, default=3)
    arguments = parser.parse_args()
    train, val, classes = load_data(None)
    for number in range(arguments.fits):
        with tempfile.TemporaryDirectory() as folder:
            callback = Timed()
            trainer = pl.Trainer(
                max_epochs=arguments.epochs,
                logger=TensorBoardLogger(folder),
                callbacks=callback,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            start = time.perf_counter()
            trainer.fit(
                SmallAlexNet(11, 4, classes),
                DataLoader(train, batch_size=32, shuffle=True),
                DataLoader(val, batch_size=100),
            )
            wall = time.perf_counter() - start
            each = callback.spent / (arguments.epochs + 1)
            print(
                f"fit {number + 1}: {wall / arguments.epochs:.2f} s an epoch, {each * 1000:.1f} ms a drawing, "
                f"{100 * callback.spent / wall:.2f} % of the fit"
            )


if __name__ == "__main__":
    main()
