from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import contents, fit, store_of
from helpers.data import CleanImages
from PIL import Image

from lightning_viz import Context, Drawing, Probe, VizCallback


class ProbeMeans(VizCallback):
    """Needs images; remembers which."""

    seen: list[torch.Tensor]

    def draw(self, context: Context) -> Iterator[Drawing]:
        images = context.probe.images
        self.seen = [*getattr(self, "seen", []), images.clone()]
        context.model(images)
        yield Drawing("net.0", scalars={"mean": images.mean()})


class BatchSpy(ProbeMeans):
    """Writes down the first batch of each kind that the Trainer's loaders gave."""

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *rest: Any) -> None:
        self.first_val = getattr(self, "first_val", batch[0].clone())
        super().on_validation_batch_start(trainer, pl_module, batch, *rest)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.first_train = getattr(self, "first_train", batch[0].clone())
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)


def saved_probe(trainer: Any) -> set[str]:
    return {path.name for path in (store_of(trainer) / "probes").iterdir()}


def test_the_probe_is_the_first_validation_batch(tmp_path: Path) -> None:
    spy = BatchSpy(on_error="raise")
    fit("pytorch_lightning", tmp_path, spy)
    assert len(spy.seen) == 3
    assert all(torch.equal(images, spy.first_val) for images in spy.seen)


@pytest.mark.parametrize("options", [{"num_sanity_val_steps": 0}, {"limit_val_batches": 0}])
def test_without_a_sanity_check_it_is_the_first_training_batch(options: dict[str, int], tmp_path: Path) -> None:
    spy = BatchSpy(on_error="raise")
    fit("pytorch_lightning", tmp_path, spy, **options)
    assert len(spy.seen) == 3
    assert all(torch.equal(images, spy.first_train) for images in spy.seen)


def test_callbacks_without_a_probe_share_one(tmp_path: Path) -> None:
    both = [ProbeMeans(on_error="raise"), ProbeMeans(every_n_epochs=2, on_error="raise")]
    trainer = fit("pytorch_lightning", tmp_path, both)
    assert torch.equal(both[0].seen[0], both[1].seen[0])
    (key,) = {record.probe for record in contents(trainer).records}
    assert saved_probe(trainer) == {f"captured-{key}.npz", *(f"{key}-{number}.png" for number in range(4))}


@pytest.mark.parametrize("version", ["the same folder", "a new folder"])
def test_a_captured_probe_is_kept_across_a_resume(version: str, tmp_path: Path) -> None:
    loggers, callbacks = import_module("pytorch_lightning.loggers"), import_module("pytorch_lightning.callbacks")

    def options() -> dict[str, Any]:
        name = "run" if version == "the same folder" else None
        return {
            "logger": loggers.TensorBoardLogger(tmp_path, version=name),
            "enable_checkpointing": True,
            "max_epochs": 3,
        }

    first, second = ProbeMeans(on_error="raise"), ProbeMeans(on_error="raise")
    saving = callbacks.ModelCheckpoint(every_n_train_steps=4, save_top_k=-1)
    interrupted = fit("pytorch_lightning", tmp_path, [first, saving], **options(), max_steps=8)
    (saved,) = Path(interrupted.log_dir).glob("checkpoints/*step=4.ckpt")
    resumed = fit("pytorch_lightning", tmp_path, second, ckpt_path=str(saved), **options())
    assert len(second.seen) == 3
    assert all(torch.equal(images, first.seen[0]) for images in second.seen)
    hashes = {record.probe for run in (interrupted, resumed) for record in contents(run).records}
    assert len(hashes) == 1


def test_an_explicit_probe_is_used_as_it_is_and_kept_in_the_store(tmp_path: Path) -> None:
    images = torch.rand(2, 3, 12, 20)
    watching = ProbeMeans(probe=Probe(images), on_error="raise")
    trainer = fit("pytorch_lightning", tmp_path, watching, precision="bf16-true")
    assert watching.seen[0].dtype == torch.bfloat16
    assert torch.equal(watching.seen[0], images.bfloat16())
    (key,) = {record.probe for record in contents(trainer).records}
    assert saved_probe(trainer) == {f"given-{key}.npz", f"{key}-0.png", f"{key}-1.png"}
    for number, image in enumerate(images):
        png = Image.open(store_of(trainer) / f"probes/{key}-{number}.png")
        assert np.array_equal(np.asarray(png), np.floor(image.permute(1, 2, 0).numpy() * 255 + 0.5))


def test_a_probe_of_a_dataset_is_read_before_training(tmp_path: Path) -> None:
    data = CleanImages()
    watching = ProbeMeans(probe=Probe(dataset=data, indices=[3, 1]), on_error="raise")
    fit("pytorch_lightning", tmp_path, watching)
    assert torch.equal(watching.seen[0], data.images[[3, 1]])


def test_a_method_that_needs_no_images_names_no_probe(tmp_path: Path) -> None:
    from lightning_viz import FilterImages

    trainer = fit("pytorch_lightning", tmp_path, FilterImages(on_error="raise"))
    assert {record.probe for record in contents(trainer).records} == {None}
    assert not (store_of(trainer) / "probes").exists()


def test_a_batch_without_images_is_a_clear_error_only_for_those_who_need_them(tmp_path: Path) -> None:
    watching = ProbeMeans(probe=Probe(batch_fn=lambda batch: batch[1]))
    records = contents(fit("pytorch_lightning", tmp_path, watching)).records
    assert all("the first batch could not be used" in record.error for record in records)
    assert all("batch_fn must return (images" in record.error for record in records)


def test_a_run_that_starts_anew_in_the_same_folder_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    logger = import_module("pytorch_lightning.loggers").TensorBoardLogger
    for epochs in (4, 2):
        watching = ProbeMeans(on_error="raise")
        trainer = fit("pytorch_lightning", tmp_path, watching, logger=logger(tmp_path, version=0), max_epochs=epochs)
    assert [record.epoch for record in contents(trainer).records] == [0, 1, 2]


def test_scalars_reach_the_loggers_and_the_record(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = fit("pytorch_lightning", tmp_path, ProbeMeans(on_error="raise"))
    events = EventAccumulator(trainer.log_dir)
    events.Reload()
    logged = [(event.step, event.value) for event in events.Scalars("viz/probe_means/net.0/mean")]
    kept = [(record.step, pytest.approx(record.scalars["mean"])) for record in contents(trainer).records]
    assert logged == kept
    assert len(kept) == 3


def test_a_callback_that_joins_at_the_end_of_an_epoch_draws_that_epoch(tmp_path: Path) -> None:
    from pytorch_lightning import Callback

    from lightning_viz import FilterImages

    class Invites(Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking and trainer.current_epoch == 0:
                trainer.callbacks.append(FilterImages(on_error="raise"))

    trainer = fit("pytorch_lightning", tmp_path, Invites())
    assert [record.batches for record in contents(trainer).records] == [6, 12]
