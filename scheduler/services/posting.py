"""Writing a transaction to the ledger: the one place that gives out its sequence."""

from __future__ import annotations

from scheduler.core.accounting import ledger
from scheduler.services.ports import Writer


def post(tx: Writer, transaction: ledger.Transaction, period: str, now_ms: int) -> int:
    """Add the transaction with its legs to the books of a period, under the next sequence, which is returned."""
    seq = tx.next_number("ledger")
    tx.add(ledger.tx_record(transaction, seq, now_ms, period))
    for entry in ledger.entry_records(transaction, seq):
        tx.add(entry)
    return seq
