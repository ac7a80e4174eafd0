"""What a model says about the images of the probe, for captions and for the class that a map is about."""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from lightning_viz.data.probe import Probe
from lightning_viz.introspection.outputs import ACTIVATIONS, Activation, class_scores, probabilities

__all__ = ["Prediction", "caption", "check_activation", "predict"]


class Prediction(TypedDict):
    """Of one image: its label if it has one, the class that the map is about, the most likely class; by name too."""

    label: int | None
    shown: int
    predicted: int
    label_name: str | None
    shown_name: str
    predicted_name: str
    shown_probability: float
    predicted_probability: float


def check_activation(activation: str, who: str) -> None:
    """Refuse an activation that does not exist.

    Raises:
        ValueError: The message lists the choices.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"{who}(activation={activation!r}): choices are {', '.join(map(repr, ACTIVATIONS))}.")


def predict(
    model: nn.Module, probe: Probe, classes: Tensor | None, activation: Activation, who: str
) -> tuple[list[Prediction], Tensor]:
    """Run the model on the probe's images.

    Args:
        model: Runs in the mode that it is in; ``draw`` gets it in eval mode.
        probe: Its images, labels, class names and ``output``.
        classes: ``(N,)`` which classes the maps are about; when None the labels, without labels the predictions.
        activation: What makes probabilities of the scores.
        who: Begins an error message.

    Returns:
        One prediction per image, and the classes ``(N,)``.

    Raises:
        ValueError: A label that is no class of the model.
        TypeError: No scores in what the model returns.
    """
    with torch.no_grad():
        scores = probe.scores(model(probe.images.clone())).float()
        likely = probabilities(scores, activation)
        # Of several classes the scores decide: probabilities may be equal where scores are not.
        predicted = likely.argmax(1) if scores.shape[1] == 1 else scores.argmax(1)
        wanted = classes if classes is not None else probe.labels if probe.labels is not None else predicted
        _, shown = class_scores(scores, wanted, who)
        p_predicted, p_shown = (likely.gather(1, numbers[:, None])[:, 0] for numbers in (predicted, shown))
    labels: Sequence[int | None] = [None] * len(shown) if probe.labels is None else probe.labels.tolist()
    return [
        Prediction(
            label=label,
            shown=about,
            predicted=guess,
            label_name=None if label is None else _name(label, probe),
            shown_name=_name(about, probe),
            predicted_name=_name(guess, probe),
            shown_probability=p_about,
            predicted_probability=p_guess,
        )
        for label, about, guess, p_about, p_guess in zip(
            labels, shown.tolist(), predicted.tolist(), p_shown.tolist(), p_predicted.tolist(), strict=True
        )
    ], shown


def _name(number: int, probe: Probe) -> str:
    names = probe.class_names
    return names[number] if names is not None and 0 <= number < len(names) else f"class {number}"


def caption(predictions: Sequence[Prediction]) -> str:
    """Say in one line what each image is, and what the model takes it for."""
    return "; ".join(f"{number}: {_said(one)}" for number, one in enumerate(predictions))


def _said(one: Prediction) -> str:
    share = f"{one['predicted_probability']:.0%}"
    if one["label"] is None:
        return f"{one['predicted_name']} {share}"
    verdict = "" if one["label"] == one["predicted"] else f", taken for {one['predicted_name']}"
    return f"{one['label_name']}{verdict} {share}"
