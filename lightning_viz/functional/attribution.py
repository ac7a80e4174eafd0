"""What in an image speaks for a class: saliency, Grad-CAM, guided Grad-CAM."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_viz.functional.backward.batch_mixing import mixes_images
from lightning_viz.functional.backward.rules import Rule, gradient_of, no_way, rectified_by
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import NoLayerError, capture, find_layer, is_scripted, last_call, named_layers
from lightning_viz.introspection.outputs import Output, Reshape, as_maps, check_images, class_scores, find_scores
from lightning_viz.introspection.tokens import watch_tokens

__all__ = ["grad_cam", "grad_cam_layer", "guided_grad_cam", "saliency"]

Classes = int | Sequence[int] | Tensor | None


def saliency(model: nn.Module, images: Tensor, classes: Classes = None, output: Output | None = None) -> Tensor:
    """Show how much each pixel moves the score of a class: the largest absolute derivative over its channels.

    Args:
        model: Left exactly as found; runs in eval mode.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        classes: One for all images, or one for each; the prediction when omitted. A model with one output scores
            class 1 with it and class 0 with its negative.
        output: Where the scores (before the softmax) are in what the model returns: a key, an index or a function.

    Returns:
        ``(N, H, W)`` float32, at least 0, in score per normalised unit.

    Raises:
        ValueError: No such class, images of the wrong shape.
        TypeError: No scores in what the model returns.

    Source: Simonyan et al., Deep inside convolutional networks, ICLR 2014 workshop, section 3.1.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 18, 5))
        >>> saliency(model, torch.randn(2, 3, 12, 20), classes=[0, 4]).shape
        torch.Size([2, 12, 20])
    """
    return _image_gradient(model, images, classes, output, "gradient", "saliency").abs().amax(1)


def grad_cam(
    model: nn.Module,
    layer: str | None,
    images: Tensor,
    classes: Classes = None,
    output: Output | None = None,
    reshape: Reshape | None = None,
) -> Tensor:
    """Show which places of a layer speak for a class: its maps, weighted by the mean derivative of the score.

    Args:
        model: Left exactly as found; runs in eval mode.
        layer: Dotted name. None takes the last layer with places that the score depends on (``grad_cam_layer``).
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        classes: One for all images, or one for each; the prediction when omitted. A model with one output scores
            class 1 with it and class 0 with its negative.
        output: Where the scores (before the softmax) are in what the model returns: a key, an index or a function.
        reshape: Takes the layer's output to ``(N, K, h, w)``, where that can't be inferred. The tokens of a vision
            transformer are laid out by themselves.

    Returns:
        ``(N, h, w)`` float32, at least 0, in units of the score; not rescaled, so that an unsure network looks unsure.
        To lay it over the image: bilinear, ``align_corners=False``. A layer without places gives one value.

    Raises:
        ValueError: No such layer or class, an output that is no stack of maps, images of the wrong shape.
        TypeError: No scores in what the model returns.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 18, 5))
        >>> grad_cam(model, "1", torch.randn(2, 3, 12, 20), classes=3).shape
        torch.Size([2, 10, 18])
    """
    check_images(images, "grad_cam")
    if layer is None:
        layer = grad_cam_layer(model, images, output, reshape)
    module = find_layer(model, layer, nn.Module, who="grad_cam")
    with isolated(model):
        run = partial(_scores, model, output, "grad_cam")
        with capture(model, layer) as outputs, watch_tokens(model) as seen:
            scores = run(_leaf(images))
        captured = last_call(outputs, layer, "grad_cam")
        mixed = mixes_images(run, images, scores)
        gradient = _own_gradients(scores, classes, captured, "grad_cam", mixed=mixed)
        maps_of = partial(
            as_maps, image_size=images.shape[2:], reshape=reshape, who="grad_cam", layer=module, grids=seen.grids
        )
        gradients, maps = (maps_of(one).float() for one in (gradient, captured.detach()))
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * maps).sum(1).clamp(min=0)


def guided_grad_cam(
    model: nn.Module,
    layer: str | None,
    images: Tensor,
    classes: Classes = None,
    output: Output | None = None,
    reshape: Reshape | None = None,
) -> Tensor:
    """Show the pixels that speak for a class: guided backpropagation, weighted by Grad-CAM.

    Args:
        model: Left exactly as found; runs in eval mode.
        layer: The layer of Grad-CAM; see ``grad_cam``.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        classes: One for all images, or one for each; the prediction when omitted.
        output: Where the scores (before the softmax) are in what the model returns: a key, an index or a function.
        reshape: Takes the layer's output to ``(N, K, h, w)``, where that can't be inferred.

    Returns:
        ``(N, C, H, W)`` float32, the guided gradient times the Grad-CAM map, enlarged bilinearly.

    Raises:
        ValueError: As ``grad_cam``.
        TypeError: No scores in what the model returns.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, section 3.2.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 18, 5))
        >>> guided_grad_cam(model, "1", torch.randn(2, 3, 12, 20), classes=3).shape
        torch.Size([2, 3, 12, 20])
    """
    maps = grad_cam(model, layer, images, classes, output, reshape)
    guided = _image_gradient(model, images, classes, output, "guided", "guided_grad_cam")
    enlarged = interpolate(maps[:, None], images.shape[2:], mode="bilinear", align_corners=False)
    return guided * enlarged


def grad_cam_layer(
    model: nn.Module, images: Tensor, output: Output | None = None, reshape: Reshape | None = None
) -> str:
    """Find the layer that Grad-CAM looks at when none is named.

    It is the last one, in the order in which layers finish, whose output has places and moves the scores: of a
    convolutional network the last feature map; of a vision transformer whose scores depend on the class token alone,
    the input of its last attention. Layers inside an attention (queries, keys, values) come last; TorchScript can't be
    looked into.

    Args:
        model: Left exactly as found.
        images: ``(N, C, H, W)`` float; the first is used.
        output: Where the scores are in what the model returns: a key, an index or a function.
        reshape: Takes a layer's output to ``(N, K, h, w)``, where that can't be inferred.

    Returns:
        Dotted name.

    Raises:
        ValueError: There is none; name ``layer``.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 18, 5))
        >>> grad_cam_layer(model, torch.randn(1, 3, 12, 20))
        '1'
    """
    finished: dict[str, Tensor] = {}
    modules = {name: module for name, module in named_layers(model).items() if not is_scripted(module)}
    with isolated(model):
        handles = [module.register_forward_hook(partial(_note, finished, name)) for name, module in modules.items()]
        try:
            with watch_tokens(model) as seen:
                two = _leaf(images[:1].expand(2, -1, -1, -1))  # an axis of 1 could be another than that of the images
                returned = torch.func.functional_call(model, _instead_of_zeros(model), (two.clone(),))
            scores = find_scores(returned, output, "grad_cam")
        finally:
            for handle in handles:
                handle.remove()
        # Weights that differ, since the sum of some scores (a softmax) is a constant.
        _check_derivative(scores, "grad_cam")
        score = (scores * torch.arange(1, scores.shape[1] + 1, device=scores.device)).sum()
        attentions = tuple(f"{attention.layer}." for attention in seen.attentions if attention.layer)
        spatial = []
        inside = [name for name in finished if name.startswith(attentions)]
        outside = [name for name in finished if name not in inside]
        for name in (*reversed(outside), *reversed(inside)):
            maps_of = partial(
                as_maps,
                image_size=images.shape[2:],
                reshape=reshape,
                who="grad_cam",
                layer=modules[name],
                grids=seen.grids,
            )
            if not _has_places(finished[name], finished, maps_of):
                continue
            spatial.append(name)
            (gradient,) = torch.autograd.grad(score, finished[name], retain_graph=True, materialize_grads=True)
            if maps_of(gradient).any():
                return name
    if not spatial:
        raise NoLayerError(
            f"grad_cam: no layer of {type(model).__name__} has an output with places. Name one: layer=..."
        )
    return spatial[0]


def _instead_of_zeros(model: nn.Module) -> dict[str, Tensor]:
    """Give weights to layers that start from zero (the head of a vision transformer): they hide what they look at."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(weight.shape, generator=generator, dtype=torch.float32).to(weight)
        for name, weight in model.named_parameters()
        if weight.ndim > 1 and not weight.any()
    }


