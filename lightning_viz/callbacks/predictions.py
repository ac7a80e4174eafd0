"""What a model says about the images of the probe, for captions and for the class that a map is about."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from lightning_viz.data.probe import Probe
from lightning_viz.introspection.outputs import ACTIVATIONS, Activation, is_dense, probabilities

__all__ = ["Prediction", "Predictions", "are_class_scores", "caption", "check_activation", "class_name", "predict"]


class Prediction(TypedDict):
    """Of one image: its label if it has one, what its map is about, and what the model says most; by name too.

    Where outputs are no class scores, ``shown`` and ``predicted`` number outputs, and nothing has a probability.
    """

    label: int | None
    shown: int
    predicted: int
    label_name: str | None
    shown_name: str
    predicted_name: str
    shown_score: float
    predicted_score: float
    shown_probability: float | None
    predicted_probability: float | None


class Predictions(NamedTuple):
    """What a model says about N images."""

    images: list[Prediction]
    classes: Tensor
    """``(N,)`` int64: what the maps are about, as functions of a class take it."""
    activation: Activation
    """What makes probabilities of the scores; ``"none"`` where they are no class scores."""


def check_activation(activation: str, who: str) -> None:
    """Refuse an activation that does not exist.

    Raises:
        ValueError: The message lists the choices.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"{who}(activation={activation!r}): choices are {', '.join(map(repr, ACTIVATIONS))}.")


def predict(model: nn.Module, probe: Probe, shown_before: Tensor | None, activation: Activation) -> Predictions:
    """Run the model on the probe's images.

    Args:
        model: Runs in the mode that it is in; ``draw`` gets it in eval mode.
        probe: Its images, labels, class names and ``output``.
        shown_before: ``(N,)`` what the maps of images without a label were about when first drawn; -1 is not known.
        activation: What makes probabilities of class scores.

    Raises:
        TypeError: No scores in what the model returns.
    """
    with torch.no_grad():
        returned = model(probe.images.clone())
        scores = probe.scores(returned).float()
    speaks_of_classes, dense = are_class_scores(scores, probe), is_dense(returned, probe.output)
    is_classes = speaks_of_classes and not dense
    is_named = is_classes or (speaks_of_classes and probe.class_names is not None)
    single = scores.shape[1] == 1
    likely = probabilities(scores, activation) if is_classes else None
    outputs = torch.cat([-scores, scores], 1) if single and is_classes else scores
    # Of several classes the scores decide: probabilities may be equal where scores are not.
    predicted = likely.argmax(1) if single and likely is not None else outputs.argmax(1)
    shown = predicted
    if shown_before is not None:
        before = shown_before.to(shown)
        shown = torch.where((before >= 0) & (before < outputs.shape[1]), before, shown)
    if speaks_of_classes and probe.labels is not None and (is_classes or not single):
        shown = torch.where(probe.labels >= 0, probe.labels, shown)
    images = [
        Prediction(
            label=int(label) if is_classes and label >= 0 else None,
            shown=int(about),
            predicted=int(guess),
            label_name=class_name(int(label), probe, is_classes=True) if label >= 0 else None,
            shown_name=class_name(int(about), probe, is_classes=is_named),
            predicted_name=class_name(int(guess), probe, is_classes=is_named),
            shown_score=float(outputs[image, about]),
            predicted_score=float(outputs[image, guess]),
            shown_probability=None if likely is None else float(likely[image, about]),
            predicted_probability=None if likely is None else float(likely[image, guess]),
        )
        for image, (label, about, guess) in enumerate(zip(_labels(probe, len(scores)), shown, predicted, strict=True))
    ]
    # A single output that is no class score is asked about as it is, which "class 1" stands for.
    classes = torch.ones_like(shown) if single and not is_classes else shown
    return Predictions(images, classes, activation if is_classes else "none")


def are_class_scores(scores: Tensor, probe: Probe) -> bool:
    """Whether the outputs of a model are class scores, as far as labels and class names tell.

    They are not where nothing speaks of classes, where labels go beyond the outputs or names are of another number, and
    where outputs are unit vectors.
    """
    count = max(2, scores.shape[1])
    labels, names = probe.labels, probe.class_names
    largest = -1 if labels is None else int(labels.max())
    if largest >= count or (names is not None and len(names) != count and largest < len(names)):
        return False
    lengths = scores.norm(dim=1)
    are_unit_vectors = scores.shape[1] > 1 and bool((scores < 0).any()) and bool(((lengths - 1).abs() < 1e-3).all())
    return (largest >= 0 or names is not None) and not are_unit_vectors


def _labels(probe: Probe, count: int) -> list[int]:
    return [-1] * count if probe.labels is None else probe.labels.tolist()


def class_name(number: int, probe: Probe, *, is_classes: bool) -> str:
    """Name a class as the probe does; an output that is no class score is called so."""
    if not is_classes:
        return f"output {number}"
    names = probe.class_names
    return names[number] if names is not None and 0 <= number < len(names) else f"class {number}"


def caption(predictions: Sequence[Prediction]) -> str:
    """Say in one line what each image is, and what the model takes it for."""
    return "; ".join(f"{number}: {_said(one)}" for number, one in enumerate(predictions))


def _said(one: Prediction) -> str:
    if one["predicted_probability"] is None:
        return f"{one['shown_name']} is {one['shown_score']:.3g}"
    share = f"{one['predicted_probability']:.0%}"
    if one["label"] is None:
        return f"{one['predicted_name']} {share}"
    verdict = "" if one["label"] == one["predicted"] else f", taken for {one['predicted_name']}"
    return f"{one['label_name']}{verdict} {share}"
