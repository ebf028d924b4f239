"""What people read about GPUs and usage: what is free, who used what, what the ledger has of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from scheduler.core.accounting.ledger import MICROWON, receivable
from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import AttemptRecord, JobRecord, LedgerEntryRecord, NodeRecord, SliceRecord
from scheduler.core.units import MILLI_PER_GPU, MS_PER_HOUR
from scheduler.schema.bodies import GpuLine, UsageLine
from scheduler.services.actors import Actor
from scheduler.services.ports import Reader, Where
from scheduler.services.reads import everything, of_sequences
from scheduler.services.submit import Invalid
from scheduler.services.usage_groups import DEFAULT_BY, DEFAULT_ZONE, Days, Key, key_maker, sort_key

R = TypeVar("R", SliceRecord, AttemptRecord)

NODES_MAX = 100_000
SLICES_MAX = 1_000_000
ATTEMPTS_MAX = 100_000
RECENT_MS = 2 * MS_PER_HOUR
"""Slices that began so long ago hold the last one of nearly every attempt that lives: slices have an hour at most."""

NO_GROUP: Key = ("",) * 6


def gpus(view: Reader) -> list[GpuLine]:
    """GPUs by cluster and flavor, with the largest gang that could start on the free ones."""
    groups: dict[tuple[str, str], list[NodeRecord]] = {}
    for node in view.select(NodeRecord, order=("cluster", "flavor", "name"), limit=NODES_MAX):
        groups.setdefault((node.cluster, node.flavor), []).append(node)
    lines = []
    for (cluster, flavor), nodes in sorted(groups.items()):
        free = [max(0, node.healthy - node.held) if node.schedulable else 0 for node in nodes]
        waiting = (Where("state", "=", JobState.QUEUED), Where("flavor", "=", flavor))
        line = GpuLine(
            cluster=cluster,
            flavor=flavor,
            nodes=len(nodes),
            total=sum(node.registered for node in nodes),
            healthy=sum(node.healthy for node in nodes),
            held=sum(node.held for node in nodes),
            free=sum(free),
            largest_gang=largest_gang(free),
            pending_jobs=view.count(JobRecord, *waiting),
        )
        lines.append(line)
    return lines


def largest_gang(free: Iterable[int]) -> str:
    """The gang of most GPUs that fits these free counts, as ``NODESxGPUS``; wider nodes win ties; "-" for none."""
    best = (0, 0, 0)
    counts = list(free)
    for per_node in range(1, max(counts, default=0) + 1):
        workers = sum(count // per_node for count in counts)
        best = max(best, (workers * per_node, per_node, workers))
    return f"{best[2]}x{best[1]}" if best[0] else "-"


@dataclass(frozen=True, slots=True)
class UsageScope:
    """Which usage: of an organisation and project ("" for all), of slices that start in [since, until)."""

    since_ms: int
    until_ms: int
    org: str = ""
    project: str = ""

    def where(self) -> tuple[Where, ...]:
        """The conditions on organisation and project."""
        pairs = (("org", self.org), ("project", self.project))
        return tuple(Where(name, "=", value) for name, value in pairs if value)


@dataclass(slots=True)
class _Sum:
    jobs: set[str] = field(default_factory=set)
    held: int = 0
    billed: int = 0
    microwon: int = 0
    unposted: int = 0


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """Usage by group in the order of the groups, and all of it together."""

    lines: list[UsageLine]
    totals: UsageLine


def usage(view: Reader, actor: Actor, scope: UsageScope, now_ms: int) -> list[UsageLine]:
    """Usage by project, user, flavor and tier; see ``usage_by``."""
    return usage_by(view, actor, scope, now_ms, DEFAULT_BY).lines


def usage_by(
    view: Reader, actor: Actor, scope: UsageScope, now_ms: int, by: Sequence[str], zone: str = DEFAULT_ZONE
) -> UsageAnswer:
    """Usage of slices that start in the scope, and what is not posted yet, by these properties (days of ``zone``).

    Raises Invalid when that is more than one answer may read: a sum of a part of it would be a wrong number.
    """
    sums = _Sums(by, Days(zone))
    since, until = Where("start_ms", ">=", scope.since_ms), Where("start_ms", "<", scope.until_ms)
    for row in _seen(view, SliceRecord, actor, scope, since, until, limit=SLICES_MAX):
        sums.add_slice(row)
    _add_money(view, sums)
    if scope.since_ms <= now_ms < scope.until_ms:
        _add_unposted(view, sums, actor, scope, now_ms)
    order = sort_key(by)
    lines = [_line(key, sums.groups[key]) for key in sorted(sums.groups, key=order)]
    return UsageAnswer(lines, _line(NO_GROUP, sums.total()))


class _Sums:
    """Sums by group, and to which group the money of a ledger sequence belongs."""

    def __init__(self, by: Sequence[str], days: Days) -> None:
        self.days = days
        self.by_day = "day" in by
        self.groups: dict[Key, _Sum] = {}
        self.owners: dict[int, tuple[Key, str]] = {}
        self._key = key_maker(by)

    def of(self, used: SliceRecord | AttemptRecord, day: str) -> tuple[Key, _Sum]:
        """The group of what was used."""
        key = self._key(used, day)
        return key, self.groups.setdefault(key, _Sum())

    def add_slice(self, row: SliceRecord) -> None:
        """Count a slice; all slices of one sequence are of one attempt and span, so of one group."""
        key, found = self.of(row, self.days.of(row.start_ms) if self.by_day else "")
        self.owners[row.ledger_seq] = (key, row.org)
        found.jobs.add(row.job)
        found.held += row.held_milli_gpu_ms
        found.billed += row.billed_milli_gpu_ms

    def add_unposted(self, attempt: AttemptRecord, start_ms: int, end_ms: int) -> None:
        """Count time that no slice holds yet, day by day where days are wanted; an attempt counts also without any."""
        spans = list(self.days.parts(start_ms, end_ms)) if self.by_day else [("", max(0, end_ms - start_ms))]
        for day, length_ms in spans or [(self.days.of(start_ms), 0)]:
            _, found = self.of(attempt, day)
            found.jobs.add(attempt.job)
            found.unposted += length_ms * attempt.gpus * MILLI_PER_GPU

    def total(self) -> _Sum:
        """Everything; a job that is in several groups counts once."""
        whole = _Sum()
        for part in self.groups.values():
            whole.jobs |= part.jobs
            whole.held += part.held
            whole.billed += part.billed
            whole.microwon += part.microwon
            whole.unposted += part.unposted
        return whole


def _own(actor: Actor, scope: UsageScope) -> tuple[Where, ...]:
    """Conditions that find all the actor may see; who sees a part of the pool does not read through it all."""
    if actor.reads_all or scope.org:
        return scope.where()
    return (*scope.where(), Where("org", "in", actor.orgs))


def _seen(view: Reader, kind: type[R], actor: Actor, scope: UsageScope, *where: Where, limit: int) -> list[R]:
    """Every row of the scope that the actor may see; raises Invalid when that means to read more than ``limit``."""
    fix = "narrow it: --since WHEN, --org ORG or --project PROJECT"
    refusal = Invalid("DURE-1046", f"this asks for more than {limit:,} pieces of usage at once", fix)
    rows = everything(view, kind, *_own(actor, scope), *where, limit=limit, refusal=refusal)
    return [row for row in rows if actor.sees_project(row.org, row.project)]


def _add_money(view: Reader, sums: _Sums) -> None:
    """Add what the tenants' receivable accounts got from the transactions of these slices."""
    for entry in of_sequences(view, LedgerEntryRecord, sums.owners, Where("unit", "=", MICROWON)):
        key, org = sums.owners[entry.seq]
        if entry.account == receivable(org):
            sums.groups[key].microwon += entry.amount


