"""Occlusion maps against a loop that pastes the square and runs the model, and against Captum."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from typing import NamedTuple

import pytest
import torch
import torchvision
from captum.attr import Occlusion
from contract.harness import network, snapshot
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from lightning_viz.functional import again as computed_again
from lightning_viz.functional import hiding, increments, occlusion_map, parts

IMAGES = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
PHOTOS = F.interpolate(
    torch.randn(6, 3, 16, 24, generator=torch.Generator().manual_seed(1)), size=(64, 96), mode="bicubic"
)

EMPTY_BORDER = torch.zeros(1, 1, 28, 36)
EMPTY_BORDER[:, :, 9:19, 13:23] = torch.rand(10, 10, generator=torch.Generator().manual_seed(2))


class Does(nn.Module):
    """A forward that is a function of the module and the images."""

    def __init__(self, does: Callable[["Does", Tensor], object], **parts: nn.Module) -> None:
        super().__init__()
        self.does = does
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> object:
        return self.does(self, x)


class Truth(NamedTuple):
    """What a loop finds."""

    scores: Tensor
    """``(N, rows, cols, classes)``"""
    sums: Tensor | None
    """``(N, rows, cols, units)`` of the layer."""
    clean: Tensor
    """``(N, classes)``"""


def places(length: int, square: int, stride: int) -> list[int]:
    """From the first pixel on; the last square ends with the image."""
    found = []
    while not found or found[-1] + square < length:
        found.append(min(stride * len(found), length - square))
    return found


@torch.no_grad()
def loop(
    model: nn.Module,
    images: Tensor,
    square: int,
    stride: int,
    hide: Callable[[Tensor], Tensor] | float = 0.0,
    layer: str | None = None,
    together: bool = True,
) -> Truth:
    """Paste the square and run the model; ``hide`` makes of an image one that is hidden altogether."""
    tops, lefts = (places(length, square, stride) for length in images.shape[2:])
    scores, kept, clean = [], [], []
    handle = layer and model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output.flatten(2).sum(2))
    )
    for image in images:
        clean.append(model(image[None].clone()))
        kept.clear()
        hidden = hide(image) if callable(hide) else torch.full_like(image, hide)
        occluded = []
        for top in tops:
            for left in lefts:
                one = image.clone()
                one[:, top : top + square, left : left + square] = hidden[:, top : top + square, left : left + square]
                occluded.append(one)
        whole = torch.stack(occluded)
        scores.append(torch.cat([model(part.clone()) for part in whole.split(len(whole) if together else 1)]))
    if handle:
        handle.remove()
    grid = (len(images), len(tops), len(lefts), -1)
    sums = None
    if layer:
        assert len(images) == 1
        sums = torch.cat(kept).reshape(grid)
    return Truth(torch.stack(scores).reshape(grid), sums, torch.cat(clean))


def shares_of(truth: Truth, classes: Sequence[int]) -> Tensor:
    """``(N, rows, cols)`` probabilities of a class of each image."""
    return torch.stack([one.softmax(-1)[..., number] for one, number in zip(truth.scores, classes, strict=True)])


def mean_over_squares(fall: Tensor, square: int, stride: int, size: Sequence[int]) -> Tensor:
    """``(rows, cols)`` to ``(H, W)``, pixel by pixel."""
    tops, lefts = (places(length, square, stride) for length in size)
    drop = torch.full(tuple(size), torch.nan)
    for row in range(size[0]):
        for column in range(size[1]):
            covering = [
                fall[i, j]
                for i, top in enumerate(tops)
                for j, left in enumerate(lefts)
                if top <= row < top + square and left <= column < left + square
            ]
            if covering:
                drop[row, column] = torch.stack(covering).double().mean()
    return drop


@pytest.fixture
def said(caplog) -> Callable[[], list[str]]:
    """What was said at debug level since the test began."""
    caplog.set_level(logging.DEBUG, "lightning_viz")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(scope="module")
def all_followed() -> Iterator[None]:
    """Also where it hardly pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(increments, "LOCAL", 0)
        yield


def head(channels: int, height: int, width: int, classes: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))


def convnet(channels: int = 3, classes: int = 5, size: Sequence[int] = (16, 24)) -> nn.Sequential:
    """Overlapping pooling, normalisation with statistics of its own, every place counts."""
    torch.manual_seed(0)
    height, width = size[0] // 2, size[1] // 2
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        head(8, height, width, classes),
    )
    unsettle(model)
    with torch.no_grad():
        model[6][1].weight.mul_(4)  # probabilities that move
    return model.eval()


