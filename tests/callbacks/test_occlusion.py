from pathlib import Path

import numpy as np
import pytest
import torch
from contract.harness import contents, fit
from helpers.drawings import only
from helpers.networks import convnet
from helpers.occluding import loop
from torch import nn

from lightning_viz import Occlusion, Probe
from lightning_viz.render import image_picture, mosaic, overlay

IMAGES = torch.rand(3, 3, 12, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([4, 0, 4])
SQUARE, STRIDE = 4, 3


def test_values_are_a_loops_about_the_labels():
    model = convnet()
    drawing = only(Occlusion(square=SQUARE, stride=STRIDE), model, Probe((IMAGES, LABELS)))
    truth = loop(model, IMAGES, SQUARE, STRIDE, together=False).scores.softmax(-1)
    assert truth.shape == (3, 4, 7, 5)
    for number, (image, label, shares) in enumerate(zip(IMAGES, LABELS, truth, strict=True)):
        assert (drawing.values["probability"][number] - shares[..., label]).abs().max() <= 1e-6
        assert torch.equal(drawing.values["predicted"][number].long(), shares.argmax(2))
        before = model(image[None])[0].softmax(0)[label].item()
        # The corner is under one square, the pixel at row 7, column 4 under those at rows 6 and columns 3.
        for row, column, over in ((0, 0, [(0, 0)]), (11, 19, [(3, 6)]), (7, 4, [(2, 1)]), (8, 4, [(2, 1), (3, 1)])):
            falls = [before - shares[place][label].item() for place in over]
            assert drawing.values["drop"][number, row, column] == pytest.approx(np.mean(falls), abs=1e-6)


def test_pictures_are_falls_over_photographs_on_one_scale():
    drawing = only(Occlusion(square=SQUARE, stride=STRIDE), convnet(), Probe((IMAGES, LABELS), mean=0.0, std=1.0))
    drop = drawing.values["drop"]
    parts = [
        overlay(image_picture(image), one, vmax=float(drop.max())) for image, one in zip(IMAGES, drop, strict=True)
    ]
    (picture,) = drawing.pictures
    assert (picture == mosaic([[image_picture(image) for image in IMAGES], parts])).all()
    assert drawing.meta["vmax"] == pytest.approx(float(drop.max()))
    assert f"square {SQUARE}, stride {STRIDE}" in drawing.captions[0]


def test_what_a_reader_needs_is_kept():
    probe = Probe((IMAGES, LABELS), class_names=list("abcde"))
    meta = only(Occlusion(), convnet(), probe).meta
    assert (meta["square"], meta["stride"], meta["class_names"]) == (2, 1, list("abcde"))
    assert [one["shown_name"] for one in meta["predictions"]] == ["e", "a", "e"]
    assert only(Occlusion(), convnet(), Probe((IMAGES, LABELS))).meta["class_names"] is None


def test_without_labels_the_class_is_fixed_when_first_drawn():
    callback, model, probe = Occlusion(square=6, stride=6), convnet(), Probe(IMAGES, class_names=list("abcde"))
    first = model(IMAGES).argmax(1).tolist()
    before = only(callback, model, probe)
    with torch.no_grad():
        model[-1].bias[(first[0] + 1) % 5] += 100
    after = only(callback, model, probe, before=[before])
    assert [one["shown"] for one in before.meta["predictions"]] == first
    assert [one["shown"] for one in after.meta["predictions"]] == first
    assert after.values["probability"].max() < 1e-6 < before.values["probability"].min()


def test_what_is_no_class_score_is_followed_as_it_is():
    model = nn.Sequential(*convnet()[:-1], nn.LazyLinear(1))
    model(IMAGES)
    drawn = only(Occlusion(square=6, stride=6), model.eval(), Probe(IMAGES))
    hidden = IMAGES.clone()
    hidden[:, :, :6, :6] = 0
    expected = model(hidden)[:, 0].detach()
    torch.testing.assert_close(drawn.values["probability"][:, 0, 0], expected, atol=1e-5, rtol=1e-5)
    assert "fall of the output" in drawn.captions[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"square": 0}, r"Occlusion\(square=0\): must be a whole number of 1 or more"),
        ({"stride": 1.5}, r"Occlusion\(stride=1.5\): must be a whole number"),
        ({"fill": "grey"}, 'must be a number, one per channel, "mean" or "blur"'),
        ({"activation": "tanh"}, "activation"),
        ({"epochs": [1], "every_n_epochs": 2}, "exclude each other"),
    ],
)
def test_wrong_arguments_are_refused_when_constructed(arguments, message):
    with pytest.raises(ValueError, match=message):
        Occlusion(**arguments)


def test_in_a_trainer_it_draws_at_spread_epochs_and_the_last(tmp_path: Path):
    trainer = fit("pytorch_lightning", tmp_path, Occlusion(square=4, on_error="raise"), max_epochs=4)
    records = contents(trainer).records
    assert [record.epoch for record in records] == [0, 1, 2, 4]
    assert {item.name for item in records[0].items if item.kind == "values"} == {"drop", "probability", "predicted"}


def test_a_square_larger_than_the_image_fails_the_drawing_and_not_the_run(tmp_path: Path):
    records = contents(fit("pytorch_lightning", tmp_path, Occlusion(square=500), max_epochs=1)).records
    assert len(records) == 2
    assert all("square=500" in (record.error or "") for record in records)
