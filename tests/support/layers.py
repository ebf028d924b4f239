"""Who may import whom, as the table in docs/architecture.md says it."""

from __future__ import annotations

import re

from tests.support.source import ROOT

PAGE = ROOT / "docs" / "architecture.md"
HEADER = "| package | what it is | may import |"
_NAME = re.compile(r"`([a-z_/]+)`")


def may_import(text: str) -> dict[str, frozenset[str]]:
    """Package -> our packages it may import, read from the page's text.

    A cell is ``nothing``, ``everything``, ``everything but`` names, or names. Raises ValueError for any other.
    """
    rows = [row.strip("| ").split(" | ") for row in _table(text)]
    named = [(_NAME.findall(row[0]), row[-1]) for row in rows]
    if any(len(names) != 1 for names, _ in named):
        raise ValueError("the first cell of each row names one package")
    # A package's root has nothing but its __init__; what lies beside the packages needs a row of its own.
    everything = frozenset({"scheduler", "operators", *(_dotted(names[0]) for names, _ in named)})
    table = {root: frozenset[str]() for root in ("scheduler", "operators")}
    for names, cell in named:
        table[_dotted(names[0])] = _allowed(cell, everything)
    return table


def _table(text: str) -> list[str]:
    """The rows below the header."""
    _, found, rest = text.partition(f"{HEADER}\n")
    if not found:
        raise ValueError(f"there is no table {HEADER}")
    lines = rest.splitlines()
    return lines[1 : next(number for number, line in enumerate(lines) if not line.startswith("|"))]


def _allowed(cell: str, everything: frozenset[str]) -> frozenset[str]:
    names = frozenset(_dotted(name) for name in _NAME.findall(cell))
    words = _NAME.sub("", cell).replace(",", "").split()
    if names - everything:
        raise ValueError(f"{', '.join(sorted(names - everything))} in {cell!r} has no row")
    match words, bool(names):
        case ["everything", "but"], True:
            return everything - names
        case ["everything"], False:
            return everything
        case (["nothing"], False) | ([], True):
            return names
    raise ValueError(f"cannot read {cell!r}")


def _dotted(path: str) -> str:
    return path.replace("/", ".")
