"""The allocator's state: a fold over facts. Applied one by one or rebuilt from the first, it is the same to the bit.

A fact that contradicts the state breaks a promise of whoever wrote it and raises InvariantBroken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, cast

from scheduler.core.allocator.decay import decay_table
from scheduler.core.allocator.history import Place, UsageHistory
from scheduler.core.allocator.lines import Lines
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.codec import canonical, from_json, sha256_hex, to_json
from scheduler.core.effective import EffectivePolicy
from scheduler.core.errors import InvariantBroken, invariant
from scheduler.core.facts import (
    AttemptAdmitted,
    AttemptGone,
    AttemptRunning,
    AttemptStarting,
    AttemptStopping,
    CheckpointReported,
    CreditNoteIssued,
    EarmarkReleased,
    Fact,
    GpusEarmarked,
    InvoiceIssued,
    JobEnded,
    JobHeld,
    JobReleased,
    JobSubmitted,
    NodeSeen,
    PolicyApplied,
    RegistryChanged,
)
from scheduler.core.lifecycle import TERMINAL_JOB_STATES, AttemptState, IllegalStep, JobState, step_attempt, step_job
from scheduler.core.model import Earmark, Flavor, LiveAttempt, Node, PendingJob
from scheduler.core.units import MILLI_PER_GPU, MS_PER_HOUR, PPM_ONE

GENESIS = "0" * 64
"""``chain_hex`` before the first fact."""
_BY_SEQ = attrgetter("seq")
NO_NEWS = (CheckpointReported, InvoiceIssued)
"""Facts after which a cycle decides as before: which attempt would be the cheapest to stop makes nobody wait less."""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that waits for its release; by: ``user``, ``admin``, or "" where its attempt's end did not say."""

    job: PendingJob
    by: str


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """A job with a live attempt; ``job`` is what it was while it waited for this attempt."""

    job: PendingJob
    attempt: LiveAttempt


