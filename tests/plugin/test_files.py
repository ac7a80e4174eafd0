"""Stores on file systems that are not the local one."""

from types import SimpleNamespace
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from plugin.harness import HYPER_PARAMETERS, Tab, write_events, write_probe, write_record, write_store

from lightning_viz.plugin.files import files_in
from lightning_viz.store import Store
from lightning_viz.store.reader import read_store


class Bucket(MemoryFileSystem):
    """Remembers each listing until told to forget it, as s3fs, gcsfs and adlfs do."""

    protocol = "bucket"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    listings: ClassVar = {}
    failure: ClassVar = None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("bucket://"))

    def ls(self, path, detail=True, **kwargs):
        if self.failure is not None:
            raise self.failure
        if path not in self.listings:
            self.listings[path] = super().ls(path, detail=True)
        return self.listings[path] if detail else [entry["name"] for entry in self.listings[path]]

    def invalidate_cache(self, path=None):
        self.listings.pop(path, None)


@pytest.fixture
def bucket():
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    for remembered in (Bucket.store, Bucket.listings):
        remembered.clear()
    return Bucket()


def upload(bucket: Bucket, store: Store) -> None:
    bucket.put(f"{store.folder}/", "/logs/run/plugins/lightning_viz/", recursive=True)


def remote_tab(tmp_path) -> Tab:
    write_events(tmp_path / "events" / "run")
    return Tab(tmp_path / "events", multiplexer=SimpleNamespace(RunPaths=lambda: {"run": "bucket://logs/run"}))


def test_a_remote_run_is_read_and_its_growth_seen(tmp_path, bucket):
    store = write_store(tmp_path / "run", 1, indexed=False)
    upload(bucket, store)
    tab = remote_tab(tmp_path)
    assert [record["seq"] for record in tab.json("records", run="run")["records"]] == [1, 2]
    write_record(store, 2)
    upload(bucket, store)
    assert [record["seq"] for record in tab.json("records", run="run", after=2)["records"]] == [3]
    response = tab.get("blob", run="run", seq=3, item=1)
    assert (response.status_code, response.data) == (
        200,
        (store.folder / "blobs/000003-filters-0a1b2c3d-1.npy").read_bytes(),
    )
    (listed,) = tab.json("runs")["runs"]
    assert (listed["source"], listed["hyper_parameters"], listed["last_seq"]) == ("store", HYPER_PARAMETERS, 3)


def test_of_a_large_remote_index_the_list_reads_the_ends(tmp_path, bucket, monkeypatch):
    store = write_store(tmp_path / "run", 1, indexed=False)
    for epoch in range(2, 40):
        write_record(store, epoch, meta={"text": "x" * 10_000})
    store.write_index()
    upload(bucket, store)
    fetched = []
    original = Bucket.cat_file

    def cat_file(self, path, start=None, end=None, **kwargs):
        content = original(self, path, start=start, end=end, **kwargs)
        fetched.append(len(content))
        return content

    monkeypatch.setattr(Bucket, "cat_file", cat_file)
    tab = remote_tab(tmp_path)
    for _ in range(3):
        (listed,) = tab.json("runs")["runs"]
        assert (listed["last_seq"], listed["started"]) == (40, 1.8e9)
    assert fetched == [64 << 10, 64 << 10]
    assert len(tab.json("records", run="run")["records"]) == 40


def test_the_images_of_a_remote_probe_are_read(tmp_path, bucket):
    store = write_store(tmp_path / "run", 0)
    key = write_probe(store)
    upload(bucket, store)
    response = remote_tab(tmp_path).get("probe_image", run="run", probe=key, image=0)
    assert (response.status_code, response.data) == (200, (store.folder / f"probes/{key}-0.png").read_bytes())


def test_a_remote_run_without_a_store_falls_back_to_the_kept_images(tmp_path, bucket):
    bucket.touch("/logs/run/events.out.tfevents.1")
    (listed,) = remote_tab(tmp_path).json("runs")["runs"]
    assert (listed["source"], listed["skipped"]) == ("images", {})


def test_a_remote_that_is_down_is_said_and_nothing_forgotten(tmp_path, bucket, monkeypatch):
    upload(bucket, write_store(tmp_path / "run", 1))
    tab = remote_tab(tmp_path)
    assert tab.json("runs")["runs"][0]["last_seq"] == 2
    monkeypatch.setattr(Bucket, "failure", RuntimeError("Reauthentication is needed"))
    (listed,) = tab.json("runs")["runs"]
    assert listed["last_seq"] == 2
    assert set(listed["skipped"].values()) == {"can't be read (RuntimeError: Reauthentication is needed)"}


def test_a_remote_file_that_is_huge_is_not_taken(bucket):
    bucket.pipe("/logs/s/run.json", b" " * ((4 << 20) + 1))
    assert read_store("bucket://logs/s", files_in("bucket://logs/s")).skipped == {
        "run.json": "can't be read (larger than 4 MiB)"
    }


def test_an_empty_remote_file_is_no_record(bucket):
    bucket.pipe("/logs/s/records/1.json", b"")
    skipped = read_store("bucket://logs/s", files_in("bucket://logs/s")).skipped
    assert "not whole JSON" in skipped["records/1.json"]


@pytest.mark.parametrize("folder", ["absent", "bucket://absent"])
def test_a_folder_that_is_not_there_is_empty(bucket, tmp_path, folder):
    path = folder if "://" in folder else str(tmp_path / folder)
    assert read_store(path, files_in(path)) == ([], {}, {})
