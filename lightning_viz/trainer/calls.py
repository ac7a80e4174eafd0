"""How the network of a fit is called on images: tried, or seen in its own step."""

from contextlib import suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from lightning_viz.data.probe import Probe
from lightning_viz.data.unpacking import unpack_batch
from lightning_viz.introspection.calls import Call, CallError, find_call
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.seen_calls import SeenCall, StepWatch
from lightning_viz.introspection.sharding import sharded_part

__all__ = ["Calls", "call_of"]


def call_of(model: nn.Module, probe: Probe, seen: SeenCall | None = None) -> Call:
    """Find out how a model is called on the images of a probe.

    Args:
        model: On loan.
        probe: Its ``forward_fn``, else the plain call.
        seen: What to try after the plain call.

    Returns:
        Where no way is known, one that raises the CallError: not every visualisation runs the network to its end.
    """
    if not probe.ready:
        return Call(probe.forward_fn)
    try:
        return find_call(model, probe.images, probe.forward_fn)
    except CallError as error:
        if seen is not None and probe.forward_fn is None:
            with suppress(CallError):
                return find_call(model, probe.images, seen)
        return Call(partial(_refuse, error), is_known=False)


def _refuse(error: CallError, model: nn.Module, images: Tensor) -> Any:
    # It runs as far as it goes: for a photograph of another size some layers do, and can be looked at.
    try:
        return model(images)
    except Exception:  # noqa: BLE001 (somebody else's forward may raise anything)
        raise error from None


class Calls:
    """How the network of one fit is called. Where the plain call fails, its next step is watched."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Probe, Call]] = {}
        self._seen: SeenCall | None = None
        self._watch: StepWatch | None = None

    def of(self, model: nn.Module, probe: Probe) -> Call:
        """Find out how a model, on loan, is called on the images of a probe; once it is known, it stays."""
        if id(probe) in self._found:
            return self._found[id(probe)][1]
        call = call_of(model, probe, self._seen)
        if probe.ready and call.is_known:
            self._found[id(probe)] = probe, call
        return call

    def watch(self, model: nn.Module, probe: Probe, batch: Any) -> None:
        """Watch the step that is about to get a batch, if the network can't be called without."""
        known = id(probe) in self._found or self._seen is not None or self._watch is not None
        if known or not probe.ready or sharded_part(model) is not None:
            return
        with isolated(model):
            is_known = self.of(model, probe).is_known
        if not is_known and probe.forward_fn is None:
            self._watch = StepWatch(model, unpack_batch(batch, probe.batch_fn)[0])

    def end_watch(self) -> None:
        """The step is over."""
        if self._watch is not None:
            self._seen, self._watch = self._watch.end(), None
