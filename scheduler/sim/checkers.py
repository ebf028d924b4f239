"""The properties of DESIGN section 4 as checks of one cycle: (snapshot, plan) -> findings, empty when it holds.

Pure functions, shared by tests and the world. Each has a premise: where it does not hold, the
property says nothing, so whoever runs many worlds counts in how many it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.plan import Admit, Plan, Release, Step
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.errors import Finding
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import Earmark, LiveAttempt, PendingJob, Tier
from scheduler.core.reasons import Blocker, Reason
from scheduler.core.tree import lineage
from scheduler.sim.expected import Told, expected, phase_of, told
from scheduler.sim.reclaims import guaranteed_first, reclaimed_well, room_told
from scheduler.sim.rules import Estate, jobs_of

LATER_MS = 1


@dataclass(frozen=True, slots=True)
class Property:
    """A named check and its premise."""

    name: str
    check: Callable[[Snapshot, Plan], list[Finding]]
    premise: Callable[[Snapshot, Plan], bool]


def check_all(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """Findings of every property."""
    return [finding for item in PROPERTIES for finding in item.check(snapshot, plan)]


def after(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot of the next instant when every step was taken and nothing else happened."""
    jobs = jobs_of(snapshot.pending)
    asked = {victim for step in plan.reclaims for victim in step.victims}
    stopped = [
        _asked_to_leave(item, snapshot.at_ms) if (item.job, item.attempt) in asked else item for item in snapshot.live
    ]
    started = [
        LiveAttempt(
            step.job,
            step.attempt,
            jobs[step.job].leaf,
            jobs[step.job].request,
            step.tier,
            step.cluster,
            step.ranks,
            admitted_at_ms=snapshot.at_ms,
        )
        for step in plan.starts
    ]
    made = [
        Earmark(jobs[step.job], step.cluster, step.ranks, snapshot.fact_seq + number)
        for number, step in enumerate(plan.reclaims, 1)
    ]
    released = {step.job for step in plan.steps if isinstance(step, Release)}
    gone = {step.job for step in plan.placed}
    aside = {job.job for job in snapshot.delayed} | {item.job.job for item in snapshot.earmarks} - released | gone
    return replace(
        snapshot,
        fact_seq=snapshot.fact_seq + len(plan.steps),
        live=tuple(sorted((*stopped, *started), key=lambda attempt: attempt.job)),
        lines=lines_of(job for job in snapshot.pending if job.job not in aside),
        earmarks=(*(item for item in snapshot.earmarks if item.job.job not in gone | released), *made),
    )


def _asked_to_leave(attempt: LiveAttempt, at_ms: int) -> LiveAttempt:
    return replace(attempt, state=AttemptState.STOPPING, stop_reason=StopReason.EVICT, stopping_at_ms=at_ms)


