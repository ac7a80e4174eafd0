"""TensorBoard's own Projector shows what we write: the real server, the real page."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from browser.harness import Tab, serve
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.tensorboard import SummaryWriter

from lightning_viz.export.projector import ProjectorPoints, write_embedding
from lightning_viz.render import thumbnail_sheet

COUNT = 100
GREEN = np.array([0, 200, 0], np.uint8)


@pytest.fixture(scope="module")
def projector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run with digits, and one whose green portraits have features that are not finite, and all the same."""
    logdir = tmp_path_factory.mktemp("projector") / "logs"
    digits = load_digits()
    pictures = (digits.images[:COUNT, ..., None] * 15.9).astype(np.uint8).repeat(3, axis=-1)
    points = ProjectorPoints("aaaa", thumbnail_sheet(pictures), digits.target[:COUNT], list("0123456789"))
    for epoch in range(3):
        write_embedding(logdir / "digits", "fc", epoch, digits.data[:COUNT] * (epoch + 1), points)
    portraits = np.broadcast_to(GREEN, (COUNT, 60, 20, 3))
    points = ProjectorPoints("bbbb", thumbnail_sheet(portraits), digits.target[:COUNT])
    features = digits.data[:COUNT].copy()
    features[3], features[4] = np.nan, np.inf
    write_embedding(logdir / "portraits", "fc", 0, features, points)
    write_embedding(logdir / "portraits", "fc", 1, np.zeros((COUNT, 8)), points)
    for run in ("digits", "portraits"):
        with SummaryWriter(str(logdir / run)) as writer:
            writer.add_scalar("loss", 1.0, 0)
    with serve(logdir) as address:
        for _ in range(100):  # until TensorBoard has found the runs
            if len(json.loads(get(address, "runs"))) == 2:
                break
            time.sleep(0.1)
        yield address


def get(address: str, route: str, **query: Any) -> bytes:
    """The content of an answer; another status than 200 raises."""
    path = f"{address}data/plugin/projector/{route}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(path, timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize(("run", "epochs", "side"), [("digits", 3, 320), ("portraits", 2, 600)])
def test_every_answer_is_there_and_has_its_size(projector: str, run: str, epochs: int, side: int) -> None:
    assert run in json.loads(get(projector, "runs"))
    embeddings = json.loads(get(projector, "info", run=run))["embeddings"]
    assert [one["tensorName"] for one in embeddings] == [f"fc epoch 00{epoch}" for epoch in range(epochs)]
    for one in embeddings:
        rows, columns = one["tensorShape"]
        asked = {"run": run, "name": one["tensorName"]}
        assert len(get(projector, "tensor", **asked)) == rows * columns * 4
        assert rows == COUNT
        assert len(get(projector, "metadata", **asked).decode().splitlines()) == COUNT + 1
        assert Image.open(BytesIO(get(projector, "sprite_image", **asked))).size == (side, side)


def look(tab: Tab, address: str, run: str, colour: np.ndarray, count: int) -> np.ndarray:
    """Open the page on a run; gives the pixels of a colour, once they are as many as that. The camera circles."""
    page = tab.page
    page.route("**/projector/runs", lambda route: route.fulfill(json=[run]))
    with page.expect_response(lambda answer: "sprite_image" in answer.url and answer.status == 200):
        page.goto(f"{address}data/plugin/projector/projector_binary.html")
    for _ in range(40):
        png = page.screenshot(clip={"x": 300, "y": 100, "width": 500, "height": 600})
        seen = np.abs(np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int) - colour).max(axis=2) < 30
        if seen.sum() > count:
            break
        page.wait_for_timeout(250)
    assert seen.sum() > count
    assert not page.get_by_text("Error", exact=True).is_visible()
    return seen


def test_the_projector_draws_the_digits(tab: Tab, projector: str) -> None:
    look(tab, projector, "digits", colour=np.zeros(3), count=5_000)  # the paper around the strokes


def test_the_projector_draws_portraits_as_portraits_whatever_their_features(tab: Tab, projector: str) -> None:
    green = look(tab, projector, "portraits", GREEN, count=1_000)
    assert longest(green.T) > 1.5 * longest(green)


def longest(mask: np.ndarray) -> float:
    """The mean length of the runs of True along the rows."""
    starts = mask[:, 1:] & ~mask[:, :-1]
    return float(mask.sum() / starts.sum())
