"""Packages and logs as files (or in memory): durable before they are acknowledged, whole after any crash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scheduler.core.errors import Fatal, Retry

PACKAGE_BYTES_MAX = 64 * 1024 * 1024
LOG_BYTES_MAX = 256 * 1024 * 1024
STALE_SECONDS = 3_600
NOT_VALID = "DURE-1040"
TOO_LARGE = "DURE-1042"
LOG_FULL = "DURE-8030"
PACKAGE_DAMAGED = "DURE-8031"
FOLDER_IN_USE = "DURE-8032"
DISK = "DURE-8033"
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
JOB = re.compile(r"[a-z0-9]{1,12}\Z")
NUMBER_MAX = 999_999


def check_package(sha256: str, content: bytes, bytes_max: int) -> None:
    """Raise Fatal unless ``sha256`` is the sum of ``content`` and the content is not too large."""
    _check_sha256(sha256)
    if len(content) > bytes_max:
        raise Fatal(
            TOO_LARGE, f"the package has {len(content)} bytes, {bytes_max} are allowed", "leave large files out"
        )
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Fatal(NOT_VALID, f"the package's content does not have the SHA-256 {sha256}", "send it again")


class FolderPackageStore:
    """services.ports.PackageStore in a folder: ``<2 digits>/<sha256>.zip``, written whole or not at all."""

    def __init__(self, folder: Path, *, bytes_max: int = PACKAGE_BYTES_MAX) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._bytes_max = bytes_max
        self._incoming.mkdir(parents=True, exist_ok=True)
        _remove_stale(self._incoming)

    def put(self, sha256: str, content: bytes) -> bool:
        """Keep the bytes, in place of a damaged file too; True when they are new or mend one.

        Raises Fatal for another sum or too many bytes.
        """
        check_package(sha256, content, self._bytes_max)
        with _disk():
            return self._put(self._path(sha256), sha256, content)

    def _put(self, path: Path, sha256: str, content: bytes) -> bool:
        if _intact(path, sha256):
            return False
        path.parent.mkdir(exist_ok=True)
        part = self._incoming / f"{sha256}.{secrets.token_hex(8)}"
        try:
            _write_durably(part, content)
            return _name(part, path, sha256)
        finally:
            part.unlink(missing_ok=True)

    def get(self, sha256: str) -> bytes | None:
        """The bytes, or None. Raises Fatal when the disk gives back other bytes, which are put aside.

        From then on the package is absent, so that whoever asks whether it is there sends it again.
        """
        try:
            content = self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            with suppress(OSError):  # where nothing can be renamed the damage is still told
                _put_aside(self._path(sha256), sha256)
            raise Fatal(PACKAGE_DAMAGED, f"the stored package {sha256} is damaged", "submit the job again")
        return content

    def _path(self, sha256: str) -> Path:
        _check_sha256(sha256)
        return self._folder / sha256[:2] / f"{sha256}.zip"


class MemoryPackageStore:
    """services.ports.PackageStore in memory."""

    def __init__(self, *, bytes_max: int = PACKAGE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._packages: dict[str, bytes] = {}

    def put(self, sha256: str, content: bytes) -> bool:
        """Keep the bytes; True when they are new. Raises Fatal for another sum or too many bytes."""
        check_package(sha256, content, self._bytes_max)
        if sha256 in self._packages:
            return False
        self._packages[sha256] = content
        return True

    def get(self, sha256: str) -> bytes | None:
        """The bytes, or None."""
        _check_sha256(sha256)
        return self._packages.get(sha256)


class FolderLogStore:
    """services.ports.LogStore in a folder: ``<job>/a<attempt>-r<rank>.log``; its length is what is acknowledged."""

    def __init__(self, folder: Path, *, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Write what is new of ``content`` and return the length after it.

        A log takes ``bytes_max`` bytes; more raise Fatal once it is full, so that the sender stops.
        """
        with _disk():
            return self._append(self._path(job, attempt, rank), offset, content)

    def _append(self, path: Path, offset: int, content: bytes) -> int:
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            fresh = new_part(size, offset, content, self._bytes_max)
            if fresh:
                _write_all(handle, fresh, size)
                os.fsync(handle)
                if not size:
                    _sync_folder(path.parent)
                    _sync_folder(self._folder)
            return size + len(fresh)
        finally:
            os.close(handle)

    def read(self, job: str, attempt: int, rank: int, offset: int, limit: int) -> bytes:
        """At most ``limit`` bytes from ``offset``."""
        try:
            with self._path(job, attempt, rank).open("rb") as log:
                log.seek(max(offset, 0))
                return log.read(max(limit, 0))
        except FileNotFoundError:
            return b""

    def size(self, job: str, attempt: int, rank: int) -> int:
        """Length in bytes; 0 when there is none."""
        try:
            return self._path(job, attempt, rank).stat().st_size
        except FileNotFoundError:
            return 0

    def _path(self, job: str, attempt: int, rank: int) -> Path:
        _check_log_name(job, attempt, rank)
        return self._folder / job / f"a{attempt}-r{rank}.log"


