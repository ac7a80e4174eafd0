"""What in the probe's images speaks for their class."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_viz.callbacks.predictions import Prediction, Predictions, caption, check_activation, predict
from lightning_viz.data.probe import Probe
from lightning_viz.functional.attribution import grad_cam, grad_cam_layer, saliency
from lightning_viz.introspection.outputs import Activation, Reshape
from lightning_viz.render import heat_map, image_picture, mosaic, overlay
from lightning_viz.trainer.base import Context, Drawing, VizCallback
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["GradCAM", "Saliency"]


class ClassMaps(VizCallback):
    """What the maps of a class have in common: the class, fixed when first drawn, and the predictions."""

    def __init__(
        self,
        layers: str | Sequence[str] | None,
        probe: Probe | None,
        every_n_epochs: int | None,
        every_n_train_steps: int | None,
        epochs: Sequence[int] | None,
        on_error: OnError,
        name: str | None,
        mirror: Mirror,
        activation: Activation,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
        check_activation(activation, type(self).__name__)
        self.activation: Activation = activation

    def predict(self, context: Context) -> Predictions:
        """Say what the model takes the images for, and what the map of each is about."""
        before = _shown_before(context.before.values(), len(context.probe.images))
        return predict(context.model, context.probe, before, self.activation)

    def drawing(
        self,
        layer: str,
        maps: Tensor,
        pictures: Sequence[Any],
        scale: str,
        predictions: Sequence[Prediction],
        probe: Probe,
    ) -> Drawing:
        """Put the maps below the images, and all that it takes to draw them anew."""
        photographs, note = probe.unnormalised()
        rows = [[image_picture(one) for one in photographs], list(pictures)]
        finite = maps[maps.isfinite()]
        return Drawing(
            layer,
            values={"maps": maps},
            pictures=[mosaic(rows)],
            captions=[f"{caption(predictions)} | {scale} | image {note}"],
            meta={
                "vmin": float(finite.min()) if len(finite) else 0.0,
                "vmax": float(finite.max()) if len(finite) else 0.0,
                "size": list(probe.images.shape[2:]),
                "predictions": list(predictions),
            },
        )


def _shown_before(drawings: Iterable[Drawing], count: int) -> Tensor | None:
    """What the maps of images without a label were about when first drawn."""
    predictions: list[Any] = next((one.meta["predictions"] for one in drawings if "predictions" in one.meta), [])
    if len(predictions) != count:
        return None
    return torch.tensor([one["shown"] if one["label"] is None else -1 for one in predictions])


class Saliency(ClassMaps):
    """Show how much each pixel of the probe's images moves the score of their class, epoch by epoch.

    The class is the image's label; without labels it is the largest output, fixed when first drawn.

    Args:
        layers: Not needed by this method.
        probe: The images; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        activation: What makes the probabilities in the captions of scores: ``"softmax"``, ``"sigmoid"``, ``"none"``.

    Raises:
        ValueError: A wrong argument, when constructed.

    Source: Simonyan et al., Deep inside convolutional networks, ICLR 2014 workshop, section 3.1.

    Example:
        >>> Saliency(every_n_epochs=5).method
        'saliency'
    """

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
        activation: Activation = "softmax",
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror, activation)

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw one map per image, white where the score depends most on the pixel."""
        probe = context.probe
        predictions, classes, _ = self.predict(context)
        maps = saliency(context.model, probe.images, classes, probe.output).cpu()
        pictures = [heat_map(one, vmin=0, colours="grey") for one in maps]
        yield self.drawing(
            "output", maps, pictures, "black to white: each map from 0 to its own maximum", predictions, probe
        )


class GradCAM(ClassMaps):
    """Show which places of the probe's images speak for their class, epoch by epoch, on one scale.

    The class is the image's label; without labels it is the largest output, fixed when first drawn.

    Args:
        layers: Names or globs of layers with feature maps. When omitted: the last one that the scores depend on.
        probe: The images; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        activation: What makes the probabilities in the captions of scores: ``"softmax"``, ``"sigmoid"``, ``"none"``.
        reshape: Takes a layer's output to ``(N, K, h, w)``, where that can't be inferred; tokens of a vision
            transformer need none.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.

    Example:
        >>> GradCAM(layers="layer4").method
        'grad_cam'
    """

    method = "grad_cam"

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
        activation: Activation = "softmax",
        reshape: Reshape | None = None,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror, activation)
        self.reshape = reshape
        self._found: str | None = None

    def on_fit_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Forget the layer that was found in an earlier fit."""
        self._found = None
        super().on_fit_start(trainer, pl_module)

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw one map per image over the image, all of a layer on one scale from 0."""
        model, probe = context.model, context.probe
        predictions, classes, _ = self.predict(context)
        photographs = [image_picture(one) for one in probe.unnormalised()[0]]
        for layer in context.layers or [self._default_layer(context)]:
            maps = grad_cam(model, layer, probe.images, classes, probe.output, self.reshape).cpu()
            most = float(maps.nan_to_num(0, 0, 0).max())
            pictures = [overlay(photograph, one, vmax=most) for photograph, one in zip(photographs, maps, strict=True)]
            scale = f"dark to bright: 0 to {most:.3g}" if most > 0 else _why_dark(maps)
            yield self.drawing(layer, maps, pictures, scale, predictions, probe)

    def _default_layer(self, context: Context) -> str:
        probe = context.probe
        self._found = self._found or grad_cam_layer(context.model, probe.images, probe.output, self.reshape)
        return self._found


def _why_dark(maps: Tensor) -> str:
    if maps.isfinite().all():
        return "all maps are zero: nothing speaks for the class"
    return "nothing finite speaks for the class"