def conservation(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S1: no grant brings what is held of a node, and kept for others, above its healthy GPUs, of its own flavor.

    What is kept for others counts only against a gang that nothing was kept for: see ``can_start_in_its_places``.
    """
    nodes = {(node.cluster, node.name): node for node in snapshot.nodes}
    findings = []
    for job, step, before, estate in _starts_of(snapshot, plan):
        held = estate.held_on(kept=before.earmarked(job.job) is None)
        for rank in step.ranks:
            node = nodes.get((step.cluster, rank.node))
            if node is None or not node.schedulable or node.flavor != job.request.flavor:
                findings.append(_finding("S1", step, f"rank {rank.rank} is on {rank.node}, which cannot take it"))
            elif held[step.cluster, rank.node] > node.gpus:
                findings.append(
                    _finding("S1", step, f"{rank.node} holds {held[step.cluster, rank.node]} of {node.gpus} GPUs")
                )
    return findings


def gangs(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S2: a step is for a job that waits, once, with all workers as asked, in one of the tiers it accepts."""
    delayed = {job.job for job in snapshot.delayed}
    waiting = jobs_of(job for job in snapshot.pending if job.job not in delayed)
    findings = []
    for step in plan.placed:
        job = waiting.pop(step.job, None)
        if job is None:
            findings.append(_finding("S2", step, "it does not wait, waits for an instant, or is started twice"))
            continue
        request = job.request
        as_asked = [(rank, request.gpus_per_node) for rank in range(request.nodes)]
        if [(rank.rank, rank.gpus) for rank in step.ranks] != as_asked:
            findings.append(_finding("S2", step, f"ranks {step.ranks} are not {request.nodes}x{request.gpus_per_node}"))
        tier = step.tier if isinstance(step, Admit) else Tier.GUARANTEED
        if tier not in request.tiers or step.attempt != job.attempt:
            findings.append(_finding("S2", step, f"tier {tier}, attempt {step.attempt} is not what it waits for"))
    return findings


def rights(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """Rules 1 to 4: each start's tier was, at its turn, the first of the job's list that was open to it.

    A gang that room was made for starts as guaranteed, whatever it lists first.
    """
    findings = []
    for job, step, before in _turns(snapshot, plan):
        if isinstance(step, Admit):
            own = before.earmarked(job.job) is not None and before.can_start_in_its_places(job)
            awaited = before.set_aside(job.job)
            is_open = own or (awaited and before.open(job, Tier.GUARANTEED))
            first = (Tier.GUARANTEED if is_open else None) if awaited else before.first_open(job)
            if first is not step.tier:
                findings.append(_finding("rights", step, f"started in {step.tier}, the first open tier is {first}"))
    return findings


def phases(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """Rule 4: when a gang starts in a tier, none that lists its tiers in order could have started in an earlier one."""
    order = list(Tier)
    findings = []
    waiting = jobs_of(_in_order(snapshot))
    for _, step, before in _turns(snapshot, plan):
        if isinstance(step, Admit):
            earlier = [other for other in waiting.values() if _opens_before(before, other, order.index(step.tier))]
            if earlier:
                findings.append(_finding("phases", step, f"{earlier[0].job} could have started in an earlier phase"))
        if not isinstance(step, Release):
            waiting.pop(step.job, None)
    return findings


def limits(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """Rule 2: no tree node of a started gang's path holds more than its guarantee plus borrowing limit."""
    return [
        _finding("limits", step, f"{path} holds {held} milli-GPUs of at most {cap}")
        for job, step, before, estate in _starts_of(snapshot, plan)
        for path in lineage(job.leaf)
        if (cap := estate.cap(path, job.request.flavor)) is not None
        and (held := _counted(before, estate, job).held(path, job.request.flavor)) > cap
    ]


def guarantees(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """Rule 1: over every gang started as guaranteed stands a tree node whose guarantee holds all claims inside it."""
    estate, jobs = _end(snapshot, plan), jobs_of(snapshot.pending)
    findings = []
    for step in plan.starts:
        leaf, flavor = jobs[step.job].leaf, jobs[step.job].request.flavor
        covered = any(0 < estate.claim(path, flavor) <= estate.guarantee(path, flavor) for path in lineage(leaf))
        if step.tier is Tier.GUARANTEED and not covered:
            findings.append(_finding("guarantees", step, f"no guarantee of {flavor} on {leaf} covers it"))
    return findings


def work_conservation(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S5: when the cycle has ended no job that waits could start in any of its tiers, on what is kept for nobody."""
    estate = _end(snapshot, plan)
    return [
        Finding(job.job, "S5", f"waits although {tier} is open to it")
        for job in _waiting(snapshot, plan)
        if (tier := estate.first_open(job)) is not None
    ]


def explained(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S13: every job that waits has exactly the reasons that hold, with their numbers, and they close its tiers."""
    findings: list[Finding] = []
    started = {step.job for step in plan.starts}
    estate, delayed = _end(snapshot, plan), {job.job for job in snapshot.delayed}
    for job in snapshot.pending:
        if job.job in started:
            continue
        if estate.earmarked(job.job) or job.job in plan.awaited:
            findings += room_told(plan, job, estate)
            continue
        reasons = [blocker for blocker in plan.reasons(job) if blocker.reason is not Reason.BEHIND_HIGHER_PRIORITY]
        waits = {blocker.limit for blocker in reasons if blocker.reason is Reason.BACKOFF_AFTER_FAILURE}
        found = [told(blocker) for blocker in reasons if blocker.reason is not Reason.BACKOFF_AFTER_FAILURE]
        could_start = estate.first_open(job) is not None
        wanted = set() if could_start else expected(estate, job)
        if waits != ({job.not_before_ms} if job.job in delayed else set()) or (could_start and not waits):
            findings.append(Finding(job.job, "S13", f"waits out {waits}, could start: {could_start}"))
        if len(found) != len(set(found)) or {*map(_unplaced, found)} != {*map(_unplaced, wanted)}:
            findings.append(Finding(job.job, "S13", f"is told {sorted(found)} and not {sorted(wanted)}"))
    return [*findings, *_in_line(snapshot, plan, estate)]


def _unplaced(item: Told) -> Told:
    """Where nobody on the path has a guarantee, any tree node of it may be named."""
    nothing = item[0] is Reason.SHARE_BUSY and item[3:5] == (0, 0)
    return (item[0], "", *item[2:]) if nothing else item


def _in_line(snapshot: Snapshot, plan: Plan, estate: Estate) -> Iterator[Finding]:
    """Of the jobs of a flavor that only machines stop, the earliest phase is first, and not all of it is behind."""
    first: dict[str, list[tuple[int, PendingJob]]] = {}
    for job in _waiting(snapshot, plan):
        phase = phase_of(estate, job)
        if phase is not None:
            first.setdefault(job.request.flavor, []).append((phase, job))
        elif _behind(plan, job):
            yield Finding(job.job, "S13", "is behind somebody, and not only machines stop it")
    for flavor, jobs in first.items():
        earliest = min(phase for phase, _ in jobs)
        ahead = {job.request.milli_gpus for phase, job in jobs if phase == earliest and not _behind(plan, job)}
        for phase, job in jobs:
            behind = _behind(plan, job)
            if phase > earliest and not behind:
                yield Finding(job.job, "S13", "is not told that others come before it")
            for blocker in behind:
                numbers = (blocker.need, blocker.have, blocker.limit in ahead, blocker.tier)
                if numbers != (job.request.milli_gpus, estate.free(flavor), True, list(Tier)[phase]):
                    yield Finding(job.job, "S13", f"the numbers do not say so: {blocker}")


def _behind(plan: Plan, job: PendingJob) -> list[Blocker]:
    return [blocker for blocker in plan.reasons(job) if blocker.reason is Reason.BEHIND_HIGHER_PRIORITY]


def settled(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S15: the next cycle, without news, is empty; the one after it gives the same reasons, but for whose turn it is.

    Shares change as time passes, so another may be next.
    """
    quiet = after(snapshot, plan)
    again = decide(quiet)
    findings = [_finding("S15", step, f"{step.kind} in a cycle without news") for step in again.steps]
    later = decide(replace(quiet, at_ms=quiet.at_ms + LATER_MS))
    if _without_turns(later) != _without_turns(again) and not any(
        job.not_before_ms <= quiet.at_ms + LATER_MS for job in quiet.delayed
    ):
        findings.append(Finding("plan", "S15", "two cycles without news give other reasons"))
    return findings


def replayed(snapshot: Snapshot, plan: Plan) -> list[Finding]:
    """S12: the same snapshot gives the same bytes, and so does one whose parts come in another order."""
    turned = replace(
        snapshot,
        nodes=tuple(reversed(snapshot.nodes)),
        live=tuple(reversed(snapshot.live)),
        earmarks=tuple(reversed(snapshot.earmarks)),
        lines=dict(reversed(list(snapshot.lines.items()))),
        delayed=tuple(reversed(snapshot.delayed)),
        usage=dict(reversed(list(snapshot.usage.items()))),
        flavors=dict(reversed(list(snapshot.flavors.items()))),
    )
    texts = {plan.canonical(), decide(snapshot).canonical(), decide(turned).canonical()}
    texts.add(Plan.from_json(plan.to_json()).canonical())
    return [] if len(texts) == 1 else [Finding("plan", "S12", "one input has several plans")]


def _without_turns(plan: Plan) -> str:
    blockers = {
        key: tuple(blocker for blocker in found if blocker.reason is not Reason.BEHIND_HIGHER_PRIORITY)
        for key, found in plan.blockers.items()
    }
    return replace(plan, blockers=blockers).canonical()


def _turns(snapshot: Snapshot, plan: Plan) -> Iterator[tuple[PendingJob, Step, Estate]]:
    """(job, step, the estate before it) of every step; the estate is the caller's to spoil."""
    estate, jobs = Estate(snapshot), jobs_of(snapshot.pending)
    for step in plan.steps:
        yield jobs[step.job], step, estate.without(lambda _: False)
        estate.take(jobs[step.job], step)


def _starts_of(snapshot: Snapshot, plan: Plan) -> Iterator[tuple[PendingJob, Admit, Estate, Estate]]:
    """(job, step, the estate before it, and after it) of every start."""
    estate, jobs = Estate(snapshot), jobs_of(snapshot.pending)
    for step in plan.steps:
        before = estate.without(lambda _: False)
        estate.take(jobs[step.job], step)
        if isinstance(step, Admit):
            yield jobs[step.job], step, before, estate


def _counted(before: Estate, estate: Estate, job: PendingJob) -> Estate:
    """What counts against a gang that started: held and kept, or held alone where room had been kept for it."""
    return estate.without(lambda item: item.kept) if before.earmarked(job.job) else estate


def _end(snapshot: Snapshot, plan: Plan) -> Estate:
    """The estate when all steps were taken."""
    estate, jobs = Estate(snapshot), jobs_of(snapshot.pending)
    for step in plan.steps:
        estate.take(jobs[step.job], step)
    return estate


def _waiting(snapshot: Snapshot, plan: Plan) -> list[PendingJob]:
    """Jobs that the plan leaves waiting for something else than an instant, or for room that is made for them."""
    gone = {step.job for step in plan.starts} | {job.job for job in snapshot.delayed} | plan.awaited.keys()
    return [job for job in snapshot.pending if job.job not in gone]


def _in_order(snapshot: Snapshot) -> list[PendingJob]:
    """Jobs in a line, also those whose room has come to nothing, that list their tiers in the order of the phases."""
    order, estate = list(Tier), Estate(snapshot)
    aside = {job.job for job in snapshot.delayed}
    jobs = (job for job in snapshot.pending if job.job not in aside and not estate.earmarked(job.job))
    return [job for job in jobs if [*job.request.tiers] == sorted(job.request.tiers, key=order.index)]


def _opens_before(estate: Estate, job: PendingJob, phase: int) -> bool:
    first = estate.first_open(job)
    return first is not None and list(Tier).index(first) < phase


def _finding(code: str, step: Step, message: str) -> Finding:
    return Finding(f"{step.job}.{step.attempt}", code, message)


def _starts(snapshot: Snapshot, plan: Plan) -> bool:
    return bool(plan.starts)


def _starts_guaranteed(snapshot: Snapshot, plan: Plan) -> bool:
    return any(step.tier is Tier.GUARANTEED for step in plan.starts)


def _starts_in_two_tiers(snapshot: Snapshot, plan: Plan) -> bool:
    return len({step.tier for step in plan.starts}) > 1


def _starts_and_waits(snapshot: Snapshot, plan: Plan) -> bool:
    return bool(plan.starts) and bool(_waiting(snapshot, plan))


def _waits(snapshot: Snapshot, plan: Plan) -> bool:
    return len(snapshot.pending) > len(plan.starts)


def _gang_of_many(snapshot: Snapshot, plan: Plan) -> bool:
    return any(len(step.ranks) > 1 for step in plan.starts)


def _capped(snapshot: Snapshot, plan: Plan) -> bool:
    """A cap stops somebody, and somebody started."""
    caps = {Reason.ORG_CAP_REACHED, Reason.PROJECT_CAP_REACHED}
    return bool(plan.starts) and any(blocker.reason in caps for found in plan.blockers.values() for blocker in found)


def _room_is_made(snapshot: Snapshot, plan: Plan) -> bool:
    """Room is made for somebody, or was made for one that starts."""
    return bool(plan.awaited) or any(
        earmark.job.job in {step.job for step in plan.starts} for earmark in snapshot.earmarks
    )


def _takes_back(snapshot: Snapshot, plan: Plan) -> bool:
    return any(step.victims for step in plan.reclaims)


def _waits_beside_idle_gpus(snapshot: Snapshot, plan: Plan) -> bool:
    estate = _end(snapshot, plan)
    return any(estate.free(job.request.flavor) for job in _waiting(snapshot, plan))


PROPERTIES: tuple[Property, ...] = (
    Property("S1 conservation", conservation, _starts_and_waits),
    Property("S2 gang", gangs, _gang_of_many),
    Property("S3 guarantee", guaranteed_first, _room_is_made),
    Property("S9 no loops", reclaimed_well, _takes_back),
    Property("S5 work conservation", work_conservation, _waits_beside_idle_gpus),
    Property("S12 replay", replayed, _starts),
    Property("S13 explained", explained, _waits),
    Property("S15 settled", settled, _starts_and_waits),
    Property("tier is the first open one", rights, _starts),
    Property("phases", phases, _starts_in_two_tiers),
    Property("limits", limits, _capped),
    Property("guarantees", guarantees, _starts_guaranteed),
)
