import numpy as np
import pytest
import torch
from contract.harness import contents, fit, loaders, make_trainer, module_class, pictures, store_of
from helpers.data import CleanImages
from helpers.drawings import only
from helpers.networks import convolutions
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor
from torch.utils.data import TensorDataset

from lightning_viz import FeatureEvolution, Probe, TopPatches
from lightning_viz.functional import top_patches
from lightning_viz.store import Record, read_store, read_values
from lightning_viz.trainer.schedule import LOG_SPACED

IMAGES = torch.rand(12, 3, 14, 22, generator=torch.Generator().manual_seed(3))
DATA = TensorDataset(IMAGES)


@pytest.mark.parametrize("layer", ["0", "2"])
def test_it_shows_the_strongest_patch_of_each_unit_and_keeps_all(layer):
    model = convolutions()
    evolution = only(FeatureEvolution(layers=layer, k=4, units=[3, 1]), model, data=DATA)
    patches = only(TopPatches(layers=layer, k=4, units=[3, 1]), model, data=DATA)
    table = top_patches(model, layer, IMAGES, k=4)[layer]
    for name, values in table._asdict().items():
        assert torch.equal(evolution.values[name], values)
    assert evolution.meta["k"] == 1
    assert patches.meta["k"] == 4
    height, width = evolution.meta["tile"]
    for ours, theirs in zip(evolution.pictures, patches.pictures, strict=True):
        assert ours.shape == (2 * (height + 1) - 1, width, 3)
        assert np.array_equal(ours, theirs[:, :width])
        assert len(np.unique(ours)) > 10


def test_overlap_is_of_all_k_and_settled_of_the_strongest():
    callback = FeatureEvolution(layers="2", k=4)
    before = only(callback, convolutions(seed=0), data=DATA)
    after = only(callback, convolutions(seed=1), data=DATA, before=[before])
    old, new = before.values["image_ids"].tolist(), after.values["image_ids"].tolist()
    shares = [len({*one} & {*other}) / 4 for one, other in zip(old, new, strict=True)]
    stayed = [one[0] == other[0] for one, other in zip(old, new, strict=True)]
    assert dict(before.scalars) == {}
    assert dict(after.scalars) == pytest.approx({"overlap": sum(shares) / 8, "settled": sum(stayed) / 8})
    assert 0 < sum(shares) / 8 < 1


def test_it_names_itself():
    assert FeatureEvolution.method == "evolution"
    assert FeatureEvolution().schedule.epochs == LOG_SPACED
    with pytest.raises(ValueError, match=r"^FeatureEvolution\(k=0\)"):
        FeatureEvolution(k=0)


def _table(trainer: object, record: Record) -> dict[str, np.ndarray]:
    files = {item.name: item.file for item in record.items if item.kind == "values"}
    return {name: read_values((store_of(trainer) / file).read_bytes()) for name, file in files.items()}


def test_beside_top_patches_each_draws_what_it_draws_alone(tmp_path):
    """They share what they find."""
    both = [
        FeatureEvolution(on_error="raise"),
        TopPatches(on_error="raise", k=2),
        TopPatches(on_error="raise"),
        TopPatches(on_error="raise", max_images=5),
    ]
    both[1].method, both[3].method = "two", "five"
    together = fit("pytorch_lightning", tmp_path / "together", both)
    drawn, tables = pictures(together), {r.identity: _table(together, r) for r in contents(together).records}
    assert len(drawn) == 4 * 2 * 3
    for number, callback in enumerate(both):
        alone = fit("pytorch_lightning", tmp_path / str(number), callback)
        for record in contents(alone).records:
            assert drawn[record.identity] == pictures(alone)[record.identity]
            table = _table(alone, record)
            assert all(np.array_equal(table[name], tables[record.identity][name]) for name in table)


def _flipped(batch: list[Tensor]) -> tuple[Tensor, None]:
    return -batch[0], None


def test_who_reads_the_images_otherwise_finds_its_own(tmp_path):
    both = [TopPatches(on_error="raise"), FeatureEvolution(probe=Probe(batch_fn=_flipped), on_error="raise")]
    together = fit("pytorch_lightning", tmp_path / "together", both, max_epochs=1)
    alone = fit("pytorch_lightning", tmp_path / "alone", both[1], max_epochs=1)
    found, expected = (
        {record.identity: _table(trainer, record)["values"] for record in contents(trainer).records}
        for trainer in (together, alone)
    )
    assert expected
    for identity, values in expected.items():
        assert np.array_equal(found[identity], values), identity


def test_one_that_draws_after_the_weights_were_averaged_looks_at_the_averaged_network(tmp_path):
    watching = [
        TopPatches(layers="net.0", epochs=[2], on_error="raise"),
        EMAWeightAveraging(decay=0.9),  # puts the averaged weights into the network when training ends
        FeatureEvolution(layers="net.0", epochs=[], on_error="raise"),
    ]
    trainer = fit("pytorch_lightning", tmp_path, watching)
    (last,) = (one for one in contents(trainer).records if (one.method, one.batches) == ("evolution", 12))
    expected = top_patches(trainer.lightning_module, "net.0", CleanImages(), k=9)["net.0"]
    np.testing.assert_allclose(_table(trainer, last)["values"], expected.values.numpy(), rtol=1e-6)


def test_a_trainer_that_goes_back_looks_anew(tmp_path):
    """To the middle of training, and on with another learning rate."""
    net = module_class("pytorch_lightning")
    watching = FeatureEvolution(layers="net.0", epochs=[2], on_error="raise")
    saving = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    trainer = make_trainer("pytorch_lightning", tmp_path, [watching, saving], enable_checkpointing=True, logger=False)
    data = loaders()
    trainer.fit(net(learning_rate=0.05), **data)
    saved = torch.load(tmp_path / "epoch=0.ckpt", weights_only=False)
    saved["state_dict"]["net.0.weight"].neg_()
    torch.save(saved, tmp_path / "changed.ckpt")
    trainer.fit(net(), **data, ckpt_path=tmp_path / "changed.ckpt")
    (folder,) = tmp_path.glob("lightning_viz/version_1/plugins/lightning_viz")
    (last,) = (one for one in read_store(str(folder)).records if one.batches == 12)
    (file,) = (item.file for item in last.items if item.name == "values")
    expected = top_patches(trainer.lightning_module, "net.0", CleanImages(), k=9)["net.0"]
    np.testing.assert_allclose(read_values((folder / file).read_bytes()), expected.values.numpy(), rtol=1e-6)
