from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, NeuronDeconvolution, NeuronGradient, NeuronGuidedBackprop
from captum.attr import Saliency as CaptumSaliency
from helpers import known
from helpers.checks import assert_same_map, left_as_found
from helpers.known import torchvision_model
from helpers.networks import Calls, in_training
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models.googlenet import BasicConv2d

from lightning_viz.functional import activation_maps, reconstruct
from lightning_viz.functional.backward.rules import RULES

IMAGES = torch.randn(3, 3, 24, 40, generator=torch.Generator().manual_seed(0))
PHOTOS = known.PHOTOS.double()

NEURON = {"deconvnet": NeuronDeconvolution, "guided": NeuronGuidedBackprop, "gradient": NeuronGradient}
OUTPUT = {"deconvnet": Deconvolution, "guided": GuidedBackprop, "gradient": CaptumSaliency}

pytestmark = pytest.mark.filterwarnings("ignore:Setting")  # what Captum says about its hooks


class Block(nn.Module):
    """A skip connection; its rectifier runs twice, the second time on the sum in place."""

    def __init__(self, channels: int, rectify: nn.Module) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.two, self.rectify = nn.Conv2d(channels, channels, 3, padding=1), rectify

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.rectify(self.norm(self.one(x))))
        y += x
        return self.rectify(y)


class Functional(nn.Module):
    """Rectifiers that are no modules, of many spellings."""

    def __init__(self, modules: nn.Sequential) -> None:
        super().__init__()
        self.parts = modules

    def forward(self, x: Tensor) -> Tensor:
        conv, _, pool, conv2, _, conv3, _, flatten, head = self.parts
        x = conv(x)
        x.relu_()
        x = pool(x)
        x = conv2(x).clamp(min=0)
        x = F.threshold(conv3(x), 0, 0)
        return head(flatten(x))


def plain_network(channels: int = 3, rectify: nn.Module | None = None) -> nn.Sequential:
    """Overlapping pooling; layer 6 is the last rectifier, layer 8 the scores."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(channels, 6, 5, stride=2), nn.Conv2d(6, 8, 3), nn.Conv2d(8, 7, 3, padding=1)
    one, two, three = (rectify or nn.ReLU() for _ in range(3))
    return nn.Sequential(
        convolutions[0],
        one,
        nn.MaxPool2d(3, 2, padding=1),
        convolutions[1],
        two,
        convolutions[2],
        three,
        nn.Flatten(),
        nn.Linear(7 * 3 * 7, 5),
    ).eval()


def residual_network(rectify: nn.Module) -> nn.Sequential:
    """The same rectifier object everywhere; layer 4 is a block."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), rectify, nn.MaxPool2d(3, 2), Block(6, rectify)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(36, 4))
    for norm in (model[1], model[4].norm):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.weight)
    return model.eval()


