import re
import resource
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lightning_viz.store import Item, Record, Store, read_store

RECORD = Record(method="filters", layer="conv1", batches=1, epoch=0.5, step=1, wall_time=1.8e9, scalars={"max": 2.0})
PICTURE = Item("picture", "picture 0", "", (12, 20, 3), "uint8", "a caption")
VALUES = Item("values", "weight", "", (3,), "float32")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run" / "plugins" / "lightning_viz")


def files(store: Store) -> set[str]:
    """The names, without the id of who wrote them."""
    names = [str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()]
    return {without_writer(name) for name in names}


def without_writer(name: str) -> str:
    return re.sub(r"-[0-9a-f]{8}(?=[-.])", "", name)


@contextmanager
def full_disk(size: int = 1024):
    """No file can grow beyond a size, for real: the write fails half-way with an OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_record_is_written_with_its_blobs_and_comes_back(store):
    written = store.write(RECORD, [(PICTURE, b"png"), (VALUES, b"npy")])
    assert [item.file for item in written.items] == [
        f"blobs/000001-filters-{store.writer}-0.png",
        f"blobs/000001-filters-{store.writer}-1.npy",
    ]
    assert written == replace(RECORD, seq=1, items=written.items, writer=store.writer)
    assert replace(written.items[0], file="") == PICTURE
    assert (store.folder / written.items[1].file).read_bytes() == b"npy"
    assert files(store) == {
        "records/000001-filters.json",
        "blobs/000001-filters-0.png",
        "blobs/000001-filters-1.npy",
    }
    assert read_store(str(store.folder)).records == [written]


@pytest.mark.parametrize("method", ["../../evil", "grad cam", "é", ""])
def test_any_method_name_stays_in_the_folder(store, method):
    written = store.write(replace(RECORD, method=method), [(PICTURE, b"png")])
    assert len(files(store)) == 2
    assert read_store(str(store.folder)).records == [written]


def test_a_record_without_values_can_be_read(store):
    written = store.write(RECORD, [(replace(VALUES, shape=(0, 4)), b"npy")])
    assert read_store(str(store.folder)).records == [written]


def test_a_store_that_is_opened_again_goes_on(store):
    assert [store.write(RECORD).seq for _ in range(2)] == [1, 2]
    again = Store(store.folder)
    assert again.write(replace(RECORD, batches=2)).seq == 3
    again.write_index()
    assert Store(store.folder).write(RECORD).seq == 4


def test_a_blob_whose_record_was_never_written_is_not_overwritten(store):
    def broken():
        yield PICTURE, b"first"
        raise RuntimeError("encoder")

    with pytest.raises(RuntimeError, match="encoder"):
        store.write(RECORD, broken())
    written = Store(store.folder).write(RECORD, [(PICTURE, b"second")])
    assert written.seq == 2
    assert (store.folder / f"blobs/000001-filters-{store.writer}-0.png").read_bytes() == b"first"
    assert read_store(str(store.folder)).records == [written]


def test_the_index_takes_the_place_of_single_records(store):
    written = [store.write(replace(RECORD, batches=batches), [(PICTURE, b"png")]) for batches in range(3)]
    blobs = {without_writer(item.file) for record in written for item in record.items}
    store.write_index()
    assert files(store) == {"index-1.jsonl", *blobs}
    assert read_store(str(store.folder)).records == written


def test_each_fit_adds_an_index_and_an_idle_one_adds_none(store):
    first = store.write(RECORD)
    store.write_index()
    content = (store.folder / f"index-1-{store.writer}.jsonl").read_bytes()
    second = store.write(replace(RECORD, batches=2))
    for _ in range(2):
        store.write_index()
        assert files(store) == {"index-1.jsonl", "index-2.jsonl"}
    assert (store.folder / f"index-1-{store.writer}.jsonl").read_bytes() == content
    assert read_store(str(store.folder)).records == [first, second]


def test_the_index_comes_after_the_highest_one(store):
    (store.folder / "index-10.jsonl").write_text("")
    (store.folder / "index-x.jsonl").write_text("")
    store.write(RECORD)
    store.write_index()
    assert "index-11.jsonl" in files(store)


def test_the_index_leaves_alone_what_is_no_record(store):
    written = store.write(RECORD)
    (store.folder / "records" / "folder.json").mkdir()
    foreign = {"records/notes.json": "{}", "records/000009-x.json": '{"schema": 1', "records/readme.txt": "hello"}
    for name, content in foreign.items():
        (store.folder / name).write_text(content)
    store.write_index()
    assert files(store) == {"index-1.jsonl", *foreign}
    assert (store.folder / "records" / "folder.json").is_dir()
    assert read_store(str(store.folder)).records == [written]


def test_a_full_disk_leaves_the_earlier_records_and_no_half_file(store):
    first = store.write(RECORD, [(PICTURE, b"png")])
    with full_disk(), pytest.raises(OSError, match="too large"):
        store.write(replace(RECORD, batches=2), [(PICTURE, b"small"), (VALUES, b"x" * 5000)])
    with full_disk(), pytest.raises(OSError, match="too large"):
        store.write(replace(RECORD, batches=3, error="e" * 5000))
    assert not [name for name in files(store) if name.endswith(".tmp")]
    assert all(path.stat().st_size < 1000 for path in store.folder.rglob("*.*"))
    assert read_store(str(store.folder)) == ([first], {}, {})
    later = store.write(replace(RECORD, batches=4), [(VALUES, b"x" * 5000)])
    assert (store.folder / later.items[0].file).read_bytes() == b"x" * 5000
    assert read_store(str(store.folder)).records == [first, later]


def test_a_full_disk_while_the_index_is_written_loses_nothing(store):
    written = [store.write(replace(RECORD, batches=batches)) for batches in range(9)]
    before = files(store)
    with full_disk(), pytest.raises(OSError, match="too large"):
        store.write_index()
    assert files(store) == before
    store.write_index()
    assert read_store(str(store.folder)).records == written
    assert files(store) == {"index-1.jsonl"}


def test_two_that_write_at_the_same_time_overwrite_nothing(store):
    stores = [store, Store(store.folder)]
    written = [
        one.write(replace(RECORD, layer=layer, batches=batches), [(PICTURE, f"{layer} {batches}".encode())])
        for batches in range(3)
        for one, layer in zip(stores, ("left", "right"), strict=True)
    ]
    for one in stores:
        one.write_index()
    assert len({record.items[0].file for record in written}) == 6
    for record in written:
        assert (store.folder / record.items[0].file).read_bytes() == f"{record.layer} {record.batches}".encode()
    assert read_store(str(store.folder)).records == sorted(written, key=lambda record: record.identity)


def test_an_index_takes_what_another_one_gathers_meanwhile(store, monkeypatch):
    written, other, remove = store.write(RECORD), Store(store.folder), Path.unlink

    def unlink(path, **options):
        monkeypatch.setattr(Path, "unlink", remove)
        other.write_index()
        remove(path, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    store.write_index()
    assert read_store(str(store.folder)) == ([written], {}, {})
    assert not list((store.folder / "records").iterdir())


def test_leftovers_of_a_killed_run_are_no_hindrance(store):
    for name in ("records/.000001-filters.json.tmp", "blobs/.000001-filters-0.png.tmp", ".index-1.jsonl.tmp"):
        (store.folder / name).write_text("half")
    again = Store(store.folder)
    written = again.write(RECORD, [(PICTURE, b"png")])
    again.write_index()
    assert read_store(str(store.folder)) == ([written], {}, {})
    assert (store.folder / written.items[0].file).read_bytes() == b"png"


@pytest.mark.parametrize("place", ["plugins", "plugins/lightning_viz", "plugins/lightning_viz/records"])
def test_a_file_in_the_place_of_the_folder_is_an_os_error(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("in the way")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        Store(tmp_path / "plugins" / "lightning_viz")
    assert (tmp_path / place).read_text() == "in the way"


def test_a_resumed_run_keeps_its_description(store):
    store.write_run({"model": "Net", "lr": float("nan"), "device": object, 3: (1, 2)})
    store.write_run({"model": "Other"}, resumed=True)
    run = read_store(str(store.folder)).run
    assert run == {"model": "Net", "lr": "NaN", "device": "<class 'object'>", "3": [1, 2]}


def test_a_new_run_in_the_same_folder_has_its_own_description_and_records(store):
    store.write_run({"model": "Net", "lr": 0.4})
    for batches in (0, 6, 12, 18):
        store.write(replace(RECORD, batches=batches))
    store.write(replace(RECORD, batches=18, layer="", error="boom"))
    store.write_index()
    again = Store(store.folder)
    again.write_run({"model": "Net", "lr": 0.2})
    first = (store.folder / "run.json").read_bytes()
    for batches in (0, 6):
        again.write(replace(RECORD, batches=batches))
    contents = read_store(str(store.folder))
    assert contents.run["lr"] == 0.2
    assert [one.batches for one in contents.records] == [0, 6]
    assert (store.folder / "run.json").read_bytes() == first


def test_equal_probes_are_kept_once_under_one_hash(store):
    arrays = {"images": np.random.default_rng(0).random((2, 3, 12, 20), np.float32), "labels": np.array([1, 2])}
    key = store.write_probe(arrays, captured=True)
    assert store.write_probe({name: arrays[name] for name in ("labels", "images")}, captured=True) == key
    assert files(store) == {f"probes/captured-{key}.npz"}
    with np.load(store.folder / f"probes/captured-{key}.npz") as saved:
        assert {name: saved[name].tolist() for name in saved} == {name: arrays[name].tolist() for name in arrays}
    assert store.write_probe(arrays, captured=False) == key
    assert files(store) == {f"probes/captured-{key}.npz", f"probes/given-{key}.npz"}


def test_the_pictures_of_a_probe_are_made_and_written_once(store):
    arrays, calls = {"images": np.zeros((3, 1, 12, 20), np.float32)}, []

    def pictures():
        calls.append(1)
        return (f"png {number} of call {len(calls)}".encode() for number in range(3))

    key = store.write_probe(arrays, pictures, captured=True)
    names = {f"probes/{key}-{number}.png" for number in range(3)}
    assert files(store) == {f"probes/captured-{key}.npz", *names}
    for again in (store, Store(store.folder)):
        assert again.write_probe(arrays, pictures, captured=False) == key
    assert calls == [1]
    assert files(store) == {f"probes/captured-{key}.npz", f"probes/given-{key}.npz", *names}
    assert [(store.folder / f"probes/{key}-{number}.png").read_bytes() for number in range(3)] == [
        f"png {number} of call 1".encode() for number in range(3)
    ]
    other = store.write_probe({"images": arrays["images"] + 1}, pictures, captured=True)
    assert (store.folder / f"probes/{other}-2.png").read_bytes() == b"png 2 of call 2"


def test_pictures_of_a_probe_that_were_cut_short_are_completed(store):
    arrays = {"images": np.zeros((3, 1, 12, 20), np.float32)}

    def pictures(size):
        return lambda: (bytes([number]) * size for number in range(3))

    def cut_short():
        yield from list(pictures(10)())[:2]
        raise RuntimeError("encoder")

    with pytest.raises(RuntimeError, match="encoder"):
        store.write_probe(arrays, cut_short, captured=True)
    assert not [name for name in files(store) if name.endswith(".npz")]
    key = store.write_probe(arrays, pictures(10), captured=True)
    assert {f"probes/{key}-{number}.png" for number in range(3)} <= files(store)


def test_a_full_disk_leaves_no_half_picture_of_a_probe(store):
    arrays = {"images": np.zeros((1, 1, 12, 20), np.float32)}
    with full_disk(), pytest.raises(OSError, match="too large"):
        store.write_probe(arrays, lambda: [b"x" * 5000], captured=True)
    assert files(store) == set()
    key = store.write_probe(arrays, lambda: [b"x" * 5000], captured=True)
    assert (store.folder / f"probes/{key}-0.png").read_bytes() == b"x" * 5000


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.array([2, 1])},
        {"images": np.zeros((1, 3, 12, 20), np.int32)},
        {"images": np.zeros((1, 3, 20, 12), np.float32)},
        {"more": np.array([1, 2])},
    ],
)
def test_another_probe_has_another_hash(store, change):
    arrays = {"images": np.zeros((1, 3, 12, 20), np.float32), "labels": np.array([1, 2])}
    assert store.write_probe(arrays, captured=True) != store.write_probe(arrays | change, captured=True)
