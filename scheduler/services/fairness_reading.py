"""Reads what a fairness report is made of: slices hour by hour, the jobs that were there, and their attempts.

Every read has a bound; more than that is refused, as a report over a part of the usage would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from scheduler.core.fairness.hours import HourSums, Span, gaps
from scheduler.core.fairness.report import Inputs, Line
from scheduler.core.fairness.waits import Outcome, Wait
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

AMOUNTS = ("held_milli_gpu_ms", "billed_milli_gpu_ms")
OWNER = ("class_name", "org", "project", "flavor")


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
    use = _Use(view, span)
    use.post()
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

    def __init__(self, view: Reader, span: Span) -> None:
        self.held: HourSums[Line] = HourSums(span)
        self.billed: HourSums[Line] = HourSums(span)
        self._view = view
        self._span = span

    def post(self) -> None:
        """Count what slices hold, by the hour in which they start: none goes past an hour or a billing period's end.

        The database adds up each hour; raises Invalid for more than SLICES_MAX slices.
        """
        refusal = _too_much(SLICES_MAX, "slices of usage")
        if self._view.count(SliceRecord, *_between("start_ms", self._span.since_ms, self._span.until_ms)) > SLICES_MAX:
            raise refusal
        for start_ms, end_ms in pairwise(self.held.edges):
            hour = _between("start_ms", start_ms, end_ms)
            sums = self._view.totals(SliceRecord, AMOUNTS, OWNER, *hour)
            for (class_name, org, project, flavor), (held, billed) in sums.items():
                line = Line(f"/{class_name}/{org}/{project}", flavor)
                self.held.put(line, start_ms, held)
                self.billed.put(line, start_ms, billed)

    def tail(self, attempt: AttemptRecord, job: JobRecord) -> int:
        """Count what an attempt has held after its last slice; slices are posted in order, so nothing lies between."""
        since_ms = max(attempt.admitted_at_ms, self._posted_until(attempt))
        since_ms, until_ms = self._span.clipped(since_ms, _end_ms(attempt))
        milli_gpus = attempt.gpus * MILLI_PER_GPU
        self.held.add(Line(_path(job), attempt.flavor), since_ms, until_ms, milli_gpus)
        return (until_ms - since_ms) * milli_gpus

    def _posted_until(self, attempt: AttemptRecord) -> int:
        """The end of its last slice that starts before the end of the span; 0 where it has none."""
        own = (Where("job", "=", attempt.job), Where("attempt", "=", attempt.number))
        before = Where("start_ms", "<", self._span.until_ms)
        last = self._view.select(SliceRecord, *own, before, order=("-end_ms",), limit=1)
        return last[0].end_ms if last else 0


def _between(field: str, since_ms: int, until_ms: int) -> tuple[Where, Where]:
    return Where(field, ">=", since_ms), Where(field, "<", until_ms)


def _jobs(view: Reader, span: Span) -> list[JobRecord]:
    """Jobs that were there in the span: submitted in it, or before and not ended by its begin."""
    before = Where("submitted_at_ms", "<", span.since_ms)
    ended = Where("ended_at_ms", ">=", span.since_ms)
    parts = (
        _between("submitted_at_ms", span.since_ms, span.until_ms),
        (before, ended),
        (before, Where("state", "in", LIVE)),
    )
    return _all(view, JobRecord, parts, JOBS_MAX, "jobs")


def _attempts(view: Reader, span: Span) -> list[AttemptRecord]:
    """Attempts that held GPUs in the span."""
    before = Where("admitted_at_ms", "<", span.since_ms)
    inside = _between("admitted_at_ms", span.since_ms, span.until_ms)
    gone = (Where("state", "=", AttemptState.GONE), Where("gone_at_ms", ">=", span.since_ms))
    parts = (inside, (before, *gone), (before, Where("state", "!=", AttemptState.GONE)))
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
