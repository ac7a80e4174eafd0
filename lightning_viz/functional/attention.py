"""Where the tokens of a transformer look: the attention of a layer, and its rollout over all of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import NoLayerError, find_layer, named_layers
from lightning_viz.introspection.outputs import Grid, check_images, seen_grid
from lightning_viz.introspection.tokens import Attention, watch_tokens

__all__ = ["LayerAttention", "attention_maps", "attention_rollout", "look_of", "read_attention", "rolled_out"]


def attention_maps(model: nn.Module, layer: str | None, images: Tensor) -> Tensor:
    """Show how much each token looks at each other one, in each head of a layer.

    The weights are those that the layer uses: the softmax is computed from the queries and keys that reach a fused
    kernel (with its mask and scale), or taken where it is written out. No option of the model is needed.

    Args:
        model: Left exactly as found; runs in eval mode.
        layer: Dotted name of the attention, or of a block with one attention inside. None takes the last global one. Of
            one that runs several times the last time counts.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.

    Returns:
        ``(N, heads, T, T)`` float32, rows of T weights from 0 to 1 that add up to 1: entry (t, s) is how much token t
        looks at token s. Tokens that are no place (class, registers) come first, then the places row by row.

    Raises:
        ValueError: No such layer, none or several attentions in it, or one that is not a softmax over all tokens
            (windows, linear attention, attention to other tokens). ``NoLayerError`` where no layer is named.

    Source: Vaswani et al., Attention is all you need, NeurIPS 2017, equation 1.

    Example:
        >>> from torchvision.models import VisionTransformer
        >>> model = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)
        >>> attention_maps(model, "encoder.layers.encoder_layer_1", torch.randn(3, 3, 32, 32)).shape
        torch.Size([3, 2, 17, 17])
    """
    who = "attention_maps"
    with isolated(model):
        found = read_attention(model, images, who)
        return (last_of(found, model, who) if layer is None else chosen(found, model, layer, who)).weights()


def attention_rollout(model: nn.Module, images: Tensor) -> Tensor:
    """Show which places of the image the last layer looks at, through all layers of attention and past them.

    Each layer passes half of what it gets on and mixes the other half by the mean of its heads. What the class token
    then holds of each place is shown; without a token that is no place, the mean over all tokens. Attention with a
    single query, which pools at the end (CaiT, SigLIP), is left out.

    Args:
        model: Left exactly as found; runs in eval mode.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.

    Returns:
        ``(N, h, w)`` float32, shares from 0 to 1; they add up to 1 with those of the tokens that are no place.

    Raises:
        ValueError: An attention that is not a softmax over all tokens, or tokens that change their number on the way.
            ``NoLayerError`` where there is no attention at all.

    Source: Abnar & Zuidema, Quantifying attention flow in transformers, ACL 2020, equation 1, with 0.5 W + 0.5 I for
    the residual connection.

    Example:
        >>> from torchvision.models import VisionTransformer
        >>> model = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)
        >>> attention_rollout(model, torch.randn(3, 3, 32, 32)).shape
        torch.Size([3, 4, 4])
    """
    who = "attention_rollout"
    with isolated(model):
        found = read_attention(model, images, who)
        last_of(found, model, who)
        return rolled_out(found, who)


class LayerAttention(NamedTuple):
    """A softmax attention of a model that ran."""

    layer: str
    """Dotted name; empty for the model itself."""
    layers: tuple[str, ...]
    """All layers that have it inside."""
    refusal: str
    """Why it is not a softmax over all tokens; empty where it is."""
    grid: Grid
    queries: int
    weights: Callable[[], Tensor]
    """Computes ``(N, heads, T, T)`` float32."""


def read_attention(model: nn.Module, images: Tensor, who: str) -> list[LayerAttention]:
    """Run a model that is on loan and give its attentions in the order in which they ran."""
    check_images(images, who)
    modules = named_layers(model)
    with torch.no_grad(), watch_tokens(model) as seen:
        model(images.detach().clone())
    found = []
    for attention in seen.attentions:
        layer, queries, grid = attention.layer, attention.shape[-2], seen_grid(attention.shape[-1], seen.grids)
        shape = _by_head(attention, len(images), modules.get(layer))
        refusal, weights = _refusal(attention, shape, len(images), grid), _weights(attention, shape)
        found.append(LayerAttention(layer, attention.layers, refusal, grid or (0, 0), queries, weights))
    return found


def _by_head(attention: Attention, count: int, module: nn.Module | None) -> torch.Size:
    """Tell images and heads apart where they share an axis, as in ``nn.MultiheadAttention``."""
    fused = len(attention.shape) == 4 and attention.shape[0] == 1  # a kernel that got three axes
    shape = torch.Size(attention.shape[1:]) if fused else attention.shape
    heads = shape[0] // count
    if len(shape) == 3 and shape[0] == count * heads and heads == getattr(module, "num_heads", heads):
        return torch.Size((count, heads, *shape[1:]))
    return shape


def _refusal(attention: Attention, shape: Sequence[int], count: int, grid: Grid | None) -> str:
    came = f"its weights are {tuple(attention.shape)} for {count} image{'s' if count > 1 else ''}"
    if len(shape) != 4 or shape[0] != count:
        return f"looks within windows, not at all tokens: {came}"
    if shape[2] != shape[3]:
        return f"lets {shape[2]} tokens look at {shape[3]} others, not at themselves: {came}"
    if grid is None:
        return f"does not look at the places of a map: {came}"
    return ""


def _weights(attention: Attention, shape: Sequence[int]) -> Callable[[], Tensor]:
    def weights() -> Tensor:
        with torch.no_grad():
            return attention.weights().reshape(*shape).float()

    return weights


def last_of(found: Sequence[LayerAttention], model: nn.Module, who: str) -> LayerAttention:
    """Give the last attention that is global.

    Raises:
        NoLayerError: There is none.
    """
    for one in reversed(found):
        if not one.refusal:
            return one
    why = f': "{found[-1].layer}" {found[-1].refusal}' if found else ""
    raise NoLayerError(f"{who}: no layer of {type(model).__name__} computes a softmax attention over all tokens{why}.")


def chosen(found: Sequence[LayerAttention], model: nn.Module, layer: str, who: str) -> LayerAttention:
    """Give the one attention that a layer has inside.

    Raises:
        ValueError: No such layer, none or several in it, or one that is not global.
    """
    find_layer(model, layer, nn.Module, who)
    inside = {one.layer: one for one in found if layer in (one.layer, *one.layers)}  # of several runs the last
    names = ", ".join(f'"{name}"' for name in inside or dict.fromkeys(one.layer for one in found)) or "none"
    if not inside:
        raise ValueError(f'{who}: layer "{layer}" computes no softmax attention. Layers that do: {names}.')
    if len(inside) > 1:
        raise ValueError(f'{who}: layer "{layer}" has several attentions inside. Name one: {names}.')
    (one,) = inside.values()
    if one.refusal:
        raise ValueError(f'{who}: layer "{layer}" {one.refusal}. Choose a layer with attention over all tokens.')
    return one


def rolled_out(found: Sequence[LayerAttention], who: str) -> Tensor:
    """Multiply the attentions of all layers; see ``attention_rollout``.

    Raises:
        ValueError: One is not global, or the tokens change their number.
    """
    mixing = [one for one in found if one.queries > 1]
    refused = next((one for one in mixing if one.refusal), None)
    if refused is not None:
        raise ValueError(f'{who}: layer "{refused.layer}" {refused.refusal}. A rollout needs every layer to do so.')
    counts = list(dict.fromkeys(one.queries for one in mixing))
    if len(counts) > 1:
        raise ValueError(f"{who}: the number of tokens changes on the way ({', '.join(map(str, counts))}).")
    share = None
    for one in reversed(mixing):
        weights = one.weights().mean(1)
        if share is None:
            share = _looking(torch.eye(weights.shape[-1]).to(weights), one.grid).expand(len(weights), -1)
        share = 0.5 * share + 0.5 * torch.einsum("nt,nts->ns", share, weights)
    assert share is not None
    return on_grid(share, mixing[-1].grid)


def look_of(weights: Tensor, grid: Grid) -> Tensor:
    """Give how much the class token looks at each place; without a token that is no place, the mean over all tokens.

    Args:
        weights: ``(..., T, T)``.
        grid: Rows and columns of the last of the T tokens.

    Returns:
        ``(..., h, w)``.
    """
    return on_grid(_looking(weights, grid), grid)


def _looking(weights: Tensor, grid: Grid) -> Tensor:
    has_class_token = weights.shape[-2] > grid[0] * grid[1]
    return weights[..., 0, :] if has_class_token else weights.mean(-2)


def on_grid(tokens: Tensor, grid: Grid) -> Tensor:
    """Lay out ``(..., T)``, without the tokens that are no place."""
    return tokens[..., -grid[0] * grid[1] :].reshape(*tokens.shape[:-1], *grid)
