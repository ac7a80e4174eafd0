import copy
import logging
from collections.abc import Callable

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from helpers.checks import assert_same_map
from helpers.networks import Calls
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from lightning_viz.functional.backward import rules
from lightning_viz.functional.backward.rules import RULES, check_rule, gradient_of, rectified_by

X = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0, 8.0, -1.0, 0.25])
SIGNAL = torch.tensor([1.0, -1.0, 2.0, 3.0, -4.0, 5.0, 6.0, -7.0])
PEERS = {"deconvnet": Deconvolution, "guided": GuidedBackprop, "gradient": Saliency}

ZERO = torch.zeros(())

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting"),  # what Captum says about its hooks
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # what torch says about TorchScript
]

RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu by keyword": lambda x: F.relu(input=x, inplace=False),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu by keyword": lambda x: torch.relu(input=x),
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp(0)": lambda x: x.clamp(0),
    "clamp(0.0, None)": lambda x: torch.clamp(x, 0.0, None),
    "clamp(min=tensor)": lambda x: torch.clamp(x, min=ZERO),
    "clamp_": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_min(tensor)": lambda x: torch.clamp_min(x, ZERO),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "Tensor.clip": lambda x: x.clip(0),
    "torch.clip": lambda x: torch.clip(x, min=0),
    "clip_": lambda x: x.clip_(0),
    "nn.Threshold": nn.Threshold(0, 0),
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "F.threshold in place": lambda x: F.threshold(x, 0.0, 0.0, True),
    "F.threshold_": lambda x: F.threshold_(x, 0, 0),
    "torch.threshold": lambda x: torch.threshold(x, threshold=0, value=0),
}

BOUNDED: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "nn.Hardtanh": nn.Hardtanh(0, 6),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "F.hardtanh_": lambda x: F.hardtanh_(x, min_val=0.0, max_val=6.0),
    "clamp(0, 6)": lambda x: x.clamp(0, 6),
    "clip(0, 6)": lambda x: torch.clip(x, 0, 6),
    "clamp_(0, 6)": lambda x: x.clamp_(min=0, max=6),
}

NO_RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp(min=-1)": lambda x: x.clamp(min=-1),
    "clamp(max=0)": lambda x: x.clamp(max=0),
    "clamp_min(0.3)": lambda x: x.clamp_min(0.3),
    "clamp_max(0)": lambda x: x.clamp_max(0),
    "threshold(0.3, 0)": lambda x: F.threshold(x, 0.3, 0),
    "threshold(0, -1)": lambda x: F.threshold(x, 0, -1),
    "abs": torch.abs,
    "sigmoid": torch.sigmoid,
}

PASS_NEGATIVE = {
    "leaky_relu": nn.LeakyReLU(0.2),
    "prelu": nn.PReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(inplace=True),
    "celu": nn.CELU(),
    "silu": nn.SiLU(inplace=True),
    "gelu": nn.GELU(),
    "mish": nn.Mish(),
    "hardswish": nn.Hardswish(),
    "rrelu": nn.RReLU().eval(),
    "softplus": nn.Softplus(),
    "hardtanh": nn.Hardtanh(),
}


@pytest.fixture
def warned(caplog) -> Callable[[], list[str]]:
    """What was warned about since the test began."""
    rules._warn.cache_clear()
    caplog.set_level(logging.WARNING, "lightning_viz")
    return lambda: [record.getMessage() for record in caplog.records]


class Residual(nn.Module):
    """One in-place rectifier, used twice, on both sides of a skip connection."""

    def __init__(self, channels: int, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        y = self.rectify(self.one(x))
        y = self.two(y)
        y += x
        return self.rectify(y)


def network(rectify: Callable[[Tensor], Tensor], channels: int = 3) -> nn.Sequential:
    """Overlapping pooling, a skip connection, one rectifier used everywhere."""
    torch.manual_seed(0)
    own = rectify if isinstance(rectify, nn.Module) else Calls(rectify)
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, stride=2, padding=1),
        own,
        nn.MaxPool2d(3, 2),
        nn.Conv2d(5, 6, 3, padding=1),
        own,
        Residual(6, rectify),
        nn.Flatten(),
        nn.Linear(6 * 5 * 9, 4),
    ).eval()


def images_for(channels: int) -> Tensor:
    return torch.randn(2, channels, 24, 40, generator=torch.Generator().manual_seed(channels))