def unsettle(model: nn.Module) -> None:
    """Give normalisations statistics, so that they do something."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))


def assert_as_the_loop(model: nn.Module, images: Tensor, square: int, stride: int, **options: object) -> None:
    truth = loop(model, images, square, stride, together=False)
    for number in range(truth.scores.shape[-1]):
        found = occlusion_map(model, images, number, square, stride, **options).probability
        expected = shares_of(truth, [number] * len(images))
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-5


# Random networks, in double precision.

PAIR = st.tuples(st.integers(0, 2), st.integers(0, 2))


def normalised(draw: st.DrawFn, conv: nn.Module) -> nn.Module:
    """A normalisation behind a convolution, or a rectifier, or both, or none."""
    behind = [[], [nn.BatchNorm2d(4)], [nn.BatchNorm2d(4), nn.ReLU(inplace=True)], [nn.ReLU()]]
    return nn.Sequential(conv, *draw(st.sampled_from(behind)))


def convolution(draw: st.DrawFn) -> nn.Module:
    kernel, stride, dilation = (tuple(1 + number for number in draw(PAIR)) for _ in range(3))
    if draw(st.booleans()):
        stride = dilation = (1, 1)
    conv = nn.Conv2d(4, 4, kernel, stride, draw(PAIR), dilation, draw(st.sampled_from([1, 2, 4])), draw(st.booleans()))
    return normalised(draw, conv)


def same(draw: st.DrawFn) -> nn.Module:
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate"]))
    return normalised(draw, nn.Conv2d(4, 4, draw(st.integers(2, 3)), padding="same", padding_mode=mode))


def max_pool(draw: st.DrawFn) -> nn.Module:
    kernel = draw(st.tuples(st.integers(2, 3), st.integers(2, 4)))
    stride, padding, dilation = draw(st.integers(1, 3)), draw(st.integers(0, 1)), draw(st.integers(1, 2))
    ceil = draw(st.booleans())
    if draw(st.booleans()):
        return Does(lambda self, x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil))
    return nn.MaxPool2d(kernel, stride if draw(st.booleans()) else None, padding, dilation, ceil_mode=ceil)


def average_pool(draw: st.DrawFn) -> nn.Module:
    kernel, stride = draw(st.tuples(st.integers(2, 3), st.integers(2, 4))), draw(st.sampled_from([None, 1, 2, 3]))
    return nn.AvgPool2d(
        kernel, stride, draw(PAIR.map(lambda pair: (min(pair[0], 1), min(pair[1], 1)))), draw(st.booleans()),
        draw(st.booleans()), draw(st.sampled_from([None, None, 3])),
    )  # fmt: skip


def residual(draw: st.DrawFn) -> nn.Module:
    stride, form = draw(st.integers(1, 2)), draw(st.integers(0, 3))

    def forward(self: Does, x: Tensor) -> Tensor:
        y = self.two(F.relu(self.one(x), inplace=form > 1))
        other = self.skip(x) if stride > 1 else x
        if form == 0:
            return torch.clamp(y + other, min=0)
        if form == 1:
            return torch.add(other, y, alpha=0.5)
        y += other
        return y.relu_()

    two = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
    return Does(forward, one=nn.Conv2d(4, 3, 3, stride, 1), two=two, skip=nn.Conv2d(4, 4, 1, stride))


def again(draw: st.DrawFn) -> nn.Module:
    """A convolution that runs twice; what it gives is used with and without its normalisation."""

    def forward(self: Does, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        y = self.conv(x)
        return self.norm(y) - y if plain else self.norm(y)

    plain = draw(st.booleans())
    return Does(forward, conv=nn.Conv2d(4, 4, 3, padding=1), norm=nn.BatchNorm2d(4))


def branches(draw: st.DrawFn) -> nn.Module:
    stride = draw(st.integers(1, 2))
    return Does(
        lambda self, x: self.join(torch.cat([self.one(x), F.relu(self.two(x)), self.three(x)], 1)),
        one=nn.Conv2d(4, 2, 1, stride),
        two=nn.Sequential(nn.Conv2d(4, 2, 3, stride, 1), nn.Conv2d(2, 2, (1, 5), padding=(0, 2))),
        three=nn.MaxPool2d(3, stride, 1),
        join=nn.Conv2d(8, 4, 1),
    )


def dense(draw: st.DrawFn) -> nn.Module:
    """What is joined is normalised before the convolution, so that nothing can be folded."""
    return Does(
        lambda self, x: self.join(torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)),
        norm=nn.BatchNorm2d(4),
        conv=nn.Conv2d(4, 3, 3, padding=1),
        join=nn.Conv2d(7, 4, 1),
    )


def gate(draw: st.DrawFn) -> nn.Module:
    if draw(st.booleans()):
        return Does(lambda self, x: x * torch.sigmoid(self.conv(x)), conv=nn.Conv2d(4, 4, 3, padding=1))
    return Does(
        lambda self, x: x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True))), squeeze=nn.Conv2d(4, 4, 1)
    )


def shuffle(draw: st.DrawFn) -> nn.Module:
    def forward(self: Does, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        y = torch.cat([left, self.conv(right)], 1)
        return y.view(len(y), 2, -1, *y.shape[2:]).transpose(1, 2).reshape(y.shape)

    return Does(forward, conv=nn.Conv2d(2, 2, 3, padding=1))


def turned(draw: st.DrawFn) -> nn.Module:
    """Channels go to the last axis, through linear layers, and come back."""
    gated, flat, bias = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    behind = draw(st.sampled_from([lambda x: x, F.relu, lambda x: x.contiguous() + 1]))

    def forward(self: Does, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1)
        pixels = self.norm(y).flatten(1, 2) if flat else self.norm(y)
        z = self.two(F.gelu(self.one(pixels))) * self.two.weight[0, :4]
        z = z * torch.sigmoid(pixels) if gated else z
        return x + behind(z.reshape(y.shape).permute(0, 3, 1, 2))

    return Does(forward, norm=nn.LayerNorm(4), one=nn.Linear(4, 7, bias), two=nn.Linear(7, 4, bias))


FORMS = (
    F.relu, torch.relu_, F.silu, F.elu, F.gelu, F.hardswish, F.leaky_relu_, F.relu6, lambda x: x.clamp(-1, 1),
    lambda x: x.clamp_(min=0), lambda x: 0.5 * x + x / 3, lambda x: 1 - x, lambda x: -x.abs(), lambda x: x * x.tanh(),
    F.softplus, lambda x: x.softmax(1), lambda x: F.pad(x, (1, 0, 0, 2)), lambda x: F.interpolate(x, scale_factor=2),
    lambda x: x.flip(3), lambda x: x[:, :, 1:, ::2], lambda x: x.transpose(2, 3).contiguous(),
)  # fmt: skip


def function(draw: st.DrawFn) -> nn.Module:
    form = draw(st.sampled_from(FORMS))
    return Does(lambda self, x: form(1 * x))


PIECES = [
    convolution, convolution, same, max_pool, average_pool, residual, again, branches, dense, gate, shuffle, turned,
    function,
]  # fmt: skip


class Case(NamedTuple):
    model: nn.Sequential
    images: Tensor
    square: int
    stride: int
    layer: str
    unit: int
    batch_size: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    channels, size = draw(st.sampled_from([1, 3, 6])), draw(st.tuples(st.integers(9, 16), st.integers(9, 20)))
    torch.manual_seed(draw(st.integers(0, 9)))
    pieces = [draw(st.sampled_from(PIECES))(draw) for _ in range(draw(st.integers(1, 4)))]
    body = nn.Sequential(nn.Conv2d(channels, 4, draw(st.integers(1, 3))), *pieces).double().eval()
    unsettle(body)
    images = torch.randn(1, channels, *size, dtype=torch.float64)
    try:
        with torch.no_grad():
            shape = body(images).shape
    except RuntimeError:
        assume(False)  # smaller than a window
    shape = torch.Size([1, 4, 1, 1]) if draw(st.booleans()) else shape
    last = [nn.AdaptiveAvgPool2d(1)] if shape[2:] == (1, 1) else []
    model = nn.Sequential(*body, *last, head(*shape[1:])).double().eval()
    square = draw(st.integers(1, min(size)))
    stride = draw(st.integers(1 if square > 5 else 2, square + 2))
    layer = str(draw(st.integers(0, len(body) - 1)))
    return Case(model, images, square, stride, layer, draw(st.integers(0, 3)), draw(st.sampled_from([1, 7, 64])))


LARGE = 1e6


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(cases(), st.integers(0, 3))
@pytest.mark.usefixtures("all_followed")
def test_random_networks_are_as_a_loop_finds_them(case, number):
    """Differences are magnified before they become float32; a constant score beside them stays the largest."""
    model, images, square, stride, layer, unit, batch_size = case
    truth = loop(model, images, square, stride, layer=layer)

    def magnified(scores: Tensor) -> Tensor:
        return torch.cat([LARGE * (scores - truth.clean), LARGE * torch.ones_like(scores[:, :1])], 1)

    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger, level = logging.getLogger("lightning_viz"), logging.getLogger("lightning_viz").level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        options = {"layer": layer, "unit": unit, "activation": "none", "batch_size": batch_size}
        found = occlusion_map(model, images, number, square, stride, output=magnified, **options)
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert [record.getMessage() for record in records] == []
    expected = LARGE * (truth.scores - truth.clean)[..., number]
    assert found.probability.shape == expected.shape
    assert ((found.probability - expected).abs() <= LARGE * 1e-9 + 2e-7 * expected.abs()).all()
    sums = truth.sums[..., unit]
    assert (found.activity - sums).abs().max() <= 1e-6 * (1 + sums.abs().max())


# Known networks.


def settled(model: nn.Module, photos: Tensor = PHOTOS) -> nn.Module:
    """With statistics of its images, so that signals neither vanish nor burst; scores are below 1."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        model.train()(photos)
        model.eval()
        heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
        if heads:
            spread = model(photos).std(1).mean() / 0.4
            heads[-1].weight.div_(spread)
            heads[-1].bias.zero_()
    return model


