"""Many runs: the list reads no records, what is looked at is kept within a bound, let go, and read again."""

import gc
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from plugin.harness import Tab, open_store, write_events, write_record, write_store

from lightning_viz.plugin import files
from lightning_viz.plugin import runs as runs_module
from lightning_viz.plugin.kept import KeptRecord, Shelf
from lightning_viz.plugin.runs import RunStore
from lightning_viz.plugin.serialize import to_wire
from lightning_viz.store import Item, Record, Store, read_store, store_folder
from lightning_viz.store.files import LOCAL
from lightning_viz.store.reader import Reader

NAMES = ["a", "b", "c"]
RECORD = Record("filters", "conv1", 1, 1.0, 1, 1.8e9)


@pytest.fixture
def logdir(tmp_path):
    for name in NAMES:
        write_events(tmp_path / name)
        write_store(tmp_path / name, 3)
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """The files that were read whole."""
    paths = []
    original = files.tf.io.gfile.GFile
    monkeypatch.setattr(files.tf.io.gfile, "GFile", lambda path, mode: paths.append(path) or original(path, mode))
    return paths


@pytest.fixture
def small_shelf(monkeypatch):
    """Room for the records of about one run."""
    monkeypatch.setattr(runs_module, "Shelf", lambda: Shelf(3000))


def listed(tab: Tab) -> dict[str, Any]:
    return {run["run"]: run for run in tab.json("runs")["runs"]}


def indexes(paths: list[str]) -> list[str]:
    return [
        path.rpartition("/plugins")[0].rpartition("/")[2] for path in map(os.fsdecode, paths) if path.endswith(".jsonl")
    ]


def test_the_list_reads_no_index_and_a_run_only_its_own(logdir, opened):
    tab = Tab(logdir)
    for _ in range(2):
        runs = tab.json("runs")
        assert [(run["last_seq"], run["started"]) for run in runs["runs"]] == [(4, 1.8e9)] * 3
    assert indexes(opened) == []
    for _ in range(2):
        assert len(tab.json("records", run="b")["records"]) == 4
    assert tab.get("blob", run="b", seq=1, item=0).status_code == 200
    assert indexes(opened) == ["b"]
    assert tab.json("runs") == runs


def test_the_run_that_was_not_asked_for_the_longest_time_is_let_go_and_read_again(logdir, opened, small_shelf):
    tab = Tab(logdir)
    before = tab.json("runs")
    answers = {name: tab.json("records", run=name) for name in NAMES}
    assert tab.json("runs") == before
    opened.clear()
    assert tab.json("records", run="c") == answers["c"]
    assert indexes(opened) == []
    assert tab.json("records", run="a") == answers["a"]
    assert tab.get("blob", run="b", seq=2, item=0).status_code == 200
    assert indexes(opened) == ["a", "b"]


def test_what_was_found_out_stays_when_the_records_are_let_go(logdir, small_shelf):
    (logdir / "a/plugins/lightning_viz/records/000009-x.json").write_text("{")
    tab = Tab(logdir)
    assert listed(tab)["a"]["last_seq"] == 9  # by its name
    tab.json("records", run="a")
    exact = listed(tab)["a"]
    assert (exact["last_seq"], list(exact["skipped"])) == (4, ["records/000009-x.json"])
    for name in ("b", "c"):
        tab.json("records", run=name)
    assert listed(tab)["a"] == exact


def test_a_run_that_was_let_go_and_grows_is_seen(logdir, small_shelf):
    tab = Tab(logdir)
    for name in NAMES:
        tab.json("records", run=name)
    write_record(open_store(logdir / "a"), 4)
    assert listed(tab)["a"]["last_seq"] == 5
    assert [record["seq"] for record in tab.json("records", run="a", after=4)["records"]] == [5]


def test_a_run_that_nobody_has_looked_at_is_deleted_and_written_anew(logdir):
    tab = Tab(logdir)
    tab.json("runs")
    shutil.rmtree(logdir / "a/plugins")
    assert listed(tab)["a"]["source"] == "images"
    store = open_store(logdir / "a")
    write_record(store, 0, wall_time=2.1e9)
    store.write_index()
    run = listed(tab)["a"]
    assert (run["source"], run["last_seq"], run["started"]) == ("store", 1, 2.1e9)


def test_records_of_two_writers_with_one_number_are_both_sent(logdir):
    store = open_store(logdir / "a")
    record = write_record(store, 4)
    other = replace(record, layer="conv2", writer="ffffffff")
    (store.folder / "records/000005-filters-ffffffff.json").write_text(other.to_json())
    sent = Tab(logdir).json("records", run="a", after=4)["records"]
    assert [(one["seq"], one["layer"]) for one in sent] == [(5, "conv1"), (5, "conv2")]


