"""Attention and its rollout, against softmax by hand, what networks give out themselves, and plain products."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.checks import left_as_found
from helpers.families import FAMILIES
from helpers.known import small_swin, small_vit
from helpers.networks import convnet
from torch import Tensor, nn

from lightning_viz.functional import attention_maps, attention_rollout
from lightning_viz.introspection.layers import NoLayerError

WIDE = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def family(name: str) -> tuple[nn.Module, Tensor]:
    (found,) = [one for one in FAMILIES if one.name == name]
    torch.manual_seed(0)
    return found.make().eval(), torch.randn(2, 3, *found.size)


def by_hand(qkv: Tensor, heads: int) -> Tensor:
    """From what ``nn.Linear(K, 3 K)`` gives of tokens."""
    query, key, _ = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return torch.softmax(torch.einsum("nhtd,nhsd->nhts", query, key) / math.sqrt(query.shape[-1]), -1)


def outputs_of(model: nn.Module, names: list[str], images: Tensor) -> list[Any]:
    kept: dict[str, Any] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, given, output, name=name: kept.__setitem__(name, output)
        )
        for name in names
    ]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return [kept[name] for name in names]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "name",
    ["vit_tiny_patch16_224", "vit_base_patch16_clip_224", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224"],
)
def test_the_attention_of_timm_is_the_softmax_of_its_queries_and_keys(name, fused):
    model, images = family(f"timm {name}")
    for number, block in enumerate(model.blocks):
        block.attn.fused_attn = fused
        (qkv,) = outputs_of(model, [f"blocks.{number}.attn.qkv"], images)
        for layer in (f"blocks.{number}", f"blocks.{number}.attn"):
            found = attention_maps(model, layer, images)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, by_hand(qkv, 2))
    assert torch.equal(attention_maps(model, None, images), attention_maps(model, "blocks.1.attn", images))


@pytest.mark.parametrize("name", ["ViT", "DeiT", "Beit", "Dinov2"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_the_attention_of_transformers_is_what_it_gives_out(name, kernel):
    model, images = family(f"transformers {name}")
    model.set_attn_implementation("eager")
    expected = model(images, output_attentions=True).attentions
    model.set_attn_implementation(kernel)
    blocks = [
        layer for layer, module in model.named_modules() if layer.rpartition(".")[0].endswith(("layers", "layer"))
    ]
    assert len(blocks) == len(expected) == 2
    for layer, weights in zip(blocks, expected, strict=True):
        torch.testing.assert_close(attention_maps(model, layer, images), weights)


def test_the_attention_of_torchvision_is_what_its_layer_gives_out():
    model, images = small_vit(), WIDE[:, :, :32, :32]
    layer = "encoder.layers.encoder_layer_1"
    (tokens,) = outputs_of(model, [f"{layer}.ln_1"], images)
    attention = model.get_submodule(f"{layer}.self_attention")
    expected = attention(tokens, tokens, tokens, need_weights=True, average_attn_weights=False)[1]
    for name in (layer, f"{layer}.self_attention", None):
        torch.testing.assert_close(attention_maps(model, name, images), expected)


class ByHand(nn.Module):
    """Attention written out, with a layer for the softmax; patches that are not square."""

    def __init__(self, prefix: int, mix: Callable[[Tensor], Tensor] = lambda scores: scores) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.prefix, self.mix = (
            nn.Conv2d(3, 8, (16, 8), (16, 8)),
            nn.Parameter(torch.randn(prefix, 8)),
            mix,
        )
        self.layers = nn.ModuleList(nn.Linear(8, 24) for _ in range(3))
        self.attend, self.head = nn.Softmax(-1), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = torch.cat([self.prefix.expand(len(images), -1, -1), self.patches(images).flatten(2).mT], 1)
        for layer in self.layers:
            query, key, value = layer(tokens).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
            tokens = tokens + (self.attend(self.mix(query @ key.mT / 2)) @ value).transpose(1, 2).flatten(2)
        return self.head(tokens[:, 0])


def test_attention_that_has_no_layer_of_its_own_is_that_of_the_model():
    model = ByHand(1)
    (qkv,) = outputs_of(model, ["layers.2"], WIDE)
    torch.testing.assert_close(attention_maps(model, None, WIDE), by_hand(qkv, 2))
    torch.testing.assert_close(attention_maps(model, "attend", WIDE), by_hand(qkv, 2))
    flow = torch.eye(49)
    for qkv in outputs_of(model, ["layers.0", "layers.1", "layers.2"], WIDE):
        flow = (by_hand(qkv, 2).mean(1) + torch.eye(49)) / 2 @ flow
    torch.testing.assert_close(attention_rollout(model, WIDE), flow[:, 0, 1:].unflatten(1, (4, 12)))


@pytest.mark.parametrize("name", ["timm vit_tiny_patch16_224", "timm vit_small_patch14_reg4_dinov2"])
def test_the_rollout_is_the_product_of_the_paper(name):
    model, images = family(name)
    expected = None
    for number in range(2):
        weights = by_hand(*outputs_of(model, [f"blocks.{number}.attn.qkv"], images), 2).mean(1)
        mixed = 0.5 * weights + 0.5 * torch.eye(weights.shape[-1])
        mixed = mixed / mixed.sum(-1, keepdim=True)
        expected = mixed if expected is None else mixed @ expected
    found = attention_rollout(model, images)
    torch.testing.assert_close(found, expected[:, 0, -24:].unflatten(1, (4, 6)))
    assert found.dtype == torch.float32


def test_without_a_class_token_the_rollout_is_the_mean_over_the_tokens():
    model, images = family("transformers Siglip")
    model.set_attn_implementation("eager")
    one, two = (weights.mean(1) for weights in model(images, output_attentions=True).attentions)
    model.set_attn_implementation("sdpa")
    eye = torch.eye(16)
    expected = ((two + eye) / 2) @ ((one + eye) / 2)
    torch.testing.assert_close(attention_rollout(model, images), expected.mean(1).unflatten(1, (4, 4)))


@pytest.mark.parametrize(
    "name",
    [
        "timm cait_xxs24_224",
        "timm vit_base_patch16_siglip_224",
        "timm vit_base_patch16_rope_reg1_gap_256",
        "timm naflexvit_base_patch16_gap",
        "timm beit_base_patch16_224",
        "timm eva02_tiny_patch14_224",
        "timm convit_tiny",
        "torchvision VisionTransformer",
    ],
)
def test_weights_of_other_families_add_up_to_one_and_pooling_by_a_query_is_left_out(name):
    model, images = family(name)
    weights = attention_maps(model, None, images)
    assert weights.shape[:2] == (2, {"timm convit_tiny": 4}.get(name, 2))
    assert weights.shape[2] == weights.shape[3] > 1
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))
    rollout = attention_rollout(model, images)
    assert rollout.shape[1:] == ((4, 4) if images.shape[2] == images.shape[3] else (4, 6))
    assert ((rollout.sum((1, 2)) <= 1.0001) & (rollout.sum((1, 2)) > 0.5)).all()


@pytest.mark.parametrize("model", [convnet(size=(64, 96)), nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 96, 5))])
def test_a_network_without_attention_has_no_layer(model):
    with pytest.raises(
        NoLayerError, match="attention_maps: no layer of Sequential computes a softmax attention over all"
    ):
        attention_maps(model, None, WIDE)
    with pytest.raises(NoLayerError, match="attention_rollout: no layer of Sequential"):
        attention_rollout(model, WIDE)


@pytest.mark.parametrize(
    ("name", "layer", "reason"),
    [
        (
            "timm swin_tiny_patch4_window7_224",
            "layers.0.blocks.0.attn",
            r"within windows.*\(128, 3, 6, 6\) for 2 images",
        ),
        ("timm crossvit_9_240", "blocks.0.fusion.0.attn", r"lets 1 tokens look at 197 others.*\(2, 2, 1, 197\)"),
        ("timm pvt_v2_b0", "stages.0.blocks.0.attn", "lets 384 tokens look at 6 others"),
        ("timm xcit_nano_12_p8_224", "blocks.0.attn", "does not look at the places of a map"),
        ("timm coat_lite_tiny", "serial_blocks1.0.factoratt_crpe", "computes no softmax attention"),
        ("transformers Swin", "swin.encoder.layers.0.blocks.0", "within windows"),
        (
            "timm vit_tiny_patch16_224",
            "blocks",
            'has several attentions inside. Name one: "blocks.0.attn", "blocks.1.attn"',
        ),
        (
            "timm vit_tiny_patch16_224",
            "norm",
            'computes no softmax attention. Layers that do: "blocks.0.attn", "blocks.1',
        ),
        ("timm vit_tiny_patch16_224", "block", 'has no layer "block". Choices'),
    ],
)
def test_other_attention_is_refused_with_the_reason(name, layer, reason):
    model, images = family(name)
    with left_as_found(model), pytest.raises(ValueError, match=f"^attention_maps: .*{reason}"):
        attention_maps(model, layer, images)


def test_a_rollout_needs_every_layer_to_be_global():
    with pytest.raises(ValueError, match=r"attention_rollout: .*"):
        attention_rollout(small_swin(), WIDE)
    model, images = family("timm samvit_base_patch16")
    for count in (1, 2):
        assert attention_maps(model, "blocks.1", images[:count]).shape == (count, 2, 24, 24)
        with pytest.raises(ValueError, match='"blocks.0" looks within windows'):
            attention_maps(model, "blocks.0", images[:count])
    for block in model.blocks:
        block.window_size = 14 if block.window_size else 0
    with pytest.raises(ValueError, match='"blocks.0" does not look at the places of a map.* 196, 196'):
        attention_maps(model, "blocks.0", images)  # one window, larger than the map
    with pytest.raises(ValueError, match=r'attention_rollout: layer "blocks.0.attn" does not look.*every layer'):
        attention_rollout(model, images)


@pytest.mark.parametrize("method", [lambda model, images: attention_maps(model, None, images), attention_rollout])
def test_a_model_in_training_is_left_as_found_and_images_do_not_see_each_other(method):
    model, images = family("timm vit_tiny_patch16_224")
    expected = method(model, images)
    before = images.clone()
    with left_as_found(model.train()), torch.autocast("cpu", torch.bfloat16):
        found = method(model, images)
    assert torch.equal(found, expected)
    assert torch.equal(images, before)
    assert not found.requires_grad
    torch.testing.assert_close(torch.cat([method(model, one[None]) for one in images]), expected)


def test_causal_and_masked_weights_are_those_that_run():
    model = ByHand(1, lambda scores: scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -math.inf))
    weights = attention_maps(model, None, WIDE)
    assert not weights.triu(1).any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 49))


@pytest.mark.parametrize("images", [WIDE[0], WIDE.long(), WIDE[:0]])
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(ValueError, match="attention_maps: images must be"):
        attention_maps(small_vit(), None, images)
