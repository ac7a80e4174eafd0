"""The tables of ``http_api.md`` against what every public callback writes, both ways."""

import re
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from contract.harness import contents, fit, store_of
from helpers.data import CleanImages
from torch import Tensor
from torch.utils.data import Dataset

import lightning_viz
from lightning_viz import Probe, VizCallback, plugin
from lightning_viz.store import Item, Record, read_values

PAGE = Path(plugin.__file__).with_name("http_api.md")
COLUMNS = "| part | name | type | when | meaning |"
PLAIN: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
NO_JSON = ("NaN", "Infinity", "-Infinity")


class Row(NamedTuple):
    """One row of a table."""

    part: str
    name: str
    base: str
    """The type without its shape."""
    axes: tuple[str, ...]
    nullable: bool
    always: bool


Tables = dict[str, list[Row]]


def read_tables(page: str) -> Tables:
    """The rows by what the heading of their table names: methods, or a type."""
    tables: Tables = {}
    for section in re.split(r"^#+ ", page, flags=re.MULTILINE):
        heading, _, text = section.partition("\n")
        if COLUMNS in text:
            rows = [_row(line) for line in text.partition(COLUMNS)[2].splitlines()[2:] if line.startswith("|")]
            for name in re.findall("`(.+?)`", heading):
                assert name not in tables, f"http_api.md has two tables of {name}"
                tables[name] = rows
    return tables


def _row(line: str) -> Row:
    part, name, kind, when, _ = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
    match = re.fullmatch(r"(\w+)(?:\[(.+)\])?( or null)?", kind)
    assert part in ("value", "picture", "meta", "scalar", "field"), line
    assert match is not None, f"no such type: {line}"
    return Row(part, name, match[1], tuple(match[2].split(", ")) if match[2] else (), bool(match[3]), when == "always")


class Comparison:
    """Compares records of a method with the tables."""

    def __init__(self, method: str, tables: Tables) -> None:
        self.tables = tables
        self.method = method
        self.seen: set[tuple[str, str]] = set()
        """The names of tables and of rows that something was written for."""
        self.lengths: dict[str, int] = {}

    def of(self, record: Record) -> Iterator[str]:
        """Say in what a record differs."""
        self.lengths = {}
        pictures, values = ({i.name: i for i in record.items if i.kind == kind} for kind in ("picture", "values"))
        for part, found in (
            ("value", values),
            ("picture", pictures),
            ("meta", record.meta),
            ("scalar", record.scalars),
        ):
            yield from self._of_part(self.method, part, found)

    def unseen(self) -> Iterator[str]:
        """Name the rows, also those of types, that nothing was written for."""
        for table in {self.method, *(table for table, _ in self.seen)}:
            yield from (f'"{row.name}" of {table}' for row in self.tables[table] if (table, row.name) not in self.seen)

    def _of_part(self, table: str, part: str, found: Mapping[str, Any]) -> Iterator[str]:
        rows = [row for row in self.tables[table] if row.part == part]
        yield from (f'{part} "{name}" is in no row' for name in {*found} - {row.name for row in rows})
        for row in rows:
            what = f'{part} "{row.name}"'
            if row.name not in found:
                if row.always:
                    yield f"{what} is missing"
                continue
            self.seen.add((table, row.name))
            value = found[row.name]
            if isinstance(value, Item):
                if value.dtype != row.base:
                    yield f"{what} is {value.dtype}, not {row.base}"
                yield from self._of_shape(row, what, value.shape)
            elif not (value is None and row.nullable):
                shape, entries = unpack(value, row.axes)
                yield from self._of_shape(row, what, shape)
                for entry in entries:
                    yield from self._of_entry(row, what, entry)

    def _of_shape(self, row: Row, what: str, shape: Sequence[int]) -> Iterator[str]:
        fits = len(shape) == len(row.axes)
        for axis, length in zip(row.axes, shape, strict=False):
            expected = length if axis == "*" else int(axis) if axis.isdigit() else self.lengths.setdefault(axis, length)
            fits &= length == expected
        if not fits:
            yield f"{what} has shape {tuple(shape)}, not ({', '.join(row.axes)}) where {self.lengths}"

    def _of_entry(self, row: Row, what: str, entry: Any) -> Iterator[str]:
        if isinstance(entry, dict) and row.base in self.tables:
            yield from (f"{what}: {fault}" for fault in self._of_part(row.base, "field", entry))
        elif type(entry) not in PLAIN.get(row.base, ()) and not (row.base == "float" and entry in NO_JSON):
            yield f"{what} holds {entry!r}, not {row.base}"