class MemoryLogStore:
    """services.ports.LogStore in memory."""

    def __init__(self, *, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._logs: dict[tuple[str, int, int], bytearray] = {}
        self._lock = threading.Lock()

    def append(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Write what is new of ``content`` and return the length after it; raises Fatal once the log is full."""
        _check_log_name(job, attempt, rank)
        with self._lock:
            log = self._logs.get((job, attempt, rank), bytearray())
            fresh = new_part(len(log), offset, content, self._bytes_max)
            if fresh:
                self._logs.setdefault((job, attempt, rank), log).extend(fresh)
            return len(log)

    def read(self, job: str, attempt: int, rank: int, offset: int, limit: int) -> bytes:
        """At most ``limit`` bytes from ``offset``."""
        _check_log_name(job, attempt, rank)
        start = max(offset, 0)
        with self._lock:
            return bytes(self._logs.get((job, attempt, rank), b"")[start : start + max(limit, 0)])

    def size(self, job: str, attempt: int, rank: int) -> int:
        """Length in bytes; 0 when there is none."""
        _check_log_name(job, attempt, rank)
        with self._lock:
            return len(self._logs.get((job, attempt, rank), b""))


def new_part(size: int, offset: int, content: bytes, bytes_max: int) -> bytes:
    """The bytes of ``content`` at ``offset`` that a log of ``size`` bytes does not have; none for a later offset.

    Raises Fatal when the log is full and there are more.
    """
    if not 0 <= offset <= size:
        return b""
    fresh = content[size - offset :]
    if fresh and size >= bytes_max:
        raise Fatal(
            LOG_FULL,
            f"the log has reached its limit of {bytes_max} bytes",
            "write large outputs to the checkpoint folder",
        )
    return fresh[: bytes_max - size]


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process: a second one gets Fatal. The kernel lets go when the process ends, however."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "dure.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Fatal(
                FOLDER_IN_USE, f"another process of Dure uses {folder}", "stop it, or choose another folder"
            ) from error
        yield
    finally:
        os.close(handle)


def _check_sha256(sha256: str) -> None:
    if not SHA256.match(sha256):
        raise Fatal(NOT_VALID, "a package is named by 64 hexadecimal digits", "send the SHA-256 of its bytes")


def _check_log_name(job: str, attempt: int, rank: int) -> None:
    if not (JOB.match(job) and 1 <= attempt <= NUMBER_MAX and 0 <= rank <= NUMBER_MAX):
        raise Fatal(NOT_VALID, "a log is named by a job, an attempt and a rank", "use the job's id as Dure shows it")


@contextmanager
def _disk() -> Iterator[None]:
    """A disk that is full or fails may be mended while the caller repeats the call."""
    try:
        yield
    except OSError as error:
        raise Retry(
            DISK, f"a file cannot be written: {error.strerror}", "make room on the disk, or look at it"
        ) from error


def _intact(path: Path, sha256: str) -> bool:
    """Whether the file can be read and has this sum; what has neither is replaced by bytes that were proven."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _name(part: Path, path: Path, sha256: str) -> bool:
    """Give a proven, synced file its name, durably; False when an intact one has it already."""
    try:
        os.link(part, path)  # of several that write the same at once one is the first
    except FileExistsError:
        if _intact(path, sha256):
            return False
        os.replace(part, path)
    _sync_folder(path.parent)
    _sync_folder(path.parent.parent)
    return True


def _put_aside(path: Path, sha256: str) -> None:
    """Take a damaged package's name away; what came in its place meanwhile gets it back."""
    aside = path.with_name(f"{sha256}.{secrets.token_hex(8)}.damaged")
    with suppress(FileNotFoundError):  # somebody else was first
        os.rename(path, aside)
        if _intact(aside, sha256):
            with suppress(FileExistsError):
                os.link(aside, path)
            aside.unlink()


def _write_durably(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(handle, content, 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        done = os.pwrite(handle, rest, offset)
        rest, offset = rest[done:], offset + done


def _sync_folder(folder: Path) -> None:
    """Make a name in the folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_stale(incoming: Path) -> None:
    """Parts that a killed process left behind; young ones may belong to a process that lives."""
    oldest = time.time() - STALE_SECONDS
    for part in incoming.iterdir():
        try:
            if part.stat().st_mtime < oldest:
                part.unlink()
        except FileNotFoundError:
            continue
