"""What is written can be read in the tab, whatever the size of a layer or of the images; and it is said."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_viz import ActivationMaps, Context, Drawing, FilterImages, Probe, Saliency, VizCallback
from lightning_viz.plugin.kept import Shelf
from lightning_viz.plugin.runs import RunStore
from lightning_viz.store import Record, Store, read_store, read_values
from lightning_viz.store.schema import LARGEST_FILE, LARGEST_RECORD


def fit(folder: Path, net: nn.Module, images: torch.Tensor, callbacks: list[VizCallback]) -> RunStore:
    """Train for one batch, and open what was written as the tab does."""
    lightning = import_module("pytorch_lightning")

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.net(batch)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], 1e-4)

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, callbacks=[*callbacks], **quiet
    )
    trainer.fit(Net(), DataLoader(TensorDataset(images), len(images)))
    return RunStore(str(next(folder.rglob("plugins/lightning_viz"))), Shelf())


def records_of(tab: RunStore) -> list[dict[str, Any]]:
    """The records as the tab gets them."""
    return [json.loads(line) for line in tab.lines(0)]


def read_all(tab: RunStore) -> dict[tuple[str, float], dict[str, bytes]]:
    """Each file that the records name, by method and epoch, as the tab gets it."""
    records = records_of(tab)
    assert {record["error"] for record in records} == {None}
    return {
        (record["method"], record["epoch"]): {
            item.name: content
            for item, content in (tab.blob(record["seq"], place) for place in range(len(record["items"])))
        }
        for record in records
    }


def pooled(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(("units", "kept"), [(4096, (64, 64, 1, 1)), (512, (512, 4096, 1, 1))])
def test_the_weights_of_a_wide_layer_are_those_of_the_picture(
    units: int, kept: tuple[int, ...], tmp_path: Path
) -> None:
    wide = nn.Conv2d(4096, units, 1).requires_grad_(False)
    net = pooled(nn.Conv2d(3, 4096, 1), wide)
    tab = fit(tmp_path, net, torch.randn(1, 3, 2, 3), [FilterImages(layers="net.1", on_error="raise")])
    files = read_all(tab)
    assert files.keys() == {("filters", 0.0), ("filters", 1.0)}
    for content in files.values():
        weight = read_values(content["weight"])
        assert weight.shape == kept
        assert np.array_equal(weight, wide.weight.numpy()[: kept[0], : kept[1]])
    record = records_of(tab)[-1]
    assert (record["meta"]["vmin"], record["meta"]["vmax"]) == (wide.weight.min(), wide.weight.max())
    caption = record["items"][0]["caption"]
    assert ("of the weights these are kept" in caption) == (units == 4096)
    assert f"{units} filters of 4096x1x1" in caption


def test_maps_of_large_images_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A map per pixel of 5 images of 1800 x 2000: 69 MiB."""
    images = torch.rand(5, 3, 1800, 2000)
    small = nn.Conv2d(3, 2, 5, stride=5)
    with caplog.at_level(logging.WARNING, "lightning_viz"):
        callbacks = [Saliency(probe=Probe(images), epochs=[1], on_error="raise"), FilterImages(on_error="raise")]
        tab = fit(tmp_path, pooled(small), images[:1, :, :10, :10], callbacks)
    files = read_all(tab)
    assert [set(files["saliency", epoch]) for epoch in (0.0, 1.0)] == [{"picture 0"}] * 2
    assert set(files["filters", 1.0]) == {"picture 0", "weight"}
    record = next(one for one in records_of(tab) if one["method"] == "saliency")
    assert record["meta"]["left_out"] == {"maps": [5, 1800, 2000]}
    assert "values not kept, larger than 64 MiB: maps" in record["items"][0]["caption"]
    assert caplog.text.count("maps (5, 1800, 2000)") == 1


def test_activation_maps_of_a_wide_layer_can_be_read(tmp_path: Path) -> None:
    net = pooled(nn.Conv2d(3, 4096, 1))
    tab = fit(tmp_path, net, torch.randn(2, 3, 40, 60), [ActivationMaps(on_error="raise")])
    for content in read_all(tab).values():
        assert read_values(content["activity"]).shape == (2, 4096)


class Large(VizCallback):
    """Draws what it is told."""

    def __init__(self, drawing: Drawing) -> None:
        super().__init__(on_error="raise")
        self._drawing = drawing
        self.before: list[bool] = []

    def draw(self, context: Context) -> Iterator[Drawing]:
        self.before.append(bool(context.before))
        yield self._drawing


@pytest.mark.parametrize("shape", [(8193, 8193), (3, 30_000_000)])
def test_a_picture_beyond_what_a_browser_decodes_is_made_smaller(shape: tuple[int, int], tmp_path: Path) -> None:
    picture = np.full((*shape, 3), 120, np.uint8)
    picture[: shape[0] // 2] = 40
    tab = fit(
        tmp_path, pooled(nn.Conv2d(3, 2, 1)), torch.rand(1, 3, 4, 6), [Large(Drawing("net.0", pictures=[picture]))]
    )
    assert len(read_all(tab)) == 2
    (item,) = records_of(tab)[0]["items"]
    assert item["shape"] == [-(-shape[0] // 2), -(-shape[1] // 2), 3]
    assert item["caption"] == "a pixel is the mean of 2 x 2"


def test_noise_that_makes_too_large_a_file_is_made_smaller() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5000, 5000, 3), np.uint8)
    ((item, content),) = Drawing("conv", pictures=[noise], captions=["noise"]).blobs()
    assert item.shape == (2500, 2500, 3)
    assert item.caption == "noise | a pixel is the mean of 2 x 2"
    assert len(content) <= LARGEST_FILE


def test_what_fits_to_the_byte_is_kept() -> None:
    values = np.zeros((LARGEST_FILE - 1024) // 4, np.float32)
    assert [item.name for item, _ in Drawing("conv", {"a": values, "b": np.append(values, 0)}).blobs()] == ["a"]


def test_the_index_of_a_long_run_is_several_files_that_can_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = Record("filters", "conv", 0, 0.0, 0, 1.8e9, meta={"words": "x" * (2**21 - 1000)})
    for batches in range(35):
        store.write(replace(record, batches=batches))
    store.write_index()
    indexes = list(tmp_path.glob("index-*.jsonl"))
    assert len(indexes) == 2
    assert max(path.stat().st_size for path in indexes) <= LARGEST_FILE
    assert not list((tmp_path / "records").iterdir())
    tab = RunStore(str(tmp_path), Shelf())
    assert [record["batches"] for record in records_of(tab)] == list(range(35))
    assert tab.figures().skipped == {}


def test_a_record_that_nobody_could_read_is_not_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="a record takes at most 2 MiB of scalars and meta; got 209"):
        store.write(Record("filters", "conv", 0, 0.0, 0, 1.8e9, meta={"words": "x" * 2**21}))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_hyper_parameters_that_hold_a_vocabulary_are_cut(tmp_path: Path) -> None:
    words = [f"word {number}" for number in range(400_000)]
    Store(tmp_path).write_run({"model": "Net", "hyper_parameters": {"words": words, "rate": 0.1}})
    assert (tmp_path / "run.json").stat().st_size < LARGEST_RECORD
    contents = RunStore(str(tmp_path), Shelf()).figures()
    assert (contents.run["model"], contents.skipped) == ("Net", {})
    assert contents.run["hyper_parameters"]["rate"] == "0.1"
    assert contents.run["hyper_parameters"]["words"] == str(words)[:200]
    assert json.loads((tmp_path / "run.json").read_text()) == read_store(str(tmp_path)).run
