"""The examples of networks from other packages, run as a user runs them, on little data."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_viz.store import read_store

EXAMPLES = Path(__file__).parents[1] / "examples"

BLOCKS = {f"network.blocks.{block}.attn" for block in range(4)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two classes, light squares and dark stripes, of several sizes."""
    stream = np.random.default_rng(0)
    for number in range(10):
        pixels = stream.integers(0, 60, (90 + number, 120, 3), dtype=np.uint8)
        if number % 2:
            pixels[30:60, 40:80] += 150
        else:
            pixels[:, ::8] += 90
        path = tmp_path / "images" / ("stripes", "squares")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "images"


def drawn(monkeypatch: pytest.MonkeyPatch, example: str, runs: Path, *arguments: object) -> dict[str, set[str]]:
    """Run an example for an epoch. Give the layers of each record's name; none has an error, none is damaged."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # put back afterwards, as is all that is set here
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", [example, "--epochs", "1", "--logdir", str(runs), *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / f"{example}.py"), run_name="__main__")
    (store,) = runs.glob("*/version_0/plugins/lightning_viz")
    found = read_store(str(store))
    assert found.skipped == {}
    assert [record.error for record in found.records if record.error] == []
    assert {record.epoch for record in found.records} == {0, 1}
    layers: dict[str, set[str]] = {}
    for record in found.records:
        layers.setdefault(record.name, set()).add(record.layer)
    return layers


@pytest.mark.parametrize("own", [False, True])
def test_vision_transformer(own: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    given = ("--data", folder) if own else ("--crops", 2)
    layers = drawn(monkeypatch, "vision_transformer", tmp_path / "runs", *given)
    assert layers["filters"] == {"network.patch_embed.proj"}
    assert layers["grad_cam"] == {"network.blocks.3.norm1"}
    assert layers["attention"] == BLOCKS | {"output"}


@pytest.mark.parametrize("own", [False, True])
def test_segmentation(own: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    given = ("--data", folder, "--crops", 2) if own else ("--crops", 2)
    layers = drawn(monkeypatch, "segmentation", tmp_path / "runs", *given)
    assert layers["filters"] == {"network.encoder.conv1"}
    assert layers["grad_cam"] == {"network.encoder.layer3", "network.decoder"}
    assert layers["saliency"] == {"output"}
    assert layers["activations"] == {"network.encoder.conv1", "network.segmentation_head.0"}


@pytest.mark.parametrize("own", [False, True])
def test_contrastive(own: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("--data", folder, "--crops", 2) if own else ("--crops", 2)
    layers = drawn(monkeypatch, "contrastive", tmp_path / "runs", *given)
    assert layers == {
        "filters": {"encoder.0"},
        "activations": {"encoder.0", "encoder.6"},
        "embedding": {"encoder"},
    }


@pytest.mark.parametrize("own", [False, True])
def test_hugging_face(own: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    given = ("--data", folder) if own else ("--crops", 2)
    layers = drawn(monkeypatch, "hugging_face", tmp_path / "runs", *given)
    assert layers["filters"] == {"model.vit.embeddings.patch_embeddings.projection"}
    assert len(layers["grad_cam"]) == 1  # transformers names it differently from version to version
    assert len(layers["attention"] - {"output"}) == 1
    assert "output" in layers["attention"]
