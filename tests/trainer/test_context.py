"""What a visualisation asks for, and what it gets where there are no data that suit."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from contract.harness import contents, fit
from helpers.data import CleanImages
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

from lightning_viz import Context, Drawing, Needs, VizCallback
from lightning_viz.data.reading import UnsuitableDataError

PROCESSES = """
import sys
from datetime import timedelta
import torch
from contract.harness import make_trainer, module_class
from helpers.data import CleanImages, seed
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader
from trainer.test_context import Notes

torch.set_num_threads(1)
folder = sys.argv[1]
strategy = DDPStrategy(process_group_backend="gloo", start_method="fork", timeout=timedelta(seconds=40))
callbacks = [
    Notes(folder, "without", optional=True, name="without"),
    Notes(folder, "with", optional=True, data=CleanImages(), name="with"),
    Notes(folder, "behind", optional=True, name="behind"),
]
for one in callbacks:
    one.sharded = True
seed(0)
trainer = make_trainer("pytorch_lightning", folder, callbacks, devices=2, strategy=strategy)
trainer.fit(module_class("pytorch_lightning")(), DataLoader(CleanImages(), batch_size=4))
"""


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(CleanImages())


class Notes(VizCallback):
    """Notes down, in each process, when it was asked what it needs, what it collected and what it drew from."""

    uses_probe = False

    def __init__(self, folder: Path | str, title: str, *, optional: bool, data: Any = None, **arguments: Any) -> None:
        super().__init__(on_error="raise", **arguments)
        self.folder, self.title, self.optional, self.data = Path(folder), title, optional, data

    def needs(self, context: Context) -> Needs:
        self._note("needs", context.is_last)
        return Needs(["net.0"], self.data, max_images=5, is_optional=self.optional)

    def collect(self, context: Context) -> int:
        self._note("collects", len(context.data))
        return len(context.data)

    def draw(self, context: Context) -> Iterator[Drawing]:
        assert sum(len(images) for images, _ in context.data) == len(context.data)
        self._note("draws", [context.layers, context.data.indices, context.collected])
        yield Drawing("net.0", scalars={"items": float(sum(context.collected))})

    def _note(self, *what: Any) -> None:
        with (self.folder / f"{self.title}-{dist.get_rank() if dist.is_initialized() else 0}.jsonl").open("a") as file:
            file.write(json.dumps(what) + "\n")


def notes(folder: Path, title: str, rank: int = 0) -> list[Any]:
    return [json.loads(line) for line in (folder / f"{title}-{rank}.jsonl").read_text().splitlines()]


UNSUITABLE = {"none": None, "empty": TensorDataset(torch.empty(0, 3, 12, 20)), "a stream": Stream(), "no data": 7}


@pytest.mark.parametrize("case", UNSUITABLE)
def test_what_can_do_without_data_draws_without(case: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    Notes(tmp_path, "optional", optional=True).drawings(model, data=UNSUITABLE[case])
    assert notes(tmp_path, "optional") == [["needs", False], ["draws", [["net.0"], [], []]]]
    with pytest.raises(UnsuitableDataError):
        Notes(tmp_path, "needed", optional=False).drawings(model, data=UNSUITABLE[case])
    assert notes(tmp_path, "needed") == [["needs", False]]


def test_where_nothing_was_collected_stands_an_empty_tuple(tmp_path: Path) -> None:
    class Compares(Notes):
        def draw(self, context: Context) -> Iterator[Drawing]:
            assert context.collected == ()
            yield from super().draw(context)

    assert len(Compares(tmp_path, "optional", optional=True).drawings(nn.Sequential(nn.Conv2d(3, 4, 3)))) == 1


def test_data_that_suit_are_looked_at_though_it_could_do_without(tmp_path: Path) -> None:
    drawn = []
    for optional in (True, False):
        notebook = Notes(tmp_path, str(optional), optional=optional)
        drawn += notebook.drawings(nn.Sequential(nn.Conv2d(3, 4, 3)), data=CleanImages())
    assert notes(tmp_path, "True") == notes(tmp_path, "False")
    assert notes(tmp_path, "True")[1:] == [["collects", 5], ["draws", [["net.0"], [0, 6, 12, 17, 23], [5]]]]
    assert [drawing.scalars for drawing in drawn] == [{"items": 5.0}] * 2


def test_other_errors_are_not_taken_for_missing_data(tmp_path: Path) -> None:
    class Broken(CleanImages):
        def __len__(self) -> int:
            raise ArithmeticError("no length")

    with pytest.raises(ArithmeticError, match="no length"):
        Notes(tmp_path, "broken", optional=True).drawings(nn.Sequential(nn.Conv2d(3, 4, 3)), data=Broken())


def test_a_trainer_without_validation_draws_what_can_do_without(tmp_path: Path) -> None:
    trainer = fit("pytorch_lightning", tmp_path, Notes(tmp_path, "one", optional=True), limit_val_batches=0)
    assert [(record.batches, record.error) for record in contents(trainer).records] == [
        (0, None),
        (6, None),
        (12, None),
    ]
    assert not [note for note in notes(tmp_path, "one") if note[0] == "collects"]


def test_processes_agree_that_there_are_no_data_and_where_training_ends(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["timeout", "-s", "KILL", "150", sys.executable, "-c", PROCESSES, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    # Asked before the first batch to check, then for each of three drawings; of the last it is known that it is.
    asked = [["needs", is_last] for is_last in (False, False, False, True)]
    for rank in range(2):
        said = {title: notes(tmp_path, title, rank) for title in ("without", "with", "behind")}
        assert all([note for note in said[title] if note[0] == "needs"] == asked for title in said)
        assert [note for note in said["with"] if note[0] == "collects"] == [["collects", 3 - rank]] * 3
        assert not [note for title in ("without", "behind") for note in said[title] if note[0] == "collects"]
    drawn = [note for title in ("without", "behind") for note in notes(tmp_path, title) if note[0] == "draws"]
    assert drawn == [["draws", [["net.0"], [], []]]] * 6
    assert [note[1][2] for note in notes(tmp_path, "with") if note[0] == "draws"] == [[3, 2]] * 3
