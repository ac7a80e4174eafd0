"""From the probe that a callback was given to images: read, captured, or found again in the store."""

import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_viz.data.probe import Probe
from lightning_viz.data.unpacking import Say
from lightning_viz.render import encode_png, image_picture
from lightning_viz.store import Store, store_folder

__all__ = ["Probes"]

log = logging.getLogger("lightning_viz")


class Probes:
    """The probes of one fit. Callbacks that were given the same object, or none, share one."""

    def __init__(self, checkpoint: str | None, *, goes_on: bool = False) -> None:
        """Start without images.

        Args:
            checkpoint: What training resumes from; the run that it lies in may hold the captured probe.
            goes_on: Whether the store itself may hold it, also without a checkpoint: a second fit of one Trainer.
        """
        self.store: Store | None = None
        self._checkpoint = checkpoint
        self._goes_on = goes_on or checkpoint is not None
        self._default = Probe()
        self._resolved: dict[int, tuple[Probe, Probe]] = {}
        self._hashes: dict[int, str] = {}

    def of(self, given: Probe | None) -> Probe:
        """Give the probe with its images, if it has them by now or the run that goes on has saved them."""
        return self._entry(given)[1]

    def settle(self, given: Probe | None, probe: Probe) -> None:
        """Keep the images of a probe for the rest of the fit."""
        self._resolved[id(given or self._default)] = (given or self._default, probe)

    def capture(self, given: Probe | None, batch: Any, say: Say = log.warning) -> None:
        """Take the images from a batch, unless the probe has some."""
        config, probe = self._entry(given)
        if not probe.ready and config.dataset is None:
            self.settle(given, config.capture(batch, say))

    def saved(self, probe: Probe) -> str | None:
        """Save a probe that pictures were made from, and give its hash; None if it has no images."""
        if self.store is None or not probe.ready:
            return None
        if id(probe) not in self._hashes:
            write = partial(self.store.write_probe, _arrays(probe), partial(_pictures, probe))
            self._hashes[id(probe)] = write(captured=probe.captured)
        return self._hashes[id(probe)]

    def _entry(self, given: Probe | None) -> tuple[Probe, Probe]:
        config = given or self._default
        if id(config) not in self._resolved:
            waits = not config.ready and config.dataset is None
            self._resolved[id(config)] = config, (self._saved_before(config) if waits else None) or config
        return self._resolved[id(config)]

    def _saved_before(self, config: Probe) -> Probe | None:
        for path in self._candidates:
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    if arrays["indices"].tolist() == list(config.indices or []):
                        labels = torch.from_numpy(arrays["labels"]) if "labels" in arrays else None
                        return config.restore(torch.from_numpy(arrays["images"]), labels)
            except Exception as error:  # noqa: BLE001 (what a damaged file makes NumPy and zipfile raise is no short list)
                log.warning("lightning_viz: the saved probe %s can't be read (%s); another is captured.", path, error)
        return None

    @cached_property
    def _candidates(self) -> list[Path]:
        """What the run that goes on has saved; looked up once, so that nothing of this fit is taken for it."""
        if not self._goes_on:
            return []
        folders = [self.store.folder] if self.store is not None else []
        if self._checkpoint is not None:
            folders += [Path(store_folder(str(run))) for run in list(Path(self._checkpoint).parents)[:3]]
        return [
            path for folder in dict.fromkeys(folders) for path in sorted((folder / "probes").glob("captured-*.npz"))
        ]


def _arrays(probe: Probe) -> dict[str, NDArray[Any]]:
    arrays = {
        "images": probe.images.float().cpu().numpy(),
        "indices": np.array(list(probe.indices or []), dtype=np.int64),
    }
    if probe.labels is not None:
        arrays["labels"] = probe.labels.cpu().numpy()
    return arrays


def _pictures(probe: Probe) -> list[bytes]:
    return [encode_png(image_picture(image)) for image in probe.unnormalised()[0]]
