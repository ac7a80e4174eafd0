import copy
from collections.abc import Callable

import pytest
import torch
from helpers.checks import left_as_found
from torch import Tensor, nn
from torch.ao.nn import intrinsic, qat
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, parametrize, prune

from lightning_viz import functional
from lightning_viz.functional import conv_filters

OLD = pytest.mark.filterwarnings("ignore::FutureWarning")


def step_in_place(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5).add_(0.1)


def used_weight(module: nn.Module, size: tuple[int, int] = (9, 11)) -> torch.Tensor:
    """The kernel as the layer itself shows it: what its first output pixel answers to one-hot images."""
    module.eval()
    images = torch.eye(module.in_channels * size[0] * size[1]).reshape(-1, module.in_channels, *size)
    with torch.no_grad():
        response = module(images) - module(torch.zeros_like(images[:1]))
    (h, w), (dh, dw) = module.kernel_size, module.dilation
    corner = response[:, :, 0, 0].T.reshape(-1, module.in_channels, *size)
    return corner[:, :, : h * dh : dh, : w * dw : dw]


def test_filters_are_the_weight_and_share_no_memory_with_it():
    model = nn.Sequential(nn.Conv2d(3, 5, (3, 2)))
    filters = conv_filters(model, "0")
    assert torch.equal(filters, model[0].weight)
    before = model[0].weight.clone()
    filters.zero_()
    assert torch.equal(model[0].weight, before)
    assert not filters.requires_grad


def test_each_unit_has_the_channels_of_its_group():
    conv = nn.Conv2d(6, 4, (3, 2), groups=2)
    filters = conv_filters(nn.Sequential(conv), "0")
    assert filters.shape == (4, 3, 3, 2)
    response = used_weight(conv)
    torch.testing.assert_close(filters[:2], response[:2, :3])
    torch.testing.assert_close(filters[2:], response[2:, 3:])
    assert response[:2, 3:].abs().max() == 0


def test_dilation_leaves_the_kernel_as_it_is():
    conv = nn.Conv2d(2, 3, (3, 2), dilation=(2, 3))
    torch.testing.assert_close(conv_filters(nn.Sequential(conv), "0"), used_weight(conv))


