"""Two jobs that were given one log folder: neither loses a record, and each has the numbers of its own network."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import fit
from plugin.harness import Tab

from lightning_viz import Context, Drawing, FilterImages, VizCallback
from lightning_viz.store import read_store, read_values

SAID = "another job writes records"


class Waits(VizCallback):
    """Lets two jobs train at the same time; fills the first layer with a number of the job's own."""

    def __init__(self, barrier: Any, value: float) -> None:
        super().__init__(epochs=[])
        self._barrier, self._value = barrier, value

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        with torch.no_grad():
            pl_module.net[0].weight.fill_(self._value)
        pl_module.net[0].weight.requires_grad_(False)
        self._barrier.wait()

    def draw(self, context: Context) -> Iterator[Drawing]:
        yield from ()


def job(folder: Path, value: float, barrier: Any, logger: str = "CSVLogger") -> None:
    made = getattr(import_module("pytorch_lightning.loggers"), logger)(folder, "sweep", "same")
    fit("pytorch_lightning", folder, [Waits(barrier, value), FilterImages(on_error="raise")], logger=made)


def weights_of(store: Path) -> list[set[float]]:
    """What lies in the values of each record: after the first drawing, one number."""
    records = read_store(str(store)).records
    values = [read_values((store / record.items[-1].file).read_bytes()) for record in records]
    return [set(one.ravel().tolist()) for one in values]


def stores_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("plugins/lightning_viz"))


@pytest.mark.parametrize("logger", ["CSVLogger", "TensorBoardLogger"])
def test_the_records_of_both_are_there_and_in_the_tab(logger: str, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(2, timeout=60)
    jobs = [fork.Process(target=job, args=(tmp_path, value, barrier, logger)) for value in (1.0, 2.0)]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join(120)
    assert [one.exitcode for one in jobs] == [0, 0]
    stores = stores_in(tmp_path)
    assert len(stores) == 2
    assert sorted(weights_of(store)[-1].pop() for store in stores) == [1.0, 2.0]
    for store in stores:
        assert len({frozenset(one) for one in weights_of(store)}) == 1
        contents = read_store(str(store))
        assert ([record.batches for record in contents.records], contents.skipped) == ([0, 6, 12], {})
        assert len({record.writer for record in contents.records}) == 1
        assert contents.run["model"] == "Net"
    tab = Tab(tmp_path)
    runs = {str(store.parents[1].relative_to(tmp_path)): store for store in stores}
    assert {run["run"] for run in tab.json("runs")["runs"]} == runs.keys()
    for run, store in runs.items():
        (own,) = weights_of(store)[-1]
        for record in tab.json("records", run=run)["records"]:
            assert (read_values(tab.get("blob", run=run, seq=record["seq"], item=1).data) == own).all()


def test_two_trainers_of_one_process_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Nested(Waits):
        """Trains another network while this one trains, as a search inside a callback does."""

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_start(trainer, pl_module)
            job(tmp_path, 2.0, threading.Barrier(1), "TensorBoardLogger")

    with caplog.at_level(logging.WARNING, "lightning_viz"):
        logger = import_module("pytorch_lightning.loggers").TensorBoardLogger(tmp_path, "sweep", "same")
        callbacks = [Nested(threading.Barrier(1), 1.0), FilterImages(on_error="raise")]
        fit("pytorch_lightning", tmp_path, callbacks, logger=logger)
    assert caplog.text.count(SAID) == 1
    assert [weights_of(store) for store in stores_in(tmp_path)] == [[{2.0}] * 3, [{1.0}] * 3]


@pytest.mark.parametrize("end", ["finished", "failed", "killed"])
def test_a_run_that_goes_on_after_its_end_is_one_run(
    end: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loggers, callbacks = import_module("pytorch_lightning.loggers"), import_module("pytorch_lightning.callbacks")

    class Ends(callbacks.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 2 and end == "killed":
                os.kill(os.getpid(), 9)
            if trainer.current_epoch == 2 and end == "failed":
                raise RuntimeError("out of memory")

    def train(*more: Any, **options: Any) -> Any:
        saving = callbacks.ModelCheckpoint(tmp_path / "saved", save_last=True)
        logger = loggers.CSVLogger(tmp_path, "run", "same")
        made = [FilterImages(on_error="raise"), saving, *more]
        return fit("pytorch_lightning", tmp_path, made, logger=logger, enable_checkpointing=True, **options)

    first = multiprocessing.get_context("fork").Process(target=train, args=(Ends(),), kwargs={"max_epochs": 3})
    if end == "killed":
        first.start()
        first.join(120)
        assert first.exitcode == -9
    elif end == "failed":
        with pytest.raises(RuntimeError, match="out of memory"):
            train(Ends(), max_epochs=3)
    else:
        train(max_epochs=2)
    trainer = train(max_epochs=4, ckpt_path=str(tmp_path / "saved/last.ckpt"))
    (store,) = stores_in(tmp_path)
    assert [record.epoch for record in read_store(str(store)).records] == [0, 1, 2, 3, 4]
    assert SAID not in caplog.text
    last = read_store(str(store)).records[-1]
    kept = read_values((store / last.items[-1].file).read_bytes())
    assert np.array_equal(kept, trainer.lightning_module.net[0].weight.detach().numpy())
