"""Receptive fields against what moves a position: by changing rows and columns of pixels, and by formula."""

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import pytest
import torch
import torchvision
from helpers.checks import left_as_found
from helpers.known import small_vit
from helpers.networks import Does, network
from helpers.pieces import branches, gate_of_places, shuffle
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models.convnext import CNBlockConfig, ConvNeXt, LayerNorm2d
from torchvision.models.densenet import DenseNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.swin_transformer import SwinTransformer

from lightning_viz.functional import ReceptiveField, receptive_field
from lightning_viz.functional.receptive_field import receptive_fields

SIZE = (44, 52)

GAP = 8
"""More than the pixels that a field may leave out between two that it sees."""


def araujo(windows: Sequence[tuple[int, int, int]]) -> ReceptiveField:
    """Formula of Araujo et al. 2019 for one path of (kernel, stride, padding)."""
    size, stride, start = 1, 1, 0
    for kernel, step, padding in windows:
        size += (kernel - 1) * stride
        start -= padding * stride
        stride *= step
    return ReceptiveField((size, size), (stride, stride), (start, start))


def whole(size: Sequence[int]) -> ReceptiveField:
    return ReceptiveField(tuple(size), (0, 0), (0, 0))


def moved(model: nn.Module, layer: str, size: Sequence[int], channels: int = 3) -> list[Tensor]:
    """Change the images one row, then one column at a time.

    Returns:
        For rows and for columns ``(h, w, 2)``: first and last line that moves a position; (size, -1) where none does.
    """
    model = deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if tensor.ndim > 1 and tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)).div_(
                tensor[0].numel()
            )
        elif name.endswith(("bias", "running_mean")):
            tensor.zero_()
    kept: list[Tensor] = []
    model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output.clone()))
    image = 0.5 + torch.rand(1, channels, *size, generator=generator, dtype=torch.float64)
    much = 1e9 * (0.5 + torch.rand(1, channels, *size, generator=generator, dtype=torch.float64))
    found = []
    for axis in (2, 3):
        count = size[axis - 2]
        lines = torch.eye(count, dtype=torch.bool).reshape(count, 1, *((count, 1) if axis == 2 else (1, count)))
        with torch.no_grad():
            model(torch.cat([image, torch.where(lines, image + much, image)]))
        maps = kept[-1]
        differs = ((maps[1:] - maps[:1]).abs() > 1e-9 * maps[:1].abs()).any(1)  # (lines, h, w)
        count = torch.arange(len(differs))[:, None, None]
        first, last = count.where(differs, len(differs)).amin(0), count.where(differs, -1).amax(0)
        found.append(torch.stack([first, last], dim=-1))
    return found


def check(model: nn.Module, layer: str, size: Sequence[int] = SIZE, holes: bool = True) -> int:
    """Compare all positions; where holes may lie at the border, only from below there. How many were compared fully."""
    found = receptive_field(model, layer, (3, *size))
    compared = 0
    for axis, seen in enumerate(moved(model, layer, size)):
        places = torch.arange(seen.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1)).expand(seen.shape[:2])
        first = places * found.stride[axis] + found.start[axis]
        last = (first + found.size[axis] - 1).clamp(max=size[axis] - 1)
        first = first.clamp(min=0)
        sees = seen[..., 1] >= 0
        assert (seen[..., 0] >= first)[sees].all(), f"{found} leaves out pixels on axis {axis}: {seen[..., 0]}"
        assert (seen[..., 1] <= last)[sees].all(), f"{found} leaves out pixels on axis {axis}: {seen[..., 1]}"
        inside = sees & (seen[..., 0] >= GAP) & (seen[..., 1] < size[axis] - GAP) if holes else sees
        assert torch.equal(seen[..., 0][inside], first[inside]), f"{found} is too large on axis {axis}: {seen[..., 0]}"
        assert torch.equal(seen[..., 1][inside], last[inside]), f"{found} is too large on axis {axis}: {seen[..., 1]}"
        near = (first < GAP) | (seen[..., 0] - first < GAP)
        assert near[sees].all(), f"{found} is too large on axis {axis}"
        compared += int(inside.sum())
    return compared


PAIR = st.tuples


