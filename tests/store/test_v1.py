"""A store of schema 1 stays readable.

``v1/`` was written by the last commit before schema 2 (d827ec7): FilterImages, ActivationMaps, GradCAM and a callback
that always fails, on a convolution of 2 units and 4 images of 8 x 12 in batches of 2, with a CSVLogger. One epoch ran
to its end (the index); a second one, resumed, was killed by ``os._exit`` after its drawings (the single records).
"""

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plugin.harness import Tab, write_events

from lightning_viz.store import Record, Store, read_store, read_values, store_folder

V1 = Path(__file__).parent / "v1"
METHODS = ["activations", "filters", "grad_cam"]


def written() -> dict[int, dict]:
    """What the files say, by ``seq``, without our reader."""
    lines = (V1 / "index-1.jsonl").read_text().splitlines()
    lines += [path.read_text() for path in (V1 / "records").iterdir()]
    records = {record["seq"]: record for record in map(json.loads, lines)}
    assert {record["schema"] for record in records.values()} == {1}
    return records


@pytest.fixture
def store(tmp_path):
    folder = Path(store_folder(str(tmp_path / "run")))
    shutil.copytree(V1, folder)
    return Store(folder)


def check_records(records: list[Record]) -> None:
    assert {record.identity for record in records} == {
        *((method, "conv", batches) for method in METHODS for batches in (0, 2, 4)),
        *(("fails", "", batches) for batches in (0, 2)),
    }
    for record in records:
        line = written()[record.seq]
        assert (record.name, record.writer) == (record.method, "")
        for field in ("method", "layer", "batches", "epoch", "step", "wall_time", "scalars", "meta", "probe", "error"):
            assert getattr(record, field) == line[field]
        assert [item.scale for item in record.items] == [None] * len(line["items"])
        for field in ("kind", "name", "file", "dtype", "caption"):
            assert [getattr(item, field) for item in record.items] == [item[field] for item in line["items"]]


def test_its_records_are_read_and_named_after_their_method(store):
    contents = read_store(str(store.folder))
    assert (contents.run["model"], contents.skipped) == ("Net", {})
    check_records(contents.records)
    for record in contents.records:
        if record.method in ("filters", "activations"):
            values = read_values((store.folder / record.items[1].file).read_bytes())
            assert values.shape == record.items[1].shape
            assert (values.min(), values.max()) == (record.meta["vmin"], record.meta["vmax"])


def test_single_records_move_to_an_index_and_stay_readable(store):
    store.write_index()
    assert not list((store.folder / "records").iterdir())
    check_records(read_store(str(store.folder)).records)


def test_a_run_that_goes_on_replaces_what_it_draws_again(store):
    before = {record.identity: record for record in read_store(str(store.folder)).records}
    drawn = store.write(Record("filters", "conv", batches=4, epoch=2.0, step=3, wall_time=1.8e9))
    assert drawn.seq == 12
    after = {record.identity: record for record in read_store(str(store.folder)).records}
    assert after == {**before, drawn.identity: drawn}


def test_the_tab_shows_it(store):
    logdir = store.folder.parents[2]
    write_events(logdir / "run")
    tab = Tab(logdir)
    (run,) = tab.json("runs")["runs"]
    assert (run["last_seq"], run["hyper_parameters"], run["skipped"]) == (11, {"units": 2}, {})
    records = tab.json("records", run="run")["records"]
    assert [record["seq"] for record in records] == sorted(written())
    for record in records:
        line = written()[record["seq"]]
        assert record["name"] == record["method"]
        same = {*line} - {"schema", "items"}
        assert {field: record[field] for field in same} == {field: line[field] for field in same}
        for number, item in enumerate(line["items"]):
            blob = tab.get("blob", run="run", seq=record["seq"], item=number)
            assert blob.data == (V1 / item["file"]).read_bytes()
            decode = Image.open if item["kind"] == "picture" else np.load
            assert np.asarray(decode(BytesIO(blob.data))).shape == tuple(item["shape"])


def test_the_tab_shows_its_probe(store):
    logdir = store.folder.parents[2]
    write_events(logdir / "run")
    tab = Tab(logdir)
    (probe,) = {record["probe"] for record in tab.json("records", run="run")["records"]} - {None}
    for image in range(2):
        sent = tab.get("probe_image", run="run", probe=probe, image=image)
        assert (sent.status_code, Image.open(BytesIO(sent.data)).size) == (200, (12, 8))
        assert sent.data == (V1 / f"probes/{probe}-{image}.png").read_bytes()
