"""What follows Lightning's hooks: it decides when to draw, lends the model, and keeps what was drawn."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any, ClassVar

from torch import nn

from lightning_viz.data.probe import Probe
from lightning_viz.data.reading import Reader
from lightning_viz.data.unpacking import say_nothing
from lightning_viz.introspection.calls import Call, called_by
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import NoLayerError
from lightning_viz.introspection.sharding import refuse_sharded, sharded_part
from lightning_viz.trainer.context import Context, Needs, isolated_together, look, look_together
from lightning_viz.trainer.default_layers import DefaultLayers
from lightning_viz.trainer.drawing import Drawing
from lightning_viz.trainer.lightning import (
    Callback,
    Moment,
    ends_here,
    finished_batches,
    moment_of,
    reader_of,
    resumed_behind_an_epoch,
    validation_data,
)
from lightning_viz.trainer.names import record_names, say_made_up
from lightning_viz.trainer.schedule import Schedule
from lightning_viz.trainer.session import Mirror, OnError, Session, close_session, session_of

__all__ = ["DrawsWhileTraining"]

Trainer = Any


class DrawsWhileTraining(ABC, Callback):
    """How a visualisation takes part in training. What it is, and what the attributes mean, says ``VizCallback``."""

    method: ClassVar[str]
    uses_probe: ClassVar[bool]
    sharded: bool

    def __init__(
        self, probe: Probe | None, schedule: Schedule, on_error: OnError, name: str | None, mirror: Mirror
    ) -> None:
        self.probe = probe
        self.schedule = schedule
        self.on_error: OnError = on_error
        self.name = name
        self.mirror: Mirror = mirror
        self._record_name = name or self.method
        self._begun = self._rests = self._lacks_a_layer = False
        self._step_before = self._resumed_at = 0
        self._drawn_at = -1
        self._before: dict[str, Drawing] | None = None
        self._defaults = DefaultLayers(type(self).__name__)

    @abstractmethod
    def draw(self, context: Context) -> Iterable[Drawing]:
        """Draw what the model looks like now."""

    @abstractmethod
    def needs(self, context: Context) -> Needs:
        """Say which layers are looked at, and whether it takes a pass over data."""

    @abstractmethod
    def collect(self, context: Context) -> Any:
        """Make the pass over data."""

    def on_fit_start(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Check, and open the store."""
        self._begun = self._rests = self._lacks_a_layer = False
        self._drawn_at, self._before = -1, None
        self._defaults = DefaultLayers(type(self).__name__)
        with suppress(NoLayerError):  # what fits is known when the network runs
            self.needs(Context(pl_module))
        if self.probe is not None:
            self.probe.choose_items()
        self._name_records(trainer)
        if trainer.is_global_zero:
            self._session(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Rest where no process can run the model alone; else read the probe's data set: loaders are there now."""
        self._resumed_at = finished_batches(trainer)
        refuse = partial(refuse_sharded, pl_module)
        if self.on_error == "raise":
            refuse()
        self._rests = sharded_part(pl_module) is not None
        if not self._rests and self.probe is not None and self.probe.dataset is not None:
            self._read_probe(trainer, pl_module, self.probe)
        if self._rests and trainer.is_global_zero:
            session = self._session(trainer, pl_module)
            error = session.attempt("draw anything in this run", refuse)
            if error is not None:
                moment = moment_of(trainer, epoch_ended=False)
                session.record_failure(self.method, self._record_name, error, moment)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: nn.Module, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Capture the probe, in the sanity check."""
        if not self._begun and trainer.is_global_zero and trainer.state.fn == "fit":
            self._session(trainer, pl_module).see_batch(self.probe, pl_module, batch)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """The step that showed how the network is called is over."""
        if not self._begun and trainer.is_global_zero and trainer.state.fn == "fit":
            self._session(trainer, pl_module).calls.end_watch()

    def on_train_batch_start(self, trainer: Trainer, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        """Capture the probe if there was no validation, and draw what is due before the first batch."""
        if self.schedule.every_n_train_steps is not None:
            self._step_before = trainer.global_step
        if self._begun:
            return
        self._begun = True
        if trainer.is_global_zero:
            self._session(trainer, pl_module).see_batch(self.probe, pl_module, batch)
        untrained = finished_batches(trainer) == 0
        if self._takes_part(trainer) and (untrained or self._owes_an_epoch(trainer, pl_module)):
            self._draw(trainer, pl_module, epoch_ended=not untrained)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw by steps."""
        if trainer.is_global_zero:
            self._session(trainer, pl_module).calls.end_watch()
        by_steps = self.schedule.every_n_train_steps is not None
        if by_steps and self._takes_part(trainer) and self.schedule.at_step(self._step_before, trainer.global_step):
            self._draw(trainer, pl_module, epoch_ended=False, is_last=ends_here(trainer, epoch_ended=False))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Draw by epochs. Where resumed training ends an epoch before its first batch, it is drawn with that batch."""
        waits = trainer.ckpt_path is not None and not self._begun
        if not waits and self._takes_part(trainer) and self.schedule.at_epoch_end(trainer.current_epoch + 1):
            self._draw(trainer, pl_module, epoch_ended=True, is_last=ends_here(trainer, epoch_ended=True))

    def on_train_end(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Draw the last state, if the schedule missed it."""
        if self._takes_part(trainer) and finished_batches(trainer) != self._drawn_at:
            self._draw(trainer, pl_module, epoch_ended=True, is_last=True)

    def on_fit_end(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Index the records."""
        close_session(trainer)

    def on_exception(self, trainer: Trainer, pl_module: nn.Module, exception: BaseException) -> None:
        """Index the records of a run that ends here."""
        close_session(trainer)

    def _name_records(self, trainer: Trainer) -> None:
        callbacks = [one for one in trainer.callbacks if isinstance(one, DrawsWhileTraining)]
        names = record_names(callbacks)
        named = {id(one): name for one, name in zip(callbacks, names, strict=True)}
        self._record_name = named.get(id(self), self._record_name)  # it may be inside a callback of somebody else
        if callbacks[:1] == [self] and trainer.is_global_zero:
            say_made_up(callbacks, names)

    def _session(self, trainer: Trainer, model: nn.Module) -> Session:
        return session_of(trainer, model, self.on_error)

    def _read_probe(self, trainer: Trainer, model: nn.Module, given: Probe) -> None:
        if trainer.is_global_zero and self._session(trainer, model).probes.of(given).ready:
            return  # by another callback
        with ExitStack() as stack:
            try:
                stack.enter_context(isolated(model))
            except RuntimeError:
                return  # then nothing can be drawn either, and the first drawing says why
            probe = given.read_dataset(self._reader(trainer, model))
            if trainer.is_global_zero:
                self._session(trainer, model).probes.settle(given, probe)

    def _reader(self, trainer: Trainer, model: nn.Module) -> Reader:
        say = self._session(trainer, model).say if trainer.is_global_zero else say_nothing
        return reader_of(trainer, self.probe.batch_fn if self.probe is not None else None, say)

    def _takes_part(self, trainer: Trainer) -> bool:
        return not self._rests and (self.sharded or bool(trainer.is_global_zero))

    def _owes_an_epoch(self, trainer: Trainer, model: nn.Module) -> bool:
        """Whether the run before this one ended before it drew the epoch that its checkpoint ends with."""
        if not (resumed_behind_an_epoch(trainer) and self.schedule.at_epoch_end(trainer.current_epoch)):
            return False
        session = self._session(trainer, model) if trainer.is_global_zero else None
        drawn = session is not None and session.has_drawn(self._record_name, finished_batches(trainer))
        return not (trainer.strategy.broadcast(drawn) if self.sharded else drawn)

    def _draw(self, trainer: Trainer, model: nn.Module, *, epoch_ended: bool, is_last: bool = False) -> None:
        self._drawn_at = finished_batches(trainer)
        if not trainer.is_global_zero:
            self._help(trainer, model, is_last)
            return
        session = self._session(trainer, model)
        action = partial(self._draw_now, session, trainer, model, epoch_ended, is_last)
        session.attempt("read where training stands", action, self.on_error)

    def _help(self, trainer: Trainer, model: nn.Module, is_last: bool) -> None:
        try:
            with self._lent(trainer, model):
                own = Call(self.probe.forward_fn if self.probe is not None else None)
                self._look(trainer, model, lambda: Context(model, call=own, is_last=is_last))
        except Exception:
            # Rank 0 heard of it, and says so.
            if self.on_error == "raise":
                raise

    def _draw_now(self, session: Session, trainer: Trainer, model: nn.Module, epoch_ended: bool, is_last: bool) -> None:
        moment = moment_of(trainer, epoch_ended=epoch_ended)
        action = partial(self._draw_all, session, trainer, model, moment, is_last)
        error = session.attempt(f"draw {type(self).__name__}", action, self.on_error)
        if error is not None and not self._lacks_a_layer:
            self._lacks_a_layer = isinstance(error, NoLayerError)
            session.record_failure(self.method, self._record_name, error, moment)

    def _draw_all(self, session: Session, trainer: Trainer, model: nn.Module, moment: Moment, is_last: bool) -> None:
        def begin() -> Context:
            before = self._before
            if before is None:
                # Neither what a run that goes back drew later, nor what this moment looked like then.
                by_then = min(self._resumed_at, moment.batches - 1)
                before = session.drawn_before(self._record_name, by_then, self.on_error)
            probe = session.probes.of(self.probe)
            call = session.calls.of(model, probe)
            return Context(model, probe.on(call), moment, before, call, is_last=is_last)

        with self._lent(trainer, model):
            context = self._look(trainer, model, begin)
            before = self._before = dict(context.before)
            probe = session.probes.of(self.probe) if self.uses_probe else None
            with called_by(model, context.call.forward_fn):
                for drawing in self.draw(context):
                    if not isinstance(drawing, Drawing):
                        raise TypeError(f"{type(self).__name__}.draw must yield Drawing; got {type(drawing).__name__}.")
                    before[drawing.layer] = drawing.kept()
                    session.record(self.method, self._record_name, drawing, moment, probe, self.on_error, self.mirror)

    def _lent(self, trainer: Trainer, model: nn.Module) -> AbstractContextManager[object]:
        return isolated_together(model) if self.sharded and trainer.world_size > 1 else isolated(model)

    def _look(self, trainer: Trainer, model: nn.Module, begin: Callable[[], Context]) -> Context:
        data = partial(validation_data, trainer, type(self).__name__)
        reader = self._reader(trainer, model)
        if self.sharded and trainer.world_size > 1:
            return look_together(self, begin, data, reader, model)
        return look(self, begin(), data, reader)
