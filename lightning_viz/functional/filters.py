"""The kernels of a convolution."""

from typing import cast

import torch
from torch import Tensor, nn

from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import find_layer

__all__ = ["CONVOLUTIONS", "conv_filters"]

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def conv_filters(model: nn.Module, layer: str) -> Tensor:
    """Read the filters of a convolution as the layer uses them in eval mode.

    A weight that is computed (weight or spectral norm, pruning, any parametrization) is computed anew.

    Args:
        model: Left as found.
        layer: Dotted name of a ``Conv2d`` or ``ConvTranspose2d``, e.g. ``"features.0"``.

    Returns:
        ``(K, C, h, w)`` float32 copy on the layer's device: K units, C input channels (of the unit's group), kernel
        h x w. A transposed convolution is turned to the same order.

    Raises:
        ValueError: No such layer, or it is no 2-D convolution; the message lists the choices.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NeurIPS 2012, Fig. 3.

    Example:
        >>> conv_filters(nn.Sequential(nn.Conv2d(3, 96, 11, stride=4)), "0").shape
        torch.Size([96, 3, 11, 11])
    """
    module = find_layer(model, layer, CONVOLUTIONS, who="conv_filters")
    with isolated(model), torch.no_grad():
        weight = _weight(module)
        if isinstance(module, nn.ConvTranspose2d):
            weight = weight.reshape(module.groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
        return weight.to(torch.float32, copy=True)


def _weight(module: nn.Module) -> Tensor:
    # torch's pruning and older weight_norm and spectral_norm set it in a hook before each forward: it is one step old.
    for hook in module._forward_pre_hooks.values():
        if getattr(hook, "_tensor_name", None) == "weight" and hasattr(hook, "apply_mask"):
            return cast("Tensor", hook.apply_mask(module))
        if getattr(hook, "name", None) == "weight" and hasattr(hook, "compute_weight"):
            power_iteration = {"do_power_iteration": False} if hasattr(hook, "n_power_iterations") else {}
            weight: Tensor = hook.compute_weight(module, **power_iteration)
            return weight
    return cast("Tensor", module.weight)
