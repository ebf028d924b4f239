"""The settler: posts final slices to the ledger in order, then closes periods and issues invoices.

One process holds the lease; its epoch fences every write. Slices are cut only up to a cluster's
observed-through watermark, so a late report seldom needs a correction. A repeat posts nothing twice:
slice ids and the ledger's keys are made from what is booked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.core.accounting import calendar, ledger
from scheduler.core.accounting.invoice_model import Party
from scheduler.core.accounting.usage import AttemptUsage, cut, posted, usage_of
from scheduler.core.errors import DuplicateRecord, Finding, Retry, StaleEpoch
from scheduler.core.lifecycle import AttemptState
from scheduler.core.records import (
    AttemptRecord,
    ClusterRecord,
    JobRecord,
    PeriodRecord,
    RankRecord,
    SliceRecord,
)
from scheduler.core.units import MS_PER_HOUR
from scheduler.services.effective import EffectivePolicies
from scheduler.services.findings import note
from scheduler.services.invoices import issue_invoices
from scheduler.services.leases import LEASE_MS, acquire
from scheduler.services.periods import UNSETTLED_MAX, all_periods, period_for, waiting_for
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.posting import post
from scheduler.services.prices import PriceBooks

LEASE = "settler"
RANKS_MAX = 100_000
GROUPS_A_WRITE = 50
CLOSINGS_A_STEP = 4


@dataclass(frozen=True, slots=True)
class SettleReport:
    """What one step did: whether it led, slices posted, attempts settled, periods closed."""

    leading: bool
    slices: int = 0
    settled: int = 0
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Work:
    """An attempt with slices to post; ``last``: they are its last."""

    attempt: AttemptRecord
    slices: tuple[SliceRecord, ...]
    last: bool
    findings: tuple[Finding, ...]


class Settler:
    """``step(now_ms)`` posts what is final and closes what is complete; no thread, sleep or clock inside."""

    def __init__(
        self,
        store: Store,
        policies: EffectivePolicies,
        holder: str,
        issuer: Party,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._store = store
        self._policies = policies
        self._books = PriceBooks(policies)
        self._holder = holder
        self._issuer = issuer
        self._lease_ms = lease_ms
        self._through: dict[tuple[str, int], int] = {}

    def step(self, now_ms: int) -> SettleReport:
        """Renew the lease, post every final slice, settle attempts that are gone, close what can be closed."""
        epoch = acquire(self._store, LEASE, self._holder, now_ms, self._lease_ms)
        if epoch is None:
            self._through.clear()
            return SettleReport(leading=False)
        try:
            slices, settled = self._post(epoch, now_ms)
            return SettleReport(True, slices, settled, self._close(epoch, now_ms))
        except (StaleEpoch, DuplicateRecord):
            # Another settler posted under a newer epoch: what it wrote is read again in the next step.
            self._through.clear()
            return SettleReport(leading=False)
        except Retry:
            self._through.clear()
            raise

    def _post(self, epoch: int, now_ms: int) -> tuple[int, int]:
        with self._store.read() as view:
            policy = self._policies.current(view, now_ms)
            if policy is None:
                return 0, 0
            work = self._work(view)
            book = self._books.book(view)
        groups = ledger.grouped(part for item in work for part in item.slices)
        for first in range(0, len(groups), GROUPS_A_WRITE):
            with self._store.write() as tx:
                tx.fence(LEASE, epoch)
                for group in groups[first : first + GROUPS_A_WRITE]:
                    transaction = ledger.usage_transaction(group, book)
                    period = period_for(tx, policy.calendar, group[0].start_ms, group[0].end_ms)
                    _book(tx, transaction, group, period.id, now_ms)
        for item in work:
            self._settle(item, epoch, now_ms)
        return sum(len(group) for group in groups), sum(item.last for item in work)

    def _work(self, view: Reader) -> list[_Work]:
        """Attempts with something final to post, or that are gone and posted: bounded by those not settled."""
        edges = calendar.boundaries(all_periods(view))
        through = {cluster.name: cluster.observed_through_ms for cluster in view.select(ClusterRecord)}
        found = []
        unsettled = view.select(AttemptRecord, Where("settled", "=", False), limit=UNSETTLED_MAX)
        for attempt in unsettled:
            through_ms = through.get(attempt.cluster, 0)
            since_ms = self._since(view, attempt)
            if not _due(attempt, since_ms, through_ms, edges):
                continue
            usage = self._usage(view, attempt)
            slices = cut(usage, through_ms, edges, since_ms=since_ms)
            last = attempt.state is AttemptState.GONE and attempt.gone_at_ms <= through_ms
            if slices or last:
                found.append(_Work(attempt, tuple(slices), last, usage.findings if last else ()))
        return found

    def _usage(self, view: Reader, attempt: AttemptRecord) -> AttemptUsage:
        of_attempt = (Where("job", "=", attempt.job), Where("attempt", "=", attempt.number))
        job = view.get(JobRecord, attempt.job)
        class_name = job.class_name if job else ""
        return usage_of(attempt, view.select(RankRecord, *of_attempt, order=("rank",), limit=RANKS_MAX), class_name)

    def _since(self, view: Reader, attempt: AttemptRecord) -> int:
        """Up to where its slices are posted; all ranks of one span are posted together."""
        name = (attempt.job, attempt.number)
        if name not in self._through:
            of_attempt = (Where("job", "=", attempt.job), Where("attempt", "=", attempt.number))
            last = view.select(SliceRecord, *of_attempt, order=("-end_ms",), limit=1)
            self._through[name] = last[0].end_ms if last else 0
        return self._through[name]

    def _settle(self, item: _Work, epoch: int, now_ms: int) -> None:
        """Remember how far an attempt is posted, and mark it settled when that is to its end."""
        name = (item.attempt.job, item.attempt.number)
        if item.slices:
            self._through[name] = item.slices[-1].end_ms
        if not item.last:
            return
        with self._store.write() as tx:
            tx.fence(LEASE, epoch)
            current = tx.get(AttemptRecord, *name)
            if current is not None and not current.settled:
                tx.change(replace(current, settled=True), version=current.version)
            for finding in item.findings:
                note(tx, finding.code, finding.where, finding.message, now_ms)
        self._through.pop(name, None)

    def _close(self, epoch: int, now_ms: int) -> tuple[str, ...]:
        with self._store.read() as view:
            closing = [period for period in all_periods(view) if period.state == "closing"]
            ready = [period for period in closing[:CLOSINGS_A_STEP] if not waiting_for(view, period)]
        for period in ready:
            self._issue(period, epoch, now_ms)
        return tuple(period.id for period in ready)

    def _issue(self, period: PeriodRecord, epoch: int, now_ms: int) -> None:
        with self._store.write() as tx:
            tx.fence(LEASE, epoch)
            issue_invoices(tx, self._policies, self._books, period, self._issuer, now_ms)


def _due(attempt: AttemptRecord, since_ms: int, through_ms: int, edges: tuple[int, ...]) -> bool:
    """Whether a live attempt has a cut (an hour, or a period's end) between what is posted and the watermark."""
    if attempt.state is AttemptState.GONE:
        return True
    start_ms = max(since_ms, attempt.admitted_at_ms)
    next_hour_ms = (start_ms // MS_PER_HOUR + 1) * MS_PER_HOUR
    return min([next_hour_ms, *(edge for edge in edges if edge > start_ms)]) <= through_ms


def _book(
    tx: Writer, transaction: ledger.Transaction, group: tuple[SliceRecord, ...], period: str, now_ms: int
) -> None:
    seq = post(tx, transaction, period, now_ms)
    for part in posted(group, period=period, ledger_seq=seq):
        tx.add(part)
