import json
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_viz.store import Files, Item, Record, SchemaError, Store, read_store, read_values
from lightning_viz.store.files import LOCAL

RECORD = Record(method="filters", layer="conv1", batches=1, epoch=0.5, step=1, wall_time=1.8e9)
LINE = RECORD.to_json()
PICTURE = Item("picture", "picture 0", "", (12, 20, 3), "uint8")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def npy(values: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def from_memory(content: dict[str, bytes]) -> Files:
    """A store that is no folder, as a remote one would be."""

    def names(folder: str) -> list[str]:
        inside = [Path(path).relative_to(folder).parts[0] for path in content if Path(path).is_relative_to(folder)]
        if not inside:
            raise FileNotFoundError(folder)
        return list(dict.fromkeys(inside))

    def read(path: str) -> bytes:
        if path not in content:
            raise FileNotFoundError(path)
        return content[path]

    return Files(names, read)


def test_no_store_has_no_records(tmp_path):
    assert read_store(str(tmp_path / "absent")) == ([], {}, {})


def test_a_file_in_the_place_of_the_store_is_reported(tmp_path):
    (tmp_path / "file").write_text("hello")
    assert read_store(str(tmp_path / "file")) == ([], {}, {"run.json": "can't be read (Not a directory)"})


def test_a_folder_that_can_not_be_listed_is_reported(store):
    written = store.write(RECORD)
    store.write_index()

    def names(folder: str) -> list[str]:
        if folder.endswith("records"):
            raise PermissionError(13, "Permission denied")
        return LOCAL.names(folder)

    contents = read_store(str(store.folder), Files(names, LOCAL.read))
    assert contents == ([written], {}, {f"{store.folder}/records": "can't be read (Permission denied)"})


def test_records_come_by_name_layer_and_batches(store):
    names = [("b", "conv1", 10), ("a", "conv2", 1), ("b", "conv1", 9), ("a", "conv1", 2)]
    for name, layer, batches in names:
        store.write(replace(RECORD, name=name, layer=layer, batches=batches))
    assert [record.identity for record in read_store(str(store.folder)).records] == sorted(names)


@pytest.mark.parametrize("indexed", [(), (0,), (1,), (0, 1)])
def test_newest_of_equal_identity_wins_wherever_it_lies(store, indexed):
    for number in range(2):
        newest = store.write(replace(RECORD, wall_time=float(5 - number)))
        if number in indexed:
            store.write_index()
    assert read_store(str(store.folder)).records == [newest]


def test_two_callbacks_of_one_method_are_told_apart_by_name(store):
    written = [
        store.write(replace(RECORD, name=name, batches=batches)) for batches in (1, 2) for name in ("large", "small")
    ]
    assert read_store(str(store.folder)).records == [written[0], written[2], written[1], written[3]]
    # A new run in the same folder, of which only one has drawn yet: it replaces its own records.
    anew = store.write(replace(RECORD, name="small", batches=0))
    assert read_store(str(store.folder)).records == [written[0], written[2], anew]


def test_newest_wins_also_when_the_older_index_is_read_last():
    old, new = replace(RECORD, seq=1), replace(RECORD, seq=12)
    files = from_memory({"s/index-10.jsonl": new.to_json().encode(), "s/index-9.jsonl": old.to_json().encode()})
    assert read_store("s", files).records == [new]


def test_records_are_read_through_the_given_files_only():
    files = from_memory({"gs://s/records/1-filters.json": LINE.encode(), "gs://s/run.json": b'{"model": "Net"}'})
    assert read_store("gs://s", files) == ([RECORD], {"model": "Net"}, {})


def test_nothing_is_lost_while_the_index_is_written(store):
    written = [store.write(replace(RECORD, batches=batches)) for batches in range(5)]
    reads = 0

    def read(path: str) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 3:
            store.write_index()
        return LOCAL.read(path)

    contents = read_store(str(store.folder), Files(LOCAL.names, read))
    assert reads > 5
    assert contents == (written, {}, {})


@pytest.mark.parametrize("moment", [1, 2])
def test_nothing_is_lost_when_the_index_appears_between_two_listings(store, moment):
    written = [store.write(replace(RECORD, batches=batches)) for batches in range(5)]
    listings = 0

    def names(folder: str) -> list[str]:
        nonlocal listings
        listings += 1
        if listings == moment:
            store.write_index()
        return LOCAL.names(folder)

    assert read_store(str(store.folder), Files(names, LOCAL.read)) == (written, {}, {})
    assert listings == 2


def test_an_index_beside_the_files_it_was_made_from_counts_once(store):
    written = store.write(RECORD)
    (store.folder / "index-1.jsonl").write_text(written.to_json() + "\n")
    assert read_store(str(store.folder)).records == [written]


def test_a_record_cut_anywhere_is_reported_and_the_others_are_read(store):
    written = store.write(RECORD)
    for length in range(len(LINE)):
        (store.folder / "records" / f"{length + 2:06d}-cut.json").write_text(LINE[:length])
    contents = read_store(str(store.folder))
    assert contents.records == [written]
    assert contents.skipped.keys() == {f"records/{length + 2:06d}-cut.json" for length in range(len(LINE))}


def test_an_index_cut_anywhere_keeps_the_whole_lines(store):
    written = [store.write(replace(RECORD, batches=batches)) for batches in range(3)]
    store.write_index()
    (index,) = store.folder.glob("index-1-*.jsonl")
    whole = index.read_bytes()
    for length in range(len(whole)):
        index.write_bytes(whole[:length])
        contents = read_store(str(store.folder))
        complete = sum(length >= end for end in _line_ends(whole))
        assert contents.records == written[:complete]
        half = length > 0 and length not in {*_line_ends(whole), *(end + 1 for end in _line_ends(whole))}
        assert list(contents.skipped) == ([f"{index.name}:{complete + 1}"] if half else [])


def _line_ends(content: bytes) -> list[int]:
    return [place for place, byte in enumerate(content) if byte == ord("\n")]


def test_what_does_not_belong_is_reported_with_a_reason(store):
    written = store.write(RECORD)
    bad = {
        "notes.txt": b"hello",
        "empty.json": b"",
        "latin.json": LINE.replace("conv1", "é").encode("latin-1"),
        "newer.json": LINE.replace('"schema": 2', '"schema": 3').encode(),
        "deep.json": b"[" * 100_000,
        "null.json": b"null",
    }
    for name, content in bad.items():
        (store.folder / "records" / name).write_bytes(content)
    (store.folder / "records" / "folder.json").mkdir()
    contents = read_store(str(store.folder))
    assert contents.records == [written]
    assert contents.skipped.keys() == {f"records/{name}" for name in (*bad, "folder.json")}
    assert all(contents.skipped.values())
    assert contents.skipped["records/folder.json"] == "can't be read (Is a directory)"
    assert contents.skipped["records/newer.json"] == "schema 3; this version of lightning_viz reads 1 and 2"


def test_an_index_says_the_line_that_it_skips(store):
    other = replace(RECORD, batches=2)
    lines = [LINE.encode(), b"\xff\xfe", b"", other.to_json().encode(), b'{"schema": 7}']
    (store.folder / "index-1.jsonl").write_bytes(b"\n".join(lines))
    contents = read_store(str(store.folder))
    assert contents.records == [RECORD, other]
    assert list(contents.skipped) == [f"index-1.jsonl:{number}" for number in (2, 5)]


def test_other_names_and_leftovers_are_no_records(store):
    for name in ("index-x.jsonl", "index-1.jsonl.bak", ".index-2.jsonl.tmp", "records/.000001-a.json.tmp"):
        (store.folder / name).write_text(LINE)
    assert read_store(str(store.folder)) == ([], {}, {})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}'])
