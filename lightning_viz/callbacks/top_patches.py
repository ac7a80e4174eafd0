"""What excites the units of a layer most: the strongest patches of a data set, and what in them does it."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lightning_viz.data.batches import BatchFn, spread
from lightning_viz.data.probe import Probe
from lightning_viz.functional.filters import CONVOLUTIONS
from lightning_viz.functional.receptive_field import receptive_field
from lightning_viz.functional.reconstruction import reconstruct
from lightning_viz.functional.top_patches import PatchTable, cut_patches, merge_tables, read_images, top_patches
from lightning_viz.render import image_picture, mosaic, signed_picture
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.schedule import LOG_SPACED, is_whole
from lightning_viz.trainer.session import OnError

__all__ = ["TopPatches"]

SHOWN = 16
"""Units, when none are chosen."""

BEYOND = 224
"""Light grey: beyond the border of the image."""


class Patches(NamedTuple):
    """The strongest patches of U units and what in them excites it: ``(U, k, C, h, w)`` each, NaN beyond borders."""

    images: Tensor
    reconstructions: Tensor


class TopPatches(VizCallback):
    """Show the patches of the validation data that excite each unit most, beside their reconstructions.

    Each drawing looks at up to ``max_images`` images, in one pass for all layers, so it is drawn at epochs 0, 1, 2, 5,
    10, 20, 30, 40, 64, 100, ... and at the end, unless you say otherwise. The tables of all units are kept; pictures
    are made of the chosen ones. How many of the strongest images a unit keeps from one drawing to the next is logged
    per layer: ``overlap`` (mean share of the k), and ``settled`` (share of units whose strongest image stayed).

    Args:
        layers: Names or globs; the first and the last convolution when omitted.
        probe: Its mean, std and ``batch_fn`` are used; its images are not.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        data: Map-style data set without augmentation; that of the (first) validation loader when omitted.
        units: Which units get pictures, the same in each layer; 16 spread over the layer when omitted.
        k: How many patches per unit, at most one of an image.
        max_images: Look at so many, spread over the data.
        sharded: With several processes, each looks at its share of the images; else the first looks at all, and the
            others go on.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, Fig. 2.

    Example:
        >>> TopPatches(layers=["features.0", "features.6"], max_images=500).method
        'patches'
    """

    method: ClassVar[str] = "patches"
    uses_probe: ClassVar[bool] = False
    default_epochs: ClassVar[Sequence[int] | None] = LOG_SPACED
    shown_patches: ClassVar[int | None] = None
    """How many of the k get pictures; all when None."""

    def __init__(
        self,
        layers: str | Sequence[str] | None = None,
        probe: Probe | None = None,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        epochs: Sequence[int] | None = None,
        on_error: OnError = "warn",
        name: str | None = None,
        data: Dataset | None = None,  # type: ignore[type-arg]  # LightningCLI can't read it otherwise
        units: Sequence[int] | None = None,
        k: int = 9,
        max_images: int = 2000,
        sharded: bool = False,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name)
        who = type(self).__name__
        for argument, value in (("k", k), ("max_images", max_images)):
            if not is_whole(value, 1):
                raise ValueError(f"{who}({argument}={value!r}): must be a whole number of 1 or more.")
        if units is not None and not (
            isinstance(units, Sequence) and units and all(is_whole(unit, 0) for unit in units)
        ):
            raise ValueError(f"{who}(units={units!r}): must be whole numbers of 0 or more, at least one.")
        self.data, self.units, self.k, self.max_images, self.sharded = data, units, k, max_images, sharded

    def needs(self, context: Context) -> Needs:
        """Look at the chosen layers, in a pass over data."""
        return Needs(self.find_outer_layers(context, CONVOLUTIONS), self.data, self.max_images)

    def collect(self, context: Context) -> dict[str, PatchTable]:
        """Find the strongest patches of each unit; the tables count in the whole data."""
        tables = top_patches(context.model, context.layers, context.data, self.k, batch_fn=self._batch_fn)
        numbers = torch.tensor([*context.data.indices, -1])  # a missing entry is -1 and stays so
        return {layer: table._replace(image_ids=numbers[table.image_ids]) for layer, table in tables.items()}

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw rows of units, columns of patches from the strongest on; and the same places of the reconstructions."""
        looked_at = len(context.data)
        for layer in context.layers:
            table = merge_tables([tables[layer] for tables in context.collected])
            units = self.units or spread(len(table.values), SHOWN)
            if max(units) >= len(table.values):
                raise ValueError(f'{type(self).__name__}(units=...): "{layer}" has units 0 to {len(table.values) - 1}.')
            shown = PatchTable(*(part[list(units), : self.shown_patches] for part in table))
            patches = self._patches(context, layer, units, shown)
            pictures, note = _pictures(patches, context.probe)
            yield Drawing(
                layer,
                values={
                    "values": table.values,
                    "image_ids": table.image_ids,
                    "positions": table.positions,
                    "boxes": table.boxes,
                },
                pictures=pictures,
                captions=[
                    f"{name}: rows are units {', '.join(map(str, units))}, columns the strongest of {looked_at} images "
                    f"first{more}; light grey is beyond the border | image {note}"
                    for name, more in (("patches", ""), ("reconstructions (deconvnet)", ", each on its own scale"))
                ],
                scalars=_settling(table, context.before.get(layer)),
                meta={
                    "units": list(units),
                    "k": shown.values.shape[1],
                    "tile": [pictures[0].shape[0] // len(units), pictures[0].shape[1] // shown.values.shape[1]],
                    "box": list(patches.images.shape[-2:]),
                    "images": looked_at,
                    "unit_count": len(table.values),
                },
            )

    @property
    def _batch_fn(self) -> BatchFn | None:
        return self.probe.batch_fn if self.probe is not None else None

    def _patches(self, context: Context, layer: str, units: Sequence[int], table: PatchTable) -> Patches:
        model = context.model
        ids, where = torch.unique(table.image_ids.clamp(min=0), return_inverse=True)
        images = read_images(context.data.dataset, ids.tolist(), self._batch_fn)
        like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), images)
        count, k = table.values.shape
        found = (table.image_ids >= 0).flatten()
        if not found.any():  # a network that diverged
            size = receptive_field(model, layer, images.shape[1:]).size
            nothing = torch.full((count, k, images.shape[1], *size), torch.nan)
            return Patches(nothing, nothing)
        boxes = table.boxes.flatten(0, 1)[found]
        down = reconstruct(
            model,
            layer,
            images.to(like),
            units=torch.as_tensor(units).repeat_interleave(k)[found],
            positions=table.positions.flatten(0, 1)[found],
            image_ids=where.flatten()[found],
        ).cpu()
        cuts = [cut_patches(one, boxes) for one in (images[where.flatten()[found]].float(), down)]
        whole = [torch.full((count * k, *cut.shape[1:]), torch.nan) for cut in cuts]
        for all_of, cut in zip(whole, cuts, strict=True):
            all_of[found] = cut
        return Patches(*(all_of.reshape(count, k, *all_of.shape[1:]) for all_of in whole))


