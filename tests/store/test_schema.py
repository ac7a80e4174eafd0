import json
import math
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_viz.store import SCHEMA_VERSION, Item, Record, SchemaError, store_folder
from lightning_viz.store.schema import parse_object, portable

RECORD = Record(
    method="filters",
    layer="features.0",
    batches=12,
    epoch=1.5,
    step=11,
    wall_time=1.8e9,
    seq=3,
    items=(
        Item("picture", "picture 0", "blobs/000003-filters-0.png", (12, 20, 3), "uint8", "a caption"),
        Item("values", "weight", "blobs/000003-filters-1.npy", (4, 3, 5, 5), "float32", scale=(-0.5, 2.0)),
    ),
    scalars={"max": 1.0, "nan": math.nan, "up": math.inf, "down": -math.inf},
    meta={"stride": [2, 1], "scale": "filter"},
    probe="0123abcd",
    error="ValueError: no",
    name="first filters",
    writer="a process",
)

TEXT = st.text(st.characters())
NUMBERS = st.one_of(st.floats(allow_nan=False), st.just(math.nan), st.integers(-(2**53), 2**53))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
META = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FINITE, TEXT),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)
ITEMS = st.builds(
    Item,
    kind=st.sampled_from(["picture", "values"]),
    name=TEXT,
    file=st.from_regex(
        r"blobs/[0-9A-Za-z][0-9A-Za-z_.-]{0,20}\.(png|npy)", fullmatch=True, alphabet=st.characters(codec="ascii")
    ),
    shape=st.lists(st.integers(0, 2**40), max_size=5).map(tuple),
    dtype=TEXT,
    caption=TEXT,
    scale=st.none() | st.tuples(FINITE, FINITE),
)
RECORDS = st.builds(
    Record,
    method=TEXT,
    layer=TEXT,
    batches=st.integers(),
    epoch=FINITE,
    step=st.integers(),
    wall_time=FINITE,
    seq=st.integers(),
    items=st.lists(ITEMS, max_size=3).map(tuple),
    scalars=st.dictionaries(TEXT, NUMBERS, max_size=3),
    meta=st.dictionaries(TEXT, META, max_size=3),
    probe=st.none() | TEXT,
    error=st.none() | TEXT,
    name=TEXT,
    writer=TEXT,
)


def edited(**changes) -> str:
    return json.dumps(json.loads(RECORD.to_json()) | changes)


def edited_item(**changes) -> str:
    content = json.loads(RECORD.to_json())
    content["items"][1] |= changes
    return json.dumps(content)


@given(RECORDS)
def test_a_record_survives_json(record):
    assert Record.from_json(record.to_json()) == record
    assert Record.from_json(record.to_json().encode()) == record


@given(RECORDS)
def test_a_record_is_one_line_of_strict_json(record):
    line = record.to_json()
    assert len(line.encode().splitlines()) == 1
    content = json.loads(line, parse_constant=pytest.fail)
    assert content["schema"] == SCHEMA_VERSION


def test_numbers_that_json_lacks_are_written_by_name():
    assert json.loads(RECORD.to_json())["scalars"] == {"max": 1.0, "nan": "NaN", "up": "Infinity", "down": "-Infinity"}
    assert portable({1: (math.nan, [-math.inf])}) == {"1": ["NaN", ["-Infinity"]]}


def test_a_record_cut_anywhere_is_not_whole():
    line = RECORD.to_json()
    for length in range(len(line)):
        with pytest.raises(SchemaError):
            Record.from_json(line[:length])


@given(st.one_of(st.binary(), TEXT, META.map(json.dumps)))
def test_anything_else_is_a_schema_error(content):
    with pytest.raises(SchemaError):
        Record.from_json(content)


@given(st.data(), META)
def test_a_record_with_any_field_replaced_is_read_or_a_schema_error(data, value):
    field = data.draw(st.sampled_from(sorted(json.loads(RECORD.to_json()))))
    with suppress(SchemaError):
        record = Record.from_json(edited(**{field: value}))
        assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize("field", sorted({*json.loads(RECORD.to_json())} - {"schema"}))
