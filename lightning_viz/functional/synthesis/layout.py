"""Images as a model takes them, in the order in memory that it is fastest with."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lightning_viz.functional.backward.rules import gradient_of

__all__ = ["fed"]

Run = Callable[[Tensor], Tensor]


def fed(run: Run, to: tuple[torch.device, torch.dtype], like: Tensor) -> Run:
    """Give a function of any images that runs a model on a copy of them, since it may work in place.

    On a CPU the channels come last, since convolutions and pooling take up to a fifth less time so; but first where the
    model can't do with it (one that calls ``view`` on a map).

    Args:
        run: Takes images as the model takes them, and keeps the graph.
        to: Device and type of these.
        like: Images ``(N, C, H, W)`` to try it on, forward and back.
    """
    last = partial(_run_on_copy, run, to, torch.channels_last)
    if to[0].type == "cpu":
        try:
            leaf = like.detach().clone().requires_grad_()
            gradient_of(last(leaf).float().sum(), leaf)
        except Exception:  # noqa: BLE001 (somebody else's forward may raise anything)
            pass
        else:
            return last
    return partial(_run_on_copy, run, to, torch.preserve_format)


def _run_on_copy(run: Run, to: tuple[torch.device, torch.dtype], order: torch.memory_format, images: Tensor) -> Tensor:
    return run(images.to(*to, copy=True, memory_format=order))
