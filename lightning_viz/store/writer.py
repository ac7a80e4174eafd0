"""Write a run's records: whole or not at all, and never again."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_viz.store.schema import INDEX, LARGEST_FILE, LARGEST_RECORD, Item, Record, SchemaError, portable

__all__ = ["Store", "write_whole"]


class Store:
    """The store of one run. Opening it again goes on where it ended, with files of its own: no name is used twice."""

    def __init__(self, folder: str | Path) -> None:
        """Create the folders.

        Args:
            folder: ``<run>/plugins/lightning_viz``.

        Raises:
            OSError: It can't be written.
        """
        self.folder = Path(folder)
        self.writer = secrets.token_hex(4)
        for name in ("records", "blobs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder / "records", os.W_OK):
            raise PermissionError(f"{self.folder} is not writable")
        self._seq = self._last_seq()

    def write(self, record: Record, blobs: Iterable[tuple[Item, bytes]] = ()) -> Record:
        """Write one record after its blobs.

        Args:
            record: Its ``seq``, ``items`` and ``writer`` are filled in here.
            blobs: Items (their ``file`` is chosen here) with their encoded content.

        Returns:
            The record as written.

        Raises:
            OSError: Disk full, folder gone. Nothing that was written before is touched, and no half file stays.
            ValueError: Its scalars and meta are larger than what is read.
        """
        size = len(record.to_json())
        if size > LARGEST_RECORD // 2:  # the other half is for the items
            raise ValueError(
                f"a record takes at most {LARGEST_RECORD >> 21} MiB of scalars and meta; got {size} bytes."
            )
        self._seq += 1
        stem = f"{self._seq:06d}-{re.sub(r'[^0-9A-Za-z_-]', '_', record.name)[:80]}-{self.writer}"
        items = []
        for number, (item, content) in enumerate(blobs):
            name = f"blobs/{stem}-{number}.{'png' if item.kind == 'picture' else 'npy'}"
            write_whole(self.folder / name, content)
            items.append(replace(item, file=name))
        record = replace(record, seq=self._seq, items=tuple(items), writer=self.writer)
        write_whole(self.folder / f"records/{stem}.json", record.to_json().encode())
        return record

    def write_index(self) -> None:
        """Gather the single record files into new index files, one where there is room, and delete them.

        Unreadable ones stay.
        """
        lines: list[bytes] = []
        gathered: list[Path] = []
        size = 0
        for path in sorted((self.folder / "records").glob("*.json")):
            try:
                line = Record.from_json(path.read_bytes()).to_json().encode() + b"\n"
            except (SchemaError, OSError):
                continue
            if size + len(line) > LARGEST_FILE:
                self._write_index(lines, gathered)
                lines, gathered, size = [], [], 0
            lines.append(line)
            gathered.append(path)
            size += len(line)
        if lines:
            self._write_index(lines, gathered)

    def _write_index(self, lines: Iterable[bytes], gathered: Iterable[Path]) -> None:
        number = max((number for number, _ in self._indexes()), default=0) + 1
        write_whole(self.folder / f"index-{number}-{self.writer}.jsonl", b"".join(lines))
        for path in gathered:
            path.unlink(missing_ok=True)

    def write_run(self, info: Mapping[str, Any], *, resumed: bool = False) -> None:
        """Write ``run.json``; a resumed run keeps its own, a new one in the same folder adds ``run-2.json``."""
        known = len(list(self.folder.glob("run*.json")))
        if known == 0 or not resumed:
            name = "run.json" if known == 0 else f"run-{known + 1}.json"
            content = _as_json(info)
            if len(content) > LARGEST_RECORD:  # hyper-parameters may hold a whole vocabulary
                short = {str(key): _short(value) for key, value in info.get("hyper_parameters", {}).items()}
                content = _as_json({**info, "hyper_parameters": short})
            write_whole(self.folder / name, content)

    def write_probe(
        self, arrays: Mapping[str, NDArray[Any]], pictures: Callable[[], Iterable[bytes]] = list, *, captured: bool
    ) -> str:
        """Keep the images that pictures are made from, once per content.

        Args:
            arrays: Name to array, e.g. ``images`` ``(N, C, H, W)`` and ``labels`` ``(N,)``.
            pictures: Gives a PNG of each image; called when they are not there yet.
            captured: Whether they came from the Trainer's loader, so that a resumed run wants them back.

        Returns:
            The hash that records refer to.
        """
        digest = hashlib.sha256()
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        key = digest.hexdigest()[:16]
        self.write_photographs(key, pictures)
        name = f"probes/{'captured' if captured else 'given'}-{key}.npz"
        if not (self.folder / name).exists():
            file = BytesIO()
            np.savez(file, **dict[str, Any](arrays))
            write_whole(self.folder / name, file.getvalue())
        return key

    def write_photographs(self, key: str, pictures: Callable[[], Iterable[bytes]]) -> None:
        """Keep pictures of images under a hash of theirs, once.

        Args:
            key: Sixteen hexadecimal digits.
            pictures: Gives PNGs; called when they are not there yet.
        """
        if not (self.folder / f"probes/{key}-0.png").exists():
            # The first is written last: where it is, all are.
            for number, png in reversed(list(enumerate(pictures()))):
                write_whole(self.folder / f"probes/{key}-{number}.png", png)

    def _last_seq(self) -> int:
        """The highest number in use, also by a blob whose record was never written."""
        names = [path.name for folder in ("records", "blobs") for path in (self.folder / folder).iterdir()]
        used = [int(match[1]) for name in names if (match := re.match(r"(\d+)-", name))]
        for _, path in self._indexes():
            used += [int(seq) for seq in re.findall(rb'"seq": (\d+)', path.read_bytes())]
        return max(used, default=0)

    def _indexes(self) -> list[tuple[int, Path]]:
        paths = self.folder.glob("index-*.jsonl")
        return [(int(match[1]), path) for path in paths if (match := INDEX.fullmatch(path.name))]


def _as_json(info: Mapping[str, Any]) -> bytes:
    return json.dumps(portable(info), indent=1, default=_short).encode()


def _short(value: object) -> str:
    """What JSON can't say (a hyper-parameter can be anything), as a text of bearable length."""
    return str(value)[:200]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by a temporary name and a rename, so that nobody ever sees half of it.

    Raises:
        OSError: It can't be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
