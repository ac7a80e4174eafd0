import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

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
        ("1", r"""conv_filters: "1" is a ReLU, not a Conv2d or ConvTranspose2d. Choices: '0', '2'."""),
        ("conv9", r"""conv_filters: Sequential has no Conv2d or ConvTranspose2d "conv9". Choices: '0', '2'."""),
        ("*", r"""conv_filters: "\*" is a pattern; give one name. Choices: '0', '2'."""),
    ],
)
def test_another_layer_is_refused_with_the_choices(layer, message):
    with pytest.raises(ValueError, match=message):
        conv_filters(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3)), layer)
