"""What each GPU's part of this machine is: CPUs, memory for Ray's objects, and how many clusters start at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

SHM = Path("/dev/shm")  # noqa: S108 - not a file of ours: Ray keeps its objects in this file system
CPUS_PER_GPU_MIN = 2
OBJECT_STORE_BYTES_MIN = 80_000_000  # Ray refuses less than 75 MiB
OBJECT_STORE_BYTES_MAX = 64 << 30
MEMORY_PART = 5  # all object stores together may take a fifth of the memory, and half of the shared memory
SHM_PART = 2
CPUS_PER_START = 1


class Shares(NamedTuple):
    """The last fields of a Spec."""

    cpus_per_gpu: int
    object_store_bytes_per_gpu: int
    starts_at_once: int


def shares(gpus: int) -> Shares:
    """The part of each of this machine's ``gpus``."""
    cpus = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        found = os.statvfs(SHM)
        shared = found.f_frsize * found.f_blocks
    except OSError:
        shared = 0
    return share_out(max(1, gpus), cpus, memory, shared)


def share_out(gpus: int, cpus: int, memory_bytes: int, shared_bytes: int) -> Shares:
    """Each GPU's part of a machine with these resources; pure."""
    store = min(memory_bytes // MEMORY_PART, shared_bytes // SHM_PART) // gpus
    return Shares(
        max(CPUS_PER_GPU_MIN, cpus // gpus),
        min(OBJECT_STORE_BYTES_MAX, max(OBJECT_STORE_BYTES_MIN, store)),
        max(1, cpus // CPUS_PER_START),
    )
