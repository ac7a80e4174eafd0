"""Which process writes a store: two jobs that were given one folder must not mix their records."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["claim"]

_claimed: "WeakValueDictionary[str, BinaryIO]" = WeakValueDictionary()
"""The stores of this process: a lock of POSIX does not keep a process from itself."""


def claim(folder: Path) -> BinaryIO | None:
    """Claim a store for one fit, until what is returned is closed, or the process is gone, however it ended.

    The kernel holds the lock (over NFS, the server), and lets go of it when the process dies: a run that was killed
    leaves nothing that is in the way of a resumed one. Workers that were forked do not inherit it. Never waits.

    Args:
        folder: Made where there is none. Where nobody can tell (a file system without locks, the lock of another user),
            the claim is granted: no name of a file is used twice, so nothing is lost, but records of two jobs mix.

    Returns:
        None: another fit, of this process or another one, writes there.

    Raises:
        OSError: The folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = os.path.realpath(folder / ".lock")
    ours = _claimed.get(path)
    # To open it a second time and close it would let go of the lock.
    if ours is not None and not ours.closed:
        return None
    try:
        file = open(path, "ab")  # noqa: SIM115 (the caller closes it)
    except PermissionError:
        return open(os.devnull, "ab")
    if fcntl is not None:
        with suppress(OSError):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                file.close()
                return None
    _claimed[path] = file
    return file
