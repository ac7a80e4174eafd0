"""The images that excite classes, or units, most."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lightning_viz.callbacks.predictions import are_class_scores, check_activation, class_name
from lightning_viz.data.batches import spread
from lightning_viz.data.probe import Probe
from lightning_viz.data.reading import UnsuitableDataError
from lightning_viz.functional.activations import activation_maps
from lightning_viz.functional.class_model import (
    Name,
    Place,
    Regularisation,
    Synthesis,
    check_place,
    find_regularisation,
    synthesise,
)
from lightning_viz.introspection.outputs import Activation, probabilities
from lightning_viz.render import image_picture, mosaic
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.schedule import LOG_SPACED, is_whole
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["ClassModel"]

SHOWN = 16
"""Targets, when none are chosen."""

REFERENCE = 256
"""So many of the user's images say how an image may look."""

LARGEST = 256
"""Pixels of the longer side of a tile."""

CLASSES = "output"
"""Stands for the layer where the targets are classes."""


class Target(TypedDict):
    """What a synthesised image is of."""

    unit: int
    name: str
    score: float | None
    probability: float | None
    is_best: bool
    mark: str | None


class ClassModel(VizCallback):
    """Show what each class, or unit, stands for: the image that excites it most, found by gradient ascent.

    A drawing starts warm, from the one before, so that ``warm_steps`` suffice and what changes is the network. The
    first one starts cold, from nothing, and so does the last, which owes nothing to the way there. Each step is a
    forward and a backward pass of all targets, so it is drawn at epochs 0, 1, 2, 5, 10, 20, 30, 40, 64, 100, ... and at
    the end, unless you say otherwise.

    Args:
        layers: Names or globs of layers whose units are the targets; when omitted, the classes are.
        probe: Its mean, std, ``class_names`` and ``output`` are used; its images only where no ``reference`` is.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        targets: Which classes, or units, the same in each layer; 16 spread over them when omitted (of classes first
            those that the probe's labels name).
        regularisation: What keeps the image from being noise: ``"fourier"``, ``"maco"``, ``"l2"``, ``"yosinski-1"`` to
            ``"yosinski-4"``, or a ``Regularisation``; see ``functional.class_model``.
        steps: Of a cold start; those of the regularisation when omitted.
        warm_steps: Of a warm start, and of the untrained network, which is not worth more.
        reference: Map-style data set that says how an image may look (size, range, colours; of "maco" the magnitudes of
            frequencies): up to 256 items of it. That of the (first) validation loader when omitted; without one, the
            probe's images.
        place: Where a unit's activation is taken: at the ``"centre"`` of its map, or its ``"mean"``.
        activation: What makes probabilities of scores: ``"softmax"``, ``"sigmoid"``, ``"none"``.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Simonyan et al., Deep inside convolutional networks, ICLR 2014 workshop, section 2; Yosinski et al., 2015;
    Olah et al., Feature visualization, 2017; Fel et al., MACO, NeurIPS 2023.

    Example:
        >>> ClassModel(regularisation="maco", epochs=[5, 10]).method
        'class_model'
    """

    uses_probe: ClassVar[bool] = False
    default_epochs: ClassVar[Sequence[int] | None] = LOG_SPACED

    def __init__(
        self,
        layers: str | Sequence[str] | None = None,
        probe: Probe | None = None,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        epochs: Sequence[int] | None = None,
        on_error: OnError = "warn",
        name: str | None = None,
        mirror: Mirror = "both",
        targets: Sequence[int] | None = None,
        regularisation: Name | Regularisation = "fourier",
        steps: int | None = None,
        warm_steps: int = 32,
        reference: Dataset | None = None,  # type: ignore[type-arg]  # LightningCLI can't read it otherwise
        place: Place = "centre",
        activation: Activation = "softmax",
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
        if targets is not None and not (
            isinstance(targets, Sequence) and targets and all(is_whole(one, 0) for one in targets)
        ):
            raise ValueError(f"ClassModel(targets={targets!r}): must be whole numbers of 0 or more, at least one.")
        for argument, value in (("steps", steps), ("warm_steps", warm_steps)):
            if value is not None and not is_whole(value, 1):
                raise ValueError(f"ClassModel({argument}={value!r}): must be a whole number of 1 or more.")
        self._terms = find_regularisation(regularisation, "ClassModel")
        check_place(place, "ClassModel")
        check_activation(activation, "ClassModel")
        self.targets, self.regularisation, self.reference = targets, regularisation, reference
        self.steps, self.warm_steps, self.place, self.activation = steps, warm_steps, place, activation
        self._read: Tensor | None = None

    def on_fit_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Forget the images that an earlier fit read."""
        self._read = None
        super().on_fit_start(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Draw the last state cold; where EarlyStopping came after us, it was drawn warm."""
        if any(drawing.meta["start"] == "warm" for drawing in (self._before or {}).values()):
            self._drawn_at = -1
        super().on_train_end(trainer, pl_module)

    def needs(self, context: Context) -> Needs:
        """Look at the chosen layers, and at some data, which in a fit is read once."""
        layers = self.find_layers(context, nn.Module) if self.layers is not None else ()
        is_read = self._begun and self._read is not None
        return Needs(layers, self.reference, 0 if is_read else REFERENCE, is_optional=self.reference is None)

    def collect(self, context: Context) -> Tensor | None:
        """Read what says how an image may look: of several sizes, those of the first's; None if that fails."""
        try:
            batches = [images.detach().float().cpu() for images, _ in context.data]
        except UnsuitableDataError:
            if self.reference is not None:
                raise
            return None
        return torch.cat([images for images in batches if images.shape[1:] == batches[0].shape[1:]])

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw one image for each target, in rows."""
        if context.collected or not self._begun:
            self._read = context.collected[0] if context.collected else None
        reference = context.probe.images.cpu().float() if self._read is None else self._read
        reference = reference[reference.flatten(1).isfinite().all(1)]
        if not context.layers:
            yield self._draw_classes(context, reference)
        for layer in context.layers:
            count = activation_maps(context.model, layer, _on_device(reference[:1], context)).shape[1]
            targets = list(self.targets or spread(count, SHOWN))
            found, how = self._synthesise(context, layer, targets, reference, self._terms)
            scores = found.values.gather(1, torch.tensor(targets)[:, None])[:, 0]
            names = [f"unit {unit}" for unit in targets]
            described = _targets(targets, names, scores, None, found)
            yield self._drawing(context, layer, "units", described, found, how)

    def _draw_classes(self, context: Context, reference: Tensor) -> Drawing:
        probe = context.probe
        with torch.no_grad():
            scores = probe.scores(context.model(_on_device(reference[:8], context))).float()
        is_classes, single = are_class_scores(scores, probe), scores.shape[1] == 1
        targets = list(self.targets or _usual_classes(max(2, scores.shape[1]), probe))
        terms = self._terms if is_classes else replace(self._terms, rivals=0)
        found, how = self._synthesise(context, None, targets, reference, terms)
        chosen = torch.tensor(targets)[:, None]
        likely = probabilities(found.values[:, 1:] if single else found.values, self.activation).gather(1, chosen)[:, 0]
        names = [class_name(one, probe, is_classes=is_classes) for one in targets]
        own = found.values.gather(1, chosen)[:, 0]
        described = _targets(targets, names, own, likely if is_classes else None, found)
        if is_classes:
            for one, best in zip(described, found.values.nan_to_num(-math.inf).argmax(1), strict=True):
                one["is_best"] = one["mark"] != "dead" and int(best) == one["unit"]
        kind, scalars = "outputs", {}
        if is_classes:
            kind, scalars = "classes", {"probability": float(likely.nan_to_num(0).mean())}
        return self._drawing(context, CLASSES, kind, described, found, how, scalars)

    def _synthesise(
        self, context: Context, layer: str | None, targets: list[int], reference: Tensor, terms: Regularisation
    ) -> tuple[Synthesis, dict[str, Any]]:
        """Climb, and say how it started."""
        how: dict[str, Any] = {
            "regularisation": self.regularisation if isinstance(self.regularisation, str) else "own",
            "reference": len(reference),
            "size": list(reference.shape[2:]),
        }
        init = None if context.is_last else _images_before(context.before.get(layer or CLASSES), targets, how)
        untrained = self._begun and context.moment.batches == 0
        steps = self.warm_steps if untrained or init is not None else self.steps or terms.steps
        found = synthesise(
            context.model,
            torch.tensor(targets),
            layer=layer,
            images=_on_device(reference, context),
            steps=steps,
            regularisation=terms,
            init=init,
            place=self.place,
            output=context.probe.output,
            who="ClassModel",
        )
        how |= {"start": "cold" if init is None else "warm", "steps": steps}
        return Synthesis(*(part.cpu() for part in found)), how

    def _drawing(
        self,
        context: Context,
        layer: str,
        kind: str,
        targets: list[Target],
        found: Synthesis,
        how: dict[str, Any],
        scalars: dict[str, float] | None = None,
    ) -> Drawing:
        shown, note = context.probe.unnormalise(found.images)
        pictures = [image_picture(image) for image in shown]
        columns = math.ceil(math.sqrt(1.5 * len(pictures)))
        page = mosaic([pictures[first : first + columns] for first in range(0, len(pictures), columns)], LARGEST)
        rows = math.ceil(len(pictures) / columns)
        across = min(columns, len(pictures))
        said = "; ".join(map(_said, targets))
        manner = f"{how['regularisation']}, {how['start']} start, {how['steps']} steps"
        return Drawing(
            layer,
            values={"images": found.images},
            pictures=[page],
            captions=[f"row by row: {said} | {manner} | image {note}"],
            scalars=scalars or {},
            meta={
                "kind": kind,
                "unit_count": found.values.shape[1],
                "targets": targets,
                "columns": across,
                "tile": [(page.shape[0] + 1) // rows - 1, (page.shape[1] + 1) // across - 1],
                **how,
            },
        )


def _targets(
    targets: list[int], names: list[str], scores: Tensor, likely: Tensor | None, found: Synthesis
) -> list[Target]:
    described = []
    for place, (unit, name) in enumerate(zip(targets, names, strict=True)):
        dead, stopped = bool(found.dead[place]), bool(found.stopped[place])
        described.append(
            Target(
                unit=unit,
                name=name,
                score=None if dead else float(scores[place]),
                probability=None if dead or likely is None else float(likely[place]),
                is_best=not dead,
                mark="dead" if dead else "stopped" if stopped else None,
            )
        )
    return described


def _said(target: Target) -> str:
    if target["score"] is None:
        return f"{target['name']} is dead: nothing moves it"
    what = f"{target['score']:.3g}" if target["probability"] is None else f"{target['probability']:.0%}"
    return f"{target['name']} {what}{'' if target['mark'] is None else ', stopped: its gradient is not finite'}"


def _usual_classes(count: int, probe: Probe) -> list[int]:
    if count <= SHOWN:
        return list(range(count))
    labels = [] if probe.labels is None else probe.labels[probe.labels >= 0].tolist()
    return list(dict.fromkeys([*labels, *spread(count, SHOWN)]))[:SHOWN]


def _images_before(before: Drawing | None, targets: list[int], how: dict[str, Any]) -> Tensor | None:
    """Give the images of the drawing before, if it is of the same targets, made in the same way."""
    if before is None or "images" not in before.values:
        return None
    same = all(before.meta.get(key) == how[key] for key in ("regularisation", "size"))
    units = [one["unit"] for one in before.meta.get("targets", ())]
    return torch.as_tensor(before.values["images"]) if same and units == targets else None


def _on_device(images: Tensor, context: Context) -> Tensor:
    return images.to(context.call.device, context.call.dtype)
