"""What people were promised, worked out anew from what they sent, the policy in force, and what the machines did.

Nothing of it comes from the services: terms are read from the texts that were drawn, outcomes from the machines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from operators.ports import attempt_name
from scheduler.core.facts import AttemptGone
from scheduler.core.lifecycle import JobState
from scheduler.core.records import IdempotencyRecord, JobRecord, PolicyRecord
from scheduler.schema.bodies import PullBody, TaskBody
from scheduler.services.ports import Reader
from scheduler.sim.world.ground import Ground
from scheduler.sim.world.oracle import Outcome, outcome
from scheduler.sim.world.people import Memory
from scheduler.sim.world.watched import Commit

ALL = 10_000_000
CANCEL_GRACE_MS = 30_000
"""Who cancels a job does not wait longer for its end than this."""
EVICTION_GRACE_MS = 120_000
"""Of a tier of which the policy says nothing."""
BACKOFF_MS, BACKOFF_MS_MAX = 5_000, 3_600_000


class Terms(NamedTuple):
    """What a drawn policy promises to the jobs submitted under it; grace_ms: by tier, in force for all that run."""

    default_time_ms: int
    max_losses: int
    grace_ms: Mapping[str, int]


def terms_of(text: str) -> Terms:
    """The terms in a policy's text, found without the loader."""
    graces = {
        tier: int(seconds) * 1_000 for tier, seconds in re.findall(r"(borrow|scavenge): {.*?grace: (\d+)s}", text)
    }
    seconds, losses = re.search(r"default_time: (\d+)s", text), re.search(r"max_losses: (\d+)", text)
    if seconds is None or losses is None:
        raise ValueError("the policy's text has another form than the world draws")
    return Terms(int(seconds[1]) * 1_000, int(losses[1]), {"guaranteed": EVICTION_GRACE_MS, **graces})


