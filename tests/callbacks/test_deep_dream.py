from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.harness import contents, fit
from helpers import networks
from helpers.checks import left_as_found
from torch import nn

from lightning_viz import DeepDream, Probe
from lightning_viz.functional import activation_maps, deep_dream
from lightning_viz.render import image_picture

convnet = partial(networks.convnet, size=(24, 40))
PHOTOGRAPHS = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
PROBE = Probe(PHOTOGRAPHS, mean=0.5, std=0.5)
FEW = partial(DeepDream, steps=2, octaves=2, jitter=3)


def energy(model: nn.Module, layer: str, images: torch.Tensor) -> float:
    return float(activation_maps(model, layer, images).square().sum() / 2)


def test_a_dream_for_each_layer_from_low_to_deep():
    model = convnet()
    with left_as_found(model):
        drawings = FEW(layers=["0", "3"], image=1).drawings(model, PROBE)
    assert [(drawing.layer, drawing.meta["order"]) for drawing in drawings] == [("0", 0), ("3", 1)]
    for drawing in drawings:
        dream = deep_dream(model, drawing.layer, PHOTOGRAPHS[1:], 2, octaves=2, jitter=3)
        assert np.array_equal(drawing.values["image"], dream[0])
        assert np.array_equal(drawing.pictures[0], image_picture(PROBE.unnormalise(dream)[0][0]))
        assert (drawing.meta["image"], drawing.meta["size"], drawing.meta["octaves"][-1]) == (1, [24, 40], [24, 40])
        grown = energy(model, drawing.layer, dream) / energy(model, drawing.layer, PHOTOGRAPHS[1:])
        assert drawing.scalars["growth"] == pytest.approx(grown, rel=1e-4)
        assert drawing.scalars["growth"] > 1


def test_without_layers_first_middle_and_last_convolution():
    deep = nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(7)])
    assert [drawing.layer for drawing in FEW().drawings(deep, PROBE)] == ["0", "3", "6"]
    assert [drawing.layer for drawing in FEW().drawings(convnet(), PROBE)] == ["0", "3"]


def test_one_unit():
    model = convnet()
    (drawing,) = FEW(layers="3", unit=2).drawings(model, PROBE)
    assert np.array_equal(
        drawing.values["image"], deep_dream(model, "3", PHOTOGRAPHS[:1], 2, octaves=2, jitter=3, unit=2)[0]
    )
    assert drawing.meta["unit"] == 2


def test_a_photograph_larger_than_those_of_training(tmp_path: Path):
    large = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(1))
    callback = FEW(layers="0", probe=Probe(large), on_error="raise")
    model = convnet()  # what comes after the layers takes one size only
    (drawing,) = callback.drawings(model)
    assert drawing.meta["size"] == [50, 70]
    assert drawing.pictures[0].shape == (50, 70, 3)


def test_each_record_keeps_its_photograph(tmp_path: Path):
    trainer = fit("pytorch_lightning", tmp_path, FEW(on_error="raise"))
    records = contents(trainer).records
    assert records
    assert all(record.probe for record in records)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"image": -1}, "image=-1"),
        ({"unit": 1.5}, "unit=1.5"),
        ({"steps": 0}, "steps=0"),
        ({"octaves": 0}, "octaves=0"),
        ({"jitter": -1}, "jitter=-1"),
        ({"step_size": 0}, "step_size must be more than 0"),
        ({"octave_scale": 1}, "octave_scale more than 1"),
    ],
)
def test_wrong_arguments_fail_when_it_is_made(arguments: dict[str, object], reason: str):
    with pytest.raises(ValueError, match=f"DeepDream.*{reason}"):
        DeepDream(**arguments)


def test_an_image_that_the_probe_lacks_is_named():
    with pytest.raises(ValueError, match=r"DeepDream\(image=5\): the probe has 2 images"):
        FEW(image=5).drawings(convnet(), PROBE)
