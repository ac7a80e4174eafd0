"""Values as colours."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_viz.render.grids import grid_columns, lay_out
from lightning_viz.render.palettes import Palette, mark_non_finite, palette
from lightning_viz.render.scaling import as_floats, finite_range, to_bytes

__all__ = ["heat_map"]


def heat_map(
    values: ArrayLike, vmin: float | None = None, vmax: float | None = None, colours: Palette = "heat"
) -> NDArray[np.uint8]:
    """Draw values as colours, one pixel per value.

    Args:
        values: ``(h, w)`` floats: a map. ``(K,)``: one value per unit, laid out like the tiles of ``filter_grid``,
            one pixel apart. Array or tensor, left untouched.
        vmin: Value of the first colour; when omitted the smallest finite value, with ``"diverging"`` as far from zero
            as the last.
        vmax: Value of the last colour; likewise.
        colours: ``"heat"``, ``"grey"`` or ``"diverging"``.

    Returns:
        ``(H, W, 3)`` uint8. NaN is magenta, +infinity yellow, -infinity cyan.

    Raises:
        ValueError: Neither one nor two axes, nothing to draw, vmin above vmax, or an unknown palette.

    Example:
        >>> heat_map(np.arange(6.0).reshape(2, 3)).shape
        (2, 3, 3)
    """
    floats = as_floats(values)
    if floats.ndim not in (1, 2) or floats.size == 0:
        raise ValueError(f"heat_map: values must be (h, w) or (K,) and not empty; got {floats.shape}.")
    if vmin is not None and vmax is not None and vmin > vmax:
        raise ValueError(f"heat_map: vmin must not be above vmax; got {vmin} and {vmax}.")
    low, high = finite_range(floats, axes=tuple(range(floats.ndim)))
    if colours == "diverging":
        high = np.asarray(np.maximum(-low, high) if vmin is None else -vmin, dtype=np.float32)
        low = np.asarray(-high if vmax is None else -vmax, dtype=np.float32)
    first = np.minimum(low, np.inf if vmax is None else vmax) if vmin is None else vmin
    last = np.maximum(high, -np.inf if vmin is None else vmin) if vmax is None else vmax
    steps = to_bytes(floats, first, last)
    pixels = palette(colours)[steps]
    mark_non_finite(pixels, floats)
    return pixels if floats.ndim == 2 else lay_out(pixels[:, None, None], grid_columns(len(floats)))
