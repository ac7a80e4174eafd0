"""Each route against ``http_api.md``."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from plugin.harness import (
    HYPER_PARAMETERS,
    PICTURE,
    TAG,
    VALUES,
    Tab,
    open_store,
    write_events,
    write_record,
    write_store,
)
from tensorboard.context import RequestContext
from tensorboard.data.provider import RunTagFilter
from torch.utils.tensorboard import SummaryWriter

from lightning_viz.plugin import backend
from lightning_viz.store import Record

EPOCHS = 3
NO_PROBE = "0123456789abcdef"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("logdir")
    write_events(logdir / "a" / "version_0", EPOCHS)
    write_store(logdir / "a" / "version_0", EPOCHS)
    write_events(logdir / "events_only", EPOCHS)
    write_events(logdir / "fails")
    write_record(
        open_store(logdir / "fails"), 0, error="ValueError: <i>", scalars={"max": float("inf")}, meta={"v": [1]}
    )
    (logdir / "elsewhere").mkdir()
    return Tab(logdir, sampling_hints={"images": 1000})


def test_runs_with_a_store_or_images_are_listed(tab):
    runs = {run["run"]: run for run in tab.json("runs")["runs"]}
    assert len(runs) == 3
    assert runs["a/version_0"] == {
        "run": "a/version_0",
        "source": "store",
        "hyper_parameters": HYPER_PARAMETERS,
        "last_seq": EPOCHS + 1,
        "started": 1.8e9,
        "skipped": {},
    }
    nothing = {"hyper_parameters": {}, "last_seq": 0, "started": None, "skipped": {}}
    assert runs["events_only"] == {"run": "events_only", "source": "images", **nothing}
    assert runs["fails"] == {
        "run": "fails",
        "source": "store",
        **nothing,
        "last_seq": 1,
        "started": 1.8e9,
    }


def test_a_run_without_any_picture_is_not_listed(tmp_path):
    (tmp_path / "plain").mkdir()
    assert Tab(tmp_path).json("runs") == {"runs": []}


def test_records_come_in_the_order_in_which_they_were_written(tab):
    records = tab.json("records", run="a/version_0")["records"]
    assert [(record["seq"], record["epoch"], record["step"]) for record in records] == [
        (1, 0.0, 0),
        (2, 1.0, 9),
        (3, 2.0, 19),
        (4, 3.0, 29),
    ]
    assert records[0]["items"] == [
        {
            "kind": "picture",
            "name": "picture 0",
            "shape": [12, 20, 3],
            "dtype": "uint8",
            "caption": "<b>bold</b>",
        },
        {
            "kind": "values",
            "name": "weight",
            "shape": [2, 3, 5],
            "dtype": "float32",
            "caption": "",
        },
    ]


def test_a_record_has_the_fields_that_the_page_reads(tab):
    (record, *_) = tab.json("records", run="a/version_0")["records"]
    assert {*record} == {*vars(Record("filters", "conv1", 0, 0.0, 0, 0.0))} - {"writer"}
    assert record["name"] == "filters"


def test_a_name_survives_the_wire(tmp_path):
    write_events(tmp_path / "run")
    write_record(open_store(tmp_path / "run"), 0, name="first filters", writer="a process")
    (record,) = Tab(tmp_path).json("records", run="run")["records"]
    assert (record["method"], record["name"]) == ("filters", "first filters")


def test_only_records_after_the_given_one_are_sent(tab):
    assert [record["seq"] for record in tab.json("records", run="a/version_0", after=3)["records"]] == [4]
    assert tab.json("records", run="a/version_0", after=4) == {"records": []}


def test_a_failure_and_an_infinite_number_survive_the_wire(tab):
    (record,) = tab.json("records", run="fails")["records"]
    assert (record["error"], record["scalars"], record["meta"]) == ("ValueError: <i>", {"max": "Infinity"}, {"v": [1]})


def test_blobs_are_what_was_drawn(tab):
    picture = tab.get("blob", run="a/version_0", seq=2, item=0, t=1.8e9)
    assert picture.content_type == "image/png"
    assert np.array_equal(np.asarray(Image.open(BytesIO(picture.data))), PICTURE)
    values = tab.get("blob", run="a/version_0", seq=2, item=1)
    assert values.content_type == "application/octet-stream"
    assert np.array_equal(np.load(BytesIO(values.data)), VALUES)


def test_blobs_may_be_cached_for_good_and_nothing_that_changes_may(tab):
    assert tab.get("blob", run="a/version_0", seq=2, item=0).cache_control.max_age == 365 * 24 * 3600
    for response in (
        tab.get("runs"),
        tab.get("records", run="a/version_0"),
        tab.get("blob", run="a/version_0", seq=99),
    ):
        assert response.cache_control.no_cache


def test_scalars_keep_their_steps_and_what_json_lacks(tab):
    assert tab.json("scalar_tags", run="a/version_0") == {"tags": ["train_loss"]}
    scalars = tab.json("scalars", run="a/version_0", tag="train_loss")
    assert scalars == {"steps": [0, 10, 20, 30], "values": [2.0, "NaN", 0.0, -1.0]}


def test_kept_images_are_ours_and_can_be_fetched(tab):
    kept = tab.json("kept_images", run="events_only")
    assert kept["limit"] == 1000
    assert [(image["tag"], image["step"]) for image in kept["images"]] == [(TAG, 10 * epoch) for epoch in range(4)]
    image = tab.get("kept_image", key=kept["images"][0]["key"])
    assert image.content_type == "image/png"
    assert np.array_equal(np.asarray(Image.open(BytesIO(image.data))), PICTURE)


def test_a_key_of_something_else_gets_nothing(tab):
    images = tab.provider.read_blob_sequences(
        RequestContext(), experiment_id="", plugin_name="images", downsample=9, run_tag_filter=RunTagFilter(tags=[TAG])
    )
    width, _, image = images["events_only"][TAG][0].values
    assert tab.get("kept_image", key=image.blob_key).status_code == 200
    response = tab.get("kept_image", key=width.blob_key)
    assert (response.status_code, json.loads(response.text)) == (404, {"error": "Not a PNG."})


def test_an_image_written_at_no_time_is_shown(tmp_path):
    with SummaryWriter(str(tmp_path / "run")) as writer:
        writer.add_image(TAG, PICTURE, 1, walltime=float("inf"), dataformats="HWC")
    (image,) = Tab(tmp_path).json("kept_images", run="run")["images"]
    assert image["wall_time"] == "Infinity"


@pytest.mark.parametrize(
    ("hints", "limit", "count"), [({}, 10, 4), (None, 10, 4), ({"images": 2}, 2, 2), ({"images": 0}, 0, 4)]
)
def test_the_limit_is_what_tensorboard_was_told(tmp_path, hints, limit, count):
    write_events(tmp_path / "run", EPOCHS)
    kept = Tab(tmp_path, sampling_hints=hints).json("kept_images", run="run")
    assert (kept["limit"], len(kept["images"])) == (limit, count)
    assert kept["images"][-1]["step"] == 10 * EPOCHS


def test_without_a_folder_the_kept_images_remain(tmp_path):
    write_events(tmp_path / "run", EPOCHS)
    write_store(tmp_path / "run", EPOCHS)
    tab = Tab(tmp_path, multiplexer=None, logdir="")
    assert [run["source"] for run in tab.json("runs")["runs"]] == ["images"]
    assert tab.get("records", run="run").status_code == 404


@pytest.mark.parametrize(
    ("route", "query", "code", "reason"),
    [
        ("records", {}, 400, 'Argument "run" is missing.'),
        ("records", {"run": "a/version_0", "after": "1.5"}, 400, 'Argument "after" is not a whole number.'),
        ("records", {"run": "no"}, 404, 'TensorBoard knows no run "no".'),
        ("records", {"run": "events_only", "after": "9" * 99}, 400, 'Argument "after" is not a whole number.'),
        ("blob", {"run": "a/version_0", "item": 0}, 400, 'Argument "seq" is missing.'),
        ("blob", {"run": "a/version_0", "seq": "x", "item": 0}, 400, 'Argument "seq" is not a whole number.'),
        (
            "blob",
            {"run": "a/version_0", "seq": 9, "item": 0},
            404,
            "Record 9 has no item 0, or there is no such record.",
        ),
        (
            "blob",
            {"run": "a/version_0", "seq": 1, "item": 2},
            404,
            "Record 1 has no item 2, or there is no such record.",
        ),
        (
            "blob",
            {"run": "a/version_0", "seq": 1, "item": -1},
            404,
            "Record 1 has no item -1, or there is no such record.",
        ),
        ("probe_image", {"run": "a/version_0", "image": 0}, 400, 'Argument "probe" is missing.'),
        ("probe_image", {"run": "a/version_0", "probe": NO_PROBE}, 400, 'Argument "image" is missing.'),
        (
            "probe_image",
            {"run": "a/version_0", "probe": NO_PROBE, "image": "x"},
            400,
            'Argument "image" is not a whole number.',
        ),
        (
            "probe_image",
            {"run": "a/version_0", "probe": NO_PROBE, "image": -1},
            400,
            'Argument "image" is negative.',
        ),
        (
            "probe_image",
            {"run": "a/version_0", "probe": NO_PROBE[:-1], "image": 0},
            400,
            'Argument "probe" is not sixteen hexadecimal digits.',
        ),
        (
            "probe_image",
            {"run": "a/version_0", "probe": NO_PROBE, "image": 0},
            404,
            f"The store has no image 0 of probe {NO_PROBE}.",
        ),
        ("probe_image", {"run": "no", "probe": NO_PROBE, "image": 0}, 404, 'TensorBoard knows no run "no".'),
        ("scalars", {"run": "a/version_0", "tag": "no"}, 404, 'Run "a/version_0" has no scalars "no".'),
        ("scalars", {"run": "a/version_0"}, 400, 'Argument "tag" is missing.'),
        ("kept_image", {"key": "no"}, 404, "No such image; TensorBoard may have dropped it for a newer one."),
        ("static/no.js", {}, 404, "No such module or style."),
    ],
)
def test_errors_are_a_sentence(tab, route, query, code, reason):
    response = tab.get(route, **query)
    assert (response.status_code, json.loads(response.text)) == (code, {"error": reason})


@pytest.mark.parametrize(
    "route",
    [
        "runs",
        "records",
        "blob",
        "probe_image",
        "scalar_tags",
        "scalars",
        "kept_images",
        "kept_image",
        "static/index.js",
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_get_is_answered(tab, route, method):
    response = tab.client.open(f"/data/plugin/lightning_viz/{route}?run=a/version_0", method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")


def test_static_files_have_the_type_that_browsers_insist_on(tab, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "STATIC", tmp_path)
    (tmp_path / "vendor").mkdir()
    for name in ("index.js", "style.css", "vendor/plot-1.2.js", "vendor/LICENSE", "notes.html"):
        (tmp_path / name).write_text(name)
    script, style, vendored = (tab.get(f"static/{name}") for name in ("index.js", "style.css", "vendor/plot-1.2.js"))
    assert [script.mimetype, style.mimetype, vendored.mimetype] == ["text/javascript", "text/css", "text/javascript"]
    assert vendored.text == "vendor/plot-1.2.js"
    assert script.cache_control.no_cache
    assert vendored.cache_control.max_age > 0
    assert [tab.get(f"static/{name}").status_code for name in ("vendor/LICENSE", "notes.html", "")] == [404] * 3


def test_the_page_names_its_module_and_exists(tab):
    listing = json.loads(tab.client.get("/data/plugins_listing").text)["lightning_viz"]
    assert listing["loading_mechanism"]["module_path"] == "/data/plugin/lightning_viz/static/index.js"
    assert listing["enabled"]
    assert tab.get("static/index.js").status_code == 200


def test_without_the_marker_the_tab_is_not_active(tmp_path):
    write_events(tmp_path / "run", marker=False)
    assert not json.loads(Tab(tmp_path).client.get("/data/plugins_listing").text)["lightning_viz"]["enabled"]


def test_a_defect_of_ours_is_a_sentence_too(tab, monkeypatch, caplog):
    monkeypatch.setattr(backend, "described_run", lambda *args: {}["defect"])
    response = tab.get("runs")
    assert (response.status_code, response.headers["X-Content-Type-Options"]) == (500, "nosniff")
    assert json.loads(response.text) == {"error": "This is a defect; TensorBoard's log says more."}
    assert "KeyError: 'defect'" in caplog.text
