"""G12: processes that look at data together find what one finds, and none waits for another that does not come."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.sharded_run import TIMEOUT

from lightning_viz.store import Record, read_store, read_values

SCRIPT = Path(__file__).with_name("sharded_run.py")


def run(folder: Path, *cases: str) -> Path:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # Lightning traps SIGTERM: only KILL ends a hanging job.
    command = ["timeout", "-s", "KILL", "280", sys.executable, SCRIPT, folder, *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = (
        "alone",
        "tables",
        "drifting",
        "one",
        "failing",
        "unlendable",
        "raising",
        "schedules",
        "resumed",
        "owing",
        "owing_nothing",
        "stopping",
    )
    names = [f"{case}-2" for case in (*cases, "exception")]
    return run(tmp_path_factory.mktemp("sharded"), *names, "tables-1")


def _records(folder: Path) -> list[Record]:
    return read_store(str(folder / "run/plugins/lightning_viz")).records


def _tables(folder: Path) -> dict[tuple[str, str, float], dict[str, np.ndarray]]:
    store = folder / "run/plugins/lightning_viz"
    assert [record.error for record in _records(folder) if record.error] == []
    return {
        (record.method, record.layer, record.epoch): {
            item.name: read_values((store / item.file).read_bytes()) for item in record.items if item.kind == "values"
        }
        for record in _records(folder)
    }


def _compare(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    for name in ("image_ids", "positions", "boxes"):
        assert np.array_equal(ours[name], theirs[name]), name
    # In batches of other images one convolution rounds otherwise.
    np.testing.assert_allclose(ours["values"], theirs["values"], rtol=1e-6, atol=1e-7)


def test_two_processes_find_what_one_finds(runs: Path) -> None:
    ours, theirs = (_tables(runs / f"tables-{processes}") for processes in (2, 1))
    methods = {"every_image", "seven_images", "more_than_there_are"}
    expected = {(method, layer, epoch) for method in methods for layer in ("net.0", "net.7") for epoch in (0, 1, 2)}
    assert set(ours) == set(theirs) == expected | {("evolution_of_one_layer", "net.3", epoch) for epoch in (0, 1, 2)}
    for drawing, found in ours.items():
        _compare(found, theirs[drawing])
        # Both processes have a part in it.
        assert {*(found["image_ids"].astype(int) % 2).flatten()} == {0, 1}, drawing
    assert (ours["more_than_there_are", "net.7", 2]["image_ids"] == -1).sum() == 4 * 6


def test_the_network_is_that_of_the_first_process_also_in_the_middle_of_an_epoch(runs: Path) -> None:
    found = _tables(runs / "drifting-2")
    compared = 0
    for (method, layer, epoch), table in found.items():
        if method == "shares":
            _compare(table, found["whole", layer, epoch])
            compared += 1
    assert compared == 2 * 7


def test_more_processes_than_images(runs: Path) -> None:
    found = _tables(runs / "one-2")
    assert {(layer, epoch) for _, layer, epoch in found} == {
        (layer, epoch) for layer in ("net.0", "net.7") for epoch in (0, 1, 2)
    }
    assert all((table["image_ids"][:, 0] == 0).all() for table in found.values())


@pytest.mark.parametrize("case", ["failing", "drifting", "schedules"])
def test_both_ranks_train_as_without_a_callback(runs: Path, case: str) -> None:
    alone, watched = (
        [torch.load(path) for path in sorted((runs / f"{name}-2").glob("rank-*.pt"))] for name in ("alone", case)
    )
    assert len(alone) == len(watched) == 2
    for one, other in zip(alone, watched, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("method", "rank"), [("first", 0), ("second", 1)])
def test_a_failure_in_one_process_is_recorded_and_costs_the_others_nothing(runs: Path, method: str, rank: int) -> None:
    records = _records(runs / "failing-2")
    failed = [(record.batches, record.error) for record in records if record.method == method]
    reason = f"RuntimeError: process {rank}: ArithmeticError: image {rank} is broken"
    assert failed == [(batches, reason) for batches in (0, 3, 6)]
    healthy = {(record.layer, record.batches, record.error) for record in records if record.method == "healthy"}
    assert healthy == {(layer, batches, None) for layer in ("net.0", "net.7") for batches in (0, 3, 6)}


def test_a_model_that_one_process_can_not_lend_keeps_no_other_waiting(runs: Path) -> None:
    folder = runs / "unlendable-2"
    assert not (folder / "ended").exists()
    assert float((folder / "seconds").read_text()) < TIMEOUT
    errors = {record.batches: record.error for record in _records(folder)}
    assert list(errors) == [0, 3, 6]
    assert all("process 1: RuntimeError: isolated: " in error and "bank" in error for error in errors.values())


def test_on_error_raise_ends_all_processes_at_once(runs: Path) -> None:
    folder = runs / "raising-2"
    assert "process 1: ArithmeticError: image 1 is broken" in (folder / "ended").read_text()
    assert float((folder / "seconds").read_text()) < TIMEOUT
    assert not list(folder.glob("began-*"))
    assert (runs / "failing-2/began-1").exists()


PARTS: dict[str, dict[str, list[int]]] = {
    "schedules": {"steps": [0, 2, 4, 6], "epochs": [0, 3, 6], "last": [0, 6], "default": [0, 3, 6]},
    "resumed": {"steps": [4, 6], "epochs": [3, 6], "last": [6], "default": [3, 6]},
    "owing": {"steps": [4, 6], "epochs": [3, 6], "last": [6], "default": [3, 6]},
    "owing_nothing": {"steps": [4, 6], "epochs": [6], "last": [6], "default": [6]},
    "stopping": {"steps": [0, 2, 4, 6], "epochs": [0, 3, 6], "last": [0, 6], "default": [0, 3, 6]},
    "exception": {"steps": [0, 2, 4], "epochs": [0, 3], "last": [0], "default": [0, 3]},
}


@pytest.mark.parametrize("case", PARTS)
def test_all_processes_take_part_at_the_same_moments(runs: Path, case: str) -> None:
    folder = runs / f"{case}-2"
    for rank in (0, 1):
        took_part = {
            name: [int(line) for line in (folder / f"{name}-{rank}.txt").read_text().split()] for name in PARTS[case]
        }
        assert took_part == PARTS[case]
    drawn = {name: sorted({one.batches for one in _records(folder) if one.method == name}) for name in PARTS[case]}
    assert drawn == PARTS["schedules" if case == "owing_nothing" else case]
    assert [record.error for record in _records(folder) if record.error] == []
    assert (folder / "ended").exists() == (case == "exception")
    assert float((folder / "seconds").read_text()) < TIMEOUT


def test_one_that_looks_alone_between_two_that_look_together_costs_no_process_its_turn(tmp_path: Path) -> None:
    folder = run(tmp_path / "cases", "mixed-2") / "mixed-2"
    assert not (folder / "ended").exists(), (folder / "ended").read_text()[-500:]
    drawn = {(record.method, record.batches) for record in _records(folder) if not record.error}
    assert drawn == {(method, batches) for method in ("before", "between", "behind") for batches in (0, 3, 6)}
