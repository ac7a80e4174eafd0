"""Small networks of many families, with random weights: what Grad-CAM looks at in each when no layer is named."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from torch import nn

SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2}
FOUR = {"depths": (1, 1, 1, 1)}
HEADS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WIDE, SQUARE = (64, 96), (64, 64)


class Family(NamedTuple):
    """A network, the images that it takes, and what is right for it."""

    name: str
    make: Callable[[], nn.Module]
    size: tuple[int, int]
    grid: tuple[int, int]
    layer: str


def _timm(name: str, size: tuple[int, int], grid: tuple[int, int], layer: str, **arguments: Any) -> Family:
    def make() -> nn.Module:
        return pytest.importorskip("timm").create_model(name, num_classes=5, **arguments)

    return Family(f"timm {name}", make, size, grid, layer)


def _torchvision(name: str, size: tuple[int, int], grid: tuple[int, int], layer: str, **arguments: Any) -> Family:
    def make() -> nn.Module:
        return getattr(pytest.importorskip("torchvision").models, name)(num_classes=5, **arguments)

    return Family(f"torchvision {name}", make, size, grid, layer)


def _transformers(name: str, size: tuple[int, int], grid: tuple[int, int], layer: str, **arguments: Any) -> Family:
    def make() -> nn.Module:
        package = pytest.importorskip("transformers")
        config = getattr(package, f"{name}Config")(num_labels=5, **arguments)
        return getattr(package, f"{name}ForImageClassification")(config)

    return Family(f"transformers {name}", make, size, grid, layer)


FAMILIES = [
    _timm("vit_tiny_patch16_224", WIDE, (4, 6), "blocks.1.norm1", img_size=WIDE, **SMALL),
    _timm("vit_base_patch16_clip_224", WIDE, (2, 12), "blocks.1.norm1", img_size=WIDE, patch_size=(32, 8), **SMALL),
    _timm("vit_base_patch16_rope_reg1_gap_256", WIDE, (4, 6), "norm", img_size=WIDE, **SMALL),
    _timm("vit_tiny_r_s16_p8_224", WIDE, (2, 3), "blocks.1.norm1", img_size=WIDE, **SMALL),
    _timm("vit_small_patch14_reg4_dinov2", (56, 84), (4, 6), "blocks.1.norm1", img_size=(56, 84), **SMALL),
    _timm("vit_base_patch16_siglip_224", WIDE, (4, 6), "norm", img_size=WIDE, **SMALL),
    _timm("naflexvit_base_patch16_gap", WIDE, (4, 6), "norm", **SMALL),
    _timm("samvit_base_patch16", WIDE, (4, 6), "neck", img_size=WIDE, global_attn_indexes=(1,), window_size=2, **SMALL),
    _timm("deit_tiny_distilled_patch16_224", WIDE, (4, 6), "blocks.1.norm1", img_size=WIDE, **SMALL),
    _timm("deit3_small_patch16_224", WIDE, (4, 6), "blocks.1.norm1", img_size=WIDE, **SMALL),
    _timm("beit_base_patch16_224", WIDE, (4, 6), "norm", img_size=WIDE, **SMALL),
    _timm("eva02_tiny_patch14_224", (56, 84), (4, 6), "norm", img_size=(56, 84), **SMALL),
    _timm("cait_xxs24_224", WIDE, (4, 6), "blocks_token_only.1.norm1", img_size=WIDE, **SMALL),
    _timm("xcit_nano_12_p8_224", WIDE, (8, 12), "cls_attn_blocks.1.norm1", img_size=WIDE, **SMALL),
    _timm(
        "crossvit_9_240",
        (240, 240),
        (20, 20),
        "blocks.0.fusion.1.norm1",
        embed_dim=(32, 64),
        num_heads=(2, 2),
        depth=[[1, 2, 0]],
    ),
    _timm("convit_tiny", SQUARE, (4, 4), "norm", img_size=64, embed_dim=48, depth=2),
    _timm(
        "pit_ti_224", SQUARE, (2, 2), "transformers.2.blocks.0.norm1", img_size=64, base_dims=(16,) * 3, depth=(1,) * 3
    ),
    _timm("levit_128s", SQUARE, (2, 2), "stages.1", img_size=64, depth=(1, 1, 1), embed_dim=(32, 32, 32)),
    _timm(
        "swin_tiny_patch4_window7_224", WIDE, (2, 3), "norm", img_size=WIDE, window_size=(2, 3), embed_dim=24, **FOUR
    ),
    _timm("swinv2_tiny_window8_256", WIDE, (2, 3), "norm", img_size=WIDE, window_size=(2, 3), embed_dim=24, **FOUR),
    _timm("swin_s3_tiny_224", SQUARE, (2, 2), "norm", img_size=64, window_size=2, embed_dim=24, **FOUR),
    _timm(
        "coat_lite_tiny",
        WIDE,
        (2, 3),
        "serial_blocks4.0.factoratt_crpe.qkv",
        img_size=WIDE,
        embed_dims=(32, 32, 64, 64),
        serial_depths=(1, 1, 1, 1),
    ),
    _timm("pvt_v2_b0", WIDE, (2, 3), "stages", **FOUR),
    _timm("twins_svt_small", (224, 224), (7, 7), "norm", embed_dims=(32, 32, 64, 64), **FOUR),
    _timm("davit_tiny", WIDE, (2, 3), "norm_pre", embed_dims=(24, 24, 48, 48), num_heads=(1, 1, 2, 2), **FOUR),
    _timm("hiera_tiny_224", WIDE, (2, 3), "blocks.3", img_size=WIDE, stages=(1, 1, 1, 1), embed_dim=24),
    _timm("efficientformerv2_s0", SQUARE, (2, 2), "norm", img_size=64, **FOUR),
    _timm("mobilevit_xxs", WIDE, (2, 3), "final_conv"),
    _timm("mobilevitv2_050", WIDE, (2, 4), "final_conv"),  # it resizes maps that its patches do not fill
    _timm("edgenext_xx_small", WIDE, (2, 3), "norm_pre"),
    _timm("swiftformer_xs", WIDE, (2, 3), "norm"),
    _timm("convnext_atto", WIDE, (2, 3), "norm_pre"),
    _timm("inception_next_atto", WIDE, (2, 3), "stages"),
    _timm("regnetx_002", WIDE, (2, 3), "final_conv"),
    _timm("mobilenetv4_conv_small", WIDE, (2, 3), "blocks"),
    _torchvision(
        "VisionTransformer",
        SQUARE,
        (4, 4),
        "encoder.layers.encoder_layer_1.ln_1",
        image_size=64,
        patch_size=16,
        num_layers=2,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
    ),
    _torchvision(
        "SwinTransformer",
        WIDE,
        (8, 12),
        "permute",
        patch_size=[4, 4],
        embed_dim=24,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=[4, 4],
    ),
    _torchvision(
        "MaxVit",
        SQUARE,
        (8, 8),
        "blocks.1",
        input_size=(64, 64),
        stem_channels=16,
        partition_size=8,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
    ),
    _torchvision("squeezenet1_1", WIDE, (3, 5), "classifier.2"),
    _torchvision("shufflenet_v2_x0_5", WIDE, (2, 3), "conv5"),
    _torchvision("mnasnet0_5", WIDE, (2, 3), "layers"),
    _torchvision("mobilenet_v3_small", WIDE, (2, 3), "features"),
    _torchvision("regnet_y_400mf", WIDE, (2, 3), "trunk_output"),
    _torchvision("efficientnet_b0", WIDE, (2, 3), "features"),
    _torchvision("densenet121", WIDE, (2, 3), "features"),
    _transformers("ViT", WIDE, (4, 6), "vit.layers.1.layernorm_before", image_size=WIDE, **HEADS),
    _transformers("DeiT", WIDE, (4, 6), "deit.layers.1.layernorm_before", image_size=WIDE, **HEADS),
    _transformers("Beit", SQUARE, (4, 4), "beit.layernorm", image_size=64, use_relative_position_bias=True, **HEADS),
    _transformers("Dinov2", (56, 84), (4, 6), "dinov2.layernorm", image_size=56, patch_size=14, **HEADS),
    _transformers(
        "Siglip",
        SQUARE,
        (4, 4),
        "vision_model.post_layernorm",
        vision_config={**HEADS, "image_size": 64, "patch_size": 16},
    ),
    _transformers(
        "Swin",
        WIDE,
        (8, 12),
        "swin.layernorm",
        image_size=WIDE,
        embed_dim=24,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
    ),
    _transformers(
        "FocalNet",
        WIDE,
        (8, 12),
        "focalnet.layernorm",
        image_size=64,
        embed_dim=16,
        depths=[1, 1],
        focal_levels=[2, 2],
        focal_windows=[3, 3],
    ),
    _transformers(
        "Segformer",
        WIDE,
        (2, 3),
        "segformer.stages.3",
        hidden_sizes=[16, 16, 32, 32],
        num_attention_heads=[1] * 4,
        depths=[1] * 4,
    ),
    _transformers("ConvNext", WIDE, (2, 3), "convnext.encoder.stages.3", hidden_sizes=[8, 16, 24, 32], depths=[1] * 4),
]
