"""One attempt as its cluster reports it: from Starting to Gone, and what becomes of its job.

The first reason to stop decides billing; the observed exit decides the outcome. GPUs are free
when the attempt is Gone, and not a moment before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from scheduler.core.codec import from_json
from scheduler.core.errors import Retry
from scheduler.core.facts import AttemptGone, AttemptRunning, AttemptStarting, AttemptStopping
from scheduler.core.lifecycle import AttemptState, JobState, StopReason, step_attempt, step_job
from scheduler.core.model import Rank, gpus_by_node
from scheduler.core.records import AttemptRecord, ClusterRecord, JobRecord, NodeRecord, RankRecord
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.bodies import ObservationBody, TaskBody
from scheduler.services import arrays
from scheduler.services.ports import Where, Writer

RANKS_MAX = 100_000
BACKOFF_BASE_MS = 5 * MS_PER_SECOND
BACKOFF_MAX_MS = 3_600 * MS_PER_SECOND
LOST_WITH_BEATS = "its supervisor was lost; usage ends at the last heartbeat"
LOST_WITHOUT_TRACE = "its cluster lost every trace of it; usage ends at the last moment its cluster vouched for"


def backoff_ms(times: int) -> int:
    """Wait before the next attempt after ``times`` failures or losses: 5 s, 10 s, 20 s, ... at most an hour."""
    return min(BACKOFF_BASE_MS << min(max(times - 1, 0), 20), BACKOFF_MAX_MS)


class ObservedAttempt:
    """Applies observations to one attempt inside one transaction."""

    def __init__(self, tx: Writer, attempt: AttemptRecord, now_ms: int) -> None:
        self._tx = tx
        self._attempt = attempt
        self._now_ms = now_ms

    def take_in(self, seen: ObservationBody) -> None:
        """Apply one observation; an impossible order raises IllegalStep, a lost race Retry."""
        rules: dict[str, Callable[[ObservationBody], None]] = {
            "starting": self._starting,
            "rank-started": self._rank_started,
            "held": self._held,
            "notice": self._notice,
            "rank-ended": self._rank_ended,
            "failed": self._failed,
            "gone": self._gone,
        }
        rules[seen.kind](seen)

    def _save(self, attempt: AttemptRecord) -> None:
        if not self._tx.change(attempt, version=self._attempt.version):
            raise Retry("DURE-6001", "the attempt changed at the same moment", "the operator repeats the report")
        self._attempt = replace(attempt, version=self._attempt.version + 1)

    def _starting(self, seen: ObservationBody) -> None:
        if self._attempt.state is not AttemptState.ADMITTED:
            return
        state = step_attempt(self._attempt.state, AttemptState.STARTING)
        self._save(replace(self._attempt, state=state, starting_at_ms=seen.at_ms))
        self._tx.append(AttemptStarting(seen.job, seen.attempt), self._now_ms)

    def _ranks(self) -> list[RankRecord]:
        conditions = (Where("job", "=", self._attempt.job), Where("attempt", "=", self._attempt.number))
        return self._tx.select(RankRecord, *conditions, order=("rank",), limit=RANKS_MAX)

    def _change_rank(self, rank: RankRecord) -> None:
        if not self._tx.change(rank, version=rank.version):
            raise Retry("DURE-6001", "a rank changed at the same moment", "the operator repeats the report")

    def _rank_started(self, seen: ObservationBody) -> None:
        self._starting(seen)
        rank = self._tx.get(RankRecord, seen.job, seen.attempt, seen.rank)
        if rank is None or rank.started_at_ms:
            return
        self._change_rank(replace(rank, started_at_ms=seen.at_ms, node=seen.node or rank.node))
        if not all(known.started_at_ms for known in self._ranks()):
            return
        running = replace(self._attempt, running_at_ms=seen.at_ms)
        if self._attempt.state is AttemptState.STARTING:
            self._save(replace(running, state=step_attempt(self._attempt.state, AttemptState.RUNNING)))
            self._tx.append(AttemptRunning(seen.job, seen.attempt), self._now_ms)
        else:  # it is to stop already, and has run all the same
            self._save(running)

    def _stop(self, reason: StopReason, message: str = "") -> None:
        """Enter Stopping with this reason unless an earlier one is there."""
        if self._attempt.state in (AttemptState.STOPPING, AttemptState.GONE):
            if message and not self._attempt.message:
                self._save(replace(self._attempt, message=message))
            return
        state = step_attempt(self._attempt.state, AttemptState.STOPPING)
        stopped = replace(self._attempt, state=state, stop_reason=reason, stop_at_ms=self._now_ms)
        self._save(replace(stopped, message=self._attempt.message or message))
        self._tx.append(AttemptStopping(self._attempt.job, self._attempt.number, reason), self._now_ms)

    def _held(self, seen: ObservationBody) -> None:
        """A rank has failed and the attempt keeps its GPUs, Running, until its hold or its time limit is over."""
        job = self._tx.get(JobRecord, seen.job)
        if self._attempt.state is not AttemptState.RUNNING or self._attempt.hold_until_ms or job is None:
            return
        hold_ms = _task(job).hold_on_failure_seconds * MS_PER_SECOND
        until_ms = min(seen.at_ms + hold_ms, (self._attempt.running_at_ms or seen.at_ms) + job.time_limit_ms)
        message = f"rank {seen.rank} ended with exit code {seen.exit_code}"
        self._save(replace(self._attempt, hold_until_ms=until_ms, exit_code=seen.exit_code, message=message))

    def _notice(self, seen: ObservationBody) -> None:
        self._stop(StopReason(seen.reason))
        if not self._attempt.notice_at_ms:
            self._save(replace(self._attempt, notice_at_ms=seen.at_ms))

    def _rank_ended(self, seen: ObservationBody) -> None:
        rank = self._tx.get(RankRecord, seen.job, seen.attempt, seen.rank)
        if rank is None or rank.ended_at_ms:
            return
        evidence = "lost" if seen.evidence == "lost" else "observed"
        ended = replace(rank, ended_at_ms=seen.at_ms, exit_code=seen.exit_code, evidence=evidence)
        self._change_rank(ended)
        if seen.evidence == "lost":
            self._stop(StopReason.LOST, LOST_WITH_BEATS)
        elif seen.exit_code:
            self._stop(StopReason.FAIL, f"rank {seen.rank} ended with exit code {seen.exit_code}")
        elif all(known.ended_at_ms for known in self._ranks()):
            self._stop(StopReason.FINISH)

    def _failed(self, seen: ObservationBody) -> None:
        self._stop(StopReason.FAIL, seen.message or "the attempt could not be started")

    def _gone(self, seen: ObservationBody) -> None:
        lost = seen.evidence == "lost"
        if lost:
            self._stop(StopReason.LOST, LOST_WITHOUT_TRACE if self._end_untraced() else LOST_WITH_BEATS)
        elif self._attempt.state is not AttemptState.ADMITTED or seen.exit_code:
            self._stop(StopReason.FAIL if seen.exit_code else StopReason.FINISH)
        state = step_attempt(self._attempt.state, AttemptState.GONE)
        code = self._attempt.exit_code if seen.exit_code is None else seen.exit_code  # known early after a hold
        gone_at_ms = max(seen.at_ms, self._attempt.admitted_at_ms)
        gone = replace(self._attempt, state=state, gone_at_ms=gone_at_ms, exit_code=code)
        self._save(gone)
        self._free_nodes()
        job = self._tx.get(JobRecord, seen.job)
        if job is None:
            return
        after = job_after(job, gone, self._now_ms)
        step_job(job.state, after.state)
        if not self._tx.change(after, version=job.version):
            raise Retry("DURE-6001", "the job changed at the same moment", "the operator repeats the report")
        self._tx.append(AttemptGone(seen.job, seen.attempt, after.state, after.not_before_ms), self._now_ms)
        arrays.refill(self._tx, after, self._now_ms)

    def _end_untraced(self) -> bool:
        """Ranks that started and of which no end is left end where their cluster had vouched for them last.

        Returns whether there were any.

        That is the watermark before this report, and an operator moves it only while it sees all that began. It is
        never behind a slice that is posted (decision 0006).
        """
        cluster = self._tx.get(ClusterRecord, self._attempt.cluster)
        through_ms = cluster.observed_through_ms if cluster else 0
        untraced = [rank for rank in self._ranks() if rank.started_at_ms and not rank.ended_at_ms]
        for rank in untraced:
            self._change_rank(replace(rank, ended_at_ms=max(rank.started_at_ms, through_ms), evidence="lost"))
        return bool(untraced)

    def _free_nodes(self) -> None:
        """Free what the placement holds, wherever a worker was seen."""
        ranks: tuple[Rank, ...] = from_json(tuple[Rank, ...], json.loads(self._attempt.ranks_json))
        freed = gpus_by_node(ranks)
        for name in sorted(freed):
            node = self._tx.get(NodeRecord, self._attempt.cluster, name)
            if node is None:
                continue
            if not self._tx.change(replace(node, held=node.held - freed[name]), version=node.version):
                raise Retry("DURE-6001", "a node changed at the same moment", "the operator repeats the report")


def _task(job: JobRecord) -> TaskBody:
    return TaskBody.model_validate_json(job.task_json)


def job_after(job: JobRecord, gone: AttemptRecord, now_ms: int) -> JobRecord:
    """What becomes of an active job whose attempt is Gone (DESIGN section 5).

    A clean exit has Succeeded whatever was asked meanwhile. A lost attempt, and one that is gone without a
    reason because nothing of it was created, is repeated without counting against ``retries``; an evicted one
    waits again; a failed one as often as ``retries`` says. One that was held after a failure has failed, whatever
    ended the hold; a cancel says that there is no further attempt.
    """
    reason = gone.stop_reason
    clean = gone.exit_code == 0 and reason is not StopReason.LOST
    if clean and (gone.running_at_ms or reason is StopReason.FINISH):
        return replace(job, state=JobState.SUCCEEDED, ended_at_ms=now_ms, message="")
    if gone.hold_until_ms and gone.exit_code:
        return _failed(job, gone, now_ms)
    if job.cancelled_by:
        message = f"cancelled by {job.cancelled_by}"
        return replace(job, state=JobState.CANCELLED, ended_at_ms=now_ms, message=message)
    if reason is StopReason.TIMEOUT:
        return replace(job, state=JobState.FAILED, ended_at_ms=now_ms, message="its time limit ended it")
    waiting = JobState.HELD if job.held_by else JobState.QUEUED
    if reason is StopReason.EVICT:
        return replace(job, state=waiting, message="evicted; it waits again")
    if reason in (StopReason.LOST, None):
        losses = job.losses + 1
        if losses > job.max_losses:
            message = f"lost {losses} times, the most the platform repeats"
            return replace(job, state=JobState.FAILED, losses=losses, ended_at_ms=now_ms, message=message)
        return replace(job, state=waiting, losses=losses, not_before_ms=0, message="lost; it waits again")
    return _failed(job, gone, now_ms)


def _failed(job: JobRecord, gone: AttemptRecord, now_ms: int) -> JobRecord:
    waiting = JobState.HELD if job.held_by else JobState.QUEUED
    failures = job.failures + 1
    if not job.cancelled_by and failures <= _task(job).retries:
        not_before_ms = now_ms + backoff_ms(failures)
        return replace(job, state=waiting, failures=failures, not_before_ms=not_before_ms, message=gone.message)
    message = gone.message or f"exit code {gone.exit_code}"
    return replace(job, state=JobState.FAILED, failures=failures, ended_at_ms=now_ms, message=message)
