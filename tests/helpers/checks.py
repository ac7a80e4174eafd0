"""What must hold of maps, and of models that were borrowed."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def assert_same_map(ours: Tensor, theirs: Tensor) -> None:
    theirs = theirs.detach()
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    assert theirs.abs().max() > 0
    assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """The model is afterwards what it was before, and so are the random streams and torch's modes."""
    before = snapshot(model)
    yield
    assert snapshot(model) == before


def snapshot(model: nn.Module) -> dict[str, Any]:
    """What a borrowed model must have again: comparable with ``==``."""
    hooks = [len(value) for module in model.modules() for key, value in vars(module).items() if key.endswith("_hooks")]
    return {
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [id(parameter.grad) if parameter.grad is not None else None for parameter in model.parameters()],
        "grad values": _digest([parameter.grad for parameter in model.parameters()]),
        "weights": _digest(list(model.parameters())),
        "buffers": _digest(list(model.buffers())),
        "buffer objects": [id(buffer) for buffer in model.buffers()],
        "hooks": hooks,
        "parameter hooks": [len(parameter._backward_hooks or ()) for parameter in model.parameters()],
        "streams": _digest([torch.get_rng_state(), np.random.get_state(), random.getstate()]),
        "cudnn": [getattr(torch.backends.cudnn, flag) for flag in ("enabled", "benchmark", "deterministic")],
        "deterministic": [
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ],
        "lists": _digest(
            [value for module in model.modules() for value in vars(module).values() if isinstance(value, list)]
        ),
        "function modes": [torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()],
        "grad mode": [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")],
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(b"".join(bytes_of(value))).hexdigest()


def bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield value.tobytes()
    elif isinstance(value, dict):
        for key, part in value.items():
            yield str(key).encode()
            yield from bytes_of(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from bytes_of(part)
    else:
        yield repr(value).encode()
