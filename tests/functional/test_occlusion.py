"""Occlusion maps: what is shown, what hides, where; models as they come; errors."""

from contextlib import nullcontext

import pytest
import torch
from captum.attr import Occlusion
from helpers.checks import left_as_found
from helpers.networks import Does, head, in_training, network
from helpers.occluding import IMAGES, Truth, loop, mean_over_squares, places, settled_convnet, shares_of
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional import occlusion_map

# What is shown.


def test_the_results_are_maps_of_places_and_of_pixels():
    found = occlusion_map(settled_convnet(), IMAGES, square=5, stride=4, layer="4")
    assert found.probability.shape == found.predicted.shape == found.activity.shape == (2, 4, 6)
    assert found.drop.shape == (2, 16, 24)
    assert {one.dtype for one in (found.probability, found.drop, found.activity)} == {torch.float32}
    assert found.predicted.dtype == torch.int64
    assert not any(one.requires_grad for one in found)
    assert occlusion_map(settled_convnet(), IMAGES, square=5).activity is None


def test_predicted_is_the_most_likely_class():
    model = settled_convnet()
    with torch.no_grad():
        model[6][1].weight.mul_(10)
    truth = loop(model, IMAGES, 7, 2)
    found = occlusion_map(model, IMAGES, 0, 7, 2).predicted
    expected = truth.scores.argmax(-1)
    assert (expected != truth.clean.argmax(1)[:, None, None]).any()
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("square", "stride"), [(4, 4), (4, 3), (5, 1), (3, 5), (1, 2), (16, 3)])
def test_drop_is_the_mean_over_the_squares_that_cover_a_pixel(square, stride):
    model, classes = settled_convnet(), [3, 1]
    truth = loop(model, IMAGES, square, stride)
    before = truth.clean.softmax(1)[[0, 1], classes]
    fall = before[:, None, None] - shares_of(truth, classes)
    expected = torch.stack([mean_over_squares(one, square, stride, (16, 24)) for one in fall])
    found = occlusion_map(model, IMAGES, classes, square, stride).drop
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6, equal_nan=True)
    assert found.isnan().any() == (stride > square)


@pytest.mark.parametrize("layer", ["0", "2", "3", "5", "6.0", "6"])
@pytest.mark.parametrize("unit", [None, 2])
def test_activity_is_the_sum_of_a_units_map(layer, unit):
    model = settled_convnet()
    for number, image in enumerate(IMAGES):
        truth = loop(model, image[None], 5, 4, layer=layer if layer not in ("6.0", "6") else None)
        with torch.no_grad():
            maps = (
                nn.Sequential(*model[:6], nn.Flatten())(image[None])
                if layer == "6.0"
                else model[: int(layer) + 1](image[None])
            )
        strongest = maps.flatten(2).amax(2).argmax() if maps.ndim > 2 else maps.argmax()
        chosen = int(strongest) if unit is None else unit
        if layer == "6":
            expected = truth.scores[0, ..., chosen]
        elif layer == "6.0":
            flat = nn.Sequential(*model[:6], nn.Flatten())
            expected = loop(flat, image[None], 5, 4).scores[0, ..., chosen]
        else:
            expected = truth.sums[0, ..., chosen]
        found = occlusion_map(model, IMAGES, 0, 5, 4, layer=layer, unit=unit).activity[number]
        assert (found - expected).abs().max() <= 1e-5 * (1 + expected.abs().max())
        assert found.std() > 0 or layer == "6.0"


def test_activity_of_a_layer_whose_maps_could_be_read_with_channels_last():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, (2, 1), 1), head(8, 8, 16)).eval()
    images = IMAGES[:1, :, :, :16]
    expected = loop(model, images, 4, 4, layer="0").sums[..., 7]
    found = occlusion_map(model, images, 0, 4, 4, layer="0", unit=7).activity
    assert (found - expected).abs().max() <= 1e-4


