"""What a network makes of images: their features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lightning_viz.data.batches import BatchFn, Data, read_batches, with_progress
from lightning_viz.functional.halving import run_on_each
from lightning_viz.introspection.calls import image_type
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import NoLayerError, capture, find_layer, last_call, named_layers
from lightning_viz.introspection.outputs import as_maps, check_images

__all__ = ["FeatureFn", "collect_features", "feature_layer"]

WHO = "collect_features"

FeatureFn = Callable[[nn.Module, Tensor], Tensor]
"""Takes a model and images ``(N, C, H, W)`` to their features ``(N, D)``."""


def collect_features(
    model: nn.Module,
    data: Data,
    layer: str | FeatureFn | None = None,
    batch_size: int = 64,
    max_images: int | None = None,
    batch_fn: BatchFn | None = None,
) -> Tensor:
    """Describe each image by what a layer makes of it.

    Args:
        model: Left exactly as found; runs in eval mode.
        data: Images ``(N, C, H, W)`` normalised as in training, a map-style data set, or a loader (its order counts).
            They take the type and the device of the weights; left untouched.
        layer: When omitted, the input of the last linear layer that runs (``feature_layer`` names it). A dotted name:
            what this layer gives. Tokens ``(N, T, D)`` are averaged over tokens, maps ``(N, K, h, w)`` over places. Of
            a layer that runs several times, the last time counts. A function takes the model, lent and in eval mode,
            and images on its device to ``(N, D)``: for a branch of a Siamese network.
        batch_size: Of a tensor or data set.
        max_images: At most so many, spread over a tensor or data set; the first of a loader.
        batch_fn: Takes a batch to ``(images, labels or None)``, where it has an unusual form.

    Returns:
        ``(N, D)`` float32 on the CPU, in the order of the data.

    Raises:
        ValueError: No linear layer runs, no such layer, features that are not one row for each image, no images.

    Source: Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012, section 6.1.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
        >>> collect_features(model, torch.randn(20, 1, 12, 20)).shape
        torch.Size([20, 4])
    """
    if isinstance(layer, str):
        find_layer(model, layer, nn.Module, who=WHO)
    parts: list[Tensor] = []
    with isolated(model), torch.no_grad():
        place: tuple[torch.device, torch.dtype] | None = None
        read: FeatureFn | None = layer if callable(layer) else partial(_outputs, layer) if layer else None

        def run(_: Tensor, batch: Tensor) -> None:
            nonlocal read, place
            place = place or image_type(model, batch)
            images = batch.to(*place, copy=True)
            read = read or partial(_inputs, _last_linear(model, images[:1].clone(), WHO))
            features = read(model, images)
            _check_features(features, len(images), parts[-1].shape[1] if parts else None, layer)
            parts.append(features.detach().float().cpu())

        batches = read_batches(data, batch_size, max_images, batch_fn, WHO)
        run_on_each(with_progress(batches, data, max_images, WHO), run)
    return torch.cat(parts)


def feature_layer(model: nn.Module, images: Tensor) -> str:
    """Name the layer whose input ``collect_features`` takes by default: the last linear layer that runs.

    Args:
        model: Left exactly as found; runs in eval mode.
        images: ``(N, C, H, W)`` float, on the model's device; one is enough. Left untouched.

    Raises:
        ValueError: No linear layer runs.

    Example:
        >>> feature_layer(nn.Sequential(nn.Flatten(), nn.Linear(15, 4), nn.ReLU()), torch.randn(1, 1, 3, 5))
        '1'
    """
    check_images(images, "feature_layer")
    with isolated(model), torch.no_grad():
        return _last_linear(model, images.clone(), "feature_layer")


def _last_linear(model: nn.Module, images: Tensor, who: str) -> str:
    linear: dict[nn.Module, str] = {
        module: name for name, module in named_layers(model).items() if isinstance(module, nn.Linear)
    }
    last: list[str] = []
    with _watch_inputs(list(linear), lambda module, _: last.append(linear[module])):
        model(images)
    if not last:
        raise NoLayerError(
            f"{who}: no nn.Linear runs when {type(model).__name__} is called on images, so that there is no last one "
            'whose input to take. Name a layer, or give a function from (model, images) to (N, D): layer="...".'
        )
    return last[-1]


def _inputs(name: str, model: nn.Module, images: Tensor) -> Tensor:
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: Tensor) -> None:
        kept[:] = [given.clone()]  # what follows may work on it in place

    with _watch_inputs([named_layers(model)[name]], keep):
        model(images)
    if not kept:
        raise ValueError(f'{WHO}: layer "{name}" ran for some images and not for others. Name another: layer="...".')
    return kept[0].float().flatten(1, -2).mean(1) if kept[0].ndim > 2 else kept[0]


@contextmanager
def _watch_inputs(modules: list[nn.Module], look: Callable[[nn.Module, Tensor], object]) -> Iterator[None]:
    def hook(module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        look(module, positional[0] if positional else named["input"])

    handles = [module.register_forward_pre_hook(hook, with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _outputs(name: str, model: nn.Module, images: Tensor) -> Tensor:
    module = named_layers(model)[name]
    with capture(model, name) as outputs:
        model(images)
    output = last_call(outputs, name, WHO)
    if output.ndim == 3:
        return output.float().mean(1)
    if output.ndim == 4:
        return as_maps(output, images.shape[2:], None, WHO, module, "Name another layer.").float().mean((2, 3))
    return output


def _check_features(features: Any, count: int, width: int | None, layer: str | FeatureFn | None) -> None:
    fits = isinstance(features, Tensor) and features.ndim == 2 and features.is_floating_point()
    if fits and features.shape == (count, features.shape[1] if width is None else width) and features.shape[1]:
        return
    came = f"{tuple(features.shape)} {features.dtype}" if isinstance(features, Tensor) else type(features).__name__
    given = "..." if callable(layer) else repr(layer)
    raise ValueError(
        f"{WHO}(layer={given}): features of {count} images must be ({count}, {width or 'D'}) of a float type; got "
        f"{came}. Name another layer, or give a function from (model, images) to (N, D)."
    )
