import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers.data import NOT_RETURNED, RETURNED, SCORES
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from torchvision.transforms import v2

from lightning_viz.data.probe import Probe, unpack_batch
from lightning_viz.introspection.calls import Call, find_call

IMAGES = torch.rand(5, 3, 12, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([3, 1, 0, 2, 1])
NET = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout())


@dataclass
class Items(Dataset):
    read: object
    size: int = 20

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index):
        return self.read(index)


@dataclass
class Batch:
    picture: torch.Tensor


def numbered(index: int) -> tuple[torch.Tensor, int]:
    return torch.full((3, 12, 20), float(index)), index % 4


def streams() -> list:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


@pytest.mark.parametrize(
    "batch",
    [
        (IMAGES, LABELS),
        [IMAGES, LABELS],
        (LABELS, IMAGES),
        [torch.rand(5), IMAGES, LABELS.int()],
        {"image": IMAGES, "label": LABELS},
        {"id": torch.arange(5), "pixel_values": IMAGES, "labels": LABELS.to(torch.uint8)},
        {"images": "a path", "x": IMAGES, "y": LABELS},
    ],
)
def test_images_and_labels_are_found_in_a_batch(batch):
    images, labels = unpack_batch(batch)
    assert images is IMAGES
    assert labels.dtype == torch.int64
    assert torch.equal(labels, LABELS)


@pytest.mark.parametrize(
    "batch", [IMAGES, [IMAGES], (IMAGES, torch.rand(5)), {"image": IMAGES, "label": torch.rand(5, 4)}]
)
def test_a_batch_without_labels_has_none(batch):
    images, labels = unpack_batch(batch)
    assert images is IMAGES
    assert labels is None


@pytest.mark.parametrize(
    ("batch", "described"),
    [
        (IMAGES[0], r"a tensor \(3, 12, 20\) torch.float32"),
        ((IMAGES * 255).byte(), r"a tensor \(5, 3, 12, 20\) torch.uint8"),
        (IMAGES[:0], r"a tensor \(0, 3, 12, 20\) torch.float32"),
        ([], "a list of nothing"),
        ((LABELS, "name"), r"a tuple of a tensor \(5,\) torch.int64, a str"),
        ({"photo": LABELS}, r"a dict with 'photo': a tensor \(5,\) torch.int64"),
        (Batch(LABELS), "a Batch"),
        (None, "a NoneType"),
    ],
)
def test_another_batch_is_described_and_batch_fn_named(batch, described):
    with pytest.raises(ValueError, match=rf"no images \(N, C, H, W\) of a float type in {described}.* batch_fn=..."):
        unpack_batch(batch)


def test_images_and_labels_of_different_number_are_refused():
    with pytest.raises(ValueError, match="5 images but 4 labels in a tuple of"):
        unpack_batch((IMAGES, LABELS[:4]))


