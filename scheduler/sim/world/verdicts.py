"""Checks of a world at rest: books against machines, invoices, logs, outcomes, and every recorded cycle's replay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from scheduler.core.accounting import books
from scheduler.core.lifecycle import AttemptState, JobState
from scheduler.core.records import (
    AttemptRecord,
    CycleRecord,
    IdempotencyRecord,
    InvoiceRecord,
    JobRecord,
    LedgerEntryRecord,
    LedgerTxRecord,
    NodeRecord,
    RankRecord,
)
from scheduler.core.units import MS_PER_HOUR
from scheduler.services.actors import Actor
from scheduler.services.effective import EffectivePolicies
from scheduler.services.invoices import list_invoices, verify
from scheduler.services.job_views import JobFilter, job_events, list_jobs
from scheduler.services.ports import LogStore, Reader, Where
from scheduler.services.quota import quota
from scheduler.services.usage_views import UsageScope, gpus, usage
from scheduler.services.why import reasons, why
from scheduler.sim.world import fate, oracle
from scheduler.sim.world.backend import Machine, log_size
from scheduler.sim.world.ground import Ground
from scheduler.sim.world.people import Memory

ALL = 10_000_000
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


def jobs_kept(view: Reader, memory: Memory) -> Iterator[str]:
    """Every answered submission is exactly one job, whatever was repeated."""
    keys = view.select(IdempotencyRecord, limit=ALL)
    jobs = view.count(JobRecord)
    if len(keys) != jobs:
        yield f"there are {jobs} jobs for {len(keys)} keys"
    for (user, key), job in sorted(memory.answers.items()):
        if view.get(JobRecord, job) is None:
            yield f"job {job} was answered to {user} for {key} and is lost"


def at_rest(view: Reader) -> Iterator[str]:
    """Nothing runs, nothing is unsettled, nothing is held."""
    for attempt in view.select(AttemptRecord, Where("state", "!=", AttemptState.GONE), limit=ALL):
        yield f"{attempt.job}-a{attempt.number} is {attempt.state} in a world at rest"
    for attempt in view.select(AttemptRecord, Where("settled", "=", False), limit=ALL):
        yield f"{attempt.job}-a{attempt.number} is not settled in a world at rest"
    for node in view.select(NodeRecord, Where("held", ">", 0), limit=ALL):
        yield f"node {node.name} has {node.held} GPUs held in a world at rest"


def explained(view: Reader, admin: Actor, at_ms: int) -> Iterator[str]:
    """Every job that waits has its reasons in the newest recorded cycle."""
    for job in view.select(JobRecord, Where("state", "=", JobState.QUEUED), limit=ALL):
        told = why(view, admin, job.id, at_ms)
        if not told.blockers or not all(blocker.sentence for blocker in told.blockers):
            yield f"job {job.id} waits and its owner is told {told.blockers}"


def nodes_true(view: Reader, cluster: str, machines: Iterable[Machine]) -> Iterator[str]:
    """What the control plane knows of each node is what the node is."""
    for machine in machines:
        node = view.get(NodeRecord, cluster, machine.name)
        known = (node.healthy, node.registered, node.schedulable) if node else None
        really = (machine.healthy, machine.registered, machine.schedulable)
        if known != really:
            yield f"node {machine.name} of {cluster} is {really} (healthy, registered, schedulable), known is {known}"


def outcomes(view: Reader, ground: Ground) -> Iterator[str]:
    """Each job's end follows from what its last attempt really did; every attempt that is gone was on the machines."""
    for attempt in view.select(AttemptRecord, limit=ALL):
        if f"d-{attempt.job}-a{attempt.number}" not in ground.attempts:
            yield f"{attempt.job}-a{attempt.number} is {attempt.state} and never reached its cluster"
    for job in view.select(JobRecord, limit=ALL):
        real = ground.attempts.get(f"d-{job.id}-a{job.attempt}")
        well = real is not None and real.exit_code == 0 and not real.is_lost
        if job.state is JobState.SUCCEEDED and not well:
            yield f"job {job.id} has Succeeded and its last attempt did not"
        if job.state in ENDED and job.state is not JobState.SUCCEEDED and well:
            yield f"job {job.id} is {job.state} and its last attempt ended well"
        if job.state is JobState.CANCELLED and not job.cancelled_by:
            yield f"job {job.id} is Cancelled by nobody"
        if (job.state in ENDED) != bool(job.ended_at_ms):
            yield f"job {job.id} is {job.state} and its end is at {job.ended_at_ms}"


def ledger_sound(view: Reader) -> Iterator[str]:
    """The ledger is balanced, gapless and well-formed."""
    rows, entries = view.select(LedgerTxRecord, limit=ALL), view.select(LedgerEntryRecord, limit=ALL)
    yield from (f"{finding.where}: {finding.message}" for finding in books.check(rows, entries))


def usage_true(
    view: Reader,
    ground: Ground,
    admitted: Mapping[tuple[str, int], int],
    vouched: Mapping[tuple[str, int], int],
    evicted: Collection[str],
) -> Iterator[str]:
    """Usage in the ledger is the usage that really was, to the millisecond."""
    booked = _booked(view)
    really = oracle.truth(ground, admitted, vouched, evicted)
    for owner, flavor in sorted(booked.keys() | really.keys()):
        found, was = booked.get((owner, flavor), [0, 0]), really.get((owner, flavor), [0, 0])
        if found != was:
            yield f"{owner} used {was} (held, billed) of {flavor} and the ledger has {found} milli-GPU-ms"


