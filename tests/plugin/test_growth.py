"""A run that is being written, and one that was deleted: what the page sees, and what is read for it."""

import shutil
from collections import Counter

import pytest
from plugin.harness import WRITER, Tab, open_store, write_events, write_record, write_store

from lightning_viz.plugin import files
from lightning_viz.plugin.files import files_in
from lightning_viz.store import Record
from lightning_viz.store.files import LOCAL, Files
from lightning_viz.store.reader import Reader, read_store


@pytest.fixture
def run(tmp_path):
    write_events(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def tab(run):
    return Tab(run.parent)


@pytest.fixture
def reads(monkeypatch):
    """Which files were opened, by name, and how often."""
    opened = Counter()
    original = files.tf.io.gfile.GFile

    def counting(path, mode):
        opened[path.rpartition("/")[2]] += 1
        return original(path, mode)

    monkeypatch.setattr(files.tf.io.gfile, "GFile", counting)
    return opened


def seqs(tab: Tab, after: int = 0) -> list[int]:
    return [record["seq"] for record in tab.json("records", run="run", after=after)["records"]]


def reader_of(folder: str, files: Files = LOCAL) -> Reader[Record]:
    return Reader(folder, files, lambda record: record)


def test_new_records_appear_and_only_they_are_sent(tab, run):
    store = write_store(run, 1, indexed=False)
    assert seqs(tab) == [1, 2]
    write_record(store, 2)
    assert tab.json("runs")["runs"][0]["last_seq"] == 3
    assert seqs(tab, after=2) == [3]


def test_no_record_is_read_twice_while_a_run_grows_and_ends(tab, run, reads):
    store = open_store(run)
    for epoch in range(5):
        write_record(store, epoch)
        assert seqs(tab, after=epoch) == [epoch + 1]
        tab.json("runs")
    store.write_index()
    for _ in range(3):
        assert seqs(tab) == [1, 2, 3, 4, 5]
    del reads["run.json"]
    assert reads.pop(f"000001-filters-{WRITER}.json") == 2  # the list of runs looks at the first
    assert set(reads.values()) == {1}
    assert len(reads) == 5


def test_nothing_is_made_anew_when_nothing_has_changed(run):
    store = write_store(run, 3, indexed=False)
    reader = reader_of(str(store.folder))
    first = reader.read()
    assert reader.read() is first
    write_record(store, 4)
    assert reader.read() is not first
    assert reader.read() == read_store(str(store.folder))


def test_a_picture_can_be_fetched_before_its_record_was_listed(tab, run):
    store = write_store(run, 0)
    tab.json("runs")
    write_record(store, 1)
    assert tab.get("blob", run="run", seq=2, item=0).status_code == 200


def test_a_resume_that_goes_back_replaces_what_it_records_again(tab, run):
    store = write_store(run, 2)
    assert seqs(tab) == [1, 2, 3]
    write_record(store, 1)
    assert seqs(tab) == [1, 3, 4]
    assert tab.get("blob", run="run", seq=4, item=0).status_code == 200


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("seen_between", [True, False])
def test_a_run_that_was_deleted_and_written_anew_is_shown_anew(tab, run, indexed, seen_between):
    store = write_store(run, 3, indexed=indexed)
    assert seqs(tab) == [1, 2, 3, 4]
    shutil.rmtree(store.folder)
    if seen_between:
        assert tab.json("runs")["runs"][0]["source"] == "images"
        assert tab.get("blob", run="run", seq=1, item=0).status_code == 404
    store = open_store(run)
    for epoch in range(2):
        write_record(store, epoch, wall_time=2.1e9)
    if indexed:
        store.write_index()
    (listed,) = tab.json("runs")["runs"]
    assert (listed["last_seq"], listed["started"]) == (2, 2.1e9)
    assert {record["wall_time"] for record in tab.json("records", run="run")["records"]} == {2.1e9}


def test_without_stamps_a_run_that_replaced_another_is_known_by_its_description(run):
    """As on a remote file system, where a look at every file would cost a request each."""
    store = write_store(run, 1, indexed=False)
    local = files_in(str(store.folder))
    reader = reader_of(str(store.folder), Files(local.names, local.read))
    assert {record.wall_time for record in reader.read().records} == {1.8e9, 1.8e9 + 1}
    shutil.rmtree(store.folder)
    store = open_store(run)
    store.write_run({"schema": 2, "model": "Other"})
    write_record(store, 0, wall_time=2.1e9)
    assert [record.wall_time for record in reader.read().records] == [2.1e9]


def test_a_file_that_was_half_copied_is_read_again(tab, run):
    store = write_store(run, 0, indexed=False)
    path = store.folder / "records/000001-filters-0a1b2c3d.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert seqs(tab) == []
    assert list(tab.json("runs")["runs"][0]["skipped"]) == ["records/000001-filters-0a1b2c3d.json"]
    path.write_bytes(whole)
    assert tab.json("runs")["runs"][0]["skipped"] == {}
    assert seqs(tab) == [1]


def test_what_was_read_stays_while_a_folder_can_not_be_listed(run):
    store = write_store(run, 1, indexed=False)
    local = files_in(str(store.folder))
    is_down = False

    def names(folder: str) -> list[str]:
        if is_down:
            raise TimeoutError(110, "Connection timed out")
        return local.names(folder)

    reader = reader_of(str(store.folder), Files(names, local.read))
    seen = reader.read()
    is_down = True
    contents = reader.read()
    assert (contents.records, contents.run) == (seen.records, seen.run)
    assert contents.skipped[str(store.folder)] == "can't be read (Connection timed out)"
    is_down = False
    assert reader.read() == seen


def test_a_file_that_could_not_be_read_is_tried_again(run):
    store = write_store(run, 1, indexed=False)
    local = files_in(str(store.folder))
    failures = ["records/000001-filters-0a1b2c3d.json", "run.json"]

    def read(path: str) -> bytes:
        name = path.removeprefix(f"{store.folder}/")
        if name in failures:
            failures.remove(name)
            raise OSError("reset by peer")
        return local.read(path)

    reader = reader_of(str(store.folder), Files(local.names, read))
    assert set(reader.read().skipped) == {"records/000001-filters-0a1b2c3d.json", "run.json"}
    assert reader.read() == read_store(str(store.folder))


def test_the_number_of_skipped_files_sent_is_bounded(tab, run):
    store = open_store(run)
    for number in range(50):
        (store.folder / f"records/{number}.json").write_text("{")
    write_record(store, 0)
    assert seqs(tab) == [1]
    (listed,) = tab.json("runs")["runs"]
    assert (len(listed["skipped"]), listed["last_seq"]) == (20, 1)


def test_records_of_a_newer_schema_are_left_out_with_the_reason(tab, run):
    store = write_store(run, 0, indexed=False)
    record = Record("filters", "conv1", 1, 1.0, 1, 1.8e9, seq=2).to_json()
    (store.folder / "records/000002-filters-0a1b2c3d.json").write_text(record.replace('"schema": 2', '"schema": 3'))
    assert seqs(tab) == [1]
    (listed,) = tab.json("runs")["runs"]
    assert listed["skipped"] == {
        "records/000002-filters-0a1b2c3d.json": "schema 3; this version of lightning_viz reads 1 and 2"
    }
