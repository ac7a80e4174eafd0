"""What a store says at a glance, against what a whole reading says; and how little is read for it."""

from dataclasses import replace
from pathlib import Path
from time import process_time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_viz.store import Record, Store, read_store
from lightning_viz.store.files import LOCAL, Files
from lightning_viz.store.glance import Glancer
from lightning_viz.store.reader import Reader

RECORD = Record(method="filters", layer="conv1", batches=1, epoch=0.5, step=1, wall_time=1.8e9)


class Counted:
    """Local files, and how many bytes were read of each."""

    def __init__(self) -> None:
        self.read: dict[str, int] = {}
        self.listed = 0
        self.files = Files(self._names, self._whole, LOCAL.stamp, self._ends)

    def _names(self, folder: str) -> list[str]:
        self.listed += 1
        return LOCAL.names(folder)

    def _whole(self, path: str) -> bytes:
        content = LOCAL.read(path)
        self._note(path, len(content))
        return content

    def _ends(self, path: str, size: int) -> tuple[bytes, bytes]:
        assert LOCAL.ends is not None
        ends = LOCAL.ends(path, size)
        self._note(path, sum(map(len, ends)))
        return ends

    def _note(self, path: str, size: int) -> None:
        name = Path(path).name
        self.read[name] = self.read.get(name, 0) + size


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def counted():
    return Counted()


def write(store: Store, count: int, **fields: object) -> list[Record]:
    return [
        store.write(replace(RECORD, batches=number, wall_time=1.8e9 + number, **fields))
        for number in range(1, count + 1)
    ]


def check_agrees(store: Store, glancer: Glancer) -> None:
    whole, glance = read_store(str(store.folder)), glancer.look()
    assert glance.run == whole.run
    assert glance.last_seq == max((record.seq for record in whole.records), default=0)
    assert glance.started == min((record.wall_time for record in whole.records), default=None)
    assert glance.is_empty == (not whole.records and not whole.skipped)


def test_it_agrees_with_a_whole_reading_from_the_first_record_to_the_second_fit(store):
    glancer = Glancer(str(store.folder), LOCAL)
    marks = []
    steps = [
        lambda: None,
        lambda: store.write_run({"model": "Net"}),
        lambda: write(store, 3),
        store.write_index,
        lambda: write(store, 2, layer="conv2"),
        store.write_index,
        lambda: store.write_run({"model": "Other"}),
    ]
    for step in steps:
        step()
        check_agrees(store, glancer)
        check_agrees(store, Glancer(str(store.folder), LOCAL))
        marks.append(glancer.look().mark)
        assert glancer.look().mark == marks[-1]
    assert len(set(marks)) == len(marks)


def test_of_many_records_only_names_and_the_first_are_read(store, counted):
    written = write(store, 200)
    glancer = Glancer(str(store.folder), counted.files)
    for _ in range(3):
        assert glancer.look().last_seq == 200
    assert counted.read == {f"000001-filters-{store.writer}.json": len(written[0].to_json())}


def test_of_a_large_index_only_the_ends_are_read_once(store, counted):
    write(store, 50, meta={"text": "x" * 10_000})
    store.write_index()
    (index,) = store.folder.glob("index-*.jsonl")
    glancer = Glancer(str(store.folder), counted.files)
    for _ in range(3):
        assert (glancer.look().last_seq, glancer.look().started) == (50, 1.8e9 + 1)
    assert counted.read == {index.name: 2 * (64 << 10)}
    assert index.stat().st_size > 4 * (64 << 10)


def test_a_record_longer_than_what_is_read_at_first_is_found(store):
    write(store, 2, meta={"text": "x" * 1_000_000})
    store.write_index()
    check_agrees(store, Glancer(str(store.folder), LOCAL))


def test_a_cut_index_says_its_last_whole_record(store):
    write(store, 3)
    store.write_index()
    (index,) = store.folder.glob("index-*.jsonl")
    index.write_bytes(index.read_bytes()[:-100])
    glance = Glancer(str(store.folder), LOCAL).look()
    assert (glance.last_seq, glance.started) == (2, 1.8e9 + 1)


def test_blank_lines_are_no_records(store):
    (store.folder / "index-1.jsonl").write_bytes(b"\n" * 100_000)
    check_agrees(store, Glancer(str(store.folder), LOCAL))


