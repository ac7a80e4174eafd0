"""Networks of torchvision, made so that their maps say something."""

from functools import cache

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

PHOTOS = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def calibrated(model: nn.Module, images: Tensor) -> nn.Module:
    """With the statistics of some images, so that signals neither vanish nor burst; in eval mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        model.train()(images)
    return model.eval()


@cache
def torchvision_model(name: str, **arguments: object) -> nn.Module:
    """In double precision, with weights of its own initialisation and statistics of ``PHOTOS``."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=5, **arguments).double()
    return calibrated(model, PHOTOS.double())


def small_swin() -> SwinTransformer:
    torch.manual_seed(0)
    return SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=5).eval()


def small_vit(zero_head: bool = False) -> VisionTransformer:
    """torchvision makes it with a head of zeros."""
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    if not zero_head:
        nn.init.normal_(model.heads.head.weight)
    return model
