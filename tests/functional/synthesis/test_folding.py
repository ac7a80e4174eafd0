import pytest
import torch
from helpers.checks import left_as_found
from torch import Tensor, nn

from lightning_viz import isolated
from lightning_viz.functional import class_model, deep_dream
from lightning_viz.functional.synthesis.folding import folded_batch_norms

IMAGES = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) - 0.5


def norm(units: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(units)
    with torch.no_grad():
        for values in (made.weight, made.bias, made.running_mean, made.running_var):
            values.copy_(torch.rand(units) + 0.5)
    return made


class Branches(nn.Module):
    """What the first convolution gives is also used without its normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second, self.last = nn.Conv2d(3, 4, 3), norm(4), nn.Conv2d(4, 4, 1), norm(4)

    def forward(self, images: Tensor) -> Tensor:
        found = self.first(images)
        return self.last(self.second(self.norm(found).relu() + found)).mean((2, 3))


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), norm(6), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2, bias=False), norm(4), flat
    )


def folded_in(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_each_normalisation_behind_a_convolution_is_folded_and_the_result_stays():
    model = chain().eval()
    expected = model(IMAGES)
    with left_as_found(model), isolated(model), torch.no_grad():
        with folded_batch_norms(model, model, IMAGES):
            assert folded_in(model) == ["0", "1", "3", "4"]
            assert torch.equal(model[1](IMAGES), IMAGES)
            torch.testing.assert_close(model(IMAGES), expected, rtol=1e-5, atol=1e-6)
        assert folded_in(model) == []


def test_the_layer_that_is_looked_at_is_kept():
    model = chain().eval()
    with isolated(model), torch.no_grad():
        expected = model[0](IMAGES)
        with folded_batch_norms(model, model, IMAGES, keep="0"):
            assert folded_in(model) == ["3", "4"]
            assert torch.equal(model[0](IMAGES), expected)


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: nn.Sequential(model, nn.Identity())])
def test_where_something_else_looks_at_the_convolution_nothing_is_folded(wrap):
    model = wrap(Branches()).eval()
    expected = model(IMAGES)
    with isolated(model), torch.no_grad():
        with folded_batch_norms(model, model, IMAGES):
            assert folded_in(model) == []
            assert torch.equal(model(IMAGES), expected)


def test_a_convolution_that_runs_twice_is_left_alone():
    convolution, first, second = nn.Conv2d(3, 3, 3, padding=1), norm(3), norm(3)
    model = nn.Sequential(convolution, first, convolution, second).eval()
    with isolated(model), torch.no_grad():
        with folded_batch_norms(model, model, IMAGES):
            assert folded_in(model) == []


def test_batch_statistics_are_not_folded():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    with isolated(model), torch.no_grad():
        with folded_batch_norms(model, model, IMAGES):
            assert folded_in(model) == []


@pytest.mark.parametrize("layer", ["0", "1", "3", "4"])
def test_the_gradient_of_a_unit_of_a_folded_network_is_that_of_the_network(layer):
    model = chain().eval()

    def gradient() -> Tensor:
        leaf = IMAGES.clone().requires_grad_()
        return torch.autograd.grad(model[: int(layer) + 1](leaf)[:, 1].square().sum(), leaf)[0]

    with isolated(model):
        expected = gradient()
        with folded_batch_norms(model, model, IMAGES, layer):
            assert folded_in(model)
            torch.testing.assert_close(gradient(), expected, rtol=1e-4, atol=1e-5)


def test_inside_a_loan_the_model_is_as_before_when_another_looks_at_it():
    model = chain().eval()
    one_by_one = [class_model(model, [1], layer, IMAGES, steps=2) for layer in ("0", "3")]
    with isolated(model):
        maps = model[0](IMAGES)
        together = [class_model(model, [1], layer, IMAGES, steps=2) for layer in ("0", "3")]
        deep_dream(model, "3", IMAGES, steps=1, octaves=1)
        assert torch.equal(model[0](IMAGES), maps)
        assert folded_in(model) == []
        assert all(weight.requires_grad for weight in model.parameters())
    assert all(map(torch.equal, together, one_by_one))
