"""Which images of a data set, and which part of them, excite each unit most."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from lightning_viz.data.batches import BatchFn, Data, read_batches, with_progress
from lightning_viz.functional.halving import run_on_each
from lightning_viz.functional.receptive_field import receptive_fields
from lightning_viz.introspection.calls import image_type
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import find_layers
from lightning_viz.introspection.outputs import as_maps

__all__ = ["PatchTable", "cut_patches", "merge_tables", "move_inside", "top_patches"]

WHO = "top_patches"


class PatchTable(NamedTuple):
    """The k strongest activations of each unit, at most one per image, strongest first; missing entries are -1.

    ``values (K, k)`` float32 (-inf where missing), ``image_ids (K, k)`` in the data, ``positions (K, k, 2)`` rows and
    columns in the layer's map, ``boxes (K, k, 4)`` top, left, bottom, right (half-open) in the image. A box has the
    size of the receptive field, so at borders it reaches beyond the image.
    """

    values: Tensor
    image_ids: Tensor
    positions: Tensor
    boxes: Tensor


def top_patches(
    model: nn.Module,
    layers: str | Sequence[str],
    data: Data,
    k: int = 9,
    units: Sequence[int] | None = None,
    max_images: int | None = None,
    batch_size: int = 32,
    batch_fn: BatchFn | None = None,
) -> dict[str, PatchTable]:
    """Find the images, and the places in them, that excite each unit most.

    One pass over the data for all layers at once; the memory is O(units x k). At most one place of an image counts, the
    first where several are equally strong; of equally strong images the first in the data. So the answer depends
    neither on the size of the batches nor on how the data are split, but for rounding. NaN is no activation.

    Args:
        model: Left exactly as found; runs in eval mode.
        layers: Names or globs. Of a layer that runs several times, the last time counts.
        data: Images ``(N, C, H, W)`` normalised as in training, a map-style data set, or a loader (its order counts).
        k: How many per unit.
        units: Which units of each layer; all when omitted.
        max_images: Look at so many, spread over the data set; at all when omitted.
        batch_size: Of a tensor or data set.
        batch_fn: Takes a batch to ``(images, labels or None)``, where it has an unusual form.

    Returns:
        Layer name to its table, with rows in the order of ``units``.

    Raises:
        ValueError: No such layer or unit, no images, a data set that gives other images when it is read again.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4 and Fig. 2.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
        >>> top_patches(model, "2", torch.randn(20, 3, 12, 20), k=5)["2"].boxes.shape
        torch.Size([4, 5, 4])
    """
    for name, value in (("k", k), ("batch_size", batch_size), ("max_images", max_images)):
        if value is not None and value < 1:
            raise ValueError(f"{WHO}({name}={value}): must be at least 1.")
    if units is not None:
        chosen = torch.as_tensor(units)
        if chosen.ndim != 1 or not len(chosen) or chosen.is_floating_point():
            raise ValueError(f"{WHO}(units={units!r}): must be a list of whole numbers, or None for all.")
    if not layers:
        raise ValueError(f"{WHO}(layers={layers!r}): name at least one.")
    modules = find_layers(model, layers, nn.Module, who=WHO)
    with isolated(model), torch.no_grad():
        best: dict[str, _Best] = {}
        place: list[Any] = []

        def run(ids: Tensor, images: Tensor) -> None:
            if not best:
                place.extend(image_type(model, images))
                best.update(_prepare(model, modules, images, k, units))
            for one in best.values():
                one.begin(ids, images.shape[2:])
            model(images.to(*place))

        batches = read_batches(data, batch_size, max_images, batch_fn, WHO)
        run_on_each(with_progress(batches, data, max_images, WHO), run)
    return {name: one.table() for name, one in best.items()}


def _prepare(
    model: nn.Module, modules: Mapping[str, nn.Module], images: Tensor, k: int, units: Sequence[int] | None
) -> "dict[str, _Best]":
    try:
        fields = receptive_fields(model, list(modules), images.shape[1:])
    except ValueError as error:
        raise ValueError(f"{WHO}: {error} Leave it out.") from error
    best = {}
    for name, module in modules.items():
        best[name] = _Best(name, module, fields[name].runs, k, units, tuple(images.shape[2:]), fields[name].field.boxes)
        module.register_forward_hook(best[name].look)  # the isolation takes it away
    return best


class _Best:
    """The strongest activations of one layer so far."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        runs: int,
        k: int,
        units: Sequence[int] | None,
        image_size: tuple[int, ...],
        boxes: Callable[[Tensor], Tensor],
    ) -> None:
        self.maps_of = partial(
            as_maps, image_size=image_size, reshape=None, who=WHO, layer=module, cure="Leave it out."
        )
        self.name, self.runs, self.k, self.boxes = name, runs, k, boxes
        self.units = None if units is None else torch.as_tensor(units)
        self.image_size = image_size
        self.ran = 0
        self.width = 1
        self.values = self.image_ids = self.places = torch.empty(0)
        self.before = self.values, self.image_ids, self.places
        self.ids = torch.empty(0)

    def begin(self, ids: Tensor, image_size: Sequence[int]) -> None:
        """Say which images come next; those that came last come again where memory ran out."""
        if len(self.ids) and torch.isin(ids[0], self.ids):
            self.values, self.image_ids, self.places = self.before
        if tuple(image_size) != self.image_size:
            raise ValueError(
                f"{WHO}(data=...): the images are of different sizes, {self.image_size} and {tuple(image_size)}. "
                "Resize or crop them to one."
            )
        self.before = self.values.clone(), self.image_ids.clone(), self.places.clone()
        self.ids, self.ran = ids, 0

    def look(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Take the strongest of a batch in; a forward hook."""
        self.ran += 1
        if self.ran != self.runs:
            return
        maps = self.maps_of(output)
        if not self.values.numel():
            self._begin(maps)
        chosen = maps if self.units is None else maps[:, self.units]
        if chosen.is_contiguous(memory_format=torch.channels_last) and not chosen.is_contiguous():
            strongest, places = (part.flatten(1).T for part in adaptive_max_pool2d(chosen, 1, return_indices=True))
        else:
            strongest, places = chosen.amax((2, 3)).T, None
        strongest = strongest.float()
        better = strongest > self.values[:, -1:]  # not for NaN; of equals the earlier image stays
        rows = better.any(1).nonzero()[:, 0]
        if len(rows):
            self._take(rows, strongest.masked_fill(~better, -torch.inf)[rows], places, chosen)

    def _begin(self, maps: Tensor) -> None:
        units = maps.shape[1] if self.units is None else len(self.units)
        if self.units is not None and not 0 <= int(self.units.min()) <= int(self.units.max()) < maps.shape[1]:
            raise ValueError(
                f'{WHO}: units of "{self.name}" go from 0 to {maps.shape[1] - 1}; got {self.units.tolist()}.'
            )
        self.width = maps.shape[3]
        self.values = maps.new_full((units, self.k), -torch.inf, dtype=torch.float32)
        self.image_ids, self.places = (torch.full_like(self.values, -1, dtype=torch.int64) for _ in range(2))

    def _take(self, rows: Tensor, strongest: Tensor, places: Tensor | None, maps: Tensor) -> None:
        # Stable, and what is known comes first: of equals the earlier image stays.
        together = torch.cat([self.values[rows], strongest], dim=1)
        order = together.argsort(dim=1, descending=True, stable=True)[:, : self.k]
        new = order >= self.k
        unit, entry = new.nonzero(as_tuple=True)
        image = order[unit, entry] - self.k
        known = order.clamp(max=self.k - 1)
        image_ids, at = self.image_ids[rows].gather(1, known), self.places[rows].gather(1, known)
        image_ids[unit, entry] = self.ids.to(image_ids.device)[image]
        # Only of the few that stay: to look for the place costs more than to look for the value.
        at[unit, entry] = maps[image, rows[unit]].flatten(1).argmax(1) if places is None else places[rows[unit], image]
        self.values[rows], self.image_ids[rows], self.places[rows] = together.gather(1, order), image_ids, at

    def table(self) -> PatchTable:
        """Give what was found."""
        values, image_ids, places = (part.cpu() for part in (self.values, self.image_ids, self.places))
        missing = (image_ids < 0)[..., None]
        positions = torch.stack([places // self.width, places % self.width], dim=-1).masked_fill(missing, -1)
        return PatchTable(values, image_ids, positions, self.boxes(positions).masked_fill(missing, -1))


def merge_tables(tables: Sequence[PatchTable]) -> PatchTable:
    """Merge the tables of parts of the data; the same as one pass over all of it.

    Args:
        tables: Of the same layer and units, with image ids in the whole data.

    Returns:
        One table.

    Example:
        >>> images, model = torch.randn(6, 3, 8, 8), nn.Sequential(nn.Conv2d(3, 2, 3))
        >>> first, second = (top_patches(model, "0", part, k=2)["0"] for part in images.split(3))
        >>> merged = merge_tables([first, second._replace(image_ids=second.image_ids + 3)])
        >>> torch.equal(merged.image_ids, top_patches(model, "0", images, k=2)["0"].image_ids)
        True
    """
    k = tables[0].values.shape[1]
    together = PatchTable(*(torch.cat(parts, dim=1) for parts in zip(*tables, strict=True)))
    # Missing entries last, of equals the first image first.
    ids = together.image_ids.masked_fill(together.image_ids < 0, torch.iinfo(torch.int64).max)
    rows = torch.arange(len(ids))[:, None]
    by_id = ids.argsort(dim=1, stable=True)
    together = PatchTable(*(part[rows, by_id] for part in together))
    # An image that is in two parts (a sampler may fill up the last one) counts once.
    again = torch.zeros_like(together.image_ids, dtype=torch.bool)
    again[:, 1:] = (together.image_ids[:, 1:] == together.image_ids[:, :-1]) & (together.image_ids[:, 1:] >= 0)
    gone = again[..., None]
    together = PatchTable(
        together.values.masked_fill(again, -torch.inf),
        together.image_ids.masked_fill(again, -1),
        together.positions.masked_fill(gone, -1),
        together.boxes.masked_fill(gone, -1),
    )
    order = together.values.argsort(dim=1, descending=True, stable=True)[:, :k]
    return PatchTable(*(part[rows, order] for part in together))


def move_inside(boxes: Tensor, image_size: Sequence[int]) -> Tensor:
    """Make windows on the image of boxes: cut down to the image where they are larger, moved where they reach over it.

    Args:
        boxes: ``(P, 4)`` top, left, bottom, right, all of one size.
        image_size: (H, W).

    Returns:
        ``(P, 4)``, all of one size and inside the image.

    Example:
        >>> move_inside(torch.tensor([[-1, 1, 2, 31]]), (12, 20)).tolist()
        [[0, 0, 3, 20]]
    """
    limits = torch.tensor(image_size)
    sizes = (boxes[:, 2:] - boxes[:, :2]).minimum(limits)
    first = boxes[:, :2].clamp(min=0).minimum(limits - sizes)
    return torch.cat([first, first + sizes], dim=1)


def cut_patches(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut boxes out of images, whole also where they reach beyond the border.

    Args:
        images: ``(P, C, H, W)`` float. Left untouched.
        boxes: ``(P, 4)`` top, left, bottom, right, all of one size.

    Returns:
        ``(P, C, h, w)``; NaN beyond the border, on the side where the box reaches over it.

    Example:
        >>> cut_patches(torch.zeros(1, 1, 4, 4), torch.tensor([[-1, 1, 2, 4]]))[0, 0]
        tensor([[nan, nan, nan],
                [0., 0., 0.],
                [0., 0., 0.]])
    """
    height, width = images.shape[2:]
    if not len(boxes):
        return images.new_empty(0, images.shape[1], 0, 0)
    rows, columns = (boxes[:, axis, None] + torch.arange(int(boxes[0, axis + 2] - boxes[0, axis])) for axis in (0, 1))
    outside = ((rows < 0) | (rows >= height))[:, None, :, None] | ((columns < 0) | (columns >= width))[:, None, None]
    numbers = torch.arange(len(images))[:, None, None]
    inside = numbers, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]
    return images.permute(0, 2, 3, 1)[inside].permute(0, 3, 1, 2).masked_fill(outside.to(images.device), torch.nan)
