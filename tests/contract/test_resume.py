"""G6: wherever a run was cut off and goes on, its store holds what an unbroken run's holds: no epoch is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.harness import contents, fit, loaders, make_trainer, pictures, store_of
from contract.test_schedule import steady_class
from helpers.data import CleanImages
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from lightning_viz import FilterImages, GradCAM, Probe, VizCallback

IMAGES = CleanImages().images[5:7]


class DiedError(Exception):
    """Nothing of the run is left but its files."""


class Dies(Callback):
    """Ends the run in a hook, before any other callback has its turn there; saves a checkpoint if it is to."""

    def __init__(self, hook: str, batches: int, checkpoint: Path | None = None) -> None:
        def die(trainer: Any, *_: Any) -> None:
            if trainer.fit_loop.epoch_loop.batch_progress.total.processed == batches:
                if checkpoint is not None:
                    trainer.save_checkpoint(checkpoint)
                raise DiedError

        setattr(self, hook, die)


def _fit(folder: Path, callbacks: list[Any], version: str = "run", **options: Any) -> Any:
    logger = TensorBoardLogger(folder, version=version)
    return fit("pytorch_lightning", folder, callbacks, steady_class, **{"logger": logger, "max_epochs": 3, **options})


def _cut_off(folder: Path, watching: list[VizCallback], hook: str, batches: int, **options: Any) -> str:
    """Let a run die; give the checkpoint that it saved last."""
    checkpoint = folder / "lightning_logs/run/checkpoints/saved.ckpt"
    with pytest.raises(DiedError):
        _fit(folder, [Dies(hook, batches, checkpoint), *watching], **options)
    return str(checkpoint)


def _watching(**arguments: Any) -> list[VizCallback]:
    return [GradCAM(on_error="raise", **arguments), FilterImages(on_error="raise")]


def _drawn(trainer: Any) -> list[tuple[Any, ...]]:
    return [(*one.identity, one.epoch, one.step, one.probe, one.error) for one in contents(trainer).records]


CUTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "behind validation": ("on_validation_end", 6, {}),
    "behind the second validation": ("on_validation_end", 12, {}),
    "behind validation in the middle": ("on_validation_end", 3, {"val_check_interval": 0.5}),
    "behind the second validation of an epoch": ("on_validation_end", 6, {"val_check_interval": 0.5}),
    "in the middle of validation": ("on_validation_batch_end", 6, {}),
    "at the end of the epoch": ("on_train_epoch_end", 6, {}),
    "behind the last batch": ("on_train_batch_end", 6, {}),
    "behind another batch": ("on_train_batch_end", 4, {}),
    "without validation": ("on_train_epoch_end", 6, {"limit_val_batches": 0}),
    "accumulating": ("on_validation_end", 6, {"accumulate_grad_batches": 4}),
}


@pytest.mark.parametrize("cut", CUTS)
def test_no_epoch_is_lost(cut: str, tmp_path: Path) -> None:
    hook, batches, options = CUTS[cut]
    checkpoint = _cut_off(tmp_path, _watching(), hook, batches, **options)
    resumed = _fit(tmp_path, _watching(), ckpt_path=checkpoint, **options)
    straight = _fit(tmp_path / "straight", _watching(), **options)
    assert _drawn(resumed) == _drawn(straight)
    assert pictures(resumed) == pictures(straight)
    assert {one.batches for one in contents(straight).records} == {0, 6, 12, 18}


def test_every_callback_draws_what_it_draws_in_an_unbroken_run(every: list[type[VizCallback]], tmp_path: Path) -> None:
    def watching() -> list[VizCallback]:
        return [callback(on_error="raise") for callback in every]

    checkpoint = _cut_off(tmp_path, watching(), "on_validation_end", 6)
    resumed = _fit(tmp_path, watching(), ckpt_path=checkpoint)
    straight = _fit(tmp_path / "straight", watching())
    assert _drawn(resumed) == _drawn(straight)
    expected, drawn = pictures(straight), pictures(resumed)
    assert {identity for identity in expected if drawn[identity] != expected[identity]} == set()


PROBES: dict[str, Callable[[], Probe | None]] = {
    "captured": lambda: None,
    "of chosen indices": lambda: Probe(indices=[2, 1]),
    "images": lambda: Probe(IMAGES),
    "a data set": lambda: Probe(dataset=CleanImages(), indices=[4]),
}


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("version", ["run", "another"])
@pytest.mark.parametrize("probe", PROBES)
def test_the_epoch_that_is_finished_first_has_the_probe_of_the_run(
    probe: str, version: str, epochs: int, tmp_path: Path
) -> None:
    checkpoint = _cut_off(tmp_path, _watching(probe=PROBES[probe]()), "on_validation_end", 6)
    watching = _watching(probe=PROBES[probe]())
    resumed = _fit(tmp_path, watching, version, ckpt_path=checkpoint, max_epochs=epochs)
    straight = _fit(tmp_path / "straight", _watching(probe=PROBES[probe]()), max_epochs=epochs)
    drawn = {one for one in _drawn(straight) if version == "run" or one[2] > 0}
    assert set(_drawn(resumed)) == drawn
    assert {one[2] for one in drawn} >= {6, 6 * epochs}


def test_a_probe_that_nobody_saved_is_captured_before_the_epoch_is_drawn(tmp_path: Path) -> None:
    checkpoint = _cut_off(tmp_path, [], "on_validation_end", 6)
    resumed = _fit(tmp_path, _watching(), ckpt_path=checkpoint)
    cams = [one for one in contents(resumed).records if one.method == "grad_cam"]
    assert [(one.batches, one.epoch, one.step, one.error) for one in cams] == [
        (6, 1, 5, None), (12, 2, 11, None), (18, 3, 17, None),
    ]  # fmt: skip
    assert len({one.probe for one in cams}) == 1


def test_where_no_batch_comes_any_more_and_nobody_saved_a_probe_the_record_says_so(tmp_path: Path) -> None:
    checkpoint = _cut_off(tmp_path, [], "on_validation_end", 6)
    resumed = _fit(tmp_path, [GradCAM(), FilterImages()], ckpt_path=checkpoint, max_epochs=1)
    errors = {one.method: one.error for one in contents(resumed).records}
    assert errors["filters"] is None
    assert "it is captured when the first batch arrives" in str(errors["grad_cam"])


def test_the_last_checkpoint_of_lightning_saved_behind_validation(tmp_path: Path) -> None:
    def saving() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path / "checkpoints", save_last=True, save_on_train_epoch_end=False)

    options = {"enable_checkpointing": True}
    with pytest.raises(DiedError):
        _fit(tmp_path, [Dies("on_train_epoch_end", 12), *_watching(), saving()], **options)
    resumed = _fit(tmp_path, [*_watching(), saving()], ckpt_path="last", **options)
    straight = _fit(tmp_path / "straight", _watching())
    assert _drawn(resumed) == _drawn(straight)


@pytest.mark.parametrize("epochs", [3, 4])
def test_what_is_drawn_already_is_not_drawn_again(epochs: int, tmp_path: Path) -> None:
    watching = _watching()
    trainer = _fit(tmp_path, watching)
    trainer.save_checkpoint(tmp_path / "done.ckpt")
    before = _drawn(trainer)
    resumed = _fit(tmp_path, watching, ckpt_path=str(tmp_path / "done.ckpt"), max_epochs=epochs)
    assert [one for one in _drawn(resumed) if one[2] <= 18] == before
    assert max(one[2] for one in _drawn(resumed)) == 6 * epochs
    kept = {item.file for record in contents(resumed).records for item in record.items}
    assert {str(path.relative_to(store_of(resumed))) for path in store_of(resumed).glob("blobs/*")} == kept


def test_a_trainer_that_fits_once_more_goes_on(tmp_path: Path) -> None:
    trainer = _fit(tmp_path, _watching(), num_sanity_val_steps=0)
    (probe,) = {one.probe for one in contents(trainer).records} - {None}
    trainer.fit_loop.max_epochs = 4
    trainer.fit(trainer.lightning_module, **loaders())
    cams = [one for one in contents(trainer).records if one.method == "grad_cam"]
    assert [(one.batches, one.epoch, one.probe) for one in cams] == [(6 * n, n, probe) for n in range(5)]
    assert [path.name for path in store_of(trainer).glob("run*.json")] == ["run.json"]


def test_where_a_second_fit_begins_an_interrupted_epoch_anew_no_epoch_has_ended(tmp_path: Path) -> None:
    dies = Dies("on_train_batch_end", 8)
    trainer = make_trainer("pytorch_lightning", tmp_path, [dies, *_watching()], max_epochs=3)
    module = steady_class("pytorch_lightning")()
    with pytest.raises(DiedError):
        trainer.fit(module, **loaders())
    trainer.fit(module, **loaders())
    cams = [one for one in contents(trainer).records if one.method == "grad_cam"]
    assert [(one.batches, one.epoch) for one in cams] == [(0, 0), (6, 1), (14, 2), (20, 3)]
