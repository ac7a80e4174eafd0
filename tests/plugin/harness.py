"""Runs as a training writes them, and a client of the tab's routes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.application import TensorBoardWSGI
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from torch.utils.tensorboard import SummaryWriter
from werkzeug.test import Client, TestResponse

from lightning_viz.export.loggers import mark_run
from lightning_viz.plugin.backend import LightningVizPlugin
from lightning_viz.render import encode_png
from lightning_viz.store import PLUGIN_NAME, Record, Store, store_folder
from lightning_viz.trainer.drawing import Drawing

PICTURE = np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3)
VALUES = np.linspace(-1, 1, 2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
SECRET = b"the secret"
TAG = f"{PLUGIN_NAME}/filters/conv1"
HYPER_PARAMETERS = {"kernel": 11, "stride": 4}


WRITER = "0a1b2c3d"
"""In the names of files, always the same: tests name some."""


def open_store(run: Path) -> Store:
    store = Store(store_folder(str(run)))
    store.writer = WRITER
    return store


def write_record(store: Store, epoch: int, layer: str = "conv1", **fields: Any) -> Record:
    drawing = Drawing(layer, pictures=[PICTURE], values={"weight": VALUES}, captions=["<b>bold</b>"])
    step = max(10 * epoch - 1, 0)
    record = Record("filters", layer, batches=10 * epoch, epoch=float(epoch), step=step, wall_time=1.8e9 + epoch)
    return store.write(Record(**(vars(record) | fields)), drawing.blobs())


def write_store(run: Path, epochs: int, *, indexed: bool = True) -> Store:
    """A store with one record per epoch, the untrained network first."""
    store = open_store(run)
    store.write_run({"schema": 2, "model": "Net", "hyper_parameters": HYPER_PARAMETERS, "layers": [{"name": "conv1"}]})
    for epoch in range(epochs + 1):
        write_record(store, epoch)
    if indexed:
        store.write_index()
    return store


def write_probe(store: Store) -> str:
    """A probe of one image; gives its hash."""
    images = np.zeros((1, 3, *PICTURE.shape[:2]), np.float32)
    return store.write_probe({"images": images}, lambda: [encode_png(PICTURE)], captured=False)


def write_events(run: Path, epochs: int = 0, *, marker: bool = True) -> None:
    """The event file of a run: a loss with a NaN, an image of ours and one of somebody else per epoch."""
    with SummaryWriter(str(run)) as writer:
        for epoch in range(epochs + 1):
            writer.add_scalar("train_loss", float("nan") if epoch == 1 else 2.0 - epoch, 10 * epoch)
            writer.add_image(TAG, PICTURE, 10 * epoch, dataformats="HWC")
            writer.add_image("foreign", PICTURE, 10 * epoch, dataformats="HWC")
    if marker:
        mark_run([], run, PLUGIN_NAME)


def hidden_png() -> bytes:
    """A perfect PNG of the shape that is asked for, for where it must not be served from."""
    return encode_png(255 - PICTURE)


class Tab:
    """The routes of the plugin, inside TensorBoard's own application, without a server."""

    def __init__(self, folder: Path | str, **context: Any) -> None:
        multiplexer = EventMultiplexer(tensor_size_guidance={"images": 1000})
        multiplexer.AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        self.provider = MultiplexerDataProvider(multiplexer, str(folder))
        context = {"data_provider": self.provider, "logdir": str(folder), "multiplexer": multiplexer} | context
        plugin = LightningVizPlugin(TBContext(**context))
        self.client = Client(TensorBoardWSGI([plugin], "", self.provider))

    def get(self, route: str, **query: Any) -> TestResponse:
        return self.client.get(f"/data/plugin/lightning_viz/{route}", query_string=query)

    def json(self, route: str, **query: Any) -> Any:
        response = self.get(route, **query)
        assert response.status_code == 200, response.text
        return json.loads(response.text)


def fetch(run: Path, route: str, **query: Any) -> tuple[int, str]:
    """Code and reason of what a file of a run gets."""
    response = Tab(run.parent).get(route, run=run.name, **query)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return response.status_code, json.loads(response.text)["error"] if response.status_code != 200 else ""
