"""AttentionMaps against softmax by hand, on networks of several kinds."""

import logging
import math

import pytest
import torch
from contract.harness import contents, fingerprint, fit, module_class
from helpers.checks import left_as_found
from helpers.drawings import only
from helpers.known import small_swin
from torch import Tensor, nn

from lightning_viz import AttentionMaps, Probe
from lightning_viz.functional import attention_maps, attention_rollout
from lightning_viz.render import image_picture, mosaic, overlay

IMAGES = torch.rand(3, 3, 12, 20, generator=torch.Generator().manual_seed(0))
PROBE = Probe(IMAGES)


class Looks(nn.Module):
    """Two blocks of attention over patches of 4x2, with some tokens before them."""

    def __init__(self, prefix: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.prefix = nn.Conv2d(3, 8, (4, 2), (4, 2)), nn.Parameter(torch.randn(prefix, 8))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2))
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = torch.cat([self.prefix.expand(len(images), -1, -1), self.patches(images).flatten(2).mT], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))


def weights_by_hand(model: Looks, number: int) -> Tensor:
    with torch.no_grad():
        tokens = torch.cat([model.prefix.expand(3, -1, -1), model.patches(IMAGES).flatten(2).mT], 1)
        for block in model.blocks[:number]:
            tokens = block(tokens)
        attention = model.blocks[number].self_attn
        projected = tokens @ attention.in_proj_weight.T + attention.in_proj_bias
    query, key, _ = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in projected.chunk(3, 2))
    return (query @ key.mT / math.sqrt(4)).softmax(-1)


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_the_class_token_looks_where_the_softmax_by_hand_says_and_without_one_it_is_the_mean(prefix):
    model = Looks(prefix).eval()
    layer, rollout = AttentionMaps().drawings(model, PROBE)
    weights = weights_by_hand(model, 1)
    rows = weights[:, :, 0] if prefix else weights.mean(2)
    heads = rows[..., prefix:].unflatten(2, (3, 10))
    assert layer.layer == "blocks.1.self_attn"
    torch.testing.assert_close(layer.values["heads"], heads)
    torch.testing.assert_close(layer.values["maps"], heads.mean(1))
    assert layer.meta == {"vmin": 0.0, "vmax": pytest.approx(heads.mean(1).max().item()), "size": [12, 20]}
    one, two = (0.5 * weights_by_hand(model, number).mean(1) + 0.5 * torch.eye(30 + prefix) for number in (0, 1))
    flow = two @ one
    expected = (flow[:, 0] if prefix else flow.mean(1))[:, prefix:].unflatten(1, (3, 10))
    assert rollout.layer == "output"
    torch.testing.assert_close(rollout.values["rollout"], expected)


def test_the_picture_has_the_image_the_mean_and_each_head_on_a_scale_of_its_own():
    layer, rollout = AttentionMaps().drawings(Looks(), PROBE)
    photographs = [image_picture(image) for image in PROBE.unnormalised()[0]]
    maps, heads, share = layer.values["maps"], layer.values["heads"], rollout.values["rollout"]
    rows = [
        [
            photograph,
            overlay(photograph, maps[number], vmax=float(maps.max())),
            *(overlay(photograph, one, vmax=float(heads.max())) for one in heads[number]),
        ]
        for number, photograph in enumerate(photographs)
    ]
    assert (layer.pictures[0] == mosaic(rows)).all()
    assert f"maps 0 to {maps.max():.3g}, heads 0 to {heads.max():.3g}" in layer.captions[0]
    rows = [[one, overlay(one, share[number], vmax=float(share.max()))] for number, one in enumerate(photographs)]
    assert (rollout.pictures[0] == mosaic(rows)).all()


@pytest.mark.parametrize(
    ("layers", "drawn"),
    [
        ("blocks.0", ["blocks.0.self_attn"]),
        ("*.self_attn", ["blocks.0.self_attn", "blocks.1.self_attn"]),
        (["blocks.1", "*0.self_attn", "blocks.1.self_attn"], ["blocks.1.self_attn", "blocks.0.self_attn"]),
    ],
)
def test_layers_are_blocks_attentions_or_globs(layers, drawn):
    drawings = AttentionMaps(layers).drawings(Looks(), PROBE)
    assert [one.layer for one in drawings] == [*drawn, "output"]
    model = Looks()
    for one in drawings[:-1]:
        expected = attention_maps(model, one.layer, IMAGES)[:, :, 0, 1:].unflatten(2, (3, 10))
        assert torch.equal(one.values["heads"], expected)
    assert torch.equal(drawings[-1].values["rollout"], attention_rollout(model, IMAGES))


@pytest.mark.parametrize("layers", ["patches", "blocks", "head"])
def test_a_layer_without_one_attention_inside_is_refused(layers):
    with pytest.raises(ValueError, match=rf'AttentionMaps: layer "{layers}" .*"blocks.0.self_attn", "blocks.1.self'):
        AttentionMaps(layers).drawings(Looks(), PROBE)


def test_without_a_rollout_the_layer_is_drawn_all_the_same():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.swin, self.looks = small_swin(), Looks()

        def forward(self, images: Tensor) -> Tensor:
            return self.swin(images.repeat(1, 1, 4, 4)) + self.looks(images)

    assert only(AttentionMaps(), Windows(), PROBE).layer == "looks.blocks.1.self_attn"


def test_a_network_without_attention_is_said_once_and_trained_as_ever(tmp_path, caplog):
    class Plain(module_class("pytorch_lightning")):
        def __init__(self) -> None:
            super().__init__()
            self.net[8] = nn.AdaptiveAvgPool2d(1)

    with caplog.at_level(logging.WARNING, "lightning_viz"):
        trainer = fit("pytorch_lightning", tmp_path / "watched", AttentionMaps(on_error="raise"), lambda _: Plain)
    said = [record.message for record in caplog.records if record.name == "lightning_viz"]
    assert len(said) == 1
    assert "no layer of Plain computes a softmax attention over all tokens" in said[0]
    assert {record.error is None for record in contents(trainer).records} == {False}
    assert fingerprint(trainer) == fingerprint(fit("pytorch_lightning", tmp_path / "alone", [], lambda _: Plain))


def test_values_that_are_not_finite_are_drawn():
    model = Looks()
    with torch.no_grad():
        model.prefix.fill_(torch.nan)
    layer, _ = AttentionMaps().drawings(model, PROBE)
    assert torch.isnan(layer.values["maps"]).all()
    assert layer.meta["vmax"] == 0


def test_a_model_in_training_is_left_as_found():
    model = Looks().train()
    with left_as_found(model):
        AttentionMaps().drawings(model, PROBE)
