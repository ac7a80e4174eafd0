"""An operation is taught in one file: what is listed there is followed, and what is not is right all the same."""

from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from helpers.networks import Does, head
from helpers.occluding import IMAGES, assert_as_the_loop
from torch import Tensor, nn

from lightning_viz.functional import receptive_field, reconstruct
from lightning_viz.functional.aten import operations
from lightning_viz.functional.backward import ops as backward
from lightning_viz.functional.incremental import ops as incremental
from lightning_viz.introspection.trace import trace

aten = torch.ops.aten

FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "clamp": lambda x, y: aten.clamp(x, 0, 0.6),
    "clamp_min": lambda x, y: aten.clamp_min(x, 0),
    "hardtanh": lambda x, y: aten.hardtanh(x, 0, 0.6),
    "threshold": lambda x, y: aten.threshold(x, 0, 0),
    "_to_copy": lambda x, y: aten._to_copy(x, dtype=torch.float64).float(),
    "_prelu_kernel": lambda x, y: aten._prelu_kernel(x, torch.linspace(0.1, 0.4, 4).reshape(1, 4, 1, 1).to(x)),
    "pow": lambda x, y: aten.pow(x.abs() + 0.1, 1.7),
    "sqrt": lambda x, y: aten.sqrt(x.abs() + 0.1),
    "div": lambda x, y: aten.div(x, y.abs() + 1),
    "softshrink": lambda x, y: aten.softshrink(x, 0.0),
    **{
        name: (lambda x, y, name=name: getattr(aten, name)(x, y))
        for name in ("add", "sub", "mul", "rsub", "maximum", "minimum")
    },
}
"""Those that take more than one map."""

LISTED = [operation for kind in operations.POINTWISE for operation in operations.KINDS[kind]]

NEW = ["sinh", "softshrink", "erf"]


def network(operation: str) -> Does:
    torch.manual_seed(0)
    form = FORMS.get(operation, lambda x, y: getattr(aten, operation)(x))
    return Does(
        lambda self, x: self.head(self.maps(form(self.one(x), self.two(x)))),
        one=nn.Conv2d(3, 4, 3, padding=1),
        two=nn.Conv2d(3, 4, (1, 3), padding=(0, 1)),
        maps=nn.Identity(),
        head=head(4, 16, 24),
    ).eval()


def gradients(model: nn.Module, row: int, column: int) -> Tensor:
    """``(M, C, H, W)`` what moves one position of ``maps``, for many images."""
    images = torch.randn(20, 3, 16, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
    kept: list[Tensor] = []
    handle = model.maps.register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(images)
    handle.remove()
    return torch.autograd.grad(kept[0][:, :, row, column].sum(), images)[0]


def whole_operations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which operations occlusion does not do in boxes."""
    usual, found = incremental._recompute_whole, []

    def noted(plan: object, step: object, *rest: object) -> object:
        found.append(step.operation)
        return usual(plan, step, *rest)

    monkeypatch.setattr(incremental, "_recompute_whole", noted)
    return found


def covers(box: list[int], other: list[int]) -> bool:
    return box[0] <= other[0] and box[1] <= other[1] and box[2] >= other[2] and box[3] >= other[3]


def assert_right(operation: str, monkeypatch: pytest.MonkeyPatch, followed: bool) -> None:
    """Occlusion as a loop finds it, the receptive field as the gradient's support, reconstruction as its value."""
    model, measured = network(operation), []
    assert operation in [step.operation for step in trace(model, IMAGES[:1], []).steps]
    whole = whole_operations(monkeypatch)
    assert_as_the_loop(model, IMAGES[:1], 4, 3)
    assert (operation in whole) != followed

    module = import_module("lightning_viz.functional.receptive_field")
    usual = module.measured_field
    monkeypatch.setattr(module, "measured_field", lambda *given: measured.append(1) or usual(*given))
    seen = gradients(model, 8, 11).abs().sum((0, 1)).nonzero()
    field = receptive_field(model, "maps", (16, 24))
    box = field.boxes(torch.tensor([8, 11])).tolist()
    support = [*seen.amin(0).tolist(), *(seen.amax(0) + 1).tolist()]
    # Measured, it may be larger: of two maps only one is the larger.
    assert box == support or (not followed and operation in ("maximum", "minimum") and covers(box, support))
    assert bool(measured) != followed

    image = IMAGES[:1].clone().requires_grad_()
    maps: list[Tensor] = []
    model.maps.register_forward_hook(lambda module, inputs, output: maps.append(output))
    model(image)
    score = maps[0][0, 2, 8, 11]
    (expected,) = torch.autograd.grad(score, image, score.detach())
    found = reconstruct(model, "maps", IMAGES[:1], 2, [[8, 11]], rule="gradient")
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("operation", LISTED)
def test_what_is_listed_is_followed(operation, monkeypatch):
    assert_right(operation, monkeypatch, followed=True)


@pytest.mark.parametrize("operation", [*LISTED, *NEW])
def test_what_is_not_listed_is_right_too(operation, monkeypatch):
    monkeypatch.delitem(operations._KIND, operation, raising=operation not in NEW)
    assert_right(operation, monkeypatch, followed=False)


@pytest.mark.parametrize("operation", NEW)
def test_a_new_operation_is_taught_by_its_kind_alone(operation, monkeypatch):
    monkeypatch.setitem(operations._KIND, operation, "activation")
    assert_right(operation, monkeypatch, followed=True)


@pytest.mark.parametrize("operation", operations.RECTIFIERS)
def test_rectifiers_are_followed_by_the_backward_pass(operation, said):
    model = network(operation)
    reconstruct(model, "maps", IMAGES[:1], 2, [[8, 11]])
    assert said() == []


@pytest.mark.parametrize("table", [incremental._RECOMPUTE, backward._BACKWARD])
def test_engines_know_kinds_and_operations_that_have_none(table):
    """An operation that has a kind would never be looked up by its name."""
    assert not set(table) & set(operations._KIND)
    assert not set(operations.KINDS) & set(operations._KIND)
    assert sum(map(len, operations.KINDS.values())) == len(operations._KIND)
