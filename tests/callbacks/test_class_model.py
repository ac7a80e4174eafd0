from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.harness import contents, fit, store_of
from helpers import networks
from helpers.checks import left_as_found
from helpers.data import CleanImages
from helpers.drawings import only
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn
from torch.utils.data import TensorDataset

from lightning_viz import ClassModel, Probe
from lightning_viz.functional import Regularisation, class_model
from lightning_viz.render import image_picture, mosaic

convnet = partial(networks.convnet, size=(24, 40))
NAMES = ["ant", "bee", "cat", "dog", "elk"]
IMAGES = torch.rand(12, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
DATA = TensorDataset(IMAGES, torch.arange(12) % 5)
PROBE = Probe((IMAGES[:4], torch.arange(4)), mean=0.5, std=0.5, class_names=NAMES)
FEW = partial(ClassModel, steps=3, warm_steps=2)


def model_of_5():
    model = convnet()
    assert model(IMAGES[:1]).shape == (1, 5)
    return model


def test_each_class_has_an_image_its_score_and_its_probability():
    model = model_of_5()
    with left_as_found(model):
        drawing = only(FEW(), model, PROBE, DATA)
    images = class_model(model, range(5), images=IMAGES, steps=3)
    assert np.array_equal(drawing.values["images"], images)
    scores = model(images)
    for number, target in enumerate(drawing.meta["targets"]):
        assert (target["unit"], target["name"], target["mark"]) == (number, NAMES[number], None)
        assert target["score"] == pytest.approx(float(scores[number, number]), rel=1e-4, abs=1e-5)
        assert target["probability"] == pytest.approx(float(scores.softmax(1)[number, number]), rel=1e-4)
        assert target["is_best"] == (int(scores[number].argmax()) == number)
    assert drawing.scalars["probability"] == pytest.approx(float(scores.softmax(1).diag().mean()), rel=1e-4)
    assert drawing.layer == "output"
    assert (drawing.meta["kind"], drawing.meta["unit_count"], drawing.meta["reference"]) == ("classes", 5, 12)


def test_the_picture_holds_a_tile_for_each_target():
    drawing = only(FEW(), model_of_5(), PROBE, DATA)
    shown = [image_picture(image) for image in PROBE.unnormalise(torch.as_tensor(drawing.values["images"]))[0]]
    assert np.array_equal(drawing.pictures[0], mosaic([shown[:3], shown[3:]], 256))
    assert (drawing.meta["columns"], drawing.meta["tile"], drawing.meta["size"]) == (3, [24, 40], [24, 40])
    assert "ant" in drawing.captions[0]
    assert "fourier, cold start, 3 steps" in drawing.captions[0]


def test_units_of_layers():
    drawings = FEW(layers=["0", "3"], targets=[2, 0]).drawings(model_of_5(), PROBE, DATA)
    assert [drawing.layer for drawing in drawings] == ["0", "3"]
    for drawing in drawings:
        images = class_model(model_of_5(), [2, 0], drawing.layer, IMAGES, steps=3)
        assert np.array_equal(drawing.values["images"], images)
        assert [target["name"] for target in drawing.meta["targets"]] == ["unit 2", "unit 0"]
        assert drawing.meta["kind"] == "units"
        assert not drawing.scalars


def test_it_goes_on_from_the_drawing_before_and_says_so():
    model = model_of_5()
    first = only(FEW(), model, PROBE, DATA)
    second = only(FEW(), model, PROBE, DATA, before=[first])
    assert [(one.meta["start"], one.meta["steps"]) for one in (first, second)] == [("cold", 3), ("warm", 2)]
    init = torch.as_tensor(first.values["images"])
    assert np.array_equal(second.values["images"], class_model(model, range(5), images=IMAGES, steps=2, init=init))
    for other in (FEW(targets=[1]), FEW(regularisation="maco")):
        assert only(other, model, PROBE, DATA, before=[first]).meta["start"] == "cold"


def test_without_data_the_probe_says_how_an_image_may_look():
    drawing = only(FEW(), model_of_5(), PROBE)
    assert drawing.meta["reference"] == 4
    assert np.array_equal(drawing.values["images"], class_model(model_of_5(), range(5), images=IMAGES[:4], steps=3))


def test_outputs_that_are_no_classes_have_no_probability():
    drawing = only(FEW(), model_of_5(), Probe(IMAGES[:4]))
    assert drawing.meta["kind"] == "outputs"
    assert [target["name"] for target in drawing.meta["targets"]] == [f"output {number}" for number in range(5)]
    assert all(target["probability"] is None for target in drawing.meta["targets"])
    assert not drawing.scalars


def test_a_single_output_has_two_classes():
    model = nn.Sequential(convnet(), nn.Linear(5, 1))
    probe = Probe((IMAGES[:2], torch.tensor([0, 1])), class_names=["no", "yes"])
    targets = only(FEW(), model, probe).meta["targets"]
    assert [target["name"] for target in targets] == ["no", "yes"]
    images = torch.as_tensor(only(FEW(), model, probe).values["images"])
    yes = model(images).sigmoid()[:, 0]
    assert [target["probability"] for target in targets] == pytest.approx([float(1 - yes[0]), float(yes[1])], rel=1e-4)


def test_a_dead_unit_is_marked_and_not_drawn():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 22 * 38, 5))
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, -1
    drawing = only(FEW(layers="1"), model, PROBE)
    dead = drawing.meta["targets"][1]
    assert (dead["mark"], dead["score"], dead["is_best"]) == ("dead", None, False)
    assert np.isnan(drawing.values["images"][1]).all()
    assert [target["mark"] for target in drawing.meta["targets"]] == [None, "dead", None, None]
    assert "unit 1 is dead: nothing moves it" in drawing.captions[0]
    again = only(FEW(layers="1"), model, PROBE, before=[drawing])
    assert (again.meta["start"], again.meta["targets"][1]["mark"]) == ("warm", "dead")


