import random
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.checks import left_as_found, snapshot
from helpers.networks import in_training
from torch import nn
from torch.nn.utils import prune

from lightning_viz import isolated
from lightning_viz.introspection import isolation


@pytest.fixture
def model() -> nn.Module:
    """In the middle of training: gradients, a frozen layer, mixed modes, hooks of its owner."""
    net = in_training(torch.randn(2, 3, 12, 20))
    net[0].register_forward_hook(lambda *_: None)
    net[0].weight.register_hook(lambda gradient: gradient)
    net.losses = [torch.zeros(())]
    return net


def _harm(model: nn.Module) -> None:
    """Everything that a careless visualisation does to a model and to the process."""
    for module in model.modules():
        module.train()
    model(torch.randn(2, 3, 12, 20)).sum().backward()
    model[0].register_forward_hook(lambda module, inputs, output: output * 2)
    model[0].register_full_backward_pre_hook(lambda *_: None)
    model[10].weight.register_hook(lambda gradient: gradient * 2)
    model[3].weight.requires_grad_(True).register_hook(lambda gradient: gradient * 2)
    model[1].requires_grad_(False)
    torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    model[1].running_mean.fill_(float("nan"))
    model[4].running_var = torch.zeros(6)
    model[2] = nn.Tanh()
    del model[9]
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    torch.backends.cudnn.enabled = torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.set_grad_enabled(False)
    model.losses.append(torch.ones(()))


def test_everything_is_given_back(model: nn.Module) -> None:
    before = snapshot(model)
    children, hooks = list(model), len(torch.nn.modules.module._global_forward_hooks)
    with isolated(model):
        _harm(model)
        assert snapshot(model) != before
    assert snapshot(model) == before
    assert list(model) == children
    assert len(torch.nn.modules.module._global_forward_hooks) == hooks


def test_everything_is_given_back_after_an_exception(model: nn.Module) -> None:
    with left_as_found(model), pytest.raises(RuntimeError, match="half-way"), isolated(model):
        _harm(model)
        raise RuntimeError("half-way")


@pytest.mark.parametrize("number", range(len(isolation._BORROWS)))
def test_what_was_borrowed_is_given_back_when_borrowing_the_rest_fails(
    model: nn.Module, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: nn.Module) -> None:
        raise MemoryError

    borrows = list(isolation._BORROWS)
    borrows[number] = fail
    monkeypatch.setattr(isolation, "_BORROWS", borrows)
    with left_as_found(model), pytest.raises(MemoryError), isolated(model):
        pytest.fail("lent although it could not be borrowed")