class Promises:
    """Hears every commit and every answer to a pull; ``kept`` judges a world at rest."""

    def __init__(self, memory: Memory, found: Callable[[str], None], premise: Callable[[str], None]) -> None:
        self._memory = memory
        self._found = found
        self._premise = premise
        self._terms = Terms(0, 0, {})
        """Of the newest policy."""
        self._submitted_under: dict[str, Terms] = {}
        self._gone_told_ms: dict[tuple[str, int], int] = {}
        """(job, attempt) -> when the control plane learned that it was gone."""
        self._evicted: Collection[str] = ()
        self._told: dict[str, set[tuple[int, int]]] = {}
        """Attempt -> (time limit, grace) as its cluster was told."""

    def committed(self, commit: Commit) -> None:
        """Which policy is in force, under which one each job was submitted, when each attempt was known to be gone."""
        for policy in commit.written.get(PolicyRecord, ()):
            self._terms = terms_of(policy.text)
        for job in commit.written.get(JobRecord, ()):
            self._submitted_under.setdefault(job.id, self._terms)
        for fact in commit.facts:
            if isinstance(fact.body, AttemptGone):
                self._gone_told_ms[fact.body.job, fact.body.attempt] = fact.at_ms

    def pulled(self, body: PullBody) -> None:
        """The graces told to a cluster are those of the policy in force at this moment."""
        for item in body.assignments:
            name, due_ms = attempt_name(item.job, item.attempt), self._terms.grace_ms[item.tier]
            if item.stop is not None and item.stop.reason == "cancel":
                due_ms = min(due_ms, CANCEL_GRACE_MS)
            graces = {item.grace_ms} if item.stop is None else {item.grace_ms, item.stop.grace_ms}
            if graces != {due_ms}:
                self._found(
                    f"{name} in {item.tier} is given a grace of {sorted(graces)} ms and the policy says {due_ms}"
                )
            self._told.setdefault(name, set()).add((item.time_limit_ms, item.grace_ms))

    def kept(
        self, view: Reader, ground: Ground, admitted: Mapping[tuple[str, int], int], evicted: Collection[str]
    ) -> Iterator[str]:
        """Time limits, retries, losses, back-offs, evictions and cancels.

        admitted: (job, attempt) -> its instant. evicted: names of attempts whose GPUs were taken back.
        """
        self._evicted = evicted
        tasks = _tasks(view, self._memory)
        yield from self._assigned(ground, tasks)
        for job in view.select(JobRecord, limit=ALL):
            yield from self._cancel_kept(job)
            task = tasks.get(job.id)
            if task is not None:
                yield from self._repeated(job, task.retries, ground, admitted)

    def _assigned(self, ground: Ground, tasks: Mapping[str, TaskBody]) -> Iterator[str]:
        for name, attempt in sorted(ground.attempts.items()):
            wanted = attempt.assignment
            if (wanted.time_limit_ms, wanted.grace_ms) not in self._told.get(name, set()):
                yield f"{name} began with {wanted.time_limit_ms} ms, {wanted.grace_ms} ms of grace, and nobody said so"
            task = tasks.get(wanted.job)
            if task is None:
                continue
            due_ms = (task.time_seconds or 0) * 1_000 or self._submitted_under[wanted.job].default_time_ms
            if wanted.time_limit_ms != due_ms:
                yield f"{name} has a time limit of {wanted.time_limit_ms} ms, promised are {due_ms}"

    def _repeated(
        self, job: JobRecord, retries: int, ground: Ground, admitted: Mapping[tuple[str, int], int]
    ) -> Iterator[str]:
        """A job runs again as often as it may after failures and losses, not once more, and not too soon."""
        most = self._submitted_under[job.id].max_losses
        failures = losses = 0
        so_far = "before its first attempt"
        for number in range(1, job.attempt + 1):
            name = attempt_name(job.id, number)
            real = ground.attempts.get(name)
            if real is None:
                return
            end = outcome(real, evicted=name in self._evicted)
            failures, losses = failures + (end is Outcome.FAILED), losses + (end is Outcome.LOST)
            is_over = end in (Outcome.WELL, Outcome.STOPPED) or failures > retries or losses > most
            so_far = f"after {failures} failures of {retries} retries and {losses} losses of {most}"
            if number == job.attempt:
                yield from self._ended(job, end, so_far, is_over=is_over)
            elif is_over:
                yield f"job {job.id} runs again {so_far}, its attempt {number} {end}"
            elif end is Outcome.FAILED:
                yield from self._waited(job.id, number, failures, admitted[job.id, number + 1])
        counted = (job.failures, job.losses) == (failures, losses)
        if job.state in (JobState.SUCCEEDED, JobState.FAILED) and not counted:
            yield f"job {job.id} has {job.failures} failures and {job.losses} losses counted {so_far}"
        for premise, holds in (("no retry is left", failures > retries), ("no loss is left", losses > most)):
            if holds:
                self._premise(premise)

    def _ended(self, job: JobRecord, end: Outcome, so_far: str, *, is_over: bool) -> Iterator[str]:
        """A job has Failed when it may not run again, and never before, unless it was cancelled."""
        has_failed = job.state is JobState.FAILED
        was_cancelled = job.id in self._memory.maybe_cancelled
        if has_failed != is_over and end is not Outcome.WELL and (has_failed or not was_cancelled):
            yield f"job {job.id} is {job.state} {so_far}, its last attempt {end}"

    def _waited(self, job: str, number: int, failures: int, admitted_ms: int) -> Iterator[str]:
        """An attempt after a failure is admitted no earlier than its back-off allows."""
        self._premise("an attempt after a failure")
        waited_ms = admitted_ms - self._gone_told_ms[job, number]
        due_ms = min(BACKOFF_MS * 2 ** (failures - 1), BACKOFF_MS_MAX)
        if waited_ms < due_ms:
            name = attempt_name(job, number + 1)
            yield f"{name} was admitted {waited_ms} ms after failure {failures}, due were {due_ms}"

    def _cancel_kept(self, job: JobRecord) -> Iterator[str]:
        """A job whose cancel was answered is Cancelled, or Succeeded all the same, and never begins another attempt."""
        for answer in self._memory.cancelled.get(job.id, ()):
            if answer.state == JobState.ACTIVE:
                self._premise("a cancel of an active job")
            if answer.state in (JobState.SUCCEEDED, JobState.FAILED):
                continue
            if job.state not in (JobState.CANCELLED, JobState.SUCCEEDED):
                yield f"job {job.id} is {job.state}, its cancel was answered while it was {answer.state}"
            if job.attempt != answer.attempt:
                yield f"job {job.id} began attempt {job.attempt}, its cancel was answered at attempt {answer.attempt}"
        if job.state is JobState.CANCELLED and job.id not in self._memory.maybe_cancelled:
            yield f"job {job.id} is Cancelled and nobody could have cancelled it"


def _tasks(view: Reader, memory: Memory) -> dict[str, TaskBody]:
    """What was sent for each job, also for one whose answer nobody got."""
    rows = view.select(IdempotencyRecord, limit=ALL)
    jobs = {json.loads(row.response_json)["id"]: memory.sent.get((row.user, row.key)) for row in rows}
    return {job: task for job, task in jobs.items() if task is not None}
