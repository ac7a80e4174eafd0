import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lightning_viz import Probe
from lightning_viz.store import Store, store_folder
from lightning_viz.trainer.probes import Probes

FIRST, SECOND = torch.rand(2, 10, 3, 12, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10)
NET = nn.Conv2d(3, 4, 3)


def probes_of(run, checkpoint=None) -> Probes:
    probes = Probes(None if checkpoint is None else str(checkpoint))
    probes.store = Store(store_folder(str(run)))
    return probes


def drawn(probes: Probes, given: Probe | None = None) -> str | None:
    """Give the hash of the probe that a picture was made from."""
    probe = probes.of(given)
    assert probe.images.shape[1:] == (3, 12, 20)
    return probes.saved(probe)


def saved_files(probes: Probes) -> list[str]:
    return sorted(path.name for path in (probes.store.folder / "probes").glob("*"))


def test_the_first_batch_stays_the_probe(tmp_path):
    probes = probes_of(tmp_path)
    for batch in (FIRST, SECOND):
        probes.capture(None, (batch, LABELS))
    assert torch.equal(probes.of(None).images, FIRST[:8])
    assert probes.of(None).labels.tolist() == list(range(8))


def test_the_same_object_is_one_probe_and_another_is_another(tmp_path):
    probes, one, other = probes_of(tmp_path), Probe(), Probe()
    probes.capture(one, FIRST)
    probes.capture(other, SECOND)
    probes.capture(None, SECOND)
    assert probes.of(one) is probes.of(one)
    assert torch.equal(probes.of(one).images, FIRST[:8])
    assert torch.equal(probes.of(other).images, SECOND[:8])
    assert probes.of(None) is not probes.of(other)
    assert not one.ready


def test_a_batch_that_can_not_be_used_says_why_until_one_can(tmp_path):
    probes = probes_of(tmp_path)
    with pytest.raises(RuntimeError, match="captured when the first batch arrives"):
        _ = probes.of(None).images
    probes.capture(None, {"text": "hello"})
    with pytest.raises(RuntimeError, match="the first batch could not be used"):
        _ = probes.of(None).images
    probes.capture(None, FIRST)
    assert torch.equal(probes.of(None).images, FIRST[:8])


def test_given_images_are_never_replaced_by_a_batch(tmp_path):
    probes, given = probes_of(tmp_path), Probe(SECOND[:2])
    probes.capture(given, FIRST)
    assert torch.equal(probes.of(given).images, SECOND[:2])


def test_a_probe_with_a_dataset_waits_for_it(tmp_path):
    probes, given = probes_of(tmp_path), Probe(dataset=torch.utils.data.TensorDataset(SECOND[:2]))
    probes.capture(given, FIRST)
    assert not probes.of(given).ready
    probes.settle(given, given.read_dataset())
    assert torch.equal(probes.of(given).images, SECOND[:2])


def test_only_a_probe_with_images_is_saved_and_once(tmp_path):
    probes = probes_of(tmp_path)
    assert probes.saved(probes.of(None)) is None
    probes.capture(None, (FIRST, LABELS))
    assert saved_files(probes) == []
    key = drawn(probes)
    assert drawn(probes) == key
    assert saved_files(probes) == [*(f"{key}-{number}.png" for number in range(8)), f"captured-{key}.npz"]
    with np.load(probes.store.folder / "probes" / f"captured-{key}.npz") as arrays:
        assert np.array_equal(arrays["images"], FIRST[:8].numpy())
        assert arrays["labels"].tolist() == list(range(8))


def test_given_images_are_saved_as_given(tmp_path):
    probes, given = probes_of(tmp_path), Probe(FIRST[:3].double().requires_grad_())
    assert saved_files(probes) == []
    key = drawn(probes, given)
    assert saved_files(probes) == [*(f"{key}-{number}.png" for number in range(3)), f"given-{key}.npz"]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_the_images_are_kept_as_pictures_too(tmp_path, channels):
    normalised = torch.linspace(-2.0, 2.0, channels * 12 * 20).reshape(1, channels, 12, 20)
    probes, given = probes_of(tmp_path), Probe(normalised, mean=0.5, std=0.25)
    assert probes.of(given).images.shape[1] == channels
    key = probes.saved(given)
    pixels = np.asarray(Image.open(probes.store.folder / f"probes/{key}-0.png"))
    shown = (normalised[0] * 0.25 + 0.5).permute(1, 2, 0).numpy()
    shown = shown if channels == 3 else np.repeat(shown.mean(axis=2, keepdims=True), 3, axis=2)
    assert pixels.shape == (12, 20, 3)
    assert np.abs(pixels - shown * 255).max() <= 0.5 + 1e-3


