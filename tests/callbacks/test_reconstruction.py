from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.harness import contents, fit
from helpers import networks
from helpers.checks import assert_same_map, left_as_found
from helpers.drawings import only
from torch import Tensor, nn

from lightning_viz import Context, Probe, Reconstruction
from lightning_viz.functional import activation_maps, reconstruct
from lightning_viz.functional.backward.rules import RULES
from lightning_viz.render import image_picture, mosaic, signed_picture

IMAGES = torch.rand(3, 3, 24, 40, generator=torch.Generator().manual_seed(0))

convnet = partial(networks.convnet, size=(24, 40))


def pasted(values: Tensor, boxes: list[list[int]], size: list[int]) -> Tensor:
    """Put the boxes back where they were cut out."""
    whole = torch.zeros(*values.shape[:2], *size)
    for number, (top, left, bottom, right) in enumerate(boxes):
        whole[number, :, top:bottom, left:right] = values[number]
    return whole


def span_of(line: Tensor) -> int:
    places = line.nonzero()
    return int(places.max() - places.min()) + 1


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("layer", ["0", "1", "3", "4", "6"])
def test_the_boxes_hold_all_that_arrived_and_paste_back_to_the_reconstruction(layer, channels):
    model, images = convnet(channels), torch.rand(3, channels, 24, 40)
    drawing = only(Reconstruction(layers=layer), model, Probe(images))
    boxes, size = drawing.meta["boxes"], drawing.meta["size"]
    assert size == [24, 40]
    assert list(drawing.values) == list(RULES)
    down = {rule: reconstruct(model, layer, images, rule=rule) for rule in RULES}
    for rule, values in drawing.values.items():
        assert_same_map(pasted(values, boxes, size), down[rule])
        assert torch.equal(pasted(values, boxes, size) != 0, down[rule] != 0)
    # One size for all, as small as can be.
    reached = torch.stack(list(down.values())).ne(0).any(2).any(0)
    spans = [[span_of(image.any(1)), span_of(image.any(0))] for image in reached]
    largest = tuple(max(side) for side in zip(*spans, strict=True))
    assert {(bottom - top, right - left) for top, left, bottom, right in boxes} == {largest}
    assert all(0 <= top < bottom <= 24 and 0 <= left < right <= 40 for top, left, bottom, right in boxes)


def test_without_layers_it_is_the_last_convolution():
    drawing = only(Reconstruction(), convnet(), Probe(IMAGES))
    assert drawing.layer == "3"


def test_each_image_shows_its_strongest_unit_where_it_is_strongest():
    model = convnet()
    drawing = only(Reconstruction(), model, Probe(IMAGES))
    maps = activation_maps(model, "3", IMAGES)
    for image in range(3):
        unit, (row, column) = drawing.meta["units"][image], drawing.meta["positions"][image]
        assert maps[image, unit, row, column] == maps[image].max()
        assert drawing.meta["activations"][image] == pytest.approx(maps[image].max().item())


def test_the_unit_can_be_named():
    model = convnet()
    drawing = only(Reconstruction(unit=2), model, Probe(IMAGES))
    maps = activation_maps(model, "3", IMAGES)[:, 2]
    assert drawing.meta["units"] == [2, 2, 2]
    assert drawing.meta["activations"] == pytest.approx(maps.amax((1, 2)).tolist())
    expected = reconstruct(model, "3", IMAGES, units=2, rule="guided")
    assert_same_map(pasted(drawing.values["guided"], drawing.meta["boxes"], [24, 40]), expected)
    with pytest.raises(ValueError, match=r"Reconstruction\(unit=8\): the layer has 8 units"):
        only(Reconstruction(unit=8), model, Probe(IMAGES))


@pytest.mark.parametrize("rule", [*RULES, ["guided", "deconvnet"]])
def test_rules_stand_below_the_images_in_the_order_in_which_they_were_named(rule):
    model, rules = convnet(), [rule] if isinstance(rule, str) else rule
    drawing = only(Reconstruction(rule=rule), model, Probe(IMAGES))
    assert list(drawing.values) == list(drawing.meta["bounds"]) == rules
    down = {one: reconstruct(model, "3", IMAGES, rule=one) for one in rules}
    rows = [[image_picture(one) for one in IMAGES], *([signed_picture(one) for one in down[each]] for each in rules)]
    assert np.array_equal(drawing.pictures[0], mosaic(rows))
    for one in rules:
        assert drawing.meta["bounds"][one] == pytest.approx(down[one].abs().max().item())
    excited = ", ".join(
        f"{unit} ({value:.3g})" for unit, value in zip(drawing.meta["units"], drawing.meta["activations"], strict=True)
    )
    assert drawing.captions == [
        f"rows: image, {', '.join(rules)}, each picture on its own scale, grey is zero | unit and activation: {excited}"
        " | image as the network gets them"
    ]


