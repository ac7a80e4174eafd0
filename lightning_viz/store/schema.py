"""Schema v2: what a record is, as an object and as JSON.

A store is the folder ``<run>/plugins/lightning_viz/``::

    run.json                     the run: model, layers, hyper-parameters, versions (a new run in the same folder adds
                                 run-2.json, ...: the highest number counts)
    records/000012-filters-<writer>.json  one record, written after its blobs
    blobs/000012-filters-<writer>-0.png   pictures, and values as .npy (float32)
    index-1-<writer>.jsonl       the records of a finished fit, one per line; their single files are gone
    .lock                        held by the process that writes here; another one that was given the same run writes
                                 <run>/job_<id>/plugins/lightning_viz/, a store like any other
    probes/given-<hash>.npz      the images that pictures were made from (captured-<hash>.npz: from the loader)
    probes/<hash>-0.png          the same as pictures, one each; or a sheet of the thumbnails of an embedding's points

No file is ever changed after it has appeared under its name. Schema 1 is read too: there a record has no name but its
method, no writer, and no item has a scale.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "MIRRORED",
    "PLUGIN_NAME",
    "SCHEMA_VERSION",
    "Item",
    "Record",
    "SchemaError",
    "parse_object",
    "portable",
    "store_folder",
]

PLUGIN_NAME = "lightning_viz"
MIRRORED = "viz"
"""What the tags of pictures and scalars begin with in stock dashboards, after those of most losses and scores."""
SCHEMA_VERSION = 2

LARGEST_RECORD = 4 << 20
"""Bytes of a record, and of ``run.json``; the tab reads no larger ones, so none are written."""
LARGEST_FILE = 64 << 20
"""Bytes of any other file."""
LARGEST_PICTURE = 1 << 26
"""Pixels: 8192 x 8192, which browsers decode."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class SchemaError(ValueError):
    """A file of the store that is not what the schema says; the message says what is wrong."""


def store_folder(run: str) -> str:
    """Name the store of a run's folder (TensorBoard's place for a plugin's files)."""
    return f"{run.rstrip('/')}/plugins/{PLUGIN_NAME}"


