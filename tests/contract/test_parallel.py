"""G12: where processes share the weights too, nothing is drawn, and a fit ends as without us: nobody waits for ever."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contract.harness import all_callbacks, check_drawn
from contract.parallel_run import Together

from lightning_viz.store import Record, read_store

SCRIPT = Path(__file__).with_name("parallel_run.py")

SHARDED = {
    "root": "the model (FSDPModule)",
    "again": "the model (FSDPModule)",
    "part": '"net" (FSDPModule)',
    "tensor": '"net.10.weight"',
}
"""What is sharded in each of the ways."""
WHOLE = ("static", "compiled")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parallel")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    cases = [f"{way}-{watched}" for way in (*SHARDED, *WHOLE) for watched in ("alone", "watched")]
    # Lightning traps SIGTERM: only KILL ends a hanging job.
    command = ["timeout", "-s", "KILL", "200", sys.executable, SCRIPT, folder, *cases, "root-raising"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "said.txt").write_text(done.stderr)
    return folder


def _records(folder: Path) -> list[Record]:
    return read_store(str(folder / "run/plugins/lightning_viz")).records


@pytest.mark.parametrize("way", [*SHARDED, *WHOLE])
def test_both_ranks_train_as_without_a_callback(runs: Path, way: str) -> None:
    alone, watched = (
        [torch.load(path) for path in sorted((runs / f"{way}-{case}").glob("rank-*.pt"))]
        for case in ("alone", "watched")
    )
    assert not list((runs / f"{way}-watched").glob("ended-*"))
    assert len(alone) == len(watched) == 2
    for one, other in zip(alone, watched, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert torch.equal(one["net.0.weight"], alone[0]["net.0.weight"])


@pytest.mark.parametrize("way", SHARDED)
def test_what_is_sharded_is_not_drawn_and_each_callback_says_so_once(runs: Path, way: str) -> None:
    said = {(one.method, one.batches): one.error for one in _records(runs / f"{way}-watched")}
    assert set(said) == {(callback.method, 0) for callback in (*all_callbacks(), Together)}
    assert len(_records(runs / f"{way}-watched")) == len(said)
    (reason,) = set(said.values())
    assert reason is not None
    assert reason.startswith(f"RuntimeError: the weights of {SHARDED[way]} are sharded over processes")
    assert "drawings(model)" in reason


def test_all_callbacks_of_a_run_warn_once(runs: Path) -> None:
    assert (runs / "said.txt").read_text().count("lightning_viz could not") == len(SHARDED)


def test_on_error_raise_ends_all_processes_before_the_first_batch(runs: Path) -> None:
    for rank in (0, 1):
        assert "sharded over processes" in (runs / f"root-raising/ended-{rank}").read_text()


@pytest.mark.parametrize("way", WHOLE)
def test_what_every_process_has_whole_is_drawn(runs: Path, way: str) -> None:
    check_drawn(_records(runs / f"{way}-watched"), [0, 3], [*all_callbacks(), Together])
