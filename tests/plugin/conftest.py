from pathlib import Path

import pytest
from plugin.harness import open_store, write_events

from lightning_viz.store import Store


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_events(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def store(run: Path) -> Store:
    return open_store(run)
