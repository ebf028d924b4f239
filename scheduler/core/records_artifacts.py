"""Record of an artifact; see ``scheduler.core.records`` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """A file that an attempt handed over, as its cluster listed it; the bytes are in the artifact store."""

    KEY: ClassVar = ("job", "attempt", "number")
    APPEND_ONLY: ClassVar = True
    job: str
    attempt: int
    number: int
    """Its place in the list, from 0: the name of its bytes."""
    path: str
    size: int
    sha256: str
    """Of its bytes; "" for a file that was left out."""
    left_out: str
    """Why it was left out, in a few words; "" for one that was not."""
    reported_at_ms: int
