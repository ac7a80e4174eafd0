"""Linear layers as PyTorch does them, by another library."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_viz.functional.aten.linear import FastLinears, fast_linear


class Heard(TorchDispatchMode):
    """Names what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))

    @property
    def fast(self) -> bool:
        return any("_linear_pointwise" in name for name in self.names)


class Own(Tensor):
    pass


ROWS, WEIGHT, BIAS = torch.randn(5, 300), torch.randn(400, 300), torch.randn(400)


@pytest.mark.parametrize(
    ("rows", "weight", "bias", "fast"),
    [
        (ROWS, WEIGHT, BIAS, True),
        (ROWS, WEIGHT, None, True),
        (ROWS.reshape(5, 1, 300).expand(5, 3, 300), WEIGHT, BIAS, True),
        (ROWS.t().contiguous().t(), nn.Parameter(WEIGHT), BIAS, True),
        (ROWS, WEIGHT.t().contiguous().t(), BIAS, False),
        (ROWS, WEIGHT, BIAS[:1].expand(400), False),
        (ROWS, WEIGHT, torch.randn(400, 2)[:, 0], False),
        (ROWS[0], WEIGHT, BIAS, False),
        (ROWS.double(), WEIGHT.double(), BIAS.double(), False),
        (ROWS.bfloat16(), WEIGHT.bfloat16(), BIAS.bfloat16(), False),
        (ROWS[:, :7], WEIGHT[:, :7].contiguous(), BIAS, False),
        (ROWS.as_subclass(Own), WEIGHT, BIAS, False),
    ],
)
@torch.no_grad()
def test_it_is_the_linear_layer(rows, weight, bias, fast):
    with Heard() as heard:
        found = fast_linear(rows, weight, bias)
    expected = F.linear(rows, weight, bias)
    assert type(found) is type(expected)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert heard.fast == fast


def test_derivatives_are_left_to_pytorch():
    rows = ROWS.clone().requires_grad_()
    fast_linear(rows, WEIGHT, BIAS).sum().backward()
    torch.testing.assert_close(rows.grad, WEIGHT.sum(0).expand(5, -1), rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_linear_layers_of_a_model_are_done_so_while_it_is_on():
    model = nn.TransformerEncoderLayer(256, 4, 512, batch_first=True).eval()
    tokens = torch.randn(2, 7, 256)
    expected = model(tokens)
    with Heard() as heard, FastLinears():
        found = model(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert sum("_linear_pointwise" in name for name in heard.names) == 2  # the attention's own are inside one function
    with Heard() as heard:
        model(tokens)
    assert not heard.fast
