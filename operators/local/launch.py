"""Begin an attempt in steps that a crash between any two of them leaves repeatable: spec, files, supervisor."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from operators.local import layout
from operators.local.environment import KEPT
from operators.local.layout import Folder, Spec
from operators.local.package import BadPackage, unpack
from operators.local.records import EndKind

SUPERVISOR_MODULE = "operators.local.supervisor"
SIGNALS_RESET = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""Whatever the operator ignores (one in the background ignores interrupt and quit), a job does not."""
LOCK_DESCRIPTOR = 3  # where the supervisor finds its lock; 0 to 2 are its standard files


def prepare_files(folder: Folder, spec: Spec, package: bytes | None) -> None:
    """Make the work directory, one copy a rank, and the checkpoint folder; raises BadPackage or OSError."""
    Path(spec.checkpoint_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.logs.mkdir(exist_ok=True, mode=0o700)
    ranks = [str(rank.rank) for rank in spec.assignment.ranks]
    for rank in ranks:
        (folder.artifacts / rank).mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.work.is_dir():
        return
    fresh = folder.path / ".work"
    shutil.rmtree(fresh, ignore_errors=True)
    sha256 = spec.assignment.package_sha256
    if sha256 and package is None:
        raise BadPackage(f"the package {sha256[:12]} is not in the package store")
    if sha256 and package is not None:
        unpack(package, sha256, fresh / ranks[0])
    else:
        (fresh / ranks[0]).mkdir(parents=True, mode=0o700)
    for rank in ranks[1:]:
        shutil.copytree(fresh / ranks[0], fresh / rank)
    fresh.rename(folder.work)


def end_without_run(folder: Folder, kind: EndKind, at_ms: int, message: str = "") -> bool:
    """Say that the attempt is over, unless a supervisor lives or has begun it; True when that is so now."""
    lock = layout.take_lock(folder.lock)
    if lock is None:
        return False
    try:
        if folder.record.exists() and b"\n" in folder.record.read_bytes():
            return False
        layout.create_once(folder.end, {"kind": kind.value, "at_ms": at_ms, "message": message})
        return True
    finally:
        os.close(lock)


def end_lost(folder: Folder, at_ms: int) -> None:
    """Say that the attempt lost its supervisor and that nothing of it was left at ``at_ms``."""
    lock = layout.take_lock(folder.lock)
    if lock is not None:
        try:
            layout.create_once(folder.end, {"kind": EndKind.LOST.value, "at_ms": at_ms, "message": ""})
        finally:
            os.close(lock)


def spawn_supervisor(folder: Folder, floor_ms: int, machine: Mapping[str, str]) -> int | None:
    """Start the attempt's supervisor in a session of its own; None when one holds the lock. Raises OSError.

    It inherits the lock that is taken here, so there is no instant at which it lives and does not hold it.
    """
    taken = layout.take_lock(folder.lock)
    if taken is None:
        return None
    # Above every descriptor that the child is given, so that giving them cannot close it.
    lock = fcntl.fcntl(taken, fcntl.F_DUPFD_CLOEXEC, LOCK_DESCRIPTOR + 1)
    os.close(taken)
    env = {name: value for name, value in machine.items() if name in KEPT or name == "PATH"}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-P", "-m", SUPERVISOR_MODULE, str(folder.path)]
    command += ["--lock-fd", str(LOCK_DESCRIPTOR), "--floor-ms", str(floor_ms)]
    log = str(folder.supervisor_log)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_DUP2, lock, LOCK_DESCRIPTOR),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        return os.posix_spawn(
            sys.executable, command, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=SIGNALS_RESET
        )
    finally:
        os.close(lock)
