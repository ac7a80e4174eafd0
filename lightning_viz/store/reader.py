"""Read a run's records, whatever state the folder is in, and say what was left out."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from io import BytesIO
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightning_viz.store.files import LOCAL, Files, Folder, unreadable
from lightning_viz.store.schema import INDEX, Record, SchemaError

__all__ = ["Contents", "Reader", "read_store", "read_values"]


Kept = TypeVar("Kept", bound="Sortable")

_MOST_REASONS = 100
"""Of one file; the others are counted."""


class Contents(NamedTuple, Generic[Kept]):
    """What a store holds."""

    records: list[Kept]
    """By name, layer and batches; of equal identity only the newest."""
    run: dict[str, Any]
    """``run.json``, empty if there is none."""
    skipped: dict[str, str]
    """File (with line number in an index) to the reason why it was left out; of 100 lines of an index, the others are
    counted. Blank lines are no damage."""


def read_store(folder: str, files: Files = LOCAL) -> Contents[Record]:
    """Read all records of a store. Survives half-written, missing, foreign and newer files.

    Args:
        folder: ``<run>/plugins/lightning_viz``; a folder that does not exist has no records.
        files: How to list and read.

    Returns:
        Records, the run's description, and what was skipped and why.
    """
    return Reader(folder, files, lambda record: record).read()


class Sortable(Protocol):
    """What the reader needs of a record to find the newest ones."""

    @property
    def seq(self) -> int:
        """Its number in the store."""

    @property
    def identity(self) -> tuple[str, str, int]:
        """Name, layer and batches."""

    @property
    def error(self) -> object:
        """Whether it failed."""


class _Part(NamedTuple, Generic[Kept]):
    """What one file held."""

    stamp: Hashable
    records: list[Kept]
    skipped: dict[str, str]


class Reader(Generic[Kept]):
    """Reads one store as often as one likes, and each of its files only once, as none ever changes.

    For one thread at a time.
    """

    def __init__(self, folder: str, files: Files, keep: Callable[[Record], Kept]) -> None:
        """Read nothing yet.

        Args:
            folder: As of :func:`read_store`.
            files: Likewise.
            keep: What stays in memory of a record.
        """
        self._folder = Folder(folder, files)
        self._keep = keep
        self._parts: dict[str, _Part[Kept]] = {}
        self._contents: Contents[Kept] = Contents([], {}, {})

    def read(self) -> "Contents[Kept]":
        """Give what is there now: the same object as long as nothing has changed.

        A folder that can't be listed (a network that is down) holds what it held when last seen.
        """
        skipped: dict[str, str] = {}
        # Single records first: one that moves to an index meanwhile is then met there.
        singles = self._listed(self._singles, f"{self._folder.path}/records", skipped)
        parts = dict(self._parts_of(name for name in singles if name.startswith("records/")))
        names = self._listed(self._folder.names, self._folder.path, skipped)
        parts |= self._parts_of(name for name in names if INDEX.fullmatch(name))
        is_listed = self._folder.path not in skipped
        run = self._folder.run(names, skipped) if is_listed else self._contents.run
        if run != self._contents.run and self._parts:  # another run took the folder: its files may have the same names
            self._parts, self._contents = {}, Contents([], run, {})
            return self.read()
        for part in parts.values():
            skipped |= part.skipped
        if parts != self._parts or run != self._contents.run or skipped != self._contents.skipped:
            self._contents = Contents(_newest(parts.values()), run, skipped)
        self._parts = parts
        return self._contents

    def kept(self) -> Iterator[Kept]:
        """Give all that stays in memory, also of records that newer ones have replaced."""
        return (record for part in self._parts.values() for record in part.records)

    def _singles(self) -> list[str]:
        return [f"records/{name}" for name in sorted(self._folder.singles())]

    def _listed(self, names: Callable[[], list[str]], path: str, skipped: dict[str, str]) -> list[str]:
        try:
            return names()
        except OSError as error:
            skipped[path] = unreadable(error)
            return list(self._parts)

    def _parts_of(self, names: Iterable[str]) -> Iterator[tuple[str, _Part[Kept]]]:
        for name in names:
            stamp = self._folder.stamp(name)
            part = self._parts.get(name)
            if part is None or part.stamp != stamp:
                part = self._read_part(name, stamp)
            if part is not None:
                yield name, part

    def _read_part(self, name: str, stamp: Hashable) -> _Part[Kept] | None:
        try:
            content = self._folder.read(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            return _Part(object(), [], {name: unreadable(error)})  # no stamp equals this one: it is tried again
        if not name.endswith(".jsonl"):
            return self._parse(name, stamp, [(name, content)])
        lines = enumerate(content.splitlines(), start=1)
        return self._parse(name, stamp, ((f"{name}:{number}", line) for number, line in lines if line.strip()))

    def _parse(self, name: str, stamp: Hashable, lines: Iterable[tuple[str, bytes]]) -> _Part[Kept]:
        part: _Part[Kept] = _Part(stamp, [], {})
        more = 0
        for place, line in lines:
            try:
                part.records.append(self._keep(Record.from_json(line)))
            except SchemaError as error:
                if len(part.skipped) < _MOST_REASONS:
                    part.skipped[place] = str(error)
                else:
                    more += 1
        if more:
            part.skipped[name] = f"{more} more lines that are no records"
        return part


def _newest(parts: Iterable[_Part[Kept]]) -> list[Kept]:
    """Leave out what was drawn again: by a resume that went back, or by a new run in the same folder."""
    newest: dict[tuple[str, str], dict[int, Kept]] = {}
    for record in sorted((record for part in parts for record in part.records), key=lambda record: record.seq):
        name, layer, batches = record.identity
        if batches == 0 and not record.error:  # an untrained network: what came before belongs to another run
            for old in {layer, ""}:
                untrained = newest.get((name, old), {}).get(0)
                newest[name, old] = {} if untrained is None else {0: untrained}
        newest.setdefault((name, layer), {})[batches] = record
    return [drawn[batches] for _, drawn in sorted(newest.items()) for batches in sorted(drawn)]


def read_values(content: bytes) -> NDArray[np.float32]:
    """Decode the .npy file of an item.

    Raises:
        SchemaError: Damaged, or not float32.
    """
    try:
        values = np.load(BytesIO(content), allow_pickle=False)
    except Exception as error:  # noqa: BLE001 (damaged headers make NumPy raise TokenError, TypeError, BadZipFile, ...)
        raise SchemaError(f"not a whole .npy file ({error})") from None
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise SchemaError("not a float32 .npy file")
    return values
