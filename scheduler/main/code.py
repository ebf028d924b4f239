"""Which code decides: a hash over everything that a cycle's plan follows from."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import scheduler.core
import scheduler.policy

DECIDING = (scheduler.core, scheduler.policy)
"""A plan is a function of facts, policy text and these packages."""
DIGITS = 12


def code_of(folders: Iterable[Path]) -> str:
    """Twelve hexadecimal digits over the names and contents of all Python files below the folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder.parent).as_posix().encode()
            content = path.read_bytes()
            digest.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    return digest.hexdigest()[:DIGITS]


@functools.cache
def deciding_code() -> str:
    """The code of this process; a cycle's record names it beside the version (S12)."""
    return code_of(Path(str(module.__file__)).parent for module in DECIDING)
