"""A photograph with what the layers saw in it amplified, from low layers to deep ones."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import nn

from lightning_viz.data.probe import Probe
from lightning_viz.functional.deep_dream import check_numbers, dream
from lightning_viz.functional.filters import CONVOLUTIONS
from lightning_viz.render import image_picture
from lightning_viz.trainer.base import Context, Drawing, Needs, VizCallback
from lightning_viz.trainer.schedule import LOG_SPACED, is_whole
from lightning_viz.trainer.session import Mirror, OnError

__all__ = ["DeepDream"]


class DeepDream(VizCallback):
    """Show one photograph with what a layer saw in it amplified: low layers give textures, deep ones what was learned.

    Every drawing starts from the photograph. It takes ``octaves`` times ``steps`` forward and backward passes of a
    layer, so it is drawn at epochs 0, 1, 2, 5, 10, 20, 30, 40, 64, 100, ... and at the end, unless you say otherwise.
    How much larger half the squared norm of the activation is than in the photograph is logged as ``growth``.

    Args:
        layers: Names or globs; the first, the middle and the last convolution when omitted.
        probe: Its image is dreamed of; it may be of any size that the layers run at, and larger than in training.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.
        image: Which of the probe's images.
        unit: Amplify this unit only; all when omitted.
        steps: In each octave.
        step_size: How far a step moves the mean pixel, as a share of the range of the image.
        octaves: How many sizes, the smallest first; those at which the network can't run are left out.
        octave_scale: From one size to the next.
        jitter: By up to so many pixels the network sees the image rolled, anew in each step.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Mordvintsev, Olah & Tyka, Inceptionism, 2015.

    Example:
        >>> DeepDream(layers=["layer1", "layer4"], octaves=3).method
        'deep_dream'
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
        image: int = 0,
        unit: int | None = None,
        steps: int = 10,
        step_size: float = 1.5 / 255,
        octaves: int = 4,
        octave_scale: float = 1.4,
        jitter: int = 32,
    ) -> None:
        super().__init__(layers, probe, every_n_epochs, every_n_train_steps, epochs, on_error, name, mirror)
        for argument, value in (("image", image), ("unit", unit)):
            if value is not None and not is_whole(value, 0):
                raise ValueError(f"DeepDream({argument}={value!r}): must be a whole number of 0 or more.")
        check_numbers(steps, octaves, jitter, step_size, octave_scale, "DeepDream")
        self.image, self.unit, self.steps, self.step_size = image, unit, steps, step_size
        self.octaves, self.octave_scale, self.jitter = octaves, octave_scale, jitter

    def needs(self, context: Context) -> Needs:
        """Look at the chosen layers, or at convolutions from low to deep."""
        if self.layers is not None:
            return Needs(self.find_layers(context, nn.Module))
        return Needs(self.find_outer_layers(context, CONVOLUTIONS, 3))

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw one dream for each layer."""
        if self.image >= len(context.probe.images):
            raise ValueError(f"DeepDream(image={self.image}): the probe has {len(context.probe.images)} images.")
        photograph = context.probe.images[self.image : self.image + 1]
        for order, layer in enumerate(context.layers):
            numbers = self.steps, self.step_size, self.octaves, self.octave_scale, self.jitter
            found = dream(context.model, layer, photograph, *numbers, unit=self.unit)
            growth = float(found.growth)
            shown, note = context.probe.unnormalise(found.images)
            what = "" if self.unit is None else f" of unit {self.unit}"
            yield Drawing(
                layer,
                values={"image": found.images[0].cpu()},
                pictures=[image_picture(shown[0])],
                captions=[f"image {self.image}; half the squared norm{what} is {growth:.3g} times as large | {note}"],
                scalars={"growth": growth},
                meta={
                    "order": order,
                    "image": self.image,
                    "unit": self.unit,
                    "size": list(photograph.shape[2:]),
                    "steps": self.steps,
                    "octaves": [list(size) for size in found.sizes],
                },
            )