def test_activity_of_a_layer_that_does_not_see_the_images():
    model = Does(
        lambda s, x: s.head(s.conv(x)) + s.own(torch.ones(len(x), 3, 16, 24)).mean((2, 3)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        own=nn.Conv2d(3, 4, 3),
        head=head(4, 16, 24),
    ).eval()
    with torch.no_grad():
        expected = model.own(torch.ones(1, 3, 16, 24))[0, 1].sum()
    found = occlusion_map(model, IMAGES, 0, 5, 4, layer="own", unit=1).activity
    assert (found - expected).abs().max() <= 1e-4 * expected.abs()


def test_activity_of_a_layer_beside_the_way_to_the_scores():
    model = Does(
        lambda s, x: (s.head(s.conv(x)), s.aside(s.conv(x)))[0],
        conv=nn.Conv2d(3, 4, 3, padding=1),
        aside=nn.Conv2d(4, 4, 5, 2),
        head=head(4, 16, 24),
    ).eval()
    expected = loop(model, IMAGES[:1], 5, 4, layer="aside").sums[..., 3]
    found = occlusion_map(model, IMAGES[:1], 0, 5, 4, layer="aside", unit=3).activity
    assert (found - expected).abs().max() <= 1e-5 * (1 + expected.abs().max())


def test_of_a_layer_that_runs_twice_the_last_time_counts():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 3, 3, padding=1)
    model = Does(lambda s, x: s.head(s.conv(F.relu(s.conv(x)))), conv=conv, head=head(3, 16, 24)).eval()
    apart = nn.Sequential(conv, nn.ReLU(), conv)
    expected = loop(nn.Sequential(apart, nn.Identity(), nn.Flatten(2)), IMAGES[:1], 5, 4, layer="1").sums[..., 1]
    found = occlusion_map(model, IMAGES[:1], 0, 5, 4, layer="conv", unit=1).activity
    assert (found - expected).abs().max() <= 1e-5 * (1 + expected.abs().max())


@pytest.mark.parametrize("classes", [2, [4, 0], torch.tensor([4, 0]), (1, 1)])
def test_one_class_for_all_images_or_one_for_each(classes):
    model = settled_convnet()
    each = [classes] * 2 if isinstance(classes, int) else [int(number) for number in classes]
    found = occlusion_map(model, IMAGES, classes, 5, 4)
    assert (found.probability - shares_of(loop(model, IMAGES, 5, 4), each)).abs().max() <= 1e-5
    for number, one in enumerate(IMAGES):
        alone = occlusion_map(model, one[None], each[number], 5, 4)
        torch.testing.assert_close(alone.probability[0], found.probability[number])


def test_without_classes_it_is_the_prediction_for_the_whole_image():
    model = settled_convnet()
    predicted = model(IMAGES).argmax(1)
    found, expected = occlusion_map(model, IMAGES, None, 5, 4), occlusion_map(model, IMAGES, predicted, 5, 4)
    assert torch.equal(found.probability, expected.probability)
    other = occlusion_map(model, IMAGES, (predicted + 1) % 5, 5, 4)
    assert not torch.equal(found.probability, other.probability)


def test_what_makes_probabilities_of_scores():
    model = settled_convnet()
    scores = loop(model, IMAGES, 5, 4).scores[..., 3]
    sigmoid = occlusion_map(model, IMAGES, 3, 5, 4, activation="sigmoid")
    none = occlusion_map(model, IMAGES, 3, 5, 4, activation="none")
    assert (sigmoid.probability - scores.sigmoid()).abs().max() <= 1e-5
    assert (none.probability - scores).abs().max() <= 1e-5 * scores.abs().max()


@pytest.mark.parametrize("flat", [False, True])
def test_a_single_output_speaks_for_two_classes(flat):
    one = settled_convnet(classes=1)
    model = Does(lambda s, x: s.one(x)[:, 0], one=one) if flat else one
    yes = loop(one, IMAGES, 5, 4).scores[..., 0].sigmoid()
    for number, expected in enumerate([1 - yes, yes]):
        assert (occlusion_map(model, IMAGES, number, 5, 4).probability - expected).abs().max() <= 1e-5
    assert torch.equal(occlusion_map(model, IMAGES, 1, 5, 4).predicted, (yes > 0.5).long())
    shares = Does(lambda s, x: s.one(x).sigmoid(), one=one)
    assert (occlusion_map(shares, IMAGES, 0, 5, 4, activation="none").probability - (1 - yes)).abs().max() <= 1e-5


