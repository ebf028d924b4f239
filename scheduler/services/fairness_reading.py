"""Reads what a fairness report is made of: slices day by day, the jobs that were there, and their attempts.

Every read has a bound; more than that is refused, as a report over a part of the usage would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scheduler.core.fairness.hours import HourSums, Span, gaps
from scheduler.core.fairness.report import Inputs, Line
from scheduler.core.fairness.waits import Outcome, Wait
from scheduler.core.instants import MS_PER_DAY
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import AttemptRecord, JobRecord, SliceRecord
from scheduler.core.units import MILLI_PER_GPU
from scheduler.services.effective import EffectivePolicies
from scheduler.services.fairness_history import History
from scheduler.services.ports import R, Reader, Where
from scheduler.services.reads import everything
from scheduler.services.submit import Invalid

SLICES_MAX = 5_000_000
JOBS_MAX = 500_000
ATTEMPTS_MAX = 1_000_000
LIVE = (JobState.QUEUED, JobState.HELD, JobState.ACTIVE)
NEVER_MS = 1 << 62
"""After every instant: the end of what has not ended."""

Name = tuple[str, int]
"""(job, attempt)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The inputs of a report, and how much of what was held is not in the ledger yet, in milli-GPU-milliseconds."""

    inputs: Inputs
    unposted: int


def read(view: Reader, policies: EffectivePolicies, span: Span) -> Reading:
    """Everything about a span; raises Invalid when that is more than one report may read."""
    history = History(view, policies, span)
    jobs = {job.id: job for job in _jobs(view, span)}
    attempts = _attempts(view, span)
    for name in {attempt.job for attempt in attempts} - jobs.keys():
        # Its job ended before the span by the control plane's clock, the attempt in it by its cluster's.
        if (job := view.get(JobRecord, name)) is not None:
            jobs[name] = job
    use = _Use(span)
    open_attempts = {(attempt.job, attempt.number) for attempt in attempts if not attempt.settled}
    for part in _slices(view, span):
        use.post(part, open_attempts)
    unposted = sum(use.tail(attempt, jobs[attempt.job]) for attempt in attempts if not attempt.settled)
    holds = history.holds()
    waiting, waits = _waiting(view, span, jobs, attempts, holds)
    inputs = Inputs(
        span=span,
        held=use.held,
        billed=use.billed,
        waiting=waiting,
        capacity=history.capacity(),
        policies=history.policies(),
        waits=waits,
        evictions=[_path(jobs[attempt.job]) for attempt in attempts if _evicted(attempt, span)],
    )
    return Reading(inputs, unposted)


class _Use:
    """What was held and billed, by project, flavor and hour."""

    def __init__(self, span: Span) -> None:
        self.held: HourSums[Line] = HourSums(span)
        self.billed: HourSums[Line] = HourSums(span)
        self._span = span
        self._posted: dict[Name, int] = {}

    def post(self, part: SliceRecord, open_attempts: set[Name]) -> None:
        """Count a slice in the hour in which it starts: none goes past an hour or the end of a billing period."""
        line = Line(f"/{part.class_name}/{part.org}/{part.project}", part.flavor)
        self.held.put(line, part.start_ms, part.held_milli_gpu_ms)
        self.billed.put(line, part.start_ms, part.billed_milli_gpu_ms)
        name = (part.job, part.attempt)
        if name in open_attempts:
            self._posted[name] = max(part.end_ms, self._posted.get(name, 0))

    def tail(self, attempt: AttemptRecord, job: JobRecord) -> int:
        """Count what an attempt has held after its last slice; slices are posted in order, so nothing lies between."""
        since_ms = max(attempt.admitted_at_ms, self._posted.get((attempt.job, attempt.number), 0))
        since_ms, until_ms = self._span.clipped(since_ms, _end_ms(attempt))
        milli_gpus = attempt.gpus * MILLI_PER_GPU
        self.held.add(Line(_path(job), attempt.flavor), since_ms, until_ms, milli_gpus)
        return (until_ms - since_ms) * milli_gpus


def _slices(view: Reader, span: Span) -> Iterator[SliceRecord]:
    """Slices that start in the span, a day at a time."""
    left = SLICES_MAX
    for first_ms in range(span.since_ms, span.until_ms, MS_PER_DAY):
        last_ms = min(first_ms + MS_PER_DAY, span.until_ms)
        day = (Where("start_ms", ">=", first_ms), Where("start_ms", "<", last_ms))
        found = everything(view, SliceRecord, *day, limit=left, refusal=_too_much(SLICES_MAX, "slices of usage"))
        yield from found
        left -= len(found)


def _jobs(view: Reader, span: Span) -> list[JobRecord]:
    """Jobs that were there in the span: submitted in it, or before and not ended by its begin."""
    before, since = Where("submitted_at_ms", "<", span.since_ms), Where("submitted_at_ms", ">=", span.since_ms)
    until = Where("submitted_at_ms", "<", span.until_ms)
    ended = Where("ended_at_ms", ">=", span.since_ms)
    parts = ((since, until), (before, ended), (before, Where("state", "in", LIVE)))
    return _all(view, JobRecord, parts, JOBS_MAX, "jobs")


def _attempts(view: Reader, span: Span) -> list[AttemptRecord]:
    """Attempts that held GPUs in the span."""
    before, since = Where("admitted_at_ms", "<", span.since_ms), Where("admitted_at_ms", ">=", span.since_ms)
    until = Where("admitted_at_ms", "<", span.until_ms)
    gone = (Where("state", "=", AttemptState.GONE), Where("gone_at_ms", ">=", span.since_ms))
    parts = ((since, until), (before, *gone), (before, Where("state", "!=", AttemptState.GONE)))
    return _all(view, AttemptRecord, parts, ATTEMPTS_MAX, "attempts")


def _all(view: Reader, kind: type[R], parts: tuple[tuple[Where, ...], ...], limit: int, what: str) -> list[R]:
    found: list[R] = []
    for where in parts:
        found += everything(view, kind, *where, limit=limit - len(found), refusal=_too_much(limit, what))
    return found


def _too_much(limit: int, what: str) -> Invalid:
    return Invalid("DURE-1341", f"this time has more than {limit:,} {what}", "ask for a shorter time: --since, --until")


def _waiting(
    view: Reader,
    span: Span,
    jobs: Mapping[str, JobRecord],
    attempts: list[AttemptRecord],
    holds: Mapping[str, list[tuple[int, int]]],
) -> tuple[HourSums[Line], list[Wait]]:
    """GPUs that jobs waited for, hour by hour, and each job's wait until its first attempt."""
    sums: HourSums[Line] = HourSums(span)
    waits: list[Wait] = []
    of_job: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        of_job.setdefault(attempt.job, []).append(attempt)
    for job in jobs.values():
        own, held = of_job.get(job.id, []), holds.get(job.id, [])
        end_ms = min(job.ended_at_ms or NEVER_MS, span.until_ms)
        busy = [(attempt.admitted_at_ms, _end_ms(attempt)) for attempt in own]
        line, gpus = Line(_path(job), job.flavor), job.nodes * job.gpus_per_node
        for first_ms, last_ms in gaps(max(job.submitted_at_ms, span.since_ms), end_ms, [*busy, *held]):
            sums.add(line, first_ms, last_ms, gpus * MILLI_PER_GPU)
        wait = _wait(view, span, job, own, held)
        if wait is not None:
            waits.append(wait)
    return sums, waits