def convolution(draw: st.DrawFn) -> nn.Module:
    pairs = PAIR(st.integers(1, 2), st.integers(1, 2))
    stride, dilation, small = draw(pairs), draw(pairs), draw(pairs)
    kernel = tuple(one + draw(st.integers(0, 2)) for one in small)
    padding, groups = draw(PAIR(st.integers(0, 2), st.integers(1, 4))), draw(st.sampled_from([1, 2]))
    return nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups)


def padded(draw: st.DrawFn) -> nn.Module:
    edges = draw(st.lists(st.integers(-1, 3), min_size=4, max_size=4))
    conv = nn.Conv2d(4, 4, draw(st.integers(2, 4)))
    if draw(st.booleans()):
        return nn.Sequential(nn.ZeroPad2d(edges), conv)
    return Does(lambda self, x: F.conv2d(F.pad(x, edges), self.conv.weight, self.conv.bias, stride=2), conv=conv)


def pooling(draw: st.DrawFn) -> nn.Module:
    kernel, padding = draw(PAIR(st.integers(2, 3), st.integers(2, 4))), draw(PAIR(*[st.integers(0, 1)] * 2))
    stride, dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    ceil, average, functional = (draw(st.booleans()) for _ in range(3))
    if average:
        return nn.AvgPool2d(kernel, stride, padding, ceil, functional)
    if functional:
        return Does(lambda self, x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil))
    return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)


def residual(draw: st.DrawFn) -> nn.Module:
    stride, in_place = draw(st.integers(1, 2)), draw(st.booleans())

    def forward(self: Does, x: Tensor) -> Tensor:
        y = self.two(F.relu(self.one(x)))
        other = self.skip(x) if stride > 1 else x
        if in_place:
            y += other
            return y.relu_()
        return torch.clamp(y + other, min=0)

    two = nn.Conv2d(3, 4, 3, padding=draw(st.sampled_from([1, "same"])))
    return Does(forward, one=nn.Conv2d(4, 3, 3, stride, 1), two=two, skip=nn.Conv2d(4, 4, 1, stride))


def rectifier(draw: st.DrawFn) -> nn.Module:
    forms = [F.relu, torch.relu, F.silu, F.elu, lambda x: x.clamp(min=0), lambda x: 0.5 * x + x / 3]
    form = draw(st.sampled_from(forms))
    return Does(lambda self, x: form(x))


def normalisation(draw: st.DrawFn) -> nn.Module:
    return nn.BatchNorm2d(4)


PIECES = [convolution, padded, pooling, branches, residual, rectifier, gate_of_places, shuffle, normalisation]


@st.composite
def pieces(draw: st.DrawFn) -> nn.Module:
    """Something that keeps four channels."""
    return draw(st.sampled_from(PIECES))(draw)


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    middle = [draw(pieces()) for _ in range(draw(st.integers(1, 4)))]
    return nn.Sequential(nn.Conv2d(3, 4, draw(st.integers(1, 3))), *middle)


def test_it_is_what_moves_a_position_on_random_networks():
    compared = []

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(networks())
    def compare(model: nn.Sequential) -> None:
        compared.append(check(model, str(len(model) - 1)))

    compare()
    assert sum(count > 0 for count in compared) > len(compared) / 2, "borders cut almost all of them"


def norm_of_places(self: Does, x: Tensor) -> Tensor:
    return self.conv(F.layer_norm(x.permute(0, 2, 3, 1), (3,)).permute(0, 3, 1, 2))


def shared(self: Does, x: Tensor) -> Tensor:
    """In place on a part of a value: what the operations say is not the whole truth."""
    y = self.conv(x)
    y[:, :1].mul_(2)
    return y


