"""What people read about GPUs and usage: what is free, who used what, what the ledger has of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import AttemptRecord, JobRecord, LedgerEntryRecord, NodeRecord, SliceRecord
from scheduler.core.units import MILLI_PER_GPU
from scheduler.schema.bodies import GpuLine, UsageLine
from scheduler.services.actors import Actor
from scheduler.services.ports import Reader, Where

NODES_MAX = 100_000
SLICES_MAX = 1_000_000
ATTEMPTS_MAX = 100_000

UsageKey = tuple[str, str, str, str, str]


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


def usage(view: Reader, actor: Actor, scope: UsageScope, now_ms: int) -> list[UsageLine]:
    """Usage by project, user, flavor and tier of slices that start in the scope, and what is not posted yet."""
    sums: dict[UsageKey, _Sum] = {}
    owners: dict[int, UsageKey] = {}
    posted_until: dict[tuple[str, int], int] = {}
    since, until = Where("start_ms", ">=", scope.since_ms), Where("start_ms", "<", scope.until_ms)
    for row in view.select(SliceRecord, *scope.where(), since, until, limit=SLICES_MAX):
        if not _visible(actor, row.org, row.project, row.user):
            continue
        key = owners[row.ledger_seq] = (row.org, row.project, row.user, row.flavor, str(row.tier))
        found = sums.setdefault(key, _Sum())
        found.jobs.add(row.job)
        found.held += row.held_milli_gpu_ms
        found.billed += row.billed_milli_gpu_ms
        attempt = (row.job, row.attempt)
        posted_until[attempt] = max(posted_until.get(attempt, 0), row.end_ms)
    _add_money(view, sums, owners)
    if scope.since_ms <= now_ms < scope.until_ms:
        _add_unposted(view, sums, actor, scope, posted_until, now_ms)
    return [_line(key, found) for key, found in sorted(sums.items())]


def _visible(actor: Actor, org: str, project: str, user: str) -> bool:
    return actor.sees_project(org, project)


def _add_money(view: Reader, sums: dict[UsageKey, _Sum], owners: dict[int, UsageKey]) -> None:
    """Add what the tenant's receivable account got from the transactions of these slices."""
    if not owners:
        return
    between = (Where("seq", ">=", min(owners)), Where("seq", "<=", max(owners)), Where("unit", "=", "microwon"))
    for entry in view.select(LedgerEntryRecord, *between, limit=SLICES_MAX):
        key = owners.get(entry.seq)
        if key is not None and entry.account == f"receivable:{key[0]}":
            sums[key].microwon += entry.amount


def _add_unposted(
    view: Reader,
    sums: dict[UsageKey, _Sum],
    actor: Actor,
    scope: UsageScope,
    posted_until: dict[tuple[str, int], int],
    now_ms: int,
) -> None:
    for attempt in view.select(AttemptRecord, *scope.where(), Where("settled", "=", False), limit=ATTEMPTS_MAX):
        if not _visible(actor, attempt.org, attempt.project, attempt.user):
            continue
        until_ms = attempt.gone_at_ms if attempt.state is AttemptState.GONE else now_ms
        start_ms = max(attempt.admitted_at_ms, posted_until.get((attempt.job, attempt.number), 0))
        key = (attempt.org, attempt.project, attempt.user, attempt.flavor, str(attempt.tier))
        found = sums.setdefault(key, _Sum())
        found.jobs.add(attempt.job)
        found.unposted += max(0, until_ms - start_ms) * attempt.gpus * MILLI_PER_GPU


def _line(key: UsageKey, found: _Sum) -> UsageLine:
    org, project, user, flavor, tier = key
    return UsageLine(
        org=org,
        project=project,
        user=user,
        flavor=flavor,
        tier=tier,
        jobs=len(found.jobs),
        held_milli_gpu_ms=found.held,
        billed_milli_gpu_ms=found.billed,
        posted_microwon=found.microwon,
        unposted_milli_gpu_ms=found.unposted,
    )