def erased_ends_known(view: Reader, ground: Ground, vouched: Mapping[tuple[str, int], int]) -> Iterator[str]:
    """What left no trace ends where its cluster had vouched for it: after it started, and never after it was erased."""
    for name, attempt in sorted(ground.attempts.items()):
        job, number = attempt.assignment.job, attempt.assignment.attempt
        due = oracle.erased_ends(attempt, vouched[job, number]) if attempt.was_erased else {}
        for rank, due_ms in sorted(due.items()):
            record = view.get(RankRecord, job, number, rank)
            if record is None or record.ended_at_ms != due_ms:
                yield f"{name} rank {rank} was vouched for until {due_ms} and ends at {record and record.ended_at_ms}"
            if not attempt.starts[rank] <= due_ms <= attempt.erased_at_ms:
                yield f"{name} rank {rank} is vouched for until {due_ms}, after it was erased at {attempt.erased_at_ms}"


def invoices_verify(view: Reader, policies: EffectivePolicies, auditor: Actor) -> Iterator[str]:
    """Every invoice can be recomputed, and an auditor finds every one."""
    listed = {item.number for item in list_invoices(view, auditor, "", "")}
    for invoice in view.select(InvoiceRecord, limit=ALL):
        if invoice.number not in listed:
            yield f"invoice {invoice.number} is not in the auditor's list"
        verdict = verify(view, policies, auditor, invoice.number)
        for check in verdict.checks:
            if not check.ok:
                yield f"invoice {invoice.number}, {check.name}: {check.detail}"


def told_true(view: Reader, policies: EffectivePolicies, admin: Actor, at_ms: int) -> Iterator[str]:
    """What people read says what the records say: every job with its history, GPUs, quota, usage."""
    rows = view.select(JobRecord, limit=ALL)
    listed = list_jobs(view, admin, JobFilter(ended=True), reasons(view), 0, ALL, at_ms)
    if {item.id for item in listed.items} != {row.id for row in rows} or listed.next:
        yield f"{len(rows)} jobs are kept and {len(listed.items)} listed"
    for job in rows:
        events = [event.event for event in job_events(view, job)]
        if events[0] != "Queued" or (job.state in ENDED and events[-1] != str(job.state)):
            yield f"the history of job {job.id}, which is {job.state}, reads {events}"
    held = sum(node.held for node in view.select(NodeRecord, limit=ALL))
    if sum(line.held for line in gpus(view)) != held:
        yield f"{held} GPUs are held and the list of GPUs says otherwise"
    lines = quota(view, policies, admin, "", "", at_ms)
    pool = [line.held_guaranteed + line.held_borrow + line.held_scavenge for line in lines if line.level == "pool"]
    if sum(pool) != 1_000 * held:
        yield f"{held} GPUs are held and the pool's quota says {pool} milli-GPUs"
    used: oracle.Usage = {}
    for line in usage(view, admin, UsageScope(0, at_ms + MS_PER_HOUR), at_ms):
        sums = used.setdefault((f"{line.org}/{line.project}", line.flavor), [0, 0])
        sums[0] += line.held_milli_gpu_ms
        sums[1] += line.billed_milli_gpu_ms
    if {place: sums for place, sums in used.items() if any(sums)} != _booked(view):
        yield "the list of usage is not what the ledger has"


def logs_whole(ground: Ground, logs: LogStore) -> Iterator[str]:
    """What an attempt printed is kept once and whole when its record is archived."""
    for name, attempt in sorted(ground.attempts.items()):
        wanted = attempt.assignment
        for rank in wanted.ranks:
            printed = fate.content(wanted, rank.rank, log_size(attempt, rank.rank, attempt.gone_at_ms))
            kept = logs.read(wanted.job, wanted.attempt, rank.rank, 0, len(printed) + 1)
            lost = attempt.was_erased and printed.startswith(kept)  # what had not been sent by then is nowhere
            if attempt.is_forgotten and kept != printed and not lost:
                yield f"{name} rank {rank.rank} printed {len(printed)} bytes, kept are {len(kept)}"


def all_forgotten(ground: Ground) -> Iterator[str]:
    """Clusters keep no record of what is settled."""
    for name, attempt in sorted(ground.attempts.items()):
        if not attempt.is_forgotten:
            yield f"{name} is settled and its cluster still keeps it"


def tally(view: Reader) -> dict[str, int]:
    """Jobs by state, attempts, losses, retries, cycles, ledger transactions, invoices."""
    jobs = view.select(JobRecord, limit=ALL)
    counts = {f"jobs {state}": sum(job.state is state for job in jobs) for state in JobState}
    counts["jobs"] = len(jobs)
    counts["losses"] = sum(job.losses for job in jobs)
    counts["failures"] = sum(job.failures for job in jobs)
    counts["attempts"] = view.count(AttemptRecord)
    counts["cycles"] = view.count(CycleRecord)
    counts["ledger transactions"] = view.count(LedgerTxRecord)
    counts["invoices"] = view.count(InvoiceRecord)
    return counts


def _booked(view: Reader) -> oracle.Usage:
    """Held and billed usage as the ledger has it."""
    booked: oracle.Usage = {}
    for entry in view.select(LedgerEntryRecord, limit=ALL):
        account, _, owner = entry.account.partition(":")
        unit, _, flavor = entry.unit.partition(":")
        if unit == "milli_gpu_ms" and account in ("used", "billed"):
            booked.setdefault((owner, flavor), [0, 0])[account == "billed"] += entry.amount
    return booked