def featured(name: str) -> nn.Module:
    """Features of a network whose own linear layers cost more than all tests here."""
    with torch.device("meta"):
        features = getattr(torchvision.models, name)(weights=None).features
    features = features.to_empty(device="cpu")
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.reset_parameters()
    channels = [module.out_channels for module in features.modules() if isinstance(module, nn.Conv2d)][-1]
    return nn.Sequential(features, nn.AdaptiveAvgPool2d((2, 3)), head(channels, 2, 3, 5))


def by_name(name: str, **arguments: object) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision.models, name)(num_classes=5, **arguments)


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "alexnet": lambda: featured("alexnet"),
    "vgg11_bn": lambda: featured("vgg11_bn"),
    "resnet18": by_name("resnet18"),
    "resnext": lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5, groups=4, width_per_group=16),
    "googlenet": by_name("googlenet", init_weights=False, aux_logits=False),
    "squeezenet1_1": by_name("squeezenet1_1"),
    "mobilenet_v2": by_name("mobilenet_v2", width_mult=0.25),
    "mobilenet_v3_small": by_name("mobilenet_v3_small"),
    "densenet": lambda: DenseNet(8, (2, 3, 2), 16, 2, num_classes=5),
    "shufflenet_v2_x0_5": by_name("shufflenet_v2_x0_5"),
    "mnasnet0_5": by_name("mnasnet0_5"),
    "efficientnet_b0": by_name("efficientnet_b0"),
    "regnet_x_400mf": by_name("regnet_x_400mf"),
    "regnet_y_400mf": by_name("regnet_y_400mf"),
    "convnext": lambda: ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)], num_classes=5),
}

