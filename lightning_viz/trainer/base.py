"""The base of every visualisation: it decides when to draw, lends the model, and keeps what was drawn."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import nn

from lightning_viz.data.probe import Probe
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import Kinds, M, find_layers, first_layer
from lightning_viz.trainer.drawing import Drawing
from lightning_viz.trainer.lightning import Callback, Moment, moment_of
from lightning_viz.trainer.schedule import Schedule
from lightning_viz.trainer.session import OnError, Session, close_session, session_of

__all__ = ["Drawing", "VizCallback"]

Trainer = Any


class VizCallback(ABC, Callback):
    """A visualisation that a Trainer draws while it trains. Write one method, ``draw``.

    It draws the untrained network (before the first batch), then by the schedule, and the last state of training.
    Only rank 0 draws, on the inner module, while the others go on. Training is not changed by it, bit for bit.

    Args:
        layers: Dotted names or globs; chosen well when omitted.
        probe: The images that pictures are made from; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch, or at
            the ``default_epochs`` of a method that takes long.
        on_error: ``"warn"``: a drawing that fails is logged once, marked in the store, and training goes on.
            ``"raise"``: it ends the run.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Example:
        >>> class FilterMeans(VizCallback):
        ...     def draw(self, model, probe):
        ...         for layer, conv in self.find_layers(model, nn.Conv2d).items():
        ...             yield Drawing(layer, scalars={"mean": conv.weight.mean()})
        >>> FilterMeans(every_n_epochs=5).method
        'filter_means'
    """

    method: ClassVar[str]
    """One word for tags and records."""
    default_epochs: ClassVar[Sequence[int] | None] = None
    """When to draw if nobody says; None: after every epoch."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name the method after the class, unless it names itself."""
        super().__init_subclass__(**kwargs)
        if "method" not in vars(cls):
            cls.method = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(
        self,
        layers: str | Sequence[str] | None = None,
        probe: Probe | None = None,
        every_n_epochs: int | None = None,
        every_n_train_steps: int | None = None,
        epochs: Sequence[int] | None = None,
        on_error: OnError = "warn",
    ) -> None:
        self.layers = layers
        self.probe = probe
        if every_n_epochs is None and every_n_train_steps is None and epochs is None:
            epochs = self.default_epochs
        self.schedule = Schedule(type(self).__name__, every_n_epochs, every_n_train_steps, epochs)
        self.on_error: OnError = on_error
        if on_error not in ("warn", "raise"):
            raise ValueError(f'{type(self).__name__}(on_error={on_error!r}): must be "warn" or "raise".')
        if layers is not None and not (isinstance(layers, str | Sequence) and layers and all(map(_is_text, layers))):
            raise ValueError(f"{type(self).__name__}(layers={layers!r}): must be a layer's name or a list of names.")
        if probe is not None and not isinstance(probe, Probe):
            raise ValueError(f"{type(self).__name__}(probe=...): must be a Probe; got a {type(probe).__name__}.")
        self._begun = False
        self._step_before = 0
        self._drawn_at = -1

    @abstractmethod
    def draw(self, model: nn.Module, probe: Probe) -> Iterable[Drawing]:
        """Draw what the model looks like now. Called on rank 0, inside ``isolated(model)``.

        Args:
            model: The LightningModule, in eval mode.
            probe: Its images are on the model's device, in its float type.

        Yields:
            One drawing per layer.
        """

    def find_layers(self, model: nn.Module, kinds: Kinds[M]) -> dict[str, M]:
        """Find the chosen layers; the first of the kind when none were chosen.

        Raises:
            ValueError: There is none; the message lists the choices.
        """
        who = type(self).__name__
        if self.layers is None:
            return first_layer(model, kinds, who)
        return find_layers(model, self.layers, kinds, f"{who}(layers={self.layers!r})")

    def find_outer_layers(self, model: nn.Module, kinds: Kinds[M]) -> list[str]:
        """Find the chosen layers, of any kind; the first and the last of a kind when none were chosen.

        Raises:
            ValueError: There is none; the message lists the choices.
        """
        if self.layers is not None:
            return list(self.find_layers(model, nn.Module))
        found = list(find_layers(model, "*", kinds, type(self).__name__))
        return list(dict.fromkeys([found[0], found[-1]]))

    def check(self, model: nn.Module) -> None:
        """Check before the first batch, on every rank, what depends on the model. Extend it for a kind of layer.

        Raises:
            ValueError: What was asked for does not fit the model.
        """
        if self.layers is not None:
            self.find_layers(model, nn.Module)

    def takes_part(self, trainer: Trainer) -> bool:
        """Whether this process has something to do when it is time to draw; only rank 0 draws."""
        return bool(trainer.is_global_zero)

    def before_draw(self, trainer: Trainer, model: nn.Module) -> None:
        """Prepare a drawing, in every process that takes part, outside the isolation."""

    def after_record(self, session: Session, drawing: Drawing, moment: Moment) -> None:
        """Keep what has no place in a record; called for each drawing."""

    def on_fit_start(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Check, open the store, and find the probe."""
        self.check(pl_module)
        probe = self.probe.read_dataset() if self.probe is not None else None
        self._begun, self._drawn_at = False, -1
        if trainer.is_global_zero:
            session = self._session(trainer, pl_module)
            if probe is not None:
                session.probes.settle(self.probe, probe)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: nn.Module, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Capture the probe, in the sanity check."""
        if not self._begun and trainer.is_global_zero and trainer.state.fn == "fit":
            self._session(trainer, pl_module).probes.capture(self.probe, batch)

    def on_train_batch_start(self, trainer: Trainer, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        """Capture the probe if there was no validation, and draw the untrained network."""
        if self.schedule.every_n_train_steps is not None:
            self._step_before = trainer.global_step
        if self._begun:
            return
        self._begun = True
        if trainer.is_global_zero:
            self._session(trainer, pl_module).probes.capture(self.probe, batch)
        if self.takes_part(trainer) and trainer.fit_loop.epoch_loop.batch_progress.total.processed == 0:
            self._draw(trainer, pl_module, epoch_ended=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw by steps."""
        by_steps = self.schedule.every_n_train_steps is not None
        if by_steps and self.takes_part(trainer) and self.schedule.at_step(self._step_before, trainer.global_step):
            self._draw(trainer, pl_module, epoch_ended=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Draw by epochs."""
        if self.takes_part(trainer) and self.schedule.at_epoch_end(trainer.current_epoch + 1):
            self._draw(trainer, pl_module, epoch_ended=True)

    def on_train_end(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Draw the last state, if the schedule missed it."""
        if self.takes_part(trainer) and trainer.fit_loop.epoch_loop.batch_progress.total.processed != self._drawn_at:
            self._draw(trainer, pl_module, epoch_ended=True)

    def on_fit_end(self, trainer: Trainer, pl_module: nn.Module) -> None:
        """Index the records."""
        close_session(trainer)

    def on_exception(self, trainer: Trainer, pl_module: nn.Module, exception: BaseException) -> None:
        """Index the records of a run that ends here."""
        close_session(trainer)

    def _session(self, trainer: Trainer, model: nn.Module) -> Session:
        return session_of(trainer, model, self.on_error)

    def _draw(self, trainer: Trainer, model: nn.Module, *, epoch_ended: bool) -> None:
        self._drawn_at = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        if not trainer.is_global_zero:
            self._help(trainer, model)
            return
        session = self._session(trainer, model)
        action = partial(self._draw_now, session, trainer, model, epoch_ended=epoch_ended)
        session.attempt("read where training stands", action, self.on_error)

    def _help(self, trainer: Trainer, model: nn.Module) -> None:
        try:
            self.before_draw(trainer, model)
        except Exception:
            # Rank 0 heard of it, and says so.
            if self.on_error == "raise":
                raise

    def _draw_now(self, session: Session, trainer: Trainer, model: nn.Module, *, epoch_ended: bool) -> None:
        moment = moment_of(trainer, epoch_ended=epoch_ended)
        action = partial(self._draw_all, session, trainer, model, moment)
        error = session.attempt(f"draw {type(self).__name__}", action, self.on_error)
        if error is not None:
            session.record_failure(self.method, error, moment)

    def _draw_all(self, session: Session, trainer: Trainer, model: nn.Module, moment: Moment) -> None:
        self.before_draw(trainer, model)
        with isolated(model):
            probe = session.probes.of(self.probe).on(model)
            for drawing in self.draw(model, probe):
                if not isinstance(drawing, Drawing):
                    raise TypeError(f"{type(self).__name__}.draw must yield Drawing; got {type(drawing).__name__}.")
                session.record(self.method, drawing, moment, probe, self.on_error)
                self.after_record(session, drawing, moment)


def _is_text(name: object) -> bool:
    return isinstance(name, str) and name != ""
