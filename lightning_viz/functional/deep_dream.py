"""An image with what a layer saw in it amplified."""

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_viz.functional.backward.batch_mixing import mixes_images
from lightning_viz.functional.backward.rules import gradient_of
from lightning_viz.functional.synthesis.frozen import frozen
from lightning_viz.functional.synthesis.layout import fed
from lightning_viz.functional.synthesis.objective import CURE
from lightning_viz.introspection.calls import image_type
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.outputs import as_maps, check_images
from lightning_viz.introspection.stopping import PartialRun
from lightning_viz.introspection.tokens import watch_tokens

__all__ = ["Dream", "check_numbers", "deep_dream", "dream", "octave_sizes"]

log = logging.getLogger("lightning_viz")

WHO = "deep_dream"

Size = tuple[int, int]


class Dream(NamedTuple):
    """The dreams of N images, and how it went."""

    images: Tensor
    """``(N, C, H, W)`` float32."""
    sizes: list[Size]
    """Of the octaves at which the layer runs, the smallest first."""
    growth: Tensor
    """``(N,)``: the objective, divided by what it was in the image."""


def deep_dream(
    model: nn.Module,
    layer: str,
    images: Tensor,
    steps: int = 10,
    step_size: float = 1.5 / 255,
    octaves: int = 4,
    octave_scale: float = 1.4,
    jitter: int = 32,
    guide: Tensor | None = None,
    unit: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Amplify in images what a layer sees in them: low layers give textures, deep ones what the network was taught.

    The objective is half the squared norm of the layer's activation, so that its gradient there is the activation. It
    is climbed at several sizes (octaves), the smallest first; the detail found at one is carried up to the next.

    Args:
        model: Left exactly as found; runs in eval mode, as far as the layer only.
        layer: Dotted name.
        images: ``(N, C, H, W)`` float, normalised as in training, of any size that the layer runs at; each dreams on
            its own. Left untouched.
        steps: In each octave.
        step_size: How far a step moves the mean pixel, as a share of the range from the smallest to the largest value
            that a channel has in ``images``, the widest of them. The default is that of the original.
        octaves: How many sizes. Those at which the network can't run are left out, with a warning: vision transformers
            and what else needs one size have one.
        octave_scale: From one size to the next.
        jitter: The network sees the image rolled by up to so many pixels in rows and columns, anew in each step.
        guide: ``(C, h, w)`` or ``(1, C, h, w)``, likewise normalised: amplify what resembles this image's features,
            each place of the layer towards the one of the guide that it is most like.
        unit: Amplify this unit of the layer only.
        seed: Of the jitter. The same seed gives the same bytes on a CPU.

    Returns:
        ``(N, C, H, W)`` float32, each channel inside its range over ``images``. Where a gradient is infinite or NaN,
        the last finite image.

    Raises:
        ValueError: No such layer or unit, a wrong number, images of the wrong shape, or a model with no gradient from
            the layer to the image.

    Source: Mordvintsev, Olah & Tyka, Inceptionism, 2015, with their published code.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> deep_dream(model, "1", torch.randn(2, 3, 24, 40), steps=2, octaves=2).shape
        torch.Size([2, 3, 24, 40])
    """
    found = dream(model, layer, images, steps, step_size, octaves, octave_scale, jitter, guide, unit, seed)
    if len(found.sizes) < octaves:
        log.warning(
            '%s: "%s" runs at %s of %s octaves; the others are left out.', WHO, layer, len(found.sizes), octaves
        )
    return found.images


def dream(
    model: nn.Module,
    layer: str,
    images: Tensor,
    steps: int,
    step_size: float,
    octaves: int,
    octave_scale: float,
    jitter: int,
    guide: Tensor | None = None,
    unit: int | None = None,
    seed: int = 0,
) -> Dream:
    """Do what ``deep_dream`` does, and tell how it went."""
    check_images(images, WHO)
    check_numbers(steps, octaves, jitter, step_size, octave_scale)
    if guide is not None and unit is not None:
        raise ValueError(f"{WHO}: guide and unit exclude each other; give one.")
    guide = _checked(images, guide)
    with isolated(model), frozen(model):
        to = image_type(model, images[:1])
        images = images.detach().to(to[0]).float()
        dreaming = _Dreaming(model, layer, to, images, guide, unit)
        mixed = mixes_images(dreaming.activation, images, _no_grad(dreaming.activation, images))
        sizes = octave_sizes((images.shape[2], images.shape[3]), octaves, octave_scale)
        sizes = [size for size in sizes if size == sizes[-1] or dreaming.runs_at(images[:1], size)]
        low, high = (values[:, None, None] for values in (images.amin((0, 2, 3)), images.amax((0, 2, 3))))
        length = step_size * float((high - low).max())
        climb = partial(_climb, dreaming, sizes, steps, length, (low, high), jitter, seed)
        parts = torch.split(images, 1 if mixed else len(images))
        dreams = [climb(one) for one in parts]
        ends = [torch.cat([_no_grad(dreaming.energy, one) for one in some]) for some in (dreams, parts)]
        growth = torch.where(ends[0] == ends[1], 1, ends[0] / ends[1])  # of nothing nothing comes
        return Dream(torch.cat(dreams), sizes, growth)


def _checked(images: Tensor, guide: Tensor | None) -> Tensor | None:
    """Refuse what is not finite, and give the guide as ``(1, C, h, w)``."""
    if not images.isfinite().all():
        raise ValueError(f"{WHO}: images must be finite; some are NaN or infinite.")
    if guide is None:
        return None
    shaped = guide[None] if isinstance(guide, Tensor) and guide.ndim == 3 else guide
    check_images(shaped, f"{WHO}(guide=...)")
    if shaped.shape[:2] != (1, images.shape[1]) or not shaped.isfinite().all():
        expected = f"one image of {images.shape[1]} channels (C, h, w)"
        raise ValueError(f"{WHO}(guide=...): must be {expected}, and finite; got {tuple(guide.shape)}.")
    return shaped


def octave_sizes(size: Size, octaves: int, octave_scale: float) -> list[Size]:
    """Give the sizes of the octaves, (H, W) each, the smallest first and that of the image last.

    Example:
        >>> octave_sizes((64, 128), 3, 1.4)
        [(33, 65), (46, 91), (64, 128)]
    """
    factors = [octave_scale**-number for number in reversed(range(octaves))]
    return [(max(1, round(size[0] * factor)), max(1, round(size[1] * factor))) for factor in factors]


def check_numbers(steps: int, octaves: int, jitter: int, step_size: float, octave_scale: float, who: str = WHO) -> None:
    """Refuse numbers that make no sense.

    Raises:
        ValueError: The message says which.
    """
    for name, value, least in (("steps", steps, 1), ("octaves", octaves, 1), ("jitter", jitter, 0)):
        if not (isinstance(value, int) and value >= least):
            raise ValueError(f"{who}({name}={value!r}): must be a whole number of at least {least}.")
    if not 0 < step_size < float("inf") or not 1 < octave_scale < float("inf"):
        raise ValueError(
            f"{who}: step_size must be more than 0 and octave_scale more than 1, both finite; got {step_size} and "
            f"{octave_scale}."
        )


def _climb(
    dreaming: "_Dreaming",
    sizes: list[Size],
    steps: int,
    length: float,
    limits: tuple[Tensor, Tensor],
    jitter: int,
    seed: int,
    images: Tensor,
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    detail = torch.zeros_like(images[:, :, :1, :1])
    for size in sizes:
        base = _resized(images, size)
        image = base + _resized(detail, size)
        for _ in range(steps):
            down, right = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
            rolled = image.roll((down, right), (2, 3))
            image = _step(dreaming, rolled, length).roll((-down, -right), (2, 3)).clamp(*limits)
        detail = image - base
    return image


def _step(dreaming: "_Dreaming", images: Tensor, length: float) -> Tensor:
    leaf = images.clone().requires_grad_()
    gradient = gradient_of(dreaming.energy(leaf).sum(), leaf, who=WHO)
    mean = gradient.abs().mean((1, 2, 3), keepdim=True)
    goes = (mean > 0) & mean.isfinite()
    return torch.where(goes, images + length * (gradient / mean), images)  # in an order that does not overflow


def _resized(images: Tensor, size: Size) -> Tensor:
    if tuple(images.shape[2:]) == size:
        return images
    is_smaller = size[0] < images.shape[2] or size[1] < images.shape[3]
    return interpolate(images, size, mode="bilinear", align_corners=False, antialias=is_smaller)


class _Dreaming:
    """What is amplified: a layer, a unit of it, or what resembles a guide."""

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        to: tuple[torch.device, torch.dtype],
        images: Tensor,
        guide: Tensor | None,
        unit: int | None,
    ) -> None:
        self._model, self._unit = model, unit
        self._run = PartialRun(model, layer, WHO)
        _no_grad(self._run, images[:1].to(*to, copy=True))  # in the model's own layout it sees where to stop
        self._fed = fed(self._run, to, images[:1])
        self._guide: Tensor | None = None
        if guide is not None:
            self._guide = _no_grad(self._maps, guide.to(to[0]))[0].flatten(1)

    def activation(self, images: Tensor) -> Tensor:
        """What the layer gives for images ``(N, C, H, W)``."""
        return self._fed(images).float()

    def energy(self, images: Tensor) -> Tensor:
        """Half the squared norm ``(N,)``; towards a guide, the likeness to it."""
        if self._guide is not None:
            maps = self._maps(images).flatten(2)
            best = (maps.detach().transpose(1, 2) @ self._guide).argmax(2)
            return (maps * self._guide[:, best].transpose(0, 1)).sum((1, 2))
        if self._unit is None:
            return self.activation(images).flatten(1).square().sum(1) / 2
        maps = self._maps(images)
        if not (isinstance(self._unit, int) and 0 <= self._unit < maps.shape[1]):
            raise ValueError(f"{WHO}(unit={self._unit!r}): the layer has {maps.shape[1]}: 0 to {maps.shape[1] - 1}.")
        return maps[:, self._unit].flatten(1).square().sum(1) / 2

    def runs_at(self, images: Tensor, size: Size) -> bool:
        """Whether the layer runs on images of another size."""
        try:
            return _no_grad(self.activation, _resized(images, size)).numel() > 0
        except Exception:  # noqa: BLE001 (somebody else's forward may raise anything)
            return False

    def _maps(self, images: Tensor) -> Tensor:
        with watch_tokens(self._model) as seen:
            output = self.activation(images)
        return as_maps(output, images.shape[2:], None, WHO, self._run.module, CURE, seen.grids)


def _no_grad(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    with torch.no_grad():
        return function(images)
