"""What can be climbed: the scores of classes, or the activations of the units of a layer."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from lightning_viz.functional.synthesis.layout import fed
from lightning_viz.introspection.calls import image_type
from lightning_viz.introspection.outputs import Output, as_maps, find_scores, two_sided
from lightning_viz.introspection.stopping import PartialRun
from lightning_viz.introspection.tokens import watch_tokens

__all__ = ["CURE", "Objective", "Place", "against_rivals", "check_place", "objective_of"]

Place = Literal["centre", "mean"]
"""Where in a unit's map its activation is taken."""

CURE = "Choose a layer that gives one."


class Objective(NamedTuple):
    """What can be asked of images ``(B, C, H, W)``, with its graph."""

    values: Callable[[Tensor], Tensor]
    """``(B, targets)``, of all targets there are."""
    maps: Callable[[Tensor], Tensor] | None
    """``(B, targets, h, w)``, where the values are those at the centre; else None."""


def check_place(place: str, who: str) -> None:
    """Refuse a place that does not exist.

    Raises:
        ValueError: The message lists the choices.
    """
    if place not in get_args(Place):
        raise ValueError(f"{who}(place={place!r}): choices are {', '.join(map(repr, get_args(Place)))}.")


def against_rivals(values: Tensor, targets: Tensor, share: float) -> Tensor:
    """Take of each image the value of its target, less a share of what the others have (log-sum-exp).

    Args:
        values: ``(B, targets)``.
        targets: ``(B,)``.
        share: 0 takes nothing; 1 makes log odds of class scores.

    Returns:
        ``(B,)``.
    """
    own = values.gather(1, targets[:, None])[:, 0]
    return own - share * values.scatter(1, targets[:, None], -torch.inf).logsumexp(1) if share else own


def objective_of(
    model: nn.Module, layer: str | None, place: Place, output: Output | None, like: Tensor, who: str
) -> Objective:
    """Give what is asked of images.

    Args:
        model: On loan.
        layer: Whose units are the targets; None: the classes are.
        place: Of a unit.
        output: Where the class scores are in what the model returns.
        like: Images ``(B, C, H, W)`` of the size that will be asked about; the model is tried on them.
        who: Begins the error message.

    Raises:
        ValueError: No such layer, or one that gives no maps.
    """
    to = image_type(model, like)
    if layer is None:
        return Objective(fed(partial(_class_values, model, output, who), to, like), None)
    run = PartialRun(model, layer, who)
    with torch.no_grad(), watch_tokens(model) as seen:
        run(like.to(*to, copy=True))
    size, grids = like.shape[2:], seen.grids
    as_stack = partial(as_maps, image_size=size, reshape=None, who=who, layer=run.module, cure=CURE, grids=grids)
    maps = fed(lambda images: as_stack(run(images)).float(), to, like)
    if place == "mean":
        return Objective(lambda images: maps(images).mean((2, 3)), None)
    return Objective(lambda images: _at_centre(maps(images)), maps)


def _class_values(model: nn.Module, output: Output | None, who: str, images: Tensor) -> Tensor:
    return two_sided(find_scores(model(images), output, who)).float()


def _at_centre(maps: Tensor) -> Tensor:
    return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]