def test_a_settled_folder_is_not_listed_again_until_it_changes(store, counted, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr("lightning_viz.store.glance.time", clock)
    write(store, 3)
    glancer = Glancer(str(store.folder), counted.files)
    listed = []
    for clock.now in (100.0, 101.0, 103.0, 104.0, 160.0, 164.0):
        before = counted.listed
        assert glancer.look().last_seq == 3
        listed.append(counted.listed - before - 1)  # besides the folder itself
    assert listed == [1, 1, 1, 0, 0, 1]
    clock.now = 165.0
    write(store, 1)
    assert glancer.look().last_seq == 4


def test_what_was_seen_stays_while_the_folder_can_not_be_listed(store):
    is_down = False

    def names(folder: str) -> list[str]:
        if is_down:
            raise TimeoutError(110, "Connection timed out")
        return LOCAL.names(folder)

    write(store, 2)
    glancer = Glancer(str(store.folder), Files(names, LOCAL.read))
    seen = glancer.look()
    is_down = True
    assert glancer.look() == seen._replace(skipped={f"{store.folder}/records": "can't be read (Connection timed out)"})


def brute_force(records: list[Record]) -> list[Record]:
    """The newest of equal identity, and nothing of before an untrained network of the same name and layer."""
    kept: list[Record] = []
    for record in sorted(records, key=lambda one: one.seq):
        if record.batches == 0 and record.error is None:
            kept = [
                one
                for one in kept
                if one.name != record.name or one.layer not in (record.layer, "") or one.batches == 0
            ]
        kept = [one for one in kept if one.identity != record.identity] + [record]
    return sorted(kept, key=lambda one: one.identity)


@given(
    st.lists(
        st.builds(
            lambda name, layer, batches, error: replace(RECORD, name=name, layer=layer, batches=batches, error=error),
            st.sampled_from("ab"),
            st.sampled_from(["", "conv1", "conv2"]),
            st.integers(0, 3),
            st.sampled_from([None, None, "ValueError"]),
        ),
        max_size=40,
    ),
    st.randoms(),
)
def test_the_newest_are_those_of_a_reading_by_brute_force(drawn, random):
    records = [replace(record, seq=seq) for seq, record in enumerate(drawn, start=1)]
    shuffled = random.sample(records, len(records))
    half = len(records) // 2
    singles = {f"{record.seq:06d}-a.json": record.to_json().encode() for record in shuffled[:half]}
    index = b"\n\n".join(record.to_json().encode() for record in shuffled[half:])
    content = {
        "s/index-1.jsonl": index,
        "s/run.json": b"{}",
        **{f"s/records/{name}": singles[name] for name in singles},
    }
    names = {"s": ["index-1.jsonl"], "s/records": list(singles)}
    contents = read_store("s", Files(names.__getitem__, content.__getitem__))
    assert contents.records == brute_force(records)


def test_a_reader_opens_only_what_has_come(store, counted):
    reader = Reader(str(store.folder), counted.files, lambda record: record)
    write(store, 20)
    reader.read()
    counted.read.clear()
    (new,) = write(store, 1, layer="conv2")
    assert new in reader.read().records
    assert list(counted.read) == [f"000021-filters-{store.writer}.json"]


def test_of_very_many_damaged_lines_the_first_are_named_and_the_others_counted(store):
    (store.folder / "index-1.jsonl").write_bytes(b"x\n" * 1000 + RECORD.to_json().encode())
    contents = read_store(str(store.folder))
    assert contents.records == [RECORD]
    assert [*contents.skipped][:100] == [f"index-1.jsonl:{number}" for number in range(1, 101)]
    assert contents.skipped.pop("index-1.jsonl") == "900 more lines that are no records"
    assert len(contents.skipped) == 100


def test_untrained_networks_cost_no_more_than_other_records():
    """Each used to make the table of all anew: minutes for 20,000."""
    records = [replace(RECORD, layer=f"layer{seq}", batches=0, seq=seq) for seq in range(1, 20_001)]
    content = b"\n".join(record.to_json().encode() for record in records)
    files = Files(
        lambda folder: [] if folder.endswith("records") else ["index-1.jsonl"],
        lambda path: content if path.endswith(".jsonl") else b"{}",
    )
    start = process_time()
    assert len(read_store("s", files).records) == 20_000
    assert process_time() - start < 10
