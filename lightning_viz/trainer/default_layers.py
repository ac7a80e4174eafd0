"""The layers that a visualisation looks at when none are named: those that run for its probe."""

from lightning_viz.introspection.layers import Kinds, M, NoLayerError, find_layers
from lightning_viz.introspection.running import running_layers
from lightning_viz.trainer.context import Context

__all__ = ["DefaultLayers"]


class DefaultLayers:
    """Looks once which layers run, so that all drawings of a fit show the same ones."""

    def __init__(self, who: str) -> None:
        """Name the visualisation, for the error message."""
        self._who = who
        self._found: dict[object, list[str]] = {}

    def of(self, context: Context, kinds: Kinds[M]) -> dict[str, M]:
        """Give the layers of a kind as they run on the way from the images to the output.

        Without a probe, or where the model can't be called, all in the order of registration.

        Raises:
            NoLayerError: There is none; the message lists the layers that the model has.
        """
        try:
            registered = find_layers(context.model, "*", kinds, self._who)
        except ValueError as error:
            raise NoLayerError(str(error)) from None
        if not context.probe.ready or not context.call.is_known:
            return registered
        if kinds not in self._found:
            probe = context.probe
            self._found[kinds] = running_layers(context.model, probe.images, registered, probe.output)
        if not self._found[kinds]:
            raise NoLayerError(
                f"{self._who}: of {', '.join(map(repr, registered))} none runs on the way from the images to the "
                f"output of {type(context.model).__name__}. Name another: {self._who}(layers=...)."
            )
        return {name: registered[name] for name in self._found[kinds] if name in registered}