class Packed:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    ("pack", "output"),
    [
        (lambda scores: {"logits": scores, "loss": scores.sum()}, "logits"),
        (lambda scores: (scores.sum(), scores), 1),
        (Packed, "logits"),
        (lambda scores: {"heads": [scores]}, lambda returned: returned["heads"][0]),
        (lambda scores: scores[:, :, None].expand(-1, -1, 3), lambda returned: returned.mean(2)),
    ],
    ids=["key", "index", "attribute", "function", "function that computes"],
)
def test_the_scores_may_be_anywhere_in_what_the_model_returns(pack, output, said):
    model = settled_convnet()
    found = occlusion_map(Does(lambda s, x: pack(s.model(x)), model=model), IMAGES, 2, 5, 4, output=output)
    torch.testing.assert_close(found.probability, occlusion_map(model, IMAGES, 2, 5, 4).probability)
    assert said() == []


# What hides. The scores of these models are the pixels themselves.


def pixels_under(images: Tensor, square: int, stride: int, fill: object) -> Tensor:
    """``(N, rows, cols, C)``: the middle pixel of each square, as the model sees it."""
    tops, lefts = (places(length, square, stride) for length in images.shape[2:])
    found = torch.empty(len(images), len(tops), len(lefts), images.shape[1], dtype=images.dtype)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            row, column = top + square // 2, left + square // 2
            for channel in range(images.shape[1]):
                number = (channel * images.shape[2] + row) * images.shape[3] + column
                seen = occlusion_map(nn.Flatten(), images, number, square, stride, fill, activation="none")
                found[:, i, j, channel] = seen.probability[:, i, j]
    return found


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("fill", [0.0, -1.5, 2, "each", "mean"])
def test_the_square_has_the_value_that_was_asked_for(fill, channels):
    images = torch.randn(2, channels, 8, 12)
    values = [0.5 * channel - 1 for channel in range(channels)]
    seen = pixels_under(images, 4, 4, values if fill == "each" else fill)
    each = {"each": torch.tensor(values), "mean": images.mean((2, 3))[:, None, None]}
    expected = each[fill] if isinstance(fill, str) else torch.tensor(float(fill))
    assert (seen - expected).abs().max() <= 1e-6


def test_blur_hides_details_only():
    images = torch.rand(1, 2, 48, 64)
    seen = pixels_under(images, 16, 16, "blur")
    blurred = gaussian_filter(images.numpy(), sigma=3, axes=(2, 3), mode="mirror", truncate=2)
    expected = torch.from_numpy(blurred)[:, :, 8::16, 8::16].permute(0, 2, 3, 1)
    assert (seen - expected).abs().max() <= 1e-5
    plain = occlusion_map(settled_convnet(), torch.full((1, 3, 16, 24), 0.7), 1, 5, 4, "blur")
    assert plain.drop.abs().max() <= 1e-6


@pytest.mark.parametrize("fill", [0.0, 0.7, [1.0, -2.0, 0.5], torch.tensor([1.0, -2.0, 0.5]), "mean", "blur"])
def test_fills_are_as_in_a_loop(fill):
    model = settled_convnet()

    def hidden(image: Tensor) -> Tensor:
        if isinstance(fill, str) and fill == "mean":
            return image.mean((1, 2), keepdim=True).expand_as(image)
        if isinstance(fill, str):  # sigma 1, two pixels to each side
            return torch.from_numpy(gaussian_filter(image.numpy(), 1, axes=(1, 2), mode="mirror", truncate=2))
        return torch.as_tensor(fill).reshape(-1, 1, 1).expand_as(image)

    truth = loop(model, IMAGES, 5, 4, hidden)
    found = occlusion_map(model, IMAGES, 3, 5, 4, fill)
    assert (found.probability - shares_of(truth, [3, 3])).abs().max() <= 1e-5


