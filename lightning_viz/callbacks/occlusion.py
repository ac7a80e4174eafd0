"""What matters in the probe's images: their class's probability while a square hides one part after the other."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from lightning_viz.callbacks.attribution import ClassMaps
from lightning_viz.data.probe import Probe
from lightning_viz.functional.occlusion import Fill, occlusion_map
from lightning_viz.introspection.outputs import Activation
from lightning_viz.render import image_picture, overlay
from lightning_viz.trainer.base import Context, Drawing
from lightning_viz.trainer.schedule import LOG_SPACED, is_whole
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["Occlusion"]


class Occlusion(ClassMaps):
    """Show what in the probe's images their class depends on: a square hides one part after the other.

    Kept are the probability of the class and the most likely class as functions of the square's place, and the mean
    fall of the probability over the squares that cover a pixel. The class is the image's label; without labels it is
    the prediction, fixed when first drawn. It takes many forward passes, so it is drawn at epochs 0, 1, 2, 5, 10, 20,
    30, 40, 64, 100, ... and at the end, unless you say otherwise.

    Args:
        layers: Not needed by this method.
        probe: The images; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        activation: What makes probabilities of scores: ``"softmax"``, ``"sigmoid"``, ``"none"``.
        square: Side in pixels; a seventh of the shorter side of the image when omitted.
        stride: Between two places; half the square when omitted.
        fill: What hides: a value in normalised units (0 is the mean of the data), one per channel, ``"mean"`` of the
            image, or ``"blur"``.

    Raises:
        ValueError: A wrong argument, when constructed.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2 and Fig. 6.

    Example:
        >>> Occlusion(square=32, stride=16, every_n_epochs=10).method
        'occlusion'
    """

    default_epochs: ClassVar[Sequence[int] | None] = LOG_SPACED

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
        square: int | None = None,
        stride: int | None = None,
        fill: Fill = 0.0,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror, activation)
        for argument, value in (("square", square), ("stride", stride)):
            if value is not None and not is_whole(value, 1):
                raise ValueError(f"Occlusion({argument}={value!r}): must be a whole number of 1 or more.")
        if isinstance(fill, str) and fill not in ("mean", "blur"):
            raise ValueError(f'Occlusion(fill={fill!r}): must be a number, one per channel, "mean" or "blur".')
        self.square, self.stride, self.fill = square, stride, fill

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw the fall of the probability over each image, all on one scale from 0."""
        probe = context.probe
        predictions, classes, activation = self.predict(context)
        square = self.square or max(1, round(min(probe.images.shape[2:]) / 7))
        stride = self.stride or max(1, square // 2)
        found = occlusion_map(
            context.model,
            probe.images,
            classes,
            square,
            stride,
            self.fill,
            activation=activation,
            output=probe.output,
        )
        drop = found.drop.cpu()
        most = float(drop.nan_to_num(0, 0, 0).max())
        photographs = [image_picture(one) for one in probe.unnormalised()[0]]
        pictures = [overlay(photograph, one, vmax=most) for photograph, one in zip(photographs, drop, strict=True)]
        what = "probability" if predictions[0]["shown_probability"] is not None else "output"
        scale = f"fall of the {what}, dark to bright: 0 to {most:.3g}; square {square}, stride {stride}"
        drawing = self.drawing("output", drop, pictures, scale, predictions, probe)
        values = {"drop": drop, "probability": found.probability, "predicted": found.predicted}
        names = probe.class_names
        meta = {
            **drawing.meta,
            "square": square,
            "stride": stride,
            "class_names": list(names) if names is not None else None,
        }
        yield Drawing("output", values, drawing.pictures, drawing.captions, meta=meta)
