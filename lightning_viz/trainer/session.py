"""What the callbacks of one Trainer share during one fit: the store, the loggers, the captured probes. Rank 0 only."""

import logging
import secrets
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightning_viz.data.probe import Probe
from lightning_viz.export.loggers import log_picture, log_scalars, mark_run, run_folder
from lightning_viz.export.projector import write_embedding
from lightning_viz.introspection.layers import NoLayerError, describe_layers
from lightning_viz.introspection.unsuitable import UnsuitableError
from lightning_viz.render import encode_png
from lightning_viz.store import (
    MIRRORED,
    PLUGIN_NAME,
    SCHEMA_VERSION,
    Record,
    Store,
    claim,
    read_store,
    read_values,
    store_folder,
)
from lightning_viz.trainer.calls import Calls
from lightning_viz.trainer.drawing import Drawing
from lightning_viz.trainer.lightning import Moment, finished_batches
from lightning_viz.trainer.probes import Probes

__all__ = ["Mirror", "OnError", "Session", "close_session", "session_of"]

OnError = Literal["warn", "raise"]

Mirror = Literal["both", "pictures", "scalars", "none"]
"""What loggers get beside the store."""

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
    if session is not None:
        session.leave()


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
        self.calls = Calls()
        self.say = cache(log.warning)
        """Says the same thing only once."""
        self._claim: BinaryIO | None = None
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
        folder = Path(store_folder(str(run)))
        self._claim = claim(folder)
        if self._claim is None:
            own = run / f"job_{secrets.token_hex(4)}"
            log.warning(
                "lightning_viz: another job writes records to %s right now. So that none is lost, those of this one go "
                "to %s, which the tab lists as a run of its own. To avoid it, give each job its log folder.",
                run,
                own,
            )
            folder = Path(store_folder(str(own)))
        self.store = self.probes.store = Store(folder)

    def leave(self) -> None:
        """Let go of the model, and let others write to the store."""
        self.calls.end_watch()
        if self._claim is not None:
            self._claim.close()

    def _describe(self, store: Store, model: nn.Module) -> None:
        store.write_run(_describe_run(model), resumed=self._goes_on)

    def _mark(self, store: Store) -> None:
        # The TensorBoardLogger would mark the other job's run.
        mark_run(self.loggers if self._claim is not None else [], store.folder.parents[1], PLUGIN_NAME)

    def see_batch(self, given: Probe | None, model: nn.Module, batch: Any) -> None:
        """Take the images of a probe from the first batch, and see how the network is called."""
        self.probes.capture(given, batch, self.say)
        what = "see how the network is called"
        self.attempt(what, partial(self.calls.watch, model, self.probes.of(given), batch))

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
        ours = [one for one in ours if "left_out" not in one.meta]  # half of a drawing is none to go on from
        last = {one.layer: one for one in sorted(ours, key=lambda one: one.batches) if one.batches <= batches}
        return {layer: self._drawing(record) for layer, record in last.items()}

    def _drawing(self, record: Record) -> Drawing:
        assert self.store is not None
        files = {item.name: self.store.folder / item.file for item in record.items if item.kind == "values"}
        values = {name: read_values(file.read_bytes()) for name, file in files.items()}
        return Drawing(record.layer, values, scalars=record.scalars, meta=record.meta)

    def record(
        self,
        method: str,
        name: str,
        drawing: Drawing,
        moment: Moment,
        probe: Probe | None,
        on_error: OnError,
        mirror: Mirror,
    ) -> None:
        """Keep a drawing in the store, and hand it to the loggers.

        Args:
            method: Of the callback.
            name: Of its records.
            drawing: What it drew.
            moment: When.
            probe: What it was made from; None if from no images of a probe.
            on_error: What happens when a logger fails.
            mirror: What the loggers get.

        Raises:
            Exception: The store could not be written; with ``on_error="raise"`` also when a logger fails.
        """
        scalars = drawing.plain_scalars()
        record = Record(
            method=method,
            name=name,
            layer=drawing.layer,
            wall_time=time.time(),
            scalars=scalars,
            meta={**drawing.meta, **({"left_out": drawing.left_out} if drawing.left_out else {})},
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
            self._say_left_out(name, drawing)
        tag = f"{MIRRORED}/{name}/{drawing.layer}"
        for logger in self.loggers if mirror != "none" else []:
            what = f"hand pictures to the {type(logger).__name__}"
            self.attempt(what, partial(_mirror, logger, tag, drawing, scalars, moment.step, mirror), on_error)

    def _say_left_out(self, name: str, drawing: Drawing) -> None:
        if drawing.left_out and (name, drawing.layer) not in self._warned:
            self._warned.add((name, drawing.layer))
            log.warning(
                "lightning_viz: %s of layer %s: only pictures are kept, not these values, which are larger than a file "
                "that the tab reads (64 MiB): %s. Smaller or fewer images help.",
                name,
                drawing.layer,
                ", ".join(f"{value} {tuple(shape)}" for value, shape in drawing.left_out.items()),
            )

    def record_failure(self, method: str, name: str, error: Exception, moment: Moment) -> None:
        """Leave a mark in the store that a drawing failed."""
        if self.store is not None:
            reason = f"{type(error).__name__}: {error}"
            at = moment._asdict()
            record = Record(method=method, name=name, layer="", wall_time=time.time(), error=reason, **at)
            self.attempt("write a record", partial(self.store.write, record))

    def attempt(self, what: str, action: Callable[[], object], on_error: OnError = "warn") -> Exception | None:
        """Do something that must not end the run.

        Returns:
            What went wrong, after it was logged with its traceback (the same thing only once); else None. What was
            given and does not suit is said once for all callbacks, without a traceback, which would lead to our code.
        """
        try:
            action()
        except Exception as error:
            if on_error == "raise" and not isinstance(error, NoLayerError):
                raise
            unsuitable = next((one for one in (error, error.__cause__) if isinstance(one, UnsuitableError)), None)
            if unsuitable is not None:
                self._say_once(("unsuitable", unsuitable.about), f"lightning_viz could not {what}: {error}")
                return error
            place = traceback.extract_tb(error.__traceback__)[-1]
            key = what, type(error), place.filename, place.lineno
            self._say_once(key, f"lightning_viz could not {what}: {type(error).__name__}: {error}", error)
            return error
        return None

    def _say_once(self, key: tuple[object, ...], reason: str, error: Exception | None = None) -> None:
        if key not in self._warned:
            self._warned.add(key)
            log.warning("%s\nTraining goes on.", reason, exc_info=error)


def _encoded(picture: NDArray[np.uint8]) -> list[bytes]:
    return [encode_png(picture)]


def _write_embedding(store: Store, drawing: Drawing, moment: Moment) -> None:
    assert drawing.projector is not None
    features, points = drawing.projector
    write_embedding(store.folder.parents[1], drawing.layer, moment.epoch, features.numpy(), points)


def _mirror(logger: Any, tag: str, drawing: Drawing, scalars: dict[str, float], step: int, mirror: Mirror) -> None:
    for number, (picture, png, caption) in enumerate(drawing.encoded if mirror != "scalars" else []):
        log_picture(logger, tag if len(drawing.pictures) == 1 else f"{tag}/{number}", picture, png, step, caption)
    if mirror != "pictures":
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