# What is exact at every position of a small image, with the field that it must be.
FORMS: dict[str, tuple[nn.Module, ReceptiveField]] = {
    "convolution": (Does(lambda s, x: s.c(x), c=nn.Conv2d(3, 2, 3)), araujo([(3, 1, 0)])),
    "rectangular": (
        Does(lambda s, x: s.c(x), c=nn.Conv2d(3, 2, (5, 2), (3, 1), (2, 0))),
        ReceptiveField((5, 2), (3, 1), (-2, 0)),
    ),
    "dilated": (
        Does(lambda s, x: s.d(s.c(x)), c=nn.Conv2d(3, 2, 2), d=nn.Conv2d(2, 2, 3, 1, 2, 2)),
        ReceptiveField((6, 6), (1, 1), (-2, -2)),
    ),
    "same, of even size": (
        Does(lambda s, x: s.c(x), c=nn.Conv2d(3, 2, 4, padding="same")),
        ReceptiveField((4, 4), (1, 1), (-1, -1)),
    ),
    "asymmetric padding": (
        Does(lambda s, x: s.c(F.pad(x, (2, 0, 0, 3))), c=nn.Conv2d(3, 2, 3, 2)),
        ReceptiveField((3, 3), (2, 2), (0, -2)),
    ),
    "cropped": (
        Does(lambda s, x: s.c(F.pad(x, (-3, -1, -2, 0))), c=nn.Conv2d(3, 2, 3)),
        ReceptiveField((3, 3), (1, 1), (2, 3)),
    ),
    "pooled with overlap": (
        Does(lambda s, x: F.max_pool2d(s.c(x), 3, 2, 1), c=nn.Conv2d(3, 2, 5, 2, 2)),
        araujo([(5, 2, 2), (3, 2, 1)]),
    ),
    "places of the maximum too": (
        Does(lambda s, x: F.max_pool2d(s.c(x), 2, return_indices=True)[0], c=nn.Conv2d(3, 2, 3)),
        araujo([(3, 1, 0), (2, 2, 0)]),
    ),
    "branches of other padding": (
        Does(lambda s, x: torch.cat([s.a(x), F.pad(x, (0, 0, 1, 0))[:, :, :-1]], 1), a=nn.Conv2d(3, 2, 3, padding=1)),
        ReceptiveField((3, 3), (1, 1), (-1, -1)),
    ),
    "a gate for each place": (
        Does(lambda s, x: x * torch.sigmoid(s.c(x)), c=nn.Conv2d(3, 3, 5, padding=2)),
        araujo([(5, 1, 2)]),
    ),
    "normalised at each place": (Does(norm_of_places, conv=nn.Conv2d(3, 2, 3, padding=1)), araujo([(3, 1, 1)])),
    "in place on a view": (Does(shared, conv=nn.Conv2d(3, 2, 3, 2, 1)), araujo([(3, 2, 1)])),
    "every second pixel": (
        Does(lambda s, x: s.c(x[:, :, ::2, 1::2]), c=nn.Conv2d(3, 2, 1)),
        ReceptiveField((1, 1), (2, 2), (0, 1)),
    ),
    "reflected": (
        Does(lambda s, x: s.c(x), c=nn.Conv2d(3, 2, 5, 2, 2, padding_mode="reflect")),
        araujo([(5, 2, 2)]),
    ),
    "unfolded": (
        Does(lambda s, x: s.c(F.pixel_unshuffle(x, 2)), c=nn.Conv2d(12, 2, 3, padding=1)),
        ReceptiveField((6, 6), (2, 2), (-2, -2)),
    ),
}