def test_many_clients_at_once_get_the_same(logdir, small_shelf):
    tab = Tab(logdir)
    answers = {name: tab.json("records", run=name) for name in NAMES}
    failures = []

    def ask(turn: int) -> None:
        for number in range(20):
            name = NAMES[(turn + number) % 3]
            if tab.json("records", run=name) != answers[name] or len(tab.json("runs")["runs"]) != 3:
                failures.append(name)

    threads = [Thread(target=ask, args=[turn]) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_kept_record_is_what_is_sent_and_finds_its_files():
    items = tuple(
        Item(kind, kind, f"blobs/1-{number}.{end}", (2, 3, 3), dtype, "é\n")
        for number, (kind, end, dtype) in enumerate([("picture", "png", "uint8"), ("values", "npy", "float32")])
    )
    record = replace(RECORD, items=items, scalars={"a": float("nan")}, meta={"b": "\ud800"})
    kept = KeptRecord(record)
    sent = to_wire(record)
    assert [kept.item(number).file for number in range(2)] == [item.file for item in items]
    assert [kept.item(number) for number in range(2)] == list(items)
    assert (kept.identity, kept.seq, kept.error) == (record.identity, record.seq, False)
    assert b"\n" not in kept.wire
    assert b'"NaN"' in kept.wire
    assert sent["items"][0]["caption"] == "é\n"
    for number in (-1, 2):
        with pytest.raises(IndexError):
            kept.item(number)


def fill(store: Store, count: int) -> None:
    meta = {"units": list(range(0, 64, 4)), "size": [224, 224], "vmin": -1.5, "vmax": 2.5}
    items = tuple(
        Item("values", f"maps {number}", f"blobs/000001-filters-0a1b2c3d-{number}.npy", (8, 16, 56, 56), "float32")
        for number in range(3)
    )
    lines = (replace(RECORD, batches=seq, seq=seq, items=items, meta=meta).to_json() for seq in range(1, count + 1))
    (store.folder / "index-1-0a1b2c3d.jsonl").write_text("\n".join(lines))


def traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("indexed", [True, False])
def test_the_size_that_is_reckoned_is_that_in_memory(store, indexed):
    fill(store, 2000)
    if not indexed:
        (index,) = store.folder.glob("index-*")
        for seq, line in enumerate(index.read_text().splitlines(), start=1):
            (store.folder / f"records/{seq:06d}-filters-0a1b2c3d.json").write_text(line)
        index.unlink()
    tracemalloc.start()
    try:
        reader = Reader(str(store.folder), LOCAL, KeptRecord)
        reader.read()
        reckoned = sum(record.size for record in reader.kept())
        used = traced()
        del reader
        used -= traced()
    finally:
        tracemalloc.stop()
    assert 0.7 * used < reckoned < 1.4 * used
    assert used < 2000 * 2000


def test_memory_is_let_go(store):
    fill(store, 2000)
    shelf = Shelf(100_000)
    kept, other = (RunStore(str(store.folder), shelf) for _ in range(2))
    tracemalloc.start()
    try:
        kept.lines(0)
        once = traced()
        other.lines(0)
        twice = traced()
    finally:
        tracemalloc.stop()
    assert twice < 1.2 * once


def test_the_shelf_holds_no_more_than_its_bound_but_always_the_last():
    class Holder:
        holds = True

        def forget(self) -> None:
            self.holds = False

    shelf = Shelf(100)
    holders = [Holder() for _ in range(4)]
    for holder, size in zip(holders[:3], [40, 50, 10], strict=True):
        shelf.use(holder, size)
    shelf.use(holders[0], 40)
    shelf.resize(holders[2], 20)
    assert [holder.holds for holder in holders] == [True, False, True, True]
    shelf.use(holders[3], 1000)
    assert [holder.holds for holder in holders] == [False, False, False, True]


@pytest.mark.parametrize("is_let_go", [False, True])
def test_the_list_of_a_store_agrees_with_its_records(logdir, is_let_go, small_shelf):
    """What the page adds up from ``runs`` and ``records`` is what a whole reading gives, whatever happens between."""
    tab, run, page = Tab(logdir), logdir / "a", {}
    last, started = -1, None

    def look() -> None:
        nonlocal last, started, page
        seen = listed(tab)["a"]
        if (seen["last_seq"], seen["started"]) != (last, started):
            anew = last < 0 or seen["last_seq"] < last or seen["started"] != started
            page = {} if anew else page
            for one in tab.json("records", run="a", after=0 if anew else last)["records"]:
                page[one["name"], one["layer"], one["batches"]] = one
            last, started = seen["last_seq"], seen["started"]

    damaged = run / "plugins/lightning_viz/records/000099-x.json"
    steps = [
        lambda: write_record(open_store(run), 5),
        lambda: open_store(run).write_index(),
        lambda: write_record(open_store(run), 2, layer="conv2"),
        lambda: damaged.write_text("{"),
        lambda: damaged.write_text(replace(RECORD, layer="late", seq=99, wall_time=1.9e9).to_json()),
        lambda: write_record(open_store(run), 0, wall_time=2.0e9),
        lambda: open_store(run).write_index(),
    ]
    for step in [lambda: None, *steps]:
        step()
        for _ in range(3):
            look()
            if is_let_go:
                tab.json("records", run="b")
        assert sorted(page) == [one.identity for one in read_store(store_folder(str(run))).records]


def test_a_store_by_itself_is_read_whole_as_objects(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for batches in range(3):
        store.write(Record("filters", "conv", batches, 0.0, 0, 1.8e9))
    tab = RunStore(str(tmp_path))
    assert [(record.batches, record.layer) for record in tab.read().records] == [(n, "conv") for n in range(3)]
    assert tab.read().records == read_store(str(tmp_path)).records
