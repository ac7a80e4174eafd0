"""Runs with strongest patches, made by the real callbacks without a Trainer."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from browser.harness import Run
from browser.maps import FIRST, HEIGHT, LAST, WIDTH, make_probe, model_at
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from lightning_viz import ActivationMaps, FeatureEvolution, TopPatches
from lightning_viz.render import encode_png, image_picture
from lightning_viz.trainer.drawing import Drawing

UNITS = [0, 1, 3]
"""Those with pictures; the first layer has 4 units."""

IMAGES = 24


class Films(NamedTuple):
    """What was written, by run, epoch, method and layer."""

    logdir: Path
    drawings: dict[tuple[str, int, str, str], Drawing]

    def table(self, run: str, epoch: int, layer: str, name: str, method: str = "evolution") -> NDArray[np.float32]:
        return np.asarray(self.drawings[run, epoch, method, layer].values[name], np.float32)

    def tile(self, run: str, epoch: int, layer: str, unit: int, rank: int, *, down: bool) -> NDArray[np.uint8]:
        """A patch of the pictures, or its reconstruction."""
        drawing = self.drawings[run, epoch, "patches", layer]
        picture = drawing.pictures[int(down)]
        height, width = (picture.shape[0] + 1) // len(UNITS), (picture.shape[1] + 1) // drawing.meta["k"]
        top, left = UNITS.index(unit) * height, rank * width
        return picture[top : top + height - 1, left : left + width - 1]

    def changed(self, run: str, epochs: Iterable[int], layer: str) -> set[tuple[int, int]]:
        """Units and epochs whose winning image is another one than at the drawing before."""
        drawn = sorted(epochs)
        winners = {epoch: self.table(run, epoch, layer, "image_ids")[:, 0] for epoch in drawn}
        pairs = pairwise(drawn)
        return {(unit, now) for before, now in pairs for unit in UNITS if winners[before][unit] != winners[now][unit]}


def write_films(logdir: Path) -> Films:
    """Write the runs.

    ``first`` has patches and evolution at epochs 0, 1, 2 and 5, filters and maps at each; ``second`` has no patches,
    and evolution at 0, 1 and 5; in ``failed`` the patches failed at epoch 1; ``plain`` has filters alone.
    """
    films = Films(logdir, {})
    _write(films, "first", (0, 1, 2, 5), 1, ["patches", "evolution", "filters", "activations"])
    _write(films, "second", (0, 1, 5), 2, ["evolution", "filters"])
    failed = _write(films, "failed", (0,), 3, ["patches"])
    failed.fail(1, "ValueError: no data", "patches")
    _write(films, "plain", (), 4, ["filters"])
    return films


def _write(films: Films, name: str, epochs: tuple[int, ...], seed: int, methods: list[str]) -> Run:
    images = torch.rand(IMAGES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))
    data = TensorDataset(images, torch.zeros(IMAGES, dtype=torch.long))
    probe = make_probe()
    patches = {
        "patches": TopPatches(layers=[FIRST, LAST], data=data, units=UNITS),
        "evolution": FeatureEvolution(layers=[FIRST, LAST], data=data, units=UNITS),
    }
    callbacks = {**patches, "activations": ActivationMaps(layers=[FIRST, LAST])}
    run = Run(films.logdir, name, {"seed": seed})
    arrays = {"images": probe.images.numpy(), "labels": probe.labels.numpy()}
    key = run.store.write_probe(
        arrays, lambda: [encode_png(image_picture(one)) for one in probe.images], captured=False
    )
    drawn: dict[str, list[Drawing]] = {}
    for epoch in epochs or range(6) if "filters" in methods else epochs:
        model = model_at(epoch, seed)
        for method, callback in callbacks.items():
            if method not in methods:
                continue
            before = drawn.get(method, [])
            drawn[method] = list(callback.drawings(model, probe, before=before))
            for drawing in drawn[method]:
                films.drawings[name, epoch, method, drawing.layer] = drawing
                run.draw(drawing, epoch, method, key)
        if "filters" in methods:
            run.draw_filters(model[0].weight.detach().numpy(), epoch, FIRST)
            run.draw_filters(model[2].weight.detach().numpy(), epoch, LAST)
    run.log(5, train_loss=1.0)
    return run
