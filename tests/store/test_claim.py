"""One fit writes a store: the others know, whatever became of those before."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_viz.store import claim

HOLDS = """
import os, subprocess, sys
from pathlib import Path
from lightning_viz.store import claim
held = claim(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    import time
    time.sleep(60)  # as a worker of a loader that outlives its parent for a while
print(held is not None, child, flush=True)
sys.stdin.read()
"""


def another(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    held, child = process.stdout.readline().split()
    assert held == "True"
    return process, int(child)


def test_a_store_is_claimed_once_until_it_is_let_go(tmp_path):
    first = claim(tmp_path / "store")
    assert claim(tmp_path / "store") is None
    assert claim(tmp_path / "other/../store") is None
    assert claim(tmp_path / "another") is not None
    first.close()
    again = claim(tmp_path / "store")
    assert again is not None
    del again  # a fit of which nobody heard the end
    assert claim(tmp_path / "store") is not None


def test_another_process_is_noticed_and_a_killed_one_is_not_in_the_way(tmp_path):
    process, child = another(tmp_path)
    assert claim(tmp_path) is None
    assert claim(tmp_path) is None
    process.kill()
    process.wait()
    try:
        os.kill(child, 0)  # its worker lives
        held = claim(tmp_path)
        assert held is not None
        held.close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_process_that_asks_in_vain_leaves_the_claim_alone(tmp_path):
    held = claim(tmp_path)
    assert claim(tmp_path) is None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(is_free, (tmp_path,)) is False
        held.close()
        assert pool.apply(is_free, (tmp_path,)) is True


def is_free(folder: Path) -> bool:
    return claim(folder) is not None


def test_it_does_not_wait(tmp_path):
    process, child = another(tmp_path)
    begun = time.monotonic()
    assert claim(tmp_path) is None
    assert time.monotonic() - begun < 1
    os.kill(child, signal.SIGKILL)
    process.communicate("")


def test_without_locks_nobody_can_tell(tmp_path, monkeypatch):
    def no_locks(file: object, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    assert claim(tmp_path) is not None


def test_a_file_in_the_place_of_the_store_is_an_os_error(tmp_path):
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        claim(tmp_path / "store")
