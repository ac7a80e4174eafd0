"""Numbers to the 256 steps of a screen, with the scale said and what is not finite kept apart."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["as_floats", "finite_range", "to_bytes"]


def as_floats(values: ArrayLike) -> NDArray[np.float32]:
    """Take an array, or a tensor on any device, as float32."""
    if hasattr(values, "detach"):  # a tensor, without importing torch
        values = values.detach().float().cpu()
    return np.asarray(values, dtype=np.float32)


def finite_range(values: NDArray[np.float32], axes: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the smallest and the largest finite value along some axes; 0 and 0 where none is finite.

    Returns:
        Two arrays that broadcast against ``values``.
    """
    low, high = values.min(axis=axes, keepdims=True), values.max(axis=axes, keepdims=True)
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=axes, keepdims=True)
    high = np.where(finite, values, -np.inf).max(axis=axes, keepdims=True)
    some = finite.any(axis=axes, keepdims=True)
    return np.where(some, low, 0).astype(np.float32), np.where(some, high, 0).astype(np.float32)


def to_bytes(
    values: NDArray[np.float32], low: NDArray[np.float32] | float, high: NDArray[np.float32] | float
) -> NDArray[np.uint8]:
    """Map low..high to 0..255 linearly; outside it is clipped, a range of nothing is mid-grey (128).

    What is not finite becomes some byte: mark it afterwards.
    """
    # Halves, so that a range from one end of float32 to the other does not overflow.
    half = np.float32(0.5)
    start, span = half * low, np.asarray(half * high - half * low)
    flat = span <= 0
    with np.errstate(invalid="ignore", over="ignore"):
        # A division: its inverse overflows where the range is tiny.
        steps = (values * half - start) / np.where(flat, np.finfo(np.float32).tiny, span)
        steps *= np.float32(255)
        steps += np.where(flat, np.float32(128), half)
        return np.clip(steps, 0, 255, out=steps).astype(np.uint8)
