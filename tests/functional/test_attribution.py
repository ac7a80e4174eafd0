import re
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torchvision
from captum.attr import GuidedGradCam, LayerGradCam, Saliency
from helpers.checks import assert_same_map, left_as_found
from helpers.known import PHOTOS, small_swin, small_vit, torchvision_model
from helpers.networks import Calls, Does, convnet, in_training
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from lightning_viz.functional import grad_cam, guided_grad_cam, reconstruct, saliency
from lightning_viz.functional.attribution import grad_cam_layer
from lightning_viz.functional.backward.rules import RULES

IMAGES = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))

METHODS: dict[str, Callable[..., Tensor]] = {
    "saliency": saliency,
    "grad_cam": lambda model, images, *rest, **more: grad_cam(model, None, images, *rest, **more),
    "guided_grad_cam": lambda model, images, *rest, **more: guided_grad_cam(model, None, images, *rest, **more),
}

pytestmark = pytest.mark.filterwarnings("ignore:Setting")  # what Captum says about its hooks


class Returning(nn.Module):
    """A model that packs its scores."""

    def __init__(self, model: nn.Module, pack: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.model, self.pack = model, pack

    def forward(self, images: Tensor) -> object:
        return self.pack(self.model(images))


class Packed:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class OneRectifier(nn.Module):
    """The same rectifier behind a convolution and behind a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.hidden, self.head = nn.Linear(4 * 10 * 18, 6), nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.conv(images))
        return self.head(self.relu(self.hidden(maps.flatten(1))))


class TokenMixer(nn.Module):
    """Patches behind a class token and registers, mixed by one layer of attention; the class token decides."""

    def __init__(self, registers: int, patch: int = 4, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.prefix = nn.Parameter(torch.randn(1, 1 + registers, width))
        self.norm, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.behind, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(images), -1, -1), tokens], dim=1)
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return self.head(self.behind(tokens)[:, 0])


def deep(rectify: nn.Module | None = None, **sizes: int) -> nn.Sequential:
    """Three convolutions and one rectifier; the last map is layer 6."""
    return convnet(depth=3, rectify=rectify or nn.ReLU(), **sizes)


def captum_saliency(model: nn.Module, images: Tensor, classes: object) -> Tensor:
    return Saliency(model).attribute(images.clone().requires_grad_(), classes, abs=True).amax(1)


def captum_grad_cam(model: nn.Module, layer: str, images: Tensor, classes: object) -> Tensor:
    """Captum keeps the axis of channels."""
    peer = LayerGradCam(model, model.get_submodule(layer))
    return peer.attribute(images.clone().requires_grad_(), classes, relu_attributions=True)[:, 0]


def captum_guided_grad_cam(model: nn.Module, layer: str, images: Tensor, classes: object) -> Tensor:
    peer = GuidedGradCam(model, model.get_submodule(layer))
    return peer.attribute(images.clone().requires_grad_(), classes, interpolate_mode="bilinear")


@pytest.mark.parametrize("classes", [2, torch.tensor([4, 0])])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_all_methods_are_those_of_captum(channels, classes):
    model, images = deep(channels=channels), torch.randn(2, channels, 12, 20)
    assert_same_map(saliency(model, images, classes), captum_saliency(model, images, classes))
    assert_same_map(grad_cam(model, "6", images, classes), captum_grad_cam(model, "6", images, classes))
    assert_same_map(guided_grad_cam(model, "6", images, classes), captum_guided_grad_cam(model, "6", images, classes))


def test_rectifiers_that_are_functions_count_as_modules_do_and_captum_does_not_see_them():
    functional, modules = deep(Calls(F.relu)), deep()
    oracle = captum_guided_grad_cam(modules, "6", IMAGES, 1)
    assert_same_map(guided_grad_cam(functional, "6", IMAGES, 1), oracle)
    unguided = captum_guided_grad_cam(functional, "6", IMAGES, 1)
    assert (unguided - oracle).abs().max() > 0.1 * oracle.abs().max()


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_torchvision_networks_are_as_captum_sees_them(name):
    model, photos = torchvision_model(name), PHOTOS.double()
    layer, predicted = grad_cam_layer(model, photos), model(photos).argmax(1)
    assert_same_map(saliency(model, photos), captum_saliency(model, photos, predicted))
    assert_same_map(grad_cam(model, None, photos), captum_grad_cam(model, layer, photos, predicted))


@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny", "googlenet"])
def test_saliency_needs_no_rectifier(name):
    model, photos = torchvision_model(name, **({"init_weights": False} if name == "googlenet" else {})), PHOTOS.double()
    assert_same_map(saliency(model, photos, 1), captum_saliency(model, photos, 1))


def test_guided_grad_cam_of_resnet_is_captums():
    model, photos = torchvision_model("resnet18"), PHOTOS.double()
    theirs = captum_guided_grad_cam(model, "layer4", photos, 3)
    assert_same_map(guided_grad_cam(model, None, photos, 3), theirs)


def test_saliency_of_a_linear_model_is_its_largest_weight():
    linear = nn.Linear(3 * 12 * 20, 5)
    model = nn.Sequential(nn.Flatten(), linear)
    maps = saliency(model, IMAGES, [1, 4])
    weights = linear.weight.reshape(5, 3, 12, 20).abs().amax(1)
    assert torch.equal(maps, weights[[1, 4]])


def test_grad_cam_of_a_linear_head_is_its_weighted_sum_of_maps():
    torch.manual_seed(0)
    conv, head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
    model = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    maps = torch.einsum("k,nkhw->nhw", head.weight[2], conv(IMAGES)).clamp(min=0) / (10 * 18)
    assert_same_map(grad_cam(model, "0", IMAGES, 2), maps)


def test_guided_grad_cam_is_the_guided_gradient_times_the_enlarged_map():
    model = deep()
    ratio = guided_grad_cam(model, "6", IMAGES, 1) / guided_grad_cam(model, "2", IMAGES, 1)
    maps = [grad_cam(model, layer, IMAGES, 1)[:, None] for layer in ("6", "2")]
    large = [F.interpolate(one, (12, 20), mode="bilinear", align_corners=False) for one in maps]
    expected = (large[0] / large[1]).expand_as(ratio)
    compared = ratio.isfinite() & (ratio != 0)
    assert compared.float().mean() > 0.3
    torch.testing.assert_close(ratio[compared], expected[compared], rtol=1e-4, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_without_classes_it_is_the_prediction(method):
    model = deep()
    predicted = model(IMAGES).argmax(1)
    assert torch.equal(METHODS[method](model, IMAGES), METHODS[method](model, IMAGES, predicted))
    assert not torch.equal(METHODS[method](model, IMAGES), METHODS[method](model, IMAGES, (predicted + 1) % 5))


@pytest.mark.parametrize("method", METHODS)
def test_images_do_not_see_each_other(method):
    model, classes = deep(), [3, 1]
    together = METHODS[method](model, IMAGES, classes)
    for number, one in enumerate(IMAGES):
        torch.testing.assert_close(METHODS[method](model, one[None], classes[number])[0], together[number])


@pytest.mark.parametrize("method", METHODS)
def test_a_single_score_speaks_for_class_1_and_its_negative_for_class_0(method):
    one = deep(classes=1)
    two = Returning(one, lambda score: torch.cat([-score, score], dim=1))
    flat = Returning(one, lambda score: score[:, 0])
    for classes in (0, 1, [0, 1], None):
        expected = METHODS[method](two, IMAGES, classes)
        assert torch.equal(METHODS[method](one, IMAGES, classes), expected)
        assert torch.equal(METHODS[method](flat, IMAGES, classes), expected)
    if method == "grad_cam":
        assert not torch.equal(METHODS[method](one, IMAGES, 0), METHODS[method](one, IMAGES, 1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("pack", "output"),
    [
        (lambda scores: {"logits": scores, "loss": scores.sum()}, "logits"),
        (lambda scores: (scores.sum(), scores), 1),
        (lambda scores: [scores], -1),
        (Packed, "logits"),
        (Packed, None),
        (lambda scores: {"loss": scores.sum(), "logits": scores}, None),
        (lambda scores: {"heads": [scores]}, lambda returned: returned["heads"][0]),
    ],
    ids=["key", "index", "from the end", "attribute", "logits", "key logits", "function"],
)
def test_the_scores_may_be_anywhere_in_what_the_model_returns(pack, output, method):
    model = deep()
    maps = METHODS[method](Returning(model, pack), IMAGES, 2, output=output)
    assert torch.equal(maps, METHODS[method](model, IMAGES, 2))


@pytest.mark.parametrize("method", METHODS)
def test_where_the_scores_are_must_be_said(method):
    who = "saliency" if method == "saliency" else "grad_cam"
    model = Returning(deep(), lambda scores: {"votes": scores})
    with pytest.raises(TypeError, match=rf"{who}: the model returned a dict with keys 'votes'.*{who}\(output=...\)"):
        METHODS[method](model, IMAGES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: saliency(model, IMAGES, 5), "saliency: there is no class 5; the model has 5: 0 to 4"),
        (lambda model: saliency(model, IMAGES[0]), r"saliency: images must be .* got \(3, 12, 20\)"),
        (lambda model: saliency(model, IMAGES, [1]), r"saliency: classes must be .* 2 images; got \(1,\)"),
        (lambda model: grad_cam(model, "6", IMAGES, -1), "grad_cam: there is no class -1"),
        (lambda model: grad_cam(model, "conv", IMAGES), 'grad_cam: Sequential has no layer "conv"'),
        (lambda model: grad_cam(model, "*", IMAGES), r'grad_cam: "\*" is a pattern'),
        (lambda model: grad_cam(model, "6", IMAGES.long()), "grad_cam: images must be .* torch.int64"),
        (lambda model: guided_grad_cam(model, "6", IMAGES[:0]), "images must be .* not empty"),
    ],
)
def test_wrong_arguments_are_refused_and_the_model_is_left_as_found(call, message):
    model = deep().train()
    with left_as_found(model), pytest.raises(ValueError, match=message):
        call(model)


def _without_gradients(body: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return body(x)


CUT_OFF = {
    "a body under no_grad": lambda s, x: s.head(_without_gradients(s.body, x)),
    "a detached body": lambda s, x: s.head(s.body(x).detach()),
    "detached images": lambda s, x: s.head(s.body(x.detach())),
    "NumPy": lambda s, x: s.head(s.body(torch.from_numpy(x.detach().numpy().copy()))),
    "inference mode": lambda s, x: s.head(torch.inference_mode()(s.body)(x).clone()),
    "a checkpoint whose way back only backward() knows": lambda s, x: s.head(checkpoint(s.body, x, use_reentrant=True)),
}


@pytest.mark.parametrize("does", CUT_OFF.values(), ids=CUT_OFF)
@pytest.mark.parametrize(
    "method",
    [
        lambda model: saliency(model, IMAGES, 1),
        lambda model: guided_grad_cam(model, "body.1", IMAGES, 1),
        lambda model: grad_cam(model, "body.0", IMAGES, 1),
        *(partial(reconstruct, layer=None, images=IMAGES, units=1, rule=rule) for rule in RULES),
    ],
    ids=["saliency", "guided_grad_cam", "grad_cam", *RULES],
)
def test_where_no_derivative_comes_down_it_says_so_and_shows_no_zeros(does, method):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Does(does, body=body, head=nn.Linear(6, 4)).eval()
    try:
        found = method(model)
    except (ValueError, RuntimeError) as error:
        assert re.search("no_grad, detach, NumPy|use_reentrant=False", str(error))
    else:
        assert found.any()


MIXING = {
    "batch statistics": lambda s, x: s.head(s.norm(s.body(x)).relu().mean((2, 3))),
    "less the mean of the batch": lambda s, x: s.head((s.body(x) - s.body(x).mean(0)).relu().mean((2, 3))),
    "likeness to the others": lambda s, x: s.head(s.body(x).relu().mean((2, 3)).softmax(0)),
}


@pytest.mark.parametrize("does", MIXING.values(), ids=MIXING)
def test_where_a_batch_mixes_its_images_each_has_the_derivative_of_its_own_score(does):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6, track_running_stats=False)
    model = Does(does, body=nn.Conv2d(3, 6, 3), norm=norm, head=nn.Linear(6, 4)).eval()
    images = torch.randn(4, 3, 12, 20)
    kept = []
    for image in range(4):
        leaf = images.clone().requires_grad_()
        handle = model.body.register_forward_hook(lambda module, inputs, output: kept.append(output))
        score = model(leaf)[image, 1]
        handle.remove()
        pixels, maps = torch.autograd.grad(score, [leaf, kept[0] if len(kept) == 1 else kept[-1]])
        torch.testing.assert_close(saliency(model, images, 1)[image], pixels[image].abs().amax(0))
        expected = (maps[image].mean((1, 2), keepdim=True) * kept[-1][image].detach()).sum(0).clamp(min=0)
        torch.testing.assert_close(grad_cam(model, "body", images, 1)[image], expected)
        kept.clear()


@pytest.mark.parametrize("method", METHODS)
def test_scores_without_a_derivative_are_refused_with_the_reason(method):
    model = Returning(deep(), lambda scores: scores.detach())
    with pytest.raises(ValueError, match=r"no derivative.*no_grad, detach|no layer of Returning"):
        METHODS[method](model, IMAGES)


@pytest.mark.parametrize("surroundings", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", METHODS)
def test_a_model_in_training_is_left_as_found(method, surroundings):
    model, images = in_training(IMAGES), IMAGES.clone()
    with left_as_found(model), surroundings():
        maps = METHODS[method](model, images, 1)
    assert torch.equal(images, IMAGES)
    assert not maps.requires_grad
    assert torch.equal(maps, METHODS[method](model.eval(), IMAGES, 1))


@pytest.mark.parametrize("method", METHODS)
def test_images_made_in_inference_mode_and_of_a_graph_are_fine(method):
    model = deep()
    expected = METHODS[method](model, IMAGES, 1)
    with torch.inference_mode():
        assert torch.equal(METHODS[method](model, IMAGES.clone(), 1), expected)
    assert torch.equal(METHODS[method](model, IMAGES.clone().requires_grad_() * 1, 1), expected)


@pytest.mark.parametrize("method", METHODS)
def test_deterministic_algorithms_are_enough(method):
    model = deep(nn.ReLU(inplace=True))
    expected = METHODS[method](model, IMAGES, 1)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(METHODS[method](model, IMAGES, 1), expected)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_works_on_its_images_in_place_does_not_change_them(method):
    model = nn.Sequential(nn.Hardtanh(-1, 1, inplace=True), deep())
    images = IMAGES.clone()
    maps = METHODS[method](model, images, 1)
    assert torch.equal(images, IMAGES)
    assert maps.any()


@pytest.mark.parametrize("method", METHODS)
def test_a_model_whose_weights_are_all_frozen_has_maps_too(method):
    model = deep()
    expected = METHODS[method](model, IMAGES, 1)
    assert torch.equal(METHODS[method](model.requires_grad_(False), IMAGES, 1), expected)


def test_all_zero_maps_are_zeros():
    model = deep()
    nn.init.zeros_(model[-1].weight)
    for method in METHODS.values():
        maps = method(model, IMAGES, 1)
        assert not maps.any()
        assert maps.isfinite().all()


def test_images_that_are_not_numbers_give_maps_that_are_not():
    model, images = deep(), IMAGES.clone()
    images[0] = torch.nan
    maps = grad_cam(model, None, images, 1)
    assert maps[0].isnan().all()
    assert torch.equal(maps[1], grad_cam(model, None, IMAGES, 1)[1])
    assert guided_grad_cam(model, None, images, 1)[0].isnan().all()


@pytest.mark.parametrize(
    ("name", "layer", "grid"),
    [
        ("resnet18", "layer4", (2, 3)),
        ("squeezenet1_1", "classifier.2", (3, 5)),
        ("densenet121", "features", (2, 3)),
        ("mobilenet_v2", "features", (2, 3)),
        ("shufflenet_v2_x0_5", "conv5", (2, 3)),
    ],
)
def test_the_default_layer_of_a_convnet_is_its_last_feature_map(name, layer, grid):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=5).eval()
    assert grad_cam_layer(model, PHOTOS) == layer
    assert grad_cam(model, None, PHOTOS, 1).shape[1:] == grid


@pytest.mark.parametrize(("name", "last"), [("alexnet", "features"), ("vgg11", "features")])
def test_the_default_layer_of_a_pyramid_with_a_fixed_grid_shows_its_last_feature_map(name, last):
    # At their own image size the adaptive pooling changes nothing.
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=5)
    model.classifier = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        model(images)
    torch.testing.assert_close(grad_cam(model, None, images, 1), grad_cam(model, last, images, 1))


def test_the_default_layer_of_a_vision_transformer_is_the_input_of_its_last_attention_though_its_head_is_zero():
    model = small_vit(zero_head=True)
    assert not model.heads.head.weight.any()
    with left_as_found(model):
        assert grad_cam_layer(model, PHOTOS[:, :, :32, :32]) == "encoder.layers.encoder_layer_1.ln_1"
    nn.init.normal_(model.heads.head.weight)
    maps = grad_cam(model, None, PHOTOS[:, :, :32, :32], 1)
    assert maps.shape == (2, 4, 4)
    assert maps.any()


class ByHand(nn.Module):
    """Patches that are not square, cut by ``reshape`` (as einops does), and attention without a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.embed, self.q, self.k, self.norm = nn.Linear(24, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.LayerNorm(4)
        self.attend, self.out, self.head = nn.Softmax(-1), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        patches = images.unflatten(3, (10, 2)).unflatten(2, (3, 4)).permute(0, 2, 4, 3, 5, 1)
        tokens = self.embed(patches.reshape(len(images), 30, 24))
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], 1)
        query, key = (part(tokens).unflatten(2, (2, 4)).transpose(1, 2) for part in (self.q, self.k))
        key = self.norm(key)
        weights = self.attend(query @ key.mT)
        return self.head((tokens + self.out((weights @ key).transpose(1, 2).flatten(2)))[:, 0])