@pytest.mark.parametrize("number", range(len(isolation._BORROWS)))
def test_the_rest_is_given_back_when_giving_one_thing_back_fails(
    model: nn.Module, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def fail(model: nn.Module):
        with borrow(model):
            yield
        raise MemoryError

    borrows = list(isolation._BORROWS)
    borrow, borrows[number] = borrows[number], fail
    monkeypatch.setattr(isolation, "_BORROWS", borrows)
    with left_as_found(model), pytest.raises(MemoryError), isolated(model):
        _harm(model)


def _omit(name: str) -> tuple[Callable[..., object], ...]:
    return tuple(borrow for borrow in isolation._BORROWS if borrow.__name__ != name)


@pytest.mark.parametrize(
    "name",
    [
        borrow.__name__
        for borrow in isolation._BORROWS
        if borrow.__name__ not in ("_eager", "_gradients_possible", "_modes", "_silent")
    ],
)
def test_sabotage_without_any_one_borrow_the_harm_is_seen(
    model: nn.Module, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_BORROWS", _omit(name))
    before = snapshot(model)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        with isolated(model):
            _harm(model)
        assert snapshot(model) != before
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = False


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_inside_what_a_module_logs_goes_nowhere_and_after_it_counts_again(package: str) -> None:
    class Logs(import_module(package).LightningModule):
        def forward(self, x):
            self.log("mean", x.mean())
            self.log_dict({"max": x.max()})
            return x

    outer = Logs()
    outer.inner = Logs()
    outer._current_fx_name = outer.inner._current_fx_name = "on_train_end"
    refused = pytest.raises(Exception, match="log")
    with isolated(outer), left_as_found(outer):
        assert torch.equal(outer.inner(outer(torch.ones(2))), torch.ones(2))
    assert "log" not in vars(outer)
    for module in (outer, outer.inner):
        module._trainer = SimpleNamespace(barebones=False, _results=None)
        with refused:
            module(torch.ones(2))


def test_inside_modules_are_in_eval_mode_and_gradients_are_none(model: nn.Module) -> None:
    with isolated(model) as borrowed:
        assert borrowed is model
        assert not any(module.training for module in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_can_be_computed_whatever_the_caller_is_under(
    model: nn.Module, outside: Callable[[], object]
) -> None:
    with outside(), isolated(model):
        images = torch.zeros(1, 3, 12, 20, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(images)[0, 0], images)
        assert gradient.abs().sum() > 0
        assert not images.is_inference()


def test_autocast_is_off_inside(model: nn.Module) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with isolated(model):
            assert model(torch.zeros(1, 3, 12, 20)).dtype == torch.float32
        assert model(torch.zeros(1, 3, 12, 20)).dtype == torch.bfloat16


def test_it_can_be_nested(model: nn.Module) -> None:
    with left_as_found(model), isolated(model):
        model.train()
        with torch.no_grad(), isolated(model):
            assert not any(module.training for module in model.modules())
            assert torch.is_grad_enabled()
        assert model.training
        with isolated(model):
            _harm(model)
    with left_as_found(model), isolated(model):
        _harm(model)


def test_a_failing_inner_loan_leaves_the_outer_one(model: nn.Module) -> None:
    with left_as_found(model), isolated(model):
        with pytest.raises(MemoryError), isolated(model):
            raise MemoryError
        with isolated(model):
            _harm(model)


def test_the_owners_train_and_eval_are_not_called(model: nn.Module) -> None:
    class Counts(nn.Sequential):
        calls = 0

        def train(self, mode: bool = True) -> nn.Module:
            self.calls += 1
            return super().train(mode)

    counts = Counts(model)
    with isolated(counts):
        assert not counts.training
    assert counts.calls == 0


def test_compiled_code_runs_eagerly_inside(model: nn.Module) -> None:
    compiled: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., object]:
        compiled.append(1)
        return graph.forward

    model.compile(backend=backend)
    with isolated(model):
        model(torch.zeros(1, 3, 12, 20))
    assert not compiled
    model(torch.zeros(1, 3, 12, 20))
    assert compiled


def test_spectral_norm_keeps_its_power_iteration() -> None:
    conv = torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)).train()
    before = conv.parametrizations.weight[0]._u.clone()
    with isolated(conv):
        assert conv.weight.shape == (4, 3, 3, 3)
    assert torch.equal(conv.parametrizations.weight[0]._u, before)


def test_weights_that_were_converted_come_back(model: nn.Module) -> None:
    with left_as_found(model), isolated(model):
        model.half()
        assert model[0].weight.dtype == torch.float16
    model(torch.randn(2, 3, 12, 20)).sum().backward()


def test_a_buffer_whose_storage_was_replaced_comes_back(model: nn.Module) -> None:
    storage = model[1].running_mean.data_ptr()
    with left_as_found(model), isolated(model):
        model[1].running_mean.data = torch.ones(3, dtype=torch.float64)
    assert model[1].running_mean.data_ptr() == storage


@pytest.mark.parametrize(
    "wrap",
    [
        torch.nn.utils.weight_norm,
        torch.nn.utils.parametrizations.weight_norm,
        lambda conv: prune.l1_unstructured(conv, "weight", amount=2),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_layer_that_was_wrapped_is_plain_again(wrap: Callable[[nn.Module], object]) -> None:
    conv = nn.Conv2d(3, 4, 3)
    weight, attributes = conv.weight, dict(vars(conv))
    try:
        with isolated(conv):
            wrap(conv)
            assert conv.weight is not weight
    except RuntimeError as error:
        assert "changed in place" in str(error)
    assert conv.weight is weight
    assert type(conv) is nn.Conv2d
    assert vars(conv).keys() == attributes.keys()
    conv(torch.ones(1, 3, 5, 5)).sum().backward()
    assert weight.grad is not None


def test_state_that_a_forward_keeps_is_restored() -> None:
    class Counts(nn.Identity):
        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return images

    counts = Counts()
    with isolated(counts):
        counts(torch.ones(1))
    assert counts.calls == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1.0])
