"""Read a run's records, whatever state the folder is in, and say what was left out."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_viz.store.schema import Record, SchemaError, parse_object

__all__ = ["Contents", "Files", "read_store", "read_values"]


class Files(NamedTuple):
    """The file functions that the reader uses; TensorBoard's ``gfile`` offers the same for remote folders."""

    names: Callable[[str], list[str]]
    """The names in a folder; FileNotFoundError or NotADirectoryError if there is none."""
    read: Callable[[str], bytes]
    """The content of a file."""


def _local_names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def _local_read(path: str) -> bytes:
    return Path(path).read_bytes()


LOCAL = Files(_local_names, _local_read)


class Contents(NamedTuple):
    """What a store holds."""

    records: list[Record]
    """By method, layer and batches; of equal identity only the newest."""
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
    skipped: dict[str, str] = {}
    found: list[Record] = []
    # Single records first: one that moves to an index meanwhile is then met there.
    for name in sorted(_names(files, f"{folder}/records")):
        if not name.startswith("."):
            _take(_content(files, folder, f"records/{name}", skipped), f"records/{name}", found, skipped)
    for name in sorted(_names(files, folder)):
        if re.fullmatch(r"index-\d+\.jsonl", name):
            lines = (_content(files, folder, name, skipped) or b"").splitlines()
            for number, line in enumerate(lines, start=1):
                _take(line, f"{name}:{number}", found, skipped)
    newest: dict[tuple[str, str, int], Record] = {}
    for record in sorted(found, key=lambda record: record.seq):
        newest[record.identity] = record
    return Contents([newest[identity] for identity in sorted(newest)], _run(files, folder, skipped), skipped)


def read_values(content: bytes) -> NDArray[np.float32]:
    """Decode the .npy file of an item.

    Raises:
        SchemaError: Damaged, or not float32.
    """
    try:
        values = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise SchemaError(f"not a whole .npy file ({error})") from None
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise SchemaError("not a float32 .npy file")
    return values


def _take(content: bytes | None, name: str, found: list[Record], skipped: dict[str, str]) -> None:
    if content is None:
        return
    try:
        found.append(Record.from_json(content))
    except SchemaError as error:
        skipped[name] = str(error)


def _run(files: Files, folder: str, skipped: dict[str, str]) -> dict[str, Any]:
    content = _content(files, folder, "run.json", skipped)
    if content is None:
        return {}
    try:
        return parse_object(content)
    except SchemaError as error:
        skipped["run.json"] = str(error)
        return {}


def _names(files: Files, folder: str) -> list[str]:
    try:
        return files.names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _content(files: Files, folder: str, name: str, skipped: dict[str, str]) -> bytes | None:
    try:
        return files.read(f"{folder}/{name}")
    except FileNotFoundError:
        return None
    except OSError as error:
        skipped[name] = f"can't be read ({error.strerror or error})"
        return None