def _settling(table: PatchTable, drawn: Drawing | None) -> dict[str, float]:
    """How much of the answer is the one of the drawing before."""
    before = torch.from_numpy(drawn.values["image_ids"]) if drawn is not None else table.image_ids[:0]
    found = table.image_ids >= 0
    if len(before) != len(found) or not found.any():
        return {}
    same = (table.image_ids[:, :, None] == before[:, None, :]).any(2) & found
    stayed = (table.image_ids[:, 0] == before[:, 0])[found[:, 0]]
    return {"overlap": float(same.sum() / found.sum()), "settled": float(stayed.float().mean())}


def _pictures(patches: Patches, probe: Probe) -> tuple[list[NDArray[np.uint8]], str]:
    count, k = patches.images.shape[:2]
    photographs, note = probe.unnormalise(patches.images.flatten(0, 1))
    drawn = (
        [image_picture(one) for one in photographs],
        [signed_picture(one) for one in patches.reconstructions.flatten(0, 1)],
    )
    for pictures in drawn:
        for picture, patch in zip(pictures, patches.images.flatten(0, 1), strict=True):
            picture[patch.isnan().all(0).numpy()] = BEYOND
    return [mosaic([list(pictures[row * k : (row + 1) * k]) for row in range(count)], 96) for pictures in drawn], note
