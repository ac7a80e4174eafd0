"""Two callbacks of one class in one run: both stand on the page, under their names."""

from pathlib import Path

import numpy as np
import torch
from browser.harness import Run, Tab, serve, weights_at
from browser.maps import LAST, make_probe, model_at

from lightning_viz import GradCAM, Probe
from lightning_viz.render import encode_png, heat_map, image_picture
from lightning_viz.trainer.drawing import Drawing


def test_maps_of_two_probes_stand_side_by_side(tab: Tab, tmp_path: Path) -> None:
    run = Run(tmp_path / "logs", "two")
    red, blue = make_probe(), Probe((make_probe().images.flip(1), torch.tensor([0, 1, 2])))
    for probe, key, name in ((red, "a" * 16, "grad_cam"), (blue, "b" * 16, "blue")):
        (drawing,) = GradCAM(layers=LAST, probe=probe).drawings(model_at(0, 1))
        pictures = [encode_png(image_picture(image)) for image in probe.unnormalised()[0]]
        run.store.write_photographs(key, pictures.copy)
        run.draw(drawing, 0, "grad_cam", key, name)
    run.draw(Drawing("output", pictures=[heat_map(np.eye(9))], meta={"left_out": {"maps": [9, 9]}}), 0, "saliency")
    with serve(tmp_path / "logs") as address:
        tab.open(address, "view=images").ready()
        heads = [" ".join(text.split()) for text in tab.frame.locator(".map-family").all_inner_texts()]
        names = ["Photograph", f"Grad-CAM {LAST}", f"Grad-CAM {LAST} · blue"]
        assert [head.partition(" 0 ")[0] for head in heads] == names
        assert tab.frame.locator(".map-cell").count() == 3 * 3
        tab.frame.wait_for_selector(".comparison-cell canvas")  # what was too large has its picture


def test_filters_of_two_scales_are_two_rows(tab: Tab, tmp_path: Path) -> None:
    run = Run(tmp_path / "logs", "two")
    for value, name in ((1, "filters filter"), (3, "filters shared")):
        weights = weights_at(1, (4, 3, 5, 5), seed=value)
        run.draw(Drawing("conv", {"weight": weights}, [heat_map(weights[0, 0])]), 0, name=name)
    with serve(tmp_path / "logs") as address:
        tab.open(address, "view=filters").ready()
        assert tab.frame.locator("h3").all_inner_texts() == ["conv · filter", "conv · shared"]
