import numpy as np
import pytest
import torch
from helpers.checks import left_as_found
from helpers.networks import Calls, convolutions
from torch import Tensor, nn

from lightning_viz import ActivationMaps, Context, Drawing, Probe
from lightning_viz.callbacks.activations import KEPT
from lightning_viz.render import heat_map, image_picture

IMAGES = torch.rand(3, 3, 24, 40, generator=torch.Generator().manual_seed(0))


def draw(model: nn.Module, layers: str | list[str] | None, images: Tensor = IMAGES, **probe: object) -> list[Drawing]:
    return list(ActivationMaps(layers=layers).drawings(model, Probe(images, **probe)))


def drawn(maps: Tensor) -> Drawing:
    (drawing,) = draw(nn.Sequential(Calls(lambda images: maps)), "0", IMAGES[: len(maps)])
    return drawing


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
def test_the_maps_are_the_layers_the_most_active_units_first(layer, channels):
    model, images = convolutions(channels), torch.rand(3, channels, 24, 40)
    (drawing,) = draw(model, layer, images)
    with torch.no_grad():
        maps = images
        for part in model[: int(layer) + 1]:
            maps = part(maps.clone())
    positive = maps.clamp(min=0).mean((2, 3))
    units = sorted(range(maps.shape[1]), key=lambda unit: -positive[:, unit].mean())
    assert drawing.meta["units"] == units
    assert torch.equal(drawing.values["maps"], maps[:, units])
    torch.testing.assert_close(drawing.values["activity"], positive)
    assert drawing.meta["vmin"] == maps.min()
    assert drawing.meta["vmax"] == maps.max()
    assert drawing.meta["unit_count"] == maps.shape[1]
    assert drawing.meta["size"] == [24, 40]


def test_without_layers_it_is_the_first_and_the_last_convolution():
    assert [drawing.layer for drawing in draw(convolutions(), None)] == ["0", "4"]
    assert [drawing.layer for drawing in draw(nn.Sequential(nn.Conv2d(3, 4, 3)), None)] == ["0"]
    assert [drawing.layer for drawing in draw(convolutions(), ["3", "1"])] == ["1", "3"]


def test_shares_of_zeros_and_of_dead_units():
    maps = torch.zeros(2, 4, 3, 5)
    maps[0, 1, 0, 0], maps[1, 2], maps[:, 3] = 2.0, 1.0, -1.0
    drawing = drawn(maps)
    alive = 1 + 15
    assert drawing.scalars["share of zeros"] == pytest.approx(1 - alive / maps.numel())
    assert drawing.meta["zeros"] == drawing.scalars["share of zeros"]
    assert drawing.scalars["share of dead units"] == 0.5
    assert drawing.meta["units"] == [2, 1, 0, 3]


def test_a_large_layer_keeps_the_maps_of_its_most_active_units_up_to_a_mebibyte():
    maps = torch.rand(2, 40, 64, 96) * torch.linspace(0.1, 1, 40)[:, None, None]
    drawing = drawn(maps)
    kept = KEPT // (2 * 64 * 96)
    assert 1 < kept < 40
    assert drawing.meta["units"] == list(range(39, 39 - kept, -1))
    assert torch.equal(drawing.values["maps"], maps[:, drawing.meta["units"]])
    assert drawing.values["maps"].numel() <= KEPT
    assert drawing.values["activity"].shape == (2, 40)


def test_one_unit_is_kept_however_large():
    maps = torch.rand(1, 2, 600, 600)
    assert drawn(maps).values["maps"].shape == (1, 1, 600, 600)


def test_the_picture_has_a_row_per_image_and_a_column_per_unit_on_one_scale():
    maps = torch.rand(2, 15, 24, 40) * torch.linspace(1, 0.1, 15)[:, None, None]
    drawing = drawn(maps)
    page = drawing.pictures[0]
    assert page.shape == (2 * 25 - 1, 13 * 41 - 1, 3)
    for image in range(2):
        row = page[25 * image :][:24]
        assert np.array_equal(row[:, :40], image_picture(IMAGES[image]))
        for column, unit in enumerate(drawing.meta["units"][:12], start=1):
            expected = heat_map(maps[image, unit], vmin=0, vmax=maps.max().item())
            assert np.array_equal(row[:, 41 * column : 41 * column + 40], expected)


def test_where_there_are_negative_values_zero_is_white():
    maps = torch.randn(2, 3, 24, 40)
    maps[0, 0, 0, 0] = 0
    drawing = drawn(maps)
    bound = maps.abs().max().item()
    for column, unit in enumerate(drawing.meta["units"], start=1):
        expected = heat_map(maps[0, unit], -bound, bound, "diverging")
        assert np.array_equal(drawing.pictures[0][:24, 41 * column : 41 * column + 40], expected)


def test_small_maps_are_enlarged_in_whole_pixels():
    maps = torch.rand(2, 3, 6, 10)
    drawing = drawn(maps)
    tile = drawing.pictures[0][:24, 41 : 41 + 40]
    small = heat_map(maps[0, drawing.meta["units"][0]], vmin=0, vmax=maps.max().item())
    assert np.array_equal(tile, small.repeat(4, axis=0).repeat(4, axis=1))


def test_the_caption_names_units_scale_and_share_of_zeros():
    maps = torch.tensor([0.5, 0.0, 2.0, -0.25]).reshape(1, 4, 1, 1).expand(1, 4, 2, 3)
    drawing = drawn(maps)
    assert drawing.captions == [
        "units 2, 0, 1, 3 by mean activity, -0.25 to 2; 50% of the layer is zero or below | image as the network gets "
        "them"
    ]


def test_a_layer_without_places_is_drawn():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 40, 6))
    (drawing,) = draw(model, "1")
    assert drawing.values["maps"].shape == (3, 6, 1, 1)
    torch.testing.assert_close(drawing.values["maps"].flatten(1), model(IMAGES)[:, drawing.meta["units"]].detach())
    assert len(drawing.pictures) == 1


def test_what_is_not_finite_comes_first_and_is_marked():
    maps = torch.rand(1, 3, 24, 40)
    maps[0, 1] = torch.nan
    drawing = drawn(maps)
    finite = maps[:, [0, 2]]
    assert drawing.meta["units"][0] == 1
    assert (drawing.pictures[0][:, 41:81] == (255, 0, 255)).all()
    assert drawing.meta["vmin"] == finite.min()
    assert drawing.meta["vmax"] == finite.max()
    assert len(list(drawing.blobs())) == 3


def test_a_layer_of_zeros_is_drawn_and_said_to_be():
    drawing = drawn(torch.zeros(2, 3, 4, 5))
    assert drawing.scalars == {"share of zeros": 1.0, "share of dead units": 1.0}
    assert "100% of the layer is zero or below" in drawing.captions[0]
    assert drawing.meta["vmin"] == drawing.meta["vmax"] == 0


def test_drawing_leaves_model_and_probe_as_found():
    model, images = convolutions().train(), IMAGES.clone()
    with left_as_found(model):
        assert draw(model, None, images)
    assert torch.equal(images, IMAGES)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^ActivationMaps\(layers='conv'\): .*no layer \"conv\""):
        ActivationMaps(layers="conv").needs(Context(convolutions()))
    with pytest.raises(ValueError, match="^ActivationMaps: .*Conv"):
        ActivationMaps().needs(Context(nn.Sequential(nn.Flatten(), nn.Linear(3, 4))))
    with pytest.raises(ValueError, match=r"^ActivationMaps\(epochs="):
        ActivationMaps(epochs=[-1])
