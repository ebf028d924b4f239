"""Checks after every commit, on mirrors of its own: what may never be true in the database, not even for a moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.ports import attempt_name
from scheduler.core import facts as f
from scheduler.core.records import (
    AttemptRecord,
    ClusterRecord,
    CycleRecord,
    FindingRecord,
    InvoiceRecord,
    JobRecord,
    LeaseRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    NodeRecord,
    ObservationRecord,
    PeriodRecord,
    RankRecord,
    SliceRecord,
    WaitingRecord,
)
from scheduler.sim.world.watched import Commit

# Written down here once more, so that a wrong table in the core is found.
JOB_STEPS = {
    "": {"Queued"},
    "Queued": {"Held", "Active", "Cancelled", "Failed"},
    "Held": {"Queued", "Cancelled", "Failed"},
    "Active": {"Queued", "Held", "Succeeded", "Failed", "Cancelled"},
}
ATTEMPT_STEPS = {
    "": {"Admitted"},
    "Admitted": {"Starting", "Stopping", "Gone"},
    "Starting": {"Running", "Stopping"},
    "Running": {"Stopping"},
    "Stopping": {"Gone"},
    "Gone": {"Admitted"},
}
FINDINGS_EXPECTED = frozenset({"DURE-6013"})
"""A report that came late looks like a slow clock."""


@dataclass(slots=True)
class JobMirror:
    """A job as the facts tell it."""

    request: Any
    state: str = ""
    attempt: int = 0
    attempt_state: str = ""
    submitted_at_ms: int = 0
    cluster: str = ""
    ranks: tuple[Any, ...] = ()
    tier: str = ""
    outcomes: list[str] = field(default_factory=list)


class Auditor:
    """``committed`` looks at one commit; what it finds goes to ``found``, a sentence with who committed."""

    def __init__(self, found: Callable[[str], None]) -> None:
        self._report = found
        self.jobs: dict[str, JobMirror] = {}
        self.admitted: dict[tuple[str, int], int] = {}
        """(job, attempt) -> instant of its AttemptAdmitted fact."""
        self.vouched: dict[tuple[str, int], int] = {}
        """(job, attempt) -> its cluster's watermark when it was gone, before the report that said so."""
        self.evicted: set[str] = set()
        """Names of attempts whose first reason to stop was an eviction."""
        self.premises: dict[str, int] = {}
        """How often there was something that a check could have found wrong."""
        self.last_cycle: CycleRecord | None = None
        self._held: dict[tuple[str, str], int] = {}
        self._touched: set[tuple[str, str]] = set()
        """Nodes that this commit has to do with."""
        self._nodes: dict[tuple[str, str], NodeRecord] = {}
        self._said: dict[tuple[str, str], dict[str, Any]] = {}
        """The newest thing that a cluster has said about a node, by its own clock."""
        self._through_ms: dict[str, int] = {}
        self._leases: dict[str, LeaseRecord] = {}
        self._ledger_seq = 0
        self._sliced_to: dict[tuple[str, int, int], int] = {}
        self._periods: dict[str, PeriodRecord] = {}
        self._who = ""

    def committed(self, commit: Commit, who: str) -> None:
        """Check one commit; ``who`` is the holder name of the process that made it."""
        self._who = who
        written = commit.written
        for lease in written.get(LeaseRecord, ()):
            self._lease(lease)
        for node in written.get(NodeRecord, ()):
            if node.held > node.healthy:
                self.premise("capacity fell under held")
            self._nodes[node.cluster, node.name] = node
        for fact in commit.facts:
            self._fold(fact, written)
        for cluster in written.get(ClusterRecord, ()):
            before_ms = self._through_ms.get(cluster.name, 0)
            self._must(cluster.observed_through_ms >= before_ms, f"the watermark of {cluster.name} falls")
            self._through_ms[cluster.name] = cluster.observed_through_ms
        self._compare(written)
        self._money(written)
        for finding in written.get(FindingRecord, ()):
            if finding.code not in FINDINGS_EXPECTED:
                self._found(f"{finding.code} about {finding.subject}: {finding.message}")

    def _found(self, sentence: str) -> None:
        self._report(f"{sentence} (committed by {self._who})")

    def premise(self, name: str) -> None:
        """There was something that a check could have found wrong."""
        self.premises[name] = self.premises.get(name, 0) + 1

    def _must(self, holds: bool, sentence: str) -> None:
        if not holds:
            self._found(sentence)

    # Leases: nobody but the holder of the newest epoch writes what the lease guards.

    def _lease(self, lease: LeaseRecord) -> None:
        before = self._leases.get(lease.name)
        if before is not None:
            self._must(lease.epoch >= before.epoch, f"lease {lease.name}: epoch {lease.epoch} after {before.epoch}")
            changed = lease.holder != before.holder
            self._must(not changed or lease.epoch > before.epoch, f"lease {lease.name}: a new holder in an old epoch")
        self._leases[lease.name] = lease

    def _holder(self, lease: str, what: str) -> None:
        holder = self._leases[lease].holder if lease in self._leases else ""
        self._must(holder == self._who, f"{what} was written without lease {lease}, which {holder or 'nobody'} holds")

    # Lifecycles: only legal steps, one live attempt, all workers or none.

    def _fold(self, fact: f.Fact, written: Mapping[Any, Sequence[Any]]) -> None:
        match fact.body:
            case f.JobSubmitted(job, _, request):
                self._must(job not in self.jobs, f"job {job} is submitted twice")
                self.jobs[job] = JobMirror(request, submitted_at_ms=fact.at_ms)
                self._job_step(job, "Queued")
            case f.JobHeld(job, _):
                self._job_step(job, "Held")
            case f.JobReleased(job):
                self._job_step(job, "Queued")
            case f.JobEnded(job, state):
                self._job_step(job, str(state))
                self._must(state not in ("Queued", "Held", "Active"), f"job {job} ends as {state}")
            case f.AttemptAdmitted() as body:
                self._admitted(body, fact.at_ms, written)
            case f.AttemptStarting(job, attempt):
                self._attempt_step(job, attempt, "Starting")
            case f.AttemptRunning(job, attempt):
                self._attempt_step(job, attempt, "Running")
            case f.AttemptStopping(job, attempt, reason):
                if reason == "evict":
                    self._evicted(job, attempt)
                self._attempt_step(job, attempt, "Stopping")
            case f.AttemptGone(job, attempt, state, _):
                self._gone(job, attempt, str(state))

    def _evicted(self, job: str, attempt: int) -> None:
        """Only lent GPUs are taken back, and from nobody who is leaving already."""
        mirror, name = self.jobs[job], attempt_name(job, attempt)
        self._must(mirror.tier in ("borrow", "scavenge"), f"{name} is evicted in tier {mirror.tier}")
        self._must(mirror.attempt_state != "Stopping", f"{name} is evicted while it leaves")
        self.evicted.add(name)
        self.premise("an eviction")

    def _job_step(self, job: str, to: str) -> None:
        mirror = self.jobs.get(job)
        if mirror is None:
            self._found(f"job {job} was never submitted and becomes {to}")
            return
        self._must(to in JOB_STEPS.get(mirror.state, set()), f"job {job}: {mirror.state} -> {to} is no legal step")
        mirror.state = to

    def _attempt_step(self, job: str, attempt: int, to: str) -> None:
        mirror = self.jobs.get(job)
        if mirror is None or mirror.attempt != attempt:
            self._found(f"attempt {attempt} of job {job} becomes {to} and is not the newest")
            return
        legal = to in ATTEMPT_STEPS[mirror.attempt_state]
        self._must(legal, f"attempt {attempt} of job {job}: {mirror.attempt_state} -> {to} is no legal step")
        mirror.attempt_state = to

    def _admitted(self, body: f.AttemptAdmitted, at_ms: int, written: Mapping[Any, Sequence[Any]]) -> None:
        name = f"attempt {body.attempt} of job {body.job}"
        self._job_step(body.job, "Active")
        mirror = self.jobs.get(body.job)
        if mirror is None:
            return
        self._holder("allocator", name)
        over = mirror.attempt_state in ("", "Gone")
        self._must(body.attempt == mirror.attempt + 1, f"{name} follows attempt {mirror.attempt}")
        self._must(over, f"{name} is admitted while attempt {mirror.attempt} is {mirror.attempt_state}")
        request = mirror.request
        sizes = [rank.gpus for rank in body.ranks]
        self._must(sizes == [request.gpus_per_node] * request.nodes, f"{name} got workers of {sizes} GPUs")
        rows = [row.rank for row in written.get(RankRecord, ()) if (row.job, row.attempt) == (body.job, body.attempt)]
        self._must(sorted(rows) == list(range(request.nodes)), f"{name} has the workers {rows} of {request.nodes}")
        if request.nodes > 1:
            self.premise("a gang of several workers")
        self._must(at_ms >= mirror.submitted_at_ms, f"{name} is admitted before its job was submitted")
        mirror.attempt, mirror.attempt_state = body.attempt, "Admitted"
        if attempt_name(body.job, body.attempt - 1) in self.evicted:
            self.premise("an attempt after an eviction")
        mirror.cluster, mirror.ranks, mirror.tier = body.cluster, body.ranks, str(body.tier)
        self.admitted[body.job, body.attempt] = at_ms
        for rank in body.ranks:
            place = (body.cluster, rank.node)
            self._held[place] = self._held.get(place, 0) + rank.gpus
            self._touched.add(place)
        for node in sorted({rank.node for rank in body.ranks}):
            self._grant(name, body.cluster, node, request.flavor)

    def _grant(self, name: str, cluster: str, node: str, flavor: str) -> None:
        record, held = self._nodes.get((cluster, node)), self._held[cluster, node]
        if record is None:
            self._found(f"{name} is granted GPUs of node {cluster}/{node}, which is not known")
            return
        self._must(held <= record.healthy, f"{name} brings {node} to {held} held of {record.healthy} healthy GPUs")
        self._must(record.schedulable, f"{name} is granted GPUs of {node}, which takes no new work")
        self._must(record.flavor == flavor, f"{name} asks for {flavor} and gets {record.flavor} of {node}")

    def _gone(self, job: str, attempt: int, job_state: str) -> None:
        mirror = self.jobs.get(job)
        if mirror is None or mirror.attempt != attempt:
            self._found(f"attempt {attempt} of job {job} is gone and is not the newest")
            return
        self._must(mirror.attempt_state in ("Admitted", "Stopping"), f"{job}: {mirror.attempt_state} -> Gone")
        mirror.attempt_state = "Gone"
        self.vouched[job, attempt] = self._through_ms.get(mirror.cluster, 0)
        mirror.outcomes.append(job_state)
        self._job_step(job, job_state)
        for rank in mirror.ranks:
            self._held[mirror.cluster, rank.node] -= rank.gpus
            self._touched.add((mirror.cluster, rank.node))

    # Records: the same as what the facts say.

    def _compare(self, written: Mapping[Any, Sequence[Any]]) -> None:
        for job in written.get(JobRecord, ()):
            state = self.jobs[job.id].state if job.id in self.jobs else "unknown"
            self._must(str(job.state) == state, f"job {job.id} is {job.state} in its record and {state} by the facts")
        for attempt in written.get(AttemptRecord, ()):
            mirror = self.jobs.get(attempt.job)
            if mirror is not None and mirror.attempt == attempt.number:
                by_facts, state = mirror.attempt_state, str(attempt.state)
                self._must(state == by_facts, f"{attempt.job}-a{attempt.number} is {state} and {by_facts} by the facts")
        for observation in written.get(ObservationRecord, ()):
            if observation.kind == "node":
                self._saying(json.loads(observation.body_json), observation.cluster)
        for node in written.get(NodeRecord, ()):
            said = self._said.get((node.cluster, node.name), {})
            newest = (node.healthy, node.schedulable) == (said.get("gpus"), said.get("schedulable"))
            self._must(newest, f"node {node.name} is not what {node.cluster} has said last")
            self._touched.add((node.cluster, node.name))
        for place in sorted(self._touched & self._nodes.keys()):
            kept, held = self._nodes[place].held, self._held.get(place, 0)
            self._must(kept == held, f"node {place[1]} has {kept} held, its live attempts hold {held}")
        self._touched.clear()
        for cycle in written.get(CycleRecord, ()):
            self._holder("allocator", f"cycle {cycle.number}")
            self._must(cycle.epoch == self._leases["allocator"].epoch, f"cycle {cycle.number} is of an old epoch")
            last = self.last_cycle.number if self.last_cycle else 0
            self._must(cycle.number > last, f"cycle {cycle.number} comes after cycle {last}")
            self.last_cycle = cycle
        for _ in written.get(WaitingRecord, ()):
            self._holder("allocator", "why jobs wait")

    def _saying(self, body: dict[str, Any], cluster: str) -> None:
        place = (cluster, body["node"])
        if place not in self._said or body["at_ms"] >= self._said[place]["at_ms"]:
            self._said[place] = body
        else:
            self.premise("an overtaken report of a node")

    # Money: one gapless balanced ledger, slices without holes, nothing new in a closed period.

    def _money(self, written: Mapping[Any, Sequence[Any]]) -> None:
        entries: dict[int, dict[str, int]] = {}
        for entry in written.get(LedgerEntryRecord, ()):
            units = entries.setdefault(entry.seq, {})
            units[entry.unit] = units.get(entry.unit, 0) + entry.amount
        for row in sorted(written.get(LedgerTxRecord, ()), key=_by_seq):
            self._holder("settler", f"ledger transaction {row.seq}")
            self._must(row.seq == self._ledger_seq + 1, f"ledger {row.seq} follows {self._ledger_seq}")
            self._must(not any(entries.get(row.seq, {}).values()), f"ledger {row.seq} is not balanced")
            self._ledger_seq = row.seq
        for part in sorted(written.get(SliceRecord, ()), key=_by_start):
            self._slice(part)
        for invoice in written.get(InvoiceRecord, ()):
            self._holder("settler", f"invoice {invoice.number}")
        for period in written.get(PeriodRecord, ()):
            before = self._periods.get(period.id)
            self._must(before is None or before.state != "closed", f"period {period.id} changes after its close")
            self._periods[period.id] = period

    def _slice(self, part: SliceRecord) -> None:
        place = (part.job, part.attempt, part.rank)
        due = self._sliced_to.get(place, self.admitted.get((part.job, part.attempt), 0))
        name = f"slice of {part.job}-a{part.attempt} rank {part.rank}"
        self._must(part.start_ms == due, f"{name} starts at {part.start_ms}, due is {due}")
        self._sliced_to[place] = part.end_ms
        if due != self.admitted.get((part.job, part.attempt), 0):
            self.premise("an attempt of several slices")
        period = self._periods.get(part.period)
        self._must(period is not None and period.state != "closed", f"{name} is booked into {part.period}, closed")


def _by_seq(row: LedgerTxRecord) -> int:
    return row.seq


def _by_start(part: SliceRecord) -> tuple[int, str, int, int]:
    return part.start_ms, part.job, part.attempt, part.rank