def test_several_layers_each_with_boxes_of_its_own():
    drawings = list(Reconstruction(layers=["3", "0"]).drawings(convnet(), Probe(IMAGES)))
    assert [drawing.layer for drawing in drawings] == ["0", "3"]
    for drawing, side in zip(drawings, (3, 9), strict=True):
        assert {(bottom - top, right - left) for top, left, bottom, right in drawing.meta["boxes"]} == {(side, side)}
        assert {values.shape for values in drawing.values.values()} == {(3, 3, side, side)}


def test_where_nothing_arrives_the_boxes_are_single_pixels_of_zero():
    model = convnet()
    nn.init.constant_(model[3].bias, -100)
    drawing = only(Reconstruction(layers="4"), model, Probe(IMAGES))
    assert drawing.meta["boxes"] == [[0, 0, 1, 1]] * 3
    assert drawing.meta["bounds"] == dict.fromkeys(RULES, 0.0)
    assert (drawing.pictures[0][25:49, :40] == 128).all()


def test_images_that_are_not_numbers_are_drawn_as_such():
    images = IMAGES.clone()
    images[1] = torch.nan
    drawing = only(Reconstruction(), convnet(), Probe(images))
    clean = only(Reconstruction(), convnet(), Probe(IMAGES))
    assert len(list(drawing.blobs())) == 1 + len(RULES)
    assert np.isnan(drawing.meta["activations"][1])
    assert drawing.meta["activations"][::2] == clean.meta["activations"][::2]
    assert (drawing.pictures[0][:24, 41:81] == (255, 0, 255)).all()


def test_the_images_are_shown_as_they_were_before_normalisation():
    drawing = only(Reconstruction(), convnet(), Probe(4 * IMAGES - 2, mean=0.5, std=0.25))
    assert np.abs(drawing.pictures[0][:24, :40] - 255 * IMAGES[0].permute(1, 2, 0).numpy()).max() <= 0.51
    assert drawing.captions[0].endswith("| image un-normalised with mean and std")


def test_drawing_leaves_model_and_probe_as_found():
    model, probe = convnet().train(), Probe(IMAGES.clone())
    with left_as_found(model):
        only(Reconstruction(), model, probe)
    assert torch.equal(probe.images, IMAGES)


def test_a_trainer_keeps_every_moment(tmp_path: Path):
    trainer = fit("pytorch_lightning", tmp_path, Reconstruction(on_error="raise"))
    records = contents(trainer).records
    assert [record.layer for record in records] == ["net.7"] * 3
    assert [record.epoch for record in records] == [0, 1, 2]
    assert all(record.error is None or record.error == "" for record in records)
    assert [item.name for item in records[0].items] == ["picture 0", *RULES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "deconv"}, "^Reconstruction: there is no rule 'deconv'. Choices: 'deconvnet', 'guided', 'gradient'"),
        ({"rule": ["guided", "grad"]}, "^Reconstruction: there is no rule 'grad'"),
        ({"rule": []}, r"^Reconstruction\(rule=\[\]\): choices are 'deconvnet', 'guided', 'gradient'"),
        ({"unit": -1}, r"^Reconstruction\(unit=-1\): must be 0 or more"),
        ({"layers": ""}, r"^Reconstruction\(layers=''\)"),
        ({"on_error": "ignore"}, r"^Reconstruction\(on_error='ignore'\)"),
    ],
)
def test_wrong_arguments_are_refused_when_constructed(arguments, message):
    with pytest.raises(ValueError, match=message):
        Reconstruction(**arguments)


def test_what_does_not_fit_the_model_is_refused_before_the_first_batch():
    with pytest.raises(ValueError, match=r"^Reconstruction\(layers='conv'\): .*no layer \"conv\""):
        Reconstruction(layers="conv").needs(Context(convnet()))
    with pytest.raises(ValueError, match="^Reconstruction: .*Conv"):
        Reconstruction().needs(Context(nn.Sequential(nn.Flatten(), nn.Linear(3, 4))))
    assert list(Reconstruction(layers=["0", "6"]).needs(Context(convnet())).layers) == ["0", "6"]
