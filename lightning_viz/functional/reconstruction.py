"""What in an image excites a unit: its activation, mapped back to the pixels."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightning_viz.functional.aten.boxes import Pairs
from lightning_viz.functional.aten.windows import NotFollowedError
from lightning_viz.functional.backward.batch_mixing import mixes_images
from lightning_viz.functional.backward.ops import keep_for
from lightning_viz.functional.backward.plan import BackwardPlan, plan_backward, run_backward
from lightning_viz.functional.backward.rules import RULES, Rule, check_rule, gradient_of, rectified_by
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import capture, find_layer, last_call
from lightning_viz.introspection.outputs import Output, as_maps, check_images, find_scores, one_per_image
from lightning_viz.introspection.tokens import watch_tokens
from lightning_viz.introspection.trace import trace

__all__ = ["RULES", "Positions", "Rule", "check_rule", "reconstruct"]

log = logging.getLogger("lightning_viz")

WHO = "reconstruct"

CURE = "Choose another layer."

Positions = Tensor | Sequence[Sequence[int]] | Literal["all"] | None


def reconstruct(
    model: nn.Module,
    layer: str | None,
    images: Tensor,
    units: int | Sequence[int] | Tensor | None = None,
    positions: Positions = None,
    image_ids: Sequence[int] | Tensor | None = None,
    rule: Rule = "deconvnet",
    batch_size: int | None = None,
    output: Output | None = None,
) -> Tensor:
    """Show what in an image excites a unit: its activation alone, sent back down to the pixels.

    Everything in the layer is set to zero but the activation of one unit. It goes down through the transposed filters,
    to the places where the maxima of pooling came from (where windows overlap, what arrives is added up), and through
    each rectifier by the rule: ``"deconvnet"`` keeps the positive part of what comes from above, ``"gradient"`` what
    belongs to inputs that were positive, ``"guided"`` both. Normalisation goes back by its linear map.

    Args:
        model: Left exactly as found; runs in eval mode.
        layer: Dotted name. None is the model's output: then a unit is a class.
        images: ``(N, C, H, W)`` float, normalised as in training, on the model's device. Left untouched.
        units: One for each of P reconstructions, or one for all. None: the strongest of each image.
        positions: ``(P, 2)`` rows and columns in the layer's map. None: where the unit is strongest. ``"all"``: its
            whole map.
        image_ids: ``(P,)`` which image belongs to which unit. None: one unit per image, in order.
        rule: ``"deconvnet"``, ``"guided"`` or ``"gradient"``.
        batch_size: How many go down at once; bounds the memory. Chosen by the size of the images when omitted.
        output: Where the scores are in what the model returns: a key, an index or a function.

    Returns:
        ``(P, C, H, W)`` float32, linear in the activation; of a class it starts from 1. It is signed; zero where
        nothing arrived.

    Raises:
        ValueError: No such layer, unit, place, image or rule; images of the wrong shape.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 2.1; Springenberg
    et al., Striving for simplicity, ICLR 2015 workshop; Simonyan et al., ICLR 2014 workshop, section 4.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU())
        >>> reconstruct(model, "4", torch.randn(2, 3, 12, 20), units=[5, 0, 7], image_ids=[0, 0, 1]).shape
        torch.Size([3, 3, 12, 20])
    """
    check_images(images, WHO)
    check_rule(rule, WHO)
    if layer is not None:
        find_layer(model, layer, nn.Module, who=WHO)
    asked = _asked(units, positions, image_ids, len(images))
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"{WHO}(batch_size={batch_size}): must be at least 1.")
    size = batch_size or max(1, min(64, 8 * 3 * 224**2 // images[0].numel()))
    follower = None if layer is None or asked.whole_map else _Follower(model, layer, rule, size)
    with isolated(model):
        result = images.new_empty(len(asked.image_ids), *images.shape[1:], dtype=torch.float32)
        # Each image runs once, however many units are asked about it.
        for chosen in torch.unique(asked.image_ids).split(size):
            here = torch.isin(asked.image_ids, chosen).nonzero()[:, 0]
            pairs = asked.at(here, torch.searchsorted(chosen, asked.image_ids[here]))
            parts = follower.send_down(images[chosen], pairs) if follower else None
            if parts is None:
                follower = None
                parts = _by_autograd(model, layer, images[chosen], pairs, rule, output)
            for part, down in parts:
                result[here[part].to(result.device)] = down.float()
    return result


class _Pairs(NamedTuple):
    """P units and the image that each is asked about; what is None is decided by the activations."""

    image_ids: Tensor
    units: Tensor | None
    positions: Tensor | None
    whole_map: bool

    def at(self, here: Tensor, image_ids: Tensor) -> "_Pairs":
        """Choose some of them, with other numbers for their images."""
        units, positions = (None if part is None else part[here] for part in (self.units, self.positions))
        return _Pairs(image_ids, units, positions, self.whole_map)

    def settle(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the strongest unit and position where none were asked for.

        Returns:
            Image, unit and flat position ``(P,)`` each.

        Raises:
            ValueError: No such unit or position.
        """
        _, count, height, width = maps.shape
        images = self.image_ids.to(maps.device)
        flat = maps.flatten(2)
        units = flat.amax(2).argmax(1)[images] if self.units is None else self.units.to(maps.device)
        if units.min() < 0 or units.max() >= count:
            raise ValueError(f"{WHO}: units go from 0 to {count - 1}; got {int(units.min())} to {int(units.max())}.")
        if self.positions is None:
            return images, units, flat[images, units].argmax(1)
        inside = (self.positions >= 0).all() and (self.positions < torch.tensor([height, width])).all()
        if not inside:
            raise ValueError(f"{WHO}: positions must lie in the layer's map of {height}x{width}; got {self.positions}.")
        rows, columns = self.positions.to(maps.device).unbind(1)
        return images, units, rows * width + columns

    def seeds(self, maps: Tensor) -> Tensor:
        """Keep one activation per pair, and zero the rest of the layer.

        Returns:
            ``(P, h * w)``: of each pair's unit; its other units are zero.
        """
        images, units, places = self.settle(maps)
        own = maps.flatten(2)[images, units]
        return (
            own if self.whole_map else torch.zeros_like(own).scatter(1, places[:, None], own.gather(1, places[:, None]))
        )


