"""An attempt's artifacts on disk: which files are taken, and their bytes. Nothing outside the folder is ever opened.

The job made the folder's contents and may have made them to deceive: links, devices, pipes, names of every kind. Every
step down is taken from the folder above, without following links; what is no plain file is left out and named.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from operators.local.layout import Folder
from operators.ports import Artifact, Artifacts, LeftOut
from scheduler.core.artifacts import DEPTH_MAX, FILES_MAX, LEFT_OUT_MAX, clashing, path_fault

BYTES_MAX = 256 * 1024 * 1024
ENTRIES_MAX = 20_000
"""So many names are looked at; the rest of a larger folder is left out."""
READ_BYTES = 1024 * 1024
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""It is gone, or something else stands there: a link (ELOOP), a pipe, a socket or a device."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Entry(NamedTuple):
    """A name below the folder; fault: why it is left out, "" when it may be taken."""

    path: str
    size: int
    fault: str = ""


def collect(folder: Folder, rank: int, bytes_max: int) -> Artifacts:
    """What a rank hands over: by path as many as fit, with their sums, and what is left out. Raises OSError."""
    entries = sorted(_entries(folder, rank))
    clashes = clashing([entry.path for entry in entries if not entry.fault])
    files: list[Artifact] = []
    left_out: list[LeftOut] = []
    total = 0
    for entry in entries:
        fault = entry.fault or ("it differs from another file in case alone" if entry.path in clashes else "")
        if not fault and len(files) == FILES_MAX:
            fault = f"an attempt hands over at most {FILES_MAX} files"
        if not fault and total + entry.size > bytes_max:
            fault = f"with its {entry.size} bytes the attempt hands over more than {bytes_max}"
        taken = None if fault else _summed(folder, rank, entry)
        if taken is None:
            left_out.append(LeftOut(_shown(entry.path), fault or "it cannot be read"))
            continue
        files.append(taken)
        total += taken.size
    return Artifacts(tuple(files), tuple(left_out[:LEFT_OUT_MAX]), max(0, len(left_out) - LEFT_OUT_MAX))


def read(folder: Folder, rank: int, path: str, offset: int, limit: int) -> bytes:
    """At most ``limit`` bytes of a file; none when it is not there, or no plain file (any more)."""
    if path_fault(path):
        return b""
    try:
        with _opened(folder, rank, path) as file:
            return os.pread(file, limit, offset)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return b""
        raise


@contextmanager
def _root(folder: Folder, rank: int) -> Iterator[int]:
    with ExitStack() as stack:
        at = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, at)
        for name in (folder.artifacts.name, str(rank)):
            at = os.open(name, _FOLDER, dir_fd=at)
            stack.callback(os.close, at)
        yield at


@contextmanager
def _opened(folder: Folder, rank: int, path: str) -> Iterator[int]:
    *above, name = path.split("/")
    with ExitStack() as stack:
        at = stack.enter_context(_root(folder, rank))
        for part in above:
            at = os.open(part, _FOLDER, dir_fd=at)
            stack.callback(os.close, at)
        file = os.open(name, _FILE, dir_fd=at)
        stack.callback(os.close, file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.ENXIO, "it is no plain file")
        yield file


def _entries(folder: Folder, rank: int) -> Iterator[_Entry]:
    """Every name below the folder but those of folders; none when the folder is no folder (any more)."""
    left = ENTRIES_MAX
    try:
        with _root(folder, rank) as root:
            for entry in _walk(root, "", 1):
                left -= 1
                if left < 0:
                    yield _Entry("...", 0, f"more than {ENTRIES_MAX} names: the rest was not looked at")
                    return
                yield entry
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise


def _walk(at: int, above: str, depth: int) -> Iterator[_Entry]:
    with os.scandir(at) as found:
        names = sorted(item.name for item in found)
    for name in names:
        path = f"{above}{name}"
        try:
            known = os.stat(name, dir_fd=at, follow_symlinks=False)
        except OSError:
            yield _Entry(path, 0, "it cannot be read")
            continue
        if not stat.S_ISDIR(known.st_mode):
            plain = stat.S_ISREG(known.st_mode)
            yield _Entry(path, known.st_size, path_fault(path) if plain else _kind(known.st_mode))
        elif depth >= DEPTH_MAX:
            yield _Entry(path, 0, f"it lies more than {DEPTH_MAX} folders deep")
        else:
            yield from _below(at, name, path, depth)


def _below(at: int, name: str, path: str, depth: int) -> Iterator[_Entry]:
    try:
        inner = os.open(name, _FOLDER, dir_fd=at)
    except OSError:
        yield _Entry(path, 0, "it cannot be read")
        return
    try:
        yield from _walk(inner, f"{path}/", depth + 1)
    finally:
        os.close(inner)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "it is a symbolic link"
    return "it is a pipe, a socket or a device"


def _summed(folder: Folder, rank: int, entry: _Entry) -> Artifact | None:
    """The file with its sum; None when it cannot be read, or is not as long as it was."""
    total, size = hashlib.sha256(), 0
    try:
        with _opened(folder, rank, entry.path) as file:
            while content := os.pread(file, READ_BYTES, size):
                total.update(content)
                size += len(content)
    except OSError:
        return None
    return Artifact(entry.path, size, total.hexdigest()) if size == entry.size else None


def _shown(path: str) -> str:
    """A path as it can be told: whatever a name holds, in printable letters and of bounded length."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    printable = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return printable if len(printable) <= 160 else printable[:159] + "…"