def test_a_missing_field_is_named(field):
    content = json.loads(RECORD.to_json())
    del content[field]
    with pytest.raises(SchemaError, match=f'field "{field}" is missing'):
        Record.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "not a JSON object"),
        ("{}", "not a record of lightning_viz"),
        (edited(schema=SCHEMA_VERSION + 1), "schema 3; this version of lightning_viz reads 1 and 2"),
        (edited(schema=0), "schema 0; this version of lightning_viz reads 1 and 2"),
        (edited(schema="1"), "not a record of lightning_viz"),
        (edited(batches=1.5), 'field "batches" is a float'),
        (edited(batches=True), 'field "batches" is a bool'),
        (edited(layer=None), 'field "layer" is a NoneType'),
        (edited(probe=3), 'field "probe" is a int'),
        (edited(epoch=10**400), "too large for a float"),
        (edited(epoch="NaN"), 'field "epoch" is a str'),
        (edited(scalars={"a": 10**400}), "too large for a float"),
        (edited(scalars={"a": "big"}), """scalar "a" is 'big', not a number"""),
        (edited(scalars={"a": True}), 'scalar "a" is True, not a number'),
        (edited(items=[3]), "an item is not an object"),
        (edited().replace('"epoch": 1.5', '"epoch": NaN'), "NaN is not JSON"),
        (edited().replace('"epoch": 1.5', '"epoch": 1e999'), 'field "epoch" is not finite'),
        (edited().replace('"step": 11', '"step": ' + "9" * 5000), "not whole JSON"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "not whole JSON"),
        (edited().encode("utf-16")[3:], "not whole JSON"),
        (b"\xff\xfe\xff" + edited().encode(), "not whole JSON"),
        (edited_item(kind="film"), 'an item of kind "film"'),
        (edited(name=None), 'field "name" is a NoneType'),
        (edited(writer=3), 'field "writer" is a int'),
        (edited_item(scale=3), 'field "scale" is a int'),
        (edited_item(scale=[1.0]), r"an item's scale is \[1.0\], not two finite numbers"),
        (edited_item(scale=[0, "1"]), "not two finite numbers"),
        (edited_item(scale=[True, 1]), "not two finite numbers"),
        (edited_item(scale=[0, 10**400]), "too large for a float"),
        (edited_item(scale=[0.0, 1.5]).replace("[0.0, 1.5]", "[0.0, 1e999]"), "not two finite numbers"),
        (edited_item(shape=[4, -1]), r"an item's shape is \[4, -1\]"),
        (edited_item(shape=[4, 1.5]), r"an item's shape is \[4, 1.5\]"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(SchemaError, match=message):
        Record.from_json(text)


@pytest.mark.parametrize(
    "file",
    [
        "../a.png",
        "blobs/../a.png",
        "/etc/a.png",
        "blobs/a/b.png",
        "blobs/.png",
        "blobs/a.txt",
        "a.png",
        "blobs/a.png\n",
    ],
)
def test_an_item_outside_blobs_is_refused(file):
    with pytest.raises(SchemaError, match=r"not a \.png or \.npy in blobs/"):
        Record.from_json(edited_item(file=file))


def test_fields_of_the_future_are_passed_over():
    assert Record.from_json(edited(mood="good")) == RECORD


def test_identity_is_name_layer_and_batches():
    assert RECORD.identity == ("first filters", "features.0", 12)
    assert replace(RECORD, seq=9, epoch=0.0, step=0, scalars={}).identity == RECORD.identity


def test_a_record_is_named_after_its_method_unless_it_has_a_name():
    assert Record("filters", "conv1", 1, 1.0, 1, 1.8e9).name == "filters"


def test_schema_1_has_no_name_no_writer_and_no_scale():
    content = json.loads(edited(schema=1, name=[], writer=[]))
    content["items"][1]["scale"] = "what it likes"
    items = tuple(replace(item, scale=None) for item in RECORD.items)
    assert Record.from_json(json.dumps(content)) == replace(RECORD, name="filters", writer="", items=items)


def test_an_object_is_parsed_from_bytes_and_text():
    assert parse_object('{"a": 1}') == parse_object(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("run", ["runs/a", "runs/a/"])
def test_the_store_lies_where_tensorboard_keeps_plugin_files(run):
    assert store_folder(run) == "runs/a/plugins/lightning_viz"
