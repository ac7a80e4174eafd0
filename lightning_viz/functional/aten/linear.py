"""Linear layers: how they are found in a trace, and the fastest way to do them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from lightning_viz.introspection.trace import Step, Value

__all__ = ["FastLinears", "Linear", "fast_linear", "linear_of"]


class Linear(NamedTuple):
    """``rows @ weight.T + bias``."""

    rows: Value
    weight: Tensor
    """``(out, in)``"""
    bias: Tensor | None


def linear_of(step: Step) -> Linear | None:
    """Read a product of a value with filters of the model's own; None if it is anything else."""
    given = step.arguments
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

_PLAIN = (Tensor, torch.nn.Parameter)


def fast_linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Do a linear layer; on a CPU, without gradients, by oneDNN where PyTorch has it, as convolutions are done.

    PyTorch itself asks MKL, which does not use the widest instructions of every processor.
    """
    numbers = [rows, weight] if bias is None else [rows, weight, bias]
    able = all(type(one) in _PLAIN and one.dtype == torch.float32 and one.device.type == "cpu" for one in numbers)
    able = able and all(one.is_contiguous() for one in numbers[1:])  # it reads on, whatever the strides
    able = able and rows.ndim > 1 and not torch.is_grad_enabled()
    if able and weight.numel() >= _LARGE and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        done: Tensor = torch.ops.mkldnn._linear_pointwise(rows.contiguous(), weight, bias, "none", [], "")
        return done
    return linear(rows, weight, bias)


class FastLinears(TorchFunctionMode):
    """While it is on, the linear layers that a model calls are done by ``fast_linear``; not those inside attention."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Exchange the one function."""
        return (fast_linear if func is linear else func)(*args, **(kwargs or {}))
