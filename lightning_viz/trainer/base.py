"""The base of every visualisation: what it is given, and what its author writes."""

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, get_args

from torch import nn
from torch.utils.data import Dataset

from lightning_viz.data.probe import Probe
from lightning_viz.data.reading import Reader
from lightning_viz.introspection.calls import called_by
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.layers import Kinds, M, find_layers
from lightning_viz.trainer.calls import call_of
from lightning_viz.trainer.context import Context, Needs, look
from lightning_viz.trainer.default_layers import DefaultLayers
from lightning_viz.trainer.drawing import Drawing
from lightning_viz.trainer.hooks import DrawsWhileTraining
from lightning_viz.trainer.names import check_name
from lightning_viz.trainer.schedule import Schedule
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["Context", "Drawing", "Needs", "VizCallback"]


class VizCallback(DrawsWhileTraining):
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
        name: Of its records and tags. When omitted, the method; of several callbacks of one method in a Trainer, with
            what differs in their arguments, or a number.
        mirror: What TensorBoard's own dashboards, and other loggers, get beside the store: ``"both"`` pictures and
            scalars, ``"pictures"``, ``"scalars"`` or ``"none"``. Their tags begin with ``viz/``.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, or a name that another callback
            has, before the first batch.

    Example:
        >>> class FilterMeans(VizCallback):
        ...     def draw(self, context):
        ...         for layer, conv in self.find_layers(context, nn.Conv2d).items():
        ...             yield Drawing(layer, scalars={"mean": conv.weight.mean()})
        >>> FilterMeans(every_n_epochs=5).method
        'filter_means'
    """

    method: ClassVar[str]
    """One word for tags and records."""
    default_epochs: ClassVar[Sequence[int] | None] = None
    """When to draw if nobody says; None: after every epoch."""
    uses_probe: ClassVar[bool] = True
    """Whether pictures are made from the probe's images, which are then kept beside them."""
    sharded: bool = False
    """Whether all processes take part in the pass over data, or only rank 0."""

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
        name: str | None = None,
        mirror: Mirror = "both",
    ) -> None:
        who = type(self).__name__
        if every_n_epochs is None and every_n_train_steps is None and epochs is None:
            epochs = self.default_epochs
        schedule = Schedule(who, every_n_epochs, every_n_train_steps, epochs)
        if on_error not in ("warn", "raise"):
            raise ValueError(f'{who}(on_error={on_error!r}): must be "warn" or "raise".')
        if layers is not None and not (isinstance(layers, str | Sequence) and layers and all(map(_is_text, layers))):
            raise ValueError(f"{who}(layers={layers!r}): must be a layer's name or a list of names.")
        if probe is not None and not isinstance(probe, Probe):
            raise ValueError(f"{who}(probe=...): must be a Probe; got a {type(probe).__name__}.")
        if mirror not in get_args(Mirror):
            choices = ", ".join(map(repr, get_args(Mirror)))
            raise ValueError(f"{type(self).__name__}(mirror={mirror!r}): choices are {choices}.")
        if name is not None:
            check_name(name, who)
        self.layers = layers  # first of the attributes: made-up names of records say what differs in this order
        super().__init__(probe, schedule, on_error, name, mirror)

    @abstractmethod
    def draw(self, context: Context) -> Iterable[Drawing]:
        """Draw what the model looks like now. Called on rank 0, inside ``isolated(model)``.

        Args:
            context: The model, the probe, and what else there is to see.

        Yields:
            One drawing per layer.
        """

    def needs(self, context: Context) -> Needs:
        """Say which layers are looked at, and whether it takes a pass over data. Extend it for a kind of layer.

        Also called before the first batch, on every rank, to check what depends on the model.

        Raises:
            ValueError: What was asked for does not fit the model.
        """
        return Needs(self.find_layers(context, nn.Module) if self.layers is not None else ())

    def collect(self, context: Context) -> Any:
        """Make the pass over data: ``context.data``, or one process's share of it where they share the work.

        Called inside ``isolated(model)`` in each process that takes part, if ``needs`` says ``max_images``; what it
        returns reaches ``draw`` as ``context.collected``.
        """

    def find_layers(self, context: Context, kinds: Kinds[M]) -> dict[str, M]:
        """Find the chosen layers; the first of the kind that runs when none were chosen.

        Raises:
            ValueError: There is none; the message lists the choices.
        """
        if self.layers is None:
            return dict(list(self._defaults.of(context, kinds).items())[:1])
        who = type(self).__name__
        return find_layers(context.model, self.layers, kinds, f"{who}(layers={self.layers!r})")

    def find_outer_layers(self, context: Context, kinds: Kinds[M], count: int = 2) -> list[str]:
        """Find the chosen layers, of any kind; when none were chosen, some of a kind, from the first that runs on.

        Raises:
            ValueError: There is none; the message lists the choices.
        """
        if self.layers is not None:
            return list(self.find_layers(context, nn.Module))
        found = list(self._defaults.of(context, kinds))
        places = [round(number * (len(found) - 1) / (count - 1)) for number in range(count)]
        return [found[place] for place in dict.fromkeys(places)]

    def drawings(
        self,
        model: nn.Module,
        probe: Probe | None = None,
        data: Dataset[Any] | None = None,
        before: Iterable[Drawing] = (),
    ) -> list[Drawing]:
        """Draw a model without a Trainer, as often as one likes; nothing is kept.

        Args:
            model: Left exactly as found.
            probe: Instead of the one that it was constructed with.
            data: What a Trainer's validation set would be.
            before: The drawings before, for what says how much has changed.

        Returns:
            One drawing per layer.

        Example:
            >>> from lightning_viz import FilterImages
            >>> model = nn.Sequential(nn.Conv2d(3, 16, 5))
            >>> [drawing.layer for drawing in FilterImages().drawings(model)]
            ['0']
        """
        self._defaults = DefaultLayers(type(self).__name__)
        with isolated(model):
            known = (probe or self.probe or Probe()).read_dataset()
            call = call_of(model, known)
            kept = {drawing.layer: drawing.kept() for drawing in before}
            begun = Context(model, known.on(call), before=kept, call=call)
            context = look(self, begun, lambda: data, Reader(batch_fn=known.batch_fn))
            with called_by(model, call.forward_fn):
                return list(self.draw(context))


def _is_text(name: object) -> bool:
    return isinstance(name, str) and name != ""