def _add_unposted(view: Reader, sums: _Sums, actor: Actor, scope: UsageScope, now_ms: int) -> None:
    """Add the time inside the scope that attempts have held and that no slice holds yet."""
    attempts = _seen(view, AttemptRecord, actor, scope, Where("settled", "=", False), limit=ATTEMPTS_MAX)
    posted_until = _posted_until(view, actor, scope, attempts, now_ms)
    for attempt in attempts:
        until_ms = attempt.gone_at_ms if attempt.state is AttemptState.GONE else now_ms
        posted_ms = posted_until.get((attempt.job, attempt.number), 0)
        sums.add_unposted(attempt, max(scope.since_ms, attempt.admitted_at_ms, posted_ms), until_ms)


def _posted_until(
    view: Reader, actor: Actor, scope: UsageScope, attempts: Iterable[AttemptRecord], now_ms: int
) -> dict[tuple[str, int], int]:
    """(job, attempt) -> end of its last slice, wherever that lies: one read for the recent ones, one for each other."""
    recent = Where("start_ms", ">=", now_ms - RECENT_MS)
    older_ms = now_ms - RECENT_MS
    ends: dict[tuple[str, int], int] = {}
    rows = view.select(SliceRecord, *_own(actor, scope), recent, order=("-end_ms",), limit=SLICES_MAX)
    if len(rows) == SLICES_MAX:
        older_ms = now_ms  # there are more, perhaps of attempts that these rows do not name
    for row in rows:
        ends.setdefault((row.job, row.attempt), row.end_ms)
    for attempt in attempts:
        name = (attempt.job, attempt.number)
        if name not in ends and attempt.admitted_at_ms < older_ms:
            of_attempt = (Where("job", "=", attempt.job), Where("attempt", "=", attempt.number))
            last = view.select(SliceRecord, *of_attempt, order=("-end_ms",), limit=1)
            ends[name] = last[0].end_ms if last else 0
    return ends


def _line(key: Key, found: _Sum) -> UsageLine:
    org, project, user, flavor, tier, day = key
    return UsageLine(
        org=org,
        project=project,
        user=user,
        flavor=flavor,
        tier=tier,
        day=day,
        jobs=len(found.jobs),
        held_milli_gpu_ms=found.held,
        billed_milli_gpu_ms=found.billed,
        posted_microwon=found.microwon,
        unposted_milli_gpu_ms=found.unposted,
    )
