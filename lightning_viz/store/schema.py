"""Schema v1: what a record is, as an object and as JSON.

A store is the folder ``<run>/plugins/lightning_viz/``::

    run.json                     the run: model, layers, hyper-parameters, versions (a new run in the same folder adds
                                 run-2.json, ...: the highest number counts)
    records/000012-filters.json  one record, written after its blobs
    blobs/000012-filters-0.png   pictures, and values as .npy (float32)
    index-1.jsonl                the records of a finished fit, one per line; their single files are gone
    probes/given-<hash>.npz      the images that pictures were made from (captured-<hash>.npz: from the loader)
    probes/<hash>-0.png          the same as pictures, one each; or a sheet of the thumbnails of an embedding's points

No file is ever changed after it has appeared under its name.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

__all__ = ["PLUGIN_NAME", "SCHEMA_VERSION", "Item", "Record", "SchemaError", "parse_object", "portable", "store_folder"]

PLUGIN_NAME = "lightning_viz"
SCHEMA_VERSION = 1

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class SchemaError(ValueError):
    """A file of the store that is not what schema v1 says; the message says what is wrong."""


def store_folder(run: str) -> str:
    """Name the store of a run's folder (TensorBoard's place for a plugin's files)."""
    return f"{run.rstrip('/')}/plugins/{PLUGIN_NAME}"


@dataclass(frozen=True)
class Item:
    """One file of a record: a picture (PNG) or values (float32 .npy)."""

    kind: Literal["picture", "values"]
    name: str
    file: str
    shape: tuple[int, ...]
    dtype: str
    caption: str = ""
    unit: int | None = None
    image_id: int | None = None


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

    @property
    def identity(self) -> tuple[str, str, int]:
        """What makes two records the same one: a resume that goes back records it again."""
        return self.method, self.layer, self.batches

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
        if content["schema"] != SCHEMA_VERSION:
            raise SchemaError(f"schema {content['schema']}; this version of lightning_viz reads {SCHEMA_VERSION}")
        values = _checked(cls, content, _RECORD_TYPES)
        values["items"] = tuple(_item(item) for item in values["items"])
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


_WHOLE: tuple[type, ...] = (int,)
_NUMBER: tuple[type, ...] = (int, float)
_TEXT: tuple[type, ...] = (str,)
_OPTIONAL_WHOLE: tuple[type, ...] = (int, type(None))
_OPTIONAL_TEXT: tuple[type, ...] = (str, type(None))

_RECORD_TYPES: dict[str, tuple[type, ...]] = {
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
_ITEM_TYPES: dict[str, tuple[type, ...]] = {
    "kind": _TEXT,
    "name": _TEXT,
    "file": _TEXT,
    "shape": (list,),
    "dtype": _TEXT,
    "caption": _TEXT,
    "unit": _OPTIONAL_WHOLE,
    "image_id": _OPTIONAL_WHOLE,
}
_FILE = re.compile(r"blobs/[0-9A-Za-z][0-9A-Za-z_.-]*\.(png|npy)")


def _checked(cls: type, content: dict[str, Any], types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    for name, allowed in types.items():
        if name not in content:
            raise SchemaError(f'field "{name}" is missing')
        value = content[name]
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise SchemaError(f'field "{name}" is a {type(value).__name__}')
    return {known.name: content[known.name] for known in fields(cls)}


def _item(content: Any) -> Item:
    if not isinstance(content, dict):
        raise SchemaError("an item is not an object")
    values = _checked(Item, content, _ITEM_TYPES)
    if values["kind"] not in ("picture", "values"):
        raise SchemaError(f'an item of kind "{values["kind"]}"')
    if not _FILE.fullmatch(values["file"]):
        raise SchemaError(f"an item's file is {values['file']!r}, not a .png or .npy in blobs/")
    if not all(isinstance(size, int) and size >= 0 for size in values["shape"]):
        raise SchemaError(f"an item's shape is {values['shape']!r}")
    values["shape"] = tuple(values["shape"])
    return Item(**values)


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