# Everything moves every position.
EVERYWHERE: dict[str, nn.Module] = {
    "behind global pooling": Does(lambda s, x: s.c(F.adaptive_avg_pool2d(x, 1)), c=nn.Conv2d(3, 2, 1)),
    "behind a global maximum": Does(lambda s, x: s.c(F.adaptive_max_pool2d(x, 1)), c=nn.Conv2d(3, 2, 1)),
    "behind a mean": Does(lambda s, x: s.c(x.mean((2, 3), keepdim=True)), c=nn.Conv2d(3, 2, 1)),
    "a linear layer": Does(lambda s, x: s.c(x.mean((2, 3))), c=nn.Linear(3, 2)),
    "convolved behind global pooling": Does(
        lambda s, x: s.c(x.mean((-1, -2), keepdim=True)), c=nn.Conv2d(3, 2, 3, padding=1)
    ),
    "squeeze and excitation": Does(
        lambda s, x: s.a(x) * torch.sigmoid(s.b(F.adaptive_avg_pool2d(x, 1))),
        a=nn.Conv2d(3, 4, 3, 2),
        b=nn.Conv2d(3, 4, 1),
    ),
    "squeeze and excitation by linear layers": Does(
        lambda s, x: x * F.hardsigmoid(s.b(x.mean((2, 3))))[:, :, None, None], b=nn.Linear(3, 3)
    ),
    "pooling added": Does(lambda s, x: s.a(x) + s.b(x.mean((2, 3), True)), a=nn.Conv2d(3, 2, 3), b=nn.Conv2d(3, 2, 1)),
    "normalised over all places": Does(lambda s, x: F.group_norm(s.a(x), 2), a=nn.Conv2d(3, 4, 3)),
    "each map normalised": Does(lambda s, x: F.instance_norm(s.a(x)), a=nn.Conv2d(3, 4, 3)),
    "by the images' own statistics": Does(
        lambda s, x: s.n(s.a(x)), a=nn.Conv2d(3, 4, 3), n=nn.BatchNorm2d(4, track_running_stats=False)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_the_field_that_it_must_have(form):
    model, expected = FORMS[form]
    assert receptive_field(model.eval(), "end", (3, 22, 28)) == expected
    assert check(model, "end", (22, 28), holes=form in ("dilated", "unfolded")) > 0


@pytest.mark.parametrize("form", EVERYWHERE)
def test_where_every_pixel_moves_every_position_it_is_the_whole_image(form):
    model = EVERYWHERE[form].eval()
    assert receptive_field(model, "end", (12, 18)) == whole((12, 18))
    if "normalised" not in form and "statistics" not in form:  # they change all others by little
        for axis, seen in enumerate(moved(model, "end", (12, 18))):
            assert (seen[..., 0] == 0).all()
            assert (seen[..., 1] == (11, 17)[axis]).all()


def test_a_bias_that_depends_on_the_images_counts():
    model = Does(lambda s, x: F.conv2d(x, s.c.weight, s.b(x.mean((0, 2, 3)))), c=nn.Conv2d(3, 4, 3), b=nn.Linear(3, 4))
    assert receptive_field(model, "end", (20, 24)) == whole((20, 24))


def test_a_convolution_over_time_too():
    def flat(self: Does, x: Tensor) -> Tensor:
        return self.c(x.view(1, 3, 1, *x.shape[2:])).select(2, 0)

    model = Does(flat, c=nn.Conv3d(3, 2, (1, 5, 3)))
    assert receptive_field(model, "end", (3, 20, 24)) == ReceptiveField((5, 3), (1, 1), (0, 0))


def test_a_gate_without_an_axis_for_images():
    model = Does(lambda s, x: s.c(x) * x.amax((0, 2, 3)).view(-1, 1, 1), c=nn.Conv2d(3, 3, 3))
    assert receptive_field(model, "end", (20, 24)) == whole((20, 24))


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 128)])
@pytest.mark.parametrize("units", [3, 8, 16])
def test_a_normalisation_whose_units_sum_to_zero(units, size):
    model = nn.Sequential(nn.Conv2d(3, units, 4, 4), LayerNorm2d(units)).eval()
    assert receptive_field(model, "1", size) == araujo([(4, 4, 0)])


def test_a_known_network_with_normalisation_of_places():
    path = [(4, 4, 0)] + [(7, 1, 3)] * 2
    torch.manual_seed(0)
    model = ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)]).eval()
    for layer, expected in (("features.0", path[:1]), ("features.1", path), ("features.2.0", path)):
        assert receptive_field(model, layer, (96, 128)) == araujo(expected), layer