def test_batch_fn_says_where_the_images_are():
    probe = Probe(Batch(IMAGES), batch_fn=lambda batch: (batch.picture, LABELS))
    assert torch.equal(probe.images, IMAGES)
    assert torch.equal(probe.labels, LABELS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": IMAGES, "dataset": TensorDataset(IMAGES)}, "Probe: give images or dataset, not both."),
        ({"mean": 0.5}, "Probe: mean and std belong together"),
        ({"std": [0.5]}, "Probe: mean and std belong together"),
        ({"images": IMAGES[0]}, r"no images .* in a tensor \(3, 12, 20\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Probe(**arguments)


def test_the_probe_stays_when_the_given_tensors_change():
    images, labels = IMAGES.clone().requires_grad_(), LABELS.clone()
    probe = Probe((images, labels))
    with torch.no_grad():
        images.zero_()
    labels.zero_()
    assert torch.equal(probe.images, IMAGES)
    assert torch.equal(probe.labels, LABELS)
    assert not probe.images.requires_grad


@pytest.mark.parametrize(
    ("size", "indices", "read"),
    [
        (20, None, [0, 3, 5, 8, 11, 14, 16, 19]),
        (8, None, [0, 1, 2, 3, 4, 5, 6, 7]),
        (3, None, [0, 1, 2]),
        (1, None, [0]),
        (20, [19, 4], [19, 4]),
    ],
)
def test_a_dataset_gives_the_chosen_items_or_eight_spread_over_it(size, indices, read):
    probe = Probe(dataset=Items(numbered, size), indices=indices)
    assert not probe.ready
    filled = probe.read_dataset()
    assert filled.images[:, 0, 0, 0].tolist() == read
    assert filled.labels.tolist() == [index % 4 for index in read]
    assert not probe.ready


def test_a_dataset_may_give_dicts():
    probe = Probe(
        dataset=Items(lambda index: {"image": numbered(index)[0], "label": index}), indices=[7]
    ).read_dataset()
    assert probe.images.shape == (1, 3, 12, 20)
    assert probe.labels.tolist() == [7]


@pytest.mark.parametrize("indices", [[20], [0, -1]])
def test_an_index_outside_the_dataset_is_refused(indices):
    with pytest.raises(ValueError, match=r"Probe\(indices=\[.*\]\): the dataset has items 0 to 19."):
        Probe(dataset=Items(numbered), indices=indices).read_dataset()


@pytest.mark.parametrize(
    "augment",
    [
        v2.RandomCrop((12, 20), padding=6),
        lambda image: image + np.random.rand(),
        lambda image: image + random.random(),
        lambda image: (image + torch.randn(())).numpy(),
        lambda image: {"image": image + torch.randn(())},
        lambda image: (image + torch.randn(())).bfloat16(),
    ],
)
def test_a_dataset_with_augmentation_is_refused_and_moves_no_random_stream(augment):
    torch.manual_seed(0)
    random.seed(0)
    before = streams()
    image = torch.rand(3, 12, 20, generator=torch.Generator().manual_seed(2))
    with pytest.raises(
        ValueError,
        match=r"Probe\(dataset=...\): an item differs when it is read twice, .* without augmentation: dataset=",
    ):
        Probe(dataset=Items(lambda index: (augment(image), index))).read_dataset()
    assert streams() == before


def test_reading_a_dataset_moves_no_random_stream_and_leaves_the_model():
    def noisy(index):
        noise = random.random() + np.random.rand() + torch.rand(1).item()
        return numbered(index) if noise else None

    NET.train()
    before = streams()
    assert Probe(dataset=Items(noisy)).read_dataset().ready
    assert streams() == before
    assert all(module.training for module in NET.modules())


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image.bfloat16(),
        lambda image: image.double().requires_grad_(),
        lambda image: image.numpy().astype(np.float32),
        lambda image: torch.full_like(image, torch.nan),
    ],
)
def test_a_dataset_of_any_float_type_is_read(convert):
    probe = Probe(dataset=Items(lambda index: (convert(numbered(index)[0]), index)), indices=[2]).read_dataset()
    assert torch.equal(
        probe.images[0].float().nan_to_num(), torch.as_tensor(convert(numbered(2)[0])).float().nan_to_num()
    )


def test_a_probe_without_dataset_reads_none():
    probe = Probe(IMAGES)
    assert probe.read_dataset() is probe


def test_a_batch_is_captured_up_to_eight_images_and_kept_when_the_loader_reuses_it():
    images, labels = torch.rand(11, 3, 12, 20), torch.arange(11)
    expected = images[:8].clone()
    config = Probe(class_names=["a", "b"])
    probe = config.capture([images, labels])
    images.zero_()
    assert torch.equal(probe.images, expected)
    assert probe.labels.tolist() == list(range(8))
    assert probe.captured
    assert probe.class_names == ["a", "b"]
    assert not config.ready


def test_indices_choose_from_the_captured_batch():
    probe = Probe(indices=[4, 0]).capture((IMAGES, LABELS))
    assert torch.equal(probe.images, IMAGES[[4, 0]])
    assert probe.labels.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (Probe(), "it is captured when the first batch arrives"),
        (Probe().capture({"audio": LABELS}), "the first batch could not be used .*'audio'.*batch_fn"),
        (Probe(indices=[9]).capture(IMAGES), "the first batch could not be used .*index 9 is out of bounds"),
        (
            Probe(batch_fn=lambda batch: 1 / 0).capture(IMAGES),
            r"the first batch could not be used \(division by zero\)",
        ),
    ],
)
def test_a_probe_without_images_says_why(probe, reason):
    assert not probe.ready
    with pytest.raises(RuntimeError, match=f"Probe: there are no images: {reason}"):
        _ = probe.images


