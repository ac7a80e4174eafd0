"""The fixed images that pictures are made from."""

import copy
import logging
from collections.abc import Sequence, Sized
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_viz.data.reading import Reader, Sample, UnsuitableDataError, spread
from lightning_viz.data.unpacking import Batch, BatchFn, Say, unpack_batch
from lightning_viz.introspection.calls import Call, ForwardFn
from lightning_viz.introspection.isolation import random_streams
from lightning_viz.introspection.outputs import Output, find_scores
from lightning_viz.introspection.unsuitable import UnsuitableError

__all__ = ["NoImagesError", "Probe"]

log = logging.getLogger("lightning_viz")

CAPTURED = 8


class NoImagesError(UnsuitableError, RuntimeError):
    """A probe has no images."""


class Probe:
    """The fixed images that pictures are made from, the same for every callback that is given the same object.

    Without ``images`` and ``dataset`` it is captured passively: the first 8 images of the first validation batch of
    the sanity check, else of the first training batch, before its step. Whichever it was stays the probe; it is saved
    in the run's store, and found again when training resumes in the same folder or from a checkpoint inside it.

    Args:
        images: ``(N, C, H, W)`` float, normalised as in training; or a whole batch as the loader gives it, with labels.
        dataset: Map-style, items like those of the Trainer's data. Read once, before the first training batch, as the
            Trainer reads its own: by its loader's ``collate_fn`` and workers and the module's transfer hooks.
        indices: Which images of ``dataset`` or of a captured batch. When omitted: 8 spread over the dataset; the first
            8 of a captured batch.
        mean: Per channel (or one number), as in the normalisation of training; turns images back into pictures.
        std: Likewise.
        class_names: The name of each class, for captions.
        batch_fn: Takes a batch, as the module's steps get it, to ``(images, labels or None)``, where they are not found
            in it.
        output: Where the class scores are in what the model returns: a key, an index or a function; not needed for a
            tensor.
        forward_fn: Takes the model and images ``(N, C, H, W)`` to what the model returns, for a network that is not
            called as ``model(images)``.

    Raises:
        ValueError: Both ``images`` and ``dataset``, only one of mean and std, or images of the wrong shape.

    Example:
        >>> probe = Probe(torch.rand(4, 3, 12, 20), mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
        >>> probe.images.shape
        torch.Size([4, 3, 12, 20])
    """

    def __init__(
        self,
        images: Tensor | tuple[Tensor, Tensor] | None = None,
        dataset: Dataset | None = None,  # type: ignore[type-arg]  # LightningCLI can't read it otherwise
        indices: Sequence[int] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        class_names: Sequence[str] | None = None,
        batch_fn: BatchFn | None = None,
        output: Output | None = None,
        forward_fn: ForwardFn | None = None,
    ) -> None:
        if images is not None and dataset is not None:
            raise ValueError("Probe: give images or dataset, not both.")
        if (mean is None) != (std is None):
            raise ValueError("Probe: mean and std belong together; got only one of them.")
        if indices is not None and len(indices) == 0:
            raise ValueError("Probe(indices=[]): name at least one image, or leave it out.")
        self.dataset = dataset
        self.indices = indices
        self.mean = mean
        self.std = std
        self.class_names = class_names
        self.batch_fn = batch_fn
        self.output = output
        self.forward_fn = forward_fn
        self._images: Tensor | None = None
        self._labels: Tensor | None = None
        self._why_none = "it is captured when the first batch arrives"
        self._unusual: str | None = None
        self.captured = False
        if images is not None:
            self._keep(*unpack_batch(images, batch_fn))

    @property
    def ready(self) -> bool:
        """Whether it has images yet."""
        return self._images is not None

    @property
    def images(self) -> Tensor:
        """``(N, C, H, W)`` float, normalised as in training.

        Raises:
            NoImagesError: There are none yet; the message says why.
        """
        if self._images is None:
            raise NoImagesError(f"Probe: there are no images: {self._why_none}.", self._unusual)
        return self._images

    @property
    def labels(self) -> Tensor | None:
        """``(N,)`` int64, or None when the images came without."""
        return self._labels

    def choose_items(self) -> list[int]:
        """Say which items of ``dataset`` are meant, without reading any; none without a dataset.

        Raises:
            ValueError: Not map-style, empty, or without the items of ``indices``.
        """
        if self.dataset is None:
            return []
        size = len(self.dataset) if isinstance(self.dataset, Sized) else 0
        if size == 0:
            raise ValueError(f"Probe(dataset=...): a {type(self.dataset).__name__} without a length, or an empty one.")
        chosen = list(self.indices) if self.indices is not None else spread(size, CAPTURED)
        if any(not 0 <= index < size for index in chosen):
            raise ValueError(f"Probe(indices={chosen}): the dataset has items 0 to {size - 1}.")
        return chosen

    def read_dataset(self, reader: Reader | None = None) -> "Probe":
        """Take the images from ``dataset``, without moving a random stream.

        Args:
            reader: How a Trainer reads its data.

        Raises:
            ValueError: Items that can't be read, have no images, or differ when they are read twice.
        """
        chosen = self.choose_items()
        if self.dataset is None:
            return self
        how = replace(reader or Reader(), batch_fn=self.batch_fn)
        try:
            with random_streams():
                ((images, labels),) = Sample(self.dataset, chosen, how, "Probe", "dataset", len(chosen))
        except UnsuitableDataError:
            raise
        except Exception as error:
            gets = "" if self.batch_fn is None else "; batch_fn gets what the loader's collate_fn makes of them"
            raise ValueError(
                f"Probe(dataset=...): its items can't be used ({type(error).__name__}: {error}{gets}). Give a dataset "
                "like the Trainer's own, or images=..."
            ) from error
        return self._with(images.cpu(), None if labels is None else labels.cpu())

    def capture(self, batch: Batch, say: Say = log.warning) -> "Probe":
        """Take the images from a batch of the loader; a batch that can't be unpacked leaves its reason."""
        try:
            images, labels = unpack_batch(batch, self.batch_fn, say)
            chosen = list(self.indices) if self.indices is not None else list(range(min(CAPTURED, len(images))))
            return self.restore(images[chosen], None if labels is None else labels[chosen])
        except Exception as error:  # noqa: BLE001 (a user's batch_fn may raise anything; it matters to who looks)
            empty = copy.copy(self)
            empty._why_none = f"the first batch could not be used ({error})"
            empty._unusual = error.about if isinstance(error, UnsuitableError) else None
            return empty

    def restore(self, images: Tensor, labels: Tensor | None) -> "Probe":
        """Take images that were captured, now or before training was resumed."""
        captured = self._with(images.cpu(), None if labels is None else labels.cpu())
        captured.captured = True
        return captured

    def on(self, call: Call) -> "Probe":
        """Give a copy on the device and in the float type that a model takes, which may work on it in place."""
        if self._images is None:
            return self
        moved = copy.copy(self)
        moved._images = self._images.to(call.device, call.dtype, copy=True)
        moved._labels = None if self._labels is None else self._labels.to(moved._images.device)
        return moved

    def unnormalised(self) -> tuple[Tensor, str]:
        """Turn the images back into pictures.

        Returns:
            ``(N, C, H, W)`` float32 in 0..1 on the CPU (what is not finite stays so), and how they got there, for the
            caption.

        Raises:
            ValueError: Another number of means or stds than channels.
        """
        return self.unnormalise(self.images)

    def unnormalise(self, images: Tensor) -> tuple[Tensor, str]:
        """Turn other images of the same kind, ``(N, C, H, W)``, into pictures; see ``unnormalised``."""
        images = images.detach().float().cpu()
        if self.mean is not None and self.std is not None:
            mean, std = (torch.as_tensor(value, dtype=torch.float32).reshape(-1) for value in (self.mean, self.std))
            if not {len(mean), len(std)} <= {1, images.shape[1]}:
                raise ValueError(f"Probe: {len(mean)} means and {len(std)} stds for {images.shape[1]} channels.")
            shaped = (1, -1, 1, 1)
            return (images * std.reshape(shaped) + mean.reshape(shaped)).clamp(0, 1), "un-normalised with mean and std"
        finite = images[images.isfinite()]
        low, high = (finite.min(), finite.max()) if len(finite) else (torch.zeros(()), torch.ones(()))
        if low >= 0 and high <= 1:
            return images.clone(), "as the network gets them"
        scaled = (images - low) / (high - low).clamp_min(1e-12)
        return scaled, f"scaled from {low:.3g}..{high:.3g}: the probe has no mean and std"

    def scores(self, returned: Any) -> Tensor:
        """Find the class scores in what the model returned.

        Returns:
            ``(N, classes)`` float.

        Raises:
            TypeError: No tensor there; the message says what came and names ``output``.
            ValueError: A tensor of another shape.
        """
        return find_scores(returned, self.output, "Probe")

    def _with(self, images: Tensor, labels: Tensor | None) -> "Probe":
        filled = copy.copy(self)
        filled._keep(images, labels)
        return filled

    def _keep(self, images: Tensor, labels: Tensor | None) -> None:
        self._images, self._labels = images.detach().clone(), None if labels is None else labels.detach().clone()
