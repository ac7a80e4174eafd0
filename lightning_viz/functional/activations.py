"""What the units of a layer see in images."""

import torch
from torch import Tensor, nn

from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import capture, find_layer, last_call
from lightning_viz.introspection.outputs import Reshape, as_maps, check_images
from lightning_viz.introspection.tokens import watch_tokens

__all__ = ["activation_maps"]


def activation_maps(model: nn.Module, layer: str, images: Tensor, reshape: Reshape | None = None) -> Tensor:
    """Show where in each image each unit of a layer responds, and how much.

    Args:
        model: Left exactly as found; runs in eval mode.
        layer: Dotted name. Of a layer that runs several times, the last time counts.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        reshape: Takes the layer's output to ``(N, K, h, w)``, where that can't be inferred.

    Returns:
        ``(N, K, h, w)`` float32, what the layer gave, also before an in-place activation that follows it. A layer
        without places (``Linear``) has h = w = 1; tokens of a transformer are laid out on their grid.

    Raises:
        ValueError: No such layer, images of the wrong shape, or an output that is no stack of maps.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> activation_maps(model, "1", torch.randn(2, 3, 12, 20)).shape
        torch.Size([2, 4, 10, 18])
    """
    check_images(images, "activation_maps")
    module = find_layer(model, layer, nn.Module, who="activation_maps")
    with isolated(model), torch.no_grad(), capture(model, layer) as outputs:
        with watch_tokens(model) as seen:
            model(images.detach().clone())
        output = last_call(outputs, layer, "activation_maps")
        return as_maps(output, images.shape[2:], reshape, "activation_maps", module, grids=seen.grids).float()
