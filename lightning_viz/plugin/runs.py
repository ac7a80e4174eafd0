"""From the name of a run to its store: what is known at a glance, and the records of runs that somebody looks at."""

import os
from bisect import bisect_right
from collections.abc import Hashable
from itertools import islice
from threading import Lock
from typing import NamedTuple

from tensorboard.plugins.base_plugin import TBContext

from lightning_viz.plugin.blob_checks import check_blob, check_png
from lightning_viz.plugin.files import files_in
from lightning_viz.plugin.kept import KeptRecord, Shelf
from lightning_viz.plugin.serialize import Figures
from lightning_viz.store import Contents, Files, Item, Record, read_store, store_folder
from lightning_viz.store.glance import Glance, Glancer
from lightning_viz.store.reader import Reader

__all__ = ["RunStore", "Runs"]

_MOST_WATCHED = 100


class _Held:
    """The records of a run that somebody looks at."""

    def __init__(self, folder: str, files: Files) -> None:
        self._reader: Reader[KeptRecord] = Reader(folder, files, KeptRecord)
        self._contents: Contents[KeptRecord] = Contents([], {}, {})
        self._ordered: list[KeptRecord] = []
        self.records: dict[int, KeptRecord] = {}
        """By number; of two writers' records of one number, one."""
        self.size = 0

    def read(self) -> Figures:
        """Read what is new."""
        contents = self._reader.read()
        if contents is not self._contents:
            self._contents = contents
            self._ordered = sorted(contents.records, key=lambda record: record.seq)
            self.records = {record.seq: record for record in contents.records}
            self.size = sum(record.size for record in self._reader.kept())
        return Figures(
            contents.run,
            last_seq=max(self.records, default=0),
            started=min((record.wall_time for record in contents.records), default=None),
            is_empty=not contents.records and not contents.skipped,
            skipped=contents.skipped,
        )

    def lines(self, after: int) -> list[bytes]:
        """Give the records with higher numbers as they are sent."""
        return [record.wire for record in self._ordered[bisect_right(self._ordered, after, key=lambda one: one.seq) :]]


class _Known(NamedTuple):
    """What was found out when the records of a run were last read."""

    mark: Hashable
    """Another one as soon as the store changes."""
    glance: Glance
    figures: Figures


class RunStore:
    """The store of one run: known at a glance; its records are read when somebody looks at them, and let go again."""

    def __init__(self, folder: str, shelf: Shelf | None = None) -> None:
        """Read nothing yet.

        Args:
            folder: The store, which need not exist.
            shelf: Says when to let go; one of its own when omitted.
        """
        self._folder = folder
        self._files = files_in(folder)
        self._shelf = shelf or Shelf()
        self._glancer = Glancer(folder, self._files)
        self._held: _Held | None = None
        self._known: _Known | None = None
        self._lock = Lock()

    def figures(self) -> Figures:
        """Tell what the list of runs says, without reading records that nobody has asked for."""
        with self._lock:
            glance, held = self._glancer.look(), self._held
            known = self._known
            is_same = known is not None and known.mark == (glance.mark, self._damaged(known.figures))
            # What can't be read is tried again.
            if held is not None and (known is None or not is_same or known.figures.skipped):
                figures = self._read_held(held, glance)
                self._shelf.resize(self, held.size)
                return figures
        if known is None:
            return Figures(*glance[:5])
        if is_same:
            return known.figures._replace(skipped=known.figures.skipped | glance.skipped)
        started = known.figures.started if glance.started == known.glance.started else glance.started
        return Figures(*glance[:5])._replace(started=started)

    def read(self) -> Contents[Record]:
        """Read the store through the tab's door, whole and as objects; nothing of it is kept."""
        return read_store(self._folder, self._files)

    def lines(self, after: int) -> list[bytes]:
        """Give the records with higher numbers as the page gets them, in the order of their numbers."""
        return self._read().lines(after)

    def forget(self) -> None:
        """Let go of the records; what was found out about them stays."""
        self._held = None

    def _read(self) -> _Held:
        with self._lock:
            held = self._held or _Held(self._folder, self._files)
            self._read_held(held, self._glancer.look())
            self._held = held
        self._shelf.use(self, held.size)
        return held

    def _read_held(self, held: _Held, glance: Glance) -> Figures:
        figures = held.read()
        self._known = _Known((glance.mark, self._damaged(figures)), glance, figures)
        return figures

    def _damaged(self, figures: Figures) -> Hashable:
        """Give the stamps of damaged single records: one may be a file that is being copied."""
        singles = (name for name in figures.skipped if name.startswith("records/"))
        return tuple(self._files.stamp(f"{self._folder}/{name}") for name in islice(singles, _MOST_WATCHED))

    def blob(self, seq: int, number: int) -> tuple[Item, bytes]:
        """Give one file of a record.

        Args:
            seq: The record's.
            number: Which of its items, from 0.

        Returns:
            How the record describes the file, and its content.

        Raises:
            LookupError: No such record or item.
            OSError: The file is missing, or can't or must not be read.
            SchemaError: The file is not what its record says.
        """
        held = self._held
        if held is not None and seq in held.records:
            item = held.records[seq].item(number)
            self._shelf.use(self, held.size)
        else:
            item = self._read().records[seq].item(number)
        content = self._files.read(f"{self._folder}/{item.file}")
        check_blob(content, item)
        return item, content

    def probe_image(self, probe: str, number: int) -> bytes:
        """Give one of the images that pictures are made from.

        Args:
            probe: Its hash, sixteen hexadecimal digits; it becomes part of a path.
            number: Which of its images, from 0.

        Returns:
            A PNG.

        Raises:
            OSError: The file is missing (older stores have none), or can't or must not be read.
            SchemaError: The file is not what we write.
        """
        content = self._files.read(f"{self._folder}/probes/{probe}-{number}.png")
        check_png(content)
        return content


class Runs:
    """The stores of the runs that TensorBoard knows."""

    def __init__(self, context: TBContext) -> None:
        """Read nothing yet."""
        self._multiplexer = context.multiplexer
        self._logdir = context.logdir or ""
        self._stores: dict[str, RunStore] = {}
        self._shelf = Shelf()

    def store(self, run: str) -> RunStore | None:
        """Give the store of a run.

        Args:
            run: A name that TensorBoard gave; it becomes part of a path.

        Returns:
            None when nobody knows the folder: TensorBoard reads from a server.
        """
        folder = self._folder(run)
        if folder is None:
            return None
        if folder not in self._stores:
            self._stores.setdefault(folder, RunStore(folder, self._shelf))
        return self._stores[folder]

    def _folder(self, run: str) -> str | None:
        if self._multiplexer is not None:
            folder = self._multiplexer.RunPaths().get(run)
        else:
            folder = f"{self._logdir.rstrip('/')}/{run}" if self._logdir else None
        if folder is None:
            return None
        # file:// is a local folder too: as a plain path its links are resolved before anything is read.
        return store_folder(os.path.expanduser(folder.removeprefix("file://")))