def test_an_unchanged_buffer_does_not_spoil_a_waiting_graph(number: float) -> None:
    model = nn.BatchNorm2d(2).eval()
    model.running_mean.fill_(number)
    images = torch.ones(1, 2, 3, 3, requires_grad=True)
    loss = (images * model.running_mean[0]).sum() + (images * model.running_mean.sum()).sum()
    kept = (images * model.running_var[None, :, None, None]).sum()
    with isolated(model):
        model(torch.zeros(1, 2, 3, 3))
    (loss + kept).backward()
    assert images.grad is not None


def test_buffers_that_can_not_be_compared_do_not_matter() -> None:
    model = nn.BatchNorm2d(2)
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    model.register_buffer("meta", torch.empty(3, device="meta"))
    model.register_buffer("expanded", torch.tensor([float("nan")]).expand(3))
    mean = model.running_mean.clone()
    with isolated(model):
        model.running_mean.add_(1)
    assert torch.equal(model.running_mean, mean)


def test_hooks_after_accumulation_are_removed(model: nn.Module) -> None:
    fired: list[int] = []
    with isolated(model):
        model[0].weight.register_post_accumulate_grad_hook(lambda parameter: fired.append(1))
    model(torch.randn(2, 3, 12, 20)).sum().backward()
    assert not fired


def test_a_lazy_layer_is_refused() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    with pytest.raises(RuntimeError, match='"0.weight" has no values yet'), isolated(model):
        pytest.fail("lent")


def test_weights_on_the_meta_device_are_refused_also_of_a_part_that_does_not_run() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model.teacher = nn.Linear(3, 4, device="meta")
    with pytest.raises(RuntimeError, match=r'"teacher.weight" have no values.*load_state_dict'), isolated(model):
        pytest.fail("lent")


def test_weights_changed_in_place_are_reported_by_name(model: nn.Module) -> None:
    with pytest.raises(RuntimeError, match=r"0\.weight were changed in place.*functional_call"), isolated(model):
        with torch.no_grad():
            model[0].weight.add_(1)


def test_weights_made_in_inference_mode_are_refused() -> None:
    with torch.inference_mode():
        model = nn.Conv2d(3, 4, 3)
    with pytest.raises(RuntimeError, match='"weight" were created in inference mode'), isolated(model):
        pytest.fail("lent")


@pytest.mark.parametrize("mark", ["ds_id", "_fsdp_flattened"])
def test_sharded_weights_are_refused_with_the_way_out(mark: str) -> None:
    model = nn.Conv2d(3, 4, 3)
    setattr(model.weight, mark, True)
    with pytest.raises(RuntimeError, match="sharded over processes.*Train with DDP"), isolated(model):
        pytest.fail("lent")


def _wrong_after_an_interrupt(model: nn.Module) -> tuple[int, int]:
    """Interrupt very short loans, each at the next line that it runs; count the lines, and what went wrong."""
    before, handler = snapshot(model), signal.getsignal(signal.SIGINT)
    lines = wrong = 0
    while True:
        lines += 1
        seen = 0

        def interrupt(*_: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == lines:  # noqa: B023 (it does not live longer than the loop's turn)
                signal.raise_signal(signal.SIGINT)
            return interrupt

        sys.settrace(interrupt)
        try:
            with isolated(model):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if seen < lines:
            return lines, wrong
        wrong += snapshot(model) != before or bool(isolation._lent) or signal.getsignal(signal.SIGINT) is not handler
        isolation._lent.clear()
        signal.signal(signal.SIGINT, handler)


def test_an_interrupt_at_any_line_leaves_nothing_half_done() -> None:
    small = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    small[0].weight.grad = torch.ones(2, 1, 1, 1)
    lines, wrong = _wrong_after_an_interrupt(small)
    assert lines > 500
    assert wrong == 0


def test_sabotage_an_interrupt_that_does_not_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.Interrupts, "hold", lambda self: None)
    small = nn.Sequential(nn.Conv2d(1, 2, 1)).train()
    small[0].weight.grad = torch.ones(2, 1, 1, 1)
    assert _wrong_after_an_interrupt(small)[1] > 0
