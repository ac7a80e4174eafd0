from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from captum.attr import Saliency as CaptumSaliency
from contract.harness import contents, fit
from helpers.checks import assert_same_map, left_as_found
from helpers.drawings import only
from helpers.networks import convnet
from torch import Tensor, nn

from lightning_viz import Context, GradCAM, Probe, Saliency
from lightning_viz.render import heat_map, image_picture, mosaic, overlay

IMAGES = torch.rand(3, 3, 12, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([4, 0, 4])
BOTH = [GradCAM, Saliency]

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor")  # what Captum says about requires_grad


def expected_maps(kind: type, model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    images = images.clone().requires_grad_()
    if kind is Saliency:
        return CaptumSaliency(model).attribute(images, classes).amax(1)
    return LayerGradCam(model, model[4]).attribute(images, classes, relu_attributions=True)[:, 0].detach()


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("kind", BOTH)
def test_the_maps_are_captums_and_about_the_labels(kind, channels):
    model, images = convnet(channels), torch.rand(3, channels, 12, 20)
    drawing = only(kind(), model, Probe((images, LABELS)))
    assert_same_map(drawing.values["maps"], expected_maps(kind, model, images, LABELS))
    assert drawing.layer == ("output" if kind is Saliency else "4")
    assert drawing.pictures[0].shape == (2 * 12 + 1, 3 * 20 + 2, 3)


@pytest.mark.parametrize("kind", BOTH)
def test_without_labels_the_class_is_fixed_when_first_drawn(kind):
    callback, model, probe = kind(), convnet(), Probe(IMAGES)
    first = model(IMAGES).argmax(1)
    before = only(callback, model, probe)
    with torch.no_grad():
        model[-1].bias[(first[0] + 1) % 5] += 100
    after = only(callback, model, probe, before=[before])
    now = model(IMAGES).argmax(1)
    assert (first != now).all()
    assert [one["shown"] for one in before.meta["predictions"]] == first.tolist()
    assert [one["shown"] for one in after.meta["predictions"]] == first.tolist()
    assert [one["predicted"] for one in after.meta["predictions"]] == now.tolist()
    # A bias has no derivative: the maps of the same class are the same.
    assert torch.equal(after.values["maps"], before.values["maps"])
    assert not torch.equal(only(kind(), model, probe).values["maps"], before.values["maps"])


@pytest.mark.parametrize("kind", BOTH)
def test_a_new_fit_forgets_the_class_and_the_layer(kind, tmp_path: Path):
    callback, model = kind(on_error="raise"), convnet(classes=3)
    with torch.no_grad():
        model[-1].bias[2] += 100
    only(callback, model, Probe(IMAGES))
    fit("pytorch_lightning", tmp_path, callback, max_epochs=1)
    trainer = fit("pytorch_lightning", tmp_path, callback, max_epochs=1)
    records = contents(trainer).records
    assert [record.method for record in records] == [callback.method] * 2
    labels = [one["label"] for one in records[0].meta["predictions"]]
    for record in records:
        assert [one["shown"] for one in record.meta["predictions"]] == labels
        assert record.layer == ("output" if kind is Saliency else "net.7")


@pytest.mark.parametrize("kind", BOTH)
def test_the_caption_says_class_scale_and_what_the_images_are(kind):
    model = convnet()
    probe = Probe((IMAGES, LABELS), class_names=["ant", "bee", "cat", "dog", "elk"])
    drawing = only(kind(), model, probe)
    shares, predicted = model(IMAGES).softmax(1).max(1)
    parts = []
    for number, (label, guess, share) in enumerate(zip(LABELS, predicted, shares, strict=True)):
        taken = "" if label == guess else f", taken for {probe.class_names[guess]}"
        parts.append(f"{number}: {probe.class_names[label]}{taken} {share.item():.0%}")
    most = drawing.values["maps"].max().item()
    scale = {
        GradCAM: f"dark to bright: 0 to {most:.3g}",
        Saliency: "black to white: each map from 0 to its own maximum",
    }
    assert drawing.captions == [f"{'; '.join(parts)} | {scale[kind]} | image as the network gets them"]


@pytest.mark.parametrize("kind", BOTH)
def test_the_numbers_that_it_takes_to_draw_anew(kind):
    drawing = only(kind(), convnet(), Probe((IMAGES, LABELS)))
    maps = drawing.values["maps"]
    assert drawing.meta["vmin"] == maps.min()
    assert drawing.meta["vmax"] == maps.max()
    assert drawing.meta["size"] == [12, 20]
    assert [one["label"] for one in drawing.meta["predictions"]] == LABELS.tolist()
    names = {item.name: item.shape for item, _ in drawing.blobs()}
    assert names["maps"] == tuple(maps.shape)


def test_the_pictures_are_the_images_above_their_maps_on_one_scale():
    probe = Probe((IMAGES * 4 - 2, LABELS), mean=0.5, std=0.25)
    drawing = only(GradCAM(), convnet(), probe)
    photographs = [image_picture(one) for one in probe.unnormalised()[0]]
    most = drawing.values["maps"].max().item()
    laid = [overlay(one, values, vmax=most) for one, values in zip(photographs, drawing.values["maps"], strict=True)]
    assert np.array_equal(drawing.pictures[0], mosaic([photographs, laid]))
    assert "image un-normalised with mean and std" in drawing.captions[0]


def test_saliency_is_drawn_on_each_maps_own_scale():
    drawing = only(Saliency(), convnet(), Probe((IMAGES, LABELS)))
    page = drawing.pictures[0]
    for number, values in enumerate(drawing.values["maps"]):
        tile = page[13:, 21 * number : 21 * number + 20]
        assert np.array_equal(tile, heat_map(values, vmin=0, colours="grey"))
        assert tile.max() == 255


def test_grad_cam_of_several_layers_each_on_its_own_scale():
    callback = GradCAM(layers=["4", "0", "2"])
    drawings = list(callback.drawings(convnet(), Probe((IMAGES, LABELS))))
    assert [drawing.layer for drawing in drawings] == ["0", "2", "4"]
    assert [tuple(drawing.values["maps"].shape[1:]) for drawing in drawings] == [(10, 18), (4, 8), (4, 8)]
    for drawing in drawings:
        (alone,) = GradCAM(layers=drawing.layer).drawings(convnet(), Probe((IMAGES, LABELS)))
        assert torch.equal(drawing.values["maps"], alone.values["maps"])
        assert f"0 to {drawing.values['maps'].max():.3g} |" in drawing.captions[0]


def test_grad_cam_takes_a_function_for_layers_without_maps():
    model = convnet()
    model.insert(5, nn.Flatten(2))
    probe = Probe((IMAGES, LABELS))
    drawing = only(GradCAM(layers="5", reshape=lambda output: output.unflatten(2, (4, 8))), model, probe)
    assert torch.equal(drawing.values["maps"], only(GradCAM(), convnet(), probe).values["maps"])


def test_maps_of_zeros_are_said_to_be():
    model = convnet()
    nn.init.zeros_(model[-1].weight)
    drawing = only(GradCAM(layers="4"), model, Probe((IMAGES, LABELS)))
    assert not drawing.values["maps"].any()
    assert "all maps are zero: nothing speaks for the class" in drawing.captions[0]
    assert drawing.meta["vmin"] == drawing.meta["vmax"] == 0


def test_maps_that_are_not_numbers_are_drawn_as_such_and_not_said_to_be_zero():
    images = IMAGES.clone()
    images[:] = torch.nan
    for callback in (GradCAM(), Saliency()):
        drawing = only(callback, convnet(), Probe((images, LABELS)))
        assert len(list(drawing.blobs())) == 2
        assert (drawing.pictures[0][:12] == (255, 0, 255)).all(-1).any()
    drawing = only(GradCAM(), convnet(), Probe((images, LABELS)))
    assert drawing.values["maps"].isnan().all()
    assert (drawing.pictures[0][13:, :20] == (255, 0, 255)).all()
    assert "all maps are zero" not in drawing.captions[0]


@pytest.mark.parametrize("kind", BOTH)
def test_the_probe_says_where_the_scores_are(kind):
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = convnet()

        def forward(self, images: Tensor) -> tuple[int, Tensor]:
            return 0, self.net(images)

    drawing = only(kind(), Packed(), Probe((IMAGES, LABELS), output=1))
    assert torch.equal(drawing.values["maps"], only(kind(), convnet(), Probe((IMAGES, LABELS))).values["maps"])
    with pytest.raises(TypeError, match=r"Probe\(output=...\)"):
        only(kind(), Packed(), Probe((IMAGES, LABELS)))


@pytest.mark.parametrize("kind", BOTH)
def test_a_model_of_one_score_is_drawn_for_both_classes(kind):
    model, labels = convnet(classes=1), torch.tensor([0, 1, 0])
    with torch.no_grad():
        model[-1].weight.copy_(model[-1].weight.abs() * torch.linspace(-1, 1, 256))
    drawing = only(kind(), model, Probe((IMAGES, labels)))
    two = nn.Sequential(*model, nn.Linear(1, 2, bias=False))
    two[-1].weight.data.copy_(torch.tensor([[-1.0], [1.0]]))
    torch.testing.assert_close(drawing.values["maps"], expected_maps(kind, two, IMAGES, labels))
    assert [one["shown"] for one in drawing.meta["predictions"]] == labels.tolist()


@pytest.mark.parametrize("kind", BOTH)
def test_drawing_leaves_model_and_probe_as_found(kind):
    model, probe = convnet().train(), Probe((IMAGES.clone(), LABELS))
    with left_as_found(model):
        only(kind(), model, probe)
    assert torch.equal(probe.images, IMAGES)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "relu"}, r"\(activation='relu'\): choices are 'softmax', 'sigmoid', 'none'"),
        ({"on_error": "ignore"}, r"\(on_error='ignore'\): must be"),
        ({"layers": []}, r"\(layers=\[\]\): must be"),
        ({"probe": IMAGES}, r"\(probe=...\): must be a Probe; got a Tensor"),
        ({"every_n_epochs": 0}, ""),
    ],
)
def test_wrong_arguments_are_refused_when_constructed(kind, arguments, message):
    with pytest.raises(ValueError, match=rf"^{kind.__name__}{message}"):
        kind(**arguments)


@pytest.mark.parametrize("kind", BOTH)
def test_a_layer_that_the_model_lacks_is_refused_before_the_first_batch(kind):
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\(layers='conv'\): .*no layer \"conv\""):
        kind(layers="conv").needs(Context(convnet()))
