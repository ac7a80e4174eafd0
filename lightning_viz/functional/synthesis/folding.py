"""Let convolutions take over the batch normalisation behind them: fewer steps to go through, the same values."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lightning_viz.functional.synthesis.layout import Run

__all__ = ["folded_batch_norms"]

SAME = 1e-4
"""Of the largest value; a factor of rounding."""


@contextmanager
def folded_batch_norms(model: nn.Module, run: Run, like: Tensor, keep: str | None = None) -> Iterator[None]:
    """Fold each normalisation whose input is what one convolution gives, as long as the result stays the same.

    It does not where something else looks at what a convolution gives; then nothing is folded.

    Args:
        model: On loan. Attributes of its modules are changed, no weight; and put back, since others may look at it
            in the same loan.
        run: Runs it on images.
        like: Images ``(N, C, H, W)`` to try it on.
        keep: A layer whose own output is looked at.
    """
    kept = None if keep is None else model.get_submodule(keep)
    with torch.no_grad():
        with _watched(model) as found:
            before = run(like)
        runs = Counter(module for pair in found for module in pair)
        pairs = [pair for pair in found if runs[pair[0]] == runs[pair[1]] == 1 and pair[0] is not kept]
        for convolution, norm in pairs:
            vars(convolution)["forward"] = partial(_forward, convolution, *_folded(convolution, norm))
            vars(norm)["forward"] = _pass_on
    try:
        if pairs and not _same(run, like, before):
            _undo(pairs)
        yield
    finally:
        _undo(pairs)


def _undo(pairs: list["Pair"]) -> None:
    for module in (module for pair in pairs for module in pair):
        vars(module).pop("forward", None)


Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[Pair]]:
    """Note while it runs which normalisations get just what a convolution gave."""
    found: list[Pair] = []
    given: list[tuple[Tensor, nn.Conv2d]] = []

    def note(module: nn.Conv2d, inputs: Any, output: Tensor) -> None:
        given.append((output, module))

    def match(module: nn.BatchNorm2d, inputs: tuple[Any, ...]) -> None:
        found.extend((convolution, module) for output, convolution in given if inputs and inputs[0] is output)

    handles = []
    for module in model.modules():
        if (
            type(module) is nn.Conv2d
            and "forward" not in vars(module)
            and module.padding_mode == "zeros"
            and not module._forward_pre_hooks
        ):
            handles.append(module.register_forward_hook(note))
        elif type(module) is nn.BatchNorm2d and module.running_var is not None:
            handles.append(module.register_forward_pre_hook(match))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale: Tensor = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    bias = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    shift = bias * scale if norm.bias is None else bias * scale + norm.bias
    return convolution.weight * scale[:, None, None, None], shift


def _forward(convolution: nn.Conv2d, weight: Tensor, bias: Tensor, images: Tensor) -> Tensor:
    output: Tensor = convolution._conv_forward(images, weight, bias)
    return output


def _pass_on(images: Tensor) -> Tensor:
    return images


@torch.no_grad()
def _same(run: Run, like: Tensor, before: Tensor) -> bool:
    try:
        after = run(like)
    except Exception:  # noqa: BLE001 (somebody else's forward may raise anything)
        return False
    largest = float(before.abs().nan_to_num(0, 0, 0).max())
    return torch.allclose(after, before, rtol=SAME, atol=SAME * largest, equal_nan=True)
