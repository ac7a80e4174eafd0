"""What a model gives back: where its class scores are, and how a layer's output is a stack of maps."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Grid",
    "Output",
    "Reshape",
    "as_maps",
    "check_images",
    "class_scores",
    "find_scores",
    "is_dense",
    "look_up",
    "one_per_image",
    "probabilities",
    "seen_grid",
    "two_sided",
]

Output = str | int | Callable[[Any], Tensor]
"""Where the class scores are in what a model returns: a key (or attribute), an index, or a function."""

Grid = tuple[int, int]
"""Rows and columns of places."""

Reshape = Callable[[Tensor], Tensor]
"""Takes a layer's output to ``(N, K, h, w)``."""

Activation = Literal["softmax", "sigmoid", "none"]
"""What makes probabilities of scores."""

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

USUAL = ("logits", "out")
"""What the scores are called in the outputs of transformers and of torchvision's segmentation."""

PREFIXES = 8
"""Tokens that are no place of the image (class, registers) stand before the others."""


def find_scores(returned: Any, output: Output | None, who: str) -> Tensor:
    """Find the class scores in what a model returned.

    Of a dense map (a segmentation, a reconstruction) it is the mean of each channel; for a pixel give a function.

    Args:
        returned: A tensor, or a dict, tuple or object that holds it.
        output: Where; not needed for a tensor, nor for what is called ``logits`` or ``out``.
        who: Begins the error message and names the argument, e.g. ``"saliency"``.

    Returns:
        ``(N, classes)`` float.

    Raises:
        TypeError: No tensor there; the message says what came.
        ValueError: A tensor of another shape.

    Example:
        >>> find_scores({"head": torch.rand(2, 10)}, "head", "saliency").shape
        torch.Size([2, 10])
    """
    found = look_up(returned, output)
    if not isinstance(found, Tensor):
        keys = f" with keys {', '.join(map(repr, returned))}" if isinstance(returned, Mapping) else ""
        raise TypeError(
            f"{who}: the model returned a {type(returned).__name__}{keys}, and output={output!r} gives a "
            f"{type(found).__name__}. Say where the class scores are, by a key, an index or a function: "
            f"{who}(output=...)."
        )
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim > 3:
        found = found.flatten(2).mean(2)
    if found.ndim != 2:
        raise ValueError(
            f"{who}: the class scores must be (N, classes); the model's are {tuple(found.shape)}. "
            f"Reduce them with a function: {who}(output=...)."
        )
    return found


def look_up(returned: Any, output: Output | None) -> Any:
    """Give what ``output`` says of what a model returned; None where there is no such thing.

    Where it says nothing, that is all that came, or the ``logits`` or ``out`` in it.
    """
    if callable(output):
        return output(returned)
    if isinstance(returned, Tensor):
        return returned
    if output is None:
        usual = (look_up(returned, name) for name in USUAL)
        return next((found for found in usual if isinstance(found, Tensor)), returned)
    try:
        return returned[output]
    except (KeyError, IndexError, TypeError):
        return getattr(returned, output, None) if isinstance(output, str) else None


def is_dense(returned: Any, output: Output | None) -> bool:
    """Whether what a model returned is a map with places rather than one row of scores for each image."""
    found = look_up(returned, output)
    return isinstance(found, Tensor) and found.ndim > 2


def class_scores(scores: Tensor, classes: int | Sequence[int] | Tensor | None, who: str) -> tuple[Tensor, Tensor]:
    """Pick one class score for each image.

    Args:
        scores: ``(N, classes)``. A single output speaks for class 1, its negative for class 0.
        classes: One for all images, or one for each; None takes the largest score.
        who: Begins the error message.

    Returns:
        The scores ``(N,)`` with their graph, and the classes ``(N,)`` int64.

    Raises:
        ValueError: No such class, or another number of classes than images.

    Example:
        >>> class_scores(torch.tensor([[1.0, 3.0], [2.0, 0.0]]), None, "saliency")[1]
        tensor([1, 0])
    """
    scores = two_sided(scores)
    chosen = scores.argmax(1) if classes is None else one_per_image(classes, len(scores), "classes", who)
    chosen = chosen.to(scores.device)
    wrong = (chosen < 0) | (chosen >= scores.shape[1])
    if wrong.any():
        raise ValueError(
            f"{who}: there is no class {int(chosen[wrong][0])}; the model has {scores.shape[1]}: 0 to "
            f"{scores.shape[1] - 1}."
        )
    return scores.gather(1, chosen[:, None])[:, 0], chosen


def two_sided(scores: Tensor) -> Tensor:
    """Make two classes of a single output ``(N, 1)``: it speaks for class 1, its negative for class 0."""
    return torch.cat([-scores, scores], dim=1) if scores.shape[1] == 1 else scores


