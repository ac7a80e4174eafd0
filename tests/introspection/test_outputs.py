import math
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from helpers.data import NOT_RETURNED, RETURNED, SCORES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_viz.introspection.outputs import (
    PREFIXES,
    as_maps,
    check_images,
    class_scores,
    find_scores,
    one_per_image,
    probabilities,
)

SIDES = st.integers(1, 9)

untimed = settings(deadline=None)  # the first call of torch loads kernels


class Named(NamedTuple):
    logits: Tensor
    aux: None


def numbered(*shape: int) -> Tensor:
    """A tensor without two equal numbers: where each went can be seen."""
    return torch.arange(float(math.prod(shape))).reshape(shape)


def random_scores(seed: int, images: int, classes: int) -> Tensor:
    return 3 * torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))


def patch_grids(height: int, width: int) -> dict[int, tuple[int, int]]:
    """How many tokens there are to the grids of square patches that fill an image."""
    sides = [side for side in range(1, min(height, width) + 1) if height % side == width % side == 0]
    return {height // side * (width // side): (height // side, width // side) for side in sides}


@pytest.mark.parametrize(
    ("output", "returned"),
    [
        *RETURNED,
        (2, {2: SCORES}),
        ("logits", SimpleNamespace(logits=SCORES)),
        ("logits", Named(SCORES, None)),
        (0, Named(SCORES, None)),
        (lambda returned: returned[0]["head"], [{"head": SCORES}]),
    ],
    ids=[
        "tensor",
        "key",
        "usual key",
        "index",
        "from the end",
        "whole key",
        "attribute",
        "named tuple",
        "its index",
        "function",
    ],
)
def test_scores_are_found_by_key_index_attribute_or_function(output, returned):
    assert find_scores(returned, output, "saliency") is SCORES


def test_one_score_per_image_may_lack_its_axis():
    found = find_scores({"logit": torch.tensor([1.0, -2.0])}, "logit", "saliency")
    assert found.tolist() == [[1.0], [-2.0]]


@pytest.mark.parametrize(
    ("output", "returned", "message"),
    [
        *NOT_RETURNED,
        ("head", SimpleNamespace(logits=SCORES), "a SimpleNamespace, and output='head' gives a NoneType"),
        (None, None, "a NoneType, and output=None gives a NoneType"),
    ],
)
def test_scores_that_are_not_there_are_described_with_the_cure(output, returned, message):
    with pytest.raises(
        TypeError, match=rf"^saliency: .*{message}.*by a key, an index or a function.*saliency\(output="
    ):
        find_scores(returned, output, "saliency")


@pytest.mark.parametrize("places", [(4, 5), (2, 4, 3)])
def test_a_dense_map_is_asked_about_the_mean_of_each_channel(places):
    dense = torch.randn(2, 3, *places)
    expected = torch.stack([torch.stack([channel.mean() for channel in image]) for image in dense])
    torch.testing.assert_close(find_scores({"out": dense, "aux": -dense}, None, "saliency"), expected)
    assert torch.equal(find_scores(dense, lambda maps: maps[..., 1, 2].flatten(1), "me"), dense[..., 1, 2].flatten(1))


@pytest.mark.parametrize("shape", [(), (2, 3, 4)])
def test_scores_of_another_shape_are_refused_with_the_cure(shape):
    with pytest.raises(ValueError, match=r"^Probe: .*\(N, classes\).*are \(.*Reduce.*Probe\(output=...\)") as raised:
        find_scores(torch.zeros(shape), None, "Probe")
    assert str(shape) in str(raised.value)


@pytest.mark.parametrize(
    ("classes", "picked"),
    [(2, [2, 2]), ([0, 1], [0, 1]), (torch.tensor([2, 0], dtype=torch.uint8), [2, 0]), (None, [1, 0])],
)
def test_each_image_gets_the_score_of_its_class(classes, picked):
    scores, chosen = class_scores(SCORES, classes, "saliency")
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == picked
    assert scores.tolist() == [SCORES[image, number].item() for image, number in enumerate(picked)]


@untimed
@given(st.integers(0, 999), st.integers(1, 6), st.integers(2, 7))
def test_without_classes_it_is_the_largest_score_and_the_graph_leads_there_alone(seed, images, classes):
    scores = random_scores(seed, images, classes).requires_grad_()
    picked, chosen = class_scores(scores, None, "saliency")
    assert torch.equal(picked, scores.max(1).values)
    (gradient,) = torch.autograd.grad(picked.sum(), scores)
    assert torch.equal(gradient, torch.nn.functional.one_hot(chosen, classes).float())


def test_a_single_score_speaks_for_class_1_and_against_class_0():
    logits = torch.tensor([[2.0], [-3.0]])
    for_one, for_zero = class_scores(logits, 1, "saliency")[0], class_scores(logits, 0, "saliency")[0]
    assert for_one.tolist() == [2, -3]
    assert for_zero.tolist() == [-2, 3]
    assert class_scores(logits, None, "saliency")[1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("scores", "classes", "message"),
    [
        (SCORES, 3, "there is no class 3; the model has 3: 0 to 2"),
        (SCORES, [1, -1], "there is no class -1; the model has 3: 0 to 2"),
        (SCORES[:, :1], 2, "there is no class 2; the model has 2: 0 to 1"),
        (SCORES, [0, 1, 2], r"classes must be a whole number, or one for each of 2 images; got \(3,\) of torch.int64"),
        (SCORES, [[0, 1]], r"one for each of 2 images; got \(1, 2\)"),
        (SCORES, 1.0, r"whole number.* got \(\) of torch.float32"),
    ],
)
def test_wrong_classes_are_refused(scores, classes, message):
    with pytest.raises(ValueError, match=f"^grad_cam: .*{message}"):
        class_scores(scores, classes, "grad_cam")


@untimed
@given(st.integers(0, 999), st.integers(1, 6), st.integers(2, 7))
def test_probabilities_keep_the_order_of_the_scores_and_softmax_shares_out_one(seed, images, classes):
    scores = random_scores(seed, images, classes)
    order = scores.argsort(1)
    softmax, sigmoid = probabilities(scores), probabilities(scores, "sigmoid")
    exact = scores.exp() / scores.exp().sum(1, keepdim=True)
    torch.testing.assert_close(softmax, exact)
    torch.testing.assert_close(sigmoid, 1 / (1 + (-scores).exp()))
    assert torch.equal(softmax.argsort(1), order)
    assert torch.equal(sigmoid.argsort(1), order)
    assert probabilities(scores, "none") is scores


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_single_score_is_the_softmax_of_itself_against_nothing(activation):
    score = torch.tensor([[2.0], [-0.5]])
    two = torch.cat([torch.zeros_like(score), score], dim=1).softmax(1)
    torch.testing.assert_close(probabilities(score, activation), two)


def test_a_single_probability_leaves_the_rest_to_class_0():
    torch.testing.assert_close(
        probabilities(torch.tensor([[0.9], [0.25]]), "none"), torch.tensor([[0.1, 0.9], [0.75, 0.25]])
    )


@untimed
@given(st.integers(-5, 5), st.integers(0, 6))
def test_one_number_is_repeated_for_all_images_and_a_list_of_as_many_stays(number, count):
    repeated = one_per_image(number, count, "classes", "saliency")
    assert repeated.dtype == torch.int64
    assert repeated.tolist() == [number] * count
    listed = one_per_image(torch.arange(count, dtype=torch.int32), count, "classes", "saliency")
    assert listed.dtype == torch.int64
    assert listed.tolist() == list(range(count))


@pytest.mark.parametrize(
    "shape", [(2, 5, 6, 10), (2, 512, 2, 3), (2, 3, 12, 20), (2, 7, 1, 1), (1, 64, 11, 19), (1, 6, 10, 18)]
)
def test_maps_are_left_as_they_are(shape):
    maps = numbered(*shape)
    assert as_maps(maps, (12, 20), None, "grad_cam") is maps


def test_a_layer_without_places_has_maps_of_one_value():
    output = numbered(2, 7)
    maps = as_maps(output, (12, 20), None, "grad_cam")
    assert maps.shape == (2, 7, 1, 1)
    assert torch.equal(maps.flatten(1), output)


@untimed
@given(SIDES, SIDES, st.integers(1, 16), st.integers(0, PREFIXES), st.integers(1, 4))
def test_tokens_are_laid_out_on_the_grid_of_their_patches_without_those_before_them(
    rows, columns, patch, before, units
):
    size = rows * patch, columns * patch
    grids = patch_grids(*size)
    # Where fewer tokens before the grid give another grid, nothing tells them apart.
    assume(not any(rows * columns + before - fewer in grids for fewer in range(before)))
    maps = numbered(2, units, rows, columns)
    tokens = torch.cat([torch.full((2, before, units), -1.0), maps.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(as_maps(tokens, size, None, "grad_cam"), maps)


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [
        (197, (224, 224), (14, 14)),
        (196, (224, 224), (14, 14)),
        (201, (224, 224), (14, 14)),  # DINOv2 with 4 registers: class token and registers
        (50, (224, 224), (7, 7)),
        (1 + 4 * 6, (64, 96), (4, 6)),
        (5 + 4 * 6, (64, 96), (4, 6)),
        (257, (224, 224), (16, 16)),
    ],
)
def test_the_grids_of_known_transformers(tokens, size, grid):
    assert as_maps(torch.zeros(1, tokens, 8), size, None, "grad_cam").shape == (1, 8, *grid)


@untimed
@given(st.integers(1, 64), st.integers(3, 200), st.integers(3, 200), st.integers(1, 16), st.booleans())
def test_maps_of_any_stride_keep_their_axes_however_many_units(units, height, width, stride, padded):
    size = [-(-side // stride) if padded else side // stride for side in (height, width)]
    assume(min(size) > 0)
    maps = torch.zeros(1, units, *size)
    assert as_maps(maps, (height, width), None, "grad_cam") is maps


@untimed
@given(st.integers(3, 20), st.integers(3, 20), st.integers(2, 16), st.integers(1, 50))
def test_units_on_the_last_axis_are_turned_where_they_are_too_many_for_a_side(rows, columns, stride, more):
    size = rows * stride, columns * stride
    turned = torch.zeros(2, size[1] + more, rows, columns)
    maps = as_maps(turned.permute(0, 2, 3, 1), size, None, "grad_cam")
    assert maps.shape == turned.shape


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((64, 96), (16, 24, 96)),
        ((64, 96), (2, 3, 768)),
        ((224, 224), (56, 56, 96)),
        ((256, 256), (64, 64, 96)),
        ((288, 288), (72, 72, 96)),
        ((384, 384), (96, 96, 128)),
        ((384, 384), (12, 12, 1024)),
        ((224, 320), (56, 80, 96)),
        ((480, 640), (60, 80, 192)),
    ],
)
def test_the_stages_of_swin_transformers_are_turned(size, shape):
    output = numbered(1, *shape)
    assert torch.equal(as_maps(output, size, None, "grad_cam"), output.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("inside", "turns"),
    [
        (nn.Linear(7, 96), True),
        (nn.LayerNorm(96), True),
        (nn.LayerNorm((24, 96)), True),
        (nn.Linear(96, 7), False),
        (nn.LayerNorm(7), False),
        (nn.ReLU(), False),
    ],
)
def test_only_a_layer_that_makes_as_many_channels_has_them_last(inside, turns):
    output = numbered(1, 16, 24, 96)
    assert (as_maps(output, (64, 96), None, "grad_cam", nn.Sequential(inside)) is not output) == turns


def test_what_is_laid_out_is_still_the_layers_output_to_autograd():
    tokens = torch.randn(2, 25, 3, requires_grad=True)
    maps = as_maps(tokens, (64, 96), None, "grad_cam")
    (gradient,) = torch.autograd.grad(maps[1, 2, 3, 5], tokens)
    assert gradient.nonzero().tolist() == [[1, 24, 2]]


def test_a_function_of_the_users_comes_first():
    output = numbered(2, 3, 4, 6)
    assert torch.equal(
        as_maps(output, (64, 96), lambda given: given.transpose(2, 3), "grad_cam"), output.transpose(2, 3)
    )


@pytest.mark.parametrize(
    ("reshape", "came"), [(lambda output: output[0], r"\(3, 4, 6\)"), (lambda output: None, "NoneType")]
)
def test_a_function_that_gives_no_maps_is_refused(reshape, came):
    with pytest.raises(ValueError, match=rf"^grad_cam\(reshape=...\): must give \(N, K, h, w\); got {came}"):
        as_maps(torch.zeros(2, 3, 4, 6), (64, 96), reshape, "grad_cam")


@pytest.mark.parametrize("shape", [(2, 40, 8), (2,), (2, 3, 4, 5, 6)])
def test_an_output_that_is_no_stack_of_maps_is_refused_with_the_cure(shape):
    with pytest.raises(ValueError, match=r"^grad_cam: an output of shape .* images of 64x96 .*grad_cam\(reshape=...\)"):
        as_maps(torch.zeros(shape), (64, 96), None, "grad_cam")


@pytest.mark.parametrize(
    ("images", "came"),
    [
        (torch.zeros(3, 12, 20), r"\(3, 12, 20\) torch.float32"),
        (torch.zeros(2, 3, 12, 20, dtype=torch.uint8), r"\(2, 3, 12, 20\) torch.uint8"),
        (torch.zeros(0, 3, 12, 20), r"\(0, 3, 12, 20\) torch.float32"),
        ([torch.zeros(3, 12, 20)], "a list"),
        (None, "a NoneType"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, came):
    with pytest.raises(ValueError, match=rf"^saliency: images must be \(N, C, H, W\) .*; got {came}"):
        check_images(images, "saliency")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_images_of_any_float_type_and_number_of_channels_are_fine(dtype, channels):
    assert check_images(torch.zeros(2, channels, 12, 20, dtype=dtype), "saliency") is None
