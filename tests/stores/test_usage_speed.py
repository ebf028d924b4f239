"""Usage of a month of a thousand jobs, from SQLite: by every group, in less than a second."""

from __future__ import annotations

import time

from scheduler.core.accounting import ledger
from scheduler.core.accounting.usage import posted
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import UsageLine
from scheduler.services import usage_views
from scheduler.services.actors import Actor
from scheduler.services.usage_groups import GROUPS
from scheduler.services.usage_views import UsageScope
from scheduler.store.sql import SqlStore
from tests.unit.core.accounting.worlds import BOOK, T0, usage_slice

JOBS = 1_000
HOURS = 8
ADMIN = Actor("admin", frozenset({("admin", "all")}))


def fill(store: SqlStore) -> None:
    """So many jobs over 30 days, each of one rank for so many hours, booked as a settler does."""
    seq = 0
    for first in range(0, JOBS, 100):
        with store.write() as tx:
            for job in range(first, first + 100):
                start_ms = T0 + job % 30 * 24 * MS_PER_HOUR
                for hour in range(HOURS):
                    begin_ms = start_ms + hour * MS_PER_HOUR
                    end_ms = begin_ms + MS_PER_HOUR
                    part = usage_slice(
                        f"job{job}", MS_PER_HOUR, start_ms=begin_ms, end_ms=end_ms, project=f"p{job % 7}"
                    )
                    seq += 1
                    booked = ledger.usage_transaction([part], BOOK)
                    tx.add(ledger.tx_record(booked, seq, begin_ms, "2026-10"))
                    for entry in ledger.entry_records(booked, seq):
                        tx.add(entry)
                    for row in posted([part], period="2026-10", ledger_seq=seq):
                        tx.add(row)


def test_a_month_of_a_thousand_jobs(sqlite: SqlStore) -> None:
    fill(sqlite)
    scope = UsageScope(T0, T0 + 31 * 24 * MS_PER_HOUR)

    def asked() -> tuple[float, UsageLine]:
        began = time.monotonic()
        with sqlite.read() as view:
            found = usage_views.usage_by(view, ADMIN, scope, T0 + 32 * 24 * MS_PER_HOUR, GROUPS)
        return time.monotonic() - began, found.totals

    seconds, totals = min((asked() for _ in range(3)), key=lambda answer: answer[0])
    assert totals.jobs == JOBS
    assert totals.held_milli_gpu_ms == JOBS * HOURS * 3_600_000_000
    # an hour of sme at 2,900 won: 290 won each
    assert totals.posted_microwon == JOBS * HOURS * 290_000_000
    assert seconds < 1.0