@dataclass(frozen=True)
class Item:
    """One file of a record: a picture (PNG) or values (float32 .npy).

    Attributes:
        kind: Which of the two.
        name: Tells it from the other values of its record; ``http_api.md`` lists them by method.
        file: Below the store.
        shape: Of the array; of a picture ``(H, W, 3)``.
        dtype: What the file holds: ``"uint8"``, ``"float32"``.
        caption: Of a picture.
        scale: Room for values kept in fewer bits: stored numbers run from ``scale[0]`` to ``scale[1]``. None: they
            are the values themselves.
    """

    kind: Literal["picture", "values"]
    name: str
    file: str
    shape: tuple[int, ...]
    dtype: str
    caption: str = ""
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class Record:
    """What one callback produced for one layer at one moment.

    Attributes:
        method: One word, e.g. ``"filters"``.
        layer: Dotted name; empty when drawing failed before there was a layer.
        batches: Finished training batches; 0 for the untrained network.
        epoch: Finished epochs with the fraction of the running one. In the first epoch of a stream, whose length nobody
            knows, the fraction only grows: n / (n + 1) after n batches.
        step: The x at which Lightning logs scalars in the same hook.
        wall_time: Seconds since 1970.
        seq: The number of the record in its store; of equal identity, the highest wins.
        items: Its files.
        scalars: Numbers by name.
        meta: What it takes to compare it (vmin, vmax, kernel, stride, ...).
        probe: Hash of the probe that it was made from; None when the method needs no images.
        error: What went wrong, when drawing failed.
        name: Tells two callbacks apart, also of one class; the method when left out.
        writer: Eight hexadecimal digits, other ones for each fit; empty in older stores.
    """

    method: str
    layer: str
    batches: int
    epoch: float
    step: int
    wall_time: float
    seq: int = 0
    items: tuple[Item, ...] = ()
    scalars: dict[str, float] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    probe: str | None = None
    error: str | None = None
    name: str = ""
    writer: str = ""

    def __post_init__(self) -> None:
        """Take the method for the name where there is none."""
        object.__setattr__(self, "name", self.name or self.method)

    @property
    def identity(self) -> tuple[str, str, int]:
        """What makes two records the same one: a resume that goes back records it again."""
        return self.name, self.layer, self.batches

    def to_json(self) -> str:
        """Write on one line. NaN and infinity, which JSON lacks, become strings."""
        return json.dumps(portable({"schema": SCHEMA_VERSION, **asdict(self)}), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Record":
        """Read and check one line.

        Raises:
            SchemaError: Half-written, of another schema, or a field of the wrong type.
        """
        content = parse_object(text)
        if not isinstance(content.get("schema"), int):
            raise SchemaError("not a record of lightning_viz")
        schema = content["schema"]
        if schema not in _TYPES:
            known = " and ".join(map(str, _TYPES))
            raise SchemaError(f"schema {schema}; this version of lightning_viz reads {known}")
        of_record, of_item = _TYPES[schema]
        values = _checked(content, of_record)
        values["items"] = tuple(_item(item, of_item) for item in values["items"])
        for name in ("epoch", "wall_time"):
            values[name] = _float(values[name])
            if not math.isfinite(values[name]):
                raise SchemaError(f'field "{name}" is not finite')
        values["scalars"] = {name: _number(name, value) for name, value in values["scalars"].items()}
        return cls(**values)


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        SchemaError: Half-written, or something else.
    """
    try:
        content = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"not whole JSON ({error})") from None
    if not isinstance(content, dict):
        raise SchemaError("not a JSON object")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_Types = dict[str, tuple[type, ...]]

_WHOLE: tuple[type, ...] = (int,)
_NUMBER: tuple[type, ...] = (int, float)
_TEXT: tuple[type, ...] = (str,)
_OPTIONAL_TEXT: tuple[type, ...] = (str, type(None))

_RECORD_1: _Types = {
    "method": _TEXT,
    "layer": _TEXT,
    "batches": _WHOLE,
    "epoch": _NUMBER,
    "step": _WHOLE,
    "wall_time": _NUMBER,
    "seq": _WHOLE,
    "items": (list,),
    "scalars": (dict,),
    "meta": (dict,),
    "probe": _OPTIONAL_TEXT,
    "error": _OPTIONAL_TEXT,
}
_ITEM_1: _Types = {
    "kind": _TEXT,
    "name": _TEXT,
    "file": _TEXT,
    "shape": (list,),
    "dtype": _TEXT,
    "caption": _TEXT,
}
_RECORD_2: _Types = {**_RECORD_1, "name": _TEXT, "writer": _TEXT}
_ITEM_2: _Types = {**_ITEM_1, "scale": (list, type(None))}
_TYPES = {1: (_RECORD_1, _ITEM_1), 2: (_RECORD_2, _ITEM_2)}
"""Of each schema that is read, the fields of a record and of an item; what an older one lacks has its default."""

INDEX = re.compile(r"index-(\d+)(?:-[0-9a-f]+)?\.jsonl")

_FILE = re.compile(r"blobs/[0-9A-Za-z][0-9A-Za-z_.-]*\.(png|npy)")


def _checked(content: dict[str, Any], types: _Types) -> dict[str, Any]:
    for name, allowed in types.items():
        if name not in content:
            raise SchemaError(f'field "{name}" is missing')
        value = content[name]
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise SchemaError(f'field "{name}" is a {type(value).__name__}')
    return {name: content[name] for name in types}


def _item(content: Any, types: _Types) -> Item:
    if not isinstance(content, dict):
        raise SchemaError("an item is not an object")
    values = _checked(content, types)
    if values["kind"] not in ("picture", "values"):
        raise SchemaError(f'an item of kind "{values["kind"]}"')
    if not _FILE.fullmatch(values["file"]):
        raise SchemaError(f"an item's file is {values['file']!r}, not a .png or .npy in blobs/")
    if not all(isinstance(size, int) and size >= 0 for size in values["shape"]):
        raise SchemaError(f"an item's shape is {values['shape']!r}")
    values["shape"] = tuple(values["shape"])
    if values.get("scale") is not None:
        values["scale"] = _scale(values["scale"])
    return Item(**values)


def _scale(ends: list[Any]) -> tuple[float, float]:
    if len(ends) != 2 or not all(type(end) in _NUMBER and math.isfinite(_float(end)) for end in ends):
        raise SchemaError(f"an item's scale is {ends!r}, not two finite numbers")
    return _float(ends[0]), _float(ends[1])


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float(value)
    raise SchemaError(f'scalar "{name}" is {value!r}, not a number')


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise SchemaError("a whole number too large for a float") from None


def portable(value: Any) -> Any:
    """Replace what JSON lacks: NaN and infinity by their names, keys that are no text by text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(key): portable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(part) for part in value]
    return value
