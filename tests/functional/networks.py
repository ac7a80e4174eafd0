"""Networks that several tests share."""

import torch
from torch import Tensor, nn


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
