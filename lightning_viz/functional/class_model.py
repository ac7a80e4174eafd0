"""The image that excites a class, or a unit, most."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lightning_viz.functional.backward.batch_mixing import mixes_images
from lightning_viz.functional.climber import Climber, Synthesis
from lightning_viz.functional.synthesis.domain import Domain, domain_of, plain_domain
from lightning_viz.functional.synthesis.folding import folded_batch_norms
from lightning_viz.functional.synthesis.frozen import frozen
from lightning_viz.functional.synthesis.objective import Place, check_place, objective_of
from lightning_viz.functional.synthesis.regularisation import Name, Regularisation, find_regularisation
from lightning_viz.functional.synthesis.start import noise
from lightning_viz.introspection.calls import image_type
from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.outputs import Output, check_images
from lightning_viz.introspection.stopping import PartialRun

__all__ = [
    "Name",
    "Place",
    "Regularisation",
    "Synthesis",
    "check_place",
    "class_model",
    "find_regularisation",
    "synthesise",
]

log = logging.getLogger("lightning_viz")

WHO = "class_model"


def class_model(
    model: nn.Module,
    targets: int | Sequence[int] | Tensor,
    layer: str | None = None,
    images: Tensor | None = None,
    size: tuple[int, int] | None = None,
    steps: int | None = None,
    regularisation: Name | Regularisation = "fourier",
    init: Tensor | None = None,
    place: Place = "centre",
    seed: int = 0,
    output: Output | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Show what a class, or a unit, stands for: the image that excites it most, found by gradient ascent.

    It starts from the zero image, which is the mean of centred data (of ``images`` whose range does not hold zero, from
    its middle). Where that has no gradient (networks without biases) it starts from faint noise, then stronger noise,
    then from that of ``images`` which excites the target most (a unit: rolled so that it does at the centre); with
    ``"maco"`` from random phases.

    Args:
        model: Left exactly as found; runs in eval mode.
        targets: K classes (their scores before the softmax), or units of ``layer``. All climb in one batch.
        layer: Dotted name; the model runs as far as this layer only. None: the targets are classes.
        images: ``(N, C, H, W)`` of the user's data, normalised as in training: they give the size, the range of each
            channel, which colours go together, and the magnitudes of ``"maco"``. 64 or more are good. Left untouched.
        size: (H, W) of the result. Without ``images``, where it must be given, the channels are those of the first
            layer that runs, and the range is that of data with mean 0 and standard deviation 1, from -2 to 2.
        steps: Of the ascent; when omitted, those of the regularisation.
        regularisation: What keeps the image from being noise, a name or a ``Regularisation`` of one's own terms:

            - ``"l2"``: the score less lambda ||I||^2 and nothing else (Simonyan et al. 2014, section 2).
            - ``"yosinski-1"`` to ``"yosinski-4"``: decay, blur, small pixels clipped (Yosinski et al. 2015, Table 1).
            - ``"fourier"``: frequencies of decorrelated colours, with shifts and scales (Olah et al. 2017).
            - ``"maco"``: phases alone (Fel et al. 2023); the magnitudes held are those of the nine of ``images`` that
              excite the target most, so that contrast and mean colour are the data's and not what was found.

            Of classes the last two climb the log of the odds rather than the score: of the score itself, what two
            classes have in common makes a part.
        init: ``(K, C, H, W)`` or ``(1, C, H, W)``, to start from instead; those that are not finite start from nothing.
        place: Where a unit's activation is taken: at the ``"centre"`` of its map, or its ``"mean"``.
        seed: Of noise, phases, shifts and scales. The same seed gives the same bytes on a CPU.
        output: Where the class scores are in what the model returns: a key, an index or a function.
        batch_size: Targets at once; chosen when omitted: 64 up to 79 x 79 pixels, 8 at 224 x 224; on a CPU, where
            larger batches take longer, half of that.

    Returns:
        ``(K, C, H, W)`` float32, normalised like ``images``. A target that nothing moves (a dead unit) is NaN, and is
        named in a warning; so is one whose gradient became infinite or NaN: its last finite image stands.

    Raises:
        ValueError: No such target or layer, images of the wrong shape or not finite, no size, or a model with no
            gradient from the score to the image.
        TypeError: No scores in what the model returns.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 22, 5))
        >>> class_model(model, [0, 3], size=(16, 24), steps=4).shape
        torch.Size([2, 3, 16, 24])
    """
    asked = torch.as_tensor(targets).reshape(-1)
    found = synthesise(model, asked, layer, images, size, steps, regularisation, init, place, seed, output, batch_size)
    for marked, what in (
        (found.dead, "nothing was found that moves it; its image is NaN"),
        (found.stopped, "its score or gradient became infinite or NaN; the last finite image stands"),
    ):
        if marked.any():
            names = ", ".join(map(str, asked[marked.cpu()].tolist()))
            log.warning("%s: %s %s: %s.", WHO, "class" if layer is None else f'"{layer}" unit', names, what)
    return found.images


