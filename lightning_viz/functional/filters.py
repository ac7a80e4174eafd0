"""The kernels of a convolution."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import find_layer, named_layers
from lightning_viz.introspection.trace import Value, trace

__all__ = ["CONVOLUTIONS", "KERNELS", "conv_filters"]

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)

KERNELS = (*CONVOLUTIONS, nn.Conv3d, nn.ConvTranspose3d, nn.Conv1d, nn.ConvTranspose1d)
"""What has filters; only those of two dimensions have maps of an image."""

WHO = "conv_filters"


def conv_filters(model: nn.Module, layer: str) -> Tensor:
    """Read the filters of a convolution: what it multiplies with, in eval mode.

    The layer runs once, by itself on zeros, and the filters are those of the convolution that it then calls: after
    standardisation, masks, pruning, rounding, weight or spectral norm, or whatever else its forward makes of weights.

    Args:
        model: Left exactly as found.
        layer: Dotted name of a convolution, e.g. ``"features.0"``, or of any other module that calls one.

    Returns:
        ``(K, C, h, w)`` float32 copy on the layer's device, complex64 where weights are complex: K units, C input
        channels (of the unit's group), kernel h x w. A transposed convolution is turned to the same order. In three
        dimensions ``(K, C, d, h, w)``, in one ``(K, C, w)``.

    Raises:
        ValueError: No such layer; it calls no convolution, or several, does not run by itself, or makes its weights
            of its input.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks, NeurIPS 2012, Fig. 3.

    Example:
        >>> conv_filters(nn.Sequential(nn.Conv2d(3, 96, 11, stride=4)), "0").shape
        torch.Size([96, 3, 11, 11])
    """
    found = named_layers(model).get(layer)
    module = find_layer(model, layer, KERNELS, WHO) if found is None else found
    with isolated(model), torch.no_grad():
        images = _zeros_for(module)
        calls = [] if images is None else _calls(module, layer, images)
        if not calls and not isinstance(module, KERNELS):
            find_layer(model, layer, KERNELS, WHO)  # says what can be chosen
        call = _the_one(calls, module, layer)
        weight: Tensor = call.weight
        if call.transposed:
            weight = weight.reshape(call.groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
        return weight.to(torch.complex64 if weight.is_complex() else torch.float32, copy=True)


class _Call(NamedTuple):
    """A convolution that was called."""

    weight: Any
    """A ``Value`` where it is made of the layer's input."""
    transposed: bool
    groups: int


def _zeros_for(module: nn.Module) -> Tensor | None:
    """Make an input for a layer, about as small as its windows allow; None for what has no filters."""
    conv = next((one for one in module.modules() if isinstance(one, KERNELS)), None)
    if conv is not None:
        padding = (0,) * len(conv.kernel_size) if isinstance(conv.padding, str) else conv.padding
        sizes = zip(conv.kernel_size, conv.dilation, padding, strict=True)
        like, channels, size = conv.weight, conv.in_channels, [k * dilation + edge for k, dilation, edge in sizes]
    else:
        filters = [parameter for parameter in module.parameters() if parameter.ndim == 4]
        if not filters:
            return None
        like = max(filters, key=Tensor.numel)
        channels = getattr(module, "in_channels", like.shape[1] * getattr(module, "groups", 1))
        size = list(like.shape[2:])
    if conv is not module:
        size = [4 * side for side in size]  # for a dilation, or what else the layer may do
    return torch.zeros(1, channels, *size, dtype=like.dtype, device=like.device)


def _calls(module: nn.Module, layer: str, images: Tensor) -> list[_Call]:
    calls: list[_Call] = []

    def keep(operation: str, arguments: Mapping[str, Any], outputs: Sequence[Tensor]) -> None:
        if operation in ("convolution", "_convolution"):
            weight = arguments["weight"]
            kept = weight.clone() if isinstance(weight, Tensor) else weight
            calls.append(_Call(kept, arguments["transposed"], arguments["groups"]))

    try:
        trace(module, images, [], keep)
    except Exception as error:
        raise ValueError(
            f'{WHO}: layer "{layer}" ({type(module).__name__}) does not run by itself on zeros {tuple(images.shape)}, '
            f"so that its filters can't be read. Choose another layer. {type(error).__name__}: {error}"
        ) from error
    if images.is_complex() and len(calls) == 3:
        # Torch makes three of one: by the real parts, by the imaginary parts, and by their sums.
        real, imaginary, _ = calls
        return [real._replace(weight=torch.complex(real.weight, imaginary.weight))]
    return calls


def _the_one(calls: Sequence[_Call], module: nn.Module, layer: str) -> _Call:
    who = f'{WHO}: layer "{layer}" ({type(module).__name__})'
    if len(calls) > 1 and isinstance(module, KERNELS):
        # Others count or blur, beside the one that was learned.
        calls = [call for call in calls if call.weight.shape == module.weight.shape] or calls
    if len(calls) != 1:
        raise ValueError(f"{who} calls {len(calls) or 'no'} convolutions, not one. Choose another layer.")
    (call,) = calls
    if isinstance(call.weight, Value):
        raise ValueError(f"{who} makes its filters of its input: each image has others. Choose another layer.")
    return call
