import subprocess
import sys
from pathlib import Path

import pytest

from lightning_viz.cli.main import main
from lightning_viz.store import Record, Store, store_folder


def write(run: Path, *records: Record) -> Store:
    store = Store(store_folder(str(run)))
    for record in records:
        store.write(record)
    return store


def record(layer: str, epoch: float, error: str | None = None) -> Record:
    return Record("filters", layer, batches=int(10 * epoch), epoch=epoch, step=0, wall_time=0.0, error=error)


def test_runs_lists_what_a_log_dir_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a", record("conv1", 0), record("conv1", 1.5), record("", 2, "ValueError: no"))
    store = write(tmp_path / "deep/b", record("conv2", 3))
    (store.folder / "records/000009-filters.json").write_text('{"half')
    write(tmp_path / "empty")
    assert main(["runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:5] == [
        "a",
        "  filters -: 1 record, epoch 2, 1 failed",
        "  filters conv1: 2 records, epochs 0 to 1.5",
        "deep/b",
        "  filters conv2: 1 record, epoch 3",
    ]
    assert said[5].startswith("  left out: records/000009-filters.json (not whole JSON")
    assert said[6:] == ["empty", "  no records"]


def test_a_folder_without_runs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_it_starts_without_torch_and_help_without_numpy() -> None:
    code = (
        "import sys\nfrom lightning_viz.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "runs" in done.stdout
    assert not any(f"'{name}'" in done.stdout for name in ("torch", "numpy", "tensorboard"))