def test_heads_are_no_units_and_tokens_lie_where_their_patches_were_cut_though_nothing_has_a_layer_of_its_own():
    model = ByHand()
    assert grad_cam_layer(model, IMAGES) == "k"
    assert grad_cam(model, None, IMAGES, 1).shape == (2, 3, 10)


def test_a_scripted_part_is_passed_over_and_refused_with_the_reason_where_it_is_named():
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())), deep(channels=4))
    assert grad_cam_layer(model, IMAGES) == "1.6"
    assert_same_map(grad_cam(model, None, IMAGES, 1), captum_grad_cam(model, "1.6", IMAGES, 1))
    with pytest.raises(ValueError, match=r'"0.0" is TorchScript, which can.t be watched'):
        grad_cam(model, "0.0", IMAGES, 1)


def test_of_a_network_that_makes_proposals_a_map_is_one_of_the_images():
    class Proposing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.box, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 5)

        def forward(self, images: Tensor) -> Tensor:
            parts = self.body(images).unfold(3, 6, 6).permute(0, 3, 1, 2, 4).flatten(0, 1)
            return self.head(self.box(parts).mean((2, 3))).unflatten(0, (len(images), -1)).amax(1)

    model = Proposing()
    assert grad_cam_layer(model, IMAGES) == "body"
    assert len(grad_cam(model, None, IMAGES, 1)) == len(IMAGES)