def with_modules(model: nn.Module, kind: type[nn.Module], rewrite: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Rewrite all modules of a kind in a copy."""
    model = deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, rewrite(child))
    return model


def strongest(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit, position (P, 2) and activation of each image's strongest unit, by brute force."""
    found = []
    for one in maps:
        unit, row, column = max(
            ((u, r, c) for u in range(one.shape[0]) for r in range(one.shape[1]) for c in range(one.shape[2])),
            key=lambda place: one[place].item(),
        )
        found.append((unit, row, column))
    places = torch.tensor(found)
    activations = torch.stack([one[place] for one, place in zip(maps, found, strict=True)])
    return places[:, 0], places[:, 1:], activations


def by_captum(model: nn.Module, layer: str, images: Tensor, units: Tensor, places: Tensor, rule: str) -> Tensor:
    """Captum sends 1 down; we send the activation."""
    maps, peer = activation_maps(model, layer, images), NEURON[rule](model, model.get_submodule(layer))
    found = []
    for image, one in enumerate(images):
        place = int(units[image]), *places[image].tolist()
        down = peer.attribute(one[None].clone().requires_grad_(), place)[0].detach()
        found.append(down * maps[image][place])
    return torch.stack(found)


def scores_by_captum(model: nn.Module, images: Tensor, number: int, rule: str) -> Tensor:
    options = {"abs": False} if rule == "gradient" else {}
    down = OUTPUT[rule](model).attribute(images.clone().requires_grad_(), number, **options).detach()
    return down * model(images)[:, number].detach()[:, None, None, None]


def positive_class(model: nn.Module, images: Tensor) -> int:
    """A class that speaks for all images: only then is what goes down the activation times what Captum sends."""
    return int(model(images).amin(0).argmax())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("layer", ["2", "4", "6"])
def test_a_units_activation_goes_down_as_in_captum(layer, channels, rule):
    model, images = plain_network(channels), torch.randn(3, channels, 24, 40)
    units, places, _ = strongest(activation_maps(model, layer, images))
    assert_same_map(reconstruct(model, layer, images, rule=rule), by_captum(model, layer, images, units, places, rule))


class ScaledByChannel(nn.Module):
    """One map, made several by a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Conv2d(3, 1, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)
        self.scale = nn.Parameter(torch.randn(1, 5, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.relu(self.first(images) * self.scale))


@pytest.mark.parametrize("rule", RULES)
def test_a_product_that_makes_several_maps_of_one_is_no_obstacle(rule):
    model, images = ScaledByChannel(), torch.randn(3, 3, 24, 40)
    units, places, _ = strongest(activation_maps(model, "last", images))
    oracle = by_captum(model, "last", images, units, places, rule)
    assert_same_map(reconstruct(model, "last", images, rule=rule), oracle)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rectify", [nn.ReLU(), nn.ReLU(inplace=True)], ids=["apart", "in place"])
def test_so_it_does_through_skip_connections_norms_and_a_rectifier_that_is_used_again(rectify, rule):
    model = residual_network(rectify)
    units, places, _ = strongest(activation_maps(model, "4", IMAGES))
    assert_same_map(reconstruct(model, "4", IMAGES, rule=rule), by_captum(model, "4", IMAGES, units, places, rule))


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
@pytest.mark.parametrize("layer", ["parts.5", None])
def test_rectifiers_that_are_functions_count_as_modules_do_and_captum_does_not_see_them(layer, rule):
    modules = plain_network()
    functional = Functional(modules)
    assert torch.equal(functional(IMAGES), modules(IMAGES))
    ours = reconstruct(functional, layer, IMAGES, units=2, rule=rule)
    assert_same_map(ours, reconstruct(modules, layer and "5", IMAGES, units=2, rule=rule))
    number = positive_class(modules, IMAGES)
    plain, blind = (scores_by_captum(functional, IMAGES, number, one) for one in ("gradient", rule))
    assert_same_map(blind.float(), plain)
    oracle = scores_by_captum(modules, IMAGES, number, rule)
    assert_same_map(reconstruct(functional, None, IMAGES, units=number, rule=rule), oracle)
    assert (blind - oracle).abs().max() > 0.1 * oracle.abs().max()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer3.0.relu"),
        ("alexnet", "features.7"),
        ("squeezenet1_1", "features.7"),
        ("densenet121", "features.transition2.relu"),
        ("shufflenet_v2_x0_5", "stage3.1"),
    ],
)
def test_units_of_torchvision_networks_go_down_as_in_captum(name, layer, rule):
    model = torchvision_model(name)
    units, places, _ = strongest(activation_maps(model, layer, PHOTOS))
    theirs = by_captum(model, layer, PHOTOS, units, places, rule)
    assert_same_map(reconstruct(model, layer, PHOTOS, rule=rule), theirs)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_scores_of_torchvision_networks_go_down_as_in_captum(name, rule):
    model = torchvision_model(name)
    number = positive_class(model, PHOTOS)
    theirs = scores_by_captum(model, PHOTOS, number, rule)
    assert_same_map(reconstruct(model, None, PHOTOS, units=number, rule=rule), theirs)


@pytest.mark.parametrize("rule", RULES)
def test_googlenet_is_as_captum_sees_it_rewritten_with_modules(rule):
    model = torchvision_model("googlenet", init_weights=False, aux_logits=False)
    units, places, _ = strongest(activation_maps(model, "inception4a", PHOTOS))
    ours = reconstruct(model, "inception4a", PHOTOS, rule=rule)
    model = with_modules(model, BasicConv2d, lambda one: nn.Sequential(one.conv, one.bn, nn.ReLU()))
    assert_same_map(ours, by_captum(model, "inception4a", PHOTOS, units, places, rule))


@pytest.mark.parametrize("rule", RULES)
def test_where_its_bound_is_not_reached_mobilenet_is_as_captum_sees_it_with_other_rectifiers(rule):
    model = deepcopy(torchvision_model("mobilenet_v2"))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.7)
    scores = model(PHOTOS)
    units, places, _ = strongest(activation_maps(model, "features.14.conv.1", PHOTOS))
    ours = reconstruct(model, "features.14.conv.1", PHOTOS, rule=rule)
    model = with_modules(model, nn.ReLU6, lambda one: nn.ReLU())
    assert torch.equal(model(PHOTOS), scores)
    assert_same_map(ours, by_captum(model, "features.14.conv.1", PHOTOS, units, places, rule))


@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny"])
def test_a_network_without_rectifiers_has_the_gradient_times_the_score_by_every_rule(name):
    model = torchvision_model(name)
    theirs = scores_by_captum(model, PHOTOS, 1, "gradient")
    for rule in RULES:
        assert_same_map(reconstruct(model, None, PHOTOS, units=1, rule=rule), theirs)


@pytest.mark.parametrize(
    ("make", "layer", "size", "neuron"),
    [
        (known.small_vit, "encoder.layers.encoder_layer_0", (32, 32), lambda row, column: 1 + 4 * row + column),
        (known.small_swin, "features.3", (32, 48), lambda row, column: (row, column)),
    ],
    ids=["tokens", "units on the last axis"],
)
def test_transformers_have_the_gradient_times_the_activation(make, layer, size, neuron):
    model, images = make().double(), PHOTOS[:, :, : size[0], : size[1]].clone().requires_grad_()
    units, places, activations = strongest(activation_maps(model, layer, images))
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(images)
    handle.remove()
    picked = []
    for image, unit in enumerate(units):
        place = neuron(*places[image].tolist())
        picked.append(kept[0][(image, *place, unit) if isinstance(place, tuple) else (image, place, unit)])
    (gradient,) = torch.autograd.grad(sum(picked), images)
    torch.testing.assert_close(torch.stack(picked).float(), activations)
    expected = gradient * torch.stack(picked).detach()[:, None, None, None]
    assert_same_map(reconstruct(model, layer, images, rule="gradient"), expected)
    theirs = scores_by_captum(model, images.detach(), 1, "gradient")
    assert_same_map(reconstruct(model, None, images, units=1, rule="gradient"), theirs)


@pytest.mark.parametrize("rule", RULES)
def test_two_layers_are_a_chain_of_transposed_convolutions_with_the_given_switches(rule):
    torch.manual_seed(0)
    one, two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, stride=2)
    pool = nn.MaxPool2d(3, 2)  # windows overlap: what arrives at a switch is added up
    model = nn.Sequential(one, nn.ReLU(), pool, two, nn.ReLU())
    with torch.no_grad():
        before = one(IMAGES)
        pooled, switches = F.max_pool2d(before.relu(), 3, 2, return_indices=True)
        top = two(pooled).relu()
        seed = torch.zeros_like(top)
        seed[:, 3] = top[:, 3]

        def rectified(signal: Tensor, x: Tensor) -> Tensor:
            passed = {"deconvnet": signal > 0, "guided": (signal > 0) & (x > 0), "gradient": x > 0}
            return signal * passed[rule]

        signal = F.conv_transpose2d(rectified(seed, top), two.weight, stride=2, output_padding=(0, 0))
        signal = F.pad(signal, (0, pooled.shape[3] - signal.shape[3], 0, pooled.shape[2] - signal.shape[2]))
        unpooled = torch.zeros_like(before).flatten(2)
        unpooled = unpooled.scatter_add(2, switches.flatten(2), signal.flatten(2)).view_as(before)
        expected = F.conv_transpose2d(rectified(unpooled, before), one.weight, padding=1)
        overlapping = (
            torch.zeros_like(before).flatten(2).scatter_add(2, switches.flatten(2), torch.ones_like(pooled).flatten(2))
        )
    assert overlapping.max() > 1
    assert_same_map(reconstruct(model, "4", IMAGES, units=3, positions="all", rule=rule), expected)


def test_of_a_linear_model_it_is_the_weight_times_the_score():
    linear = nn.Linear(3 * 24 * 40, 5)
    model = nn.Sequential(nn.Flatten(), linear)
    expected = linear(IMAGES.flatten(1))[:, 2, None, None, None] * linear.weight[2].reshape(3, 24, 40)
    for rule in RULES:
        assert_same_map(reconstruct(model, None, IMAGES, units=2, rule=rule), expected.detach())
        assert_same_map(reconstruct(model, "1", IMAGES, units=2, rule=rule), expected.detach())


def test_of_one_convolution_it_is_the_kernel_at_its_place():
    conv = nn.Conv2d(3, 4, (3, 5), stride=(2, 3))
    down = reconstruct(nn.Sequential(conv), "0", IMAGES[:1], units=3, positions=[(4, 6)])
    expected = torch.zeros(1, 3, 24, 40)
    expected[0, :, 8:11, 18:23] = conv.weight[3] * conv(IMAGES[:1])[0, 3, 4, 6]
    assert_same_map(down, expected.detach())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", ["0", "5", "6", "8", None])
def test_units_are_one_for_all_or_one_for_each_and_the_strongest_when_none_is_named(layer, rule):
    model = plain_network()
    maps = model(IMAGES)[:, :, None, None].detach() if layer in ("8", None) else activation_maps(model, layer, IMAGES)
    units, places, _ = strongest(maps)
    down = reconstruct(model, layer, IMAGES, rule=rule)
    assert down.any()
    for same in (units, units.tolist(), units.int()):
        assert torch.equal(reconstruct(model, layer, IMAGES, same, rule=rule), down)
    assert torch.equal(reconstruct(model, layer, IMAGES, units, places, rule=rule), down)
    assert torch.equal(reconstruct(model, layer, IMAGES, units, places.tolist(), rule=rule), down)
    one = [reconstruct(model, layer, image[None], 1, rule=rule)[0] for image in IMAGES]
    torch.testing.assert_close(reconstruct(model, layer, IMAGES, 1, rule=rule), torch.stack(one))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 2, None])
@pytest.mark.parametrize("layer", ["5", None])
def test_images_may_be_asked_about_several_times_and_in_any_order(layer, batch_size, rule):
    # In double precision: the scores of one image alone are rounded otherwise than among others.
    model, images = plain_network().double(), IMAGES.double()
    ids, units = [2, 0, 2, 2, 1, 0], [4, 1, 0, 4, 3, 2]
    down = reconstruct(model, layer, images, units, None, ids, rule, batch_size)
    assert down.shape == (6, 3, 24, 40)
    assert torch.equal(down[0], down[3])
    for part, image, unit in zip(down, ids, units, strict=True):
        assert_same_map(part[None], reconstruct(model, layer, images[image][None], unit, rule=rule))
    given = reconstruct(model, layer, images, units, image_ids=torch.tensor(ids, dtype=torch.int32), rule=rule)
    torch.testing.assert_close(given, down)


def test_an_image_that_nobody_asks_about_does_not_matter():
    model, images = plain_network(), IMAGES.clone()
    images[1] = torch.nan
    down = reconstruct(model, "6", images, image_ids=[2, 0])
    assert torch.equal(down, reconstruct(model, "6", IMAGES, image_ids=[2, 0]))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 6), st.integers(0, 2), st.integers(0, 6), st.sampled_from(RULES))
def test_at_a_given_place_the_activation_there_goes_down_whatever_its_sign(unit, row, column, rule):
    model = plain_network()
    down = reconstruct(model, "5", IMAGES[:1], unit, [[row, column]], rule=rule)
    activation = activation_maps(model, "5", IMAGES[:1])[0, unit, row, column]
    # A negative activation is a positive one of the mirrored filter.
    with torch.no_grad():
        model[5].weight.mul_(activation.sign())
    sent = NEURON[rule](model, model[5]).attribute(IMAGES[:1].clone().requires_grad_(), (unit, row, column))
    assert_same_map(down, activation.abs() * sent.detach())


def test_by_the_gradient_a_units_whole_map_is_the_sum_over_its_places():
    model = plain_network()
    _, _, height, width = activation_maps(model, "5", IMAGES).shape
    places = [[row, column] for row in range(height) for column in range(width)]
    parts = reconstruct(model, "5", IMAGES, 3, places, [1] * len(places), rule="gradient")
    whole = reconstruct(model, "5", IMAGES, 3, "all", [1], rule="gradient")
    assert (parts.sum(0) - whole[0]).abs().max() <= 1e-6 * whole.abs().max()
    assert parts.flatten(1).any(1).all()


@pytest.mark.parametrize("rule", RULES)
def test_what_goes_down_stays_in_the_field_that_the_unit_sees(rule):
    model = plain_network()
    leaf = IMAGES[:1].clone().requires_grad_()
    (seen,) = torch.autograd.grad(model[:4](leaf)[0, :, 1, 2].sum(), leaf)
    rows, columns = (line.nonzero()[:, 0] for line in (seen.any(3).any(1)[0], seen.any(2).any(1)[0]))
    # The field of layer 3: a pooled place is 7 pixels wide and high at a distance of 4, and a unit sees 3 of them.
    top, left = 4 * 1 - 2, 4 * 2 - 2
    assert top <= rows.min() <= rows.max() < top + 17
    assert left <= columns.min() <= columns.max() < left + 17
    down = reconstruct(model, "3", IMAGES[:1], 0, [[1, 2]], rule=rule)
    outside = down.clone()
    outside[:, :, top : top + 17, left : left + 17] = 0
    assert down.any()
    assert not outside.any()


@pytest.mark.parametrize("rule", RULES)
def test_of_a_layer_that_runs_several_times_the_last_counts(rule):
    torch.manual_seed(0)
    conv, last = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    last.load_state_dict(conv.state_dict())
    again = nn.Sequential(conv, nn.ReLU(), conv, nn.Flatten(2))
    apart = nn.Sequential(conv, nn.ReLU(), last)
    assert_same_map(
        reconstruct(again, "0", IMAGES, units=1, rule=rule), reconstruct(apart, "2", IMAGES, units=1, rule=rule)
    )


def test_where_nothing_arrives_there_is_nothing():
    model = plain_network()
    nn.init.constant_(model[3].bias, -100)
    down = reconstruct(model, "4", IMAGES)
    assert down.shape == IMAGES.shape
    assert not down.any()


def test_images_that_are_not_numbers_do_not_stop_the_others():
    model, images = plain_network(), IMAGES.clone()
    images[1] = torch.nan
    down, good = reconstruct(model, "6", images), reconstruct(model, "6", IMAGES)
    assert down[1].isnan().any()
    assert torch.equal(down[[0, 2]], good[[0, 2]])


def test_tokens_have_places():
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 6, 4, stride=4), nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.conv(images).flatten(2).transpose(1, 2)
            return self.last(torch.cat([tokens[:, :1] * 0, tokens], dim=1))

    model = Patches()
    expected = reconstruct(model, "conv", IMAGES, [0, 3, 5], [[5, 9], [0, 0], [2, 7]])
    assert_same_map(reconstruct(model, "last", IMAGES, [0, 3, 5], [[5, 9], [0, 0], [2, 7]]), expected)


@pytest.mark.parametrize(
    ("pack", "output"),
    [
        (lambda scores: {"head": scores}, "head"),
        (lambda scores: (0, scores), 1),
        (lambda scores: {"heads": [scores]}, lambda returned: returned["heads"][0]),
    ],
    ids=["key", "index", "function"],
)
def test_the_scores_may_be_anywhere_in_what_the_model_returns(pack, output):
    plain = plain_network()
    model = nn.Sequential(plain, Calls(pack))
    expected = reconstruct(plain, None, IMAGES, units=2)
    assert torch.equal(reconstruct(model, None, IMAGES, units=2, output=output), expected)
    with pytest.raises(TypeError, match=r"reconstruct: the model returned a .*reconstruct\(output=...\)"):
        reconstruct(model, None, IMAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv"}, 'reconstruct: Sequential has no layer "conv"'),
        ({"layer": "*"}, r'reconstruct: "\*" is a pattern'),
        ({"rule": "deconv"}, "reconstruct: there is no rule 'deconv'. Choices: 'deconvnet', 'guided', 'gradient'"),
        ({"images": IMAGES[0]}, r"reconstruct: images must be .* got \(3, 24, 40\)"),
        ({"images": IMAGES.byte()}, "reconstruct: images must be .* torch.uint8"),
        ({"units": 7}, "reconstruct: units go from 0 to 6; got 7 to 7"),
        ({"units": -1}, "reconstruct: units go from 0 to 6; got -1"),
        ({"units": [0, 1]}, r"reconstruct: units must be .*one for each of 3.*got \(2,\)"),
        ({"units": 0.5}, "reconstruct: units must be a whole number.*torch.float32"),
        ({"units": [1, 2], "image_ids": [0]}, r"reconstruct: units must be .*one for each of 1.*got \(2,\)"),
        ({"positions": [[3, 0]] * 3}, "reconstruct: positions must lie in the layer's map of 3x7"),
        ({"positions": [[0, 0], [0, 0], [0, 7]]}, "reconstruct: positions must lie in the layer's map of 3x7"),
        ({"positions": [[0, -1]] * 3}, "reconstruct: positions must lie in the layer's map of 3x7"),
        ({"positions": [[0, 0]]}, 'reconstruct: positions must be None, "all", or a row and a column for each of 3'),
        ({"positions": [[0.5, 0]] * 3}, 'reconstruct: positions must be None, "all", or a row and a column'),
        ({"positions": [0, 0, 0]}, 'reconstruct: positions must be None, "all", or a row and a column'),
        ({"image_ids": [0, 3]}, "reconstruct: image_ids must be whole numbers from 0 to 2"),
        ({"image_ids": [-1]}, "reconstruct: image_ids must be whole numbers from 0 to 2"),
        ({"image_ids": [0.5]}, "reconstruct: image_ids must be whole numbers from 0 to 2"),
        ({"image_ids": 1}, "reconstruct: image_ids must be whole numbers from 0 to 2"),
        ({"layer": None, "units": 5}, "reconstruct: units go from 0 to 4; got 5"),
    ],
)
def test_wrong_arguments_are_refused_and_the_model_is_left_as_found(arguments, message):
    model = plain_network().train()
    with left_as_found(model), pytest.raises(ValueError, match=message):
        reconstruct(**({"model": model, "layer": "6", "images": IMAGES} | arguments))


def test_scores_without_a_derivative_are_refused_with_the_reason():
    model = nn.Sequential(plain_network(), Calls(lambda scores: scores.detach()))
    with pytest.raises(ValueError, match="reconstruct: the output has no derivative.*no_grad or detach"):
        reconstruct(model, None, IMAGES)


def test_a_layer_that_does_not_run_is_refused():
    model = plain_network()
    model[0].spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match=r'reconstruct: layer "0.spare" does not run'):
        reconstruct(model, "0.spare", IMAGES)


@pytest.mark.parametrize("surroundings", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layer", ["3", None])
@pytest.mark.parametrize("rule", RULES)
def test_a_model_in_training_is_left_as_found(rule, layer, surroundings):
    model, images = in_training(IMAGES), IMAGES.clone()
    with left_as_found(model), surroundings():
        down = reconstruct(model, layer, images, units=1, rule=rule)
    assert torch.equal(images, IMAGES)
    assert not down.requires_grad
    assert torch.equal(down, reconstruct(model.eval(), layer, IMAGES, units=1, rule=rule))


def test_images_made_in_inference_mode_and_of_a_graph_are_fine():
    model = plain_network()
    expected = reconstruct(model, "6", IMAGES)
    assert torch.equal(reconstruct(model, "6", IMAGES.clone().requires_grad_() * 1), expected)
    with torch.inference_mode():
        assert torch.equal(reconstruct(model, "6", IMAGES.clone()), expected)


@pytest.mark.parametrize("rule", RULES)
def test_deterministic_algorithms_are_enough(rule):
    model = residual_network(nn.ReLU(inplace=True))
    expected = reconstruct(model, "4", IMAGES, rule=rule)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(reconstruct(model, "4", IMAGES, rule=rule), expected)
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_model_that_works_on_its_images_in_place_does_not_change_them():
    images = IMAGES.clone()
    down = reconstruct(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)), "1", images, rule="gradient")
    assert torch.equal(images, IMAGES)
    assert not down[IMAGES < 0].any()


def test_a_compiled_model_is_like_its_original():
    model = plain_network()
    compiled = torch.compile(model, backend="eager")
    for layer in ("6", None):
        assert torch.equal(reconstruct(compiled, layer, IMAGES), reconstruct(model, layer, IMAGES))


def test_a_frozen_model_is_like_any_other():
    model = plain_network()
    expected = reconstruct(model, "6", IMAGES)
    assert torch.equal(reconstruct(model.requires_grad_(False), "6", IMAGES), expected)


def test_the_message_about_an_output_that_is_no_stack_of_maps_names_a_cure_that_exists():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2))
    with pytest.raises(ValueError, match=r"reconstruct: an output of shape \(3, 4, 836\)") as raised:
        reconstruct(model, "1", IMAGES)
    assert "reconstruct(reshape=...)" not in str(raised.value)
