"""Borrow a model and give it back exactly as it was: the only door to a model."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_viz.introspection.interrupts import Interrupts
from lightning_viz.introspection.restoring import restore_storage, restore_tensor
from lightning_viz.introspection.sharding import refuse_sharded
from lightning_viz.introspection.state import python_state
from lightning_viz.introspection.structure import module_structure, tensor_hooks

__all__ = ["isolated", "random_streams"]


def isolated(model: nn.Module) -> AbstractContextManager[nn.Module]:
    """Lend a model for looking at, and give it back exactly as it was, whatever happens inside.

    Inside: every submodule is in eval mode, each ``.grad`` is None, gradients can be computed (also when the caller is
    under ``no_grad`` or inference mode), autocast is off, ``self.log`` of a LightningModule does nothing, and compiled
    code runs eagerly, so that hooks fire.

    On the way out, also after an exception, these are as before: the train/eval flag of each submodule,
    ``requires_grad``, the same ``.grad`` objects, buffers, hooks (of modules, parameters and global ones), registered
    parameters and submodules, other attributes and the class of each module, with all that is reachable from these
    (see ``python_state``), the random streams of torch (CPU and
    devices), NumPy and Python, the cuDNN and determinism flags, grad and inference mode.

    Weights are lent for reading. They are not copied, so a change in place can't be undone: it is reported by a
    RuntimeError on the way out (written through ``.data`` it can't even be seen). For a changed model use
    ``torch.func.functional_call`` with cloned weights.

    Inside a loan of the same model another one costs little: it sets modes and gradients anew, and leaves it to the
    outer one to give everything back.

    Args:
        model: Any module whose whole weights are in this process.

    Yields:
        The same model.

    Raises:
        RuntimeError: Weights that are sharded over processes, without values yet, made in inference mode, or changed
            inside.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()
        >>> with isolated(model) as borrowed:
        ...     noise = torch.randn(1, 3, 12, 20)
        ...     scores = borrowed(noise)
        >>> model.training
        True
    """
    return _Loan(model)


class _Loan(AbstractContextManager[nn.Module]):
    """Ctrl-C waits while things are borrowed or given back.

    A class, since between a generator's ``yield`` and the body of ``with`` an interrupt would leave the generator
    behind; between a class's ``__enter__`` and the body there is no such moment.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._borrowed = ExitStack()
        self._interrupts = Interrupts(_Loan.__enter__, _Loan.__exit__)

    def __enter__(self) -> nn.Module:
        model = self._model
        self._interrupts.hold()
        try:
            with ExitStack() as borrowed:
                if id(model) in _lent:
                    borrows = _NESTED_BORROWS
                else:
                    _refuse_what_cannot_be_lent(model)
                    _lent.add(id(model))
                    borrowed.callback(_lent.discard, id(model))
                    borrows = _BORROWS
                for borrow in borrows:
                    borrowed.enter_context(borrow(model))
                self._interrupts.raise_waiting()
                self._borrowed = borrowed.pop_all()
        except BaseException:
            self._interrupts.let_go()
            raise
        return model

    def __exit__(self, *error: Any) -> bool | None:
        try:
            return self._borrowed.__exit__(*error)
        finally:
            self._interrupts.let_go()
            self._interrupts.raise_waiting()


def _refuse_what_cannot_be_lent(model: nn.Module) -> None:
    refuse_sharded(model)
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise RuntimeError(f'isolated: "{name}" has no values yet. Run the model once before training.')
        if parameter.device.type == "meta":
            raise RuntimeError(
                f'isolated: the weights of "{name}" have no values: they are on the meta device (offloaded, or not '
                "loaded yet). Load them first, e.g. with load_state_dict(..., assign=True)."
            )
        if parameter.is_inference():
            raise RuntimeError(
                f'isolated: the weights of "{name}" were created in inference mode and have no gradients. '
                "Create the model outside torch.inference_mode()."
            )


@contextmanager
def random_streams() -> Iterator[None]:
    """Leave the random streams of torch, NumPy and Python where they were, whatever is drawn inside."""
    streams: list[tuple[Any, Callable[[Any], object]]] = [
        (random.getstate(), random.setstate),
        (np.random.get_state(), np.random.set_state),
        (torch.get_rng_state(), torch.set_rng_state),
    ]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        # All of them: torch.manual_seed on the CPU reaches every GPU.
        streams += [(generator.get_state(), generator.set_state) for generator in torch.cuda.default_generators]
    if torch.backends.mps.is_available():
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
    if deterministic:
        # Some operations have no deterministic way back on a GPU. That must not end a drawing; it warns.
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before
        now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        if now != (deterministic, warn_only):
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    # Others (sparse, meta, lazy) keep their place, but no copy can be compared with them.
    buffers = [buffer for buffer in model.buffers() if buffer.layout == torch.strided and buffer.device.type != "meta"]
    before = [(buffer, buffer.data, buffer.detach().clone()) for buffer in buffers if not nn.parameter.is_lazy(buffer)]
    try:
        yield
    finally:
        with ExitStack() as stack:
            for buffer, data, copy in before:
                stack.callback(restore_tensor, buffer, data, copy)


@contextmanager
def _parameters(model: nn.Module) -> Iterator[None]:
    before = [(name, p, p.data, p.requires_grad, p.grad, p._version) for name, p in model.named_parameters()]
    try:
        for _, parameter, *_ in before:
            parameter.grad = None
        yield
    finally:
        for _, parameter, data, requires_grad, grad, _ in before:
            restore_storage(parameter, data)
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        changed = [name for name, parameter, *_, version in before if parameter._version != version]
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
def _silent(model: nn.Module) -> Iterator[None]:
    """Keep what ``forward`` logs out of the run's numbers; Lightning would even refuse it in some hooks."""
    # ``module_structure`` takes these away again.
    for module in model.modules():
        for name in ("log", "log_dict"):
            if callable(getattr(type(module), name, None)) and hasattr(module, "_current_fx_name"):
                vars(module)[name] = _say_nothing
    yield


def _say_nothing(*_: object, **__: object) -> None:
    """Stands in for ``self.log``."""


@contextmanager
def _gradients_possible(model: nn.Module) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for device in {tensor.device.type for tensor in chain(model.parameters(), model.buffers())} - {"meta"}:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def _eager(_: nn.Module) -> Iterator[None]:
    # Without dynamo loaded nothing is compiled, and loading it takes a second.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


_Borrow = Callable[[nn.Module], AbstractContextManager[Any]]

_BORROWS: tuple[_Borrow, ...] = (
    lambda _: random_streams(),
    _flags,
    module_structure,
    python_state,
    tensor_hooks,
    _buffers,
    _parameters,
    _modes,
    _silent,
    _gradients_possible,
    _eager,
)

_NESTED_BORROWS: tuple[_Borrow, ...] = (_modes, _gradients_possible)

_lent: set[int] = set()
