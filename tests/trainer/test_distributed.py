import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from lightning_viz.trainer.distributed import all_gather_or_raise

PROCESS = """
import json, os, sys, time
from datetime import timedelta
import torch
import torch.distributed as dist
from lightning_viz.trainer.distributed import all_gather_or_raise

torch.set_num_threads(1)
ranks, folder = int(sys.argv[1]), sys.argv[2]
children = []
for rank in range(ranks):
    children.append(os.fork())  # copies have loaded torch
    if children[-1] == 0:
        break
else:
    sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)
store = f"file://{folder}/meeting"
dist.init_process_group("gloo", store, rank=rank, world_size=ranks, timeout=timedelta(seconds=40))
said = []

def say(work):
    try:
        said.append(all_gather_or_raise(work))
    except Exception as error:
        said.append([type(error).__name__, str(error), type(error.__cause__).__name__])

def fail_on(*failing):
    def work():
        if rank in failing:
            raise ArithmeticError(f"not here, {rank}")
        return rank
    return work

def late():
    time.sleep(0.3 * rank)
    return {"rank": rank, "sum": float(torch.full((2,), rank).sum())}

say(late)
say(fail_on(1))
say(fail_on(0))
say(fail_on(*range(ranks)))
say(fail_on())
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump(said, file)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[list[object]]:
    """What each of three processes got, one answer after the other."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["timeout", "-s", "KILL", "100", sys.executable, "-c", PROCESS, "3", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(3)]


def test_all_get_the_parts_of_all_in_their_order(said):
    parts = [{"rank": rank, "sum": 2.0 * rank} for rank in range(3)]
    assert [answers[0] for answers in said] == [parts] * 3


def test_all_hear_of_a_failure_and_the_one_that_failed_shows_where(said):
    message = "process 1: ArithmeticError: not here, 1"
    assert [answers[1][:2] for answers in said] == [["RuntimeError", message]] * 3
    assert [answers[1][2] for answers in said] == ["NoneType", "ArithmeticError", "NoneType"]
    message = "process 0: ArithmeticError: not here, 0"
    assert [answers[2][:2] for answers in said] == [["RuntimeError", message]] * 3
    assert [answers[2][2] for answers in said] == ["ArithmeticError", "NoneType", "NoneType"]


def test_where_all_fail_all_are_named(said):
    message = "; ".join(f"process {rank}: ArithmeticError: not here, {rank}" for rank in range(3))
    assert [answers[3] for answers in said] == [["RuntimeError", message, "ArithmeticError"]] * 3


def test_after_failures_they_go_on_together(said):
    assert [answers[4] for answers in said] == [[0, 1, 2]] * 3


def test_one_process_alone(tmp_path: Path):
    dist.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        assert all_gather_or_raise(lambda: [1, 2]) == [[1, 2]]
        with pytest.raises(RuntimeError, match="^process 0: ZeroDivisionError: division by zero$") as caught:
            all_gather_or_raise(lambda: 1 / 0)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    finally:
        dist.destroy_process_group()
