"""Work that several processes share: one that fails must not leave the others waiting."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

__all__ = ["all_gather_or_raise"]

T = TypeVar("T")


def all_gather_or_raise(work: Callable[[], T]) -> list[T]:
    """Do this process's part, and give the parts of all.

    Args:
        work: Called in every process.

    Returns:
        The parts, in the order of the processes.

    Raises:
        RuntimeError: In every process, when it failed in one; none is left waiting.
    """
    part, error = None, None
    try:
        part = work()
    except Exception as raised:  # noqa: BLE001 (whatever it is, the others must hear of it)
        error = raised
    errors: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(errors, None if error is None else f"{type(error).__name__}: {error}")
    failed = [f"process {rank}: {text}" for rank, text in enumerate(errors) if text is not None]
    if failed:
        raise RuntimeError("; ".join(failed)) from error
    parts: list[Any] = [None] * len(errors)
    dist.all_gather_object(parts, part)
    return parts
