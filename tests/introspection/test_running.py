import pytest
import torch
from helpers.checks import left_as_found
from helpers.networks import Does
from torch import nn

from lightning_viz.introspection.running import running_layers

IMAGES = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))


def conv() -> nn.Module:
    return nn.Conv2d(3, 3, 3, padding=1)


def no_grad(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return part(x)


FORWARDS = {
    "the order of the calls": (lambda s, x: s.a(s.b(x)), None, ["b", "a"]),
    "a part that does not run": (lambda s, x: s.b(x), None, ["b"]),
    "a part beside": (lambda s, x: (s.a(x), s.b(x))[1], None, ["b"]),
    "a part beside, under no_grad": (lambda s, x: (no_grad(s.a, x), s.b(x))[1], None, ["b"]),
    "a frozen part on the way": (lambda s, x: s.b(no_grad(s.a, x)), None, ["a", "b"]),
    "a detached part on the way": (lambda s, x: s.b(s.a(x).detach()), None, ["a", "b"]),
    "what does not depend on the images": (lambda s, x: s.a(x) + s.b(torch.ones(1, 3, 12, 20)), None, ["a"]),
    "two outputs": (lambda s, x: {"one": s.b(x), "two": [s.a(x)]}, None, ["b", "a"]),
    "one of two outputs": (lambda s, x: {"one": s.b(x), "two": s.a(x)}, "two", ["a"]),
    "the output of a function": (lambda s, x: (s.a(x), s.b(x)), lambda found: found[1], ["b"]),
    "a part that runs twice": (lambda s, x: s.a(s.b(s.a(x))), None, ["a", "b"]),
    "in place": (lambda s, x: s.b(s.a(x).relu_()), None, ["a", "b"]),
    "NumPy on the way": (lambda s, x: s.b(torch.from_numpy(s.a(x).detach().numpy() * 2)), None, ["a", "b"]),
}


@pytest.mark.parametrize(("does", "output", "expected"), FORWARDS.values(), ids=FORWARDS)
def test_layers_are_those_on_the_way_from_the_images_to_the_output(does, output, expected):
    model = Does(does, a=conv(), b=conv()).eval()
    model.end = nn.Identity()
    with left_as_found(model):
        assert running_layers(model, IMAGES, ["a", "b"], output) == expected


def test_scripted_parts_are_passed_over():
    model = nn.Sequential(torch.jit.script(nn.Sequential(conv(), nn.ReLU())), conv())
    assert running_layers(model, IMAGES, ["0", "0.0", "1"]) == ["1"]