def synthesise(
    model: nn.Module,
    targets: Tensor,
    layer: str | None = None,
    images: Tensor | None = None,
    size: tuple[int, int] | None = None,
    steps: int | None = None,
    regularisation: Name | Regularisation = "fourier",
    init: Tensor | None = None,
    place: Place = "centre",
    seed: int = 0,
    output: Output | None = None,
    batch_size: int | None = None,
    who: str = WHO,
) -> Synthesis:
    """Do what ``class_model`` does, and tell what became of each target."""
    terms = find_regularisation(regularisation, who)
    check_place(place, who)
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{who}({name}={value!r}): must be a whole number of at least 1.")
    if not len(targets) or targets.is_floating_point() or targets.dtype == torch.bool or targets.ndim != 1:
        raise ValueError(f"{who}: targets must be one or more whole numbers; got {targets}.")
    _check_sizes(images, size, who)
    if terms.parametrisation == "phase" and images is None:
        raise ValueError(f"{who}: the magnitudes come from your own data: give images (N, C, H, W) of it.")
    with isolated(model), frozen(model):
        domain = _domain(model, layer, images, size, who)
        like = noise(domain, seed, 0.1)
        objective = objective_of(model, layer, place, output, like, who)
        _check_targets(objective.values, targets, like, layer, who)
        init = _starts_given(init, like, len(targets), who)
        if layer is not None:
            terms = replace(terms, rivals=0)
        most = 1 if _mixes(objective.values, like) else batch_size or _at_once(like)
        ascent = Climber(objective, domain, terms, steps or terms.steps, seed, who, most)
        with folded_batch_norms(model, objective.values, like, layer):
            return ascent.of_all(targets.to(like.device, torch.long, copy=True), init)


def _at_once(like: Tensor) -> int:
    """How many images like this one: on a CPU too few that their maps go back to the system after each step."""
    most = 32 if like.device.type == "cpu" else 64
    return max(1, min(most, most * 3 * 224**2 // (8 * like.numel())))


def _check_targets(
    values: Callable[[Tensor], Tensor], targets: Tensor, like: Tensor, layer: str | None, who: str
) -> None:
    with torch.no_grad():
        count = values(like).shape[1]
    wrong = targets[(targets < 0) | (targets >= count)]
    if len(wrong):
        what = "class" if layer is None else f'unit of "{layer}"'
        raise ValueError(f"{who}: there is no {what} {int(wrong[0])}; there are {count}: 0 to {count - 1}.")


def _starts_given(init: Tensor | None, like: Tensor, count: int, who: str) -> Tensor | None:
    if init is None:
        return None
    shape = tuple(like.shape[1:])
    if init.ndim != 4 or tuple(init.shape[1:]) != shape or len(init) not in (1, count):
        raise ValueError(f"{who}: init must be {(count, *shape)} or {(1, *shape)}; got {tuple(init.shape)}.")
    return init.detach().to(like).expand(count, -1, -1, -1)


def _check_sizes(images: Tensor | None, size: tuple[int, int] | None, who: str) -> None:
    if images is None and size is None:
        raise ValueError(f"{who}: give images (N, C, H, W) of your data, or size=(H, W).")
    if images is not None:
        check_images(images, who)
        if not images.isfinite().all():
            raise ValueError(f"{who}: images must be finite; some are NaN or infinite.")
    if size is not None:
        sides = size if isinstance(size, Sequence) else ()
        if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
            raise ValueError(f"{who}(size={size!r}): must be (H, W), whole numbers of at least 1.")


def _domain(
    model: nn.Module, layer: str | None, images: Tensor | None, size: tuple[int, int] | None, who: str
) -> Domain:
    like = next((weight for weight in model.parameters() if weight.is_floating_point()), torch.empty(0))
    if images is not None:
        return domain_of(images.to(like.device), size)
    assert size is not None
    plain = plain_domain(_channels(model, layer, size, like.device, who), size)
    return plain._replace(**{name: getattr(plain, name).to(like.device) for name in ("low", "high", "colours")})


def _channels(model: nn.Module, layer: str | None, size: tuple[int, int], device: torch.device, who: str) -> int:
    """Find the channels that the first layer takes that runs."""
    run = model if layer is None else PartialRun(model, layer, who)
    weights = [(module, weight) for module in model.modules() for weight in module.parameters(recurse=False)]
    known = [int(weight.shape[1]) * getattr(module, "groups", 1) for module, weight in weights if weight.ndim == 4]
    for channels in dict.fromkeys([*known, 3, 1]):
        like = torch.zeros(1, channels, *size, device=device)
        try:
            with torch.no_grad():
                run(like.to(image_type(model, like)[1]))
        except Exception:  # noqa: BLE001 (somebody else's forward may raise anything)
            continue
        return channels
    raise ValueError(f"{who}: {type(model).__name__} runs on no image of size {size}. Give images of your data.")


def _mixes(values: Callable[[Tensor], Tensor], like: Tensor) -> bool:
    two = torch.cat([like, like.flip(2)])
    with torch.no_grad():
        try:
            together = values(two)
        except Exception:  # noqa: BLE001 (a network made for single images)
            return True
    return mixes_images(values, two, together)
