"""Usage: what an attempt held and what of it is charged, cut into slices that never change.

Per rank: *held* from Admitted to proven gone; *billed* from the latest start over all ranks of the
gang to the earlier of the rank's own end and, for an eviction, its notice (DESIGN section 1,
"charged and held"; docs/decisions/0002). Billed time is always clamped into held time. An instant
of 0 means "not known yet", as in the records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scheduler.core.codec import from_json
from scheduler.core.errors import Finding
from scheduler.core.lifecycle import StopReason
from scheduler.core.model import Rank, Tier
from scheduler.core.records import AttemptRecord, RankRecord, SliceRecord
from scheduler.core.units import MILLI_PER_GPU, MS_PER_HOUR

IMPOSSIBLE_TIMES = "DURE-9041"
END_UNKNOWN = "DURE-9042"
RANKS_DIFFER = "DURE-9043"
CLOCKS_APART_MS = 5_000
"""How far two clocks (control plane, cluster) may differ before an order of instants is a finding."""
OBSERVED = "observed"
LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankInterval:
    """One rank of a gang: its GPUs, and its own start and end on the cluster's clock (0: not known)."""

    rank: int
    node: str
    gpus: int
    started_at_ms: int = 0
    ended_at_ms: int = 0
    evidence: str = OBSERVED


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptUsage:
    """Everything that decides an attempt's slices. notice_at_ms is 0 unless the stop reason is evict."""

    job: str
    attempt: int
    cluster: str
    class_name: str
    org: str
    project: str
    user: str
    flavor: str
    tier: Tier
    rate_card: str
    policy_version: int
    admitted_at_ms: int
    gone_at_ms: int
    notice_at_ms: int
    ranks: tuple[RankInterval, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def charged_from_ms(self) -> int:
        """The latest start over all ranks; 0 while some rank has not started (and for ever if it never does)."""
        starts = [rank.started_at_ms for rank in self.ranks]
        return max(starts) if starts and all(starts) else 0

    def charged_to_ms(self, rank: RankInterval) -> int:
        """The earliest known of the rank's own end, an eviction's notice and the attempt's end; 0: not ended."""
        ends = [end for end in (rank.ended_at_ms, self.notice_at_ms, self.gone_at_ms) if end]
        return min(ends, default=0)


def usage_of(attempt: AttemptRecord, ranks: Iterable[RankRecord], class_name: str) -> AttemptUsage:
    """Join an attempt with its ranks' records; GPUs and nodes are those of its placement.

    Orders that cannot be (an end before a start, a start before Admitted) become findings, and the
    arithmetic clamps them. Raises ValueError when ``ranks_json`` is no placement.
    """
    placed: tuple[Rank, ...] = from_json(tuple[Rank, ...], json.loads(attempt.ranks_json))
    records = {record.rank: record for record in ranks}
    usage = AttemptUsage(
        job=attempt.job,
        attempt=attempt.number,
        cluster=attempt.cluster,
        class_name=class_name,
        org=attempt.org,
        project=attempt.project,
        user=attempt.user,
        flavor=attempt.flavor,
        tier=attempt.tier,
        rate_card=attempt.rate_card,
        policy_version=attempt.policy_version,
        admitted_at_ms=attempt.admitted_at_ms,
        gone_at_ms=attempt.gone_at_ms,
        notice_at_ms=attempt.notice_at_ms if attempt.stop_reason is StopReason.EVICT else 0,
        ranks=tuple(_interval(rank, records.get(rank.rank)) for rank in sorted(placed)),
    )
    return replace(usage, findings=(*_misplaced(usage, records), *_impossible(usage)))


def cut(
    usage: AttemptUsage, through_ms: int, boundaries: Sequence[int] = (), *, since_ms: int = 0
) -> list[SliceRecord]:
    """The final slices of an attempt, not yet posted (no period, ``ledger_seq`` 0), ordered by (start, rank).

    Cuts are every full hour (UTC) and every instant in ``boundaries``. A slice is final when its end
    is a cut <= ``through_ms`` (everything before that instant has been observed), or the attempt is
    gone by then. Later calls with a later watermark repeat the same slices and add new ones, if every
    boundary up to a watermark was given when that watermark was used. since_ms leaves out slices
    that start earlier.
    """
    return [
        _slice(usage, rank, start_ms, end_ms)
        for start_ms, end_ms in _spans(usage, through_ms, sorted(set(boundaries)), since_ms)
        for rank in usage.ranks
    ]


def held_until(usage: AttemptUsage, at_ms: int) -> int:
    """Milli-GPU-milliseconds held from Admitted to ``at_ms``, by all ranks."""
    end_ms = min(at_ms, usage.gone_at_ms or at_ms)
    return sum(_amount(rank, end_ms - usage.admitted_at_ms) for rank in usage.ranks)


def billed_until(usage: AttemptUsage, at_ms: int) -> int:
    """Milli-GPU-milliseconds charged up to ``at_ms``, by all ranks."""
    return sum(_amount(rank, _billed_ms(usage, rank, usage.admitted_at_ms, at_ms)) for rank in usage.ranks)


def posted(slices: Iterable[SliceRecord], *, period: str, ledger_seq: int) -> list[SliceRecord]:
    """The slices as stored: in the period that bills them, under the sequence of their transaction."""
    return [replace(part, period=period, ledger_seq=ledger_seq) for part in slices]


def slice_id(job: str, attempt: int, rank: int, start_ms: int) -> str:
    """32 hexadecimal digits made from what is sliced, so the same slice has the same id wherever it is made."""
    return hashlib.sha256(f"{job}|{attempt}|{rank}|{start_ms}".encode()).hexdigest()[:32]


def _interval(rank: Rank, record: RankRecord | None) -> RankInterval:
    if record is None:
        return RankInterval(rank=rank.rank, node=rank.node, gpus=rank.gpus)
    return RankInterval(
        rank=rank.rank,
        node=rank.node,
        gpus=rank.gpus,
        started_at_ms=record.started_at_ms,
        ended_at_ms=record.ended_at_ms,
        evidence=record.evidence or OBSERVED,
    )


def _misplaced(usage: AttemptUsage, records: Mapping[int, RankRecord]) -> Iterator[Finding]:
    """Reported ranks that are not those of the placement; the placement is what is counted."""
    placed = {rank.rank: rank for rank in usage.ranks}
    for number, record in sorted(records.items()):
        rank = placed.get(number)
        if rank is None:
            yield _finding(usage, number, RANKS_DIFFER, "was reported but not placed; it is not counted")
        elif (rank.node, rank.gpus) != (record.node, record.gpus):
            seen, known = f"{record.gpus} GPUs on {record.node}", f"{rank.gpus} on {rank.node}"
            yield _finding(usage, number, RANKS_DIFFER, f"was reported with {seen}, placed as {known}")


def _impossible(usage: AttemptUsage) -> Iterator[Finding]:
    """Orders of instants that cannot be; comparisons across two clocks allow CLOCKS_APART_MS."""
    admitted_ms = usage.admitted_at_ms - CLOCKS_APART_MS
    if 0 < usage.gone_at_ms < admitted_ms:
        yield _finding(usage, None, IMPOSSIBLE_TIMES, "was gone before it was admitted; nothing is held or charged")
    if 0 < usage.gone_at_ms < usage.notice_at_ms:
        yield _finding(usage, None, IMPOSSIBLE_TIMES, "was gone before its notice; charging ends when it was gone")
    if 0 < usage.notice_at_ms < admitted_ms:
        yield _finding(usage, None, IMPOSSIBLE_TIMES, "got its notice before it was admitted; nothing is charged")
    for rank in usage.ranks:
        for code, message in _impossible_rank(usage, rank, admitted_ms):
            yield _finding(usage, rank.rank, code, message)


def _impossible_rank(usage: AttemptUsage, rank: RankInterval, admitted_ms: int) -> Iterator[tuple[str, str]]:
    if rank.ended_at_ms and not rank.started_at_ms:
        yield IMPOSSIBLE_TIMES, "ended without having started; its gang is charged nothing"
    if 0 < rank.ended_at_ms < rank.started_at_ms:
        yield IMPOSSIBLE_TIMES, "ended before it started; it is charged nothing"
    if 0 < rank.started_at_ms < admitted_ms:
        yield IMPOSSIBLE_TIMES, "started before it was admitted; it is charged from Admitted"
    if 0 < usage.gone_at_ms < rank.ended_at_ms:
        yield IMPOSSIBLE_TIMES, "ended after its attempt was gone; it is charged until gone"
    if usage.gone_at_ms and rank.started_at_ms and not rank.ended_at_ms:
        yield END_UNKNOWN, "has no reported end; it is charged until its attempt was gone"


def _finding(usage: AttemptUsage, rank: int | None, code: str, message: str) -> Finding:
    where = f"job {usage.job} attempt {usage.attempt}" + ("" if rank is None else f" rank {rank}")
    name = "attempt" if rank is None else f"rank {rank}"
    fix = f"compare the record of d-{usage.job}-a{usage.attempt} with the clock of cluster {usage.cluster}"
    return Finding(where, code, f"{name} {message}", fix)


def _spans(usage: AttemptUsage, through_ms: int, boundaries: Sequence[int], since_ms: int) -> Iterator[tuple[int, int]]:
    """Consecutive [start, end) between cuts, none that starts before ``since_ms``."""
    gone = 0 < usage.gone_at_ms <= through_ms
    last_ms = usage.gone_at_ms if gone else through_ms
    start_ms = usage.admitted_at_ms
    if since_ms > start_ms:
        passed = [edge for edge in boundaries if edge <= since_ms]
        start_ms = max(start_ms, since_ms // MS_PER_HOUR * MS_PER_HOUR, *passed)
    while start_ms < last_ms:
        end_ms = (start_ms // MS_PER_HOUR + 1) * MS_PER_HOUR
        end_ms = min([end_ms, *(edge for edge in boundaries if start_ms < edge < end_ms)])
        if end_ms > last_ms:
            if not gone:
                return
            end_ms = last_ms
        if start_ms >= since_ms:
            yield start_ms, end_ms
        start_ms = end_ms


def _slice(usage: AttemptUsage, rank: RankInterval, start_ms: int, end_ms: int) -> SliceRecord:
    # Strictly before: what happens at the cut itself may be unknown when the slice up to that cut is posted.
    ended = 0 < rank.ended_at_ms < end_ms
    return SliceRecord(
        id=slice_id(usage.job, usage.attempt, rank.rank, start_ms),
        job=usage.job,
        attempt=usage.attempt,
        rank=rank.rank,
        cluster=usage.cluster,
        class_name=usage.class_name,
        org=usage.org,
        project=usage.project,
        user=usage.user,
        flavor=usage.flavor,
        tier=usage.tier,
        start_ms=start_ms,
        end_ms=end_ms,
        gpus=rank.gpus,
        held_milli_gpu_ms=_amount(rank, end_ms - start_ms),
        billed_milli_gpu_ms=_amount(rank, _billed_ms(usage, rank, start_ms, end_ms)),
        rate_card=usage.rate_card,
        policy_version=usage.policy_version,
        evidence=rank.evidence if ended else OBSERVED,
        period="",
        ledger_seq=0,
    )


def _billed_ms(usage: AttemptUsage, rank: RankInterval, start_ms: int, end_ms: int) -> int:
    """Charged milliseconds of a rank inside [start, end); never negative."""
    if not usage.charged_from_ms:
        return 0
    charged_to_ms = usage.charged_to_ms(rank) or end_ms
    return max(0, min(end_ms, charged_to_ms) - max(start_ms, usage.charged_from_ms))


def _amount(rank: RankInterval, duration_ms: int) -> int:
    return rank.gpus * MILLI_PER_GPU * max(0, duration_ms)
