"""Borrow a model and give it back exactly as it was: the only door to a model."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

__all__ = ["isolated"]


@contextmanager
def isolated(model: nn.Module) -> Iterator[nn.Module]:
    """Lend a model for looking at, and give it back exactly as it was, whatever happens inside.

    Inside: every submodule is in eval mode, each ``.grad`` is None, gradients can be computed (also when the caller is
    under ``no_grad`` or inference mode), autocast is off, and compiled code runs eagerly, so that hooks fire.

    On the way out, also after an exception, these are as before: the train/eval flag of each submodule,
    ``requires_grad``, the same ``.grad`` objects, buffers, hooks (of modules, parameters and global ones), registered
    parameters and submodules, the random streams of torch (CPU and devices), NumPy and Python, the cuDNN and
    determinism flags, grad and inference mode.

    Weights are lent for reading. They are not copied, so a change in place can't be undone: it is reported by a
    RuntimeError on the way out. For a changed model use ``torch.func.functional_call`` with cloned weights.

    Args:
        model: Any module whose whole weights are in this process.

    Yields:
        The same model.

    Raises:
        RuntimeError: Weights that are sharded over processes, made in inference mode, or changed inside.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()
        >>> with isolated(model) as borrowed:
        ...     noise = torch.randn(1, 3, 12, 20)
        ...     scores = borrowed(noise)
        >>> model.training
        True
    """
    _refuse_what_cannot_be_lent(model)
    with ExitStack() as borrowed:
        for borrow in _BORROWS:
            borrowed.enter_context(borrow(model))
        yield model


def _refuse_what_cannot_be_lent(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if type(parameter).__name__ in ("DTensor", "FlatParameter") or hasattr(parameter, "ds_id"):
            raise RuntimeError(
                f'isolated: the weights of "{name}" are sharded over processes (FSDP, DeepSpeed, tensor parallel), so '
                "that one process can't run the model alone. Gather them first on all ranks, e.g. with "
                "FSDP.summon_full_params or deepspeed.zero.GatheredParameters."
            )
        if parameter.is_inference():
            raise RuntimeError(
                f'isolated: the weights of "{name}" were created in inference mode and have no gradients. '
                "Create the model outside torch.inference_mode()."
            )


@contextmanager
def _random_streams(model: nn.Module) -> Iterator[None]:
    streams: list[tuple[Any, Callable[[Any], object]]] = [
        (random.getstate(), random.setstate),
        (np.random.get_state(), np.random.set_state),
        (torch.get_rng_state(), torch.set_rng_state),
    ]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        # All of them: torch.manual_seed on the CPU reaches every GPU.
        streams += [(generator.get_state(), generator.set_state) for generator in torch.cuda.default_generators]
    if any(parameter.device.type == "mps" for parameter in model.parameters()):
        streams.append((torch.mps.get_rng_state(), torch.mps.set_rng_state))
    try:
        yield
    finally:
        for state, restore in streams:
            restore(state)


@contextmanager
def _flags(_: nn.Module) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # The search for the fastest kernel would be repeated for our shapes and is not reproducible.
    cudnn.benchmark = False
    try:
        yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before
        now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        if now != (deterministic, warn_only):
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def _registries(model: nn.Module) -> Iterator[None]:
    """Hooks, and which parameter, buffer and submodule stands under which name."""
    before = [
        (owner, name, registry, dict(registry))
        for owner in [vars(torch_module), *(vars(module) for module in model.modules())]
        for name, registry in owner.items()
        if isinstance(registry, dict) and (name in ("_parameters", "_buffers", "_modules") or "_hooks" in name)
    ]
    tensor_hooks = [(parameter, hooks, dict(hooks or {})) for parameter, hooks in _tensor_hooks(model)]
    try:
        yield
    finally:
        for owner, name, registry, content in before:
            owner[name] = registry
            _refill(registry, content)
        for parameter, hooks, content in tensor_hooks:
            if parameter._backward_hooks is not hooks:
                parameter._backward_hooks = hooks
            if hooks is not None:
                _refill(hooks, content)


def _tensor_hooks(model: nn.Module) -> Iterator[tuple[Tensor, dict[Any, Any] | None]]:
    for parameter in model.parameters():
        yield parameter, parameter._backward_hooks


def _refill(registry: dict[Any, Any], content: dict[Any, Any]) -> None:
    if list(registry) != list(content) or any(registry[key] is not value for key, value in content.items()):
        registry.clear()
        registry.update(content)


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    buffers = [buffer for buffer in model.buffers() if not nn.parameter.is_lazy(buffer)]
    copies = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, copy in zip(buffers, copies, strict=True):
                if not torch.equal(buffer, copy):
                    buffer.resize_(copy.shape).copy_(copy)


@contextmanager
def _parameters(model: nn.Module) -> Iterator[None]:
    before = [(name, p, p.requires_grad, p.grad, p._version) for name, p in model.named_parameters()]
    try:
        for _, parameter, *_ in before:
            parameter.grad = None
        yield
    finally:
        for _, parameter, requires_grad, grad, _ in before:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        changed = [name for name, parameter, _, _, version in before if parameter._version != version]
        if changed:
            raise RuntimeError(
                f"isolated: the weights of {', '.join(changed)} were changed in place and can't be restored. "
                "Change a copy: torch.func.functional_call(model, cloned_weights, images)."
            )


@contextmanager
def _modes(model: nn.Module) -> Iterator[None]:
    # The plain attribute: a user's own .train() and .eval() may do more than flip it.
    before = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in before:
            module.training = False
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def _gradients_possible(model: nn.Module) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for device in {tensor.device.type for tensor in _tensors(model)} - {"meta"}:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


@contextmanager
def _eager(_: nn.Module) -> Iterator[None]:
    # Without dynamo loaded nothing is compiled, and loading it takes a second.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


_BORROWS: tuple[Callable[[nn.Module], AbstractContextManager[Any]], ...] = (
    _random_streams,
    _flags,
    _registries,
    _buffers,
    _parameters,
    _modes,
    _gradients_possible,
    _eager,
)
