"""Writes what a server sends to a folder of the user's: whole, proven by its sum, and never outside the folder.

Names come from somebody's job. Every step below the folder is taken from the folder above it without following links,
so neither a name nor what already lies there leads anywhere else.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from scheduler.core.errors import Fatal
from scheduler.schema.artifacts import path_fault

UNSAFE = "DURE-1322"
THERE = "DURE-6071"
DAMAGED = "DURE-6073"
READ_BYTES = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


class ReceivingFolder:
    """A folder that files are put into; use it as a context manager. It is made if need be."""

    def __init__(self, path: Path) -> None:
        """Raises Fatal when it cannot be made or opened."""
        self._path = path
        with self._told(str(path)):
            path.mkdir(parents=True, exist_ok=True)
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> ReceivingFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._root)

    def has(self, path: str, sha256: str) -> bool:
        """Whether the file is there already; raises Fatal when something else is, or the path is not safe."""
        _check(path)
        with self._told(path), ExitStack() as stack:
            try:
                at, name = self._above(stack, path, make=False)
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            except FileNotFoundError:
                return False
            stack.callback(os.close, file)
            if not stat.S_ISREG(os.fstat(file).st_mode) or _sum(file) != sha256:
                raise _is_there(self._path / path)
        return True

    def put(self, path: str, parts: Iterable[bytes], sha256: str) -> None:
        """Write a file under its name once all of it has arrived and has this sum; raises Fatal and leaves nothing."""
        _check(path)
        with self._told(path), ExitStack() as stack:
            at, name = self._above(stack, path, make=True)
            part = f".dure-{secrets.token_hex(8)}.part"
            file = os.open(part, _NEW, 0o666, dir_fd=at)
            try:
                with os.fdopen(file, "wb") as out:
                    total = hashlib.sha256()
                    for content in parts:
                        total.update(content)
                        out.write(content)
                    out.flush()
                    os.fsync(out.fileno())
                if total.hexdigest() != sha256:
                    raise Fatal(DAMAGED, f"{path} did not arrive as its job wrote it", "fetch it again")
                self._name(at, part, name, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=at)

    def _name(self, at: int, part: str, name: str, path: str) -> None:
        """Give it its name, if nothing has it: a link does that in one step, where the disk has links."""
        try:
            os.link(part, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
        except FileExistsError as error:
            raise _is_there(self._path / path) from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(part, name, src_dir_fd=at, dst_dir_fd=at)

    def _above(self, stack: ExitStack, path: str, *, make: bool) -> tuple[int, str]:
        """The folder above a file, opened, and the file's name in it."""
        *above, name = path.split("/")
        at = self._root
        for part in above:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
            at = os.open(part, _FOLDER, dir_fd=at)
            stack.callback(os.close, at)
        return at, name

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                message = f"{path} cannot be put into {self._path}: a link or a file stands in its way"
                raise Fatal(UNSAFE, message, "choose another folder: --to FOLDER") from error
            message = f"{path} cannot be put into {self._path}: {error.strerror}"
            raise Fatal(UNSAFE, message, "choose another folder: --to FOLDER") from error


def _check(path: str) -> None:
    if fault := path_fault(path):
        raise Fatal(UNSAFE, f"the artifact {path!r} is refused: {fault}", "fetch the others: --get PATTERN")


def _is_there(path: Path) -> Fatal:
    return Fatal(THERE, f"{path} is there already, with other contents", "choose another folder: --to FOLDER")


def _sum(file: int) -> str:
    total, offset = hashlib.sha256(), 0
    while content := os.pread(file, READ_BYTES, offset):
        total.update(content)
        offset += len(content)
    return total.hexdigest()
