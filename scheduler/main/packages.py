"""The package store of a server: bytes go to disk as they arrive, and whether a package is there needs no reading."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path

from scheduler.core.errors import Fatal
from scheduler.store.files import NOT_VALID, TOO_LARGE, FolderPackageStore, _disk, _intact, _name


class ReceivingPackages(FolderPackageStore):
    """A folder's packages (services.packages.ReceivingStore and services.submit.MeasuringStore)."""

    def size(self, sha256: str) -> int | None:
        """The package's length in bytes, or None when it is not there; the content is checked when it is handed out."""
        try:
            return self._path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def receive(self, sha256: str) -> IncomingPackage:
        """Begin to take a package; raises Retry when the disk does not let it."""
        with _disk():
            return IncomingPackage(self._path(sha256), self._incoming, sha256, self._bytes_max)


class IncomingPackage:
    """services.packages.Upload as a file beside the packages, which a later start removes if this process is killed."""

    def __init__(self, path: Path, incoming: Path, sha256: str, bytes_max: int) -> None:
        """``path``: where it is kept in the end."""
        self._path = path
        self._sha256 = sha256
        self._bytes_max = bytes_max
        self._size = 0
        self._turn = threading.Lock()  # a cancelled request discards while its last write still runs in a thread
        self._sum = hashlib.sha256()
        self._part = incoming / f"{sha256}.{secrets.token_hex(8)}"
        self._handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, part: bytes) -> None:
        """Add a part; raises Fatal when the package becomes too large, Retry when the disk does not take it."""
        self._size += len(part)
        if self._size > self._bytes_max:
            raise Fatal(TOO_LARGE, f"a package has at most {self._bytes_max} bytes", "leave large files out")
        self._sum.update(part)
        rest = memoryview(part)
        with self._turn, _disk():
            while rest:
                rest = rest[os.write(self._handle, rest) :]

    def keep(self) -> bool:
        """Keep what was written, durably, in place of a damaged file too; True when it is new or mends one.

        Raises Fatal when the sum is another.
        """
        if self._sum.hexdigest() != self._sha256:
            message = f"the package's content does not have the SHA-256 {self._sha256}"
            raise Fatal(NOT_VALID, message, "send it again")
        with self._turn, _disk():
            return self._keep()

    def _keep(self) -> bool:
        if _intact(self._path, self._sha256):
            return False
        self._path.parent.mkdir(exist_ok=True)
        os.fsync(self._handle)
        return _name(self._part, self._path, self._sha256)

    def discard(self) -> None:
        """Remove the incoming file; what was kept has a name of its own by then."""
        with self._turn:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
            self._part.unlink(missing_ok=True)
