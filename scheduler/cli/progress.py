"""A bar for work that takes long: one line on a terminal's standard error, gone when the work is done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from scheduler.cli.clean import clean, width
from scheduler.cli.streams import tell
from scheduler.cli.tables import bar, bars_of
from scheduler.client.package import size_text

FIRST_SECONDS = 0.5
"""What is over sooner is not worth a bar."""
DRAWN_EVERY_SECONDS = 0.1
BAR_CELLS = 24
CLEAR = "\r\x1b[K"


class Bar:
    """Told how far the work is, it draws that now and then."""

    def __init__(self, label: str, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``label``: such as ``sending the work directory``."""
        self._label = clean(label)
        self._monotonic = monotonic
        self._next = monotonic() + FIRST_SECONDS
        self._drawn = False
        self._marks = bars_of(stream)

    def moved(self, done: int, whole: int) -> None:
        """So many bytes of so many (0: not known)."""
        now = self._monotonic()
        if now < self._next:
            return
        self._next = now + DRAWN_EVERY_SECONDS
        self._drawn = True
        tell(f"{CLEAR}{line(self._label, done, whole, self._marks, shutil.get_terminal_size().columns)}")

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            tell(CLEAR)


def line(label: str, done: int, whole: int, marks: str, columns: int) -> str:
    """The bar's line: at most ``columns`` - 1 wide, with what matters most first to stay."""
    if not whole:
        parts = [label, size_text(done)]
    else:
        parts = [label, bar(done, whole, marks, BAR_CELLS), f"{done * 100 // whole:>3}%", f"of {size_text(whole)}"]
    while len(parts) > 1 and width("  ".join(parts)) >= columns:
        parts.pop(1 if len(parts) > 2 else -1)
    text = "  ".join(parts)
    while width(text) >= columns and text:
        text = text[:-1]
    return text