def test_what_is_not_finite_is_marked_in_the_picture(tmp_path):
    image = torch.full((1, 3, 12, 20), 0.5)
    image[0, 1, 2, 7] = float("nan")
    probes, given = probes_of(tmp_path), Probe(image)
    pixels = np.asarray(Image.open(probes.store.folder / f"probes/{drawn(probes, given)}-0.png"))
    assert pixels[2, 7].tolist() == [255, 0, 255]
    assert pixels[2, 6].tolist() == [128, 128, 128]


def test_without_a_store_nothing_is_saved():
    probes = Probes(None)
    probes.capture(None, FIRST)
    assert drawn(probes) is None


def test_equal_images_have_one_hash_in_every_run(tmp_path):
    keys = []
    for run in ("a", "b"):
        probes = probes_of(tmp_path / run)
        probes.capture(None, (FIRST if run == "a" else FIRST.clone(), LABELS))
        keys.append(drawn(probes))
    other = probes_of(tmp_path / "c")
    other.capture(None, (SECOND, LABELS))
    assert keys[0] == keys[1] != drawn(other)


@pytest.mark.parametrize("checkpoint", ["last.ckpt", "checkpoints/last.ckpt"])
@pytest.mark.parametrize("resumed", ["run", "other"])
def test_a_resumed_run_goes_on_with_the_probe_it_had(tmp_path, checkpoint, resumed):
    probes = probes_of(tmp_path / "run")
    probes.capture(None, (FIRST, LABELS))
    key = drawn(probes)
    given = Probe(class_names=["cat", "dog"])
    again = probes_of(tmp_path / resumed, tmp_path / "run" / checkpoint)
    again.capture(given, (SECOND, LABELS))
    assert torch.equal(again.of(given).images, FIRST[:8])
    assert again.of(given).labels.tolist() == list(range(8))
    assert again.of(given).class_names == ["cat", "dog"]
    assert drawn(again, given) == key


def test_a_run_that_is_no_resume_has_its_own_probe(tmp_path):
    probes = probes_of(tmp_path / "a")
    probes.capture(None, FIRST)
    drawn(probes)
    other = probes_of(tmp_path / "b")
    other.capture(None, SECOND)
    assert torch.equal(other.of(None).images, SECOND[:8])


def test_other_indices_are_another_probe(tmp_path):
    probes, given = probes_of(tmp_path), Probe(indices=[1, 2])
    probes.capture(given, FIRST)
    drawn(probes, given)
    again, other, same = probes_of(tmp_path, tmp_path / "last.ckpt"), Probe(indices=[3]), Probe(indices=(1, 2))
    for config in (other, same):
        again.capture(config, SECOND)
    assert torch.equal(again.of(other).images, SECOND[[3]])
    assert torch.equal(again.of(same).images, FIRST[[1, 2]])


def test_what_another_probe_of_the_same_fit_saved_is_not_taken(tmp_path):
    left, right = (Probe(batch_fn=lambda views, view=view: (views[view], None)) for view in (0, 1))
    probes = probes_of(tmp_path)
    for given in (left, right):
        probes.capture(given, (FIRST, SECOND))
        drawn(probes, given)
    assert torch.equal(probes.of(right).images, SECOND[:8])


def test_a_new_run_in_the_same_folder_captures_its_own(tmp_path):
    probes = probes_of(tmp_path)
    probes.capture(None, FIRST)
    drawn(probes)
    fresh = probes_of(tmp_path)
    fresh.capture(None, SECOND)
    assert torch.equal(fresh.of(None).images, SECOND[:8])


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: b"hello", lambda content: content[:-40]])
def test_a_damaged_saved_probe_is_said_and_another_is_captured(tmp_path, caplog, damage):
    probes = probes_of(tmp_path)
    probes.capture(None, FIRST)
    path = probes.store.folder / "probes" / f"captured-{drawn(probes)}.npz"
    path.write_bytes(damage(path.read_bytes()))
    again = probes_of(tmp_path, tmp_path / "last.ckpt")
    with caplog.at_level(logging.WARNING, "lightning_viz"):
        again.capture(None, SECOND)
    assert f"the saved probe {path} can't be read" in caplog.text
    assert torch.equal(again.of(None).images, SECOND[:8])