def _wait(
    view: Reader, span: Span, job: JobRecord, own: list[AttemptRecord], held: list[tuple[int, int]]
) -> Wait | None:
    """The wait that ended in the span, or was not over at its end; None when it was over before."""
    first_ms = _first_admitted_ms(view, span, job, own)
    if first_ms < span.since_ms:
        return None
    if first_ms < span.until_ms:
        outcome, end_ms = Outcome.STARTED, first_ms
    elif 0 < job.ended_at_ms < span.until_ms:
        outcome, end_ms = Outcome.WITHDRAWN, job.ended_at_ms
    else:
        outcome, end_ms = Outcome.WAITING, span.until_ms
    waited_ms = sum(last - first for first, last in gaps(job.submitted_at_ms, end_ms, held))
    return Wait(job.class_name, job.org, job.nodes * job.gpus_per_node, waited_ms, outcome)


def _first_admitted_ms(view: Reader, span: Span, job: JobRecord, own: list[AttemptRecord]) -> int:
    """When its first attempt was admitted; NEVER_MS when it was not by the end of the span."""
    if not job.attempt:
        return NEVER_MS
    first = next((attempt for attempt in own if attempt.number == 1), None)
    if first is None and job.submitted_at_ms < span.since_ms and not own:
        first = view.get(AttemptRecord, job.id, 1)  # over before the span, or not begun in it: few jobs are asked about
    if first is not None:
        return first.admitted_at_ms
    return 0 if own else NEVER_MS


def _evicted(attempt: AttemptRecord, span: Span) -> bool:
    return attempt.stop_reason is StopReason.EVICT and span.since_ms <= attempt.stop_at_ms < span.until_ms


def _end_ms(attempt: AttemptRecord) -> int:
    if attempt.state is AttemptState.GONE:
        return max(attempt.gone_at_ms, attempt.admitted_at_ms)
    return NEVER_MS


def _path(job: JobRecord) -> str:
    return f"/{job.class_name}/{job.org}/{job.project}"
