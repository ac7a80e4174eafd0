"""The feature maps of the probe's images."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_viz.functional.activations import activation_maps
from lightning_viz.functional.filters import CONVOLUTIONS
from lightning_viz.render import heat_map, image_picture, mosaic
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback

__all__ = ["ActivationMaps"]

KEPT = 2**18
"""Values per layer and moment (1 MiB)."""

SHOWN = 12
"""Units in the picture for stock dashboards."""


class ActivationMaps(VizCallback):
    """Show the feature maps of the probe's images, the most active units first, epoch by epoch.

    All units of a layer share one scale, so that a weak unit looks weak; where there are negative values (before a
    rectifier), zero is white. A unit's activity is the mean of its positive part. Kept are the maps of the most active
    units, up to 1 MiB, and the activity of all units in each image; logged are the share of values that are
    zero or below, and the share of units that are so everywhere.

    Args:
        layers: Names or globs of layers; the first and the last convolution when omitted.
        probe: The images; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Yosinski et al., Understanding neural networks through deep visualization, 2015, section 2.

    Example:
        >>> ActivationMaps(layers="layer1", every_n_epochs=5).method
        'activations'
    """

    method = "activations"

    def needs(self, context: Context) -> Needs:
        """Look at the chosen layers."""
        return Needs(self.find_outer_layers(context, CONVOLUTIONS))

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw rows of images and columns of units, dark to bright on one scale."""
        images = context.probe.images
        photographs, note = context.probe.unnormalised()
        for layer in context.layers:
            maps = activation_maps(context.model, layer, images).cpu()
            count, units, height, width = maps.shape
            activity = maps.clamp(min=0).mean((2, 3))  # of each unit in each image
            order = activity.mean(0).nan_to_num(float("inf")).argsort(descending=True, stable=True)
            kept = order[: max(1, KEPT // (count * height * width))]
            finite = maps[maps.isfinite()]
            low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
            zeros = float((maps <= 0).float().mean())
            draw = partial(heat_map, vmin=0, vmax=high) if low >= 0 else partial(_signed, bound=max(-low, high))
            rows = [
                [image_picture(photograph), *(draw(maps[image, unit]) for unit in order[:SHOWN])]
                for image, photograph in enumerate(photographs)
            ]
            yield Drawing(
                layer,
                values={"maps": maps[:, kept], "activity": activity},
                pictures=[_enlarged(rows)],
                captions=[
                    f"units {_listed(order[:SHOWN])} by mean activity, {low:.3g} to {high:.3g}; "
                    f"{zeros:.0%} of the layer is zero or below | image {note}"
                ],
                scalars={"share of zeros": zeros, "share of dead units": float((activity.amax(0) == 0).float().mean())},
                meta={
                    "vmin": low,
                    "vmax": high,
                    "units": kept.tolist(),
                    "unit_count": units,
                    "size": list(images.shape[2:]),
                    "zeros": zeros,
                },
            )


def _signed(values: Tensor, bound: float) -> NDArray[np.uint8]:
    return heat_map(values, -bound, bound, "diverging")


def _listed(units: Tensor) -> str:
    return ", ".join(map(str, units.tolist()))


def _enlarged(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Bring the maps to about the size of the image, in whole pixels."""
    side = min(max(rows[0][0].shape), 96)
    tiles = [
        [
            row[0],
            *(np.kron(one, np.ones((max(1, side // max(one.shape[:2])),) * 2 + (1,), np.uint8)) for one in row[1:]),
        ]
        for row in rows
    ]
    return mosaic(tiles, side)
