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

__all__ = ["RULES", "Rule", "check_rule", "gradient_of", "rectified_by"]

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
    """Compute ``torch.autograd.grad`` of one output, zero where there is no way; inside ``rectified_by`` too.

    ``torch.autograd.grad`` switches the rule off while it works, but a checkpointed part of a model runs again then.

    Raises:
        RuntimeError: A part is checkpointed in the way that only ``backward()`` knows.
    """
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
    return torch.zeros_like(source) if gradient is None else gradient


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
    """A function of torch that may rectify, its parameters, and with which arguments it does."""

    name: str
    parameters: tuple[str, ...]
    rectifies: Callable[[dict[str, Any]], bool]
    passes_negative: Callable[[dict[str, Any]], bool]
    in_place: bool


def _always(given: dict[str, Any]) -> bool:
    return True


def _never(given: dict[str, Any]) -> bool:
    return False


def _is_zero(name: str, default: float | None, given: dict[str, Any]) -> bool:
    value = given.get(name, default)
    return value is not None and (bool((value == 0).all()) if isinstance(value, Tensor) else value == 0)


def _thresholds_at_zero(given: dict[str, Any]) -> bool:
    return _is_zero("threshold", None, given) and _is_zero("value", None, given)


def _starts_below_zero(given: dict[str, Any]) -> bool:
    return bool(given.get("min_val", -1.0) < 0)


# fmt: off
_PASS_NEGATIVE = (
    "leaky_relu", "prelu", "elu", "selu", "celu", "silu", "gelu", "mish", "hardswish", "rrelu", "softplus", "tanh",
)
# fmt: on

# Name, parameters as torch calls them, when it rectifies, when it lets negative values pass.
_KINDS: list[tuple[str, str, Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], bool]]] = [
    ("relu", "input inplace", _always, _never),
    ("relu6", "input inplace", _always, _never),
    ("clamp", "input min max", partial(_is_zero, "min", None), _never),
    ("clip", "input min max", partial(_is_zero, "min", None), _never),
    ("clamp_min", "input min", partial(_is_zero, "min", None), _never),
    ("threshold", "input threshold value inplace", _thresholds_at_zero, _never),
    ("hardtanh", "input min_val max_val inplace", partial(_is_zero, "min_val", -1.0), _starts_below_zero),
    *((name, "input", _never, _always) for name in _PASS_NEGATIVE),
]


def _find_calls() -> dict[Any, _Call]:
    calls = {}
    for name, parameters, rectifies, passes_negative in _KINDS:
        for home in (F, torch, Tensor):
            for ending in ("", "_"):
                func = getattr(home, name + ending, None)
                if func is not None:
                    calls[func] = _Call(name, tuple(parameters.split()), rectifies, passes_negative, ending == "_")
    return calls


_CALLS = _find_calls()


@cache
def _warn(what: str) -> None:
    log.warning("lightning_viz: %s.", what)
