"""TensorBoard's file functions for the reader of a store: of bounded size, and never outside the store."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from tensorboard.compat import tf

from lightning_viz.store import Files
from lightning_viz.store.files import LOCAL
from lightning_viz.store.schema import LARGEST_FILE, LARGEST_RECORD

__all__ = ["files_in"]

_MIB = 1 << 20


def files_in(folder: str) -> Files:
    """Give the file functions for one store, local or remote.

    A file is read if it is not larger than 64 MiB (a single record or ``run.json``: 4 MiB) and, in a local store, if
    it is a plain file that lies inside when all symbolic links are resolved.

    Args:
        folder: The store.

    Returns:
        Functions that raise FileNotFoundError or another OSError, whatever the file system behind raises.
    """
    is_local = "://" not in folder

    def names(path: str) -> list[str]:
        if is_local:
            return LOCAL.names(path)
        with _as_os_error(path):
            _forget_listing(path)
            return [str(name).rstrip("/") for name in tf.io.gfile.listdir(path)]

    def read(path: str) -> bytes:
        limit = LARGEST_RECORD if path.endswith(".json") else LARGEST_FILE
        with _as_os_error(path):
            if is_local:
                path = _checked_file(folder, path, limit)
            with tf.io.gfile.GFile(path, "rb") as file:
                content: bytes = file.read(limit + 1)
        if len(content) > limit:
            raise _too_large(limit)
        return content

    def ends(path: str, size: int) -> tuple[bytes, bytes]:
        with _as_os_error(path):
            if not is_local:
                return _remote_ends(path, size) or _ends_of(read(path), size)
            assert LOCAL.ends is not None
            return LOCAL.ends(_checked_file(folder, path, LARGEST_FILE), size)

    return Files(names, read, LOCAL.stamp, ends) if is_local else Files(names, read, ends=ends)


def _checked_file(folder: str, path: str, limit: int) -> str:
    """Resolve the links of a local path, and refuse what is outside, not a plain file, or too large."""
    folder, path = os.path.realpath(folder), os.path.realpath(path)
    status = os.stat(path)
    if os.path.commonpath([folder, path]) != folder:
        raise OSError("a link that leads out of the store")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a plain file")
    if status.st_size > limit:
        raise _too_large(limit)
    return path


def _too_large(limit: int) -> OSError:
    return OSError(f"larger than {limit // _MIB} MiB")


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    """Translate what the many file systems behind ``gfile`` raise."""
    try:
        yield
    except OSError:
        raise
    except tf.errors.NotFoundError:
        raise FileNotFoundError(path) from None
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _remote_ends(path: str, size: int) -> tuple[bytes, bytes] | None:
    """Read both ends of a remote file; None where only TensorBoard's functions reach it: they read from the start."""
    try:
        file_system, path = import_module("fsspec").core.url_to_fs(path)
        return file_system.cat_file(path, end=size), file_system.cat_file(path, start=-size)
    except Exception:  # noqa: BLE001 (no fsspec, a server without ranges, a file shorter than that)
        return None


def _ends_of(content: bytes, size: int) -> tuple[bytes, bytes]:
    return content[:size], content[-size:]


def _forget_listing(folder: str) -> None:
    """Make fsspec list a remote folder anew: several of its file systems remember the first answer for ever."""
    with suppress(Exception):  # no fsspec, or a folder that TensorBoard reads by other means
        file_system, path = import_module("fsspec").core.url_to_fs(folder)
        file_system.invalidate_cache(path)
