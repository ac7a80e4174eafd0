"""Ctrl-C that waits while something must not be left half done."""

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Keeps an interrupt back while one of some functions runs, from its first instruction to its last.

    A handler that asks which function was interrupted leaves no gap, as one would that is put in place by the function
    itself. Elsewhere interrupts work as before. Only the main thread ever gets them.
    """

    def __init__(self, *functions: Callable[..., Any]) -> None:
        """Name the functions."""
        self._codes: set[CodeType] = {function.__code__ for function in functions}
        self._before: Any = None
        self._waiting: tuple[int, FrameType | None] | None = None

    def hold(self) -> None:
        """Begin. Does nothing in another thread, or where the program handles interrupts without Python."""
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._handle)

    def let_go(self) -> None:
        """End."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def raise_waiting(self) -> None:
        """Handle an interrupt that came meanwhile, as it would have been handled then."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            handler = self._before or signal.getsignal(signal.SIGINT)
            if callable(handler):
                handler(*waiting)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        inside = frame
        while inside is not None and inside.f_code not in self._codes:
            inside = inside.f_back
        if inside is not None:
            self._waiting = number, frame
        else:
            self._before(number, frame)
