"""Runs and records as the page gets them; ``http_api.md`` is the contract."""

from itertools import islice
from typing import Any, NamedTuple

from lightning_viz.store import Item, Record

__all__ = ["Figures", "described_run", "to_wire"]

_MOST_SKIPPED = 20
_DEEPEST = 50  # Python reads JSON nested deeper than it can write


class Figures(NamedTuple):
    """What the list of runs says of a store."""

    run: dict[str, Any] = {}  # noqa: RUF012 (nobody writes to it)
    """``run.json``."""
    last_seq: int = 0
    started: float | None = None
    is_empty: bool = True
    """Whether there is nothing that is or could be a record."""
    skipped: dict[str, str] = {}  # noqa: RUF012


def described_run(run: str, figures: Figures, source: str = "store") -> dict[str, Any]:
    """Describe a run. Whoever wrote ``run.json``, the page gets the types that it expects."""
    return {
        "run": run,
        "source": source,
        "hyper_parameters": _expected(figures.run.get("hyper_parameters"), dict),
        "last_seq": figures.last_seq,
        "started": figures.started,
        "skipped": dict(islice(figures.skipped.items(), _MOST_SKIPPED)),
    }


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
