"""The attempts as their folders show them. The cache saves reading records anew; everything in it is in the folders."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from operators.local import layout, processes, records
from operators.local.layout import MARKER, Folder, Spec
from operators.local.records import End, Record

NAME = re.compile(r"d-[a-z2-7]{1,12}-a[1-9][0-9]{0,8}")
READ_BYTES_MAX = 64 << 20
BORN_LATE_SECONDS = 120  # how long after the supervisor's last line its orphans may still have had children


@dataclass(frozen=True, slots=True)
class Seen:
    """One attempt at one look.

    is_live: a supervisor holds its lock. has_lines: the record has a complete line, readable or not. Over, live or
    with a line it exists; otherwise its start was cut short. touched_ns: when its record was last changed, 0: never.
    """

    folder: Folder
    spec: Spec
    record: Record
    end: End | None
    is_live: bool
    has_lines: bool
    touched_ns: int = 0

    @property
    def is_over(self) -> bool:
        """Proven gone, by its supervisor or by the backend."""
        return records.is_over(self.record, self.end)

    @property
    def exists(self) -> bool:
        """Whether it was begun or ended in any form."""
        return self.is_over or self.is_live or self.has_lines

    @property
    def is_orphan(self) -> bool:
        """It was begun (a damaged line says so too), is not over, and has no supervisor."""
        return self.has_lines and not self.is_over and not self.is_live

    @property
    def mark(self) -> processes.Mark:
        """How its processes are known."""
        return mark_of(self.folder, self.spec, self.record)


def mark_of(folder: Folder, spec: Spec, record: Record) -> processes.Mark:
    """How processes of an attempt are known. The supervisor leads their session, as its first line says."""
    session = None
    begin = record.begin
    if begin and begin.start_ticks and begin.boot_id == processes.boot_id():
        lived = (record.last_at_ms - begin.at_ms) // 1_000 + BORN_LATE_SECONDS
        last_ticks = begin.start_ticks + lived * processes.TICKS_PER_SECOND
        session = processes.Session(begin.pid, begin.start_ticks, last_ticks)
    return processes.Mark(MARKER, str(folder.path), (str(folder.logs), spec.ray_dir), session)


class Unread(NamedTuple):
    """An attempt whose folder the disk does not give; spec: as it was read earlier, if it ever was."""

    name: str
    error: OSError
    spec: Spec | None


class Look(NamedTuple):
    """All attempts with a spec, and those that could not be looked at; each by name."""

    seen: list[Seen]
    unread: list[Unread]


@dataclass(slots=True)
class _Read:
    spec: Spec
    record: Record
    offset: int = 0
    touched_ns: int = 0


class Attempts:
    """Looks at every folder under ``attempts/``; records are read on from where the last look ended."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet."""
        self._root = root
        self._read: dict[str, _Read] = {}

    def folder(self, name: str) -> Folder:
        """The folder of an attempt; raises ValueError for what is no attempt's name."""
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no attempt's name")
        return Folder(self._root / name)

    def look(self) -> Look:
        """Look at everything; one folder that cannot be read does not keep the others from being seen."""
        names = sorted(entry.name for entry in os.scandir(self._root) if NAME.fullmatch(entry.name))
        self._read = {name: read for name, read in self._read.items() if name in set(names)}
        found = Look([], [])
        for name in names:
            try:
                seen = self.look_at(name)
            except OSError as error:
                read = self._read.get(name)
                found.unread.append(Unread(name, error, read.spec if read else None))
                continue
            if seen is not None:
                found.seen.append(seen)
        return found

    def look_at(self, name: str) -> Seen | None:
        """One attempt; None when it has no spec yet. The lock is asked first: without its holder nothing is written.

        Raises OSError when the disk does not say.
        """
        folder = self.folder(name)
        read = self._read.get(name)
        if read is None:
            spec = folder.read_spec()
            if spec is None:
                return None
            read = self._read[name] = _Read(spec, Record())
        is_live = layout.is_locked(folder.lock)
        self._read_on(folder, read)
        end = None if read.record.gone else _end(folder)
        is_live = is_live and not records.is_over(read.record, end)
        return Seen(folder, read.spec, read.record, end, is_live, read.offset > 0, read.touched_ns)

    def drop(self, name: str) -> None:
        """Its folder has been moved away."""
        self._read.pop(name, None)

    @staticmethod
    def _read_on(folder: Folder, read: _Read) -> None:
        try:
            with folder.record.open("rb") as file:
                file.seek(read.offset)
                content = file.read(READ_BYTES_MAX)
                read.touched_ns = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return
        lines, consumed = records.parse(content)
        read.record = records.fold(read.record, lines)
        read.offset += consumed


def _end(folder: Folder) -> End | None:
    try:
        return records.read_end(folder.end.read_bytes())
    except (OSError, ValueError, KeyError):
        return None
