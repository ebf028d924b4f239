"""Billing periods: open -> closing (its end is fixed) -> closed (its invoices are issued by the settler)."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core.accounting.calendar import MANUAL, MONTH, first_period, manual_end, manual_number, next_period
from scheduler.core.errors import Retry
from scheduler.core.records import AttemptRecord, ClusterRecord, PeriodRecord, SliceRecord
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import PeriodBody
from scheduler.services.actors import Actor, require
from scheduler.services.effective import EffectivePolicies
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.submit import Conflict, NotFound

PERIODS_MAX = 10_000
CLUSTERS_MAX = 100_000
UNSETTLED_MAX = 100_000
RANKS_MAX = 10_000_000
"""Of all attempts that live at one instant; with more than that a period would wait, not close."""


def all_periods(view: Reader) -> list[PeriodRecord]:
    """Every period, oldest first."""
    return view.select(PeriodRecord, order=("start_ms", "id"), limit=PERIODS_MAX)


def _last_manual(periods: list[PeriodRecord]) -> int:
    return max((manual_number(period.id) for period in periods if period.calendar == MANUAL), default=0)


def _follow(tx: Writer, periods: list[PeriodRecord], previous: PeriodRecord, calendar: str) -> PeriodRecord:
    following = next_period(previous, calendar, manual=_last_manual(periods) + 1)
    tx.add_new(following)
    periods.append(following)
    return following


def ensure_open_period(tx: Writer, calendar: str, at_ms: int) -> None:
    """Open the first period when there is none; later ones follow from the closing of the one before."""
    if not all_periods(tx):
        tx.add_new(first_period(calendar, at_ms))


def period_for(tx: Writer, calendar: str, start_ms: int, end_ms: int) -> PeriodRecord:
    """The period that bills a slice [start, end): its own if not closed, else the oldest open one it does not outlast.

    An invoice has no usage after its period: a period that ends before a late slice could never be closed with it.
    Months that have passed without a close are opened on the way.
    """
    periods = all_periods(tx)
    newest = periods[-1] if periods else first_period(calendar, start_ms)
    if not periods:
        tx.add_new(newest)
        periods.append(newest)
    for _ in range(PERIODS_MAX):
        if not newest.end_ms or end_ms <= newest.end_ms:
            break
        newest = _follow(tx, periods, newest, calendar)
    open_ones = [item for item in periods if item.state != "closed" and (not item.end_ms or end_ms <= item.end_ms)]
    for period in open_ones:
        if period.start_ms <= start_ms:
            return period
    return open_ones[0]


def close_period(store: Store, policies: EffectivePolicies, actor: Actor, period_id: str, now_ms: int) -> PeriodBody:
    """Fix a period's end and ask the settler to close it; a repeat reports how far that is.

    "" means the oldest period that is not closed. Raises Conflict when its month has not ended.
    """
    require(actor.is_admin, "close a period", "an administrator of the pool")
    with store.write() as tx:
        periods = all_periods(tx)
        chosen = _chosen(periods, period_id)
        if chosen.state != "open":
            return period_body(tx, chosen)
        if chosen.calendar == MONTH and now_ms < chosen.end_ms:
            raise Conflict("DURE-6030", f"period {chosen.id} ends only at {instant(chosen.end_ms)}", "close it then")
        end_ms = chosen.end_ms or manual_end(chosen, now_ms, _observed(tx))
        closing = replace(chosen, state="closing", end_ms=end_ms, closed_by=actor.user)
        if not tx.change(closing, version=chosen.version):
            raise Retry("DURE-6001", "the period changed at the same moment", "try again")
        policy = policies.current(tx, now_ms)
        calendar = policy.calendar if policy else chosen.calendar
        if not any(period.start_ms >= end_ms for period in periods):
            _follow(tx, periods, closing, calendar)
        return period_body(tx, closing)


def _observed(tx: Writer) -> list[int]:
    """Every cluster's watermark, none of which moves before this transaction ends; raises Retry.

    A report in between could have a slice posted past the end that is being fixed, and the period could never close.
    """
    clusters = tx.select(ClusterRecord, order=("name",), limit=CLUSTERS_MAX)
    for cluster in clusters:
        if not tx.change(cluster, version=cluster.version):
            raise Retry("DURE-6001", f"cluster {cluster.name} reported at the same moment", "try again")
    return [cluster.observed_through_ms for cluster in clusters]


def _chosen(periods: list[PeriodRecord], period_id: str) -> PeriodRecord:
    for period in periods:
        if period.id == period_id or (not period_id and period.state != "closed"):
            return period
    raise NotFound("DURE-3007", f"no period {period_id}" if period_id else "no period is open", "dure period list")


def waiting_for(view: Reader, period: PeriodRecord) -> str:
    """What a closing period still waits for, in a sentence; "" when its usage is complete. Three reads in all."""
    running = (Where("settled", "=", False), Where("admitted_at_ms", "<", period.end_ms))
    attempts = view.select(AttemptRecord, *running, order=("admitted_at_ms",), limit=UNSETTLED_MAX + 1)
    if len(attempts) > UNSETTLED_MAX:
        return f"more than {UNSETTLED_MAX:,} attempts are not settled yet"
    clusters = view.select(ClusterRecord, limit=CLUSTERS_MAX) if attempts else []
    through = {cluster.name: cluster.observed_through_ms for cluster in clusters}
    posted = _posted_to_end(view, period) if attempts else frozenset()
    for attempt in attempts:
        through_ms = through.get(attempt.cluster, 0)
        if through_ms < period.end_ms:
            seen = instant(through_ms) or "never"
            return f"cluster {attempt.cluster} has been observed through {seen}, needed is {instant(period.end_ms)}"
        if (attempt.job, attempt.number) not in posted and not 0 < attempt.gone_at_ms <= attempt.admitted_at_ms:
            return f"usage of job {attempt.job}, attempt {attempt.number}, is not in the ledger yet"
    return ""


def _posted_to_end(view: Reader, period: PeriodRecord) -> frozenset[tuple[str, int]]:
    """(job, attempt) of those with a slice up to the period's end: it has begun in the hour before, as all are cut."""
    last_hour = (Where("start_ms", ">=", period.end_ms - MS_PER_HOUR), Where("start_ms", "<", period.end_ms))
    at_end = Where("end_ms", ">=", period.end_ms)
    return frozenset((row.job, row.attempt) for row in view.select(SliceRecord, *last_hour, at_end, limit=RANKS_MAX))


def list_periods(view: Reader) -> list[PeriodBody]:
    """Every period, oldest first."""
    return [period_body(view, period) for period in all_periods(view)]


def period_body(view: Reader, period: PeriodRecord) -> PeriodBody:
    """The period as a body; a closing one says what it waits for."""
    waiting = ""
    if period.state == "closing":
        waiting = waiting_for(view, period) or "the settler's next step"
    return PeriodBody(
        id=period.id,
        calendar=period.calendar,
        start=instant(period.start_ms),
        end=instant(period.end_ms),
        state=period.state,
        closed_at=instant(period.closed_at_ms),
        closed_by=period.closed_by,
        waiting_for=waiting,
    )
