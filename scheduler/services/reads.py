"""Reading all there is, or saying that it is too much: a sum over the first so many rows would be a wrong number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from scheduler.core.errors import Fatal
from scheduler.core.records import LedgerEntryRecord, LedgerTxRecord, Record
from scheduler.services.ports import Reader, Where

R = TypeVar("R", bound=Record)
L = TypeVar("L", LedgerTxRecord, LedgerEntryRecord)

SEQUENCES_A_READ = 20_000
LEGS_MAX = 100
"""Legs of one transaction; usage has seven."""


def everything(
    view: Reader, kind: type[R], *where: Where, order: Sequence[str] = (), limit: int, refusal: Fatal
) -> list[R]:
    """Every record that meets all conditions; raises ``refusal`` when there are more than ``limit``."""
    found = view.select(kind, *where, order=order, limit=limit + 1)
    if len(found) > limit:
        raise refusal
    return found


def of_sequences(view: Reader, kind: type[L], sequences: Collection[int], *where: Where) -> Iterator[L]:
    """The rows of these ledger sequences and of no others, whatever lies between them."""
    ordered = sorted(sequences)
    for first in range(0, len(ordered), SEQUENCES_A_READ):
        part = tuple(ordered[first : first + SEQUENCES_A_READ])
        refusal = Fatal("DURE-9051", f"the transactions of {len(part)} sequences have too many entries")
        in_part = Where("seq", "in", part)
        yield from everything(view, kind, in_part, *where, limit=len(part) * LEGS_MAX, refusal=refusal)
