"""Drawing without a Trainer."""

from typing import Any

from lightning_viz import Drawing, VizCallback


def only(callback: VizCallback, *given: Any, **named: Any) -> Drawing:
    """The one that it draws, of what ``drawings`` takes."""
    (drawing,) = callback.drawings(*given, **named)
    return drawing
