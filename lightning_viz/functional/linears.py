"""Linear layers as they are found in a trace, and the fastest way to do one again."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_viz.trace import Step, Value

__all__ = ["Linear", "linear_again", "linear_of"]


class Linear(NamedTuple):
    """``rows @ weight.T + bias``."""

    rows: Value
    weight: Tensor
    """``(out, in)``"""
    bias: Tensor | None


def linear_of(step: Step) -> Linear | None:
    """Read a product of a value with filters of the model's own; None if it is anything else."""
    given: dict[str, Any] = dict(step.arguments)
    if step.operation not in ("mm", "addmm"):
        return None
    rows, bias = (given["mat1"], given["self"]) if step.operation == "addmm" else (given["self"], None)
    plain = given.get("beta", 1) == 1 and given.get("alpha", 1) == 1
    if not (plain and isinstance(rows, Value) and isinstance(given["mat2"], Tensor)):
        return None
    weight = given["mat2"].t()
    if bias is not None and not (isinstance(bias, Tensor) and bias.shape == weight.shape[:1]):
        return None
    return Linear(rows, weight, bias)


_LARGE = 2**16
"""Weights from which on that pays."""


def linear_again(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Do a linear layer; on a CPU by oneDNN where PyTorch has it, as convolutions are done.

    PyTorch itself asks MKL, which does not use the widest instructions of every processor.
    """
    able = rows.dtype == torch.float32 and rows.device.type == "cpu" and weight.is_contiguous()
    able = able and (bias is None or bias.is_contiguous())  # it reads on, whatever the strides
    if able and weight.numel() >= _LARGE and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        done: Tensor = torch.ops.mkldnn._linear_pointwise(rows.contiguous(), weight, bias, "none", [], "")
        return done
    return torch.nn.functional.linear(rows, weight, bias)