def test_a_linear_model_has_a_closed_form():
    linear = nn.Linear(3 * 16 * 24, 4)
    model, square, stride, fill = nn.Sequential(nn.Flatten(), linear), 4, 2, 0.5
    found = occlusion_map(model, IMAGES, [1, 3], square, stride, fill, activation="none")
    weights = linear.weight.detach().reshape(4, 3, 16, 24)[[1, 3]]
    lost = F.conv2d((weights * (IMAGES - fill)).sum(1, keepdim=True), torch.ones(1, 1, square, square), stride=stride)
    before = model(IMAGES).detach()[[0, 1], [1, 3]]
    assert (found.probability - (before[:, None, None] - lost[:, 0])).abs().max() <= 1e-5
    expected = torch.stack([mean_over_squares(one, square, stride, (16, 24)) for one in lost[:, 0]])
    assert (found.drop - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(("square", "stride"), [(4, 4), (8, 8), (4, 2), (8, 4), (2, 1), (16, 8)])
@pytest.mark.parametrize("fill", [0.0, 0.6])
def test_drop_is_captums_where_its_windows_reach_the_border(square, stride, fill):
    model, classes = settled_convnet(), torch.tensor([3, 1])
    peer = Occlusion(lambda images: model(images).softmax(1))
    theirs = peer.attribute(
        IMAGES, (3, square, square), (3, stride, stride), baselines=fill, target=classes, perturbations_per_eval=8
    )
    found = occlusion_map(model, IMAGES, classes, square, stride, fill)
    assert theirs.abs().max() > 1e-2
    assert (found.drop - theirs[:, 0]).abs().max() <= 2e-6


def test_an_object_in_a_rectangular_image_is_found_where_it_is():
    images = torch.zeros(1, 1, 40, 80)
    images[:, :, 0:10, 60:70] = 1
    model = Does(lambda s, x: torch.stack([x.sum((1, 2, 3)), torch.zeros(len(x))], 1) / 50)
    drop = occlusion_map(model, images, 0, 10, 10).drop[0]
    assert torch.equal(drop > 1e-3, images[0, 0] > 0)


# Where.


@pytest.mark.parametrize(
    ("size", "square", "stride", "expected"),
    [((28, 36), None, None, (25, 33)), ((70, 90), None, None, (31, 41)), ((3, 5), None, None, (3, 5)),
     ((16, 24), 4, None, (13, 21)), ((16, 24), 5, 4, (4, 6)), ((16, 24), 5, 100, (2, 2)), ((16, 24), 16, 3, (1, 4))],
)  # fmt: skip
def test_a_seventh_of_the_image_by_quarters_and_the_last_square_flush(size, square, stride, expected):
    found = occlusion_map(
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.ones(1, 2, *size), 0, square, stride
    )
    assert found.probability.shape == (1, *expected)
    corner = torch.zeros(1, 1, *size)
    corner[:, :, -1, -1] = 1
    seen = occlusion_map(nn.Flatten(), corner, size[0] * size[1] - 1, square, stride, activation="none").probability[0]
    assert seen[-1, -1] == 0
    assert seen.sum() == seen.numel() - 1


@pytest.mark.parametrize("batch_size", [1, 7, 23, 24, 25, 1000])
def test_how_many_places_at_once_does_not_matter(batch_size):
    model = settled_convnet()
    expected = occlusion_map(model, IMAGES, 3, 5, 4, layer="4", unit=1)
    found = occlusion_map(model, IMAGES, 3, 5, 4, layer="4", unit=1, batch_size=batch_size)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# Models as they come.


@pytest.mark.parametrize("surroundings", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layer", [None, "3"])
def test_a_model_in_training_is_left_as_found(layer, surroundings):
    model, images = in_training(IMAGES), IMAGES.clone()
    with left_as_found(model), surroundings():
        found = occlusion_map(model, images, 1, 5, 4, layer=layer)
    assert torch.equal(images, IMAGES)
    expected = occlusion_map(model.eval(), IMAGES, 1, 5, 4, layer=layer)
    assert torch.equal(found.probability, expected.probability)
    assert (found.probability - shares_of(loop(model, IMAGES, 5, 4), [1, 1])).abs().max() <= 1e-5


def test_it_is_left_as_found_also_where_it_falls_back_and_after_an_error(said):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), network(4)).train()
    with left_as_found(model):
        occlusion_map(model, IMAGES, 1, 5, 4)
    calls = []

    def broken(module: nn.Module, inputs: object) -> None:
        calls.append(module)
        if len(calls) > 2:
            raise ArithmeticError

    handle = model[2].register_forward_pre_hook(broken)
    with left_as_found(model), pytest.raises(ArithmeticError):
        occlusion_map(model, IMAGES, 1, 5, 4, layer="0")
    handle.remove()


def test_images_made_in_inference_mode_and_of_a_graph_are_fine():
    model = settled_convnet()
    expected = occlusion_map(model, IMAGES, 1, 5, 4).probability
    with torch.inference_mode():
        assert torch.equal(occlusion_map(model, IMAGES.clone(), 1, 5, 4).probability, expected)
    found = occlusion_map(model, IMAGES.clone().requires_grad_() * 1, 1, 5, 4).probability
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_a_model_of_half_precision():
    model, images = settled_convnet().bfloat16(), IMAGES.bfloat16()
    found = occlusion_map(model, images, 3, 5, 4, layer="4", unit=1)
    truth = loop(model, images, 5, 4)
    assert {one.dtype for one in (found.probability, found.drop, found.activity)} == {torch.float32}
    assert (found.probability - shares_of(Truth(truth.scores.float(), None, truth.clean), [3, 3])).abs().max() <= 0.03


