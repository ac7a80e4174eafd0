"""What hangs on the modules of a model and on their tensors, hooks above all; put back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

from lightning_viz.introspection.restoring import restore_dict

__all__ = ["module_structure", "tensor_hooks"]


@contextmanager
def module_structure(model: nn.Module) -> Iterator[None]:
    """Put back what hangs on each module: hooks (also global ones), parameters, buffers and submodules by name.

    With its other attributes, and its class.
    """
    registries = _registries(vars(torch_module))
    before = [(module, type(module), dict(vars(module))) for module in model.modules()]
    for _, _, attributes in before:
        registries += _registries(attributes)
    try:
        yield
    finally:
        for module, kind, attributes in before:
            if type(module) is not kind:
                module.__class__ = kind  # a parametrization makes a class of its own
            restore_dict(vars(module), attributes)
        for registry, content in registries:
            restore_dict(registry, content)


def _registries(attributes: dict[str, Any]) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    return [
        (value, dict(value))
        for name, value in attributes.items()
        if isinstance(value, dict) and (name in ("_parameters", "_buffers", "_modules") or "_hooks" in name)
    ]


@contextmanager
def tensor_hooks(model: nn.Module) -> Iterator[None]:
    """Put back the hooks of each parameter and buffer."""
    before = [
        (tensor, name, hooks, dict(hooks or {}))
        for tensor in chain(model.parameters(), model.buffers())
        for name in ("_backward_hooks", "_post_accumulate_grad_hooks")
        for hooks in [getattr(tensor, name)]
    ]
    try:
        yield
    finally:
        for tensor, name, hooks, content in before:
            now = getattr(tensor, name)
            if now is not None:
                restore_dict(now, content)  # also where the dict is new: autograd holds on to it
            if now is not hooks:
                setattr(tensor, name, hooks)