def _asked(
    units: int | Sequence[int] | Tensor | None,
    positions: Positions,
    image_ids: Sequence[int] | Tensor | None,
    images: int,
) -> _Pairs:
    ids = torch.arange(images) if image_ids is None else torch.as_tensor(image_ids).cpu()
    ids = ids if ids.numel() else ids.long()
    if ids.ndim != 1 or ids.is_floating_point() or (len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < images):
        raise ValueError(f"{WHO}: image_ids must be whole numbers from 0 to {images - 1}; got {ids}.")
    chosen = None if units is None else one_per_image(units, len(ids), "units", WHO).cpu()
    whole = isinstance(positions, str) and positions == "all"
    places = None if positions is None or whole else _as_places(positions, len(ids))
    return _Pairs(ids.long(), chosen, places, whole)


def _as_places(positions: Any, count: int) -> Tensor:
    try:
        places = torch.as_tensor(positions).cpu()
    except (TypeError, ValueError):
        places = torch.empty(0)
    if places.shape != (count, 2) or places.is_floating_point():
        raise ValueError(
            f'{WHO}: positions must be None, "all", or a row and a column for each of {count} units; got {positions!r}.'
        )
    return places


class _Follower:
    """Computes only where something arrives, as long as the operations on the way can be followed."""

    def __init__(self, model: nn.Module, layer: str, rule: Rule, size: int) -> None:
        self.model, self.layer, self.rule, self.size = model, layer, rule, size
        self.runs: int | None = None

    def send_down(self, images: Tensor, pairs: _Pairs) -> Iterator[tuple[Tensor, Tensor]] | None:
        """Give parts of the pairs and their reconstructions; None where an operation can't be followed."""
        try:
            traced = trace(self.model, images, [self.layer], keep_for(self.rule), self.runs)
            if traced is None:
                raise NotFollowedError("something is changed in place that another value is a view of")
            found = traced.layers[self.layer]
            if (
                as_maps(found.output, images.shape[2:], None, WHO, self.model.get_submodule(self.layer), CURE).shape
                != found.output.shape
            ):
                raise NotFollowedError("the layer's output has its units elsewhere")
            plan = plan_backward(traced, self.layer, self.rule)
        except Exception as error:  # noqa: BLE001 (tensor types of others may refuse anything; autograd knows them)
            log.debug("lightning_viz: %s goes down the plain way: %s", self.layer, error)
            return None
        self.runs = found.runs
        return self._parts(plan, found.output, pairs)

    @torch.no_grad()
    def _parts(self, plan: BackwardPlan, maps: Tensor, pairs: _Pairs) -> Iterator[tuple[Tensor, Tensor]]:
        numbers, units, places = pairs.settle(maps)
        activations = maps.flatten(2)[numbers, units, places]
        for part in torch.split(torch.arange(len(units)), self.size):
            at = Pairs(numbers[part], places[part] // maps.shape[3], places[part] % maps.shape[3])
            yield part, run_backward(plan, units[part], activations[part], at)


def _by_autograd(
    model: nn.Module, layer: str | None, images: Tensor, pairs: _Pairs, rule: Rule, output: Output | None
) -> Iterator[tuple[Tensor, Tensor]]:
    leaf = images.detach().clone().requires_grad_()
    run = partial(_run, model, layer, output)
    with rectified_by(rule, model):
        with watch_tokens(model) as seen:
            captured = run(leaf)
        module = None if layer is None else model.get_submodule(layer)
        maps = as_maps(captured, images.shape[2:], None, WHO, module, CURE, seen.grids)
        seeds, units = pairs.seeds(maps.detach()), pairs.settle(maps.detach())[1]
        if layer is None:
            seeds = torch.ones_like(seeds)  # a score may be negative, and is no activation
        # A pass takes one pair of each image.
        mixed = mixes_images(run, images, captured)
        turns = list(torch.split(torch.arange(len(units)), 1) if mixed else _turns(pairs.image_ids))
        for number, turn in enumerate(turns):
            signal = torch.zeros_like(maps)
            signal[pairs.image_ids[turn], units[turn]] = seeds[turn].reshape(-1, *maps.shape[2:])
            last = number == len(turns) - 1
            down = gradient_of(maps, leaf, signal, retain_graph=not last, who=WHO)
            yield turn, down[pairs.image_ids[turn]]


def _run(model: nn.Module, layer: str | None, output: Output | None, leaf: Tensor) -> Tensor:
    if layer is None:
        return find_scores(model(leaf.clone()), output, WHO)
    with capture(model, layer) as outputs:
        model(leaf.clone())
    return last_call(outputs, layer, WHO)


def _turns(image_ids: Tensor) -> Iterator[Tensor]:
    """Split pairs so that no image appears twice in a part."""
    order = torch.argsort(image_ids, stable=True)
    first = torch.searchsorted(image_ids[order], image_ids[order])
    rank = torch.arange(len(order)) - first
    for number in range(int(rank.max()) + 1):
        yield order[rank == number]
