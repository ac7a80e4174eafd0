import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional

from lightning_viz.introspection.layers import capture, describe_layers, find_layer, find_layers

NETS = ("resnet18", "densenet121", "squeezenet1_1", "mobilenet_v3_small")


def small_net(*, inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace), nn.Conv2d(4, 5, (3, 2)), nn.Flatten(), nn.Linear(5 * 8 * 17, 6)
    )


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images):
        return self.conv(functional.relu(self.conv(images)))


class Branched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4)})
        self.body = nn.ModuleList([nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 2, 3)])
        self.again = self.body[0]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("layers", "kinds", "found"),
    [
        ("stem.conv", nn.Conv2d, ["stem.conv"]),
        (["body.1", "stem.conv"], nn.Module, ["stem.conv", "body.1"]),
        ("body.*", nn.Conv2d, ["body.0"]),
        ("body.*", (nn.Conv2d, nn.ConvTranspose2d), ["body.0", "body.1"]),
        (["*conv", "stem.*"], nn.Module, ["stem.conv", "stem.norm"]),
        ("*", nn.Conv2d, ["stem.conv", "body.0", "again"]),
        ("body.[01]", nn.Module, ["body.0", "body.1"]),
    ],
)
def test_names_and_globs_find_layers_of_the_kind_in_model_order(layers, kinds, found):
    model = Branched()
    layers = find_layers(model, layers, kinds)
    assert list(layers) == found
    assert all(module is model.get_submodule(name) for name, module in layers.items())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("conv3", r"""^me: Branched has no Conv2d "conv3". Choices: 'stem.conv', 'body.0', 'again'.$"""),
        ("head.*", r"""^me: Branched has no Conv2d "head.\*". Choices: 'stem.conv', 'body.0', 'again'.$"""),
        (["stem.conv", "Body.0"], r"""^me: Branched has no Conv2d "Body.0". Choices: 'stem.conv',"""),
        ("stem.norm", r"""^me: "stem.norm" is a BatchNorm2d, not a Conv2d. Choices: 'stem.conv',"""),
        ("body", r"""^me: "body" is a ModuleList, not a Conv2d. Choices: 'stem.conv',"""),
    ],
)
def test_what_is_not_found_names_the_choices(layers, message):
    with pytest.raises(ValueError, match=message):
        find_layers(Branched(), layers, nn.Conv2d, who="me")


def test_a_model_without_the_kind_names_the_layers_that_it_has():
    message = (
        r"""^me: Branched has no Linear or LSTM. Layers it has: "stem.conv" \(Conv2d\), "stem.norm" \(BatchNorm2d\)"""
    )
    with pytest.raises(ValueError, match=message):
        find_layers(Branched(), "*", (nn.Linear, nn.LSTM), who="me")


def test_a_long_list_of_choices_is_cut():
    model = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(33)))
    with pytest.raises(ValueError, match=r"'29' and 3 more\.$"):
        find_layers(model, "x", nn.Conv2d)


def test_find_layer_takes_one_name_and_no_glob():
    model = Branched()
    assert find_layer(model, "body.0", nn.Conv2d) is model.body[0]
    with pytest.raises(ValueError, match=r"""me: "body.\*" is a pattern; give one name. Choices: 'body.0', 'body.1'"""):
        find_layer(model, "body.*", nn.Module, who="me")


def test_capture_keeps_what_the_layer_computed(images):
    model = small_net()
    with capture(model, ["0", "2"]) as outputs:
        model(images)
    first = functional.conv2d(images, model[0].weight, model[0].bias)
    second = functional.conv2d(functional.relu(first), model[2].weight, model[2].bias)
    assert list(outputs) == ["0", "2"]
    torch.testing.assert_close(outputs["0"], [first])
    torch.testing.assert_close(outputs["2"], [second])


def test_inplace_relu_does_not_reach_what_was_kept(images):
    kept = {}
    for inplace in (False, True):
        model = small_net(inplace=inplace)
        with capture(model, ["0", "1"]) as outputs:
            scores = model(images)
        kept[inplace] = [outputs["0"][0], outputs["1"][0], scores]
        assert outputs["0"][0].min() < 0
    for plain, changed in zip(kept[False], kept[True], strict=True):
        assert torch.equal(plain, changed)


@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_reach_what_was_kept(images, inplace):
    model = small_net(inplace=inplace)
    with capture(model, "0") as outputs:
        scores = model(images)
    gradient = torch.autograd.grad(scores[:, 2].sum(), outputs["0"][0])[0]

    split = functional.conv2d(images, model[0].weight, model[0].bias).detach().requires_grad_()
    rest = model[4](model[3](model[2](functional.relu(split))))
    assert torch.equal(gradient, torch.autograd.grad(rest[:, 2].sum(), split)[0])
    assert gradient.abs().sum() > 0


def test_captured_activation_and_gradient_make_captums_grad_cam(images):
    model = small_net()
    with capture(model, "2") as outputs:
        scores = model(images)
    (activation,) = outputs["2"]
    gradient = torch.autograd.grad(scores[:, 3].sum(), activation)[0]
    ours = (gradient.mean((2, 3), keepdim=True) * activation).sum(1, keepdim=True)
    torch.testing.assert_close(ours, LayerGradCam(model, model[2]).attribute(images, target=3))


