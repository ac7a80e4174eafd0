"""How a model's own step was seen to call the network on the images of its batch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from torch import Tensor, nn

__all__ = ["SeenCall", "StepWatch"]


class _Mark(Enum):
    """Stands where the images were, or what the call before gave."""

    GIVEN = "given"


MARK = _Mark.GIVEN


class _OtherTensorError(Exception):
    """More went in than the images, and can't be left out."""


@dataclass(frozen=True)
class SeenCall:
    """Modules that a step called, each on what the one before gave; a function of (model, images)."""

    calls: tuple[tuple[str, Any, Any], ...]
    """Dotted name (empty for the model itself), arguments and keywords, with a mark for what was given on."""

    def __call__(self, model: nn.Module, images: Tensor) -> Any:
        """Call them on other images."""
        given: Any = images
        for name, arguments, keywords in self.calls:
            given = model.get_submodule(name)(*_filled(arguments, given), **_filled(keywords, given))
        return given


@dataclass
class _Chain:
    """Calls that begin with the images."""

    calls: list[tuple[str, Any, Any]]
    awaited: Any


class StepWatch:
    """Notes which modules a step calls itself, and on what. Changes nothing."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        """Watch until ``end``.

        Args:
            model: Its step is about to run.
            images: The very tensor that the step will get in its batch.
        """
        self._model, self._images = model, images
        self._chains: list[_Chain] = []
        self._open: list[_Chain] = []
        self._running: list[bool] = []  # of each module that runs now, whether the step called it
        self._handles: list[Any] = []
        for name, module in model.named_modules():
            if not hasattr(module, "original_name"):  # scripted modules take no hooks
                self._handles.append(module.register_forward_pre_hook(partial(self._enter, name), with_kwargs=True))
                self._handles.append(module.register_forward_hook(self._leave, always_call=True))

    def end(self) -> SeenCall | None:
        """Stop. Give what the step does with the images, where it is one thing and needs nothing but images."""
        for handle in self._handles:
            handle.remove()
        return SeenCall(tuple(self._chains[0].calls)) if len(self._chains) == 1 else None

    def _enter(self, name: str, module: nn.Module, arguments: Any, keywords: Any) -> None:
        is_called_by_step = not any(self._running) and not self._is_step(module)
        self._running.append(is_called_by_step or any(self._running))
        if not is_called_by_step:
            return
        starts = _Chain([], self._images)
        for chain in [*self._chains, starts]:
            try:
                templates = _template(arguments, chain.awaited), _template(keywords, chain.awaited)
            except _OtherTensorError:
                continue
            if MARK in _leaves(templates):
                chain.calls.append((name, *templates))
                self._open.append(chain)
                self._chains += [chain] if chain is starts else []
                return

    def _leave(self, module: nn.Module, arguments: Any, output: Any) -> None:
        self._running.pop()
        if not any(self._running) and self._open:
            self._open.pop().awaited = output

    def _is_step(self, module: nn.Module) -> bool:
        """Whether a strategy calls the step itself, through a ``forward`` that it put in place."""
        forward = vars(module).get("forward")
        return module is self._model and forward is not None and getattr(forward, "__self__", None) is not module


def _template(given: Any, awaited: Any) -> Any:
    """Put a mark in place of what is awaited, and leave out what belongs to single images under a name."""
    if given is awaited:
        return MARK
    if isinstance(given, Mapping):
        return {key: _template(one, awaited) for key, one in given.items() if one is awaited or _is_setting(one)}
    if isinstance(given, tuple | list):
        return tuple(_template(one, awaited) for one in given)
    if not _is_setting(given):
        raise _OtherTensorError
    return given


def _is_setting(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _filled(template: Any, given: Any) -> Any:
    if template is MARK:
        return given
    if isinstance(template, dict):
        return {key: _filled(one, given) for key, one in template.items()}
    if isinstance(template, tuple):
        return tuple(_filled(one, given) for one in template)
    return template


def _leaves(value: Any) -> Iterator[Any]:
    if not isinstance(value, dict | tuple):
        yield value
        return
    for one in value.values() if isinstance(value, dict) else value:
        yield from _leaves(one)
