"""Which layers take part when a model is called on images: the order in which they run, not that of registration."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lightning_viz.introspection.layers import is_scripted, named_layers
from lightning_viz.introspection.outputs import Output, look_up
from lightning_viz.introspection.trace import needed_steps, trace

__all__ = ["running_layers"]

log = logging.getLogger("lightning_viz")


def running_layers(
    model: nn.Module, images: Tensor, layers: Collection[str], output: Output | None = None
) -> list[str]:
    """Order layers as they run on the way from the images to the output.

    Left out is what does not run in eval mode (auxiliary heads, momentum copies, networks of the loss), and what runs
    beside the way (a teacher whose output is not looked at).

    Args:
        model: On loan.
        images: ``(N, C, H, W)``; the first is used. Left untouched.
        layers: Dotted names.
        output: Where in what the model returns its output is; all that it returns when omitted.

    Returns:
        The names, by the moment when a layer first ran to its end.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> running_layers(model, torch.randn(1, 3, 12, 20), ["1", "0"])
        ['0', '1']
    """
    modules = {name: module for name, module in named_layers(model).items() if name in layers}
    can_be_watched = {name for name, module in modules.items() if not is_scripted(module)}
    order: dict[str, None] = {}
    handles = [modules[name].register_forward_hook(partial(_note, order, name)) for name in can_be_watched]
    try:
        on_the_way = _on_the_way(model, images[:1], can_be_watched, output)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name in order if on_the_way is None or name in on_the_way]


def _note(order: dict[str, None], name: str, module: nn.Module, inputs: Any, output: Any) -> None:
    order.setdefault(name)


def _on_the_way(model: nn.Module, images: Tensor, layers: Iterable[str], output: Output | None) -> set[str] | None:
    """Find the layers that depend on the images, and the output on them; None where that can't be followed."""

    def pick(returned: Any) -> Tensor:
        found = returned
        with suppress(Exception):  # a user's function; then all that came counts
            found = look_up(returned, output)
        return torch.cat([one.flatten().float() for one in _tensors(found)])

    try:
        traced = trace(model, images, list(layers), pick=pick)
    except Exception as error:  # noqa: BLE001 (tensor types of others may refuse to be traced, and still run)
        log.debug("lightning_viz: what %s does can't be followed: %s", type(model).__name__, error)
        with torch.no_grad():
            model(images.clone())
        return None
    if traced is None or traced.result is None or traced.result.value is None:
        return None
    reached = {0} | {value for step in needed_steps(traced.steps, [traced.result.value]) for value in step.outputs}
    return {name for name, layer in traced.layers.items() if layer.value in reached}


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for one in value.values() for tensor in _tensors(one))
    elif isinstance(value, list | tuple):
        yield from (tensor for one in value for tensor in _tensors(one))