def test_a_damaged_description_of_the_run_is_reported(store, content):
    (store.folder / "run.json").write_bytes(content)
    written = store.write(RECORD)
    contents = read_store(str(store.folder))
    assert contents[:2] == ([written], {})
    assert contents.skipped.keys() == {"run.json"}


def test_folders_in_the_place_of_files_are_reported(store):
    for name in ("run.json", "index-1.jsonl"):
        (store.folder / name).mkdir()
    assert read_store(str(store.folder)).skipped == dict.fromkeys(
        ("run.json", "index-1.jsonl"), "can't be read (Is a directory)"
    )


def test_a_missing_blob_does_not_hide_its_record(store):
    written = store.write(RECORD, [(PICTURE, b"png")])
    (store.folder / written.items[0].file).unlink()
    assert read_store(str(store.folder)) == ([written], {}, {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(single=st.binary(), index=st.lists(st.binary()), run=st.binary())
def test_any_bytes_are_reported_and_never_raise(single, index, run):
    content = {"s/records/1.json": single, "s/index-1.jsonl": b"\n".join([LINE.encode(), *index]), "s/run.json": run}
    contents = read_store("s", from_memory(content))
    assert contents.records == [RECORD]
    lines = enumerate(content["s/index-1.jsonl"].splitlines(), start=1)
    damaged = [f"index-1.jsonl:{number}" for number, line in lines if line.strip()][1:]
    assert contents.skipped.keys() >= {"records/1.json", *damaged[:100]}
    assert ("index-1.jsonl" in contents.skipped) == (len(damaged) > 100)


@given(st.data())
def test_a_damaged_record_is_read_or_reported(data):
    damaged = bytearray(LINE.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    contents = read_store("s", from_memory({"s/records/1.json": bytes(damaged)}))
    assert len(contents.records) + len(contents.skipped) == 1
    if contents.records:
        assert json.loads(contents.records[0].to_json())


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 4), (2, 3, 4, 5)])
def test_values_survive_with_nan_and_infinity(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values.flat[:3] = [np.nan, np.inf, -np.inf][: values.size]
    np.testing.assert_array_equal(read_values(npy(values)), values)


def test_values_cut_anywhere_are_not_whole():
    content = npy(np.arange(12, dtype=np.float32).reshape(3, 4))
    for length in range(len(content)):
        with pytest.raises(SchemaError, match=r"not a whole \.npy file"):
            read_values(content[:length])


@given(st.data())
def test_damaged_values_are_float32_or_a_schema_error(data):
    damaged = bytearray(npy(np.arange(12, dtype=np.float32).reshape(3, 4)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    with suppress(SchemaError):
        assert read_values(bytes(damaged)).dtype == np.float32


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 not a zip",
        b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 118,
        npy(np.arange(3.0)),
        npy(np.arange(3)),
        npy(np.zeros(3, "<U4")),
    ],
)
def test_other_files_are_no_values(content):
    with pytest.raises(SchemaError, match="npy file"):
        read_values(content)


def test_pickled_values_are_not_executed():
    file = BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(SchemaError, match=r"not a whole \.npy file"):
        read_values(file.getvalue())


def test_an_archive_is_no_values():
    file = BytesIO()
    np.savez(file, a=np.zeros(3, np.float32))
    with pytest.raises(SchemaError, match=r"not a float32 \.npy file"):
        read_values(file.getvalue())
