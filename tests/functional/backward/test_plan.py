"""Going down in boxes gives what the whole backward pass gives."""

import logging

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional import activation_maps, reconstruct
from lightning_viz.functional.aten import boxes, windows
from lightning_viz.functional.backward import ops
from lightning_viz.functional.backward.plan import plan_backward
from lightning_viz.functional.backward.rules import RULES, rectified_by
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import capture
from lightning_viz.introspection.trace import trace


def by_autograd(model, layer, images, units, positions, image_ids, rule):
    """One whole backward pass per pair."""
    results = []
    for unit, (row, column), number in zip(units, positions, image_ids, strict=True):
        image = images[number : number + 1].clone().requires_grad_()
        with isolated(model), rectified_by(rule, model), capture(model, layer) as outputs:
            model(image.clone())
            activation = outputs[layer][-1][0, unit, row, column]
            # What is sent down is the activation with its sign: rules are linear for positive factors only.
            (down,) = torch.autograd.grad(activation, image, activation.detach(), materialize_grads=True)
        results.append(down)
    return torch.cat(results)


def compare(model, layer, images, rule, tolerance, count=5):
    model = model.eval()
    maps = activation_maps(model, layer, images)
    generator = torch.Generator().manual_seed(7)
    high = torch.tensor([maps.shape[1], *maps.shape[2:], len(images)])
    chosen = (torch.rand(count, 4, generator=generator) * high).long()
    chosen[0, 1:3] = 0
    chosen[1, 1:3] = torch.tensor(maps.shape[2:]) - 1
    units, positions, ids = chosen[:, 0], chosen[:, 1:3], chosen[:, 3]
    ours = reconstruct(model, layer, images, units, positions, ids, rule=rule)
    expected = by_autograd(model, layer, images, units.tolist(), positions.tolist(), ids.tolist(), rule).float()
    scale = expected.abs().amax((1, 2, 3)).clamp(min=torch.finfo(torch.float32).tiny)
    difference = (ours - expected).abs().amax((1, 2, 3)) / scale
    assert difference.max() <= tolerance, difference


def follows(model, layer, images, rule="deconvnet"):
    with isolated(model):
        plan_backward(trace(model, images, [layer], ops.keep_for(rule)), layer, rule)


class Parts(nn.Module):
    """Branches of different size and depth, joined by a sum and a concatenation, with what real networks use."""

    def __init__(self, channels, width, stride, kernel, padding, dilation, groups, pool):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, kernel, stride, padding=padding)
        self.norm = nn.BatchNorm2d(width)
        self.pool = pool
        self.deep = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, groups=groups)
        self.skip = nn.Conv2d(width, width, 1)
        self.last = nn.Conv2d(2 * width, 6, (3, 2), padding=(1, 0))
        for buffer in (self.norm.running_mean, self.norm.running_var):
            buffer.data.uniform_(0.5, 1.5)

    def forward(self, images):
        x = self.pool(F.relu(self.norm(self.stem(images)), inplace=True))
        x = torch.cat([torch.relu(self.deep(x)) + x, self.skip(x).clamp(min=0) * 0.5], dim=1)
        return self.last(x).relu_().mean((2, 3))


POOLS = [nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.MaxPool2d((2, 3), (1, 2), ceil_mode=True)]
POOLS += [nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1, dilation=2), nn.Identity()]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_networks(data):
    torch.manual_seed(data.draw(st.integers(0, 99)))
    kernel = data.draw(st.integers(1, 5))
    model = Parts(
        channels=data.draw(st.sampled_from([1, 3, 6])),
        width=data.draw(st.sampled_from([4, 8])),
        stride=data.draw(st.sampled_from([1, 2, 3])),
        kernel=kernel,
        padding=data.draw(st.integers(0, kernel)),
        dilation=data.draw(st.sampled_from([1, 2])),
        groups=data.draw(st.sampled_from([1, 2, 4])),
        pool=data.draw(st.sampled_from(POOLS)),
    ).double()
    images = torch.randn(2, model.stem.in_channels, 24 + data.draw(st.integers(0, 5)), 37, dtype=torch.float64)
    rule = data.draw(st.sampled_from(RULES))
    layer = data.draw(st.sampled_from(["last", "deep", "norm", "pool"]))
    follows(model.eval(), layer, images, rule)
    compare(model, layer, images, rule, tolerance=1e-6)


FAMILIES = [
    ("alexnet", "features.11"),
    ("vgg11", "features.12"),
    ("resnet18", "layer3"),
    ("resnext50_32x4d", "layer2"),
    ("squeezenet1_1", "features.9"),
    ("densenet121", "features.denseblock2"),
    ("googlenet", "inception4a"),
    ("mobilenet_v2", "features.7"),
    ("mnasnet0_5", "layers.9"),
    ("regnet_x_400mf", "trunk_output.block2"),
]


@pytest.mark.parametrize(("name", "layer"), FAMILIES)
def test_torchvision_families(name, layer):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None, **({"init_weights": False} if name == "googlenet" else {}))
    model = model.eval()
    images = torch.randn(2, 3, 64, 96)
    follows(model, layer, images)
    for rule in RULES:
        compare(model, layer, images, rule, tolerance=1e-6 if rule != "gradient" else 2e-6, count=3)


@pytest.mark.parametrize(
    ("name", "layer", "why"),
    [("shufflenet_v2_x0_5", "stage2", "view"), ("efficientnet_b0", "features.2", "silu|mul of maps by maps")],
)
def test_what_can_not_be_followed_goes_the_plain_way_and_says_so_quietly(name, layer, why, caplog):
    torch.manual_seed(0)
    model, images = getattr(torchvision.models, name)(weights=None), torch.randn(2, 3, 64, 64)
    with caplog.at_level(logging.DEBUG, logger="lightning_viz"):
        compare(model, layer, images, "deconvnet", tolerance=1e-6, count=3)
    assert [record.levelname for record in caplog.records if "plain way" in record.message] == ["DEBUG"]
    assert any(part in caplog.text for part in why.split("|"))


def test_a_box_without_its_halo_is_found(monkeypatch):
    """The comparison above can fail: a box that is one pixel too small gives another picture."""

    def smaller(window, box):
        sides = windows.seen_box(window, box)
        return boxes.Box(*(side._replace(size=side.size - 2, start=side.start + 2) for side in sides))

    monkeypatch.setattr(ops, "seen_box", smaller)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    with pytest.raises(AssertionError):
        compare(model, "3", torch.randn(2, 3, 24, 32), "deconvnet", tolerance=1e-2)


def test_the_box_is_the_receptive_field():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 5, padding=2)
    ).eval()
    traced = trace(model, torch.randn(1, 3, 160, 224), ["3"], ops.keep_for("deconvnet"))
    plan = plan_backward(traced, "3", "deconvnet")
    # 11 + 4 * (2 + 2 * 4) = 51 pixels, 8 apart; the first begins at -2 - 8 * 2.
    assert plan.boxes[0].rows == plan.boxes[0].columns == boxes.Side(stride=8, start=-18, size=51)


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_the_size_of_the_batch_does_not_matter(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3), nn.ReLU()).eval()
    images, ids, units = torch.randn(5, 3, 32, 40), [4, 0, 0, 2, 4, 1], [1, 2, 3, 4, 5, 6]
    one_by_one = torch.cat([reconstruct(model, "4", images, [u], None, [i]) for u, i in zip(units, ids, strict=True)])
    together = reconstruct(model, "4", images, units, None, ids, batch_size=batch_size)
    torch.testing.assert_close(together, one_by_one)