def test_a_restored_probe_counts_as_captured():
    probe = Probe(mean=0.5, std=0.5).restore(IMAGES, None)
    assert torch.equal(probe.images, IMAGES)
    assert probe.captured
    assert probe.mean == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_on_a_model_the_images_have_its_float_type_and_the_labels_stay_whole(dtype):
    probe = Probe((IMAGES, LABELS)).on(find_call(nn.Conv2d(3, 4, 3).to(dtype), IMAGES))
    assert torch.equal(probe.images, IMAGES.to(dtype))
    assert torch.equal(probe.labels, LABELS)


def test_a_model_without_weights_gets_the_images_as_they_are():
    assert torch.equal(Probe(IMAGES).on(find_call(nn.Flatten(), IMAGES)).images, IMAGES)


def test_a_model_that_works_in_place_does_not_change_the_probe():
    probe, call = Probe(IMAGES.clone()), find_call(NET, IMAGES)
    probe.on(call).images.zero_()
    assert torch.equal(probe.on(call).images, IMAGES)


def test_looking_at_the_images_changes_nothing():
    probe = Probe(IMAGES)
    before = dict(vars(probe))
    assert probe.images is probe.images
    assert vars(probe) == before


def test_an_empty_probe_is_itself_on_any_model():
    probe = Probe()
    assert probe.on(Call()) is probe


@pytest.mark.parametrize(
    ("channels", "mean", "std"),
    [(3, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), (1, 0.13, 0.31), (3, 0.5, 0.5), (4, [0.1, 0.2, 0.3, 0.4], 0.5)],
)
def test_mean_and_std_undo_torchvisions_normalize(channels, mean, std):
    pictures = torch.rand(2, channels, 12, 20)
    means, stds = (np.broadcast_to(value, channels).tolist() for value in (mean, std))
    images = v2.Normalize(means, stds)(pictures)
    undone, how = Probe(images, mean=mean, std=std).unnormalised()
    torch.testing.assert_close(undone, pictures)
    assert how == "un-normalised with mean and std"


def test_unnormalised_pictures_lie_within_0_and_1_in_float32():
    undone, _ = Probe(torch.tensor([-9.0, 0, 9]).reshape(1, 3, 1, 1).bfloat16(), mean=0.5, std=0.25).unnormalised()
    assert undone.dtype == torch.float32
    assert undone.flatten().tolist() == [0, 0.5, 1]


def test_images_that_are_pictures_already_are_shown_as_they_are():
    pictures, how = Probe(IMAGES).unnormalised()
    assert torch.equal(pictures, IMAGES)
    assert how == "as the network gets them"


def test_without_mean_and_std_the_scale_is_said():
    pictures, how = Probe(IMAGES * 4 - 1).unnormalised()
    low, high = IMAGES.min() * 4 - 1, IMAGES.max() * 4 - 1
    torch.testing.assert_close(pictures, (IMAGES * 4 - 1 - low) / (high - low))
    assert how == f"scaled from {low:.3g}..{high:.3g}: the probe has no mean and std"


@pytest.mark.parametrize(
    ("output", "returned"),
    [
        *RETURNED,
        ("picture", Batch(SCORES)),
        (lambda returned: returned["head"][0], {"head": [SCORES]}),
    ],
)
def test_scores_are_found_in_what_the_model_returned(output, returned):
    assert Probe(output=output).scores(returned) is SCORES


@pytest.mark.parametrize(("output", "returned", "message"), NOT_RETURNED)
def test_scores_that_are_not_there_are_described(output, returned, message):
    with pytest.raises(TypeError, match=rf"returned {message}.*a key, an index or a function: Probe\(output=...\)"):
        Probe(output=output).scores(returned)


def test_scores_must_be_one_row_per_image():
    with pytest.raises(ValueError, match=r"Probe: .* must be \(N, classes\); .* \(5, 3, 240\).*output="):
        Probe().scores(IMAGES.flatten(2))
    assert Probe().scores(SCORES[:, 0]).tolist() == SCORES[:, :1].tolist()
