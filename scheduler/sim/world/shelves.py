"""Packages and logs in memory (services.ports.PackageStore and LogStore)."""

from __future__ import annotations

import hashlib

from scheduler.core.errors import Fatal


class MemoryPackages:
    """Content-addressed bytes."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def put(self, sha256: str, content: bytes) -> bool:
        """Keep the bytes; True when they are new. Raises Fatal when the sum is another."""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Fatal("DURE-1107", "the package's bytes have another sum", "send it again")
        new = sha256 not in self._content
        self._content[sha256] = content
        return new

    def get(self, sha256: str) -> bytes | None:
        """The bytes, or None."""
        return self._content.get(sha256)


class MemoryLogs:
    """Output by (job, attempt, rank), appended by offset."""

    def __init__(self) -> None:
        self._content: dict[tuple[str, int, int], bytearray] = {}

    def append(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Write what is beyond the present length; a gap is refused. Returns the length after it."""
        kept = self._content.setdefault((job, attempt, rank), bytearray())
        if offset <= len(kept):
            kept += content[len(kept) - offset :]
        return len(kept)

    def read(self, job: str, attempt: int, rank: int, offset: int, limit: int) -> bytes:
        """At most ``limit`` bytes from ``offset``."""
        return bytes(self._content.get((job, attempt, rank), b"")[offset : offset + limit])

    def size(self, job: str, attempt: int, rank: int) -> int:
        """Length in bytes."""
        return len(self._content.get((job, attempt, rank), b""))
