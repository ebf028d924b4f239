"""The check of the books finds each broken rule, at its sequence."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.core.accounting import ledger
from scheduler.core.accounting.books import (
    BAD_REVERSAL,
    KEY_TWICE,
    MALFORMED,
    NOT_GAPLESS,
    UNBALANCED,
    check,
)
from scheduler.core.records import LedgerEntryRecord, LedgerTxRecord
from tests.unit.core.accounting.worlds import BOOK, HOUR, T0, usage_slice

Rows = list[LedgerTxRecord]
Entries = list[LedgerEntryRecord]


def books() -> tuple[Rows, Entries]:
    """Three attempts' usage, the second reversed, and a tax: sequences 1 to 5."""
    made = [ledger.usage_transaction([usage_slice(f"job{name}", HOUR)], BOOK) for name in ("aaaa", "bbbb", "cccc")]
    made.append(ledger.reversal(made[1], 2, reason="counted twice", approved_by="lee"))
    tax = ledger.vat_transaction("2026-000001", "hanbit-ai", 29_000_000, T0, T0 + HOUR)
    assert tax is not None
    made.append(tax)
    rows = [ledger.tx_record(each, seq, T0, "2026-10") for seq, each in enumerate(made, 1)]
    return rows, [entry for seq, each in enumerate(made, 1) for entry in ledger.entry_records(each, seq)]


def test_sound_books_in_any_order(rng: random.Random) -> None:
    rows, entries = books()
    rng.shuffle(rows)
    rng.shuffle(entries)
    assert check(rows, entries) == []
    assert check([], []) == []


def test_part_of_the_books() -> None:
    rows, entries = books()
    later = [row for row in rows if row.seq >= 3]
    assert check(later, [entry for entry in entries if entry.seq >= 3], first_seq=3) == []
    assert [finding.code for finding in check(later, entries[14:], first_seq=2)] == [NOT_GAPLESS, BAD_REVERSAL]


def change_entry(index: int, **change: int | str) -> Callable[[Rows, Entries], None]:
    """A fault: one entry is another."""

    def apply(rows: Rows, entries: Entries) -> None:
        del rows
        entries[index] = replace(entries[index], **change)  # type: ignore[arg-type]  # fields by name, as a fault would

    return apply


def change_row(index: int, **change: int | str) -> Callable[[Rows, Entries], None]:
    """A fault: one transaction's row is another."""

    def apply(rows: Rows, entries: Entries) -> None:
        del entries
        rows[index] = replace(rows[index], **change)  # type: ignore[arg-type]  # fields by name, as a fault would

    return apply


def without_entries(seq: int, keep: int) -> Callable[[Rows, Entries], None]:
    """A fault: a transaction has only its first ``keep`` entries."""

    def apply(rows: Rows, entries: Entries) -> None:
        del rows
        entries[:] = [entry for entry in entries if entry.seq != seq or entry.line < keep]

    return apply


def without_row(seq: int) -> Callable[[Rows, Entries], None]:
    """A fault: a transaction's row is gone, its entries are there."""

    def apply(rows: Rows, entries: Entries) -> None:
        del entries
        rows[:] = [row for row in rows if row.seq != seq]

    return apply


def with_row(source: int, **change: int | str) -> Callable[[Rows, Entries], None]:
    """A fault: a transaction is there again as sequence 6, changed a little."""

    def apply(rows: Rows, entries: Entries) -> None:
        rows.append(replace(rows[source - 1], seq=6, **change))  # type: ignore[arg-type]  # fields by name
        entries.extend([replace(entry, seq=6) for entry in entries if entry.seq == source])

    return apply


def swapped_sequences(rows: Rows, entries: Entries) -> None:
    """A fault: the reversal (4) and what it reverses (2) stand in each other's place."""
    places = {2: 4, 4: 2}
    rows[:] = [replace(row, seq=places.get(row.seq, row.seq)) for row in rows]
    rows[:] = [replace(row, reverses_seq=4 if row.reverses_seq else 0) for row in rows]
    entries[:] = [replace(entry, seq=places.get(entry.seq, entry.seq)) for entry in entries]


def reversed_reversal(rows: Rows, entries: Entries) -> None:
    """A fault: sequence 6 is the exact opposite of the reversal."""
    rows.append(replace(rows[3], seq=6, idem_key="reversal:4", reverses_seq=4))
    entries.extend([replace(entry, seq=6, amount=-entry.amount) for entry in entries if entry.seq == 4])


FAULTS = {
    "a reversal before what it reverses": (swapped_sequences, {(2, BAD_REVERSAL)}),
    "a reversal of a reversal": (reversed_reversal, {(6, BAD_REVERSAL)}),
    "a reversal of what is not there": (change_row(3, reverses_seq=99), {(4, BAD_REVERSAL)}),
    "an amount changed by one": (change_entry(0, amount=-HOUR * 1_000 - 1), {(1, UNBALANCED)}),
    "an amount moved to another account": (change_entry(-1, account="revenue:seoul"), set()),
    "an amount of zero": (change_entry(0, amount=0), {(1, MALFORMED), (1, UNBALANCED)}),
    "an entry of another unit": (change_entry(0, unit="microwon"), {(1, UNBALANCED)}),
    "an entry without account": (change_entry(0, account=""), {(1, MALFORMED)}),
    "a line number twice": (change_entry(1, line=0), {(1, MALFORMED)}),
    "an unknown kind": (change_row(0, kind="gift"), {(1, MALFORMED)}),
    "no key": (change_row(0, idem_key=""), {(1, MALFORMED)}),
    "a gap": (change_row(4, seq=7), {(7, NOT_GAPLESS), (7, MALFORMED), (5, MALFORMED)}),
    "a sequence twice": (change_row(4, seq=4), {(4, NOT_GAPLESS), (5, MALFORMED)}),
    "one entry is missing": (without_entries(1, 6), {(1, UNBALANCED)}),
    "all but one entry are missing": (without_entries(5, 1), {(5, MALFORMED), (5, UNBALANCED)}),
    "all entries are missing": (without_entries(3, 0), {(3, MALFORMED)}),
    "a row is missing": (without_row(1), {(2, NOT_GAPLESS), (1, MALFORMED)}),
    "booked twice": (with_row(3), {(3, KEY_TWICE), (6, KEY_TWICE)}),
    "reversed twice": (with_row(4, idem_key="reversal:2b"), {(4, BAD_REVERSAL), (6, BAD_REVERSAL)}),
    "a reversal of nothing": (change_row(3, reverses_seq=0), {(4, BAD_REVERSAL)}),
    "a reversal of a later one": (change_row(3, reverses_seq=5), {(4, BAD_REVERSAL)}),
    "a reversal of itself": (change_row(3, reverses_seq=4), {(4, BAD_REVERSAL)}),
    "a reversal of another": (change_row(3, reverses_seq=1), set()),
    "a reversal of one with other legs": (change_entry(-3, account="revenue:busan"), {(4, BAD_REVERSAL)}),
    "usage that claims to reverse": (change_row(2, reverses_seq=1), {(3, BAD_REVERSAL)}),
}


@pytest.mark.parametrize(("fault", "found"), FAULTS.values(), ids=FAULTS.keys())
def test_each_broken_rule_is_found(fault: Callable[[Rows, Entries], None], found: set[tuple[int, str]]) -> None:
    rows, entries = books()
    fault(rows, entries)
    findings = check(rows, entries)
    assert {(int(finding.where.split(" ")[-1]), finding.code) for finding in findings} == found
    assert all(finding.fix and finding.message.startswith("transaction ") for finding in findings)