@pytest.mark.parametrize(("channels", "units", "groups"), [(2, 3, 1), (4, 6, 2), (3, 3, 3)])
def test_transposed_filters_are_the_response_to_one_pixel(channels, units, groups):
    conv = nn.ConvTranspose2d(channels, units, (3, 2), groups=groups, bias=False)
    filters = conv_filters(nn.Sequential(conv), "0")
    assert filters.shape == (units, channels // groups, 3, 2)
    with torch.no_grad():
        responses = conv(torch.eye(channels).reshape(channels, channels, 1, 1))
    for unit in range(units):
        first = unit // (units // groups) * (channels // groups)
        torch.testing.assert_close(filters[unit], responses[first : first + channels // groups, unit])


@pytest.mark.parametrize("convolution", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrised_weight_follows_its_parameters(convolution, norm):
    torch.manual_seed(0)
    model = nn.Sequential(norm(convolution(3, 5, (3, 2))))
    before = conv_filters(model, "0")
    step_in_place(model)
    after = conv_filters(model, "0")
    model.eval()
    weight = model[0].weight.detach()
    assert torch.equal(after, weight.transpose(0, 1) if convolution is nn.ConvTranspose2d else weight)
    assert not torch.allclose(before, after)


@OLD
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_old_style_norms_are_computed_anew(norm):
    torch.manual_seed(0)
    model = nn.Sequential(norm(nn.Conv2d(2, 5, (3, 2))))
    model(torch.randn(1, 2, 9, 11))
    stale = model[0].weight.detach().clone()
    step_in_place(model)
    filters = conv_filters(model, "0")
    assert not torch.allclose(filters, stale)
    torch.testing.assert_close(filters, used_weight(model[0]))


def test_pruned_weight_is_computed_anew():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 5, (3, 2)))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.random_unstructured(model[0], "weight", amount=0.3)
    step_in_place(model)
    filters = conv_filters(model, "0")
    assert (filters == 0).sum() > 15
    torch.testing.assert_close(filters, used_weight(model[0]))


def test_a_pruned_bias_is_not_taken_for_the_weight():
    model = nn.Sequential(nn.Conv2d(2, 5, 3))
    prune.l1_unstructured(model[0], "bias", amount=0.5)
    assert torch.equal(conv_filters(model, "0"), model[0].weight)


def response(module: nn.Module, channels: int = 4, reach: int = 4) -> Tensor:
    """The kernel as responses to single pixels tell it, of a layer that keeps the size: 2 reach + 1 a side."""
    size = 4 * reach + 1, 4 * reach + 3
    pixels = torch.zeros(channels, channels, *size, dtype=next(module.parameters()).dtype)
    pixels[range(channels), range(channels), 2 * reach, 2 * reach] = 1
    with torch.no_grad():
        seen = module(pixels) - module(torch.zeros_like(pixels[:1]))
    window = slice(reach, 3 * reach + 1)
    return seen[:, :, window, window].flip(2, 3).transpose(0, 1)


def check_response(module: nn.Module, channels: int = 4) -> None:
    """Compare the filters of ``module`` with what pixels say, in the middle of their window and zero around it."""
    model = nn.Sequential(nn.Identity(), module).train()
    with left_as_found(model):
        filters = conv_filters(model, "1")
    model.eval()
    seen = response(copy.deepcopy(module), channels)
    rows, columns = ((side - kernel) // 2 for side, kernel in zip(seen.shape[2:], filters.shape[2:], strict=True))
    assert seen.abs().max() > 0
    middle = seen[:, :, rows : seen.shape[2] - rows, columns : seen.shape[3] - columns]
    torch.testing.assert_close(filters, middle, rtol=0, atol=1e-5 * float(seen.abs().max()))


class Masked(nn.Conv2d):
    """PixelCNN: what comes later is not seen."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones_like(self.weight)
        mask[:, :, 2:], mask[:, :, 1, 1:] = 0, 0
        return self._conv_forward(x, self.weight * mask, self.bias)


class Scaled(nn.Conv2d):
    """Equalised learning rate."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * 0.19, self.bias, padding=self.padding)


class Round(torch.autograd.Function):
    @staticmethod
    def forward(context, weight):
        return (weight * 16).round() / 16

    @staticmethod
    def backward(context, gradient):
        return gradient


class Rounded(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, Round.apply(self.weight), self.bias)


class Partial(nn.Conv2d):
    """Counts the pixels that are known with a convolution of its own."""

    def forward(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        known = torch.ones_like(x[:, :1]) if known is None else known
        count = F.conv2d(known, torch.ones(1, 1, *self.kernel_size), padding=self.padding)
        return self._conv_forward(x * known, self.weight, self.bias) * (count > 0)


class Free(nn.Module):
    """A convolution that is none by its class."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = 2
        self.gain, self.kernel = nn.Parameter(torch.rand(6, 1, 1, 1)), nn.Parameter(torch.randn(6, 2, 3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.conv2d(x, self.gain * self.kernel, padding="same", groups=self.groups))


class LowRank(nn.Module):
    """What an adapter adds, in the way of LoRA."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, (5, 3), padding=(2, 1)).requires_grad_(False)
        self.one, self.other = nn.Parameter(torch.randn(30, 2)), nn.Parameter(torch.randn(2, 12))

    def forward(self, x: Tensor) -> Tensor:
        added = (self.one @ self.other).view(6, 5, 4, 3).transpose(1, 2)
        return self.conv._conv_forward(x, self.conv.weight + added, self.conv.bias)


class Equalised(nn.Module):
    """A parametrization, as ``register_parametrization`` takes it."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight / weight.std((1, 2, 3), keepdim=True)


def parametrised() -> nn.Module:
    conv = nn.Conv2d(4, 6, (3, 5), padding="same")
    parametrize.register_parametrization(conv, "weight", Equalised())
    return conv


def quantised() -> nn.Module:
    """Watches its weights in eval mode too."""
    conv = nn.Conv2d(4, 6, (3, 5), padding="same")
    conv.qconfig = get_default_qat_qconfig("fbgemm")
    module = qat.Conv2d.from_float(conv)
    module(torch.rand(1, 4, 9, 9))
    return module


def quantised_with_norm() -> nn.Module:
    norm = nn.BatchNorm2d(6)
    nn.init.uniform_(norm.weight), norm.running_var.uniform_(0.5, 2)
    both = intrinsic.ConvBn2d(nn.Conv2d(4, 6, 3, padding=1), norm)
    both.qconfig = get_default_qat_qconfig("fbgemm")
    module = intrinsic.qat.ConvBn2d.from_float(both.train()).eval()
    module(torch.rand(1, 4, 9, 9))
    return module


def timm_layer(name: str, *arguments: int, **named: object) -> nn.Module:
    layers = pytest.importorskip("timm.layers")
    return getattr(layers, name)(*arguments, **named)


USED: dict[str, Callable[[], nn.Module]] = {
    "masked": lambda: Masked(4, 6, 3, padding=1),
    "scaled": lambda: Scaled(4, 6, (3, 5), padding=(1, 2)),
    "rounded": lambda: Rounded(4, 6, (3, 5), padding="same"),
    "beside another": lambda: Partial(4, 6, 3, padding=1),
    "StdConv2d": lambda: timm_layer("StdConv2d", 4, 6, 3, padding=1),
    "StdConv2dSame": lambda: timm_layer("StdConv2dSame", 4, 6, 5),
    "ScaledStdConv2d": lambda: timm_layer("ScaledStdConv2d", 4, 6, 3, padding=1),
    "reflecting": lambda: Scaled(4, 6, 7, padding=3, padding_mode="reflect"),
    "parametrised": parametrised,
    "quantised": quantised,
    "quantised with its norm": quantised_with_norm,
    "low rank": LowRank,
    "alone in a block": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)),
    "complex": lambda: nn.Conv2d(4, 6, (3, 5), padding="same", dtype=torch.complex64),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", USED)
def test_filters_are_what_the_layer_multiplies_with(name):
    torch.manual_seed(0)
    check_response(USED[name]())


def test_a_convolution_by_another_class_is_read_where_it_is_called():
    torch.manual_seed(0)
    module = Free()
    filters = conv_filters(nn.Sequential(module), "0")
    assert torch.equal(filters, (module.gain * module.kernel).detach())


@pytest.mark.parametrize("groups", [1, 2])
def test_complex_filters_of_a_transposed_convolution(groups):
    conv = nn.ConvTranspose2d(4, 6, (3, 2), groups=groups, dtype=torch.complex128)
    filters = conv_filters(nn.Sequential(conv), "0")
    assert filters.dtype == torch.complex64
    with torch.no_grad():
        seen = conv(torch.eye(4, dtype=torch.complex128).reshape(4, 4, 1, 1)) - conv.bias[:, None, None]
    for unit in range(6):
        first = unit // (6 // groups) * (4 // groups)
        torch.testing.assert_close(filters[unit], seen[first : first + 4 // groups, unit].to(torch.complex64))


class OfItsInput(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * x.mean().sigmoid(), self.bias)


class WithStyle(nn.Conv2d):
    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * style, self.bias)


class Unfolded(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return (self.weight.flatten(1) @ F.unfold(x, self.kernel_size)).view(len(x), 6, x.shape[2] - 2, -1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            OfItsInput(4, 6, 3),
            r'layer "1" \(OfItsInput\) makes its filters of its input: each image has others. Choose another layer.$',
        ),
        (
            WithStyle(4, 6, 3),
            r'layer "1" \(WithStyle\) does not run by itself on .*Choose another layer. TypeError: .*style',
        ),
        (Unfolded(4, 6, 3), r'layer "1" \(Unfolded\) calls no convolutions, not one. Choose another layer.$'),
        (
            nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 3)),
            r'layer "1" \(Sequential\) calls 2 convolutions, not one. Choose another layer.$',
        ),
    ],
)
def test_filters_that_can_not_be_told_are_refused_in_words(layer, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), layer)
    with left_as_found(model), pytest.raises(ValueError, match=f"^conv_filters: {message}"):
        conv_filters(model, "1")


def test_half_precision_weights_come_as_float32():
    model = nn.Sequential(nn.Conv2d(3, 4, 3)).bfloat16()
    filters = conv_filters(model, "0")
    assert filters.dtype == torch.float32
    assert torch.equal(filters, model[0].weight.float())


def test_memory_format_does_not_matter():
    model = nn.Sequential(nn.Conv2d(3, 4, (3, 2)))
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert last[0].weight.stride() != model[0].weight.stride()
    assert torch.equal(conv_filters(last, "0"), conv_filters(model, "0"))


@OLD
@pytest.mark.parametrize(
    "norm",
    [parametrizations.weight_norm, parametrizations.spectral_norm, nn.utils.weight_norm, nn.utils.spectral_norm],
)
def test_the_model_is_left_as_found(norm):
    model = nn.Sequential(norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4).eval()).train()
    model[1].eval()
    model(torch.randn(2, 3, 12, 20)).sum().backward()
    grads = [parameter.grad for parameter in model.parameters()]
    state = copy.deepcopy(model.state_dict())
    conv_filters(model, "0")
    assert [module.training for module in model] == [True, False]
    assert all(parameter.grad is grad for parameter, grad in zip(model.parameters(), grads, strict=True))
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert not parametrize._cache


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("1", r"""conv_filters: "1" is a ReLU, not a Conv2d, .* or ConvTranspose1d. Choices: '0', '2'."""),
        ("conv9", r"""conv_filters: Sequential has no Conv2d, .* or ConvTranspose1d "conv9". Choices: '0', '2'."""),
        ("*", r"""conv_filters: "\*" is a pattern; give one name. Choices: '0', '2'."""),
    ],
)
def test_another_layer_is_refused_with_the_choices(layer, message):
    with pytest.raises(ValueError, match=message):
        conv_filters(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3)), layer)


IMAGES = torch.rand(2, 3, 12, 20)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: functional.activation_maps(model, "0", IMAGES),
        lambda model: functional.collect_features(model, IMAGES),
        lambda model: functional.conv_filters(model, "0"),
        lambda model: functional.feature_layer(model, IMAGES),
        lambda model: functional.grad_cam(model, "0", IMAGES),
        lambda model: functional.guided_grad_cam(model, "0", IMAGES),
        lambda model: functional.occlusion_map(model, IMAGES),
        lambda model: functional.receptive_field(model, "0", (12, 20)),
        lambda model: functional.reconstruct(model, "0", IMAGES),
        lambda model: functional.saliency(model, IMAGES),
        lambda model: functional.top_patches(model, "0", IMAGES),
    ],
)
def test_weights_without_values_are_refused_by_all_functions(ask):
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(RuntimeError, match='isolated: the weights of "0.weight" have no values'):
        ask(model)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kind", "kernel"),
    [
        (nn.Conv1d, (5,)),
        (nn.Conv3d, (3, 2, 5)),
        (nn.ConvTranspose1d, (5,)),
        (nn.ConvTranspose3d, (3, 2, 5)),
    ],
)
def test_kernels_of_one_and_three_dimensions(kind, kernel, groups):
    conv = kind(4, 6, kernel, padding=1, groups=groups)
    expected = conv.weight.detach()
    if conv.transposed:
        parts = expected.chunk(groups)
        expected = torch.cat([part.transpose(0, 1) for part in parts])
    assert torch.equal(conv_filters(nn.Sequential(nn.ReLU(), conv), "1"), expected)
