"""What many runs cost TensorBoard: the first list, a poll, one run that is looked at, and the memory.

    python benchmarks/many_runs.py [RUNS] [RECORDS]

20 runs of 6,000 records unless told otherwise: finished runs (one index), at most 20 that are being written (a file per
record), and an index that is 1 MB of blank lines, each state in a process of its own. Wall time; memory is the growth
of that process. The bounds are those of 200 runs.
"""

import gc
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from tensorboard.plugins.base_plugin import TBContext
from werkzeug.test import Client

from lightning_viz.plugin.backend import LightningVizPlugin
from lightning_viz.store import Item, Record, store_folder

BOUND_FIRST_MS, BOUND_POLL_MS = 1000, 100
WRITER = "0a1b2c3d"
LAYERS = 6


def record(seq: int) -> Record:
    """A record as an activation map writes it: a picture, two arrays, a caption and what compares it; 1 kB."""
    stem = f"blobs/{seq:06d}-activations-{WRITER}"
    items = (
        Item("picture", "picture 0", f"{stem}-0.png", (1034, 1168, 3), "uint8", "8 images, the 16 most active units"),
        Item("values", "maps", f"{stem}-1.npy", (8, 16, 56, 56), "float32"),
        Item("values", "activity", f"{stem}-2.npy", (8, 64), "float32"),
    )
    epoch, layer = divmod(seq - 1, LAYERS)
    return Record(
        "activations",
        f"layer{layer}.0.conv1",
        batches=100 * epoch,
        epoch=float(epoch),
        step=max(100 * epoch - 1, 0),
        wall_time=1.8e9 + seq,
        seq=seq,
        items=items,
        scalars={"share of zeros": 0.5 + seq / 1e6, "share of dead units": 0.015625},
        meta={"units": list(range(0, 64, 4)), "unit_count": 64, "size": [224, 224], "vmin": -1.0 / seq, "vmax": 2.5},
        probe="0123456789abcdef",
        writer=WRITER,
    )


def write_run(folder: Path, lines: list[str], *, finished: bool) -> None:
    """Write the store of one run."""
    (folder / "records").mkdir(parents=True)
    layers = [{"name": f"layer{number}", "kind": "Conv2d"} for number in range(60)]
    info = {"schema": 2, "model": "Net", "created": 1.8e9, "layers": layers, "hyper_parameters": {"kernel": 11}}
    (folder / "run.json").write_text(json.dumps(info))
    if finished:
        (folder / f"index-1-{WRITER}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return
    for seq, line in enumerate(lines, start=1):
        (folder / f"records/{seq:06d}-activations-{WRITER}.json").write_text(line)


def resident_mb() -> float:
    """Resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


class Page:
    """Asks a plugin that has read nothing yet, as the page does."""

    def __init__(self, logdir: Path, names: list[str]) -> None:
        """Start a plugin without a server."""
        runs = [SimpleNamespace(run_name=name) for name in names]
        provider = SimpleNamespace(
            list_runs=lambda ctx, experiment_id: runs,
            list_blob_sequences=lambda ctx, experiment_id, plugin_name, run_tag_filter: {},
        )
        self._apps = LightningVizPlugin(TBContext(data_provider=provider, logdir=str(logdir))).get_plugin_apps()
        self._before = resident_mb()

    def ask(self, route: str, query: str = "") -> tuple[float, Any]:
        """Milliseconds, and the answer."""
        start = time.perf_counter()
        response = Client(self._apps[route]).get("/", query_string=query)
        duration = 1000 * (time.perf_counter() - start)
        assert response.status_code == 200, response.text
        return duration, json.loads(response.text)

    def poll_ms(self) -> float:
        """The quickest of ten polls when nothing has changed."""
        return min(self.ask("/runs")[0] for _ in range(10))

    def grown_mb(self) -> float:
        """By how much the process has grown."""
        return resident_mb() - self._before


def look(logdir: Path, names: list[str], records: int) -> tuple[float, float]:
    """Print what the page waits for; give the first list and the slowest poll in milliseconds."""
    page = Page(logdir, names)
    first, answer = page.ask("/runs")
    assert [run["last_seq"] for run in answer["runs"]] == [records] * len(names)
    poll = page.poll_ms()
    print(f"  runs, the first time   {first:9.0f} ms  {page.grown_mb():7.1f} MB")
    print(f"  runs, nothing new      {poll:9.1f} ms")
    one, answer = page.ask("/records", f"run={names[0]}&after=0")
    assert len(answer["records"]) == records
    del answer
    print(f"  records of one run     {one:9.0f} ms  {page.grown_mb():7.1f} MB")
    again = page.ask("/records", f"run={names[0]}&after={records - 1}")[0]
    print(f"  its last record again  {again:9.1f} ms")
    later = page.poll_ms()
    print(f"  runs, one looked at    {later:9.1f} ms")
    for name in names[1:]:
        page.ask("/records", f"run={name}&after={records - 1}")
    print(f"  every run looked at    {page.poll_ms():9.1f} ms  {page.grown_mb():7.1f} MB")
    return first, max(poll, later)


def look_at_runs(count: int, records: int, *, finished: bool) -> bool:
    """Write runs and look at them; tell whether that was quick enough."""
    names = [f"run_{number:03d}" for number in range(count)]
    lines = [record(seq).to_json() for seq in range(1, records + 1)]
    state = "finished: one index" if finished else "being written: one file per record"
    print(f"{count} runs of {records} records of {len(lines[0])} bytes, {state}")
    with TemporaryDirectory() as folder:
        for name in names:
            write_run(Path(store_folder(f"{folder}/{name}")), lines, finished=finished)
        first, poll = look(Path(folder), names, records)
    return first <= BOUND_FIRST_MS and poll <= BOUND_POLL_MS


def look_at_blank_lines() -> bool:
    """Write an index of one record and a megabyte of blank lines, and look at it."""
    with TemporaryDirectory() as folder:
        store = Path(store_folder(f"{folder}/blank"))
        write_run(store, [record(1).to_json()], finished=True)
        (store / f"index-2-{WRITER}.jsonl").write_bytes(b"\n" * (1 << 20))
        page = Page(Path(folder), ["blank"])
        first, one = page.ask("/runs")[0], page.ask("/records", "run=blank")[0]
        print(f"1 MB of blank lines: {first:.0f} ms, its records {one:.0f} ms, {page.grown_mb():.1f} MB")
    return first <= BOUND_FIRST_MS


def main() -> None:
    """Measure and print."""
    given = [int(argument) for argument in sys.argv[1:]]
    count, records = given + [20, 6000][len(given) :]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        quick = [
            pool.submit(look_at_runs, count, records, finished=True).result(),
            pool.submit(look_at_runs, min(count, 20), records, finished=False).result(),
            pool.submit(look_at_blank_lines).result(),
        ]
    sys.exit(0 if all(quick) else "Slower than promised.")


if __name__ == "__main__":
    main()
