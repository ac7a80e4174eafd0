"""What the callbacks of one Trainer share during one fit: the store, the loggers, the captured probes. Rank 0 only."""

import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightning_viz.data.probe import Probe
from lightning_viz.export.loggers import log_picture, log_scalars, mark_run, run_folder
from lightning_viz.export.projector import write_embedding
from lightning_viz.introspection.layers import describe_layers
from lightning_viz.render import encode_png
from lightning_viz.store import PLUGIN_NAME, SCHEMA_VERSION, Record, Store, read_store, read_values, store_folder
from lightning_viz.trainer.drawing import Drawing
from lightning_viz.trainer.lightning import Moment, finished_batches
from lightning_viz.trainer.probes import Probes

__all__ = ["OnError", "Session", "close_session", "session_of"]

OnError = Literal["warn", "raise"]

log = logging.getLogger("lightning_viz")

Trainer = Any

_sessions: "WeakKeyDictionary[Trainer, Session]" = WeakKeyDictionary()


def session_of(trainer: Trainer, model: nn.Module, on_error: OnError) -> "Session":
    """Give the session of a running fit; the first callback that asks opens it."""
    if trainer not in _sessions:
        _sessions[trainer] = Session(trainer)
        _sessions[trainer].open_store(trainer, model, on_error)
    return _sessions[trainer]


def close_session(trainer: Trainer) -> None:
    """End the session: gather its records into one index file. Does nothing the second time."""
    session = _sessions.pop(trainer, None)
    if session is not None and session.store is not None:
        session.attempt("write the index of the records", session.store.write_index)