def test_a_model_that_keeps_channels_last(said):
    model = settled_convnet().to(memory_format=torch.channels_last)
    expected = occlusion_map(settled_convnet(), IMAGES, 3, 5, 4).probability
    found = occlusion_map(model, IMAGES.to(memory_format=torch.channels_last), 3, 5, 4).probability
    assert (found - expected).abs().max() <= 1e-6
    assert said() == []


@pytest.mark.parametrize("inside", [False, True])
def test_a_compiled_model(inside):
    model = settled_convnet()
    expected = occlusion_map(model, IMAGES, 3, 5, 4, layer="6.1", unit=1)
    if inside:
        model[6] = torch.compile(model[6], backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    model(IMAGES)
    with left_as_found(model):
        found = occlusion_map(model, IMAGES, 3, 5, 4, layer="6.1", unit=1)
    torch.testing.assert_close(found.probability, expected.probability)
    torch.testing.assert_close(found.activity, expected.activity)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (IMAGES[0], {}, r"occlusion_map: images must be .* got \(3, 16, 24\)"),
        (IMAGES.long(), {}, "occlusion_map: images must be .* torch.int64"),
        (IMAGES[:0], {}, "images must be .* not empty"),
        (IMAGES, {"square": 17}, r"occlusion_map\(square=17\): must be from 1 to 16, the shorter side of the image"),
        (IMAGES, {"square": 0}, r"occlusion_map\(square=0\): must be from 1 to 16"),
        (IMAGES, {"stride": 0}, r"occlusion_map\(stride=0\): must be at least 1"),
        (IMAGES, {"stride": -2}, r"occlusion_map\(stride=-2\): must be at least 1"),
        (IMAGES, {"batch_size": 0}, r"occlusion_map\(batch_size=0\): must be at least 1"),
        (IMAGES, {"activation": "relu"}, r"\(activation='relu'\): choices are 'softmax', 'sigmoid', 'none'"),
        (IMAGES, {"classes": 5}, "occlusion_map: .*class.* 0 to 4"),
        (IMAGES, {"classes": [0, -1]}, "occlusion_map: .*class.* 0 to 4"),
        (IMAGES, {"classes": [1]}, r"occlusion_map: classes must be .* 2 images; got \(1,\)"),
        (IMAGES, {"fill": "grey"}, r'\(fill=.grey.\): must be a number, one per channel, "mean" or "blur"'),
        (IMAGES, {"fill": [1.0, 2.0]}, r"occlusion_map\(fill=.*\): 2 values for 3 channels"),
        (IMAGES, {"layer": "conv"}, 'occlusion_map: Sequential has no layer "conv"'),
        (IMAGES, {"layer": "*"}, r'occlusion_map: "\*" is a pattern'),
        (IMAGES, {"layer": "0", "unit": 6}, r"occlusion_map\(unit=6\): the layer has units 0 to 5"),
        (IMAGES, {"layer": "0", "unit": -1}, r"occlusion_map\(unit=-1\): the layer has units 0 to 5"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_and_the_model_is_left_as_found(images, options, message):
    model = settled_convnet().train()
    with left_as_found(model), pytest.raises(ValueError, match=message):
        occlusion_map(model, images, **options)


def test_where_the_scores_are_must_be_said():
    model = Does(lambda s, x: {"head": s.model(x)}, model=settled_convnet())
    with pytest.raises(TypeError, match=r"occlusion_map: .* keys 'head'.*occlusion_map\(output=...\)"):
        occlusion_map(model, IMAGES)
    maps = Does(lambda s, x: s.model[:5](x), model=settled_convnet())
    with pytest.raises(ValueError, match=r"occlusion_map: the class scores must be \(N, classes\)"):
        occlusion_map(maps, IMAGES)


def test_a_layer_that_does_not_run_is_refused():
    model = Does(lambda s, x: s.model(x), model=settled_convnet(), idle=nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match='occlusion_map: layer "idle" does not run'):
        occlusion_map(model, IMAGES, layer="idle")