@pytest.mark.parametrize("registers", [0, 4])
def test_tokens_of_rectangular_images_are_laid_out_and_those_before_them_are_no_place(registers):
    model = TokenMixer(registers)
    assert grad_cam_layer(model, IMAGES) == "norm"
    maps = grad_cam(model, None, IMAGES, 1)

    def by_hand(tokens: Tensor) -> Tensor:
        return tokens[:, 1 + registers :].transpose(1, 2).unflatten(2, (3, 5))

    kept = []
    handle = model.norm.register_forward_hook(lambda module, inputs, output: kept.append(output))
    (gradient,) = torch.autograd.grad(model(IMAGES)[:, 1].sum(), kept)
    handle.remove()
    expected = (by_hand(gradient).mean((2, 3), keepdim=True) * by_hand(kept[0])).sum(1).clamp(min=0)
    assert_same_map(maps, expected)
    assert torch.equal(grad_cam(model, "norm", IMAGES, 1, reshape=by_hand), maps)


def test_maps_with_their_units_on_the_last_axis_are_recognised():
    model = small_swin()
    assert grad_cam_layer(model, PHOTOS) == "permute"
    turned = grad_cam(model, "norm", PHOTOS, 1, reshape=lambda output: output.permute(0, 3, 1, 2))
    for layer in (None, "norm"):
        maps = grad_cam(model, layer, PHOTOS, 1)
        assert maps.shape == (2, 8, 12)
        assert maps.any()
        assert torch.equal(maps, turned)
    assert_same_map(saliency(model.double(), PHOTOS.double(), 1), captum_saliency(model, PHOTOS.double(), 1))