class Session:
    """What the callbacks of one Trainer share during one fit; see the module.

    ``fast_dev_run`` draws and keeps nothing: no store, no loggers.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.store: Store | None = None
        self.loggers = [] if trainer.fast_dev_run else list(trainer.loggers)
        # A Trainer that fits once more goes on too; it still knows how many batches it has seen.
        self._goes_on = trainer.ckpt_path is not None or finished_batches(trainer) > 0
        self.probes = Probes(trainer.ckpt_path, goes_on=self._goes_on)
        self._warned: set[tuple[object, ...]] = set()

    def open_store(self, trainer: Trainer, model: nn.Module, on_error: OnError) -> None:
        """Open the store and mark the run for TensorBoard. A folder that can't be written leaves the loggers alone."""
        if trainer.fast_dev_run:
            return
        what = "open the store, so that only the loggers get pictures"
        self.attempt(what, partial(self._open, trainer), on_error)
        if self.store is not None:
            self.attempt("describe the run", partial(self._describe, self.store, model), on_error)
            self.attempt("mark the run for TensorBoard", partial(self._mark, self.store), on_error)

    def _open(self, trainer: Trainer) -> None:
        run = run_folder(self.loggers, trainer.default_root_dir)
        self.store = self.probes.store = Store(store_folder(str(run)))

    def _describe(self, store: Store, model: nn.Module) -> None:
        store.write_run(_describe_run(model), resumed=self._goes_on)

    def _mark(self, store: Store) -> None:
        mark_run(self.loggers, store.folder.parents[1], PLUGIN_NAME)

    def drawn_before(self, name: str, batches: int, on_error: OnError) -> dict[str, Drawing]:
        """Read what the run that goes on had drawn last by then, by layer, from the folder where this one writes."""
        found: dict[str, Drawing] = {}
        if self.store is not None and batches >= 0:
            what = "read what was drawn before, so that it begins anew"
            self.attempt(what, lambda: found.update(self._last_drawings(name, batches)), on_error)
        return found

    def has_drawn(self, name: str, batches: int) -> bool:
        """Whether the run that goes on has drawn a moment, in the folder where this one writes."""
        moment = name, batches, None
        return self.store is not None and any((r.name, r.batches, r.error) == moment for r in self._records_before)

    @cached_property
    def _records_before(self) -> list[Record]:
        """What the store holds before this fit draws."""
        assert self.store is not None
        return read_store(str(self.store.folder)).records

    def _last_drawings(self, name: str, batches: int) -> dict[str, Drawing]:
        ours = [one for one in self._records_before if (one.name, one.error) == (name, None)]
        last = {one.layer: one for one in sorted(ours, key=lambda one: one.batches) if one.batches <= batches}
        return {layer: self._drawing(record) for layer, record in last.items()}

    def _drawing(self, record: Record) -> Drawing:
        assert self.store is not None
        files = {item.name: self.store.folder / item.file for item in record.items if item.kind == "values"}
        values = {name: read_values(file.read_bytes()) for name, file in files.items()}
        return Drawing(record.layer, values, scalars=record.scalars, meta=record.meta)

    def record(self, method: str, drawing: Drawing, moment: Moment, probe: Probe | None, on_error: OnError) -> None:
        """Keep a drawing in the store, and hand it to the loggers.

        Args:
            method: Of the callback.
            drawing: What it drew.
            moment: When.
            probe: What it was made from; None if from no images of a probe.
            on_error: What happens when a logger fails.

        Raises:
            Exception: The store could not be written; with ``on_error="raise"`` also when a logger fails.
        """
        scalars = drawing.plain_scalars()
        record = Record(
            method=method,
            layer=drawing.layer,
            wall_time=time.time(),
            scalars=scalars,
            meta=dict(drawing.meta),
            probe=self.probes.saved(probe) if probe is not None else None,
            **moment._asdict(),
        )
        if self.store is not None:
            for key, picture in drawing.photographs.items():
                self.store.write_photographs(key, partial(_encoded, picture))
            self.store.write(record, drawing.blobs())
            if drawing.projector is not None:
                write = partial(_write_embedding, self.store, drawing, moment)
                self.attempt("write the Projector's files", write, on_error)
        tag = f"{PLUGIN_NAME}/{record.name}/{drawing.layer}"
        for logger in self.loggers:
            what = f"hand pictures to the {type(logger).__name__}"
            self.attempt(what, partial(_mirror, logger, tag, drawing, scalars, moment.step), on_error)

    def record_failure(self, method: str, error: Exception, moment: Moment) -> None:
        """Leave a mark in the store that a drawing failed."""
        if self.store is not None:
            reason = f"{type(error).__name__}: {error}"
            record = Record(method=method, layer="", wall_time=time.time(), error=reason, **moment._asdict())
            self.attempt("write a record", partial(self.store.write, record))

    def attempt(self, what: str, action: Callable[[], object], on_error: OnError = "warn") -> Exception | None:
        """Do something that must not end the run.

        Returns:
            What went wrong, after it was logged with its traceback (the same thing only once); else None.
        """
        try:
            action()
        except Exception as error:
            if on_error == "raise":
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            key = what, type(error), place.filename, place.lineno
            if key not in self._warned:
                self._warned.add(key)
                reason = f"lightning_viz could not {what}: {type(error).__name__}: {error}"
                log.warning("%s\nTraining goes on.", reason, exc_info=error)
            return error
        return None


def _encoded(picture: NDArray[np.uint8]) -> list[bytes]:
    return [encode_png(picture)]


def _write_embedding(store: Store, drawing: Drawing, moment: Moment) -> None:
    assert drawing.projector is not None
    features, points = drawing.projector
    write_embedding(store.folder.parents[1], drawing.layer, moment.epoch, features.numpy(), points)


def _mirror(logger: Any, tag: str, drawing: Drawing, scalars: dict[str, float], step: int) -> None:
    for number, (picture, png, caption) in enumerate(drawing.encoded):
        log_picture(logger, tag if len(drawing.pictures) == 1 else f"{tag}/{number}", picture, png, step, caption)
    log_scalars(logger, {f"{tag}/{name}": value for name, value in scalars.items()}, step)


def _describe_run(model: nn.Module) -> dict[str, Any]:
    versions = {}
    for package in ("lightning-viz", "torch", "torchvision", "pytorch-lightning", "lightning", "tensorboard", "numpy"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "schema": SCHEMA_VERSION,
        "created": time.time(),
        "model": type(model).__name__,
        "layers": describe_layers(model),
        "hyper_parameters": dict(getattr(model, "hparams", {})),
        "versions": versions,
    }
