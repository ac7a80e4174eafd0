"""The filters of a convolution as images."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_viz.data.probe import Probe
from lightning_viz.functional.filters import KERNELS, conv_filters
from lightning_viz.render import filter_grid
from lightning_viz.render.grids import MOST, Scale
from lightning_viz.render.scaling import finite_range
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["FilterImages"]

KEPT = 2**22
"""Weights per layer and moment (16 MiB); of a layer that has more, those in the picture."""


class FilterImages(VizCallback):
    """Show the filters of convolutions as images, epoch by epoch.

    They are what a convolution multiplies with: after masks, standardisation, pruning, rounding (see ``conv_filters``).
    Of a kernel in three dimensions it is the middle slice, and one in one dimension is a row.
    Three input channels are shown in colour, one in grey, others as rows (filters) by columns (input channels). The
    weights themselves are kept beside the picture, so that epochs and runs can be put on one scale later; of a layer
    with more than 4 million only those in the picture. Of complex weights it is magnitude and phase.

    Args:
        layers: Names or globs of convolutions; the first that runs when omitted.
        probe: Not needed by this method.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        scale: ``"filter"``: each filter from its own minimum to its own maximum. ``"shared"``: one scale per layer
            and epoch, so that weak filters look weak.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Krizhevsky et al., NeurIPS 2012, Fig. 3; Zeiler & Fergus, ECCV 2014, Fig. 6.

    Example:
        >>> FilterImages(layers=["features.0", "features.3"], every_n_epochs=2).scale
        'filter'
    """

    method = "filters"
    uses_probe = False

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
        scale: Scale = "filter",
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
        if scale not in ("filter", "shared"):
            raise ValueError(f'FilterImages(scale={scale!r}): must be "filter" or "shared".')
        self.scale = scale

    def needs(self, context: Context) -> Needs:
        """Look at convolutions."""
        return Needs(self.find_layers(context, KERNELS))

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw one grid per layer."""
        for layer, conv in self.find_layers(context, KERNELS).items():
            filters, note = _in_a_plane(conv_filters(context.model, layer).cpu().numpy())
            values = {"weight": filters}
            if np.iscomplexobj(filters):
                values = {"magnitude": np.abs(filters), "phase": np.angle(filters)}
            # Phases that differ in size are no stronger or weaker: they have one scale.
            grids = {
                name: filter_grid(one, "shared" if name == "phase" else self.scale) for name, one in values.items()
            }
            shown, grid = next(iter(values.values())), next(iter(grids.values()))
            low, high = finite_range(shown, axes=(0, 1, 2, 3))
            wide = filters.size > KEPT and filters.shape[1] not in (1, 3)
            note += " | of the weights these are kept" if wide else ""
            yield Drawing(
                layer,
                values={name: one[:MOST, :MOST] if wide else one for name, one in values.items()},
                pictures=[one.picture for one in grids.values()],
                captions=[
                    f"{name}: {one.caption}{note}" if len(grids) > 1 else one.caption + note
                    for name, one in grids.items()
                ],
                meta={
                    "kernel": list(filters.shape[2:]),
                    "stride": [1, *conv.stride][-2:],
                    "columns": grid.columns,
                    "scale": self.scale,
                    "vmin": low.item(),
                    "vmax": high.item(),
                },
            )


def _in_a_plane(filters: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Make kernels of rows and columns, and say what was left out."""
    if filters.ndim == 3:
        return filters[:, :, None], ""
    if filters.ndim == 5:
        depth = filters.shape[2]
        return filters[:, :, depth // 2], f" | slice {depth // 2} of 0 to {depth - 1}"
    return filters, ""
