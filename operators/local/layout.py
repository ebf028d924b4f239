"""Where an attempt's files lie, and the few ways in which they are written: atomically, once, or under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.ports import Assignment
from scheduler.core.codec import canonical, from_json

RAY_BASE_LENGTH_MAX = 20
MARKER = "DURE_ATTEMPT_DIR"
"""Environment variable that every process of an attempt inherits; its value is the attempt's folder."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What the supervisor is told: the assignment and what this machine adds to it.

    ray_dir: Ray's files, told once, so that they are found by an operator with another temporary folder.
    devices: per rank (in the order of ``assignment.ranks``) the UUIDs of its real GPUs; empty for logical GPUs.
    cpus_per_gpu, object_store_bytes_per_gpu: what Ray is told of, per GPU of a rank.
    starts_at_once: how many attempts may start their Ray cluster at the same time.
    api_url: where its processes report their checkpoints, "" for nowhere.
    """

    assignment: Assignment
    cluster: str
    checkpoint_dir: str
    ray_dir: str
    devices: tuple[tuple[str, ...], ...] = ()
    cpus_per_gpu: int = 2
    object_store_bytes_per_gpu: int = 80_000_000
    starts_at_once: int = 2
    api_url: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Folder:
    """One attempt's folder and the files in it."""

    path: Path

    @property
    def name(self) -> str:
        """The attempt's name."""
        return self.path.name

    @property
    def spec(self) -> Path:
        """The supervisor's input; written before anything else."""
        return self.path / "spec.json"

    @property
    def record(self) -> Path:
        """Lines appended by the supervisor."""
        return self.path / "record.jsonl"

    @property
    def stop(self) -> Path:
        """The order to stop; the first one decides."""
        return self.path / "stop.json"

    @property
    def end(self) -> Path:
        """The backend's word where the supervisor could not have the last one."""
        return self.path / "end.json"

    @property
    def lock(self) -> Path:
        """Held while a supervisor lives."""
        return self.path / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself prints: nothing, unless something is wrong."""
        return self.path / "supervisor.log"

    @property
    def work(self) -> Path:
        """The unpacked package, one copy a rank: ``work/<rank>``."""
        return self.path / "work"

    @property
    def artifacts(self) -> Path:
        """What ranks hand over, a folder a rank: ``artifacts/<rank>``."""
        return self.path / "artifacts"

    @property
    def logs(self) -> Path:
        """Output of ranks and of Ray."""
        return self.path / "logs"

    def log(self, rank: int) -> Path:
        """A rank's output, its setup included."""
        return self.logs / f"rank-{rank}.log"

    def read_spec(self) -> Spec | None:
        """The spec; None when there is none or it is none. Raises OSError when the disk does not say."""
        try:
            spec: Spec = from_json(Spec, json.loads(self.spec.read_bytes()))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return spec


def ray_dir_for(folder: Folder) -> Path:
    """Where a new attempt's Ray keeps its files: not in the attempt's folder, for socket paths end at 107 bytes."""
    base = tempfile.gettempdir()
    if len(base) > RAY_BASE_LENGTH_MAX:
        base = "/tmp"  # noqa: S108 - the folder in it is made with mode 0700, and must not exist
    return Path(base) / f"dure-{hashlib.sha256(os.fsencode(folder.path)).hexdigest()[:12]}"


def write_atomic(path: Path, value: Any) -> None:
    """Replace a file by the canonical JSON of ``value``, on disk before its name is."""
    temporary = _write_beside(path, value)
    temporary.replace(path)
    sync_folder(path.parent)


def create_once(path: Path, value: Any) -> bool:
    """Make a file with the canonical JSON of ``value`` unless it exists; readers never see a part of it."""
    temporary = _write_beside(path, value)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None when there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def take_lock(path: Path) -> int | None:
    """An exclusive lock as a file descriptor, which children can inherit; None when somebody holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def take_slot(folder: Path, count: int) -> int | None:
    """One of ``count`` locks in a folder, given back by closing it or by dying; None when all are held."""
    for index in range(count):
        descriptor = take_lock(folder / f".slot-{index}")
        if descriptor is not None:
            return descriptor
    return None


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock now."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return False


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_beside(path: Path, value: Any) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(canonical(value).encode())
        out.flush()
        os.fsync(out.fileno())
    return temporary
