"""What is seen of tokens and attention, against plain torch."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.introspection.tokens import watch_tokens

IMAGES = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))


class Forward(nn.Module):
    def __init__(self, forward, **layers: nn.Module) -> None:
        super().__init__()
        self.does = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, given: Tensor) -> Tensor:
        return self.does(self, given)


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 8, (4, 2), stride=(4, 2))


@pytest.mark.parametrize(
    "tokens_of",
    [
        lambda model, x: model.conv(x).flatten(2).transpose(1, 2),
        lambda model, x: model.conv(x).reshape(2, 8, 30).mT,
        lambda model, x: model.conv(x).permute(0, 2, 3, 1).reshape(2, 30, 8),
        lambda model, x: model.conv(x).to(memory_format=torch.channels_last).flatten(2),
        lambda model, x: F.unfold(x, (4, 2), stride=(4, 2)).mT,
        lambda model, x: x.unfold(2, 4, 4).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(2, 30, 24),
        lambda model, x: x.view(2, 3, 3, 4, 10, 2).permute(0, 2, 4, 3, 5, 1).reshape(2, 30, 24),
    ],
    ids=["flatten", "reshape", "channels last", "memory format", "unfold", "unfold twice", "einops"],
)
def test_the_grid_of_tokens_is_seen_however_they_are_made(tokens_of):
    model = Forward(tokens_of, conv=conv())
    with watch_tokens(model) as seen:
        model(IMAGES)
    assert seen.grids == {30: (3, 10)}


def test_heads_that_are_joined_are_no_grid():
    model = Forward(lambda model, x: x.unflatten(2, (3, 10)).transpose(1, 2).transpose(1, 2).flatten(2))
    with watch_tokens(model) as seen:
        model(torch.randn(2, 7, 30))
    assert not seen.grids


def weights_by_hand(query: Tensor, key: Tensor, scale: float | None = None, mask: Tensor | None = None) -> Tensor:
    scores = torch.einsum("nhtd,nhsd->nhts", query, key) * (scale or 1 / math.sqrt(query.shape[-1]))
    return torch.softmax(scores if mask is None else scores + mask, dim=-1)


QUERY, KEY = torch.randn(2, 2, 3, 7, 4, generator=torch.Generator().manual_seed(1))
BIAS = torch.randn(7, 7, generator=torch.Generator().manual_seed(2))
BELOW = torch.ones(7, 7, dtype=torch.bool).tril()
MINUS = torch.zeros(7, 7).masked_fill(~BELOW, -math.inf)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"scale": 0.3}, {"scale": 0.3}),
        ({"attn_mask": BIAS}, {"mask": BIAS}),
        ({"attn_mask": BELOW}, {"mask": MINUS}),
        ({"is_causal": True}, {"mask": MINUS}),
    ],
    ids=["plain", "scale", "bias", "mask", "causal"],
)
def test_the_weights_of_a_fused_kernel_are_the_softmax_by_hand(options, expected, grad):
    model = Forward(lambda model, x: F.scaled_dot_product_attention(QUERY, KEY.requires_grad_(grad), KEY, **options))
    with watch_tokens(model) as seen:
        model(IMAGES)
    (found,) = seen.attentions
    assert found.shape == (2, 3, 7, 7)
    torch.testing.assert_close(found.weights(), weights_by_hand(QUERY, KEY.detach(), **expected))


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_weights_of_multi_head_attention_are_those_that_it_gives_out(need_weights, frozen):
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval().requires_grad_(not frozen)
    tokens = torch.randn(3, 5, 8)
    model = Forward(
        lambda model, x: model.attention(x, x, x, need_weights=need_weights, average_attn_weights=False)[0],
        attention=attention,
    )
    with watch_tokens(model) as seen:
        model(tokens)
    (found,) = seen.attentions
    assert found.layers == ("attention",)
    expected = attention(tokens, tokens, tokens, need_weights=True, average_attn_weights=False)[1]
    torch.testing.assert_close(found.weights().reshape(3, 2, 5, 5), expected)
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_follows_in_place_does_not_reach_the_weights():
    model = Forward(lambda model, x: x.softmax(-1).zero_())
    scores = torch.randn(2, 3, 5, 5)
    with watch_tokens(model) as seen:
        model(scores)
    assert torch.equal(seen.attentions[0].weights(), scores.softmax(-1))


def test_scores_of_classes_are_no_attention():
    model = Forward(lambda model, x: x.softmax(-1))
    with watch_tokens(model) as seen:
        model(torch.randn(2, 5))
        model(torch.randn(2, 5, 4, 4).requires_grad_().softmax(1))
    assert [one.shape for one in seen.attentions] == [(2, 5, 4, 4)]


def test_what_runs_is_computed_as_ever_and_no_hook_stays():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    tokens = torch.randn(2, 5, 8)
    expected = model(tokens)
    with watch_tokens(model):
        assert torch.equal(model(tokens), expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