def test_bounded_rectifiers_let_all_pixels_through():
    """So many sums that positive values grow beyond 6, where ReLU6 passes no gradient."""

    def blocks(self: Does, x: Tensor) -> Tensor:
        for _ in range(8):
            x = x + self.a(x)
        return F.relu6(self.b(x))

    parts = {"a": nn.Conv2d(3, 3, 1), "b": nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")}  # it is measured
    assert receptive_field(Does(blocks, **parts), "end", (20, 24)) == araujo([(3, 1, 1)])


class Scaled(nn.Module):
    """A convolution that is measured, times a parameter or divided by a buffer."""

    def __init__(self, shape: tuple[int, ...], divide: bool = False) -> None:
        super().__init__()
        self.conv, self.divide = nn.Conv2d(3, 3, 5, padding=2, padding_mode="reflect"), divide
        if divide:
            self.register_buffer("std", torch.ones(shape))
        else:
            self.gamma = nn.Parameter(1e-6 * torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        if self.divide:
            return self.conv(x) / self.std.reshape(1, -1, 1, 1)
        return x + self.gamma.reshape(1, -1, 1, 1) * self.conv(x)


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("shape", [(3,), (1, 3, 1, 1), ()])
def test_scales_of_any_name_and_shape_let_all_pixels_through(shape, divide):
    assert receptive_field(nn.Sequential(Scaled(shape, divide)), "0", (20, 24)) == araujo([(5, 1, 2)])


@pytest.mark.parametrize("normalised", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_normalised_weights_let_all_pixels_through(normalised):
    model = nn.Sequential(normalised(nn.Conv2d(3, 4, 5, padding=2, padding_mode="reflect"))).eval()
    assert receptive_field(model, "0", (3, 20, 24)) == araujo([(5, 1, 2)])


def test_a_forward_that_names_its_type_is_measured_too():
    conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
    assert receptive_field(Does(lambda s, x: s.c(x.float()), c=conv), "end", (20, 24)) == araujo([(3, 1, 1)])


def test_pooling_with_dilation_is_measured_too():
    def forward(self: Does, x: Tensor) -> Tensor:
        return F.max_pool2d(self.c(x[:, :, 1:]), 2, 1, 0, 2)

    expected = ReceptiveField((3, 3), (1, 1), (1, 0))
    assert receptive_field(Does(forward, c=nn.Conv2d(3, 3, 1)), "end", (20, 24)) == expected


@cache
def torchvision_model(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "densenet121":
        return DenseNet(4, (6, 12, 24, 16), 8, 2).eval()
    if name == "mobilenet_v2":
        return MobileNetV2(width_mult=0.25).eval()
    if name == "googlenet":
        return torchvision.models.googlenet(weights=None, init_weights=False).eval()
    if name.startswith(("alexnet", "vgg")):  # their linear layers cost more than all tests here
        with torch.device("meta"):
            model = getattr(torchvision.models, name)(weights=None)
        return nn.Sequential(OrderedDict(features=model.features.to_empty(device="cpu"))).eval()
    return getattr(torchvision.models, name)(weights=None).eval()


def gradient_support(model: nn.Module, layers: Sequence[str], size: Sequence[int]) -> dict[str, list[list[int]]]:
    """Bounding box of the gradient of the middle and the first position, with positive weights and average pooling."""
    model = deepcopy(model).double()
    generator = torch.Generator().manual_seed(1)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
            elif isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    for parameter in model.parameters():
        noise = 0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = 0.5 * noise / parameter[0].numel() if parameter.ndim > 1 else 0 * noise
    kept: dict[str, Tensor] = {}
    for layer in layers:
        model.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, layer=layer: kept.update({layer: output.clone()})
        )
    image = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64).requires_grad_()
    model(image)
    found = {}
    for layer in layers:
        found[layer] = []
        for place in ([kept[layer].shape[2] // 2, kept[layer].shape[3] // 2], [0, 0]):
            score = kept[layer][0, :, place[0], place[1]].sum()
            (gradient,) = torch.autograd.grad(score, image, retain_graph=True)
            seen = gradient[0].abs().sum(0).nonzero()
            found[layer].append([*place, *seen.amin(0).tolist(), *(seen.amax(0) + 1).tolist()])
    return found


FAMILIES = {
    "alexnet": (["features.5", "features.12"], (200, 232)),
    "vgg11": (["features.10"], (80, 88)),
    "resnet18": (["layer1.1", "layer2"], (104, 136)),
    "googlenet": (["inception3b", "inception4a"], (136, 152)),
    "squeezenet1_1": (["features.4", "features.7.expand3x3", "features.12"], (107, 123)),
    "mobilenet_v2": (["features.5", "features.9.conv.1"], (144, 168)),
    "densenet121": (["features.denseblock1", "features.transition2"], (152, 168)),
    "shufflenet_v2_x0_5": (["stage2", "stage3.0"], (136, 168)),
    "efficientnet_b0": (["features.0", "features.1.0.block.0", "features.2"], (40, 56)),
    "regnet_x_400mf": (["trunk_output.block1", "trunk_output.block2"], (64, 72)),
    "regnet_y_400mf": (["stem", "trunk_output.block1"], (40, 56)),
}


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_the_support_of_the_gradient_on_known_networks(name):
    layers, size = FAMILIES[name]
    found = receptive_fields(torchvision_model(name), layers, size)
    for layer, places in gradient_support(torchvision_model(name), layers, size).items():
        for row, column, *support in places:
            (box,) = found[layer].field.boxes(torch.tensor([[row, column]])).tolist()
            clipped = [max(0, box[0]), max(0, box[1]), min(size[0], box[2]), min(size[1], box[3])]
            assert clipped == support, (layer, row, column, found[layer])
    inner = found[layers[0]].field
    assert inner.stride == (0, 0) or inner.size < size


ALEXNET = [(11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 0)]
VGG16 = [(3, 1, 1)] * 2 + [(2, 2, 0)] + [(3, 1, 1)] * 2 + ([(2, 2, 0)] + [(3, 1, 1)] * 3) * 3 + [(2, 2, 0)]
RESNET18 = [(7, 2, 3), (3, 2, 1)] + [(3, 1, 1)] * 4 + ([(3, 2, 1)] + [(3, 1, 1)] * 3) * 3


@pytest.mark.parametrize(
    ("name", "layer", "path", "published"),
    [
        ("alexnet", "features.12", ALEXNET, 195),
        ("alexnet", "features.2", ALEXNET[:2], 19),
        ("vgg16", "features.30", VGG16, 212),
        ("resnet18", "layer4", RESNET18, 435),
    ],
)
def test_published_sizes(name, layer, path, published):
    found = receptive_field(torchvision_model(name), layer, (224, 224))
    assert found == araujo(path)
    assert found.size == (published, published)


def test_published_size_of_mobilenet_v1():
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    convolutions = [nn.Conv2d(3, 4, 3, 2, 1)]
    for stride in strides:
        convolutions += [nn.Conv2d(4, 4, 3, stride, 1, groups=4), nn.ReLU6(), nn.Conv2d(4, 4, 1)]
    found = receptive_field(nn.Sequential(*convolutions), str(len(convolutions) - 1), (128, 160))
    assert (found.size, found.stride) == ((315, 315), (32, 32))


@pytest.mark.parametrize("layer", ["avgpool", "fc"])
def test_layers_behind_global_pooling_of_a_known_network_see_the_whole_image(layer):
    assert receptive_field(torchvision_model("resnet18"), layer, (64, 96)) == whole((64, 96))


def test_pooling_to_some_places_each_has_its_part():
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.AdaptiveAvgPool2d(4))
    assert receptive_field(model, "1", (24, 40)) == ReceptiveField((8, 12), (6, 10), (-1, -1))
    assert check(model, "1", (24, 40), holes=False) > 0
    irregular = receptive_field(model, "1", (26, 40))
    assert irregular == ReceptiveField((26, 12), (0, 10), (0, -1))


@pytest.mark.parametrize("layer", ["encoder.layers.encoder_layer_0", "encoder.ln"])
def test_tokens_see_the_whole_image_and_the_patches_before_them_theirs(layer):
    torch.manual_seed(0)
    model = small_vit()
    assert receptive_field(model, layer, (32, 32)) == whole((32, 32))
    assert receptive_field(model, "conv_proj", (32, 32)) == ReceptiveField((8, 8), (8, 8), (0, 0))


@pytest.mark.parametrize("layer", ["features.1.0", "features.1.1", "features.3"])
def test_windowed_attention_sees_the_whole_image_for_it_differs_from_place_to_place(layer):
    torch.manual_seed(0)
    model = SwinTransformer([4, 4], 8, [2, 2], [2, 2], [4, 4], num_classes=5).eval()
    assert receptive_field(model, layer, (64, 96)) == whole((64, 96))
    assert receptive_field(model, "features.0", (64, 96)) == ReceptiveField((4, 4), (4, 4), (0, 0))


def test_a_layer_that_runs_twice_has_the_field_of_the_last_time():
    model = Does(lambda s, x: s.c(s.c(x)), c=nn.Conv2d(3, 3, 3, 2, 1))
    found = receptive_fields(model, ["c", "end"], SIZE)
    assert found["c"].field == araujo([(3, 2, 1)] * 2)
    assert (found["c"].runs, found["end"].runs) == (2, 1)


def test_several_layers_at_once_are_the_same_as_one_by_one():
    layers = ["conv1", "layer1.0", "layer3.1", "fc"]
    together = receptive_fields(torchvision_model("resnet18"), layers, (96, 128))
    assert {layer: found.field for layer, found in together.items()} == {
        layer: receptive_field(torchvision_model("resnet18"), layer, (96, 128)) for layer in layers
    }


def test_boxes_are_half_open_and_may_reach_beyond_the_image():
    field = ReceptiveField((5, 3), (2, 4), (-2, 1))
    positions = torch.tensor([[[0, 0], [3, 1]]])
    assert field.boxes(positions).tolist() == [[[-2, 1, 3, 4], [4, 5, 9, 8]]]


def test_channels_are_those_of_the_first_convolution_or_as_said():
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    assert receptive_field(grey, "1", (12, 20)) == araujo([(3, 1, 0)])
    late = Does(lambda s, x: s.c(x.mean(1, keepdim=True)), c=nn.Conv2d(1, 2, 3))
    assert receptive_field(late, "c", (4, 12, 20)).size == (3, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_the_weights_does_not_matter(dtype):
    model = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 3)).to(dtype)
    assert receptive_field(model, "3", (48, 64)) == araujo([(5, 2, 2), (3, 2, 0), (3, 1, 0)])
    assert receptive_field(Does(shared, conv=nn.Conv2d(3, 2, 3, 2, 1)).to(dtype), "end", SIZE) == araujo([(3, 2, 1)])


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_what_has_no_field_is_refused_by_name():
    idle = Does(lambda s, x: s.c(x), c=nn.Conv2d(3, 3, 3), idle=nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match='"idle" does not run'):
        receptive_field(idle, "idle", SIZE)
    with pytest.raises(ValueError, match='no layer "none".*Choices'):
        receptive_field(idle, "none", SIZE)
    with pytest.raises(ValueError, match="is a pattern"):
        receptive_field(idle, "*", SIZE)


@pytest.mark.parametrize("part", [nn.Conv2d(3, 3, 1), nn.Identity()])
def test_a_layer_that_does_not_depend_on_the_images_is_refused(part):
    apart = Does(lambda s, x: s.c(x) + s.own(torch.ones(1, 3, 8, 8)).mean(), c=nn.Conv2d(3, 3, 3), own=part)
    with pytest.raises(ValueError, match='"own" does not depend on the images'):
        receptive_field(apart, "own", SIZE)


def test_a_layer_that_returns_no_tensor_is_refused_for_that():
    model = Does(lambda s, x: s.pair(x)[0], pair=Pair())
    with pytest.raises((ValueError, TypeError), match='"pair".*returns a tuple'):
        receptive_field(model, "pair", (3, 12, 20))


def test_tokens_of_no_grid_are_refused_without_naming_an_argument_that_it_has_not():
    model = Does(lambda s, x: s.c(x).flatten(2)[:, :, :50].transpose(1, 2), c=nn.Conv2d(3, 7, 3))
    with pytest.raises(ValueError, match="no stack of maps") as raised:
        receptive_field(model, "end", (12, 20))
    assert "reshape=" not in str(raised.value)


@pytest.mark.parametrize("layer", ["0", "5", "8", "10"])
def test_the_model_is_left_as_found(layer):
    model = network().train()
    model[1].eval()
    with left_as_found(model):
        receptive_field(model, layer, (12, 20))


def test_the_model_is_left_as_found_also_after_an_error():
    def broken(self: Does, x: Tensor) -> Tensor:
        raise ArithmeticError(self.c(x).shape)

    model = Does(broken, c=nn.Conv2d(3, 3, 3)).train()
    with left_as_found(model):
        with pytest.raises(ArithmeticError):
            receptive_field(model, "c", (12, 20))
        with pytest.raises(ValueError, match="no layer"):
            receptive_field(model, "d", (12, 20))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("make", [torch.jit.script, torch.jit.trace])
def test_behind_torchscript_it_is_followed_from_the_images_on(make):
    inner = nn.Sequential(nn.Conv2d(3, 4, (3, 5), padding=1), nn.ReLU())
    hidden = make(inner) if make is torch.jit.script else make(inner, torch.rand(1, 3, 12, 20))
    field = receptive_field(nn.Sequential(hidden, nn.Conv2d(4, 5, 3, stride=2)), "1", (20, 28))
    assert field == ReceptiveField((5, 7), (2, 2), (-1, -1))
