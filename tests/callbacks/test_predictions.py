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
    predictions, shown, _ = predict(Fixed(SCORES), probe, None, "softmax")
    assert [said(one) for one in predictions] == [(1, 1, 1), (1, 1, 0), (0, 0, 2)]
    assert shown.tolist() == [1, 1, 0]
    assert [one["label_name"] for one in predictions] == ["dog", "dog", "cat"]
    assert [one["shown_name"] for one in predictions] == ["dog", "dog", "cat"]
    assert [one["predicted_name"] for one in predictions] == ["dog", "cat", "fox"]
    softmax = SCORES.exp() / SCORES.exp().sum(1, keepdim=True)
    for image, one in enumerate(predictions):
        assert one["shown_probability"] == pytest.approx(softmax[image, shown[image]].item())
        assert one["predicted_probability"] == pytest.approx(softmax[image].max().item())


def test_without_labels_they_are_about_the_predictions_which_names_make_classes():
    probe = Probe(IMAGES, class_names=NAMES)
    predictions, shown, activation = predict(Fixed(SCORES), probe, None, "sigmoid")
    assert [said(one) for one in predictions] == [(None, 1, 1), (None, 0, 0), (None, 2, 2)]
    assert shown.tolist() == [1, 0, 2]
    assert activation == "sigmoid"
    assert predictions[0]["label_name"] is None
    assert predictions[0]["predicted_name"] == "dog"
    assert predictions[0]["predicted_probability"] == pytest.approx(torch.tensor(2.0).sigmoid().item())


UNIT_VECTORS = torch.nn.functional.normalize(SCORES, dim=1)
OUTPUTS = {
    "nothing speaks of classes": (SCORES, None, None),
    "one number": (torch.tensor([[41.5], [-3.0], [7.0]]), None, None),
    "unit vectors, with labels": (UNIT_VECTORS, [1, 0, 2], None),
    "labels beyond the outputs": (SCORES, [1, 7, 1], None),
    "a count": (torch.tensor([[41.5], [-3.0], [7.0]]), [41, 2, 7], None),
    "names of another number": (SCORES, None, ["cat", "dog"]),
    "names of another number, with labels": (SCORES, [1, 0, 1], ["cat", "dog"]),
    "a dense map": (SCORES[:, :, None, None].repeat(1, 1, 2, 3), None, None),
    "a volume": (SCORES[:, :, None, None, None].repeat(1, 1, 2, 3, 2), [1, 0, 2], None),
}


@pytest.mark.parametrize(("outputs", "labels", "names"), OUTPUTS.values(), ids=OUTPUTS)
def test_what_is_no_class_score_is_called_an_output_and_has_no_probability(outputs, labels, names):
    probe = Probe(IMAGES if labels is None else (IMAGES, torch.tensor(labels)), class_names=names)
    predictions, classes, activation = predict(Fixed(outputs), probe, None, "softmax")
    assert activation == "none"
    flat = outputs.flatten(2).mean(2) if outputs.ndim > 2 else outputs
    for image, one in enumerate(predictions):
        largest = int(flat[image].argmax())
        assert said(one) == (None, largest, largest)
        assert one["shown_name"] == one["predicted_name"] == f"output {largest}"
        assert one["shown_score"] == one["predicted_score"] == pytest.approx(float(flat[image].max()))
        assert one["shown_probability"] is one["predicted_probability"] is None
    # Class 1 of a single output is the output itself, class 0 its negative.
    assert classes.tolist() == ([1] * 3 if flat.shape[1] == 1 else flat.argmax(1).tolist())
    assert "class" not in caption(predictions)
    assert "%" not in caption(predictions)


def test_a_dense_map_is_about_the_labels_channel_by_its_name_and_has_no_probability():
    dense = SCORES[:, :, None, None].repeat(1, 1, 2, 3)
    probe = Probe((IMAGES, torch.tensor([2, 1, -1])), class_names=NAMES)
    predictions, classes, activation = predict(Fixed(dense), probe, None, "softmax")
    assert classes.tolist() == [2, 1, 2]
    assert activation == "none"
    assert caption(predictions) == "0: fox is 1; 1: dog is 0; 2: fox is 1.5"
    assert {one["shown_probability"] for one in predictions} == {None}


