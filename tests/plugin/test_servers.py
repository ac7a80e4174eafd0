"""The tab inside real TensorBoard servers: both loaders, and every way to say where the runs are."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from plugin.harness import write_events, write_record, write_store

from lightning_viz.store import Store

EPOCHS = 30
MAIN = "from tensorboard.main import run_main; run_main()"
BROKEN = f"import sys; sys.modules['lightning_viz.plugin.backend'] = None; {MAIN}"


class Server:
    """A TensorBoard of our own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, route: str, **query: object) -> bytes:
        with urlopen(f"{self.address}data/{route}?{urlencode(query)}", timeout=60) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            return response.read()

    def ask(self, route: str, **query: object) -> dict:
        return json.loads(self.get(f"plugin/lightning_viz/{route}", **query))


@contextmanager
def serve(log: Path, *arguments: str, main: str = MAIN) -> Iterator[Server]:
    command = [sys.executable, "-c", main, "--host=127.0.0.1", "--port=0", "--reload_interval=1", *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(command, stderr=output, stdout=output)
    try:
        yield Server(wait_for(lambda: re.search(r" at (http://\S+/) ", log.read_text()), log, process)[1])
    finally:
        process.terminate()
        process.wait(30)


def wait_for(look, log: Path, process: subprocess.Popen | None = None):
    for _ in range(600):
        if found := look():
            return found
        assert process is None or process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logdir")
    for name in ("k7", "k11/version_0"):
        write_events(folder / name, EPOCHS)
        write_store(folder / name, EPOCHS, indexed=name == "k7")
    write_events(folder / "events_only", EPOCHS)
    return folder


STARTS = {
    "rust": (["--logdir={logdir}"], "k7", EPOCHS + 1),
    "python": (["--logdir={logdir}", "--load_fast=false", "--path_prefix=/foo/tb"], "k7", EPOCHS + 1),
    "spec": (["--logdir_spec=a:{logdir}/k7,b:{logdir}/events_only"], "a/.", EPOCHS + 1),
    "fsspec": (["--logdir=file://{logdir}", "--samples_per_plugin=images=5"], "k7", 5),
    "rust_prefix": (["--logdir={logdir}", "--path_prefix=/foo/tb", "--samples_per_plugin=images=5"], "k7", 5),
}


@pytest.fixture(scope="module", params=STARTS)
def started(request, logdir, tmp_path_factory):
    """A server, the name that it has for the run k7, and how many images of a tag it keeps."""
    arguments, run, kept = STARTS[request.param]
    log = tmp_path_factory.mktemp("log") / "log"
    with serve(log, *[argument.format(logdir=logdir) for argument in arguments]) as server:
        expected = 2 if request.param == "spec" else 3
        wait_for(lambda: len(server.ask("runs")["runs"]) == expected, log)
        yield server, run, kept


def test_the_tab_is_there_and_active(started):
    server, _, _ = started
    listing = json.loads(server.get("plugins_listing"))["lightning_viz"]
    assert (listing["tab_name"], listing["enabled"]) == ("Lightning Viz", True)
    assert b'import("./static/index.js")' in server.get("plugin_entry.html", name="lightning_viz")
    assert b"export" in server.get("plugin/lightning_viz/static/index.js")


def test_every_epoch_is_there(started):
    server, run, _ = started
    listed = {one["run"]: one for one in server.ask("runs")["runs"]}
    assert (listed[run]["source"], listed[run]["last_seq"]) == ("store", EPOCHS + 1)
    records = server.ask("records", run=run)["records"]
    assert [record["epoch"] for record in records] == list(range(EPOCHS + 1))
    assert server.get("plugin/lightning_viz/blob", run=run, seq=3, item=0).startswith(b"\x89PNG")


def test_scalars_are_there(started):
    server, run, _ = started
    assert "train_loss" in server.ask("scalar_tags", run=run)["tags"]
    scalars = server.ask("scalars", run=run, tag="train_loss")
    assert scalars["steps"] == [10 * epoch for epoch in range(EPOCHS + 1)]
    assert scalars["values"][:3] == [2.0, "NaN", 0.0]


def test_a_run_without_a_store_shows_the_images_that_were_kept(started):
    server, _, kept = started
    (run,) = [one["run"] for one in server.ask("runs")["runs"] if one["source"] == "images"]
    answer = server.ask("kept_images", run=run)
    assert len(answer["images"]) == kept
    assert answer["limit"] == (1000 if kept > 5 else 5)
    assert answer["images"][-1]["step"] == 10 * EPOCHS
    assert server.get("plugin/lightning_viz/kept_image", key=answer["images"][0]["key"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("key", ["", "x", "WyIiXQ", "WyIiLCAiayIsICIiLCAiIiwgMCwgMF0", "é" * 9, "bnVsbA", "W10"])
def test_a_key_that_was_never_given_is_not_found(started, key):
    server, _, _ = started
    with pytest.raises(HTTPError) as caught:
        server.ask("kept_image", key=key)
    assert caught.value.code == 404
    assert list(json.load(caught.value)) == ["error"]


def test_a_new_epoch_and_a_new_run_appear(tmp_path):
    write_events(tmp_path / "logs" / "first")
    store = write_store(tmp_path / "logs" / "first", 0, indexed=False)
    with serve(tmp_path / "log", f"--logdir={tmp_path / 'logs'}") as server:
        wait_for(lambda: server.ask("runs")["runs"], tmp_path / "log")
        write_record(store, 1)
        assert [record["seq"] for record in server.ask("records", run="first", after=1)["records"]] == [2]
        write_events(tmp_path / "logs" / "second")
        assert isinstance(write_store(tmp_path / "logs" / "second", 0), Store)
        wait_for(lambda: len(server.ask("runs")["runs"]) == 2, tmp_path / "log")


def test_a_broken_backend_leaves_tensorboard_running(logdir, tmp_path):
    with serve(tmp_path / "log", f"--logdir={logdir}", main=BROKEN) as server:
        listing = json.loads(server.get("plugins_listing"))
        assert "lightning_viz" not in listing
        assert "scalars" in listing
        wait_for(lambda: json.loads(server.get("runs")), tmp_path / "log")
    assert "the tab could not be loaded; TensorBoard goes on without it" in (tmp_path / "log").read_text()
