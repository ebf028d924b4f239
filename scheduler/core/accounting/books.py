"""The check of the books: everything that must hold of stored transactions and entries, as findings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from scheduler.core.accounting.ledger import KINDS, REVERSAL, unit_sums
from scheduler.core.errors import Finding
from scheduler.core.records import LedgerEntryRecord, LedgerTxRecord

UNBALANCED = "DURE-9045"
NOT_GAPLESS = "DURE-9046"
KEY_TWICE = "DURE-9047"
MALFORMED = "DURE-9048"
BAD_REVERSAL = "DURE-9049"
_FIX = "restore the ledger from a copy made before; its rows are never edited, mistakes are reversed and booked anew"

Entries = Mapping[int, Sequence[LedgerEntryRecord]]


def check(
    transactions: Iterable[LedgerTxRecord], entries: Iterable[LedgerEntryRecord], *, first_seq: int = 1
) -> list[Finding]:
    """Every place where a ledger breaks its rules; empty for a sound one. Rows may come in any order.

    first_seq: the sequence the rows begin with; a reversal of an earlier one cannot be compared then.
    """
    rows = sorted(transactions, key=lambda row: row.seq)
    legs: dict[int, list[LedgerEntryRecord]] = defaultdict(list)
    for entry in entries:
        legs[entry.seq].append(entry)
    for found in legs.values():
        found.sort(key=lambda entry: entry.line)
    return [
        *_sequence(rows, legs, first_seq),
        *_keys(rows),
        *(finding for row in rows for finding in _form(row, legs.get(row.seq, []))),
        *_reversals(rows, legs, first_seq),
    ]


def _sequence(rows: Sequence[LedgerTxRecord], legs: Entries, first_seq: int) -> Iterator[Finding]:
    expected = first_seq
    for row in rows:
        if row.seq != expected:
            yield _finding(row.seq, NOT_GAPLESS, f"comes where {expected} is due")
        expected = row.seq + 1
    known = {row.seq for row in rows}
    for seq in sorted(legs.keys() - known):
        yield _finding(seq, MALFORMED, f"has {len(legs[seq])} entries and no transaction")


def _keys(rows: Sequence[LedgerTxRecord]) -> Iterator[Finding]:
    times = Counter(row.idem_key for row in rows)
    for row in rows:
        if times[row.idem_key] > 1:
            yield _finding(row.seq, KEY_TWICE, f"has the key {row.idem_key!r}, booked {times[row.idem_key]} times")


def _form(row: LedgerTxRecord, legs: Sequence[LedgerEntryRecord]) -> Iterator[Finding]:
    if row.kind not in KINDS or not row.idem_key:
        yield _finding(row.seq, MALFORMED, f"is of the unknown kind {row.kind!r} or has no key")
    if [leg.line for leg in legs] != list(range(len(legs))) or len(legs) < 2:
        yield _finding(row.seq, MALFORMED, f"has the lines {[leg.line for leg in legs]}, not 0, 1 and so on")
    if not all(leg.amount and leg.account for leg in legs):
        yield _finding(row.seq, MALFORMED, "has an entry without amount or account")
    for unit, rest in sorted(unit_sums(legs).items()):
        if rest:
            yield _finding(row.seq, UNBALANCED, f"is out of balance by {rest} {unit}")


def _reversals(rows: Sequence[LedgerTxRecord], legs: Entries, first_seq: int) -> Iterator[Finding]:
    by_seq = {row.seq: row for row in rows}
    times = Counter(row.reverses_seq for row in rows if row.reverses_seq)
    for row in rows:
        if (row.kind == REVERSAL) != bool(row.reverses_seq):
            yield _finding(row.seq, BAD_REVERSAL, f"is of kind {row.kind} and reverses {row.reverses_seq or 'nothing'}")
        if not row.reverses_seq or row.reverses_seq < first_seq:
            continue
        original = by_seq.get(row.reverses_seq)
        if original is None or original.seq >= row.seq or original.kind == REVERSAL:
            yield _finding(row.seq, BAD_REVERSAL, f"reverses {row.reverses_seq}, which is no earlier transaction")
        elif _amounts(legs.get(original.seq, []), -1) != _amounts(legs.get(row.seq, []), 1):
            yield _finding(row.seq, BAD_REVERSAL, f"is not the opposite of {original.seq}")
        if times[row.reverses_seq] > 1:
            yield _finding(row.seq, BAD_REVERSAL, f"reverses {row.reverses_seq}, which is reversed more than once")


def _amounts(legs: Sequence[LedgerEntryRecord], sign: int) -> list[tuple[str, str, int]]:
    return sorted((leg.account, leg.unit, sign * leg.amount) for leg in legs)


def _finding(seq: int, code: str, message: str) -> Finding:
    return Finding(f"ledger sequence {seq}", code, f"transaction {seq} {message}", _FIX)
