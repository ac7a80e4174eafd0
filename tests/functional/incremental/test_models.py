"""Occlusion maps of known networks, and the check that is built in."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
import torchvision
from helpers.known import calibrated, small_swin, small_vit
from helpers.networks import Does, head
from helpers.occluding import EMPTY_BORDER, IMAGES, PHOTOS, assert_as_the_loop, loop, places, settled_convnet, shares_of
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import Bottleneck, ResNet

from lightning_viz.functional import occlusion_map
from lightning_viz.functional.incremental import ops, plan, regions, strategy


def settled(model: nn.Module, photos: Tensor) -> nn.Module:
    """Calibrated, and with scores below 1."""
    calibrated(model, photos)
    with torch.no_grad():
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
    "swin": small_swin,
    "vit": small_vit,
}


@cache
def known(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = (FAMILIES | OTHERS)[name]()
    return settled(model, photos_for(name))


def photos_for(name: str) -> Tensor:
    return PHOTOS[:, :, :32, :32] if name == "vit" else PHOTOS


@pytest.mark.parametrize("name", [*FAMILIES, *OTHERS])
def test_known_networks_are_as_a_loop_finds_them(name, said):
    model, image = known(name), photos_for(name)[:1]
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
    right = regions.enclosing_span
    for module in (regions, ops):
        monkeypatch.setattr(module, "enclosing_span", lambda first, last, *rest: right(first + 1, last - 1, *rest))


@pytest.mark.parametrize("square", [4, 5])
def test_boxes_without_their_halo_are_noticed_and_not_used(square, monkeypatch, said):
    without_halo(monkeypatch)
    assert_as_the_loop(settled_convnet(), IMAGES[:1], square, 3)
    assert all("runs in plain batches: the scores would be off by" in message for message in said())
    assert said()


def test_they_are_noticed_too_where_the_first_squares_hide_nothing(monkeypatch, said):
    """As with figures on an empty ground, of the value that hides."""
    without_halo(monkeypatch)
    for square in (4, 5, 6, 7):
        assert_as_the_loop(settled_convnet(1, size=(28, 36)), EMPTY_BORDER, square, 3)


def test_without_that_check_these_tests_would_fail(monkeypatch):
    """The negative control: a comparison that lets boxes without halo pass compares nothing."""
    assert_as_the_loop(settled_convnet(), IMAGES, 4, 3)
    without_halo(monkeypatch)
    monkeypatch.setattr(strategy, "SCORE_TOLERANCE", float("inf"))
    with pytest.raises(AssertionError):
        assert_as_the_loop(settled_convnet(), IMAGES, 4, 3)


def test_the_same_image_for_several_classes_is_computed_once():
    model = Does(lambda self, x: self.head(x), head=settled_convnet()).eval()
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
    model, asked = settled_convnet(), []
    model.register_forward_hook(lambda module, inputs, output: asked.append(len(output)))
    with pytest.raises(ValueError, match="there is no class 99"):
        occlusion_map(model, IMAGES, [0, 99], 4, 3)
    assert sum(asked) < 5


def test_what_mixes_the_images_of_a_batch_gets_them_one_by_one_in_all_images():
    """The mixing is seen at some images only: those whose brightest place a square hides."""

    def forward(self: Does, x: Tensor) -> Tensor:
        return self.head(self.conv(x / x.max()))

    sizes: list[int] = []
    torch.manual_seed(0)
    model = Does(forward, conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)).eval()
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    occlusion_map(model, IMAGES, 1, 4, 3)
    assert set(sizes) == {1}


def test_plain_batches_are_no_larger_than_asked(monkeypatch):
    sizes: list[int] = []
    model = settled_convnet()
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))

    def fails(*given: object) -> None:
        raise RuntimeError

    usual = strategy._score_incrementally
    calls = iter([usual, fails])  # it begins well

    def next_call(*given: object) -> object:
        return next(calls)(*given)

    monkeypatch.setattr(strategy, "_score_incrementally", next_call)
    found = occlusion_map(model, IMAGES[:1], 1, 4, 3, batch_size=5).probability
    assert max(sizes) == 5
    assert (found - shares_of(loop(settled_convnet(), IMAGES[:1], 4, 3), [1])).abs().max() <= 1e-5


def test_a_network_with_little_local_work_runs_in_plain_batches(said, monkeypatch):
    monkeypatch.setattr(plan, "MIN_LOCAL_SHARE", 0.25)
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(3, 2, 1), head(2, 16, 24, 300), nn.ReLU(), nn.Linear(300, 4)).eval()
    assert_as_the_loop(small, IMAGES[:1], 4, 3)
    assert any("little of what it does is local" in message for message in said())