def probabilities(scores: Tensor, activation: Activation = "softmax") -> Tensor:
    """Make probabilities of scores.

    Args:
        scores: ``(N, classes)``. A single output s says sigmoid(s) for class 1 and the rest for class 0.
        activation: ``"softmax"``, ``"sigmoid"`` for each class on its own, ``"none"`` if they are probabilities
            already.

    Returns:
        ``(N, classes)``, two classes for a single output.

    Example:
        >>> probabilities(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    if scores.shape[1] == 1:
        one = scores if activation == "none" else scores.sigmoid()
        return torch.cat([1 - one, one], dim=1)
    if activation == "none":
        return scores
    return scores.softmax(1) if activation == "softmax" else scores.sigmoid()


def one_per_image(numbers: int | Sequence[int] | Tensor, count: int, name: str, who: str) -> Tensor:
    """Repeat one number for all images, or check that there is one for each.

    Returns:
        ``(N,)`` int64.

    Raises:
        ValueError: Another count.
    """
    given = torch.as_tensor(numbers)
    given = given if given.numel() else given.long()
    if given.is_floating_point() or given.ndim > 1 or (given.ndim == 1 and len(given) != count):
        raise ValueError(
            f"{who}: {name} must be a whole number, or one for each of {count} images; got {tuple(given.shape)} "
            f"of {given.dtype}."
        )
    return given.long().expand(count)


def as_maps(
    output: Tensor,
    image_size: Sequence[int],
    reshape: Reshape | None,
    who: str,
    layer: nn.Module | None = None,
    cure: str | None = None,
    grids: Mapping[int, Grid] | None = None,
) -> Tensor:
    """See a layer's output as one map per unit.

    ``(N, K, h, w)`` stays, ``(N, K)`` has maps of one value. Tokens ``(N, T, K)`` are laid out on the grid that they
    were seen to come from, else on that of square patches with T places (up to 8 tokens before them, class or
    register, belong to no place). ``(N, h, w, K)`` is turned where its axes fit the image that way only.

    Args:
        output: What the layer gave.
        image_size: (H, W) of the images.
        reshape: Does it instead.
        who: Begins the error message.
        layer: What gave it. Without a ``Linear`` or ``LayerNorm`` inside, its units are the second axis.
        cure: Ends the error message, where the caller has no ``reshape``.
        grids: How many places lay on which grid, as ``watch_tokens`` has seen.

    Returns:
        ``(N, K, h, w)``, a view where possible.

    Raises:
        ValueError: It can't be inferred; the message names ``reshape``.

    Example:
        >>> as_maps(torch.rand(2, 197, 768), (224, 224), None, "grad_cam").shape
        torch.Size([2, 768, 14, 14])
    """
    if reshape is not None:
        maps = reshape(output)
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            came = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise ValueError(f"{who}(reshape=...): must give (N, K, h, w); got {came}.")
        return maps
    if output.ndim == 4:
        turned = _makes_channels(layer, output.shape[3]) and _channels_come_last(output.shape, image_size)
        return output.permute(0, 3, 1, 2) if turned else output
    if output.ndim == 2:
        return output[:, :, None, None]
    grid = None
    if output.ndim == 3:
        grid = seen_grid(output.shape[1], grids or {}) or _square_patches(output.shape[1], image_size)
    if grid is None:
        cure = cure or f"Choose another layer, or give a function that makes it one: {who}(reshape=...)."
        raise ValueError(
            f"{who}: an output of shape {tuple(output.shape)} for images of {image_size[0]}x{image_size[1]} is no "
            f"stack of maps (N, K, h, w). {cure}"
        )
    height, width = grid
    return output[:, output.shape[1] - height * width :].transpose(1, 2).reshape(len(output), -1, height, width)


def _makes_channels(layer: nn.Module | None, last: int) -> bool:
    """Whether something in a layer works on the last axis, and can have given it its length."""
    return layer is None or any(
        (isinstance(module, nn.Linear) and module.out_features == last)
        or (isinstance(module, nn.LayerNorm) and module.normalized_shape[-1] == last)
        for module in layer.modules()
    )


def _channels_come_last(shape: Sequence[int], image_size: Sequence[int]) -> bool:
    """Say so on strong evidence only: the two axes after N are the image divided by a stride, the last two can't be."""
    (height, width), (_, rows, columns, last) = image_size, shape
    divided = any(
        rows in (height // stride, -(-height // stride)) and columns in (width // stride, -(-width // stride))
        for stride in range(2, min(height, width) + 1)
    )
    return divided and not _may_be_places(columns, last, image_size)


def _may_be_places(rows: int, columns: int, image_size: Sequence[int]) -> bool:
    """Whether some stride and about the same border on both sides lead from the image to a map of this size."""
    for stride in range(1, max(image_size) + 1):
        borders = image_size[0] - stride * rows, image_size[1] - stride * columns
        if min(borders) > -stride and abs(borders[0] - borders[1]) < 2 * stride:
            return True
    return False


def seen_grid(tokens: int, grids: Mapping[int, Grid]) -> Grid | None:
    """Find the grid of the last of so many tokens among those that were seen."""
    counts = range(tokens, tokens - PREFIXES - 1, -1)
    return next((grids[count] for count in counts if count in grids), None)


def _square_patches(tokens: int, image_size: Sequence[int]) -> Grid | None:
    height, width = image_size
    patches = [side for side in range(1, math.gcd(height, width) + 1) if math.gcd(height, width) % side == 0]
    grids = {height // side * (width // side): (height // side, width // side) for side in patches}
    return seen_grid(tokens, grids)


def check_images(images: Tensor, who: str) -> None:
    """Refuse what is no batch of images.

    Raises:
        ValueError: The message says what came.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point() or images.numel() == 0:
        came = f"{tuple(images.shape)} {images.dtype}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise ValueError(f"{who}: images must be (N, C, H, W) of a float type and not empty; got {came}.")
