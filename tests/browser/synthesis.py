"""Runs with class models and dreams, as the callbacks write them; the images are random."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from browser.harness import Run, weights_at
from browser.maps import HEIGHT, LAST, WIDTH
from numpy.typing import NDArray

from lightning_viz.render import encode_png, image_picture, mosaic
from lightning_viz.trainer.drawing import Drawing

NAMES = ["ant", "bee", "cat", "dog"]
UNITS = [4, 0, 2]
COLUMNS = 3
DEAD = 2
"""The place of the target that nothing moves."""

Images = NDArray[np.float32]


class Synthesised(NamedTuple):
    """What was written, by run, epoch and layer; the photographs."""

    logdir: Path
    models: dict[tuple[str, int, str], Images]
    dreams: dict[tuple[str, int, str], Images]
    photographs: Images

    def tile(self, run: str, epoch: int, layer: str, place: int) -> NDArray[np.uint8]:
        return image_picture(self.models[run, epoch, layer][place])


def write_synthesis(logdir: Path) -> Synthesised:
    """Write the runs.

    ``first`` has classes and units at epochs 0 to 2, and dreams from 1 on; ``second``, with fewer classes in another
    order, has them at epoch 1, failed at 2, and lacks one dream; in ``failed`` there are failures alone.
    """
    written = Synthesised(logdir, {}, {}, _images(0, 2))
    _write(written, "first", (0, 1, 2), [0, 1, 2, 3], ("0", LAST), seed=1)
    second = _write(written, "second", (1,), [3, 1, 0], (LAST,), seed=2)
    second.fail(2, "ValueError: no gradient", "class_model")
    failed = Run(logdir, "failed")
    failed.fail(1, "ValueError: no model", "class_model")
    failed.fail(1, "ValueError: no photograph", "deep_dream")
    return written


def _write(
    written: Synthesised, name: str, epochs: tuple[int, ...], classes: list[int], dreams: tuple[str, ...], seed: int
) -> Run:
    run = Run(written.logdir, name, {"seed": seed})
    pictures = [encode_png(image_picture(image)) for image in written.photographs]
    key = run.store.write_probe({"images": written.photographs}, lambda: pictures, captured=False)
    for epoch in epochs:
        run.draw_filters(weights_at(epoch, (6, 4, 3, 3), seed), epoch, LAST)
        for layer, numbers in ((LAST, UNITS), ("output", classes)):
            images = _images(10 * seed + epoch, len(numbers))
            written.models[name, epoch, layer] = images
            run.draw(_model(layer, images, numbers, epoch), epoch, "class_model")
        for order, layer in enumerate(dreams if epoch else ()):
            (image,) = written.dreams[name, epoch, layer] = _images(100 * seed + 10 * epoch + order, 1)
            run.draw(_dream(layer, image, order), epoch, "deep_dream", key)
    run.log(2, train_loss=1.0)
    return run


def _images(seed: int, count: int) -> Images:
    return np.random.default_rng(seed).random((count, 3, HEIGHT, WIDTH), dtype=np.float32)


def _model(layer: str, images: Images, numbers: list[int], epoch: int) -> Drawing:
    classes = layer == "output"
    targets: list[dict[str, Any]] = [
        {
            "unit": number,
            "name": NAMES[number] if classes else f"unit {number}",
            "score": 1.5 + epoch,
            "probability": 0.25 * (1 + epoch) if classes else None,
            "is_best": epoch > 0,
            "mark": "stopped" if place == 0 and epoch == 1 else None,
        }
        for place, number in enumerate(numbers)
    ]
    if epoch == 2:
        targets[DEAD].update(score=None, probability=None, is_best=False, mark="dead")
    tiles = [image_picture(image) for image in images]
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    meta = {"targets": targets, "columns": COLUMNS, "tile": [HEIGHT, WIDTH], "size": [HEIGHT, WIDTH]}
    meta |= {
        "kind": "classes" if classes else "units",
        "unit_count": len(NAMES) if classes else 6,
        "start": "warm",
        "steps": 32,
        "regularisation": "fourier",
        "reference": 8,
    }
    scalars = {"probability": 0.25 * (1 + epoch)} if classes else {}
    return Drawing(layer, {"images": images}, [mosaic(rows, 256)], ["models"], scalars=scalars, meta=meta)


def _dream(layer: str, image: NDArray[np.float32], order: int) -> Drawing:
    octaves = [[HEIGHT // 2, WIDTH // 2], [HEIGHT, WIDTH]]
    meta = {"order": order, "image": 1, "unit": None, "size": [HEIGHT, WIDTH], "steps": 10, "octaves": octaves}
    scalars = {"growth": 2.5 + order}
    return Drawing(layer, {"image": image}, [image_picture(image)], [layer], scalars=scalars, meta=meta)
