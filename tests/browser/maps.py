"""Runs with maps of images, made by the real callbacks without a Trainer, and what a person sees of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from browser.harness import Run, Tab
from helpers.networks import AttentionPool
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_viz import ActivationMaps, AttentionMaps, GradCAM, Occlusion, Probe, Reconstruction, Saliency
from lightning_viz.render import encode_png, image_picture
from lightning_viz.trainer.drawing import Drawing

IMAGES = 3
HEIGHT, WIDTH = 12, 20
FIRST, LAST = "0", "2"
"""Layers: a convolution whose units see 3x3 pixels, and one whose units see 5x5 of stride 2."""


class Drawn(NamedTuple):
    """What was written, by run, epoch, method and layer."""

    logdir: Path
    drawings: dict[tuple[str, int, str, str], Drawing]
    photographs: list[NDArray[np.uint8]]

    def values(self, run: str, epoch: int, method: str, layer: str, name: str = "maps") -> NDArray[np.float32]:
        values = self.drawings[run, epoch, method, layer].values[name]
        return values.numpy() if isinstance(values, Tensor) else np.asarray(values)

    def every(self, method: str, layer: str) -> list[Drawing]:
        return [drawing for key, drawing in self.drawings.items() if key[2:] == (method, layer)]


def model_at(epoch: int, seed: int, *, looks: bool = False) -> nn.Module:
    """A network that differs at every epoch; with or without attention."""
    torch.manual_seed(100 * seed + epoch)
    head = nn.Sequential(AttentionPool(6) if looks else nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    features = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*features, *head).eval()


def make_probe() -> Probe:
    images = torch.rand(IMAGES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(7))
    return Probe((images, torch.tensor([0, 1, 2])), mean=0.0, std=1.0, class_names=["ant", "bee", "cat"])


def write_maps(logdir: Path) -> Drawn:
    """Write the runs.

    ``first`` has everything at epochs 0 to 2, and at the last one a map of zeros and values that are not finite;
    ``second`` lacks saliency, and epoch 1; ``old`` has Grad-CAM alone and no photographs; in ``failed`` Grad-CAM
    failed at epoch 1; ``hidden`` has occlusion alone, ``looks`` attention alone; ``many`` has 64 images;
    of ``kept`` there is only a picture that TensorBoard kept.
    """
    probe = make_probe()
    photographs = [image_picture(image) for image in probe.images]
    drawn = Drawn(logdir, {}, photographs)
    callbacks = {
        "grad_cam": GradCAM(layers=LAST),
        "saliency": Saliency(),
        "reconstruction": Reconstruction(layers=[FIRST, LAST], rule=["deconvnet", "guided"]),
        "activations": ActivationMaps(layers=[FIRST, LAST]),
    }
    _write(drawn, "first", range(3), callbacks, probe, seed=1)
    _write(drawn, "second", (0, 2), {key: one for key, one in callbacks.items() if key != "saliency"}, probe, seed=2)
    _write(drawn, "old", (0, 1), {"grad_cam": callbacks["grad_cam"]}, probe, seed=3, photographed=False)
    failed = _write(drawn, "failed", (0,), {"grad_cam": callbacks["grad_cam"]}, probe, seed=4)
    failed.fail(1, "ValueError: no gradient", "grad_cam")
    _write(drawn, "hidden", (0, 1), {"occlusion": Occlusion(square=4, stride=2)}, probe, seed=5)
    _write(drawn, "looks", (0, 1), {"attention": AttentionMaps()}, probe, seed=6)
    many = Run(logdir, "many")
    maps = np.random.default_rng(0).random((64, 3, 5), dtype=np.float32)
    many.draw(Drawing("2", {"maps": maps}, meta={"vmin": 0.0, "vmax": 1.0, "size": [HEIGHT, WIDTH]}), 0, "grad_cam")
    kept = Run(logdir, "kept")
    kept.writer.add_image("lightning_viz/grad_cam/2", photographs[0], 0, dataformats="HWC")
    kept.writer.add_scalar("epoch", 0, 9)
    kept.writer.flush()
    kept.store.folder.rename(logdir.parent / "the store was not copied")
    for run in ("first", "second"):
        Run(logdir, run).log(2, train_loss=1.0)
    return drawn


def _write(
    drawn: Drawn,
    name: str,
    epochs: Iterable[int],
    callbacks: dict[str, Any],
    probe: Probe,
    seed: int,
    *,
    photographed: bool = True,
) -> Run:
    run = Run(drawn.logdir, name, {"seed": seed})
    pictures = [encode_png(picture) for picture in drawn.photographs] if photographed else []
    arrays = {"images": probe.images.numpy(), "labels": probe.labels.numpy()}
    key = run.store.write_probe(arrays, lambda: pictures, captured=False)
    for epoch in epochs:
        for method, callback in callbacks.items():
            for drawing in callback.drawings(model_at(epoch, seed, looks=method == "attention"), probe):
                if (name, epoch) == ("first", 2):
                    _spoil(drawing, method)
                drawn.drawings[name, epoch, method, drawing.layer] = drawing
                run.draw(drawing, epoch, method, key)
    return run


def _spoil(drawing: Drawing, method: str) -> None:
    if method == "grad_cam":
        drawing.values["maps"][2] = 0
    if method == "saliency":
        drawing.values["maps"][1, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])


def cell(image: int, run: str, *column: str) -> str:
    """The selector of a map: the column by parts of its key."""
    parts = "".join(f"[data-column*={part!r}]" for part in column)
    return f".image-row[data-image='{image}'] [data-run={run}] .map-cell{parts}"


def pixels(tab: Tab, selector: str) -> NDArray[np.uint8]:
    """What a canvas shows, ``(H, W, 3)``."""
    read = "c => [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    height, width, data = tab.frame.locator(f"{selector} canvas").evaluate(read)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def hover(tab: Tab, selector: str, x: float, y: float, size: Sequence[int] = (HEIGHT, WIDTH)) -> None:
    """Point at a pixel of what a canvas shows."""
    box = tab.frame.locator(f"{selector} canvas").bounding_box()
    place = {"x": (x + 0.5) * box["width"] / size[1], "y": (y + 0.5) * box["height"] / size[0]}
    tab.frame.locator(f"{selector} canvas").hover(position=place)


def numbers(text: str) -> list[float]:
    """The numbers in a text, commas between them."""
    return [float(part) for part in text.replace("\N{MINUS SIGN}", "-").split(",")]
