"""What ``forward`` leaves behind in Python objects: lists, counters, memory banks, generators; put back as it was."""

import argparse
import functools
import logging
import sys
import types
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from lightning_viz.introspection.restoring import KEEPERS, Restore, is_full, keep_dict, restore_cell, restore_slots

__all__ = ["python_state"]

log = logging.getLogger("lightning_viz")

LARGEST = 256 * 2**20
"""Bytes of tensors and arrays that are copied for the time of a loan."""

_ATOMS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, range, slice, torch.Size, torch.dtype, torch.device}
)
"""Nothing in them can change."""

_NOT_OURS = (Dataset, DataLoader, Sampler, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, Enum)
"""They belong to the Trainer or to the loader's workers, which no drawing touches."""

_FOREIGN = frozenset({"lightning", "lightning_fabric", "pytorch_lightning", "torch", "wandb", "mlflow", "tensorboard"})
"""Packages whose objects are left alone: Trainer, loggers, process groups, ..."""

_PLAIN = (types.SimpleNamespace, argparse.Namespace)
"""Of the standard library only these are walked: locks, threads and loggers have a life of their own."""

_said: set[tuple[str, str]] = set()


@contextmanager
def python_state(model: nn.Module) -> Iterator[None]:
    """Put back, with its identity, whatever is reachable from the attributes of a model's modules.

    Lists, dicts, sets, deques, arrays, tensors that are not registered, generators of random numbers, plain objects,
    closures, attributes of the modules' classes. It stops at Trainer, loggers, data sets, loaders and optimizers.
    What can't be put back (an iterator) is said once.

    Raises:
        RuntimeError: Tensors and arrays of more than 256 MB; the message names the largest.
    """
    walk = _Walk(model)
    try:
        yield
    finally:
        with ExitStack() as stack:
            for restore in walk.restores:
                stack.callback(restore)


class _Walk:
    """Visits each object once, and writes down how it is put back."""

    def __init__(self, model: nn.Module) -> None:
        self.restores: list[Restore] = []
        self._seen: set[int] = set()
        self._alive: list[object] = []  # an id is only unique among what lives
        self._bytes = 0
        self._largest = (0, "")
        self._owner = type(model).__name__
        modules = dict(model.named_modules())
        registered = [*model.parameters(), *model.buffers(), *modules.values()]
        self._seen.update(map(id, registered))
        waiting = [(name, value) for path, module in modules.items() for name, value in _attributes(path, module)]
        waiting += [(path, type(module)) for path, module in modules.items()]
        while waiting:
            path, value = waiting.pop()
            if type(value) not in _ATOMS and id(value) not in self._seen:
                self._seen.add(id(value))
                self._alive.append(value)
                waiting += self._visit(path, value)

    def _visit(self, path: str, value: Any) -> list[tuple[str, Any]]:
        """Write down how to put one object back; give what lies in it."""
        if _is_left_alone(value):
            return []
        keep = next((keep for kind, keep in KEEPERS if isinstance(value, kind)), None)
        if keep is not None:
            self._count(path, value)
            self.restores.append(keep(value))
            return _inside(path, value)
        if isinstance(value, type):
            return self._class(path, value)
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial, tuple, frozenset)):
            return self._function(path, value)
        if _is_walked(value):
            return self._object(path, value)
        if isinstance(value, Iterator):
            self._say(path, value)
        return []

    def _count(self, path: str, value: Any) -> None:
        """Refuse before anything large is copied."""
        if not isinstance(value, (Tensor, np.ndarray)):
            return
        self._bytes += value.nbytes
        self._largest = max(self._largest, (value.nbytes, path))
        if self._bytes > LARGEST:
            size, path = self._largest
            raise RuntimeError(
                f"isolated: {self._owner} holds tensors that are no weights or buffers, and forward may change them; "
                f'"{path}" alone has {size >> 20} MB, and no more than {LARGEST >> 20} MB are copied for each drawing. '
                "Register it: register_buffer(..., persistent=False)."
            )

    def _object(self, path: str, value: Any) -> list[tuple[str, Any]]:
        attributes = _slots(value)
        if attributes:
            self.restores.append(functools.partial(restore_slots, value, attributes))
        if hasattr(value, "__dict__"):
            content = vars(value)
            self.restores.append(keep_dict(content))
            attributes |= content
        return [(f"{path}.{name}", one) for name, one in attributes.items()]

    def _class(self, path: str, kind: type) -> list[tuple[str, Any]]:
        """Counters that stand on the class."""
        found = []
        for one in kind.__mro__:
            if _is_foreign(one) or id(one) in self._seen - {id(kind)}:
                continue
            self._seen.add(id(one))
            content = {name: value for name, value in vars(one).items() if _is_data(name, value)}
            self.restores.append(functools.partial(_restore_class, one, content))
            found += [(f"{path}.{name}".lstrip("."), value) for name, value in content.items()]
        return found

    def _function(self, path: str, value: Any) -> list[tuple[str, Any]]:
        if isinstance(value, types.MethodType):
            return [(path, value.__self__), (path, value.__func__)]
        if isinstance(value, functools.partial):
            return [(path, value.func), (path, value.args), (path, value.keywords)]
        if isinstance(value, (tuple, frozenset)):
            return _inside(path, value)
        cells = [cell for cell in value.__closure__ or () if is_full(cell)] if not _is_foreign(value) else []
        self.restores += [functools.partial(restore_cell, cell, cell.cell_contents) for cell in cells]
        return [(path, cell.cell_contents) for cell in cells]

    def _say(self, path: str, value: object) -> None:
        if (self._owner, path) not in _said:
            _said.add((self._owner, path))
            log.warning(
                'isolated: "%s" of %s is a %s. If forward moves it on, that can\'t be put back after a drawing.',
                path, self._owner, type(value).__name__,
            )  # fmt: skip