def _note(finished: dict[str, Tensor], name: str, module: nn.Module, inputs: Any, output: Any) -> Any:
    finished.pop(name, None)  # of a layer that runs several times the last time counts
    if not isinstance(output, Tensor) or not output.requires_grad:
        return output
    finished[name] = output
    return output.clone()  # what follows may work on it in place


def _has_places(tensor: Tensor, finished: Mapping[str, Tensor], maps_of: Callable[[Tensor], Tensor]) -> bool:
    """Whether the first axis counts the images, and the others hold a map; heads and their tokens are none."""
    if tensor.ndim not in (3, 4) or len(tensor) != 2 or tensor[0, 0].numel() == 1:
        return False
    tokens = {other.shape[1] for other in finished.values() if other.ndim == 3 and len(other) == 2}
    if tensor.ndim == 4 and tokens & set(tensor.shape[2:]):
        return False
    try:
        return maps_of(tensor)[0, 0].numel() > 1
    except (ValueError, RuntimeError):
        return False


def _leaf(images: Tensor) -> Tensor:
    return images.detach().clone().requires_grad_()


def _image_gradient(
    model: nn.Module, images: Tensor, classes: Classes, output: Output | None, rule: Rule, who: str
) -> Tensor:
    check_images(images, who)
    with isolated(model), rectified_by(rule, model):
        run, leaf = partial(_scores, model, output, who), _leaf(images)
        scores = run(leaf)
        mixed = mixes_images(run, images, scores)
        return _own_gradients(scores, classes, leaf, who, mixed=mixed).float()


def _scores(model: nn.Module, output: Output | None, who: str, images: Tensor) -> Tensor:
    return find_scores(model(images.clone()), output, who)  # a copy, since it may work in place


def _own_gradients(scores: Tensor, classes: Classes, source: Tensor, who: str, *, mixed: bool) -> Tensor:
    """Differentiate each image's score with respect to its own row of the source."""
    picked, _ = class_scores(scores, classes, who)
    if not mixed:
        return gradient_of(picked.sum(), source, who=who)
    rows = [gradient_of(one, source, retain_graph=True, who=who)[image] for image, one in enumerate(picked)]
    return torch.stack(rows)


def _check_derivative(scores: Tensor, who: str) -> None:
    if not scores.requires_grad:
        raise ValueError(no_way(who))