def sent_back(function: Callable[[Tensor], Tensor], rule: str, x: Tensor = X, signal: Tensor = SIGNAL) -> Tensor:
    """What arrives below a function when a signal comes from above."""
    leaf = x.clone().requires_grad_()
    with rectified_by(rule, nn.Identity()):
        (down,) = torch.autograd.grad(function(leaf.clone()), leaf, signal)
    return down


def class_gradient(model: nn.Module, rule: str, images: Tensor, number: int = 1) -> Tensor:
    leaf = images.clone().requires_grad_()
    with rectified_by(rule, model):
        return gradient_of(model(leaf)[:, number].sum(), leaf)


def peers_gradient(model: nn.Module, rule: str, images: Tensor, number: int = 1) -> Tensor:
    attribute = PEERS[rule](model).attribute
    options = {"abs": False} if rule == "gradient" else {}
    return attribute(images.clone().requires_grad_(), number, **options).detach()


@pytest.mark.parametrize("name", [*RECTIFIERS, *BOUNDED])
def test_the_rules_act_on_the_operation_however_it_is_called(name):
    function = (RECTIFIERS | BOUNDED)[name]
    inside = (X > 0) & X.lt(6 if name in BOUNDED else torch.inf)
    # At 0 the derivative is a matter of taste: torch's clamp(min=tensor) lets half of the signal pass.
    assert torch.equal(sent_back(function, "gradient")[X != 0], (SIGNAL * inside)[X != 0])
    assert torch.equal(sent_back(function, "deconvnet"), SIGNAL * (SIGNAL > 0))
    assert torch.equal(sent_back(function, "guided"), SIGNAL * (SIGNAL > 0) * inside)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [*RECTIFIERS, *BOUNDED])
def test_the_way_forward_stays_as_it_is(name, rule):
    function = (RECTIFIERS | BOUNDED)[name]
    expected = function(X.clone())
    with rectified_by(rule, nn.Identity()):
        assert torch.equal(function(X.clone()), expected)


@pytest.mark.parametrize("name", NO_RECTIFIERS)
def test_other_operations_keep_their_derivative_and_are_not_warned_about(name, warned):
    for rule in RULES:
        leaf = X.clone().requires_grad_()
        (plain,) = torch.autograd.grad(NO_RECTIFIERS[name](leaf), leaf, SIGNAL)
        assert torch.equal(sent_back(NO_RECTIFIERS[name], rule), plain)
    assert warned() == []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "change",
    [
        torch.relu_,
        lambda x: F.relu(x, inplace=True),
        lambda x: x.clamp_(min=0),
        nn.ReLU6(inplace=True),
        lambda x: F.threshold_(x, 0, 0),
    ],
)
def test_a_call_in_place_changes_the_tensor_that_the_model_goes_on_to_use(change, rule):
    def forgets_what_it_gets(x: Tensor) -> Tensor:
        change(x)
        y = x
        return 3 * y

    def keeps_what_it_gets(x: Tensor) -> Tensor:
        return 3 * change(x)

    with rectified_by(rule, nn.Identity()):
        x = X.clone()
        assert change(x) is x
        assert torch.equal(forgets_what_it_gets(X.clone()), 3 * change(X.clone()))
    assert torch.equal(sent_back(forgets_what_it_gets, rule), sent_back(keeps_what_it_gets, rule))
    assert sent_back(forgets_what_it_gets, rule).any()


@pytest.mark.parametrize("rule", RULES)
def test_a_part_of_a_tensor_may_be_rectified_in_place(rule):
    def half(x: Tensor) -> Tensor:
        x[:4].relu_()
        return x * 1

    down = sent_back(half, rule)
    assert torch.equal(down[:4], sent_back(torch.relu, rule)[:4])
    assert torch.equal(down[4:], SIGNAL[4:])


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("in_place", [False, True])
def test_module_networks_are_as_captum_sees_them(in_place, rule, channels):
    model, images = network(nn.ReLU(in_place), channels), images_for(channels)
    assert_same_map(class_gradient(model, rule, images), peers_gradient(model, rule, images))