def test_of_many_classes_those_of_the_probe_come_first():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 40, 100))
    probe = Probe((IMAGES[:2], torch.tensor([77, 3])))
    units = [target["unit"] for target in only(FEW(), model, probe).meta["targets"]]
    assert units[:2] == [77, 3]
    assert len(units) == len(set(units)) == 16


@pytest.mark.parametrize("schedule", [{}, {"epochs": []}, {"every_n_train_steps": 3}, {"every_n_train_steps": 5}])
def test_the_first_and_the_last_start_cold(schedule: dict[str, int], tmp_path: Path):
    trainer = fit("pytorch_lightning", tmp_path, FEW(**schedule, on_error="raise"), max_epochs=3)
    records = contents(trainer).records
    starts = [record.meta["start"] for record in records]
    assert starts == ["cold", *["warm"] * (len(starts) - 2), "cold"]
    assert [record.meta["steps"] for record in records] == [*[2] * (len(starts) - 1), 3]
    assert records[-1].batches == 18
    assert len(list(store_of(trainer).glob("blobs/*"))) == 2 * len(records)


def test_where_early_stopping_comes_later_the_last_is_drawn_again_cold(tmp_path: Path):
    stops = EarlyStopping("loss", stopping_threshold=1e9, mode="min", check_on_train_epoch_end=True)
    callback = FEW(every_n_epochs=1, on_error="raise")
    trainer = fit("pytorch_lightning", tmp_path, [callback, stops], max_epochs=9)
    assert [(record.batches, record.meta["start"]) for record in contents(trainer).records] == [
        (0, "cold"),
        (6, "cold"),
    ]


def test_in_a_fit_the_data_are_read_once(tmp_path: Path):
    class Counted(CleanImages):
        reads = 0

        def __getitem__(self, index: int):
            Counted.reads += 1
            return super().__getitem__(index)

    fit("pytorch_lightning", tmp_path, FEW(reference=Counted(), every_n_epochs=1, on_error="raise"), max_epochs=3)
    assert 0 < Counted.reads <= 3 * len(CleanImages())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"targets": []}, "targets=.*at least one"),
        ({"targets": [-1]}, "targets="),
        ({"targets": 3}, "targets="),
        ({"steps": 0}, "steps=0"),
        ({"warm_steps": 1.5}, "warm_steps=1.5"),
        ({"regularisation": "l3"}, "'l3'.*'fourier'"),
        ({"place": "corner"}, "'corner'.*'mean'"),
        ({"activation": "softplus"}, "softplus"),
    ],
)
def test_wrong_arguments_fail_when_it_is_made(arguments: dict[str, object], reason: str):
    with pytest.raises(ValueError, match=f"ClassModel.*{reason}"):
        ClassModel(**arguments)


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="ClassModel: there is no class 7; there are 5"):
        only(FEW(targets=[7]), model_of_5(), PROBE)
    with pytest.raises(ValueError, match='ClassModel: there is no unit of "0" 99'):
        only(FEW(layers="0", targets=[99]), model_of_5(), PROBE)


def test_terms_of_ones_own():
    own = Regularisation(l2=0.1)
    drawing = only(FEW(regularisation=own), model_of_5(), PROBE)
    assert drawing.meta["regularisation"] == "own"
    expected = class_model(model_of_5(), range(5), images=IMAGES[:4], steps=3, regularisation=own)
    assert np.array_equal(drawing.values["images"], expected)
