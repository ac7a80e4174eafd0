"""Runs with embeddings of known layouts, as the callback writes them, and what a person sees of them."""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from browser.harness import Run, Tab
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lightning_viz.render import encode_png
from lightning_viz.trainer.drawing import Drawing

HASH, OTHER = "0123456789abcdef", "fedcba9876543210"
NAMES = ["ant", "bee", "cat"]
COUNT, HEIGHT, WIDTH, COLUMNS = 60, 6, 8, 9
NEAREST = 4


def nearest(layout: NDArray[Any], k: int = NEAREST) -> tuple[NDArray[Any], NDArray[Any]]:
    """The nearest other points, and their distances; by brute force."""
    distances = np.linalg.norm(layout[:, None] - layout[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


def write_sheet(run: Run, images: NDArray[np.uint8], key: str = HASH, columns: int = 100) -> None:
    """Write the sheet of ``images`` (N, H, W, 3)."""
    count, height, width, _ = images.shape
    sheet = np.zeros((-(-count // columns) * height, columns * width, 3), np.uint8)
    for point, image in enumerate(images):
        row, column = divmod(point, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    (run.store.folder / "probes").mkdir(exist_ok=True)
    (run.store.folder / f"probes/{key}-0.png").write_bytes(encode_png(sheet))


def embed(
    run: Run,
    epoch: float,
    layout: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    near: tuple[ArrayLike, ArrayLike] | None = None,
    layer: str = "fc",
    key: str = HASH,
    thumbnail: Sequence[int] = (HEIGHT, WIDTH),
    columns: int = 100,
    **scalars: float,
) -> None:
    """Write a record."""
    values: dict[str, ArrayLike] = {"layout": layout}
    values |= {} if near is None else {"neighbours": near[0], "distances": near[1]}
    values |= {} if labels is None else {"labels": labels}
    points = {"hash": key, "count": len(np.asarray(layout)), "thumbnail": list(thumbnail), "columns": columns}
    meta = {"points": points, "class_names": None if labels is None else NAMES, "engine": "test", "k": NEAREST}
    picture = np.zeros((8, 8, 3), np.uint8)
    run.draw(Drawing(layer, values, [picture], scalars=scalars, meta=meta), epoch, "embedding")


class Embedded(NamedTuple):
    """What was written."""

    logdir: Path
    layouts: list[NDArray[np.float64]]
    """Of run ``first``, by epoch."""
    labels: NDArray[np.int64]
    near: list[tuple[NDArray[Any], NDArray[Any]]]
    images: NDArray[np.uint8]
    """(N, H, W, 3)."""


def write_embeddings(logdir: Path) -> Embedded:
    """Write the runs.

    ``first`` has three epochs of points far apart; ``turned`` the same ones mirrored, turned and moved; ``other`` has
    another sample; ``bare`` neither labels, thumbnails nor, of three points, features; ``late`` begins at epoch 2;
    ``failed`` failed at epoch 1; ``layers`` has two layers; the layout of ``damaged`` has three columns; ``without``
    has no embedding.
    """
    rng = np.random.default_rng(3)
    lattice = np.stack(np.meshgrid(np.arange(10), np.arange(6)), axis=-1).reshape(-1, 2) * [8.0, 5.0]
    shuffled = [lattice[rng.permutation(COUNT)] for _ in range(3)]
    layouts = [(1 + epoch) * layout + rng.uniform(-0.5, 0.5, (COUNT, 2)) for epoch, layout in enumerate(shuffled)]
    labels = rng.integers(0, 3, COUNT)
    near = [nearest(layout) for layout in layouts]
    images = rng.integers(0, 255, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.diag([1, -1])

    def run(name: str, key: str = HASH) -> Run:
        made = Run(logdir, name, {"name": name})
        write_sheet(made, images, key, COLUMNS)
        return made

    first, turned, other, late, failed, layers = (
        run(name, OTHER if name == "other" else HASH)
        for name in ("first", "turned", "other", "late", "failed", "layers")
    )
    for epoch, layout in enumerate(layouts):
        scores = {"knn_accuracy": 0.5 + 0.1 * epoch, "trustworthiness": 0.9, "silhouette": -0.125}
        scores |= {"drift": 0.25} if epoch else {}
        embed(first, epoch, layout, labels, near=near[epoch], columns=COLUMNS, **scores)
        embed(turned, epoch, layout @ turn.T + [40, -7], labels, near=nearest(layout[::-1]), columns=COLUMNS)
        embed(other, epoch, layout[::-1], labels, near=near[epoch], columns=COLUMNS, key=OTHER)
        embed(layers, epoch, layout, labels, near=near[epoch], columns=COLUMNS)
        embed(layers, epoch, layouts[2 - epoch], labels, layer="conv", columns=COLUMNS)
    embed(late, 2, layouts[2], labels, near=near[2], columns=COLUMNS)
    embed(failed, 0, layouts[0], labels, near=near[0], columns=COLUMNS)
    failed.fail(1, "ValueError: the features are gone", "embedding")
    bare = Run(logdir, "bare")
    holes = layouts[0].copy()
    holes[[4, 5, 6]] = np.nan
    missing = near[0][0].copy(), near[0][1].copy()
    missing[0][4], missing[1][4] = -1, np.nan
    embed(bare, 0, holes, near=missing, columns=COLUMNS, key="a" * 16)
    embed(Run(logdir, "damaged"), 0, np.zeros((COUNT, 3)), labels[:5], columns=COLUMNS)
    Run(logdir, "without").draw_filters(np.ones((2, 3, 5, 5), np.float32), 0)
    return Embedded(logdir, layouts, labels, near, images)


MARGIN = 12
"""CSS pixels between the outermost points and the edge of a map."""


def places(layouts: Sequence[NDArray[Any]], epoch: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Where the points of an epoch belong on a map of ``size`` (width, height): one scale for all epochs, y upwards."""
    low, high = np.min([one.min(0) for one in layouts], 0), np.max([one.max(0) for one in layouts], 0)
    scale = ((np.array(size) - 2 * MARGIN) / (high - low)).min()
    return np.array(size) / 2 + (layouts[epoch] - (low + high) / 2) * scale * [1, -1]


def map_of(tab: Tab, run: str) -> NDArray[np.uint8]:
    """What the map of a run shows, ``(H, W, 3)``; as a PNG, because a map has many pixels."""
    canvas = tab.frame.locator(f"[data-run='{run}'] .point-map canvas").first
    png = base64.b64decode(canvas.evaluate("c => c.toDataURL()").partition(",")[2])
    return np.array(Image.open(BytesIO(png)).convert("RGB"))


def hover_point(tab: Tab, run: str, place: Sequence[float]) -> None:
    """Move the pointer over a map."""
    box = tab.frame.locator(f"[data-run='{run}'] .point-map-marks").bounding_box()
    tab.page.mouse.move(box["x"] + place[0], box["y"] + place[1])
