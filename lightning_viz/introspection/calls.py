"""How a model is called on images: plainly, or as its owner says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_viz.introspection.unsuitable import UnsuitableError

__all__ = ["Call", "CallError", "ForwardFn", "called_by", "find_call", "image_type"]

ForwardFn = Callable[[nn.Module, Tensor], Any]
"""Takes a model and images ``(N, C, H, W)`` to what the model returns for them."""


class CallError(UnsuitableError, RuntimeError):
    """A model can't be called on images alone; the message says what to do."""


class Call(NamedTuple):
    """How a model is called on images."""

    forward_fn: ForwardFn | None = None
    """Instead of ``model(images)``."""
    device: torch.device | None = None
    """Of the images that it takes; None leaves them."""
    dtype: torch.dtype | None = None
    is_known: bool = True
    """Whether it works."""


def find_call(model: nn.Module, images: Tensor, forward_fn: ForwardFn | None = None) -> Call:
    """Find out how a model is called on images, by calling it on two of them.

    The images stay in their own float type where the model takes it, since that is what it gets in training; else the
    types of its weights are tried in turn.

    Args:
        model: On loan.
        images: ``(N, C, H, W)`` float. Left untouched.
        forward_fn: Instead of ``model(images)``.

    Raises:
        CallError: It can't be called so.

    Example:
        >>> find_call(nn.Conv2d(3, 4, 3).double(), torch.rand(2, 3, 12, 20)).dtype
        torch.float64
    """
    weights = [weight for weight in model.parameters() if weight.is_floating_point()]
    device = weights[0].device if weights else images.device
    places = [(device, images.dtype), *((weight.device, weight.dtype) for weight in weights)]
    errors: list[Exception] = []
    for place in dict.fromkeys(places):
        try:
            with called_by(model, forward_fn), torch.no_grad():
                model(images[:2].detach().to(*place, copy=True))
        except Exception as error:  # noqa: BLE001 (somebody else's forward may raise anything)
            errors.append(error)
        else:
            return Call(forward_fn, *place)
    raise CallError(_what_to_write(model, images, forward_fn, errors[0])) from errors[0]


def image_type(model: nn.Module, images: Tensor) -> tuple[torch.device, torch.dtype]:
    """Find the device and the float type of the images that a model takes, like ``find_call``.

    Of a model that can't be called, those of its first weight.
    """
    try:
        call = find_call(model, images)
    except CallError:
        like = next((weight for weight in model.parameters() if weight.is_floating_point()), images)
        return like.device, like.dtype
    return call.device or images.device, call.dtype or images.dtype


def _what_to_write(model: nn.Module, images: Tensor, forward_fn: ForwardFn | None, error: Exception) -> str:
    owner, shape = type(model).__name__, "x".join(map(str, images[:2].shape))
    how = "the probe's forward_fn" if forward_fn is not None else f"{owner}(images)"
    said = str(error).strip().splitlines()
    return (
        f"{how} failed on {shape} images with {type(error).__name__}: {said[0] if said else '(no message)'}\n"
        "Say how the network is called on images alone:\n"
        "    def call(model, images):\n"
        "        return model(images, torch.zeros(len(images), 2))  # or model.backbone(pixel_values=images), ...\n"
        "    probe = Probe(forward_fn=call)"
    )


@contextmanager
def called_by(model: nn.Module, forward_fn: ForwardFn | None) -> Iterator[None]:
    """Let ``model(images)`` give what a function of (model, images) gives.

    Inside the function the model is called as ever.

    Args:
        model: Left as found.
        forward_fn: None changes nothing.
    """
    if forward_fn is None:
        yield
        return

    def forward(images: Tensor) -> Any:
        with _attribute(model, own):
            return forward_fn(model, images)

    own = vars(model).get("forward")
    with _attribute(model, forward):
        yield


@contextmanager
def _attribute(model: nn.Module, forward: Any) -> Iterator[None]:
    """Give a model's object another ``forward``; None leaves it that of its class."""
    before = vars(model).pop("forward", None)
    if forward is not None:
        vars(model)["forward"] = forward
    try:
        yield
    finally:
        vars(model).pop("forward", None)
        if before is not None:
            vars(model)["forward"] = before