def unpack(value: Any, axes: Sequence[str]) -> tuple[list[int], list[Any]]:
    """The shape of lists in lists, as far as they are regular, and what is in the innermost."""
    shape: list[int] = []
    entries = [value]
    for _ in axes:
        lengths = {len(entry) if isinstance(entry, list) else -1 for entry in entries}
        if len(lengths) != 1 or -1 in lengths:
            break
        shape += lengths
        entries = [part for entry in entries for part in entry]
    return shape, entries


class Unlabelled(Dataset[Tensor]):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Tensor:
        return CleanImages()[index][0]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return read_tables(PAGE.read_text())


@pytest.fixture(scope="module")
def written(every: list[type[VizCallback]], tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """What all callbacks write of images with labels and class names, and of images with neither."""
    images = CleanImages().images[:5]
    labelled = Probe((images, torch.arange(5) % 3), class_names=["ant", "bee", "cow"])
    bare = Probe(images)
    records: list[Record] = []
    for name, probe, data in (("labelled", labelled, CleanImages()), ("bare", bare, Unlabelled())):
        callbacks = [
            callback(probe=probe, epochs=[1], **{"data": data} if "data" in signature(callback).parameters else {})
            for callback in every
        ]
        trainer = fit("pytorch_lightning", tmp_path_factory.mktemp(name), callbacks)
        for record in contents(trainer).records:
            assert record.error is None, record.error
            for item in (item for item in record.items if item.kind == "values"):
                values = read_values((store_of(trainer) / item.file).read_bytes())
                assert (values.shape, str(values.dtype)) == (item.shape, item.dtype)
            records.append(record)
    return records


def faults(callback: type[VizCallback], tables: Tables, written: list[Record]) -> list[str]:
    """In what the records of a callback differ from the tables."""
    if callback.method not in tables:
        return [
            f'http_api.md does not say what {callback.__name__} writes: add a section "### `{callback.method}`" with a '
            f'table "{COLUMNS}", a row for each of its values, pictures, meta keys and scalars.'
        ]
    comparison = Comparison(callback.method, tables)
    found = [fault for record in written if record.method == callback.method for fault in comparison.of(record)]
    found += [f"nobody writes {row}" for row in comparison.unseen()]
    return [f"{callback.method}: {fault}" for fault in dict.fromkeys(found)]


def test_what_a_callback_writes_is_what_the_page_says(
    callback: type[VizCallback], tables: Tables, written: list[Record]
) -> None:
    found = faults(callback, tables, written)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "instead", "fault"),
    [
        ("| value | `layout` | `float32[N, 2]` |", "", 'value "layout" is in no row'),
        (
            "| value | `layout` | `float32[N, 2]` |",
            "| value | `layout` | `float32[2, N]` |",
            "shape (24, 2), not (2, N)",
        ),
        ("| value | `layout` | `float32[N, 2]` |", "| value | `layout` | `float16[N, 2]` |", "is float32, not float16"),
        ("`distances` | `float32[N, k]`", "`distances` | `float32[k, N]`", "shape (24, 10), not (k, N)"),
        ("`distances` | `float32[N, k]`", "`distances` | `float32[N]`", "shape (24, 10), not (N)"),
        ("| meta | `iterations` | `int` |", "| meta | `iterations` | `str` |", "not str"),
        ("| meta | `engine` |", "| meta | `motor` |", 'meta "engine" is in no row'),
        ("| meta | `engine` |", "| meta | `motor` |", 'meta "motor" is missing'),
        ("| `str[*] or null` |", "| `str[*]` |", 'meta "class_names" has shape (), not (*)'),
        ("| field | `hash` | `str` |", "| field | `hash` | `int` |", 'meta "points": field "hash" holds'),
        ("| scalar | `drift` |", "| scalar | `speed` |", 'scalar "drift" is in no row'),
        ("| scalar | `drift` |", "| scalar | `speed` |", 'nobody writes "speed" of embedding'),
        ("| from the second drawing on |", "| always |", 'scalar "drift" is missing'),
        ("### `embedding`", "### `map`", "http_api.md does not say what Embedding writes: add a section"),
    ],
)
def test_a_table_that_is_wrong_is_found(written: list[Record], line: str, instead: str, fault: str) -> None:
    page = PAGE.read_text()
    assert line in page
    found = faults(lightning_viz.Embedding, read_tables(page.replace(line, instead)), written)
    assert any(fault in one for one in found), found


def test_every_table_is_of_a_method_or_of_a_type_that_one_uses(every: list[type[VizCallback]], tables: Tables) -> None:
    methods = {callback.method for callback in every}
    used = {row.base for rows in tables.values() for row in rows if row.part in ("meta", "field")} - {*PLAIN}
    assert {*tables} <= methods | used
