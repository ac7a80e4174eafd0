import pytest
import torch
from torch import Tensor, nn

from lightning_viz import Probe
from lightning_viz.callbacks.predictions import Prediction, caption, check_activation, predict
from lightning_viz.introspection.outputs import ACTIVATIONS

IMAGES = torch.rand(3, 3, 12, 20, generator=torch.Generator().manual_seed(0))
SCORES = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, -1.0], [0.5, 0.0, 1.5]])
NAMES = ["cat", "dog", "fox"]


class Fixed(nn.Module):
    """Says the same about any images, and works on them in place."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, images: Tensor) -> Tensor:
        images.zero_()
        return self.scores


def said(one: Prediction) -> tuple[int | None, int, int]:
    return one["label"], one["shown"], one["predicted"]


def test_with_labels_the_maps_are_about_them():
    probe = Probe((IMAGES, torch.tensor([1, 1, 0])), class_names=NAMES)
    predictions, shown = predict(Fixed(SCORES), probe, None, "softmax", "GradCAM")
    assert [said(one) for one in predictions] == [(1, 1, 1), (1, 1, 0), (0, 0, 2)]
    assert shown.tolist() == [1, 1, 0]
    assert [one["label_name"] for one in predictions] == ["dog", "dog", "cat"]
    assert [one["shown_name"] for one in predictions] == ["dog", "dog", "cat"]
    assert [one["predicted_name"] for one in predictions] == ["dog", "cat", "fox"]
    softmax = SCORES.exp() / SCORES.exp().sum(1, keepdim=True)
    for image, one in enumerate(predictions):
        assert one["shown_probability"] == pytest.approx(softmax[image, shown[image]].item())
        assert one["predicted_probability"] == pytest.approx(softmax[image].max().item())


def test_without_labels_they_are_about_the_predictions():
    predictions, shown = predict(Fixed(SCORES), Probe(IMAGES), None, "sigmoid", "GradCAM")
    assert [said(one) for one in predictions] == [(None, 1, 1), (None, 0, 0), (None, 2, 2)]
    assert shown.tolist() == [1, 0, 2]
    assert predictions[0]["label_name"] is None
    assert predictions[0]["predicted_name"] == "class 1"
    assert predictions[0]["predicted_probability"] == pytest.approx(torch.tensor(2.0).sigmoid().item())


@pytest.mark.parametrize("labels", [None, torch.tensor([1, 1, 0])])
def test_classes_that_were_fixed_before_come_first(labels):
    probe = Probe(IMAGES if labels is None else (IMAGES, labels))
    predictions, shown = predict(Fixed(SCORES), probe, torch.tensor([2, 2, 1]), "softmax", "GradCAM")
    assert shown.tolist() == [2, 2, 1]
    assert [one["shown"] for one in predictions] == [2, 2, 1]
    assert [one["predicted"] for one in predictions] == [1, 0, 2]


def test_scores_that_are_probabilities_stay():
    shares = SCORES.softmax(1)
    predictions, _ = predict(Fixed(shares), Probe(IMAGES), None, "none", "GradCAM")
    assert [one["predicted_probability"] for one in predictions] == pytest.approx(shares.amax(1).tolist())


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_single_score_is_two_classes(activation):
    predictions, shown = predict(
        Fixed(torch.tensor([[2.0], [-1.0], [0.5]])), Probe(IMAGES), None, activation, "GradCAM"
    )
    assert [said(one) for one in predictions] == [(None, 1, 1), (None, 0, 0), (None, 1, 1)]
    assert predictions[1]["predicted_probability"] == pytest.approx(1 / (1 + torch.tensor(-1.0).exp().item()))
    assert shown.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("scores", "activation"),
    [
        (torch.tensor([[0.2], [0.9], [0.4]]), "none"),  # one probability per image
        (torch.tensor([[20.0, 30.0], [30.0, 20.0], [0.0, 1.0]]), "sigmoid"),  # both 1 in float32
    ],
    ids=["single probability", "saturated"],
)
def test_without_labels_the_class_shown_is_the_one_that_the_caption_calls_predicted(scores, activation):
    predictions, shown = predict(Fixed(scores), Probe(IMAGES), None, activation, "GradCAM")
    assert shown.tolist() == [one["predicted"] for one in predictions]
    for one in predictions:
        assert one["shown_probability"] == one["predicted_probability"]


def test_the_probe_says_where_the_scores_are_and_its_images_stay():
    class Packed(Fixed):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"head": super().forward(images)}

    probe = Probe(IMAGES, output="head")
    _, shown = predict(Packed(SCORES), probe, None, "softmax", "GradCAM")
    assert shown.tolist() == [1, 0, 2]
    assert torch.equal(probe.images, IMAGES)
    with pytest.raises(TypeError, match=r"returned a dict with keys 'head'.*Probe\(output=...\)"):
        predict(Packed(SCORES), Probe(IMAGES), None, "softmax", "GradCAM")


def test_a_label_that_is_no_class_is_refused_by_the_name_of_the_callback():
    with pytest.raises(ValueError, match="^GradCAM: there is no class 7; the model has 3: 0 to 2"):
        predict(Fixed(SCORES), Probe((IMAGES, torch.tensor([0, 7, 1]))), None, "softmax", "GradCAM")


def test_too_few_class_names_leave_numbers():
    probe = Probe((IMAGES, torch.tensor([0, 1, 2])), class_names=["cat"])
    predictions, _ = predict(Fixed(SCORES), probe, None, "softmax", "GradCAM")
    assert [one["label_name"] for one in predictions] == ["cat", "class 1", "class 2"]


def test_the_caption_says_what_each_image_is_and_what_it_is_taken_for():
    labelled = predict(Fixed(SCORES), Probe((IMAGES, torch.tensor([1, 1, 2])), class_names=NAMES), None, "softmax", "")
    assert caption(labelled[0]) == "0: dog 67%; 1: dog, taken for cat 94%; 2: fox 63%"
    unlabelled = predict(Fixed(SCORES), Probe(IMAGES), None, "softmax", "")
    assert caption(unlabelled[0]) == "0: class 1 67%; 1: class 0 94%; 2: class 2 63%"


def test_activations_by_name():
    for name in ACTIVATIONS:
        assert check_activation(name, "GradCAM") is None
    with pytest.raises(ValueError, match=r"^GradCAM\(activation='relu'\): choices are 'softmax', 'sigmoid', 'none'"):
        check_activation("relu", "GradCAM")
