"""What a model does, operation by operation: nothing left out, nothing invented."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.introspection.trace import Value, trace


def nothing(*_):
    return None


def run(model, layer, images=None, keep=nothing, **options):
    images = torch.randn(2, 3, 12, 20) if images is None else images
    return trace(model.eval(), images, [layer], keep, **options)


def test_the_operations_come_in_order_with_their_arguments():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2))
    traced = run(model, "3")
    names = [step.operation for step in traced.steps]
    assert [name.split("_")[0] for name in names] == ["convolution", "native", "relu", "max"]
    first = traced.steps[0]
    assert first.arguments["input"] == Value(0)
    assert first.arguments["weight"] is model[0].weight
    assert (first.arguments["stride"], first.arguments["padding"]) == ([2, 2], [1, 1])
    assert traced.layers["3"].value == traced.steps[-1].outputs[0]
    assert traced.shapes[traced.layers["3"].value] == (2, 4, 2, 4)
    assert traced.shapes[0] == (2, 3, 12, 20)


@pytest.mark.parametrize(
    "relu",
    [nn.ReLU(inplace=True), nn.ReLU(), F.relu, torch.relu_, lambda x: x.relu_(), lambda x: (x.relu_(), x)[1]],
    ids=["module in place", "module", "functional", "torch in place", "method in place", "changed tensor"],
)
def test_the_form_of_an_operation_does_not_matter(relu):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)

        def forward(self, x):
            return self.two(relu(self.one(x)))

    traced = run(Net(), "two")
    assert [step.operation for step in traced.steps] == ["convolution", "relu", "convolution"]
    for before, after in zip(traced.steps, traced.steps[1:], strict=False):
        assert Value(before.outputs[0]) in after.arguments.values()


def test_the_layer_that_runs_twice_is_what_it_gave_last():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            return self.conv(self.conv(x)).relu()

    model = Twice()
    images = torch.randn(2, 3, 12, 20)
    traced = run(model, "conv", images)
    assert traced.layers["conv"].value == 2
    torch.testing.assert_close(traced.layers["conv"].output, model.conv(model.conv(images)))
    assert traced.layers["conv"].runs == 2
    assert [step.operation for step in run(model, "conv", images, runs=2).steps] == ["convolution", "convolution"]
    assert len(run(model, "conv", images, runs=1).steps) == 1


def test_the_layers_output_is_kept_from_what_follows_in_place():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    images = torch.randn(2, 3, 12, 20)
    assert run(model, "0", images).layers["0"].output.min() < 0


def test_what_does_not_depend_on_the_images_is_no_step():
    class Standardised(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            weight = self.conv.weight - self.conv.weight.mean()
            return self.conv(F.conv2d(x, weight)[:, :3])

    traced = run(Standardised(), "conv")
    assert traced.steps[0].operation == "convolution"
    assert "mean" not in {step.operation for step in traced.steps}


def test_a_change_in_place_that_reaches_another_value_is_refused():
    class Aliased(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            maps = self.conv(x)
            half = maps[:, :2]
            half.relu_()
            return maps.sum() + half.sum()

    assert run(Aliased(), "conv") is None


def test_what_is_kept_comes_from_every_operation():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2))
    traced = run(model, "1", keep=lambda name, arguments, outputs: (name, [one.shape for one in outputs]))
    assert traced.steps[1].kept[0] == traced.steps[1].operation
    assert traced.steps[1].kept[1][0] == (2, 4, 5, 9)


def test_nothing_stays_behind_also_after_an_error():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            raise ArithmeticError(self.conv(x).shape)

    model = Broken()
    with pytest.raises(ArithmeticError):
        run(model, "conv")
    assert not model.conv._forward_hooks
    assert (torch.ones(1) + 1).item() == 2


def test_images_stay_as_they_are_when_the_model_works_in_place():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x.sub_(1))

    images = torch.randn(2, 3, 12, 20)
    before = images.clone()
    traced = run(InPlace(), "conv", images)
    assert torch.equal(images, before)
    assert [step.operation for step in traced.steps] == ["sub", "convolution"]
