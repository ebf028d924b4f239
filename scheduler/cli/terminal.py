"""Output of jobs on a terminal: colours and line ends pass, what could take the terminal over does not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import TextIO

from scheduler.cli.streams import writing

# Colours (SGR), erasing a line and going back in it: what progress bars use.
_ALLOWED = re.compile(r"\x1b\[[0-9;:]*[mK]")
_SEQUENCE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-OQ-WYZ\\`-~])"
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)\Z")
_ESCAPE = re.compile(_SEQUENCE)
_UNSAFE = re.compile(_SEQUENCE + r"|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]")
HELD_BACK_MAX = 4_096


def output_writer(stream: TextIO) -> Callable[[bytes], None]:
    """Writes bytes of a log: unchanged into files and pipes, filtered on a terminal. Each call flushes."""
    if not stream.isatty():

        def raw(content: bytes) -> None:
            with writing():
                stream.buffer.write(content)
                stream.buffer.flush()

        return raw
    text = TerminalText()

    def filtered(content: bytes) -> None:
        with writing():
            stream.write(text.feed(content))
            stream.flush()

    return filtered


class TerminalText:
    """Turns pieces of a log into safe text; a character or sequence cut between two pieces is kept whole."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, content: bytes) -> str:
        """The safe text of the next bytes."""
        text = self._rest + self._decoder.decode(content)
        whole = _whole(text)
        self._rest = text[whole:]
        return safe(text[:whole])


def _whole(text: str) -> int:
    """Up to where no sequence is cut off; one that has grown too long counts as none."""
    start = text.find("\x1b")
    while start >= 0:
        found = _ESCAPE.match(text, start)
        if found is None and _BEGUN.match(text, start) and len(text) - start <= HELD_BACK_MAX:
            return start
        start = text.find("\x1b", found.end() if found else start + 1)
    return len(text)


def safe(text: str) -> str:
    """The text without sequences and controls other than colours, erasing a line, backspaces, tabs and line ends."""
    return _UNSAFE.sub(lambda found: found[0] if _ALLOWED.fullmatch(found[0]) else "", text)
