"""From the name of a run to the records in its store, read again as the run grows."""

import os
from threading import Lock

from tensorboard.plugins.base_plugin import TBContext

from lightning_viz.plugin.blob_checks import check_blob, check_png
from lightning_viz.plugin.files import files_in
from lightning_viz.store import Contents, Item, Record, store_folder
from lightning_viz.store.reader import Reader

__all__ = ["RunStore", "Runs"]


class RunStore:
    """The store of one run; what was read once is remembered."""

    def __init__(self, folder: str) -> None:
        """Read nothing yet.

        Args:
            folder: The store, which need not exist.
        """
        self._folder = folder
        self._files = files_in(folder)
        self._reader = Reader(folder, self._files)
        self._records: dict[int, Record] = {}
        self._lock = Lock()

    def read(self) -> Contents:
        """Give all that is there now."""
        with self._lock:
            contents = self._reader.read()
            self._records = {record.seq: record for record in contents.records}
            return contents

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
        if seq not in self._records:
            self.read()
        items = self._records[seq].items
        if number < 0:
            raise IndexError(number)
        item = items[number]
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
        return self._stores.setdefault(folder, RunStore(folder))

    def _folder(self, run: str) -> str | None:
        if self._multiplexer is not None:
            folder = self._multiplexer.RunPaths().get(run)
        else:
            folder = f"{self._logdir.rstrip('/')}/{run}" if self._logdir else None
        if folder is None:
            return None
        # file:// is a local folder too: as a plain path its links are resolved before anything is read.
        return store_folder(os.path.expanduser(folder.removeprefix("file://")))
