"""From a batch to images and labels."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lightning_viz.introspection.unsuitable import UnsuitableError

__all__ = ["Batch", "BatchFn", "Say", "UnusualBatchError", "say_nothing", "unpack_batch"]

Batch = Any
BatchFn = Callable[[Batch], tuple[Tensor, Tensor | None]]
Say = Callable[[str], object]

log = logging.getLogger("lightning_viz")

SHOWN = 8
DEEPEST = 4
"""Levels of containers that are searched."""
IMAGE_KEYS = ("image", "images", "img", "imgs", "x", "input", "inputs", "pixel_values")
LABEL_KEYS = ("label", "labels", "target", "targets", "y", "class", "classes")
COLOURS = (1, 3, 4)
"""Channels of what is taken for an image without the axis of a batch."""
ROUNDING = 1e-2
"""By so much the shares of soft labels miss 1, also in half precision."""


def say_nothing(_: str) -> None:
    """Where nobody asks for labels, none are missed."""


class UnusualBatchError(UnsuitableError, ValueError):
    """A batch in which images are not found."""


def unpack_batch(batch: Batch, batch_fn: BatchFn | None = None, say: Say = log.warning) -> tuple[Tensor, Tensor | None]:
    """Find images and labels in a batch.

    Images are the first 4-D float tensor, or list of equally large (C, H, W), on the highest level that has one; in
    what has names (a dict, dataclass, ...) that of a usual name (image, images, x, pixel_values, ...), else the only
    one. Labels are looked for beside them, then a level up: by a usual name (label, target, y, ...); without names,
    the only part that can be labels.

    Labels are whole numbers ``(N,)`` or ``(N, 1)``, the numbers 0. and 1. of binary targets, or ``(N, classes)``
    one-hot, multi-hot or soft, of which the largest class counts, the first of equals. Other floats are no labels.

    Args:
        batch: A tensor, or tensors in tuples, lists, dicts, dataclasses, at most four levels deep.
        batch_fn: Does it instead.
        say: Is told where several parts could be labels, so that none is taken.

    Returns:
        Images ``(N, C, H, W)`` float, labels ``(N,)`` int64 or None; -1 is no class. Plain tensors, whatever subclass.

    Raises:
        UnusualBatchError: Nothing fits; the message says what was found.

    Example:
        >>> unpack_batch([torch.rand(2, 1, 8, 9), torch.tensor([3, 1])])[1]
        tensor([3, 1])
    """
    if batch_fn is not None:
        return _checked(batch_fn(batch), batch)
    found = _find_images(batch, ())
    if found is None or len(found[0]) == 0:
        raise UnusualBatchError(
            f"no images (N, C, H, W) of a float type in {_described(batch)}. {_reason(batch)}"
            "Say where they are: batch_fn=... with a function from a batch to (images, labels or None)."
        )
    images, around = found
    return images, _find_labels(around, len(images), batch, say)


def _checked(found: Any, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """What a user's function gave."""
    images = _as_images(found[0]) if isinstance(found, tuple) and len(found) == 2 else None
    if images is None:
        raise UnusualBatchError(
            f"batch_fn must return (images (N, C, H, W) of a float type, labels or None); got {_described(found)}."
        )
    if len(images) == 0:
        raise UnusualBatchError(f"batch_fn found no images in {_described(batch)}.")
    if found[1] is None:
        return images, None
    given = torch.as_tensor(found[1])
    if given.is_floating_point() and bool((given == given.round()).all()):
        given = given.long()
    labels = _as_labels(given, len(images))
    _check_count(images, labels, batch)
    return images, labels


def _check_count(images: Tensor, labels: Tensor | None, batch: Batch) -> None:
    if labels is not None and len(labels) != len(images):
        raise UnusualBatchError(f"{len(images)} images but {len(labels)} labels in {_described(batch)}.")


def _plain(tensor: Tensor) -> Tensor:
    """Leave a subclass's metadata behind, which may not bear to be indexed."""
    if type(tensor) is Tensor:
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(Tensor)


def _find_images(node: Any, around: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]] | None:
    """Search level by level. Give the images, and what they lie in from the inside out."""
    level = [(node, around)]
    for _ in range(DEEPEST + 1):
        for part, outside in level:
            images = _as_images(part)
            if images is not None:
                return images, outside
        level = [(child, (part, *outside)) for part, outside in level for child in _where_images_may_be(part)]
    return None


def _where_images_may_be(node: Any) -> list[Any]:
    names = _named(node)
    if names is None:
        return list(node) if isinstance(node, (tuple, list)) else []
    usual = [names[key] for key in IMAGE_KEYS if key in names and _find_images(names[key], ()) is not None]
    several = [key for key, part in names.items() if _as_images(part) is not None]
    if not usual and len(several) > 1 and not isinstance(node, tuple):
        raise UnusualBatchError(
            f"several parts of {_described(node)} could be the images: {', '.join(map(repr, several))}. Say which: "
            "batch_fn=... with a function from a batch to (images, labels or None)."
        )
    return usual or list(names.values())