def test_the_default_layer_is_found_behind_a_rectifier_that_runs_again_without_places():
    model = OneRectifier().eval()
    by_hand = model.relu(model.conv(IMAGES))
    assert grad_cam(model, None, IMAGES, 1).shape == (2, *by_hand.shape[2:])


def test_a_compiled_model_is_like_its_original():
    model = deep()
    compiled = torch.compile(model, backend="eager")
    for method in METHODS.values():
        assert torch.equal(method(compiled, IMAGES, 1), method(model, IMAGES, 1))


def test_the_layer_can_be_any_with_maps_and_of_several_runs_the_last_counts():
    torch.manual_seed(0)
    conv, head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 5)
    again = nn.Sequential(conv, nn.ReLU(), conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    torch.manual_seed(0)
    apart = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    apart[2].load_state_dict(conv.state_dict())
    assert_same_map(grad_cam(again, "0", IMAGES, 1), captum_grad_cam(apart, "2", IMAGES, 1))


def test_a_model_without_places_is_refused_with_the_cure():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 20, 5))
    with pytest.raises(ValueError, match=r"grad_cam: no layer of Sequential has an output with places.*layer="):
        grad_cam(model, None, IMAGES)


def test_a_layer_whose_output_is_no_stack_of_maps_is_refused_with_the_cure():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Flatten(), nn.Linear(4 * 180, 5))
    with pytest.raises(ValueError, match=r"grad_cam: an output of shape \(2, 4, 180\).*grad_cam\(reshape=...\)"):
        grad_cam(model, "1", IMAGES)
    maps = grad_cam(model, "1", IMAGES, 1, reshape=lambda output: output.unflatten(2, (10, 18)))
    assert torch.equal(maps, grad_cam(model, "0", IMAGES, 1))


@pytest.mark.parametrize("method", METHODS)
def test_a_model_of_double_precision_has_the_same_maps(method):
    model = deep()
    expected = METHODS[method](model, IMAGES, 1)
    maps = METHODS[method](model.double(), IMAGES.double(), 1)
    assert maps.dtype == torch.float32
    assert (maps - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_a_model_of_half_precision_has_float32_maps(method):
    model, images = deep().bfloat16(), IMAGES.bfloat16()
    maps = METHODS[method](model, images, 1)
    assert maps.dtype == torch.float32
    assert maps.isfinite().all()
    if method == "saliency":
        assert torch.equal(maps, captum_saliency(model, images, 1).float())


def test_no_warning_is_left_for_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS.values():
            assert method(deep(nn.ReLU(inplace=True)), IMAGES, 1).any()
