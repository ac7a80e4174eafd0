"""Runs and records as the page gets them; ``http_api.md`` is the contract."""

from itertools import islice
from typing import Any

from lightning_viz.store import Contents, Item, Record

__all__ = ["run_from_images", "run_from_store", "to_wire"]

_MOST_SKIPPED = 20
_DEEPEST = 50  # Python reads JSON nested deeper than it can write


def run_from_store(run: str, contents: Contents) -> dict[str, Any]:
    """Describe a run by its store. Whoever wrote ``run.json``, the page gets the types that it expects."""
    return {
        "run": run,
        "source": "store",
        "hyper_parameters": _expected(contents.run.get("hyper_parameters"), dict),
        "last_seq": max((record.seq for record in contents.records), default=0),
        "started": min((record.wall_time for record in contents.records), default=None),
        "skipped": dict(islice(contents.skipped.items(), _MOST_SKIPPED)),
    }


def run_from_images(run: str) -> dict[str, Any]:
    """Describe a run that has no store, only images in its event files."""
    return run_from_store(run, Contents([], {}, {})) | {"source": "images"}


def to_wire(record: Record) -> dict[str, Any]:
    """Write a record without the names of its files, and without what only the store needs."""
    sent = _without(record, "writer")
    return {
        **sent,
        "meta": _expected(record.meta, dict),
        "items": [_without(item, "file", "scale") for item in record.items],
    }


def _without(part: Record | Item, *names: str) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if name not in names}


def _expected(value: Any, kind: type) -> Any:
    """Give a value if it is of the type that the page expects and can be written; else an empty one."""
    return value if isinstance(value, kind) and _is_shallow(value) else kind()


def _is_shallow(value: Any, levels: int = _DEEPEST) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)
