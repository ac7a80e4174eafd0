"""What a rectifier lets through on the way back: plain gradient, DeconvNet, guided backpropagation."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from lightning_viz.functional.aten.operations import KINDS, RECTIFIERS

__all__ = ["RULES", "Rule", "check_rule", "gradient_of", "no_way", "rectified_by"]

log = logging.getLogger("lightning_viz")

Rule = Literal["deconvnet", "guided", "gradient"]

RULES: tuple[Rule, ...] = get_args(Rule)


def check_rule(rule: str, who: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        ValueError: The message lists the rules.
    """
    if rule not in RULES:
        raise ValueError(f"{who}: there is no rule {rule!r}. Choices: {', '.join(map(repr, RULES))}.")


@contextmanager
def rectified_by(rule: Rule, model: nn.Module) -> Iterator[None]:
    """Run a model so that the way back through its rectifiers follows a rule.

    The rule acts on the operation, wherever it is called: ``nn.ReLU``, ``F.relu``, ``torch.relu``, ``x.relu_()``,
    ``clamp(min=0)``, ``threshold``, ``ReLU6``, ``Hardtanh(0, x)``. No module is touched. With R the signal that comes
    from above and x the input of the rectifier, this goes on downwards:

    - ``"gradient"``: R where x > 0 (Simonyan et al. 2014).
    - ``"deconvnet"``: R where R > 0, whatever x was (Zeiler & Fergus 2014, section 2.1).
    - ``"guided"``: R where both are (Springenberg et al. 2015, Fig. 1).

    Activations that let negative values pass (LeakyReLU, GELU, ...) keep their derivative; they are named once in a
    warning, and so are scripted modules, whose inside can't be reached. A rectifier put together from other operations,
    such as ``torch.maximum(x, 0)`` or ``x * (x > 0)``, is not recognised and keeps its derivative too.

    Args:
        rule: One of the three.
        model: What will run; only read.
    """
    if rule == "gradient":
        yield
        return
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            _warn(f"the inside of {module.original_name} (TorchScript) can't be reached by the rule")
    with _RectifierMode(rule):
        yield


def gradient_of(
    output: Tensor,
    source: Tensor,
    signal: Tensor | None = None,
    *,
    retain_graph: bool = False,
    who: str = "gradient_of",
) -> Tensor:
    """Compute ``torch.autograd.grad`` of one output; inside ``rectified_by`` too.

    ``torch.autograd.grad`` switches the rule off while it works, but a checkpointed part of a model runs again then.

    Raises:
        ValueError: There is no way from the output to the source.
        RuntimeError: A part is checkpointed in the way that only ``backward()`` knows.
    """
    if not (output.requires_grad and source.requires_grad):
        raise ValueError(no_way(who))
    start = torch.ones_like(output) if signal is None else signal
    try:
        (gradient,) = torch.autograd.graph._engine_run_backward(
            (output,), (start,), retain_graph, False, (source,), allow_unreachable=True, accumulate_grad=False
        )
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise RuntimeError(
            f"{who}: a part of the model is checkpointed with use_reentrant=True, which gives no derivatives but by "
            "backward(). Checkpoint it with use_reentrant=False."
        ) from error
    if gradient is None:
        raise ValueError(no_way(who))
    return gradient


def no_way(who: str) -> str:
    """Say why a derivative is missing."""
    return (
        f"{who}: no derivative reaches that far down. Somewhere on the way forward uses no_grad, detach, NumPy or "
        "argmax, or does not pass there at all. Freeze a part by requires_grad_(False) instead of no_grad, or name a "
        "layer behind it."
    )


class _RectifierMode(TorchFunctionMode):
    """Replaces the way back of every rectifier that is called while it is on."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        call = _CALLS.get(func)
        if call is None:
            return func(*args, **(kwargs or {}))
        given = dict(zip(call.parameters, args, strict=False)) | (kwargs or {})
        x = given.pop("input", None)
        if call.passes_negative(given):
            _warn(f"{call.name} lets negative values pass: it keeps its derivative under every rule")
        if call.passes_negative(given) or not call.rectifies(given) or not isinstance(x, Tensor):
            return func(*args, **(kwargs or {}))
        in_place = call.in_place or bool(given.get("inplace"))
        y: Tensor = _Rectified.apply(x, self.rule, partial(func, **given), in_place)
        # The model goes on with the tensor that it changed.
        return x.copy_(y) if in_place else y


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: Rule, func: Callable[[Tensor], Tensor], in_place: bool) -> Tensor:
        y = func(x.clone() if in_place else x)
        if rule == "guided":
            ctx.save_for_backward((x > 0) & (x == y))
        return y

    @staticmethod
    def backward(ctx: Any, *signals: Any) -> Any:
        positive = signals[0].clamp(min=0)
        passed = ctx.saved_tensors
        return (positive * passed[0] if passed else positive), None, None, None


class _Call(NamedTuple):
    """A function of torch that rectifies, or lets negative values pass."""

    name: str
    parameters: tuple[str, ...]
    operation: str
    """What it is in ATen."""
    in_place: bool

    def passes_negative(self, given: dict[str, Any]) -> bool:
        return self.operation not in RECTIFIERS or (self.name == "hardtanh" and self.lower("min_val", given) < 0)

    def rectifies(self, given: dict[str, Any]) -> bool:
        bounds = [self.lower(name, given) for name in RECTIFIERS[self.operation].lower]
        return all(bound is not None and bool(torch.as_tensor(bound == 0).all()) for bound in bounds)

    def lower(self, name: str, given: dict[str, Any]) -> Any:
        return given.get(name, -1.0 if name == "min_val" else None)


# Name, parameters as torch calls them, operation of ATen.
_FUNCTIONS = [
    ("relu", "input inplace", "relu"),
    ("relu6", "input inplace", "relu"),
    ("clamp", "input min max", "clamp"),
    ("clip", "input min max", "clamp"),
    ("clamp_min", "input min", "clamp_min"),
    ("threshold", "input threshold value inplace", "threshold"),
    ("hardtanh", "input min_val max_val inplace", "hardtanh"),
    *((name, "input", name) for name in (*KINDS["activation"], "prelu", "selu", "rrelu")),
]


def _find_calls() -> dict[Any, _Call]:
    calls = {}
    for name, parameters, operation in _FUNCTIONS:
        for home in (F, torch, Tensor):
            for ending in ("", "_"):
                func = getattr(home, name + ending, None)
                if func is not None:
                    calls[func] = _Call(name, tuple(parameters.split()), operation, ending == "_")
    return calls


_CALLS = _find_calls()


@cache
def _warn(what: str) -> None:
    log.warning("lightning_viz: %s.", what)
