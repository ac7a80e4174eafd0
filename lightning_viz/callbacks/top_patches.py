"""What excites the units of a layer most: the strongest patches of a data set, and what in them does it."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lightning_viz.data.batches import spread
from lightning_viz.data.probe import Probe
from lightning_viz.functional.effective_field import effective_field
from lightning_viz.functional.filters import CONVOLUTIONS
from lightning_viz.functional.receptive_field import receptive_field
from lightning_viz.functional.reconstruction import reconstruct
from lightning_viz.functional.top_patches import PatchTable, cut_patches, merge_tables, move_inside, top_patches
from lightning_viz.introspection.calls import image_type
from lightning_viz.render import image_picture, mosaic, outline, shrink, signed_picture
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.schedule import LOG_SPACED, is_whole
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["TopPatches"]

SHOWN = 16
"""Units, when none are chosen."""

LARGEST = 96
"""Pixels of the longer side of a tile."""

OUTLINED = 32
"""A smaller tile has no line: it would hide as much as it shows."""

NO_IMAGE = 224
"""Light grey: there is no further image."""


class Patches(NamedTuple):
    """The k strongest patches of U units; NaN and -1 where there are fewer."""

    images: Tensor
    """``(U, k, C, h, w)``"""
    reconstructions: Tensor
    """What in them excites the unit, as the images."""
    windows: Tensor
    """``(U, k, 4)``: which part of the image they are."""
    effective: Tensor
    """``(U, k, 4)``: the effective fields, in the image."""


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
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        data: Map-style data set without augmentation; that of the (first) validation loader when omitted.
        units: Which units get pictures, the same in each layer; 16 spread over the layer when omitted.
        k: How many patches per unit, at most one of an image.
        max_images: Look at so many, spread over the data.
        sharded: With several processes, each looks at its share of the images; else the first looks at all, and the
            others go on.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, Fig. 2; the effective
    field: Luo et al., NeurIPS 2016.

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
        mirror: Mirror = "both",
        data: Dataset | None = None,  # type: ignore[type-arg]  # LightningCLI can't read it otherwise
        units: Sequence[int] | None = None,
        k: int = 9,
        max_images: int = 2000,
        sharded: bool = False,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
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
        tables = top_patches(context.model, context.layers, context.data, self.k)
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
            tile = [pictures[0].shape[0] // len(units), pictures[0].shape[1] // shown.values.shape[1]]
            line = "; the line holds 95 % of the gradient's energy" if max(tile) >= OUTLINED else ""
            yield Drawing(
                layer,
                values={
                    "values": table.values,
                    "image_ids": table.image_ids,
                    "positions": table.positions,
                    "boxes": table.boxes,
                    "windows": patches.windows,
                    "effective_boxes": patches.effective,
                },
                pictures=pictures,
                captions=[
                    f"{name}: rows are units {', '.join(map(str, units))}, columns the strongest of {looked_at} images "
                    f"first{more}{line} | image {note}"
                    for name, more in (("patches", ""), ("reconstructions (deconvnet)", ", each on its own scale"))
                ],
                scalars=_settling(table, context.before.get(layer)),
                meta={
                    "units": list(units),
                    "k": shown.values.shape[1],
                    "tile": tile,
                    "box": list(patches.images.shape[-2:]),
                    "images": looked_at,
                    "unit_count": len(table.values),
                },
            )

    def _patches(self, context: Context, layer: str, units: Sequence[int], table: PatchTable) -> Patches:
        model = context.model
        ids, where = torch.unique(table.image_ids.clamp(min=0), return_inverse=True)
        images = torch.cat([part.cpu() for part, _ in context.data.of(ids.tolist())])
        count, k = table.values.shape
        found = (table.image_ids >= 0).flatten()
        if not found.any():  # a network that diverged
            sizes = zip(receptive_field(model, layer, images.shape[1:]).size, images.shape[2:], strict=True)
            nothing = images.new_full((count, k, images.shape[1], *map(min, sizes)), torch.nan)
            nowhere = torch.full((count, k, 4), -1)
            return Patches(nothing, nothing, nowhere, nowhere)
        asked = {
            "units": torch.as_tensor(units).repeat_interleave(k)[found],
            "positions": table.positions.flatten(0, 1)[found],
            "image_ids": where.flatten()[found],
        }
        ready = images.to(*image_type(model, images))
        down = reconstruct(model, layer, ready, **asked).cpu()
        effective = effective_field(model, layer, ready, **asked)
        windows = move_inside(table.boxes.flatten(0, 1)[found], images.shape[2:])
        cuts = [cut_patches(one, windows) for one in (images[asked["image_ids"]].float(), down)]
        whole = [cut.new_full((count * k, *cut.shape[1:]), torch.nan) for cut in cuts]
        whole += [torch.full((count * k, 4), -1) for _ in range(2)]
        for all_of, part in zip(whole, (*cuts, windows, effective), strict=True):
            all_of[found] = part
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
    photographs, note = probe.unnormalise(patches.images.flatten(0, 1))
    drawn = (photographs, image_picture), (patches.reconstructions.flatten(0, 1), signed_picture)
    return [_page(patches, maps, draw) for maps, draw in drawn], note


def _page(patches: Patches, maps: Tensor, draw: Callable[[Tensor], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    count, k = patches.windows.shape[:2]
    tiles = []
    for one, window, effective in zip(
        maps, patches.windows.flatten(0, 1), patches.effective.flatten(0, 1), strict=True
    ):
        tile = shrink(draw(one), LARGEST)
        if window[0] < 0:
            tile = np.full_like(tile, NO_IMAGE)
        elif effective[0] >= 0 and max(tile.shape[:2]) >= OUTLINED:
            tile = outline(tile, _inside_tile(effective, window, tile.shape[:2]))
        tiles.append(tile)
    return mosaic([tiles[row * k : (row + 1) * k] for row in range(count)], LARGEST)


def _inside_tile(box: Tensor, window: Tensor, size: Sequence[int]) -> list[int]:
    """Give the pixels that a box touches of the tile that shows a window."""
    first, last = (box - window[:2].repeat(2)).chunk(2)
    scale = torch.tensor(size) / (window[2:] - window[:2])
    return [*(first * scale).floor().int().tolist(), *(last * scale).ceil().int().tolist()]