def test_an_image_without_a_label_is_drawn_by_its_prediction_as_it_was_first():
    probe = Probe((IMAGES, torch.tensor([-1, 1, -1])), class_names=NAMES)
    predictions, classes, _ = predict(Fixed(SCORES), probe, None, "softmax")
    assert [said(one) for one in predictions] == [(None, 1, 1), (1, 1, 0), (None, 2, 2)]
    later = predict(Fixed(SCORES.flip(1)), probe, torch.tensor([1, -1, 9]), "softmax")
    assert later.classes.tolist() == [1, 1, 0]
    assert classes.tolist() == [1, 1, 2]


def test_what_was_shown_before_comes_first():
    probe = Probe(IMAGES, class_names=NAMES)
    predictions, shown, _ = predict(Fixed(SCORES), probe, torch.tensor([2, 2, 1]), "softmax")
    assert shown.tolist() == [2, 2, 1]
    assert [one["shown"] for one in predictions] == [2, 2, 1]
    assert [one["predicted"] for one in predictions] == [1, 0, 2]


def test_scores_that_are_probabilities_stay():
    shares = SCORES.softmax(1)
    predictions, *_ = predict(Fixed(shares), Probe(IMAGES, class_names=NAMES), None, "none")
    assert [one["predicted_probability"] for one in predictions] == pytest.approx(shares.amax(1).tolist())


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_single_score_is_two_classes(activation):
    predictions, shown, _ = predict(
        Fixed(torch.tensor([[2.0], [-1.0], [0.5]])), Probe(IMAGES, class_names=NAMES[:2]), None, activation
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
    probe = Probe(IMAGES, class_names=NAMES[:2])
    predictions, shown, _ = predict(Fixed(scores), probe, None, activation)
    assert shown.tolist() == [one["predicted"] for one in predictions]
    for one in predictions:
        assert one["shown_probability"] == one["predicted_probability"]


def test_the_probe_says_where_the_scores_are_and_its_images_stay():
    class Packed(Fixed):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"votes": super().forward(images)}

    probe = Probe(IMAGES, output="votes")
    _, shown, _ = predict(Packed(SCORES), probe, None, "softmax")
    assert shown.tolist() == [1, 0, 2]
    assert torch.equal(probe.images, IMAGES)
    with pytest.raises(TypeError, match=r"returned a dict with keys 'votes'.*Probe\(output=...\)"):
        predict(Packed(SCORES), Probe(IMAGES), None, "softmax")


def test_too_few_class_names_leave_numbers():
    probe = Probe((IMAGES, torch.tensor([0, 1, 2])), class_names=["cat"])
    predictions, *_ = predict(Fixed(SCORES), probe, None, "softmax")
    assert [one["label_name"] for one in predictions] == ["cat", "class 1", "class 2"]


def test_the_caption_says_what_each_image_is_and_what_it_is_taken_for():
    labelled = predict(Fixed(SCORES), Probe((IMAGES, torch.tensor([1, 1, 2])), class_names=NAMES), None, "softmax")
    assert caption(labelled.images) == "0: dog 67%; 1: dog, taken for cat 94%; 2: fox 63%"
    named = predict(Fixed(SCORES), Probe(IMAGES, class_names=NAMES), None, "softmax")
    assert caption(named.images) == "0: dog 67%; 1: cat 94%; 2: fox 63%"
    outputs = predict(Fixed(SCORES), Probe(IMAGES), None, "softmax")
    assert caption(outputs.images) == "0: output 1 is 2; 1: output 0 is 3; 2: output 2 is 1.5"


def test_activations_by_name():
    for name in ACTIVATIONS:
        assert check_activation(name, "GradCAM") is None
    with pytest.raises(ValueError, match=r"^GradCAM\(activation='relu'\): choices are 'softmax', 'sigmoid', 'none'"):
        check_activation("relu", "GradCAM")
