"""G7, G12: two processes end, are not changed, and rank 0 draws the network that all of them train."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.harness import all_callbacks, check_drawn
from helpers.data import CleanImages

from lightning_viz.store import read_store, read_values

SCRIPT = Path(__file__).with_name("ddp_run.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    cases = ("alone-2", "watched-2", "failing-2", "watched-1")
    # Lightning traps SIGTERM: only KILL ends a hanging job.
    command = ["timeout", "-s", "KILL", "180", sys.executable, SCRIPT, folder, *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def _states(folder: Path) -> list[dict[str, torch.Tensor]]:
    return [torch.load(path) for path in sorted(folder.glob("rank-*.pt"))]


@pytest.mark.parametrize("case", ["watched", "failing"])
def test_both_ranks_train_as_without_a_callback(runs: Path, case: str) -> None:
    alone, watched = _states(runs / "alone-2"), _states(runs / f"{case}-2")
    assert len(alone) == len(watched) == 2
    for one, other in zip(alone, watched, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_failure_on_rank_0_is_marked_in_the_store_and_costs_the_others_nothing(runs: Path) -> None:
    records = read_store(str(runs / "failing-2/run/plugins/lightning_viz")).records
    assert [record.error for record in records if record.error] == ["ArithmeticError: rank 0 only"] * 3
    check_drawn([record for record in records if not record.error], [0, 3, 6], all_callbacks())


@pytest.mark.parametrize("processes", [1, 2])
def test_rank_0_draws_the_network_that_is_trained(runs: Path, processes: int) -> None:
    store = runs / f"watched-{processes}/run/plugins/lightning_viz"
    (state,) = _states(runs / f"watched-{processes}")[:1]
    records = [record for record in read_store(str(store)).records if record.method == "filters"]
    assert [record.epoch for record in records] == [0, 1, 2]
    (values,) = [item for item in records[-1].items if item.kind == "values"]
    assert np.array_equal(read_values((store / values.file).read_bytes()), state["net.0.weight"].numpy())


def test_the_untrained_pictures_of_given_images_do_not_depend_on_the_number_of_processes(runs: Path) -> None:
    drawn = []
    for processes in (1, 2):
        store = runs / f"watched-{processes}/run/plugins/lightning_viz"
        untrained = [record for record in read_store(str(store)).records if record.batches == 0]
        assert {record.method for record in untrained} == {
            name for callback in all_callbacks() for name in (callback.method, f"{callback.method}_given")
        }
        drawn.append(
            {
                (*record.identity, item.name): (store / item.file).read_bytes()
                for record in untrained
                if record.method.endswith("_given")
                for item in record.items
            }
        )
    assert drawn[0].keys() == drawn[1].keys()
    assert {name for name in drawn[0] if drawn[0][name] != drawn[1][name]} == set()


@pytest.mark.parametrize(("processes", "first"), [(1, [0, 1, 2, 3]), (2, [0, 2, 4, 6])])
def test_the_captured_images_are_those_that_rank_0_saw_first(runs: Path, processes: int, first: list[int]) -> None:
    (saved,) = (runs / f"watched-{processes}/run/plugins/lightning_viz/probes").glob("captured-*.npz")
    with np.load(saved) as arrays:
        assert np.array_equal(arrays["images"], CleanImages().images[first].numpy())
        assert arrays["labels"].tolist() == [index % 3 for index in first]
