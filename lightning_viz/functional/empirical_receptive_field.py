"""The receptive field of a layer, measured: for operations that can't be followed."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from lightning_viz.functional.aten.boxes import Box, Side
from lightning_viz.introspection.layers import capture
from lightning_viz.introspection.outputs import Grid, as_maps
from lightning_viz.introspection.tokens import watch_tokens

__all__ = ["measured_field", "refusal"]

CURE = "Choose another layer."

PLACES = 8
"""Between the corners, at most, where it is measured."""


def measured_field(model: nn.Module, layer: str, images: Tensor, who: str) -> Box:
    """Measure which pixels move the positions of a diagonal.

    Args:
        model: Inside ``isolated``.
        layer: Dotted name.
        images: ``(1, C, H, W)``.
        who: Begins an error message.

    Returns:
        Rows and columns; the whole image where the fields differ from place to place.

    Raises:
        ValueError: A layer that does not run, gives no maps, or does not depend on the images.
    """
    weights = {name: _positive(name, tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    leaf = images.double().requires_grad_()
    try:
        outputs, grids = _run_with(model, layer, weights, leaf)
    except RuntimeError:  # a forward that names its type
        leaf = images.clone().requires_grad_()
        outputs, grids = _run_with(model, layer, {name: weight.to(images) for name, weight in weights.items()}, leaf)
    if not outputs[layer]:
        raise ValueError(refusal(who, layer, "does not run when the model is called on images"))
    module = model.get_submodule(layer)
    maps = as_maps(outputs[layer][-1], images.shape[2:], None, who, module, CURE, grids)[0]
    if not maps.requires_grad:
        raise ValueError(refusal(who, layer, "does not depend on the images"))
    # Unequal weights: the units of a normalised map have a constant sum.
    maps = torch.einsum("khw,k->hw", maps, _noise(maps[:, 0, 0]))
    ends: dict[tuple[int, ...], list[int]] = {}
    # Along the diagonal one way back tells of a row and a column; the corners first.
    for share in sorted((number / PLACES for number in range(PLACES + 1)), key=lambda share: -abs(share - 0.5)):
        place = tuple(int(share * (count - 1)) for count in maps.shape)
        if place in ends:
            continue
        (gradient,) = torch.autograd.grad(maps[place], leaf, retain_graph=True, materialize_grads=True)
        ends[place] = _ends(gradient.abs().sum((0, 1)))
        if len(ends) == 2 and all(end == [0, images.shape[2], 0, images.shape[3]] for end in ends.values()):
            break
    return Box(*(_line(_reached(ends, axis), images.shape[2 + axis]) for axis in (0, 1)))


def _run_with(
    model: nn.Module, layer: str, weights: dict[str, Tensor], leaf: Tensor
) -> tuple[dict[str, list[Tensor]], dict[int, Grid]]:
    with _AveragePooling(), capture(model, layer) as outputs, watch_tokens(model) as seen:
        torch.func.functional_call(model, weights, (leaf.clone(),))
    return outputs, seen.grids


def _ends(seen: Tensor) -> list[int]:
    """First and last (half-open) row and column where anything is seen; nothing is 0 to 0."""
    found = []
    for axis in (0, 1):
        lines = seen.sum(1 - axis).nonzero()[:, 0].tolist()
        found += [lines[0], lines[-1] + 1] if lines else [0, 0]
    return found


def _reached(ends: Mapping[tuple[int, ...], list[int]], axis: int) -> list[tuple[int, int, int]]:
    return sorted({(place[axis], end[2 * axis], end[2 * axis + 1]) for place, end in ends.items() if end[1]})


def _line(reached: Sequence[tuple[int, int, int]], size: int) -> Side:
    """Put a line through what was not cut off at the borders; the whole image where there is none."""
    firsts = [(place, first) for place, first, _ in reached if first > 0]
    lasts = [(place, last) for place, _, last in reached if last < size]
    if len(firsts) < 2 or not lasts:
        return Side(0, 0, size)
    (one, first), (other, second) = firsts[0], firsts[-1]
    stride = (second - first) // (other - one)
    start = first - stride * one
    extent = lasts[0][1] - stride * lasts[0][0] - start
    fits = all(
        (max(0, start + stride * place), min(size, start + extent + stride * place)) == (first, last)
        for place, first, last in reached
    )
    return Side(stride, start, extent) if fits else Side(0, 0, size)


def _positive(name: str, tensor: Tensor) -> Tensor:
    """Weights of which no sum cancels out, and normalisations that change nothing."""
    if not tensor.is_floating_point():
        return tensor
    if tensor.ndim > 1:
        # Small, so that a bounded rectifier stays below its bound.
        return 0.1 * _noise(tensor.double()) / tensor[0].numel()
    is_one = not name.endswith(("bias", "running_mean"))
    return torch.full_like(tensor, float(is_one), dtype=torch.float64)


def _noise(like: Tensor) -> Tensor:
    noise = 0.5 + torch.rand(like.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise.to(like)


def refusal(who: str, layer: str, reason: str) -> str:
    """Say why a layer has no receptive field."""
    return f'{who}: layer "{layer}" {reason}. {CURE}'


class _AveragePooling(TorchFunctionMode):
    """A maximum lets only one of its pixels through; the average shows all that it could be."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (F.max_pool2d, torch.max_pool2d):
            names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
            given = dict(zip(names, args, strict=False)) | (kwargs or {})
            given = {name: value for name, value in given.items() if name in names}
            if given.get("dilation", 1) in (1, (1, 1), [1, 1]):
                stride, padding, ceil_mode = given.get("stride"), given.get("padding", 0), given.get("ceil_mode", False)
                return F.avg_pool2d(given["input"], given["kernel_size"], stride, padding, ceil_mode)
            return _dilated_average(given.pop("input"), **given)
        return func(*args, **(kwargs or {}))


def _dilated_average(
    maps: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    rows, columns = kernel_size if isinstance(kernel_size, Sequence) else (kernel_size, kernel_size)
    weight = maps.new_full((maps.shape[1], 1, rows, columns), 1 / (rows * columns))
    return F.conv2d(maps, weight, None, stride or kernel_size, padding, dilation, maps.shape[1])
