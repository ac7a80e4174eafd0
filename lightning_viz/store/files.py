"""Where a store lies: how its files are listed and read, on a local disk or elsewhere, and who wrote it."""

import os
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple

from lightning_viz.store.schema import SchemaError, parse_object

__all__ = ["LOCAL", "Files", "Folder", "unreadable"]


class Files(NamedTuple):
    """The file functions that the reader uses; TensorBoard's ``gfile`` offers the same for remote folders."""

    names: Callable[[str], list[str]]
    """The names in a folder; FileNotFoundError or NotADirectoryError if there is none."""
    read: Callable[[str], bytes]
    """The content of a file."""
    stamp: Callable[[str], Hashable] = lambda path: None
    """What tells a file from an older one of the same name; without it, a run that replaced another is known by its
    ``run.json``."""
    ends: Callable[[str, int], tuple[bytes, bytes]] | None = None
    """The first and the last so many bytes of a file; without it, files are read whole for that."""


def _local_names(folder: str) -> list[str]:
    return os.listdir(folder)


def _local_read(path: str) -> bytes:
    return Path(path).read_bytes()


def _local_stamp(path: str) -> Hashable:
    """Tell a local file from an older one of the same name; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _local_ends(path: str, size: int) -> tuple[bytes, bytes]:
    with open(path, "rb") as file:
        head = file.read(size)
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return head, file.read(size)


LOCAL = Files(_local_names, _local_read, _local_stamp, _local_ends)


class Folder:
    """The folder of one store: its names, and the description of its run, which is parsed once."""

    def __init__(self, path: str, files: Files) -> None:
        """Read nothing yet."""
        self.path = path
        self.files = files
        self._description: tuple[Hashable, dict[str, Any]] = (None, {})

    def singles(self) -> list[str]:
        """Name the files in ``records/``, in any order; an OSError if nobody can tell."""
        return [name for name in self._names(f"{self.path}/records") if name[:1] != "."]

    def names(self) -> list[str]:
        """Name what lies beside that; an OSError if nobody can tell."""
        return sorted(self._names(self.path))

    def stamp(self, name: str) -> Hashable:
        """Tell a file from an older one of the same name."""
        return self.files.stamp(f"{self.path}/{name}")

    def read(self, name: str) -> bytes:
        """Give the content of a file."""
        return self.files.read(f"{self.path}/{name}")

    def ends(self, name: str, size: int) -> tuple[bytes, bytes]:
        """Give the first and the last so many bytes of a file, which may overlap."""
        if self.files.ends is not None:
            return self.files.ends(f"{self.path}/{name}", size)
        content = self.read(name)
        return content[:size], content[-size:]

    def run(self, names: list[str], skipped: dict[str, str]) -> dict[str, Any]:
        """Give the description of the run that wrote last: ``run.json``, or the one with the highest number.

        Args:
            names: What :meth:`names` gave.
            skipped: Gets a reason if it is damaged; then it is empty, or what it was while it could still be read.
        """
        matches = [match for name in names if (match := re.fullmatch(r"run(?:-(\d{1,9}))?\.json", name))]
        name = max(matches, key=lambda match: int(match[1] or 1), default=["run.json"])[0]
        stamp = self.stamp(name)
        known, description = self._description
        if stamp is not None and known == (name, stamp):
            return description
        try:
            description = parse_object(self.read(name))
        except FileNotFoundError:
            return {}
        except SchemaError as error:
            skipped[name] = str(error)
            return {}
        except OSError as error:
            skipped[name] = unreadable(error)
            return description
        self._description = (name, stamp), description
        return description

    def _names(self, folder: str) -> list[str]:
        try:
            return self.files.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []


def unreadable(error: OSError) -> str:
    """Say why a file or folder can't be read."""
    return f"can't be read ({error.strerror or error})"
