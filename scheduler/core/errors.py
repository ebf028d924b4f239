"""Errors: findings are values; two exceptions tell the shell what to do.

``Retry`` means that the same call may succeed later; ``Fatal`` means that a person must act.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake or surprise, at its place.

    where: ``file:line:column`` for files, a field path for bodies, an object's name otherwise.
    code: the stable ``DURE-nnnn`` code. message: one sentence. fix: what the reader can do.
    """

    where: str
    code: str
    message: str
    fix: str = ""


class DureError(Exception):
    """Base of both shell exceptions: a stable code, one sentence, and a fix."""

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


class Retry(DureError):
    """The call failed for a reason that passes; the loop backs off and repeats it by name."""


class Fatal(DureError):
    """Repeating will not help; somebody has to change something."""


class InvariantBroken(Exception):
    """A promise of the code itself is broken: never caught, never expected."""


def invariant(holds: bool, promise: str) -> None:
    """Raise InvariantBroken with ``promise`` unless it holds (also under ``python -O``)."""
    if not holds:
        raise InvariantBroken(promise)


class DuplicateRecord(Exception):
    """A record with this key, or with this value of a unique field, is already stored."""


class ConstraintBroken(Exception):
    """The database refused a write that breaks one of its tables' rules."""


class StaleEpoch(Exception):
    """The writer is no longer the holder of the lease it writes under."""
