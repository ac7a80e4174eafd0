"""What a model does with its images, operation by operation, whatever way its forward is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from lightning_viz.introspection.layers import named_layers

__all__ = ["Layer", "Step", "Trace", "Value", "needed_steps", "trace"]


class Value(NamedTuple):
    """A tensor that depends on the images; value 0 is the images."""

    number: int


@dataclass(frozen=True)
class Step:
    """One operation on values."""

    operation: str
    """Its name in ATen, without an overload, and without the underscore of an in-place form."""
    arguments: Mapping[str, Any]
    """By name; a tensor that depends on the images is a ``Value``, others are themselves."""
    outputs: tuple[int, ...]
    kept: Any
    """What ``keep`` chose to keep of it."""
    function: Callable[..., Any]
    """Does it again; never in place."""

    @cached_property
    def inputs(self) -> list[int]:
        """The values among its arguments, in order."""
        return _values(list(self.arguments.values()))


class Layer(NamedTuple):
    """What a layer gave when it ran last."""

    value: int | None
    """None for what does not depend on the images."""
    output: Tensor
    """A copy."""
    runs: int
    """How often it ran."""


class Trace(NamedTuple):
    """The operations of one forward pass, in order."""

    steps: list[Step]
    shapes: dict[int, torch.Size]
    """Of each value."""
    layers: dict[str, Layer]
    """Those that were asked for and ran."""
    result: Layer | None
    """What ``pick`` found in what the model returned."""


Keep = Callable[[str, Mapping[str, Any], Sequence[Tensor]], Any]


def trace(
    model: nn.Module,
    images: Tensor,
    layers: Sequence[str],
    keep: Keep | None = None,
    runs: int | None = None,
    pick: Callable[[Any], Tensor] | None = None,
) -> Trace | None:
    """Run a model and write down what it does, without gradients.

    Args:
        model: Runs as it is; left with its hooks as they were.
        images: ``(N, C, H, W)``. Left untouched.
        layers: Dotted names of the layers whose values are wanted.
        keep: Called with the name of each operation, its arguments and its outputs; gives what to keep of it. Tensors
            may be changed in place by the model later.
        runs: Stop when the layers ran so often together, if that is known.
        pick: Finds a tensor in what the model returns.

    Returns:
        The trace; None where it would not be the whole truth: something is changed in place that another value is a
        view of.
    """
    recorder = _Recorder(keep or (lambda operation, arguments, outputs: None))
    noted: dict[str, Layer] = {}

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            before = noted[name].runs if name in noted else 0
            with _paused(recorder):
                noted[name] = Layer(recorder.number(output), output.clone(), before + 1)
        if sum(layer.runs for layer in noted.values()) == runs:
            raise _EnoughError

    source = images.detach().clone()
    modules = named_layers(model)
    handles = [modules[name].register_forward_hook(partial(note, name)) for name in layers]
    try:
        recorder.numbers[source] = 0
        result = None
        with torch.no_grad(), recorder, _Outlet(recorder), suppress(_EnoughError):
            returned = model(source)
            if pick is not None:
                picked = pick(returned)
                result = Layer(recorder.number(picked), picked, 1)
    finally:
        for handle in handles:
            handle.remove()
    if recorder.lost_track:
        return None
    return Trace(recorder.steps, recorder.shapes | {0: images.shape}, noted, result)


def needed_steps(steps: Sequence[Step], wanted: Sequence[int]) -> list[Step]:
    """Leave out the operations that the wanted values do not depend on."""
    needed, kept = set(wanted), []
    for step in reversed(steps):
        if needed & set(step.outputs):
            kept.append(step)
            needed |= set(step.inputs)
    return kept[::-1]


class _EnoughError(Exception):
    """The layers have run; what comes after it is not wanted."""


@contextmanager
def _paused(recorder: "_Recorder") -> Iterator[None]:
    recorder.paused = True
    try:
        yield
    finally:
        recorder.paused = False


class _Outlet(TorchFunctionMode):
    """Notes where numbers leave torch without an operation: what is made of them seems not to depend on the images."""

    def __init__(self, recorder: "_Recorder") -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _OUTLETS:
            number = self.recorder.number(args[0])
            if number is not None:
                self.recorder.steps.append(Step(func.__name__, {"self": Value(number)}, (), None, func))
        return func(*args, **(kwargs or {}))


_OUTLETS = frozenset((Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.__dlpack__))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, keep: Keep) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keep = keep
        self.steps: list[Step] = []
        self.shapes: dict[int, torch.Size] = {}
        self.numbers: Any = WeakTensorKeyDictionary()
        self.count = 0
        self.paused = False
        self.lost_track = False

    def number(self, tensor: Tensor) -> int | None:
        """Which value a tensor is; None for what does not depend on the images."""
        found: int | None = self.numbers.get(tensor)
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.paused:
            return func(*args, **(kwargs or {}))
        names = [argument.name for argument in func._schema.arguments]
        defaults = {argument.name: argument.default_value for argument in func._schema.arguments}
        given = defaults | dict(zip(names, args, strict=False)) | (kwargs or {})
        arguments = {name: self._referred(value) for name, value in given.items()}
        returned = func(*args, **(kwargs or {}))
        if _values(list(arguments.values())):
            self._record(func, arguments, returned)
        elif func._schema.is_mutable and any(self._shares(value) for value in given.values()):
            self.lost_track = True
        return returned

    def _record(self, func: Any, arguments: dict[str, Any], returned: Any) -> None:
        outputs = [one for one in _flat(returned) if isinstance(one, Tensor)]
        if func._schema.is_mutable and any(self._has_views(output) for output in outputs):
            self.lost_track = True
        numbers = []
        for output in outputs:
            self.count += 1
            self.numbers[output] = self.count
            self.shapes[self.count] = output.shape
            numbers.append(self.count)
        operation = func._schema.name.split("::")[-1]
        operation = operation.rstrip("_") if func._schema.is_mutable else operation
        kept = self.keep(operation, arguments, outputs)
        self.steps.append(Step(operation, arguments, tuple(numbers), kept, _out_of_place(func, operation)))

    def _referred(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            number = self.number(value)
            return value if number is None else Value(number)
        if isinstance(value, (list, tuple)):
            return [self._referred(one) for one in value]
        return value

    def _shares(self, value: Any) -> bool:
        return isinstance(value, Tensor) and self._has_views(value)

    def _has_views(self, tensor: Tensor) -> bool:
        """Whether another value that is still in use lies in the same memory."""
        place = tensor.untyped_storage().data_ptr()
        return any(other is not tensor and other.untyped_storage().data_ptr() == place for other in self.numbers)


def _out_of_place(func: Any, operation: str) -> Callable[..., Any]:
    if not func._schema.is_mutable:
        return cast("Callable[..., Any]", func)
    packet = getattr(torch.ops.aten, operation, None)
    found = getattr(packet, func._schema.overload_name or "default", None)
    return cast("Callable[..., Any]", found or func)


def _flat(value: Any) -> list[Any]:
    return [part for one in value for part in _flat(one)] if isinstance(value, (list, tuple)) else [value]


def _values(argument: Any) -> list[int]:
    if isinstance(argument, Value):
        return [argument.number]
    if not isinstance(argument, list):
        return []
    return [value for one in argument if isinstance(one, (Value, list)) for value in _values(one)]
