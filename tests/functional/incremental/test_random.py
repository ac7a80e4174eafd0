"""Occlusion maps of random networks, in double precision."""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from helpers.networks import Does, head
from helpers.occluding import loop, unsettle
from helpers.pieces import branches, gate_of_places, shuffle
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional import occlusion_map
from lightning_viz.functional.incremental import plan


@pytest.fixture(scope="module")
def all_followed() -> Iterator[None]:
    """Also where it hardly pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "MIN_LOCAL_SHARE", 0)
        yield


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
        return gate_of_places(draw)
    return Does(
        lambda self, x: x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True))), squeeze=nn.Conv2d(4, 4, 1)
    )


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
