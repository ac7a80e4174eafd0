"""What in the probe's images excites the units of a layer, by one or several rules side by side."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from lightning_viz.data.probe import Probe
from lightning_viz.functional.activations import activation_maps
from lightning_viz.functional.filters import CONVOLUTIONS
from lightning_viz.functional.reconstruction import RULES, Rule, check_rule, reconstruct
from lightning_viz.render import image_picture, mosaic, signed_picture
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["Reconstruction"]


class Reconstruction(VizCallback):
    """Show what in each image of the probe excites a unit: its activation mapped back to the pixels, epoch by epoch.

    The values are kept of the box that the unit sees, the same size for all images of a layer.

    Args:
        layers: Names or globs of layers; the last convolution when omitted.
        probe: The images; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        rule: What passes through a rectifier on the way back: ``"deconvnet"``, ``"guided"``, ``"gradient"``, or a list
            of them, side by side.
        unit: The unit, the same in every image; each image's strongest when omitted.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Zeiler & Fergus, ECCV 2014, section 2.1; Springenberg et al., ICLR 2015 workshop, Fig. 1.

    Example:
        >>> Reconstruction(layers="features.10", rule="deconvnet").rules
        ('deconvnet',)
    """

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
        rule: Rule | Sequence[Rule] = RULES,
        unit: int | None = None,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
        self.rules: tuple[Rule, ...] = (rule,) if isinstance(rule, str) else tuple(rule)
        for one in self.rules:
            check_rule(one, "Reconstruction")
        if not self.rules:
            raise ValueError(f"Reconstruction(rule=[]): choices are {', '.join(map(repr, RULES))}.")
        if unit is not None and unit < 0:
            raise ValueError(f"Reconstruction(unit={unit}): must be 0 or more.")
        self.unit = unit

    def needs(self, context: Context) -> Needs:
        """Look at the chosen layers, or the last convolution."""
        if self.layers is not None:
            return Needs(self.find_layers(context, nn.Module))
        return Needs(self.find_outer_layers(context, CONVOLUTIONS)[-1:])

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw the images above their reconstructions, a row per rule; mid-grey is zero."""
        model, images = context.model, context.probe.images
        photographs, note = context.probe.unnormalised()
        for layer in context.layers:
            maps = activation_maps(model, layer, images)
            units, places, activations = self._strongest(maps)
            rows_columns = torch.stack([places // maps.shape[3], places % maps.shape[3]], dim=1).cpu()
            down = {
                rule: reconstruct(model, layer, images, units, rows_columns, rule=rule).cpu() for rule in self.rules
            }
            pictures = [[signed_picture(one) for one in reconstructed] for reconstructed in down.values()]
            excited = ", ".join(
                f"{unit} ({a:.3g})" for unit, a in zip(units.tolist(), activations.tolist(), strict=True)
            )
            boxes = _boxes(torch.stack(list(down.values())).ne(0).any(2).any(0))
            yield Drawing(
                layer,
                values={str(rule): _cut(reconstructed, boxes) for rule, reconstructed in down.items()},
                pictures=[mosaic([[image_picture(one) for one in photographs], *pictures])],
                captions=[
                    f"rows: image, {', '.join(self.rules)}, each picture on its own scale, grey is zero | unit and "
                    f"activation: {excited} | image {note}"
                ],
                meta={
                    "units": units.tolist(),
                    "positions": rows_columns.tolist(),
                    "activations": activations.tolist(),
                    "bounds": {rule: _bound(reconstructed) for rule, reconstructed in down.items()},
                    "boxes": boxes,
                    "size": list(images.shape[2:]),
                },
            )

    def _strongest(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find the unit of each image, its place in the flat map, and its activation there."""
        flat = maps.flatten(2)
        if self.unit is not None and self.unit >= maps.shape[1]:
            raise ValueError(f"Reconstruction(unit={self.unit}): the layer has {maps.shape[1]} units.")
        best = flat.amax(2).argmax(1)
        units = best if self.unit is None else torch.full_like(best, self.unit)
        activations, places = flat[torch.arange(len(flat), device=flat.device), units].max(1)
        return units, places, activations


def _boxes(reached: Tensor) -> list[list[int]]:
    """Find where anything arrived.

    Args:
        reached: ``(N, H, W)`` bool.

    Returns:
        Top, left, bottom, right (half-open) of each image, all of one size and inside the image.
    """
    sides = [[_extent(line) for line in image] for image in zip(reached.any(2), reached.any(1), strict=True)]
    height, width = (max(end - start for start, end in side) for side in zip(*sides, strict=True))
    tops = [min(start, reached.shape[1] - height) for (start, _), _ in sides]
    lefts = [min(start, reached.shape[2] - width) for _, (start, _) in sides]
    return [[top, left, top + height, left + width] for top, left in zip(tops, lefts, strict=True)]


def _extent(line: Tensor) -> tuple[int, int]:
    places = line.nonzero()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 1)


def _cut(images: Tensor, boxes: Sequence[Sequence[int]]) -> Tensor:
    return torch.stack(
        [image[:, top:bottom, left:right] for image, (top, left, bottom, right) in zip(images, boxes, strict=True)]
    )


def _bound(values: Tensor) -> float:
    return float(values.abs().nan_to_num(0, 0, 0).max())
