"""What stays in memory of the records that were looked at: compact, and within a bound."""

import json
import sys
from threading import Lock
from typing import Protocol

from lightning_viz.plugin.serialize import to_wire
from lightning_viz.store import Item, Record
from lightning_viz.store.schema import portable

__all__ = ["BOUND", "Forgetful", "KeptRecord", "Shelf"]

BOUND = 256 << 20
"""Bytes of the records of all runs together."""
_OBJECTS = 500
"""Bytes of a kept record besides its text, between 250 in an index and 800 where it has a file of its own."""


class KeptRecord:
    """A record as the page gets it, in one piece, with what finds the newest ones and the files of its items."""

    __slots__ = ("_files", "batches", "error", "layer", "name", "seq", "wall_time", "wire")

    def __init__(self, record: Record) -> None:
        """Write the record once; the object may go."""
        self.name, self.layer = sys.intern(record.name), sys.intern(record.layer)
        self.batches, self.seq, self.wall_time = record.batches, record.seq, record.wall_time
        self.error = bool(record.error)
        self.wire = json.dumps(portable(to_wire(record)), allow_nan=False).encode()
        self._files = "\n".join(item.file for item in record.items)

    @property
    def identity(self) -> tuple[str, str, int]:
        """As of a record."""
        return self.name, self.layer, self.batches

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return len(self.wire) + len(self._files) + _OBJECTS

    def item(self, number: int) -> Item:
        """Give how the record describes one of its files.

        Raises:
            IndexError: It has no such item.
        """
        if number < 0:
            raise IndexError(number)
        item = json.loads(self.wire)["items"][number]
        return Item(**item | {"file": self._files.split("\n")[number], "shape": tuple(item["shape"])})


class Forgetful(Protocol):
    """Who holds records and can read them again."""

    def forget(self) -> None:
        """Let them go; never waits for a reading that is under way."""


class Shelf:
    """Makes whoever was not asked for the longest time let go, once all together hold more than the bound.

    The one that was asked last always stays, however much it holds.
    """

    def __init__(self, bound: int = BOUND) -> None:
        """Hold nothing yet."""
        self._bound = bound
        self._sizes: dict[Forgetful, int] = {}
        self._lock = Lock()

    def use(self, holder: Forgetful, size: int) -> None:
        """Somebody asked for records of a holder, which takes so many bytes now."""
        with self._lock:
            self._sizes.pop(holder, None)
            self._sizes[holder] = size
            self._trim()

    def resize(self, holder: Forgetful, size: int) -> None:
        """A holder has read what is new, though nobody asked."""
        with self._lock:
            if holder in self._sizes:
                self._sizes[holder] = size
                self._trim()

    def _trim(self) -> None:
        total = sum(self._sizes.values())
        while total > self._bound and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            total -= self._sizes.pop(oldest)
            oldest.forget()