def _attributes(path: str, module: nn.Module) -> list[tuple[str, Any]]:
    """A module's own attributes; what it has registered is lent otherwise."""
    skipped = ("_parameters", "_buffers", "_modules")
    return [
        (f"{path}.{name}".lstrip("."), value)
        for name, value in vars(module).items()
        if name not in skipped and "_hooks" not in name
    ]


def _inside(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{path}[{key!r}]", one) for key, one in value.items() if type(one) not in _ATOMS]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [(f"{path}[{place}]", one) for place, one in enumerate(value) if type(one) not in _ATOMS]
    return []


def _is_foreign(value: Any) -> bool:
    package = (getattr(value, "__module__", None) or "").split(".")[0]
    return package in _FOREIGN or package in sys.stdlib_module_names


def _is_walked(value: object) -> bool:
    if isinstance(value, (*_PLAIN, nn.Module)):
        return True
    return not isinstance(value, (*_NOT_OURS, types.ModuleType)) and not _is_foreign(type(value))


def _is_data(name: str, value: object) -> bool:
    """Whether an attribute of a class is data; functions and descriptors are not."""
    return not (name.startswith("__") or callable(value) or hasattr(value, "__get__"))


def _slots(value: object) -> dict[str, Any]:
    names = [name for kind in type(value).__mro__ for name in _as_names(vars(kind).get("__slots__", ()))]
    return {
        name: getattr(value, name) for name in names if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    }


def _as_names(slots: Any) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _is_left_alone(value: object) -> bool:
    """Weights are lent for reading; of some others there is no copy, or it would be of no use."""
    if isinstance(value, Tensor):
        return isinstance(value, nn.Parameter) or value.layout != torch.strided or value.device.type == "meta"
    return isinstance(value, np.ndarray) and (isinstance(value, np.memmap) or not value.flags.writeable)


def _restore_class(kind: type, content: dict[str, Any]) -> None:
    for name, value in content.items():
        if vars(kind).get(name) is not value:
            setattr(kind, name, value)
    for name in [name for name, value in vars(kind).items() if _is_data(name, value) and name not in content]:
        delattr(kind, name)