def _as_images(part: Any) -> Tensor | None:
    if isinstance(part, Tensor):
        plain = _plain(part)
        return plain if plain.ndim == 4 and plain.is_floating_point() else None
    images = _image_list(part)
    return torch.stack(images) if images and len({one.shape for one in images}) == 1 else None


def _image_list(part: Any) -> list[Tensor]:
    """The images of a list that nobody stacked."""
    if not (isinstance(part, (tuple, list)) and part and all(isinstance(one, Tensor) for one in part)):
        return []
    plain = [_plain(one) for one in part]
    return plain if all(one.ndim == 3 and one.is_floating_point() and one.shape[0] in COLOURS for one in plain) else []


def _named(node: Any) -> dict[Any, Any] | None:
    if isinstance(node, Mapping):
        return {key.lower() if isinstance(key, str) else key: node[key] for key in node}
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    return node._asdict() if isinstance(node, tuple) and hasattr(node, "_asdict") else None


def _find_labels(around: tuple[Any, ...], count: int, batch: Batch, say: Say) -> Tensor | None:
    inside: Any = None
    for container in around:
        found = _label_parts(container, inside, count)
        if len(found) > 1:
            say(
                f"lightning_viz: {len(found)} parts of the batch could be labels, and none is taken. Say which: "
                "Probe(batch_fn=...) with a function from a batch to (images, labels or None)."
            )
            return None
        if found:
            if len(found[0]) != count:
                raise UnusualBatchError(f"{count} images but {len(found[0])} labels in {_described(batch)}.")
            return found[0]
        inside = container
    return None


def _label_parts(container: Any, inside: Any, count: int) -> list[Tensor]:
    """All that could be labels in a container, but for the part of it that was searched; names decide."""
    names = _named(container)
    found = [] if names is None else [_as_labels(names[key], count) for key in LABEL_KEYS if key in names]
    by_name = [labels for labels in found if labels is not None]
    if by_name:
        return by_name[:1]
    parts = [part for part in (container if names is None else names.values()) if part is not inside]
    deeper = [_label_parts(part, None, count) for part in parts if _named(part) is not None]
    in_dicts = [labels for several in deeper for labels in several if len(labels) == count]
    if in_dicts or not isinstance(container, (tuple, list)):
        return in_dicts
    positional: list[Tensor] = []
    for part in parts:
        labels = _as_labels(part, count)
        if labels is not None:
            positional.append(labels)
        elif isinstance(part, (tuple, list)) and _named(part) is None and not _are_targets(part):
            positional += _label_parts(part, None, count)
    return positional


def _are_targets(part: Any) -> bool:
    """A dict for each image, as detectors have: its labels are of the boxes in one image."""
    return all(isinstance(one, Mapping) for one in part)


def _as_labels(part: Any, count: int) -> Tensor | None:
    if isinstance(part, (tuple, list)) and len(part) == count and all(map(_is_number, part)):
        part = torch.tensor([one.item() if isinstance(one, Tensor) else one for one in part])
    if not isinstance(part, Tensor) or part.is_complex():
        return None
    part = _plain(part).detach()
    if part.ndim == 2 and part.shape[1] == 1:
        part = part[:, 0]
    if part.ndim == 1:
        is_class = not part.is_floating_point() or bool(((part == 0) | (part == 1)).all())
        return part.long().clamp(min=-1) if is_class else None
    return _largest_class(part.float()) if part.ndim == 2 and len(part) == count and part.shape[1] else None


def _is_number(one: Any) -> bool:
    return one.ndim == 0 and not one.is_complex() if isinstance(one, Tensor) else isinstance(one, Real)


def _largest_class(shares: Tensor) -> Tensor | None:
    total = shares.sum(1)
    hot = bool(((shares == 0) | (shares == 1)).all())
    soft = bool((shares >= 0).all() and ((total == 0) | ((total - 1).abs() <= ROUNDING)).all())
    return shares.argmax(1).masked_fill(total == 0, -1) if hot or soft else None


def _reason(batch: Batch) -> str:
    """What is known of a batch without images."""
    for part in _inside(batch, DEEPEST):
        if isinstance(part, Tensor) and part.ndim == 5 and part.is_floating_point():
            return "Volumes, clips, or batches for items, (N, C, D, H, W), are no images: choose one of each. "
        if _image_list(part):
            return "They are of several sizes: bring them to one, or choose some of one size. "
    return ""


def _inside(node: Any, levels: int) -> Iterator[Any]:
    yield node
    names = _named(node)
    parts = names.values() if names is not None else node if isinstance(node, (tuple, list)) else ()
    for part in parts if levels else ():
        yield from _inside(part, levels - 1)


def _described(batch: Batch, levels: int = DEEPEST) -> str:
    if isinstance(batch, Tensor):
        return f"a tensor {tuple(batch.shape)} {batch.dtype}"
    if not levels or not isinstance(batch, Mapping | tuple | list):
        return f"a {type(batch).__name__}"
    if isinstance(batch, Mapping):
        return "a dict with " + ", ".join(f"{key!r}: {_described(part, levels - 1)}" for key, part in batch.items())
    parts = [_described(part, levels - 1) for part in batch[:SHOWN]] + ["..."] * (len(batch) > SHOWN)
    return f"a {type(batch).__name__} of " + (", ".join(parts) or "nothing")
