"""What a store says of itself at a glance: names, the description of the run, the ends of an index; no more is read."""

import re
import time
from collections.abc import Hashable
from typing import Any, NamedTuple

from lightning_viz.store.files import Files, Folder, unreadable
from lightning_viz.store.schema import INDEX, LARGEST_RECORD, Record, SchemaError

__all__ = ["Glance", "Glancer"]

_END = 64 << 10
"""Bytes of an index that are read at each end, and more only where a record is longer."""
_NUMBERED = re.compile(r"(\d{1,15})-")
_SETTLED, _TRUSTED = 2.0, 60.0
"""Seconds: a folder whose stamp has stayed the same for the first before it was listed is not listed again for the
second. Stamps are coarse, and some mounted clouds never change those of folders."""


class Glance(NamedTuple):
    """What is known of a store whose records nobody has read."""

    run: dict[str, Any]
    """``run.json``."""
    last_seq: int
    """The highest number in the names of single records and at the ends of indexes; that record may be damaged."""
    started: float | None
    """The earliest of the records at the beginnings; None if there is none or it can't be read."""
    is_empty: bool
    """Whether there is nothing that could be a record."""
    skipped: dict[str, str]
    """What could not be read of what was looked at."""
    mark: Hashable
    """Another one as soon as anything has come, gone or changed."""


class _Singles(NamedTuple):
    """The single records, without their names: thousands, in each of hundreds of runs."""

    mark: int = 0
    first: str = ""
    last_seq: int = 0


class _Ends(NamedTuple):
    """What a file says at its beginning and its end."""

    started: float | None = None
    last_seq: int = 0
    is_empty: bool = False


class Glancer:
    """Looks at one store as often as one likes. For one thread at a time."""

    def __init__(self, folder: str, files: Files) -> None:
        """Look at nothing yet.

        Args:
            folder: The store, which need not exist.
            files: How to list and read.
        """
        self._folder = Folder(folder, files)
        self._ends: dict[str, tuple[Hashable, _Ends]] = {}
        self._glance = Glance({}, 0, None, True, {}, None)
        self._descriptions = 0
        self._singles = _Singles()
        self._stamp: Hashable = None
        self._since = self._listed = 0.0

    def look(self) -> Glance:
        """Give what is there now; of a folder that can't be listed, what was there."""
        path = f"{self._folder.path}/records"
        try:
            singles = self._list_singles()
            path = self._folder.path
            names = self._folder.names()
        except OSError as error:
            return self._glance._replace(is_empty=False, skipped={path: unreadable(error)})
        skipped: dict[str, str] = {}
        run = self._folder.run(names, skipped)
        if run != self._glance.run:  # another run took the folder: its files may have the same names
            self._ends = {}
            self._descriptions += 1
        looked_at = [name for name in names if INDEX.fullmatch(name)] + ([singles.first] if singles.first else [])
        self._ends = {name: self._look_at(name, skipped) for name in looked_at}
        ends = [end for _, end in self._ends.values()]
        self._glance = Glance(
            run,
            last_seq=max([singles.last_seq, *(end.last_seq for end in ends)]),
            started=min((end.started for end in ends if end.started is not None), default=None),
            is_empty=not skipped and all(end.is_empty for end in ends),
            skipped=skipped,
            mark=(singles.mark, self._descriptions, *((name, stamp) for name, (stamp, _) in self._ends.items())),
        )
        return self._glance

    def _list_singles(self) -> _Singles:
        stamp, now = self._folder.stamp("records"), time.monotonic()
        if stamp is None or stamp != self._stamp:
            self._stamp, self._since = stamp, now
        elif self._listed - self._since >= _SETTLED and now - self._listed < _TRUSTED:
            return self._singles
        names = self._folder.singles()
        first = f"records/{min(names)}" if names else ""
        self._singles = _Singles(hash(frozenset(names)), first, _last_number(names))
        self._listed = now
        return self._singles

    def _look_at(self, name: str, skipped: dict[str, str]) -> tuple[Hashable, _Ends]:
        stamp = self._folder.stamp(name)
        known = self._ends.get(name)
        if known is not None and known[0] == stamp:
            return known
        try:
            return stamp, self._ends_of(name) if INDEX.fullmatch(name) else _record(self._folder.read(name))
        except FileNotFoundError:
            return object(), _Ends(is_empty=True)  # no stamp equals this one: it is tried again
        except OSError as error:
            skipped[name] = unreadable(error)
            return object(), _Ends()

    def _ends_of(self, name: str) -> _Ends:
        size = _END
        while True:
            head, tail = self._folder.ends(name, size)
            first, last = _first_of(head.splitlines()), _first_of(reversed(tail.splitlines()))
            if (first is not None and last is not None) or len(head) < size or size >= LARGEST_RECORD:
                break
            size *= 8
        return _Ends(first.wall_time if first else None, last.seq if last else 0, is_empty=not head.strip())


def _last_number(names: list[str]) -> int:
    """Give the number of the record written last; numbers are padded, so the last name has it."""
    if last := _NUMBERED.match(max(names, default="")):
        return int(last[1])
    matches = [match for name in names if (match := _NUMBERED.match(name))]
    return max((int(match[1]) for match in matches), default=0)


def _first_of(lines: Any) -> Record | None:
    """Give the first whole record; lines at the ends may be cut."""
    for line in lines:
        if line.strip():
            try:
                return Record.from_json(line)
            except SchemaError:
                continue
    return None


def _record(content: bytes) -> _Ends:
    """Give what a single record says; its number is in its name."""
    try:
        return _Ends(Record.from_json(content).wall_time)
    except SchemaError:
        return _Ends()