def test_a_layer_used_twice_has_two_outputs(images):
    model = Reused()
    with capture(model, "conv") as outputs:
        scores = model(images)
    first = functional.conv2d(images, model.conv.weight, model.conv.bias, padding=1)
    torch.testing.assert_close(outputs["conv"], [first, scores])


def test_capturing_does_not_change_what_the_model_returns(images):
    model = small_net(inplace=True)
    plain = model(images)
    with capture(model, "*"):
        assert torch.equal(model(images), plain)


def test_no_hook_stays_after_an_exception(images):
    model = small_net()
    with pytest.raises(RuntimeError, match="shapes"), capture(model, "*") as outputs:
        model(images[:, :, :10])
    assert len(outputs["0"]) == 1
    assert not any(module._forward_hooks for module in model.modules())


def test_no_hook_stays_when_a_name_is_unknown():
    model = small_net()
    with (
        pytest.raises(ValueError, match=r'capture: Sequential has no layer "conv9". Choices:'),
        capture(model, ["0", "conv9"]),
    ):
        pass
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_returns_a_tuple_is_refused():
    model = nn.Sequential(nn.LSTM(4, 3))
    with pytest.raises(TypeError, match=r'layer "0" \(LSTM\) returns a tuple'), capture(model, "0"):
        model(torch.zeros(2, 4))
    assert not model[0]._forward_hooks


def test_a_tensor_that_is_alone_in_a_tuple_is_kept_and_the_tuple_goes_on():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, tokens):
            return self.attention(tokens, tokens, tokens, need_weights=False)

    model, tokens = Net().eval(), torch.randn(2, 5, 8)
    with capture(model, "attention") as outputs:
        returned, nothing = model(tokens)
    assert nothing is None
    assert torch.equal(outputs["attention"][0], returned)
    assert torch.equal(returned, model(tokens)[0])


@pytest.mark.parametrize("name", NETS)
def test_torchvision_nets_are_captured_before_their_inplace_relus(name):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    images = torch.randn(1, 3, 64, 48)
    convs = [layer for layer in describe_layers(model) if layer["type"] == "Conv2d"]
    seen = {}
    hooks = [
        model.get_submodule(conv["name"]).register_forward_hook(
            lambda module, inputs, output, name=conv["name"]: seen.update({name: output.clone()})
        )
        for conv in convs
    ]
    with torch.no_grad():
        plain = model(images)
        for hook in hooks:
            hook.remove()
        with capture(model, [conv["name"] for conv in convs]) as outputs:
            watched = model(images)
    assert torch.equal(plain, watched)
    assert all(torch.equal(outputs[name][0], seen[name]) for name in seen)
    assert len(seen) == sum(isinstance(module, nn.Conv2d) for module in model.modules())


def test_describe_layers_lists_convolutions_and_linear_layers_with_their_sizes():
    model = nn.Sequential(
        nn.Conv2d(3, 96, (11, 7), stride=(4, 2)), nn.ReLU(), nn.ConvTranspose2d(96, 8, 2, groups=4), nn.Linear(5, 7)
    )
    keys = ("name", "type", "channels", "units", "kernel", "stride")
    assert [tuple(info[key] for key in keys) for info in describe_layers(model)] == [
        ("0", "Conv2d", 3, 96, [11, 7], [4, 2]),
        ("2", "ConvTranspose2d", 96, 8, [2, 2], [1, 1]),
        ("3", "Linear", 5, 7, [], []),
    ]


@pytest.mark.parametrize(
    "layer", [nn.Identity(), nn.Flatten(), nn.Dropout().eval()], ids=lambda layer: type(layer).__name__
)
def test_what_a_layer_passes_through_is_safe_from_another_branch(layer):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, images):
            passed = self.layer(images)
            images.zero_()
            return passed

    images = torch.rand(2, 3, 4, 5)
    expected = layer(images).clone()
    model = Branches()
    with capture(model, "layer") as outputs:
        model(images)
    assert torch.equal(outputs["layer"][0], expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "closed"), [(torch.jit.script, ["0", "0.0", "0.1"]), (torch.jit.trace, ["0.0", "0.1"])]
)
def test_what_torchscript_hides_is_no_choice_and_is_said(make, closed):
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    given = () if make is torch.jit.script else (torch.rand(1, 3, 12, 20),)
    model = nn.Sequential(make(inner, *given), nn.Conv2d(4, 5, 3))
    for name in closed:
        with pytest.raises(ValueError, match=f"find_layer: \"{name}\" is TorchScript, which can't be watched.*'1'"):
            find_layer(model, name, nn.Module)
    found = find_layers(model, "*", nn.Module)
    assert list(found) == [name for name in ("0", "1") if name not in closed]
    with capture(model, "*") as outputs:
        model(torch.rand(1, 3, 12, 20))
    assert all(len(calls) == 1 for calls in outputs.values())