OTHERS: dict[str, Callable[[], nn.Module]] = {
    "swin": lambda: SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=5),
    "vit": lambda: VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5),
}


@cache
def known(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = (FAMILIES | OTHERS)[name]()
    if name == "vit":  # as torchvision makes it, with a head of zeros
        nn.init.normal_(model.heads[-1].weight)
        return settled(model, PHOTOS[:, :, :32, :32])
    return settled(model)


def size_for(name: str) -> tuple[int, int]:
    return (32, 32) if name == "vit" else (64, 96)


@pytest.mark.parametrize("name", [*FAMILIES, *OTHERS])
def test_known_networks_are_as_a_loop_finds_them(name, said):
    model, (height, width) = known(name), size_for(name)
    image = PHOTOS[:1, :, :height, :width]
    truth = loop(model, image, 14, 12)
    found = occlusion_map(model, image, 2, 14, 12)
    expected = shares_of(truth, [2])
    assert (expected.amax() - expected.amin()) > 1e-3, "a map that shows nothing compares nothing"
    assert 0.01 < expected.mean() < 0.99
    assert (found.probability - expected).abs().max() <= 1e-5
    if name in FAMILIES:
        assert said() == []
    else:
        assert len(said()) <= 1


@pytest.mark.parametrize(("name", "part"), [("alexnet", 0.7), ("vgg11_bn", 0.5), ("resnet18", 0.75), ("convnext", 0.8)])
def test_less_is_computed_than_by_a_loop(name, part):
    def operations(run: Callable[[], object]) -> int:
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    model, image = known(name), PHOTOS[:1].repeat(1, 1, 2, 2)
    ours = operations(lambda: occlusion_map(model, image, 2, 12, 40))
    count = len(places(128, 12, 40)) * len(places(192, 12, 40))
    theirs = count * operations(lambda: model(image))
    assert ours < part * theirs


def test_what_cannot_be_followed_runs_in_plain_batches_and_says_so_once(said):
    def forward(self: Does, x: Tensor) -> Tensor:
        maps = self.conv(x)
        half = maps[:, :2]
        half.relu_()
        return self.head(maps)

    torch.manual_seed(0)
    model = Does(forward, conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)).eval()
    found = occlusion_map(model, IMAGES, 1, 4, 3).probability
    messages = said()
    assert (found - shares_of(loop(model, IMAGES, 4, 3), [1, 1])).abs().max() <= 1e-5
    assert messages
    assert messages[0].startswith("lightning_viz: occlusion_map of Does runs in plain batches: ")
    assert len(messages) == 1


# The check that is built in.


