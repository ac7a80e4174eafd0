"""Find layers by name, capture what they compute, and say what they are."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from lightning_viz.introspection.unsuitable import UnsuitableError

__all__ = [
    "LayerInfo",
    "NoLayerError",
    "capture",
    "describe_layers",
    "find_layer",
    "find_layers",
    "is_scripted",
    "last_call",
    "named_layers",
    "tensor_of",
]

M = TypeVar("M", bound=nn.Module)
Kinds = type[M] | tuple[type[M], ...]


class NoLayerError(UnsuitableError, ValueError):
    """A model has, or runs, nothing of the kind that is looked at when no layer is named."""


def find_layers(
    model: nn.Module, layers: str | Sequence[str], kinds: Kinds[M], who: str = "find_layers"
) -> dict[str, M]:
    """Find the layers of a model by dotted name or glob.

    Args:
        model: Only read.
        layers: Dotted names as ``model.get_submodule`` takes them, or globs (``"features.*"``; ``*`` crosses dots).
            A plain name must be of the right kind; a glob picks those that are.
        kinds: Module classes that make sense here.
        who: Begins the error message.

    Returns:
        Name to module, each once, in the order of the model.

    Raises:
        ValueError: A name or glob without a match; the message lists the choices.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3))
        >>> list(find_layers(model, "*", nn.Conv2d))
        ['0', '2']
    """
    modules = named_layers(model)
    choices = {name: one for name, one in modules.items() if isinstance(one, kinds) and not is_scripted(one)}
    wanted: set[str] = set()
    for pattern in [layers] if isinstance(layers, str) else layers:
        matches = [name for name in choices if name == pattern or fnmatchcase(name, pattern)]
        if not matches:
            raise ValueError(f"{who}: {_why_none(model, modules, choices, pattern, kinds)}")
        wanted.update(matches)
    return {name: module for name, module in choices.items() if name in wanted}


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Name each module as its owner does: the wrapper that ``torch.compile`` puts around one has no name."""
    modules = {}
    for path, module in model.named_modules(remove_duplicate=False):
        name = ".".join(part for part in path.split(".") if part != "_orig_mod")
        if name:
            modules[name] = module
    return modules


def is_scripted(module: nn.Module) -> bool:
    """Say whether a module is TorchScript on which no hook fires: what it does can't be watched."""
    return isinstance(module, torch.jit.ScriptModule) and type(module).__name__ != "TopLevelTracedModule"


def find_layer(model: nn.Module, layer: str, kinds: Kinds[M], who: str = "find_layer") -> M:
    """Find one layer by its dotted name.

    Raises:
        ValueError: No such layer, or a glob; the message lists the choices.
    """
    found = find_layers(model, layer, kinds, who)
    if layer not in found:
        raise ValueError(f'{who}: "{layer}" is a pattern; give one name. Choices: {_listed(list(map(repr, found)))}.')
    return found[layer]


def _why_none(
    model: nn.Module, modules: dict[str, nn.Module], choices: Iterable[str], pattern: str, kinds: Kinds[M]
) -> str:
    owner, kind = type(model).__name__, _kind_name(kinds)
    if not choices:
        leaves = [
            f'"{name}" ({type(module).__name__})' for name, module in modules.items() if not any(module.children())
        ]
        return f"{owner} has no {kind}. Layers it has: {_listed(leaves)}."
    if pattern not in modules:
        found = f'{owner} has no {kind} "{pattern}"'
    elif is_scripted(modules[pattern]):
        found = f'"{pattern}" is TorchScript, which can\'t be watched while it runs'
    else:
        found = f'"{pattern}" is a {type(modules[pattern]).__name__}, not a {kind}'
    return f"{found}. Choices: {_listed([f'{name!r}' for name in choices])}."


def _kind_name(kinds: Kinds[M]) -> str:
    if kinds is nn.Module:
        return "layer"
    *others, last = [kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
    return f"{', '.join(others)} or {last}" if others else last


def _listed(names: list[str], most: int = 30) -> str:
    return (
        ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") if names else "none"
    )


@contextmanager
def capture(model: nn.Module, layers: str | Sequence[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Keep the outputs of layers while the model runs.

    The layer's own output is kept and a copy is passed on, so that a following in-place operation (``ReLU(inplace)``)
    can't reach it, and gradients flow through what was kept. No hook stays behind. Two copies at most of each output.

    Args:
        model: Left as found. Run it inside the ``with`` block.
        layers: Names or globs, as in ``find_layers``.

    Yields:
        Layer name to the list of its outputs, one entry per call (a layer that is used twice has two). They keep the
        autograd graph if there is one.

    Of a layer that returns a tensor alone in a tuple, or beside None (attention without its weights), that one is kept.

    Raises:
        ValueError: No such layer, or one inside TorchScript.
        TypeError: A layer whose output is not a tensor.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
        >>> with capture(model, "0") as outputs:
        ...     _ = model(torch.randn(2, 3, 12, 20))
        >>> outputs["0"][0].shape
        torch.Size([2, 4, 10, 18])
    """
    found = find_layers(model, layers, nn.Module, who="capture")
    outputs: dict[str, list[Tensor]] = {name: [] for name in found}
    handles = []
    try:
        for name, module in found.items():
            handles.append(module.register_forward_hook(partial(_keep, name, outputs[name])))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _keep(name: str, kept: list[Tensor], module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    found = tensor_of(name, module, output)
    own = found
    if any(isinstance(given, Tensor) and _share_memory(given, found) for given in inputs):
        own = found.clone()  # Identity, Flatten: another branch may work on the same numbers in place
    kept.append(own)
    passed_on = own.clone()
    return passed_on if output is found else tuple(passed_on if one is found else one for one in output)


def tensor_of(name: str, module: nn.Module, output: Any) -> Tensor:
    """Give the tensor that a layer returned: alone, alone in a tuple, or beside None.

    Raises:
        TypeError: There is none, or several.
    """
    inside = [one for one in output if one is not None] if type(output) is tuple else []
    found = inside[0] if len(inside) == 1 else output
    if not isinstance(found, Tensor):
        raise TypeError(
            f'capture: layer "{name}" ({type(module).__name__}) returns a {type(output).__name__}, not a tensor. '
            "Choose a layer inside it."
        )
    return found


def _share_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def last_call(outputs: dict[str, list[Tensor]], layer: str, who: str) -> Tensor:
    """Give what a layer returned when it ran last.

    Raises:
        ValueError: It did not run.
    """
    if not outputs[layer]:
        raise ValueError(f'{who}: layer "{layer}" does not run when the model is called on images.')
    return outputs[layer][-1]


class LayerInfo(TypedDict):
    """What one convolution or linear layer is; channels and units are counts, kernel and stride are in pixels."""

    name: str
    type: str
    channels: int
    units: int
    kernel: list[int]
    stride: list[int]


def describe_layers(model: nn.Module) -> list[LayerInfo]:
    """List the convolutions and linear layers of a model with their sizes.

    Example:
        >>> describe_layers(nn.Sequential(nn.Conv2d(3, 96, 11, stride=4)))[0]["stride"]
        [4, 4]
    """
    infos = []
    for name, module in named_layers(model).items():
        if isinstance(module, nn.modules.conv._ConvNd):
            sizes = module.in_channels, module.out_channels, list(module.kernel_size), list(module.stride)
        elif isinstance(module, nn.Linear):
            sizes = module.in_features, module.out_features, [], []
        else:
            continue
        channels, units, kernel, stride = sizes
        infos.append(
            LayerInfo(
                name=name, type=type(module).__name__, channels=channels, units=units, kernel=kernel, stride=stride
            )
        )
    return infos
