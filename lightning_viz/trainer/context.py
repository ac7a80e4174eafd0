"""What a drawing is made from: what a visualisation asks for, and what it gets."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from lightning_viz.data.probe import Probe
from lightning_viz.data.reading import Reader, Sample, UnsuitableDataError, sample
from lightning_viz.introspection.calls import Call, called_by
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.seen_calls import SeenCall
from lightning_viz.trainer.distributed import all_gather_or_raise
from lightning_viz.trainer.drawing import Drawing
from lightning_viz.trainer.lightning import Moment

__all__ = ["Context", "Needs", "isolated_together", "look", "look_together"]

NO_DATA = Sample(TensorDataset(torch.empty(0)), [])


class Needs(NamedTuple):
    """What a visualisation looks at besides the probe.

    With ``max_images`` it makes a pass over data: see ``VizCallback.collect``.
    """

    layers: Collection[str] = ()
    """Dotted names."""
    data: Dataset[Any] | None = None
    """Map-style, without augmentation; that of the (first) validation loader when None."""
    max_images: int = 0
    """At most so many items of the data, spread over it; 0: no pass over data."""
    is_optional: bool = False
    """Where there are no data that suit, go without: ``context.data`` is empty, and nothing is collected."""


@dataclass(frozen=True)
class Context:
    """What one drawing is made from.

    Attributes:
        model: The LightningModule, in eval mode, on loan.
        probe: Its images are on the device and in the float type that the model takes.
        moment: Where training stands: ``batches``, ``epoch``, ``step``.
        before: By layer, what was drawn last, also before training was resumed: values (float32 arrays), scalars, meta.
        call: How the model is called on images; ``model(images)`` does it so.
        layers: The names that ``needs`` gave.
        data: The items that ``needs`` asked for. Iterating reads them as the Trainer's validation does: batches of
            images as the network gets them, with labels. ``data.indices`` count in ``data.dataset``, the whole.
        collected: What ``collect`` returned, of each process that took part.
        is_last: Whether training ends here, as far as anybody knows: nothing is drawn after this. Nobody knows of a
            stop that is decided later in the same hook, as by ``EarlyStopping``.
    """

    model: nn.Module
    probe: Probe = field(default_factory=Probe)
    moment: Moment = field(default_factory=Moment)
    before: Mapping[str, Drawing] = field(default_factory=dict)
    call: Call = field(default_factory=Call)
    layers: tuple[str, ...] = ()
    data: Sample = NO_DATA
    collected: Sequence[Any] = ()
    is_last: bool = False


class Looks(Protocol):
    """The two methods of a visualisation that come before it draws."""

    def needs(self, context: Context) -> Needs: ...

    def collect(self, context: Context) -> Any: ...


def look(who: Looks, context: Context, validation_data: Callable[[], Dataset[Any] | None], reader: Reader) -> Context:
    """Give the context of a drawing, after the pass over data that it needs.

    Args:
        who: The visualisation.
        context: What is known so far; the model is on loan.
        validation_data: What to look at if the visualisation names no data.
        reader: How data are read.

    Raises:
        ValueError: No data although they are needed, or no images in them.
    """
    with called_by(context.model, context.call.forward_fn):
        context = _with_needs(who, context, validation_data, reader)
        return replace(context, collected=(who.collect(context),)) if context.data is not NO_DATA else context


@contextmanager
def isolated_together(model: nn.Module) -> Iterator[None]:
    """Borrow the model in all processes, or in none: one that can't must not leave the others waiting.

    Raises:
        RuntimeError: In every process, when one can't.
    """
    with ExitStack() as stack:

        def borrow() -> None:
            stack.enter_context(isolated(model))

        all_gather_or_raise(borrow)
        yield


def look_together(
    who: Looks,
    begin: Callable[[], Context],
    validation_data: Callable[[], Dataset[Any] | None],
    reader: Reader,
    model: nn.Module,
) -> Context:
    """Do what ``look`` does with all processes, each at its share of the data.

    Args:
        who: The visualisation.
        begin: What is known so far. Called where an error in one process is heard of by all. The first process
            knows from the probe which layers run and how the model is called, and tells the others.
        validation_data: What to look at if the visualisation names no data.
        reader: How data are read.
        model: On loan. Its buffers become those of the first process: each has statistics of its own until the next
            step, and the network that is drawn is the first one's.

    Raises:
        RuntimeError: In every process, when it failed in one.
    """
    context = Context(model)

    def begin_and_ask() -> tuple[tuple[str, ...], SeenCall | None]:
        nonlocal context
        context = begin()
        with called_by(model, context.call.forward_fn):
            context = _with_needs(who, context, validation_data, reader)
        return context.layers, context.call.forward_fn if isinstance(context.call.forward_fn, SeenCall) else None

    def look_at_share() -> list[Any]:
        share = context.data.indices[dist.get_rank() :: dist.get_world_size()]
        with called_by(model, seen or context.call.forward_fn):
            return [who.collect(replace(context, data=context.data.of(share)))] if share else []

    for buffer in model.buffers():
        dist.broadcast(buffer.detach(), 0)
    layers, seen = all_gather_or_raise(begin_and_ask)[0]
    context = replace(context, layers=layers)
    parts = all_gather_or_raise(look_at_share)
    return replace(context, collected=tuple(one for part in parts for one in part))


def _with_needs(
    who: Looks, context: Context, validation_data: Callable[[], Dataset[Any] | None], reader: Reader
) -> Context:
    needs = who.needs(context)
    context = replace(context, layers=tuple(needs.layers))
    if not needs.max_images:
        return context
    try:
        items = needs.data if needs.data is not None else validation_data()
        return replace(context, data=sample(items, needs.max_images, type(who).__name__, reader))
    except UnsuitableDataError:
        if not needs.is_optional:
            raise
        return context