@pytest.mark.parametrize("name", [name for name in RECTIFIERS if not name.startswith("nn.ReLU")])
def test_functional_networks_are_as_the_same_network_of_modules(name):
    functional, modules, images = network(RECTIFIERS[name]), network(nn.ReLU()), images_for(3)
    assert torch.equal(functional(images), modules(images))
    for rule in RULES:
        assert_same_map(class_gradient(functional, rule, images), peers_gradient(modules, rule, images))


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_captum_gives_the_plain_gradient_of_functional_networks(rule):
    """Why the oracle of the test above is the network rewritten with modules."""
    functional, images = network(F.relu), images_for(3)
    plain = peers_gradient(functional, "gradient", images)
    assert_same_map(peers_gradient(functional, rule, images), plain)
    assert (class_gradient(functional, rule, images) - plain).abs().max() > 0.1 * plain.abs().max()


@pytest.mark.parametrize("name", BOUNDED)
def test_where_the_bound_is_not_reached_bounded_rectifiers_are_like_any_other(name):
    bounded, modules, images = network(BOUNDED[name]), network(nn.ReLU()), images_for(3)
    assert torch.equal(bounded(images), modules(images))
    for rule in RULES:
        assert_same_map(class_gradient(bounded, rule, images), peers_gradient(modules, rule, images))


@pytest.mark.parametrize("name", PASS_NEGATIVE)
def test_activations_that_pass_negative_values_keep_their_derivative_and_are_named_once(name, warned):
    activation = PASS_NEGATIVE[name]
    plain = sent_back(activation, "gradient")
    assert warned() == []
    for rule in ("deconvnet", "guided", "deconvnet"):
        assert torch.equal(sent_back(activation, rule), plain)
    (message,) = warned()
    assert message.startswith(f"lightning_viz: {name} lets negative values pass")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("leaky_relu", lambda x: F.leaky_relu_(x, 0.2)),
        ("elu", F.elu_),
        ("gelu", lambda x: F.gelu(input=x, approximate="tanh")),
        ("hardtanh", F.hardtanh_),
        ("celu", torch.celu_),
        ("prelu", lambda x: torch.prelu(x, torch.tensor([0.2]))),
    ],
)
def test_so_are_their_functions(name, call, warned):
    plain = sent_back(call, "gradient")
    assert torch.equal(sent_back(call, "guided"), plain)
    assert [message.split()[1] for message in warned()] == [name]


def test_rectifiers_are_not_warned_about(warned):
    for function in (RECTIFIERS | BOUNDED).values():
        sent_back(function, "deconvnet")
    assert warned() == []


@pytest.mark.parametrize("rule", RULES)
def test_scripted_modules_are_warned_about_where_the_rule_matters(rule, warned):
    class Scripted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x)

    model = nn.Sequential(nn.ReLU(), torch.jit.script(Scripted()))
    for _ in range(2):
        with rectified_by(rule, model):
            pass
    expected = ["lightning_viz: the inside of Scripted (TorchScript) can't be reached by the rule."]
    assert warned() == ([] if rule == "gradient" else expected)


def test_a_model_that_computes_parts_anew_on_the_way_back_follows_the_rule_there_too():
    plain = network(nn.ReLU())

    class Saving(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for part in (plain[:3], plain[3:]):
                x = checkpoint(part, x, use_reentrant=False)
            return x

    for rule in RULES:
        assert_same_map(class_gradient(Saving(), rule, images_for(3)), peers_gradient(plain, rule, images_for(3)))


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_the_rule_ends_with_the_block_also_after_an_exception(rule):
    plain = sent_back(torch.relu, "gradient")
    with pytest.raises(ZeroDivisionError), rectified_by(rule, nn.Identity()):
        1 / 0  # noqa: B018
    leaf = X.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(torch.relu(leaf), leaf, SIGNAL)[0], plain)


def test_no_module_is_touched():
    model = network(nn.ReLU())
    before = copy.deepcopy({name: dict(vars(module)) for name, module in model.named_modules()})
    with rectified_by("guided", model):
        model(images_for(3))
        now = {name: dict(vars(module)) for name, module in model.named_modules()}
        assert [list(attributes) for attributes in now.values()] == [list(old) for old in before.values()]
        hooks = [value for old in now.values() for key, value in old.items() if key.endswith("_hooks")]
        assert hooks
        assert not any(hooks)


def test_rules_by_name():
    for rule in RULES:
        assert check_rule(rule, "reconstruct") is None
    with pytest.raises(
        ValueError, match="^reconstruct: there is no rule 'deconv'. Choices: 'deconvnet', 'guided', 'gradient'"
    ):
        check_rule("deconv", "reconstruct")