def without_halo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes one pixel too small on all sides, in every layer."""
    right = parts.place
    for module in (parts, computed_again):
        monkeypatch.setattr(module, "place", lambda first, last, *rest: right(first + 1, last - 1, *rest))


@pytest.mark.parametrize("square", [4, 5])
def test_boxes_without_their_halo_are_noticed_and_not_used(square, monkeypatch, said):
    without_halo(monkeypatch)
    assert_as_the_loop(convnet(), IMAGES[:1], square, 3)
    assert all("runs in plain batches: the scores would be off by" in message for message in said())
    assert said()


def test_they_are_noticed_too_where_the_first_squares_hide_nothing(monkeypatch, said):
    """As with figures on an empty ground, of the value that hides."""
    without_halo(monkeypatch)
    for square in (4, 5, 6, 7):
        assert_as_the_loop(convnet(1, size=(28, 36)), EMPTY_BORDER, square, 3)


def test_without_that_check_these_tests_would_fail(monkeypatch):
    """The negative control: a comparison that lets boxes without halo pass compares nothing."""
    assert_as_the_loop(convnet(), IMAGES, 4, 3)
    without_halo(monkeypatch)
    monkeypatch.setattr(hiding, "SAME", float("inf"))
    with pytest.raises(AssertionError):
        assert_as_the_loop(convnet(), IMAGES, 4, 3)


def test_the_same_image_for_several_classes_is_computed_once():
    model = Does(lambda self, x: self.head(x), head=convnet()).eval()
    asked = []
    model.register_forward_hook(lambda module, inputs, output: asked.append(len(output)))

    def passes(images: Tensor, classes: list[int]) -> tuple[int, Tensor]:
        asked.clear()
        probability = occlusion_map(model, images, classes, 4, 3).probability
        return sum(asked), probability

    (once, one), (still_once, three) = passes(IMAGES[:1], [0]), passes(IMAGES[:1].repeat(3, 1, 1, 1), [2, 0, 1])
    assert (once, still_once) == (once, once)
    assert torch.equal(three[1], one[0])
    assert not torch.equal(three[0], three[1])
    assert passes(IMAGES, [0, 0])[0] == 2 * once


def test_a_wrong_class_is_refused_before_the_first_map():
    model, asked = convnet(), []
    model.register_forward_hook(lambda module, inputs, output: asked.append(len(output)))
    with pytest.raises(ValueError, match="there is no class 99"):
        occlusion_map(model, IMAGES, [0, 99], 4, 3)
    assert sum(asked) < 5


def test_what_mixes_the_images_of_a_batch_gets_them_one_by_one_in_all_images():
    """The mixing is seen at some images only: those whose brightest place a square hides."""

    def forward(self: Does, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return self.head(self.conv(x / x.max()))

    sizes: list[int] = []
    torch.manual_seed(0)
    model = Does(forward, conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)).eval()
    occlusion_map(model, IMAGES, 1, 4, 3)
    assert set(sizes) == {1}


def test_plain_batches_are_no_larger_than_asked(monkeypatch):
    sizes: list[int] = []
    model = convnet()
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))

    def fails(*given: object) -> None:
        raise RuntimeError

    usual = hiding._by_increments
    calls = iter([usual, fails])  # it begins well

    def next_call(*given: object) -> object:
        return next(calls)(*given)

    monkeypatch.setattr(hiding, "_by_increments", next_call)
    found = occlusion_map(model, IMAGES[:1], 1, 4, 3, batch_size=5).probability
    assert max(sizes) == 5
    assert (found - shares_of(loop(convnet(), IMAGES[:1], 4, 3), [1])).abs().max() <= 1e-5


def test_a_network_with_little_local_work_runs_in_plain_batches(said, monkeypatch):
    monkeypatch.setattr(increments, "LOCAL", 0.25)
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(3, 2, 1), head(2, 16, 24, 300), nn.ReLU(), nn.Linear(300, 4)).eval()
    assert_as_the_loop(small, IMAGES[:1], 4, 3)
    assert any("little of what it does is local" in message for message in said())


# Models that are easily followed wrongly.


def bright(image: Tensor) -> Tensor:
    """An image whose largest value a few squares hide."""
    image = image.clone()
    image[0, 0, 9, 17] = 9
    return image


def queries_keys_and_values(self: Does, x: Tensor) -> Tensor:
    tokens = self.conv(x).flatten(2).transpose(1, 2)
    stacked = self.all(tokens).unflatten(-1, (3, 8)).unsqueeze(0).transpose(0, -2).squeeze(-2)
    q, k, v = stacked[0], stacked[1], stacked[2]
    return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


UNUSUAL: dict[str, Callable[[], nn.Module]] = {
    "a number taken out of a tensor": lambda: Does(
        lambda s, x: s.head(s.conv(x / float(x.max()))), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "a decision on a value": lambda: Does(
        lambda s, x: s.head(s.conv(x)) if x.max() > 8 else s.head(2 * s.conv(x)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "a map of numbers added": lambda: Does(
        lambda s, x: s.head(F.relu(s.conv(x) + s.head[1].weight[:, : 16 * 24].reshape(1, 4, 16, 24))),
        conv=nn.Conv2d(3, 4, 9, padding=4),
        head=head(4, 16, 24),
    ),
    "a map of one channel as factor": lambda: Does(
        lambda s, x: s.head(F.relu(s.conv(x) * torch.linspace(0, 1, 24))),
        conv=nn.Conv2d(3, 4, 9, padding=4),
        head=head(4, 16, 24),
    ),
    "coordinates beside the channels": lambda: Does(
        lambda s, x: s.head(s.conv(torch.cat([x, torch.linspace(0, 1, 24).expand(len(x), 1, 16, 24)], 1))),
        conv=nn.Conv2d(4, 4, 9, padding=4),
        head=head(4, 16, 24),
    ),
    "group normalisation": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), head(4, 16, 24)
    ),
    "instance normalisation": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), head(4, 16, 24)
    ),
    "normalisation of features": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), head(4, 16, 24, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)
    ),
    "transposed convolution, normalised": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2), nn.BatchNorm2d(4), head(4, 16, 24)
    ),
    "places of the maximum": lambda: Does(
        lambda s, x: s.head(F.max_unpool2d(*F.max_pool2d(s.conv(x), 2, return_indices=True), 2)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "tokens and attention": lambda: Does(
        lambda s, x: s.head(s.attention(*[s.conv(x).flatten(2).transpose(1, 2)] * 3)[0].mean(1)),
        conv=nn.Conv2d(3, 8, 4, 4),
        attention=nn.MultiheadAttention(8, 2, batch_first=True),
        head=nn.Linear(8, 4),
    ),
    "queries, keys and values on the first axis": lambda: Does(
        queries_keys_and_values,
        conv=nn.Conv2d(3, 8, 4, 4),
        all=nn.Linear(8, 24),
        head=nn.Linear(8, 4),
    ),
    "a convolution along one axis": lambda: Does(
        lambda s, x: s.head(s.gate(s.conv(x).mean((2, 3))[:, None])[:, 0]),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        gate=nn.Conv1d(1, 1, 3, padding=1),
        head=nn.Linear(4, 4),
    ),
    "no parameters": lambda: Does(lambda s, x: x.amax((2, 3))),
    "pooled globally": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ),
    "pooled globally, twice": lambda: Does(
        lambda s, x: s.head(s.conv(x).mean((-1, -2)) * s.conv(x).mean((2, 3), keepdim=True).sigmoid()[..., 0, 0]),
        conv=nn.Conv2d(3, 8, 3, padding=1),
        head=nn.Linear(8, 4),
    ),
    "means of channels, of rows and in double": lambda: Does(
        lambda s, x: s.head(
            F.relu(s.conv(x) * s.conv(x).mean(1, keepdim=True) + s.conv(x).mean(2, keepdim=True))
            + s.conv(x).mean((2, 3), keepdim=True, dtype=torch.float64).float()
        ),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "a product with factors": lambda: Does(
        lambda s, x: torch.addmm(s.head.bias, s.conv(x).flatten(1), s.head.weight.t().contiguous(), alpha=0.3),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=nn.Linear(4 * 16 * 24, 50),
    ),
    "a product, and its view": lambda: Does(
        lambda s, x: s.conv(x).view(len(x), -1) @ s.head.weight.t().contiguous(),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=nn.Linear(4 * 16 * 24, 50),
    ),
    "numbers taken out by NumPy": lambda: Does(
        lambda s, x: s.head(s.conv(x / float(x.detach().numpy().max()))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "numbers taken out as a list": lambda: Does(
        lambda s, x: s.head(s.conv(x / max(x.amax((1, 2, 3)).tolist()))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the largest value of the batch": lambda: Does(
        lambda s, x: s.head(s.conv(x / x.max())), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "mean and spread of the batch": lambda: Does(
        lambda s, x: s.head(s.conv((x - x.mean()) / x.std())), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "the largest of the batch at each place": lambda: Does(
        lambda s, x: s.head(s.conv(x / (1 + x.amax(0, keepdim=True)))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the images of the batch the other way round": lambda: Does(
        lambda s, x: s.head(s.conv(x) + 0.1 * s.conv(x.flip(0))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the first image of the batch taken off": lambda: Does(
        lambda s, x: s.head(s.conv(x) - 0.01 * s.conv(x[0])), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "the first images of the batch taken off": lambda: Does(
        lambda s, x: s.head(s.conv(x) - 0.001 * s.conv(x[:1])), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "all images of the batch": lambda: Does(
        lambda s, x: s.head(s.conv(x[0:])[:, :, 0:]), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "the images of the batch in turn": lambda: Does(
        lambda s, x: s.head(s.conv(x) * (1 + x.roll(1, 0).mean((1, 2, 3), keepdim=True))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "normalised with statistics of the batch": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), head(4, 16, 24)
    ),
    "images changed in place": lambda: nn.Sequential(
        nn.Hardtanh(-1, 1, inplace=True), nn.Conv2d(3, 4, 3, padding=1), head(4, 16, 24)
    ),
    "scores that the image does not move": lambda: Does(
        lambda s, x: s.head.weight.new_ones(len(x), 4), head=nn.Linear(1, 1)
    ),
}


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_models_are_as_a_loop_finds_them(name, batch_size):
    torch.manual_seed(0)
    model = UNUSUAL[name]().eval()
    unsettle(model)
    truth = loop(model, bright(IMAGES[:1]), 4, 3, together=False)
    found = occlusion_map(model, bright(IMAGES[:1]), 1, 4, 3, batch_size=batch_size)
    assert (found.probability - shares_of(truth, [1])).abs().max() <= 1e-5


@pytest.mark.parametrize(("square", "stride"), [(6, 2), (5, 3), (4, 4)])
@pytest.mark.parametrize("name", ["instance normalisation", "places of the maximum"])
def test_they_are_so_too_where_the_first_squares_hide_nothing(name, square, stride):
    """As with figures on an empty ground, of the value that hides."""
    torch.manual_seed(0)
    model = UNUSUAL[name]().eval()
    image = EMPTY_BORDER[:, :, 4:20, 8:32].repeat(1, 3, 1, 1)
    truth = loop(model, image, square, stride)
    found = occlusion_map(model, image, 1, square, stride)
    assert (found.probability - shares_of(truth, [1])).abs().max() <= 1e-5


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("form", ["added", "beside"])
def test_maps_of_numbers_where_some_boxes_are_the_whole_map_and_others_are_not(form, batch_size):
    """Squares in the middle reach everything, those in a corner do not."""
    torch.manual_seed(0)
    own = torch.randn(1, 4, 12, 14)

    def forward(self: Does, x: Tensor) -> Tensor:
        maps = self.conv(x)
        maps = maps + own if form == "added" else torch.cat([maps, own.expand(len(x), -1, -1, -1)], 1)
        return self.head(F.relu(maps))

    parts = {"conv": nn.Conv2d(3, 4, 9, padding=4), "head": head(4 if form == "added" else 8, 12, 14)}
    model, image = Does(forward, **parts).eval(), IMAGES[:1, :, :12, :14]
    found = occlusion_map(model, image, 1, 5, 2, batch_size=batch_size)
    assert (found.probability - shares_of(loop(model, image, 5, 2), [1])).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "name",
    [
        "normalisation of features",
        "transposed convolution, normalised",
        "group normalisation",
        "no parameters",
        "pooled globally",
        "pooled globally, twice",
        "a product, and its view",
        "a product with factors",
        "all images of the batch",
        "means of channels, of rows and in double",
    ],
)
def test_usual_parts_are_followed(name, said):
    model = UNUSUAL[name]().eval()
    unsettle(model)
    occlusion_map(model, IMAGES[:1], 1, 4, 3)
    assert said() == []


@pytest.mark.parametrize("name", ["tokens and attention", "queries, keys and values on the first axis"])
def test_attention_does_not_look_as_if_images_were_mixed(name, said):
    occlusion_map(UNUSUAL[name]().eval(), IMAGES[:1], 1, 4, 3)
    assert not any("image by image" in message for message in said())


# What is shown.


def test_the_results_are_maps_of_places_and_of_pixels():
    found = occlusion_map(convnet(), IMAGES, square=5, stride=4, layer="4")
    assert found.probability.shape == found.predicted.shape == found.activity.shape == (2, 4, 6)
    assert found.drop.shape == (2, 16, 24)
    assert {one.dtype for one in (found.probability, found.drop, found.activity)} == {torch.float32}
    assert found.predicted.dtype == torch.int64
    assert not any(one.requires_grad for one in found)
    assert occlusion_map(convnet(), IMAGES, square=5).activity is None


def test_predicted_is_the_most_likely_class():
    model = convnet()
    with torch.no_grad():
        model[6][1].weight.mul_(10)
    truth = loop(model, IMAGES, 7, 2)
    found = occlusion_map(model, IMAGES, 0, 7, 2).predicted
    expected = truth.scores.argmax(-1)
    assert (expected != truth.clean.argmax(1)[:, None, None]).any()
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("square", "stride"), [(4, 4), (4, 3), (5, 1), (3, 5), (1, 2), (16, 3)])
def test_drop_is_the_mean_over_the_squares_that_cover_a_pixel(square, stride):
    model, classes = convnet(), [3, 1]
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
    model = convnet()
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
    model = convnet()
    each = [classes] * 2 if isinstance(classes, int) else [int(number) for number in classes]
    found = occlusion_map(model, IMAGES, classes, 5, 4)
    assert (found.probability - shares_of(loop(model, IMAGES, 5, 4), each)).abs().max() <= 1e-5
    for number, one in enumerate(IMAGES):
        alone = occlusion_map(model, one[None], each[number], 5, 4)
        torch.testing.assert_close(alone.probability[0], found.probability[number])


def test_without_classes_it_is_the_prediction_for_the_whole_image():
    model = convnet()
    predicted = model(IMAGES).argmax(1)
    found, expected = occlusion_map(model, IMAGES, None, 5, 4), occlusion_map(model, IMAGES, predicted, 5, 4)
    assert torch.equal(found.probability, expected.probability)
    other = occlusion_map(model, IMAGES, (predicted + 1) % 5, 5, 4)
    assert not torch.equal(found.probability, other.probability)


def test_what_makes_probabilities_of_scores():
    model = convnet()
    scores = loop(model, IMAGES, 5, 4).scores[..., 3]
    sigmoid = occlusion_map(model, IMAGES, 3, 5, 4, activation="sigmoid")
    none = occlusion_map(model, IMAGES, 3, 5, 4, activation="none")
    assert (sigmoid.probability - scores.sigmoid()).abs().max() <= 1e-5
    assert (none.probability - scores).abs().max() <= 1e-5 * scores.abs().max()


@pytest.mark.parametrize("flat", [False, True])
def test_a_single_output_speaks_for_two_classes(flat):
    one = convnet(classes=1)
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
    model = convnet()
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
    plain = occlusion_map(convnet(), torch.full((1, 3, 16, 24), 0.7), 1, 5, 4, "blur")
    assert plain.drop.abs().max() <= 1e-6


@pytest.mark.parametrize("fill", [0.0, 0.7, [1.0, -2.0, 0.5], torch.tensor([1.0, -2.0, 0.5]), "mean", "blur"])
def test_fills_are_as_in_a_loop(fill):
    model = convnet()

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
    model, classes = convnet(), torch.tensor([3, 1])
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
    model = convnet()
    expected = occlusion_map(model, IMAGES, 3, 5, 4, layer="4", unit=1)
    found = occlusion_map(model, IMAGES, 3, 5, 4, layer="4", unit=1, batch_size=batch_size)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# Models as they come.


@pytest.mark.parametrize("surroundings", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layer", [None, "3"])
def test_a_model_in_training_is_left_as_found(layer, surroundings):
    model = network().train()
    model[4].eval()
    model(IMAGES).sum().backward()
    images, before = IMAGES.clone(), snapshot(model)
    with surroundings():
        found = occlusion_map(model, images, 1, 5, 4, layer=layer)
    assert snapshot(model) == before
    assert torch.equal(images, IMAGES)
    expected = occlusion_map(model.eval(), IMAGES, 1, 5, 4, layer=layer)
    assert torch.equal(found.probability, expected.probability)
    assert (found.probability - shares_of(loop(model, IMAGES, 5, 4), [1, 1])).abs().max() <= 1e-5


def test_it_is_left_as_found_also_where_it_falls_back_and_after_an_error(said):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), network(4)).train()
    before = snapshot(model)
    occlusion_map(model, IMAGES, 1, 5, 4)
    assert snapshot(model) == before
    calls = []

    def broken(module: nn.Module, inputs: object) -> None:
        calls.append(module)
        if len(calls) > 2:
            raise ArithmeticError

    handle = model[2].register_forward_pre_hook(broken)
    before = snapshot(model)
    with pytest.raises(ArithmeticError):
        occlusion_map(model, IMAGES, 1, 5, 4, layer="0")
    assert snapshot(model) == before
    handle.remove()


def test_images_made_in_inference_mode_and_of_a_graph_are_fine():
    model = convnet()
    expected = occlusion_map(model, IMAGES, 1, 5, 4).probability
    with torch.inference_mode():
        assert torch.equal(occlusion_map(model, IMAGES.clone(), 1, 5, 4).probability, expected)
    found = occlusion_map(model, IMAGES.clone().requires_grad_() * 1, 1, 5, 4).probability
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_a_model_of_half_precision():
    model, images = convnet().bfloat16(), IMAGES.bfloat16()
    found = occlusion_map(model, images, 3, 5, 4, layer="4", unit=1)
    truth = loop(model, images, 5, 4)
    assert {one.dtype for one in (found.probability, found.drop, found.activity)} == {torch.float32}
    assert (found.probability - shares_of(Truth(truth.scores.float(), None, truth.clean), [3, 3])).abs().max() <= 0.03


def test_a_model_that_keeps_channels_last(said):
    model = convnet().to(memory_format=torch.channels_last)
    expected = occlusion_map(convnet(), IMAGES, 3, 5, 4).probability
    found = occlusion_map(model, IMAGES.to(memory_format=torch.channels_last), 3, 5, 4).probability
    assert (found - expected).abs().max() <= 1e-6
    assert said() == []


@pytest.mark.parametrize("inside", [False, True])
def test_a_compiled_model(inside):
    model = convnet()
    expected = occlusion_map(model, IMAGES, 3, 5, 4, layer="6.1", unit=1)
    if inside:
        model[6] = torch.compile(model[6], backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    model(IMAGES)
    before = snapshot(model)
    found = occlusion_map(model, IMAGES, 3, 5, 4, layer="6.1", unit=1)
    assert snapshot(model) == before
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
    model = convnet().train()
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        occlusion_map(model, images, **options)
    assert snapshot(model) == before


def test_where_the_scores_are_must_be_said():
    model = Does(lambda s, x: {"logits": s.model(x)}, model=convnet())
    with pytest.raises(TypeError, match=r"occlusion_map: .* keys 'logits'.*occlusion_map\(output=...\)"):
        occlusion_map(model, IMAGES)
    maps = Does(lambda s, x: s.model[:5](x), model=convnet())
    with pytest.raises(ValueError, match=r"occlusion_map: the class scores must be \(N, classes\)"):
        occlusion_map(maps, IMAGES)


def test_a_layer_that_does_not_run_is_refused():
    model = Does(lambda s, x: s.model(x), model=convnet(), idle=nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match='occlusion_map: layer "idle" does not run'):
        occlusion_map(model, IMAGES, layer="idle")
