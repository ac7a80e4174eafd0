"""Where the tokens of a transformer look in the probe's images."""

import logging
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import Tensor

from lightning_viz.functional.attention import LayerAttention, chosen, last_of, look_of, read_attention, rolled_out
from lightning_viz.render import image_picture, mosaic, overlay
from lightning_viz.trainer.base import Context, Drawing, VizCallback

__all__ = ["AttentionMaps"]

log = logging.getLogger("lightning_viz")

WHO = "AttentionMaps"

SHOWN = 12
"""Heads in the picture for stock dashboards."""


class AttentionMaps(VizCallback):
    """Show where the class token of a transformer looks in the probe's images, head by head, epoch by epoch.

    Without a token that is no place of the image it is the mean over all tokens. Beside the chosen layers stands the
    rollout (Abnar & Zuidema 2020) of all layers, where each attends to all tokens. Attention has no sign and knows no
    class: it shows where a layer takes from, not what speaks for a class (``GradCAM``).

    Args:
        layers: Names or globs of attentions, or of blocks with one inside; the last one that attends to all tokens
            when omitted.
        probe: The images; captured from the first batch when omitted.
        every_n_epochs: Draw when the number of finished epochs is a multiple.
        every_n_train_steps: Draw when the Trainer's ``global_step`` crosses a multiple.
        epochs: Draw at these numbers of finished epochs. With none of the three: after every epoch.
        on_error: ``"warn"``: a drawing that fails is logged once and training goes on; a network without such an
            attention is said once, and drawn no more. ``"raise"``: it ends the run.
        name: Of its records and tags; when omitted, the method, and what differs where there are several.
        mirror: What loggers get: ``"both"`` pictures and scalars, ``"pictures"``, ``"scalars"`` or ``"none"``.

    Raises:
        ValueError: A wrong argument, when constructed; a layer that the model lacks, before the first batch.

    Source: Vaswani et al., Attention is all you need, NeurIPS 2017, equation 1; Abnar & Zuidema, Quantifying attention
    flow in transformers, ACL 2020, equation 1.

    Example:
        >>> AttentionMaps(layers="blocks.11", every_n_epochs=5).method
        'attention'
    """

    method = "attention"

    def draw(self, context: Context) -> Iterator[Drawing]:
        """Draw the mean over the heads, then each head, over the images."""
        found = read_attention(context.model, context.probe.images, WHO)
        for one in self._wanted(context, found):
            heads = look_of(one.weights(), one.grid).cpu()
            yield _drawing(context, one.layer or "model", {"maps": heads.mean(1), "heads": heads})
        try:
            share = rolled_out(found, WHO).cpu()
        except ValueError as error:
            log.debug("lightning_viz: no rollout: %s", error)
        else:
            yield _drawing(context, "output", {"rollout": share})

    def _wanted(self, context: Context, found: Sequence[LayerAttention]) -> list[LayerAttention]:
        if self.layers is None:
            return [last_of(found, context.model, WHO)]
        wanted: dict[str, LayerAttention] = {}
        for layer in [self.layers] if isinstance(self.layers, str) else self.layers:
            fitting = [one for one in found if fnmatchcase(one.layer, layer) and not one.refusal]
            for one in fitting or [chosen(found, context.model, layer, WHO)]:
                wanted[one.layer] = one
        return list(wanted.values())


def _drawing(context: Context, layer: str, values: dict[str, Tensor]) -> Drawing:
    photographs, note = context.probe.unnormalised()
    pictures = [image_picture(one) for one in photographs]
    columns = [pictures]
    for maps in values.values():  # (N, h, w), and (N, heads, h, w) on a scale of their own
        most = _largest(maps)
        units = [maps] if maps.ndim == 3 else maps[:, :SHOWN].unbind(1)
        columns += [
            [overlay(picture, one, vmax=most) for picture, one in zip(pictures, unit, strict=True)] for unit in units
        ]
    scales = ", ".join(f"{name} 0 to {_largest(maps):.3g}" for name, maps in values.items())
    return Drawing(
        layer,
        values=values,
        pictures=[mosaic(list(zip(*columns, strict=True)))],
        captions=[f"dark to bright: {scales} | image {note}"],
        meta={
            "vmin": 0.0,
            "vmax": _largest(next(iter(values.values()))),
            "size": list(context.probe.images.shape[2:]),
        },
    )


def _largest(maps: Tensor) -> float:
    return float(maps.nan_to_num(0, 0, 0).max())
