"""What the tab costs TensorBoard: importing its entry point, and answering the page while two runs grow.

    python benchmarks/entry_point.py

Process time of fresh interpreters, median of 15, beyond what TensorBoard has imported before it looks for plugins;
then the routes in this process, for 2 runs x 200 epochs, median of 50.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace

BOUND_MS = 50
EPOCHS = 200
IMPORT = """
import time
{before}
start = time.process_time()
import lightning_viz.plugin.loader
print(1000 * (time.process_time() - start))
"""


def import_ms(before: str) -> float:
    """Median process time of the import in a fresh interpreter, after other imports."""
    command = [sys.executable, "-c", IMPORT.format(before=before)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(15)]
    return median(float(run.stdout) for run in runs)


def write_runs(folder: Path) -> None:
    """Write two runs with pictures and values of a first layer."""
    import numpy as np

    from lightning_viz.store import Record, Store, store_folder
    from lightning_viz.trainer.drawing import Drawing

    drawing = Drawing("conv1", pictures=[np.zeros((95, 95, 3), np.uint8)], values={"weight": np.zeros((64, 3, 11, 11))})
    blobs = list(drawing.blobs())
    for run in ("a", "b"):
        store = Store(store_folder(str(folder / run)))
        store.write_run({"model": "Net", "layers": [], "hyper_parameters": {}})
        for epoch in range(EPOCHS):
            store.write(Record("filters", "conv1", epoch, float(epoch), epoch, time.time()), blobs)


def median_ms(action: Callable[[], object], times: int = 50) -> float:
    """Median wall time of something done again and again."""
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        durations.append(1000 * (time.perf_counter() - start))
    return median(durations)


def route_ms(folder: Path) -> dict[str, float]:
    """Time the routes on a plugin that has read nothing yet."""
    from tensorboard.plugins.base_plugin import TBContext
    from werkzeug.test import Client

    from lightning_viz.plugin.backend import LightningVizPlugin

    runs = [SimpleNamespace(run_name=name) for name in ("a", "b")]
    provider = SimpleNamespace(list_runs=lambda ctx, experiment_id: runs)
    apps = LightningVizPlugin(TBContext(data_provider=provider, logdir=str(folder))).get_plugin_apps()

    def ask(route: str, query: str = "") -> None:
        response = Client(apps[route]).get("/", query_string=query)
        assert response.status_code == 200, response.text

    return {
        "runs, the first time": median_ms(lambda: ask("/runs"), times=1),
        "runs, nothing new": median_ms(lambda: ask("/runs")),
        "all records of a run": median_ms(lambda: ask("/records", "run=a")),
        "records, nothing new": median_ms(lambda: ask("/records", f"run=a&after={EPOCHS}")),
        "one picture": median_ms(lambda: ask("/blob", "run=a&seq=100&item=0")),
        "values, 93 kB": median_ms(lambda: ask("/blob", "run=a&seq=100&item=1")),
    }


def main() -> None:
    """Measure and print."""
    print(f"import the entry point, alone            {import_ms(''):6.1f} ms of process time (bound {BOUND_MS})")
    print(f"import the entry point, in TensorBoard   {import_ms('import tensorboard.main'):6.1f} ms of process time")
    with TemporaryDirectory() as folder:
        write_runs(Path(folder))
        for state in ("being written: one file per record", "ended: one index"):
            print(f"2 runs x {EPOCHS} epochs, {state}")
            for name, duration in route_ms(Path(folder)).items():
                print(f"  {name:38} {duration:6.1f} ms")
            end_runs(Path(folder))


def end_runs(folder: Path) -> None:
    """Gather the records of both runs, as the end of a fit does."""
    from lightning_viz.store import Store, store_folder

    for run in ("a", "b"):
        Store(store_folder(str(folder / run))).write_index()


if __name__ == "__main__":
    main()
