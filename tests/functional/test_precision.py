"""Every function under another default dtype, and of models of other types: what they give in float32."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from helpers.networks import Does
from torch import Tensor, nn

from lightning_viz import functional as F  # noqa: N812


class Given(NamedTuple):
    """What a function is called with."""

    model: nn.Module
    attention: nn.Module
    images: Tensor
    points: Tensor


def convnet() -> nn.Sequential:
    body = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1)]
    return nn.Sequential(*body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()


def attention() -> nn.Module:
    def forward(self: Does, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(tokens + self.mix(tokens, tokens, tokens)[0]).mean(1))

    mix = nn.MultiheadAttention(8, 2, batch_first=True)
    return Does(forward, patches=nn.Conv2d(3, 8, 4, 4), mix=mix, norm=nn.LayerNorm(8), head=nn.Linear(8, 5)).eval()


def given(dtype: torch.dtype) -> Given:
    torch.manual_seed(0)
    one, other, images, points = convnet(), attention(), torch.randn(4, 3, 16, 24), torch.randn(40, 6)
    return Given(one.to(dtype), other.to(dtype), images.to(dtype), points.to(dtype))


LABELS = torch.arange(40) % 3

FUNCTIONS: dict[str, Callable[[Given], Any]] = {
    "activation_maps": lambda g: F.activation_maps(g.model, "4", g.images),
    "collect_features": lambda g: F.collect_features(g.model, g.images),
    "collect_features of a layer": lambda g: F.collect_features(g.model, g.images, "4"),
    "conv_filters": lambda g: F.conv_filters(g.model, "0"),
    "effective_field": lambda g: F.effective_field(g.model, "4", g.images, units=2, positions=[[3, 5]] * 4),
    "grad_cam": lambda g: F.grad_cam(g.model, "4", g.images, classes=1),
    "grad_cam_layer": lambda g: F.grad_cam_layer(g.model, g.images),
    "guided_grad_cam": lambda g: F.guided_grad_cam(g.model, "4", g.images, classes=1),
    "saliency": lambda g: F.saliency(g.model, g.images, classes=1),
    "occlusion_map": lambda g: F.occlusion_map(g.model, g.images, layer="4", unit=2, classes=1),
    "occlusion_map of attention": lambda g: F.occlusion_map(g.attention, g.images, classes=1),
    "receptive_field": lambda g: F.receptive_field(g.model, "4", (16, 24)),
    "receptive_field of attention": lambda g: F.receptive_field(g.attention, "norm", (16, 24)),
    "reconstruct, deconvnet": lambda g: F.reconstruct(g.model, "4", g.images, 2, [[3, 5]] * 4),
    "reconstruct, guided": lambda g: F.reconstruct(g.model, "4", g.images, 2, [[3, 5]] * 4, rule="guided"),
    "reconstruct, of attention": lambda g: F.reconstruct(g.attention, "norm", g.images, 2, [[1, 3]] * 4),
    "top_patches": lambda g: F.top_patches(g.model, ["0", "4"], g.images, k=6),
    "nearest_neighbours": lambda g: F.nearest_neighbours(None, g.points, 3),
    "nearest_neighbours of queries": lambda g: F.nearest_neighbours(g.points[:5], g.points, 50, "cosine"),
    "knn_accuracy": lambda g: F.knn_accuracy(LABELS, F.nearest_neighbours(None, g.points, 3).indices),
    "silhouette": lambda g: F.silhouette(g.points, LABELS),
    "trustworthiness": lambda g: F.trustworthiness(g.points, g.points[:, :2], 3),
    "tsne": lambda g: F.tsne(g.points),
    "align": lambda g: F.align(g.points[:, :2], g.points[:, 1:3]).float(),
    "drift": lambda g: F.drift(g.points[:, :2], g.points[:, 1:3]),
}

each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@pytest.fixture
def default_dtype() -> Iterator[Callable[[torch.dtype], None]]:
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


def assert_same(ours: Any, theirs: Any, tolerance: float) -> None:
    if isinstance(ours, str):
        assert ours == theirs
        return
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)


@each_function
@pytest.mark.parametrize("default", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_the_default_dtype_makes_no_difference(default_dtype, default, function):
    expected, asked = function(given(torch.float32)), given(torch.float32)
    default_dtype(default)
    assert_same(function(asked), expected, 0)


@each_function
def test_all_in_double_precision(default_dtype, function):
    expected, asked = function(given(torch.float32)), given(torch.float64)
    default_dtype(torch.float64)
    assert_same(function(asked), expected, 1e-4)


RANKED = ["nearest_neighbours", "nearest_neighbours of queries", "knn_accuracy", "tsne", "top_patches"]
"""Who comes first among almost equals may differ."""


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in RANKED])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_models_in_half_precision_give_about_the_same_in_float32(dtype, name):
    expected, ours = (FUNCTIONS[name](given(one)) for one in (torch.float32, dtype))
    if name.startswith("occlusion_map"):
        ours, expected = ours.probability, expected.probability
    assert_same(ours, expected, {torch.bfloat16: 0.2, torch.float16: 0.02}[dtype])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["nearest_neighbours", "tsne", "top_patches"])
def test_models_in_half_precision_are_ranked_too(dtype, name):
    ours = FUNCTIONS[name](given(dtype))
    if name == "top_patches":
        for table, exact in zip(ours.values(), FUNCTIONS[name](given(torch.float32)).values(), strict=True):
            assert_same(table.values[:, :4], exact.values[:, :4], 0.1)
        return
    first = ours if isinstance(ours, Tensor) else ours.distances
    assert first.dtype == torch.float32
    assert first.isfinite().all()
