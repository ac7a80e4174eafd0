"""Whatever is asked for and whatever lies in the logdir: no file from outside a store, and never a traceback."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin.harness import SECRET, Tab, fetch, hidden_png, write_events, write_record, write_store
from werkzeug.test import TestResponse

from lightning_viz.plugin import backend, files
from lightning_viz.store import Record, Store

TYPES = {"application/json", "application/octet-stream", "image/png", "text/css", "text/javascript"}


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logdir")
    for name in ("run", "other"):
        write_events(folder / name, 1)
        write_store(folder / name, 1)
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "run/secret.png").write_bytes(SECRET)
    (folder / "run/plugins/lightning_viz/blobs/unnamed.png").write_bytes(SECRET)
    return folder


@pytest.fixture(scope="module")
def tab(logdir):
    return Tab(logdir)


def fetch_blob(run: Path, item: int = 0) -> tuple[int, str]:
    """Of the first record."""
    return fetch(run, "blob", seq=1, item=item)


def rename_file(store: Store, name: str) -> None:
    """Let the first record name another file."""
    (path,) = (store.folder / "records").iterdir()
    record = Record.from_json(path.read_bytes())
    path.write_text(replace(record, items=(replace(record.items[0], file=name),)).to_json())


OUTSIDE = [
    "../secret.txt",
    "../../../secret.txt",
    "..%2f..%2fsecret.txt",
    "%2e%2e/secret.txt",
    "..\\secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "file:///etc/passwd",
    "vendor/../../http_api.md",
    "../http_api.md",
    "../__init__.py",
    "blobs/unnamed.png",
    "\0",
    "index.js\0.png",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_path_leads_out_of_the_static_folder(tab, name):
    response = tab.get(f"static/{name}")
    assert response.status_code == 404
    assert json.loads(response.text) == {"error": "No such module or style."}


@pytest.mark.parametrize("name", [*OUTSIDE, "other/../run", "./run", "run/", "RUN"])
@pytest.mark.parametrize("route", ["records", "blob", "probe_image", "scalar_tags", "scalars", "kept_images"])
def test_a_run_is_a_name_that_tensorboard_knows(tab, route, name):
    response = tab.get(route, run=name, seq=1, item=0, tag="train_loss")
    assert response.status_code == 404
    assert "TensorBoard knows no run" in json.loads(response.text)["error"]


@pytest.mark.parametrize(
    "name", ["../../secret.png", "blobs/../../../secret.png", "/etc/x.png", "blobs/..png/x.png", "../../../other/x.png"]
)
def test_a_record_that_names_a_file_elsewhere_is_no_record(run, store, name):
    (run / "secret.png").write_bytes(hidden_png())
    write_record(store, 0)
    rename_file(store, name)
    tab = Tab(run.parent)
    assert tab.json("records", run="run") == {"records": []}
    assert "not a .png or .npy in blobs/" in str(tab.json("runs")["runs"][0]["skipped"])
    assert fetch_blob(run)[0] == 404


@pytest.mark.parametrize("target", ["../secret.png", "../../../../outside.png", "../../../../other/plugins/x.png"])
def test_a_link_that_leads_out_of_the_store_is_not_followed(run, store, target):
    write_record(store, 0)
    path = store.folder / "blobs/000001-filters-0a1b2c3d-0.png"
    path.unlink()
    path.symlink_to(target)
    (path.parent / target).resolve().parent.mkdir(parents=True, exist_ok=True)
    (path.parent / target).write_bytes(hidden_png())
    is_inside = target == "../secret.png"
    assert fetch_blob(run)[0] == (200 if is_inside else 404)
    assert is_inside or "a link that leads out of the store" in fetch_blob(run)[1]


def test_a_linked_folder_of_blobs_or_records_is_not_followed(run, store, tmp_path):
    write_record(store, 0)
    for name in ("blobs", "records"):
        (store.folder / name).rename(tmp_path / name)
        (store.folder / name).symlink_to(tmp_path / name)
    tab = Tab(run.parent)
    assert tab.json("records", run="run") == {"records": []}
    assert "leads out of the store" in str(tab.json("runs")["runs"][0]["skipped"])


def test_a_linked_run_or_store_is_a_store(run, store, tmp_path):
    write_record(store, 0)
    store.folder.rename(tmp_path / "elsewhere")
    store.folder.symlink_to(tmp_path / "elsewhere")
    assert fetch_blob(run) == (200, "")


@pytest.mark.parametrize(
    "name",
    [
        "blobs/000001-filters-0a1b2c3d-0.png",
        "records/000002-filters-0a1b2c3d.json",
        "run.json",
        "index-1-0a1b2c3d.jsonl",
    ],
)
def test_what_is_no_plain_file_is_not_waited_for(run, store, name):
    write_record(store, 0)
    (store.folder / name).unlink(missing_ok=True)
    os.mkfifo(store.folder / name)
    tab = Tab(run.parent)
    tab.json("records", run="run")
    skipped = tab.json("runs")["runs"][0]["skipped"]
    assert skipped == ({} if name.startswith("blobs") else {name: "can't be read (not a plain file)"})
    assert tab.get("blob", run="run", seq=1, item=0).status_code == (404 if name.startswith("blobs") else 200)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("blobs/000001-filters-0a1b2c3d-0.png", 64),
        ("index-1-0a1b2c3d.jsonl", 64),
        ("records/000002-filters-0a1b2c3d.json", 4),
        ("run.json", 4),
    ],
)
def test_a_huge_file_is_not_read(run, store, name, size, monkeypatch):
    write_record(store, 0)
    with open(store.folder / name, "ab") as file:
        file.truncate((size << 20) + 1)
    opened = []
    original = files.tf.io.gfile.GFile
    monkeypatch.setattr(files.tf.io.gfile, "GFile", lambda path, mode: opened.append(path) or original(path, mode))
    tab = Tab(run.parent)
    tab.json("records", run="run")
    skipped = tab.json("runs")["runs"][0]["skipped"]
    response = tab.get("blob", run="run", seq=1, item=0)
    if name.startswith("blobs"):
        assert (response.status_code, skipped) == (404, {})
        assert f"larger than {size} MiB" in response.text
    else:
        assert (response.status_code, skipped) == (200, {name: f"can't be read (larger than {size} MiB)"})
    assert str(store.folder / name) not in opened


def test_a_missing_file_is_missing(run, store):
    write_record(store, 0)
    (store.folder / "blobs/000001-filters-0a1b2c3d-0.png").unlink()
    assert fetch_blob(run) == (404, "The file of item 0 of record 1 is missing.")


@pytest.mark.parametrize(("item", "content", "reason"), [
    (0, b"<script>alert(1)</script>", "not a whole PNG"),
    (0, hidden_png()[:-1], "not a whole PNG"),
    (1, SECRET, "not a .npy file"),
])  # fmt: skip
def test_a_file_that_we_would_not_write_is_not_served(run, store, item, content, reason):
    record = write_record(store, 0)
    (store.folder / record.items[item].file).write_bytes(content)
    code, error = fetch_blob(run, item)
    assert (code, reason in error) == (404, True)


@pytest.mark.parametrize("depth", [60, *range(440, 500, 4), 900])
def test_json_that_is_nested_deeply_does_not_hide_the_others(run, store, depth):
    nested = "[" * depth + "]" * depth
    record = write_record(store, 0)
    write_record(store, 1)
    path = store.folder / "records/000001-filters-0a1b2c3d.json"
    path.write_text(record.to_json().replace('"meta": {}', f'"meta": {{"deep": {nested}}}'))
    (store.folder / "run.json").write_text(f'{{"model": "Net", "hyper_parameters": {{"x": {nested}}}}}')
    tab = Tab(run.parent)
    (listed,) = tab.json("runs")["runs"]
    assert (listed["hyper_parameters"], listed["last_seq"]) == ({}, 2)
    sent = tab.json("records", run="run")["records"]
    assert [(record["seq"], record["meta"]) for record in sent] == [(1, {}), (2, {})]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(described=st.dictionaries(st.sampled_from(["model", "layers", "hyper_parameters", "schema"]), json_values))
def test_whoever_wrote_the_description_the_page_gets_the_types_it_expects(logdir, described):
    (logdir / "run/plugins/lightning_viz/run.json").write_text(json.dumps(described))
    listed = next(run for run in Tab(logdir).json("runs")["runs"] if run["run"] == "run")
    assert type(listed["hyper_parameters"]) is dict


texts = st.sampled_from(["run", "other", "1", "2", "-1", "0", "train_loss", "0123456789abcdef", *OUTSIDE]) | st.text(
    max_size=20
)


NAMES = st.sampled_from(["run", "after", "seq", "item", "t", "tag", "key", "probe", "image"])


@given(
    route=st.sampled_from(
        ["runs", "records", "blob", "probe_image", "scalar_tags", "scalars", "kept_images", "kept_image"]
    ),
    query=st.dictionaries(NAMES | texts, texts, max_size=5),
)
def test_any_query_gets_an_answer_of_ours(tab, route, query):
    check_answer(tab.get(route, **query))


@given(query=st.binary(max_size=40))
def test_any_bytes_as_a_query_get_an_answer_of_ours(tab, query):
    for route in ("blob", "records", "probe_image", "kept_image"):
        environ = {"QUERY_STRING": "run=run&key=" + query.decode("latin-1")}
        check_answer(tab.client.get(f"/data/plugin/lightning_viz/{route}", environ_overrides=environ))


@given(name=texts | st.lists(texts, max_size=4).map("/".join))
def test_any_path_gets_a_module_or_nothing(tab, name):
    path = f"/data/plugin/lightning_viz/static/{name}".encode().decode("latin-1")
    response = tab.client.get("/", environ_overrides={"PATH_INFO": path})
    if response.text == "Not found":  # TensorBoard's own answer to a path that ends in slashes
        return
    check_answer(response)
    if response.status_code == 200:
        assert (backend.STATIC / name).read_bytes() == response.data


def check_answer(response: TestResponse) -> None:
    assert response.status_code in (200, 400, 404)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.mimetype in TYPES
    assert SECRET not in response.data
    if response.status_code != 200:
        assert list(json.loads(response.text)) == ["error"]
