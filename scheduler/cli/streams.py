"""The three standard streams, as a shell may hand them over: closed, full, or gone half-way.

Data that cannot be written is an error with a code of its own: the change was made, and the user must know. Words for
people that cannot be written are let go. On the path of ``dure --help``: the standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from scheduler.core.errors import DureError

OUTPUT_LOST = "DURE-9002"
DONE = "dure.done"
"""Where a command notes, in its context's meta, which change it has made, as a few words such as ``job/ID queued``."""
STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class OutputError(OSError):
    """Data could not be written."""


@contextmanager
def writing() -> Iterator[None]:
    """Around writing data: raises OutputError where it fails, so that it is told apart from a file's error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error)) from error


def put(text: str) -> None:
    """Data on standard output; raises OutputError."""
    with writing():
        sys.stdout.write(text)


def put_bytes(content: bytes) -> None:
    """Data on standard output as it is; raises OutputError."""
    with writing():
        sys.stdout.flush()
        sys.stdout.buffer.write(content)


def flush() -> None:
    """Bring out what was put; raises OutputError."""
    with writing():
        sys.stdout.flush()


def prepare_streams() -> None:
    """Put an empty file in the place of each closed stream, so that no socket or database takes its number."""
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            _occupy(number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # until the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a narrow locale must not end the program


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


def give_up(stream: TextIO) -> None:
    """Let a stream that cannot be written take everything: the interpreter flushes once more at its end."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return  # it is no file
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


def tell(text: str) -> None:
    """Words for people on standard error; where they cannot be written, nobody reads them and the work goes on."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        give_up(sys.stderr)


def moves(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which the cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def output_lost(error: OutputError, done: str) -> DureError:
    """The error of data that could not be written, with the change that was made before."""
    from scheduler.core.errors import DureError

    reason = error.strerror or str(error)
    if done:
        return DureError(OUTPUT_LOST, f"{done}: this was done, but the output could not be written: {reason}", "")
    return DureError(OUTPUT_LOST, f"the output could not be written: {reason}", "send it to another place")
