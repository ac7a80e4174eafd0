"""Synthetic runs, a TensorBoard beside them, and our frame in a page."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Frame, Page
from torch.utils.tensorboard import SummaryWriter

from lightning_viz.export.loggers import mark_run
from lightning_viz.render import filter_grid
from lightning_viz.store import PLUGIN_NAME, Record, Store, store_folder
from lightning_viz.trainer.drawing import Drawing

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

BATCHES = 10
"""Batches per epoch of a synthetic run."""


def weights_at(epoch: float, shape: Sequence[int], seed: int = 0) -> NDArray[np.float32]:
    """Filters that grow from noise to stripes."""
    noise = np.random.default_rng(seed).normal(size=shape)
    units, _, height, width = shape
    y, x = np.mgrid[:height, :width] / max(height, width)
    angle, waves = np.pi * np.arange(units) / units, 1 + np.arange(units) % 4
    phase = 2 * np.pi * waves[:, None, None] * (x * np.cos(angle)[:, None, None] + y * np.sin(angle)[:, None, None])
    stripes = np.sin(phase)[:, None] * np.linspace(1, 0.4, shape[1])[None, :, None, None]
    learned = epoch / (epoch + 3)
    return (0.05 * ((1 - learned) * noise + 2 * learned * stripes)).astype(np.float32)


class Run:
    """A run as the callbacks write one, with scalars."""

    def __init__(self, logdir: Path, name: str, hyper_parameters: Mapping[str, Any] | None = None) -> None:
        self.folder = logdir / name
        self.store = Store(store_folder(str(self.folder)))
        self.store.write_run({"model": "Net", "hyper_parameters": dict(hyper_parameters or {}), "layers": []})
        mark_run([], self.folder, PLUGIN_NAME)
        self.writer = SummaryWriter(str(self.folder))

    def draw(
        self, drawing: Drawing, epoch: float, method: str = "filters", probe: str | None = None, name: str = ""
    ) -> Record:
        """Write a record."""
        said = {"meta": dict(drawing.meta), "scalars": dict(drawing.scalars)}
        record = Record(method, drawing.layer, **_moment(epoch), **said, probe=probe, name=name)
        return self.store.write(record, drawing.blobs())

    def draw_filters(self, filters: NDArray[np.float32], epoch: float, layer: str = "features.0") -> Record:
        """Write a record as FilterImages does."""
        grid = filter_grid(filters)
        meta = {
            "kernel": list(filters.shape[2:]),
            "stride": [2, 2],
            "columns": grid.columns,
            "scale": "filter",
            "vmin": float(filters.min()),
            "vmax": float(filters.max()),
        }
        return self.draw(Drawing(layer, {"weight": filters}, [grid.picture], [grid.caption], meta=meta), epoch)

    def fail(self, epoch: float, error: str, method: str = "filters") -> None:
        """Write that a drawing failed."""
        self.store.write(Record(method, "", **_moment(epoch), error=error))

    def log(self, epochs: int, **tags: float) -> None:
        """Write scalars that fall from a start to the last epoch."""
        for step in range(epochs * BATCHES + 1):
            for tag, start in tags.items():
                self.writer.add_scalar(tag, start / (1 + step / BATCHES), step)
        self.writer.flush()


def _moment(epoch: float) -> dict[str, Any]:
    batches = round(epoch * BATCHES)
    return {"batches": batches, "epoch": epoch, "step": max(0, batches - 1), "wall_time": time.time()}


def train(
    logdir: Path,
    name: str,
    epochs: Sequence[float] = range(13),
    shape: Sequence[int] = (8, 3, 5, 5),
    seed: int = 0,
    **hyper_parameters: Any,
) -> Run:
    """Write a run with filters at some epochs, and two losses."""
    run = Run(logdir, name, hyper_parameters)
    for epoch in epochs:
        run.draw_filters(weights_at(epoch, shape, seed), epoch)
    run.log(int(max(epochs)), val_loss=1.5, train_loss=2.0 + seed / 4)
    return run


@contextmanager
def serve(logdir: Path) -> Iterator[str]:
    """Run TensorBoard on a logdir; gives the address of our tab without its hash."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--reload_interval", "1"]
    environment = {**os.environ, "TMPDIR": str(logdir.parent)}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    try:
        _wait(server, f"http://127.0.0.1:{port}/data/plugins_listing")
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                json.load(answer)
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    server.terminate()
    said = server.stderr.read().decode() if server.stderr else ""
    raise RuntimeError(f"TensorBoard did not start: {said}")


class Tab:
    """Our frame in a page, and what a person sees in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        """What the console complained about."""
        self.frame: Page | Frame = page

    def open(self, address: str, state: str = "", *, host: bool = False, dark: bool = False) -> "Tab":
        """Open the tab.

        Args:
            address: As ``serve`` gives it.
            state: Our part of the address, e.g. ``"epoch=4"``; parts are separated by ``&``.
            host: Inside TensorBoard; else alone, which takes a tenth of the time.
            dark: TensorBoard's dark mode.
        """
        link = "#lightning_viz" + "".join(f"&p.lightning_viz.{part}" for part in state.split("&") if part)
        if host:
            self.page.goto(f"{address}?darkMode={str(dark).lower()}{link}")
            element = self.page.wait_for_selector("iframe[src*=plugin_entry]")
            self.frame = element.content_frame()
        else:
            self.page.emulate_media(color_scheme="dark" if dark else "light")
            self.page.goto(f"{address}data/plugin_entry.html?name=lightning_viz{link}")
        return self

    def ready(self) -> "Tab":
        """Wait until the pictures of the epoch are there."""
        self.frame.wait_for_selector(".comparison-cell canvas, .map-cell canvas")
        self.frame.wait_for_function("!document.querySelector('.waiting')")
        return self

    def curves(self, count: int) -> "Tab":
        """Wait for the curves of so many runs; they come from event files, later than the pictures."""
        self.frame.wait_for_function(f"document.querySelectorAll('.scalar-legend li').length === {count}")
        return self

    def epoch(self) -> str:
        """What the output beside the slider says."""
        return self.frame.inner_text("output")

    def columns(self) -> list[str]:
        """The names above the columns."""
        return self.frame.locator(".run-head h2").all_inner_texts()

    def press(self, *keys: str) -> None:
        """Press keys while the pointer is over the pictures."""
        self.frame.hover(".stage")
        for key in keys:
            self.page.keyboard.press(key)

    def pixels(self, run: str) -> NDArray[np.uint8]:
        """The first canvas of a run, ``(H, W, 4)``."""
        canvas = self.frame.locator(f"[data-run='{run}'] canvas").first
        height, width, data = canvas.evaluate(
            "c => [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
        )
        return np.array(data, np.uint8).reshape(height, width, 4)

    def hover_pixel(self, run: str, x: int, y: int, *, click: bool = False) -> None:
        """Point at a pixel of a run's first picture."""
        canvas = self.frame.locator(f"[data-run='{run}'] canvas").first
        scale = canvas.bounding_box()["width"] / canvas.evaluate("c => c.width")
        place = {"x": (x + 0.5) * scale, "y": (y + 0.5) * scale}
        canvas.click(position=place) if click else canvas.hover(position=place)