class AllocatorState:
    """Jobs that wait or hold GPUs, nodes, and usage; ``chain_hex`` is a hash over all facts in order."""

    def __init__(self) -> None:
        self.fact_seq = 0
        self.news_seq = 0
        """The newest fact that may let a cycle decide something else than before."""
        self.chain_hex = GENESIS
        self.policy_version = 0
        self.registry_seq = 0
        self._queued: dict[str, PendingJob] = {}
        self._lines = Lines()
        """The queued jobs that have no back-off; derived."""
        self._backed_off: dict[str, PendingJob] = {}
        """The queued jobs that waited or still wait for an instant; derived."""
        self._earmarks: dict[str, Earmark] = {}
        """Queued jobs that room is being made for; they stand in no line."""
        self._held: dict[str, HeldJob] = {}
        self._active: dict[str, ActiveJob] = {}
        self._nodes: dict[tuple[str, str], Node] = {}
        self._history = UsageHistory()

    def apply(self, fact: Fact) -> None:
        """Fold one fact. Raises InvariantBroken when it contradicts the state, which is then unchanged."""
        invariant(fact.seq > self.fact_seq, f"fact {fact.seq} comes after fact {self.fact_seq}")
        try:
            self._fold(fact)
        except IllegalStep as error:
            raise InvariantBroken(f"fact {fact.seq}: {error}") from error
        self.fact_seq = fact.seq
        if not isinstance(fact.body, NO_NEWS):
            self.news_seq = fact.seq
        self.chain_hex = sha256_hex(self.chain_hex + canonical([fact.seq, fact.at_ms, fact.kind, fact.body]))

    def snapshot(self, at_ms: int, effective: EffectivePolicy) -> Snapshot:
        """The picture at an instant under a policy: live attempts count as usage up to it."""
        backed_off = sorted(self._backed_off.values(), key=_BY_SEQ)
        return Snapshot(
            at_ms=at_ms,
            fact_seq=self.fact_seq,
            chain=self.chain_hex,
            policy_version=effective.policy_version,
            registry_seq=effective.registry_seq,
            flavors=effective.flavors,
            tree=effective.tree,
            nodes=tuple(self._nodes[place] for place in sorted(self._nodes)),
            live=tuple(self._active[job].attempt for job in sorted(self._active)),
            lines=self._lines.view(job for job in backed_off if job.not_before_ms <= at_ms),
            delayed=tuple(job for job in backed_off if job.not_before_ms > at_ms),
            usage=self._usage(at_ms, effective.half_life_ms, effective.flavors),
            earmarks=tuple(sorted(self._earmarks.values(), key=_BY_SEQ)),
            leave_ms=effective.leave_ms,
            loss_max_ms=effective.limits.checkpoint_interval_max_ms,
        )

    def next_wake_ms(self, at_ms: int, effective: EffectivePolicy) -> int | None:
        """The next instant after ``at_ms`` that a cycle must not miss; None when there is none.

        The end of a back-off, and while room is made for somebody, when one that leaves is overdue.
        """
        due = [job.not_before_ms for job in self._backed_off.values()]
        if self._earmarks:
            leave_ms = effective.leave_ms
            live = (active.attempt for active in self._active.values())
            due += [item.stopping_at_ms + leave_ms[item.tier] for item in live if item.stopping_at_ms is not None]
        return min((instant for instant in due if instant > at_ms), default=None)

    def to_json(self) -> dict[str, Any]:
        """Everything that is not derived, as JSON values: a checkpoint."""
        return {
            "fact_seq": self.fact_seq,
            "news_seq": self.news_seq,
            "chain": self.chain_hex,
            "policy_version": self.policy_version,
            "registry_seq": self.registry_seq,
            "queued": to_json(sorted(self._queued.values(), key=_BY_SEQ)),
            "earmarks": to_json(sorted(self._earmarks.values(), key=_BY_SEQ)),
            "held": [to_json(self._held[job]) for job in sorted(self._held)],
            "active": [to_json(self._active[job]) for job in sorted(self._active)],
            "nodes": [to_json(self._nodes[place]) for place in sorted(self._nodes)],
            "usage": self._history.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AllocatorState:
        """The state of a checkpoint; raises ValueError or KeyError when it is none."""
        state = cls()
        state.fact_seq, state.news_seq, state.chain_hex = value["fact_seq"], value["news_seq"], value["chain"]
        state.policy_version, state.registry_seq = value["policy_version"], value["registry_seq"]
        for item in value["queued"]:
            state._queue(cast(PendingJob, from_json(PendingJob, item)))
        for item in value["earmarks"]:
            state._keep(cast(Earmark, from_json(Earmark, item)))
        held = [cast(HeldJob, from_json(HeldJob, item)) for item in value["held"]]
        state._held = {item.job.job: item for item in held}
        active = [cast(ActiveJob, from_json(ActiveJob, item)) for item in value["active"]]
        state._active = {item.job.job: item for item in active}
        nodes = [cast(Node, from_json(Node, item)) for item in value["nodes"]]
        state._nodes = {(node.cluster, node.name): node for node in nodes}
        state._history = UsageHistory.from_json(value["usage"])
        return state

    def _fold(self, fact: Fact) -> None:
        match fact.body:
            case JobSubmitted() as body:
                self._submit(body, fact)
            case JobHeld(job, by):
                self._step(job, JobState.HELD, since=JobState.QUEUED)
                self._held[job] = HeldJob(self._leave(job), by)
            case JobReleased(job):
                self._step(job, JobState.QUEUED, since=JobState.HELD)
                self._queue(self._held.pop(job).job)
            case AttemptAdmitted() as body:
                self._admit(body, fact.at_ms)
            case AttemptStarting(job, attempt):
                self._advance(job, attempt, AttemptState.STARTING)
            case AttemptRunning(job, attempt):
                live = self._advance(job, attempt, AttemptState.RUNNING)
                self._set_attempt(replace(live, running_at_ms=fact.at_ms))
            case AttemptStopping() as body:
                self._stop(body, fact.at_ms)
            case AttemptGone() as body:
                self._free(body, fact.at_ms)
            case GpusEarmarked() as body:
                self._earmark(body, fact.seq)
            case EarmarkReleased(job):
                earmark = self._earmarks.pop(job, None)
                if earmark is None:
                    raise InvariantBroken(f"room is being made for job {job}")
                self._wait(earmark.job)
            case CheckpointReported(job, attempt):
                live = self._live(job, attempt)
                self._set_attempt(replace(live, checkpoint_at_ms=fact.at_ms))
            case JobEnded(job, state):
                self._end(job, state)
            case NodeSeen(cluster, name, flavor, gpus, schedulable):
                self._nodes[cluster, name] = Node(cluster, name, flavor, gpus, schedulable)
            case PolicyApplied(version):
                self.policy_version = version
            case RegistryChanged(sequence):
                self.registry_seq = sequence
            case InvoiceIssued() | CreditNoteIssued():
                pass  # nothing that a cycle decides on; it is in the chain

    def _submit(self, body: JobSubmitted, fact: Fact) -> None:
        known = body.job in self._queued or body.job in self._held or body.job in self._active
        invariant(not known, f"job {body.job} is submitted once")
        self._queue(PendingJob(body.job, body.leaf, body.request, fact.seq, fact.at_ms, 1))

    def _admit(self, body: AttemptAdmitted, at_ms: int) -> None:
        self._step(body.job, JobState.ACTIVE)
        job = self._queued[body.job]
        request = job.request
        invariant(body.attempt == job.attempt, f"attempt {job.attempt} of job {body.job} is next")
        sizes = [rank.gpus for rank in body.ranks]
        invariant(sizes == [request.gpus_per_node] * request.nodes, f"job {body.job} is admitted as it asked")
        unknown = [rank.node for rank in body.ranks if (body.cluster, rank.node) not in self._nodes]
        invariant(not unknown, f"job {body.job} is admitted to known nodes of {body.cluster}, not to {unknown}")
        attempt = LiveAttempt(
            body.job, body.attempt, job.leaf, request, body.tier, body.cluster, body.ranks, admitted_at_ms=at_ms
        )
        self._active[body.job] = ActiveJob(self._leave(body.job), attempt)

    def _stop(self, body: AttemptStopping, at_ms: int) -> None:
        """The first reason decides; a later one changes nothing."""
        live = self._live(body.job, body.attempt)
        if live.state is not AttemptState.STOPPING:
            stopping = self._advance(body.job, body.attempt, AttemptState.STOPPING)
            self._set_attempt(replace(stopping, stop_reason=body.reason, stopping_at_ms=at_ms))

    def _earmark(self, body: GpusEarmarked, seq: int) -> None:
        """Keep places for a queued job; a second time in place of those before."""
        job = self._queued.get(body.job)
        if job is None or job.attempt != body.attempt:
            raise InvariantBroken(f"job {body.job} waits for its attempt {body.attempt} where room is made for it")
        unknown = [rank.node for rank in body.ranks if (body.cluster, rank.node) not in self._nodes]
        invariant(not unknown, f"room for job {body.job} is made on known nodes of {body.cluster}, not on {unknown}")
        self._keep(Earmark(job, body.cluster, body.ranks, seq))

    def _keep(self, earmark: Earmark) -> None:
        """Take a queued job out of its line: its place is kept elsewhere."""
        job = earmark.job
        if job.job not in self._earmarks and self._backed_off.pop(job.job, None) is None:
            self._lines.remove(job)
        self._earmarks[job.job] = earmark

    def _free(self, body: AttemptGone, at_ms: int) -> None:
        live = self._live(body.job, body.attempt)
        step_attempt(live.state, AttemptState.GONE)
        self._step(body.job, body.job_state)
        request = live.request
        self._history.add((live.leaf, request.flavor), request.milli_gpus, live.admitted_at_ms, at_ms)
        job = self._active.pop(body.job).job
        waits = replace(job, attempt=body.attempt + 1, not_before_ms=body.not_before_ms)
        if body.job_state is JobState.QUEUED:
            self._queue(waits)
        elif body.job_state is JobState.HELD:
            self._held[body.job] = HeldJob(waits, "")

    def _end(self, job: str, state: JobState) -> None:
        self._step(job, state)
        invariant(
            state in TERMINAL_JOB_STATES and job not in self._active, f"job {job} ends for good, without a live attempt"
        )
        if self._held.pop(job, None) is None:
            self._leave(job)

    def _job_state(self, job: str) -> JobState:
        for state, jobs in (
            (JobState.QUEUED, self._queued),
            (JobState.HELD, self._held),
            (JobState.ACTIVE, self._active),
        ):
            if job in jobs:
                return state
        raise InvariantBroken(f"job {job} is known and has not ended")

    def _step(self, job: str, to: JobState, *, since: JobState | None = None) -> None:
        """Check a job's step; ``since``: the only state that this kind of fact starts from."""
        current = self._job_state(job)
        invariant(since is None or current is since, f"job {job} is {since}, not {current}")
        step_job(current, to)

    def _live(self, job: str, attempt: int) -> LiveAttempt:
        active = self._active.get(job)
        if active is None or active.attempt.attempt != attempt:
            raise InvariantBroken(f"attempt {attempt} of job {job} is live")
        return active.attempt

    def _advance(self, job: str, attempt: int, to: AttemptState) -> LiveAttempt:
        live = self._live(job, attempt)
        moved = replace(live, state=step_attempt(live.state, to))
        self._set_attempt(moved)
        return moved

    def _set_attempt(self, attempt: LiveAttempt) -> None:
        self._active[attempt.job] = replace(self._active[attempt.job], attempt=attempt)

    def _queue(self, job: PendingJob) -> None:
        self._queued[job.job] = job
        self._wait(job)

    def _wait(self, job: PendingJob) -> None:
        if job.not_before_ms:
            self._backed_off[job.job] = job
        else:
            self._lines.add(job)

    def _leave(self, job: str) -> PendingJob:
        found = self._queued.pop(job)
        if self._earmarks.pop(job, None) is None and self._backed_off.pop(job, None) is None:
            self._lines.remove(found)
        return found

    def _usage(self, at_ms: int, half_life_ms: int, flavors: Mapping[str, Flavor]) -> dict[str, int]:
        """Decayed average of GPUs held per leaf, in micro-GPUs of exchange rate 1, rounded down once.

        A flavor that the policy no longer names counts at exchange rate 1.
        """
        table = decay_table(half_life_ms)
        weighted = self._history.decayed(table, at_ms // MS_PER_HOUR)
        for active in self._active.values():
            live = active.attempt
            place: Place = (live.leaf, live.request.flavor)
            held = live.request.milli_gpus * table.held(live.admitted_at_ms, at_ms)
            weighted[place] = weighted.get(place, 0) + held
        rates = {name: flavor.exchange_ppm for name, flavor in flavors.items()}
        exchanged: dict[str, int] = {}
        for (leaf, flavor), amount in weighted.items():
            exchanged[leaf] = exchanged.get(leaf, 0) + amount * rates.get(flavor, PPM_ONE)
        # milli-GPU-ms x ppm / (ms x 1,000) is GPUs x ppm: millionths of a GPU. Who counts nothing any more is left out:
        # a cycle must not become slower with every user there ever was.
        averages = ((leaf, amount // (table.full * MILLI_PER_GPU)) for leaf, amount in sorted(exchanged.items()))
        return {leaf: micro_gpus for leaf, micro_gpus in averages if micro_gpus}
