"""512 filters of 3x7x7: our grid against torchvision.utils.make_grid(normalize=True, scale_each=True).

Interleaved in one process, one thread; medians and their ratio; and the largest difference of a pixel.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torchvision.utils import make_grid

from lightning_viz.render import filter_grid
from lightning_viz.render.grids import grid_columns

ROUNDS = 300


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    filters = torch.randn(512, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    columns = grid_columns(512)
    candidates: dict[str, Callable[[], object]] = {
        "make_grid": lambda: make_grid(filters, nrow=columns, normalize=True, scale_each=True, padding=1),
        "lightning_viz": lambda: filter_grid(filters),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, draw in candidates.items():
            start = time.perf_counter()
            draw()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    theirs = make_grid(filters, nrow=columns, normalize=True, scale_each=True, padding=1, pad_value=1.0)
    theirs = (theirs.permute(1, 2, 0)[1:-1, 1:-1] * 255).numpy()
    difference = np.abs(theirs - filter_grid(filters).picture).max()
    for name, median in medians.items():
        print(f"{name:14s} {median:7.3f} ms (median of {ROUNDS})")
    print(f"ratio          {medians['make_grid'] / medians['lightning_viz']:7.1f} x")
    print(f"largest difference of a pixel {difference:.2f} of 255")


if __name__ == "__main__":
    main()
