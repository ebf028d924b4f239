"""Pages of the documentation whose command blocks are run: what is typed, and what must appear.

A block of kind ``sh`` is run as it is written; ``sh server`` in a first terminal, where it stays; ``sh install`` is
left out, for it makes the environment that the tests run in. The ``text`` block that follows a block says what must
appear: its lines in this order, where ``…`` stands for anything and a run of spaces for another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```([a-z]*)(?: ([a-z]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of a page; ``role`` is "", "server" or "install", ``expected`` the lines that must appear."""

    role: str
    commands: str
    expected: tuple[str, ...] = ()


def fences(page: str) -> list[tuple[str, str, str]]:
    """(kind, role, text) of every fenced block of a page, in order."""
    return [(kind, role, text) for kind, role, text in FENCE.findall(page)]


def blocks(page: str) -> list[Block]:
    """The command blocks of a page; raises ValueError where output is told of no command."""
    found: list[Block] = []
    before = ""
    for kind, role, text in fences(page):
        if kind == "sh":
            found.append(Block(role, text))
        elif kind == "text":
            if before != "sh":
                raise ValueError(f"output of no command: {text[:60]!r}")
            found[-1] = Block(found[-1].role, found[-1].commands, tuple(text.splitlines()))
        before = kind
    return found


def missing(expected: tuple[str, ...], output: str) -> str:
    """The first expected line that does not appear after those before it; "" when all do."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for line in expected:
        pattern = re.compile(".*".join(re.escape(" ".join(part.split())) for part in line.split(ANYTHING)))
        if not any(pattern.search(candidate) for candidate in lines):
            return line
    return ""


def script(items: list[Block], folder: Path) -> str:
    """One shell program of all blocks, so that variables and folders carry over; output of block N goes to N.out.

    It ends at the first command that fails, as a reader would.
    """
    parts = [f"exec > '{folder / f'{number}.out'}' 2>&1\n{item.commands}" for number, item in enumerate(items)]
    return "\n".join(["set -euo pipefail", *parts])
