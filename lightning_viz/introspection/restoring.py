"""How each kind of object is put back as it was, with its identity."""

import functools
import random
import types
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "KEEPERS",
    "Restore",
    "is_full",
    "keep_dict",
    "restore_cell",
    "restore_dict",
    "restore_slots",
    "restore_storage",
    "restore_tensor",
]

Restore = Callable[[], object]


def is_full(cell: types.CellType) -> bool:
    """Whether a closure's variable has been given something."""
    try:
        cell.cell_contents  # noqa: B018 (asking is the only way)
    except ValueError:
        return False
    return True


def restore_slots(value: object, attributes: dict[str, Any]) -> None:
    """Give an object the attributes that it had in its slots."""
    for name, one in attributes.items():
        if getattr(value, name, None) is not one:
            object.__setattr__(value, name, one)


def restore_cell(cell: types.CellType, content: object) -> None:
    """Give a closure's variable what it was."""
    if not is_full(cell) or cell.cell_contents is not content:
        cell.cell_contents = content


def restore_dict(value: dict[Any, Any], content: dict[Any, Any]) -> None:
    """Give a dict what it held, in its order."""
    if list(value) != list(content) or any(value[key] is not one for key, one in content.items()):
        value.clear()
        value.update(content)


def keep_dict(value: dict[Any, Any]) -> Restore:
    """Note down what a dict holds, in its order."""
    return functools.partial(restore_dict, value, dict(value))


def _keep_sequence(value: Any) -> Restore:
    content = list(value)

    def restore() -> None:
        if len(value) != len(content) or any(now is not one for now, one in zip(value, content, strict=True)):
            value.clear()
            value.extend(content)

    return restore


def _keep_set(value: set[Any]) -> Restore:
    content = set(value)

    def restore() -> None:
        if value != content:
            value.clear()
            value.update(content)

    return restore


def _keep_bytes(value: Any) -> Restore:
    content = value[:]

    def restore() -> None:
        if value != content:
            value[:] = content

    return restore


def _keep_array(value: np.ndarray[Any, Any]) -> Restore:
    content = value.copy()
    return lambda: np.copyto(value, content)


def _keep_tensor(value: Tensor) -> Restore:
    data, copy = value.data, value.detach().clone()
    return lambda: restore_tensor(value, data, copy)


def restore_tensor(tensor: Tensor, data: Tensor, copy: Tensor) -> None:
    """Put a tensor back.

    Args:
        tensor: It keeps its identity.
        data: Its ``.data`` when it was lent.
        copy: Its numbers when it was lent.
    """
    restore_storage(tensor, data)
    # Only what was changed: a copy in place would spoil a graph that is waiting for its backward pass.
    if not _same_bits(tensor, copy):
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            tensor.detach().copy_(copy)


def restore_storage(tensor: Tensor, data: Tensor) -> None:
    """Undo ``tensor.data = ...``, which ``module.half()`` and ``module.to()`` do too."""
    same = (tensor.data_ptr(), tensor.dtype, tensor.shape) == (data.data_ptr(), data.dtype, data.shape)
    if not same or tensor.device != data.device:
        tensor.data = data


def _same_bits(one: Tensor, other: Tensor) -> bool:
    one, other = one.detach(), other.detach()
    return torch.equal(one, other) or torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)))


def _keep_stream(get: str, put: str) -> Callable[[Any], Restore]:
    return lambda value: functools.partial(getattr(value, put), getattr(value, get)())


def _keep_bit_generator(value: np.random.Generator | np.random.BitGenerator) -> Restore:
    bits = value.bit_generator if isinstance(value, np.random.Generator) else value
    state = bits.state
    return lambda: setattr(bits, "state", state)


KEEPERS: tuple[tuple[Any, Callable[[Any], Restore]], ...] = (
    (Tensor, _keep_tensor),
    (np.ndarray, _keep_array),
    (dict, keep_dict),
    ((list, deque), _keep_sequence),
    (set, _keep_set),
    ((bytearray, array), _keep_bytes),
    (torch.Generator, _keep_stream("get_state", "set_state")),
    (np.random.RandomState, _keep_stream("get_state", "set_state")),
    ((np.random.Generator, np.random.BitGenerator), _keep_bit_generator),
    (random.Random, _keep_stream("getstate", "setstate")),
)
