"""How a model lays its maps out as tokens, and where they look at each other, whatever way its forward is written."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_viz.introspection.layers import is_scripted, named_layers
from lightning_viz.introspection.outputs import Grid

__all__ = ["Attention", "TokenWatch", "watch_tokens"]


class Attention(NamedTuple):
    """A softmax attention that ran."""

    layer: str
    """The layer that computes it, a softmax aside; empty for the model itself."""
    layers: tuple[str, ...]
    """All layers that ran at that moment, the outermost first: each of them has it inside."""
    shape: torch.Size
    """Of its weights: (..., T, S); each of T tokens looks at S."""
    weights: Callable[[], Tensor]


class TokenWatch(NamedTuple):
    """What was seen of tokens while a model ran."""

    grids: dict[int, Grid]
    """On which grid so many places lay when they were lined up as tokens."""
    attentions: list[Attention]
    """In the order in which they ran."""


@contextmanager
def watch_tokens(model: nn.Module) -> Iterator[TokenWatch]:
    """Note how tokens are made and where attention is computed, while the model runs.

    It looks at the operations, since most networks do neither in a layer of its own. Nothing is changed.

    Args:
        model: Run it inside the ``with`` block; left with its hooks as they were.

    Yields:
        What was seen so far.

    Example:
        >>> patches = nn.Sequential(nn.Conv2d(3, 8, (4, 2), stride=(4, 2)), nn.Flatten(2))
        >>> with watch_tokens(patches) as seen:
        ...     _ = patches(torch.rand(1, 3, 12, 20))
        >>> seen.grids
        {30: (3, 10)}
    """
    running: list[tuple[str, nn.Module]] = []
    seen = TokenWatch({}, [])
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        for name, module in named_layers(model).items():
            if not is_scripted(module):
                stack.callback(module.register_forward_pre_hook(partial(_enter, running, name)).remove)
                stack.callback(module.register_forward_hook(partial(_leave, running), always_call=True).remove)
        # One kernel for all of nn.MultiheadAttention: nothing could be seen inside.
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        stack.enter_context(_Watcher(seen, running))
        yield seen


def _enter(running: list[tuple[str, nn.Module]], name: str, module: nn.Module, inputs: Any) -> None:
    running.append((name, module))


def _leave(running: list[tuple[str, nn.Module]], module: nn.Module, inputs: Any, output: Any) -> None:
    running.pop()


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, seen: TokenWatch, running: Sequence[tuple[str, nn.Module]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen, self.running = seen, running
        self.sizes: set[Grid] = set()
        self.padded: set[Grid] = set()  # a window may be larger than the map: not all of its tokens are places

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        operation = func._schema.name.removeprefix("aten::")
        arguments = dict(zip((one.name for one in func._schema.arguments), args, strict=False)) | (kwargs or {})
        if operation in _LAYOUTS:
            self._note_grid(args[0].shape, returned.shape)
        elif operation == "im2col":
            places = tuple(map(_windows, args[0].shape[-2:], *args[1:]))
            self.seen.grids.setdefault(math.prod(places), (places[0], places[1]))
        elif operation.startswith("_scaled_dot_product") and not operation.endswith("backward"):
            shape = (*arguments["query"].shape[:-1], arguments["key"].shape[-2])
            self._note_attention(torch.Size(shape), partial(_softmax, arguments))
        elif operation in ("_softmax", "_safe_softmax") and arguments["dim"] in (-1, returned.ndim - 1):
            if returned.ndim > 2:
                kept = returned.detach().clone()  # what follows may work on it in place
                self._note_attention(kept.shape, lambda: kept)
        elif operation == "constant_pad_nd" and returned.ndim == 4:
            self.padded |= {(returned.shape[1], returned.shape[2]), (returned.shape[2], returned.shape[3])}
        elif any(word in operation for word in ("conv", "pool", "upsample")):
            first = returned[0] if isinstance(returned, tuple) else returned
            self.sizes.add((first.shape[-2], first.shape[-1]))
        return returned

    def _note_grid(self, before: torch.Size, after: torch.Size) -> None:
        """Two axes became one. At the end of a shape these can also be heads and their channels."""
        if len(before) < 4 or len(after) < 3 or before[0] != after[0]:
            return
        for (start, rows), (_, columns) in pairwise(_starts(before)):
            is_last = (start, rows * columns) == _starts(after)[-1]
            joined = (start, rows * columns) in _starts(after)[1:]
            may_be_heads = is_last or min(rows, columns) == 1 or (rows, columns) in self.padded
            if joined and ((rows, columns) in self.sizes or not may_be_heads):
                self.seen.grids.setdefault(rows * columns, (rows, columns))

    def _note_attention(self, shape: torch.Size, weights: Callable[[], Tensor]) -> None:
        layer = next((name for name, module in reversed(self.running) if not isinstance(module, nn.Softmax)), "")
        self.seen.attentions.append(Attention(layer, tuple(name for name, _ in self.running), shape, weights))


def _starts(shape: torch.Size) -> list[tuple[int, int]]:
    """Of each axis the product of those before it, and its length."""
    return [(math.prod(shape[:axis]), length) for axis, length in enumerate(shape)]


_LAYOUTS = frozenset(("view", "_unsafe_view", "_reshape_alias", "reshape"))


def _windows(size: int, kernel: int, dilation: int, padding: int, stride: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _softmax(arguments: Mapping[str, Any]) -> Tensor:
    """Compute what a fused kernel does not give out: softmax(q k^T / sqrt(d) + mask)."""
    query, key = (arguments[name].detach() for name in ("query", "key"))
    query, key = (one if one.dtype == torch.float64 else one.float() for one in (query, key))
    scores: Tensor = query @ key.mT * (arguments.get("scale") or query.shape[-1] ** -0.5)
    mask = arguments.get("attn_mask", arguments.get("attn_bias"))
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    if arguments.get("is_causal"):
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    return scores.softmax(-1)
