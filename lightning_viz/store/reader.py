"""Read a run's records, whatever state the folder is in, and say what was left out."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_viz.store.schema import INDEX, Record, SchemaError, parse_object

__all__ = ["Contents", "Files", "Reader", "read_store", "read_values"]


class Files(NamedTuple):
    """The file functions that the reader uses; TensorBoard's ``gfile`` offers the same for remote folders."""

    names: Callable[[str], list[str]]
    """The names in a folder; FileNotFoundError or NotADirectoryError if there is none."""
    read: Callable[[str], bytes]
    """The content of a file."""
    stamp: Callable[[str], Hashable] = lambda path: None
    """What tells a file from an older one of the same name; without it, a run that replaced another is known by its
    ``run.json``."""


def _local_names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def _local_read(path: str) -> bytes:
    return Path(path).read_bytes()


def _local_stamp(path: str) -> Hashable:
    """Tell a local file from an older one of the same name; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


LOCAL = Files(_local_names, _local_read, _local_stamp)


class Contents(NamedTuple):
    """What a store holds."""

    records: list[Record]
    """By name, layer and batches; of equal identity only the newest."""
    run: dict[str, Any]
    """``run.json``, empty if there is none."""
    skipped: dict[str, str]
    """File (with line number in an index) to the reason why it was left out."""


def read_store(folder: str, files: Files = LOCAL) -> Contents:
    """Read all records of a store. Survives half-written, missing, foreign and newer files.

    Args:
        folder: ``<run>/plugins/lightning_viz``; a folder that does not exist has no records.
        files: How to list and read.

    Returns:
        Records, the run's description, and what was skipped and why.
    """
    return Reader(folder, files).read()


class _Part(NamedTuple):
    """What one file held."""

    stamp: Hashable
    records: list[Record]
    skipped: dict[str, str]


class Reader:
    """Reads one store as often as one likes, and each of its files only once, as none ever changes.

    For one thread at a time.
    """

    def __init__(self, folder: str, files: Files = LOCAL) -> None:
        """Read nothing yet; the arguments are those of :func:`read_store`."""
        self._folder = folder
        self._files = files
        self._parts: dict[str, _Part] = {}
        self._contents = Contents([], {}, {})

    def read(self) -> Contents:
        """Give what :func:`read_store` gives: the same object as long as nothing has changed.

        A folder that can't be listed (a network that is down) holds what it held when last seen.
        """
        skipped: dict[str, str] = {}
        # Single records first: one that moves to an index meanwhile is then met there.
        parts = dict(self._parts_of(self._names("records/", skipped), r"(?s)records/[^.].*"))
        names = self._names("", skipped)
        parts |= self._parts_of(names, INDEX.pattern)
        run = self._run(names, skipped)
        if run != self._contents.run and self._parts:  # another run took the folder: its files may have the same names
            self._parts, self._contents = {}, Contents([], run, {})
            return self.read()
        for part in parts.values():
            skipped |= part.skipped
        if parts != self._parts or run != self._contents.run or skipped != self._contents.skipped:
            self._contents = Contents(_newest(parts.values()), run, skipped)
        self._parts = parts
        return self._contents

    def _parts_of(self, names: Iterable[str], pattern: str) -> Iterator[tuple[str, _Part]]:
        for name in names:
            if not re.fullmatch(pattern, name):
                continue
            stamp = self._files.stamp(f"{self._folder}/{name}")
            part = self._parts.get(name)
            if part is None or part.stamp != stamp:
                part = self._read_part(name, stamp)
            if part is not None:
                yield name, part

    def _read_part(self, name: str, stamp: Hashable) -> _Part | None:
        try:
            content = self._files.read(f"{self._folder}/{name}")
        except FileNotFoundError:
            return None
        except OSError as error:
            return _Part(object(), [], {name: _unreadable(error)})  # no stamp equals this one: it is tried again
        part = _Part(stamp, [], {})
        lines = {name: content}
        if name.endswith(".jsonl"):
            lines = {f"{name}:{number}": line for number, line in enumerate(content.splitlines(), start=1)}
        for place, line in lines.items():
            try:
                part.records.append(Record.from_json(line))
            except SchemaError as error:
                part.skipped[place] = str(error)
        return part

    def _run(self, names: Iterable[str], skipped: dict[str, str]) -> dict[str, Any]:
        matches = [match for name in names if (match := re.fullmatch(r"run(?:-(\d{1,9}))?\.json", name))]
        name = max(matches, key=lambda match: int(match[1] or 1), default=["run.json"])[0]
        try:
            return parse_object(self._files.read(f"{self._folder}/{name}"))
        except FileNotFoundError:
            return {}
        except SchemaError as error:
            skipped[name] = str(error)
            return {}
        except OSError as error:
            skipped[name] = _unreadable(error)
            return self._contents.run

    def _names(self, prefix: str, skipped: dict[str, str]) -> list[str]:
        folder = f"{self._folder}/{prefix}".rstrip("/")
        try:
            return [prefix + name for name in sorted(self._files.names(folder))]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            skipped[folder] = _unreadable(error)
            return list(self._parts)


def _newest(parts: Iterable[_Part]) -> list[Record]:
    """Leave out what was drawn again: by a resume that went back, or by a new run in the same folder."""
    newest: dict[tuple[str, str, int], Record] = {}
    for record in sorted((record for part in parts for record in part.records), key=lambda record: record.seq):
        if record.batches == 0 and not record.error:  # an untrained network: what came before belongs to another run
            old = {(record.name, record.layer), (record.name, "")}
            newest = {key: known for key, known in newest.items() if key[:2] not in old or key[2] == 0}
        newest[record.identity] = record
    return [newest[identity] for identity in sorted(newest)]


def _unreadable(error: OSError) -> str:
    return f"can't be read ({error.strerror or error})"


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
