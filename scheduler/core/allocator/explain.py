"""Why a job waits, in sentences: a pure function of recorded reasons and the job, run when somebody asks (S13).

Each reason gets its numbers in words, who can act, and what would help. Of tree nodes outside the
job's own path only the class is named: a tenant does not see other tenants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scheduler.core.allocator.tiers import BORROW, GUARANTEED
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.model import GangRequest, LiveAttempt, Tier
from scheduler.core.reasons import Actor, Blocker, Reason
from scheduler.core.tree import ROOT, level_of, lineage
from scheduler.core.units import MILLI_PER_GPU, MS_PER_SECOND

SUGGESTED_JOBS_MAX = 3
"""At most so many own jobs are named whose end would help."""


FEWER_NODES = "fewer nodes: --nodes "


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What ``explain`` knows of a job. own_live: the same user's attempts that hold GPUs.

    held_by: ``user`` or ``admin`` while Held. attempt_state, tier, stop_reason: of the live attempt while Active.
    """

    job: str
    state: JobState
    leaf: str
    request: GangRequest
    held_by: str = ""
    attempt_state: AttemptState | None = None
    tier: Tier | None = None
    stop_reason: StopReason | None = None
    message: str = ""
    own_live: tuple[LiveAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """One reason with its sentence, and what would help, most useful first."""

    blocker: Blocker
    sentence: str
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits, or that it does not: one summary, all reasons, and every remedy once."""

    state: JobState
    summary: str
    reasons: tuple[Explained, ...] = ()
    would_help: tuple[str, ...] = ()


def explain(job: JobFacts, blockers: Sequence[Blocker], at_ms: int) -> Explanation:
    """Explain a job. blockers: ``Plan.reasons`` of the last cycle that saw it; empty when none has yet."""
    if job.state is JobState.HELD:
        blockers = [_held(job)]
    elif job.state is not JobState.QUEUED:
        return Explanation(job.state, _not_waiting(job))
    reasons = tuple(_sentence(_explained(job, blocker, at_ms)) for blocker in blockers)
    return Explanation(job.state, _summary(job, reasons), reasons, _would_help(reasons))


def _would_help(reasons: Sequence[Explained]) -> tuple[str, ...]:
    """Every remedy once; of several smaller gangs only the smallest, which satisfies all."""
    remedies = list(dict.fromkeys(remedy for reason in reasons for remedy in reason.remedies))
    fewer = sorted(
        (remedy for remedy in remedies if remedy.startswith(FEWER_NODES)), key=lambda text: (len(text), text)
    )
    return tuple(remedy for remedy in remedies if remedy not in fewer[1:])


def _sentence(reason: Explained) -> Explained:
    return replace(reason, sentence=reason.sentence[0].upper() + reason.sentence[1:])


def _summary(job: JobFacts, reasons: Sequence[Explained]) -> str:
    gang = _gang(job.request)
    if job.state is JobState.HELD:
        return f"{job.job} is held and waits for its release: {gang}."
    if not reasons:
        return f"{job.job} is waiting for the next cycle: {gang}."
    count = "1 reason" if len(reasons) == 1 else f"{len(reasons)} reasons"
    return f"{job.job} is waiting: {gang}, tiers {', '.join(job.request.tiers)}; {count}."


def _not_waiting(job: JobFacts) -> str:
    gang = _gang(job.request)
    if job.state is not JobState.ACTIVE:
        message = f" {job.message}" if job.message else ""
        return f"{job.job} has ended: {job.state}.{message}"
    tier = f" in tier {job.tier}" if job.tier else ""
    match job.attempt_state:
        case AttemptState.RUNNING:
            return f"{job.job} is not waiting: it runs on {gang}{tier}."
        case AttemptState.STOPPING:
            reason = f" ({job.stop_reason})" if job.stop_reason else ""
            return f"{job.job} is stopping{reason}; its {gang} stay with it until its end is proven."
        case _:
            return f"{job.job} is not waiting: it has {gang}{tier} and is starting."


def _held(job: JobFacts) -> Blocker:
    by_admin = job.held_by == "admin"
    reason = Reason.HELD_BY_ADMIN if by_admin else Reason.HELD_BY_USER
    actor = Actor.ADMIN if by_admin else Actor.YOU
    return Blocker(reason, "", job.request.flavor, job.request.milli_gpus, 0, 0, actor)


def _explained(job: JobFacts, blocker: Blocker, at_ms: int) -> Explained:
    match blocker.reason:
        case Reason.SHARE_BUSY:
            return _share_busy(job, blocker)
        case Reason.ORG_CAP_REACHED | Reason.PROJECT_CAP_REACHED:
            return _cap_reached(job, blocker)
        case Reason.NO_CAPACITY if blocker.tree_node == ROOT:
            return _guarantees_shrunk(blocker)
        case Reason.NO_CAPACITY:
            return _no_capacity(job, blocker)
        case Reason.NO_GANG_FIT:
            return _no_gang_fit(job, blocker)
        case Reason.RESERVED_FOR_OTHER:
            return _reserved(job, blocker)
        case Reason.BEHIND_HIGHER_PRIORITY:
            return Explained(
                blocker,
                f"{_gpus(blocker.limit, blocker)} were free when the cycle began and it could have started as "
                f"{blocker.tier}; they went to jobs whose share is smaller or that were before it in its line.",
                ("wait: every start of the others raises their share and brings it forward",),
            )
        case Reason.BACKOFF_AFTER_FAILURE:
            seconds = max(0, blocker.limit - at_ms + MS_PER_SECOND - 1) // MS_PER_SECOND
            return Explained(blocker, f"Its last attempt failed; it may start again in {seconds} s.")
        case _:
            return _unavailable(job, blocker)


def _share_busy(job: JobFacts, blocker: Blocker) -> Explained:
    remedies = []
    if BORROW not in job.request.tiers:
        remedies.append("--tier guaranteed,borrow: start on GPUs that others do not use now")
    if blocker.actor is Actor.ADMIN:
        sentence = (
            f"guaranteed: neither your project nor its organisation or class has a guarantee of {blocker.flavor}; "
            f"this gang needs {_count(blocker.need)}."
        )
        return Explained(blocker, sentence, (*remedies, "ask an administrator for a guarantee"))
    sentence = (
        f"guaranteed: {_name(job, blocker.tree_node)} has a guarantee of {_gpus(blocker.limit, blocker)}; "
        f"{_count(blocker.have)} are in use or promised inside it, this gang needs {_count(blocker.need)}."
    )
    fitting = (blocker.limit - blocker.have) // (job.request.gpus_per_node * MILLI_PER_GPU)
    if fitting > 0:
        remedies.insert(0, _fewer_nodes(fitting))
    remedies += _cancel(job, blocker, tier=GUARANTEED)
    return Explained(blocker, sentence, tuple(remedies))


def _guarantees_shrunk(blocker: Blocker) -> Explained:
    sentence = (
        f"guaranteed: only {_gpus(blocker.have, blocker)} are healthy of {_count(blocker.need)} that are guaranteed, "
        f"so every guarantee counts in proportion; this one would be {_count(blocker.limit)} otherwise."
    )
    return Explained(blocker, sentence, ("wait until the lost nodes are back",))


def _cap_reached(job: JobFacts, blocker: Blocker) -> Explained:
    sentence = (
        f"{_name(job, blocker.tree_node)} holds {_count(blocker.have)} of at most {_gpus(blocker.limit, blocker)} "
        f"(guarantee and borrowing limit); this gang needs {_count(blocker.need)}."
    )
    per_node = job.request.gpus_per_node * MILLI_PER_GPU
    remedies = []
    if blocker.limit - blocker.have >= per_node:
        remedies.append(_fewer_nodes((blocker.limit - blocker.have) // per_node))
    if blocker.need > blocker.limit:
        remedies.append("ask for a higher limit: this gang never fits into the present one")
    return Explained(blocker, sentence, (*remedies, *_cancel(job, blocker)))


def _no_capacity(job: JobFacts, blocker: Blocker) -> Explained:
    free = f"at most {_gpus(blocker.have, blocker)} are free in one cluster"
    if blocker.have == 0:
        free = f"no {blocker.flavor} GPU is free"
    sentence = f"{free}, of {_count(blocker.limit)} in all; this gang needs {_count(blocker.need)}."
    fitting = blocker.have // (job.request.gpus_per_node * MILLI_PER_GPU)
    remedies = [_fewer_nodes(fitting)] if 0 < fitting < job.request.nodes else []
    return Explained(blocker, sentence, (*remedies, *_cancel(job, blocker)))


def _no_gang_fit(job: JobFacts, blocker: Blocker) -> Explained:
    sentence = (
        f"enough {blocker.flavor} GPUs are free, but spread: of {blocker.need} workers with "
        f"{job.request.gpus_per_node} GPUs each {blocker.have} would fit in one cluster."
    )
    remedies = [_fewer_nodes(blocker.have)] if blocker.have else []
    if job.request.gpus_per_node > 1:
        remedies.append("ask for fewer GPUs per node on more nodes")
    return Explained(blocker, sentence, (*remedies, *_cancel(job, blocker)))


def _reserved(job: JobFacts, blocker: Blocker) -> Explained:
    sentence = (
        f"{blocker.tier}: {_gpus(blocker.have, blocker)} are free, and {_count(blocker.limit)} stay with others that "
        f"do not lend them, most with {_name(job, blocker.tree_node)}; this gang needs {_count(blocker.need)}."
    )
    blocker = replace(blocker, tree_node=_seen(job, blocker.tree_node))
    fitting = (blocker.have - blocker.limit) // (job.request.gpus_per_node * MILLI_PER_GPU)
    remedies = [_fewer_nodes(fitting)] if 0 < fitting < job.request.nodes else []
    if GUARANTEED not in job.request.tiers:
        remedies.append("--tier guaranteed,borrow: start inside your guarantee, if you have one left")
    return Explained(blocker, sentence, tuple(remedies))


def _unavailable(job: JobFacts, blocker: Blocker) -> Explained:
    """The machines are not there; also reasons that no cycle gives yet, in their own words."""
    per_node = job.request.gpus_per_node * MILLI_PER_GPU
    fewer = (_fewer_nodes(blocker.have // per_node),) if blocker.have >= per_node else ()
    match blocker.reason:
        case Reason.MODEL_UNAVAILABLE:
            sentence = (
                f"no cluster could hold {_gang(job.request)} even if nothing ran: "
                f"{_gpus(blocker.limit, blocker)} are healthy, at most {_count(blocker.have)} suit this gang."
            )
            return Explained(blocker, sentence, (*fewer, "choose another flavor or fewer GPUs per node (dure gpus)"))
        case Reason.MAINTENANCE_WINDOW:
            sentence = (
                f"the {blocker.flavor} nodes that could hold {_gang(job.request)} take no new work now (cordoned)."
            )
            return Explained(blocker, sentence, (*fewer, "wait until the nodes are opened again"))
        case Reason.CLUSTER_STARTING:
            return Explained(blocker, "no cluster has reported its nodes yet.", ("wait until a cluster has connected",))
        case Reason.HELD_BY_USER:
            return Explained(blocker, "it is held; who may cancel it may also release it.", (f"release {job.job}",))
        case Reason.HELD_BY_ADMIN:
            return Explained(blocker, "an administrator holds it.", ("ask the administrator to release it",))
        case reason:
            return Explained(blocker, f"{reason}: needs {blocker.need}, has {blocker.have}, limit {blocker.limit}.")


def _cancel(job: JobFacts, blocker: Blocker, tier: Tier | None = None) -> Iterable[str]:
    """The user's own attempts of the flavor, the smallest first, one of which would make room by its end."""
    missing = blocker.need + blocker.have - blocker.limit
    if blocker.reason is Reason.NO_CAPACITY:
        missing = blocker.need - blocker.have
    if blocker.reason is Reason.NO_GANG_FIT:
        missing = (blocker.need - blocker.have) * job.request.gpus_per_node * MILLI_PER_GPU
    able = sorted(
        (attempt.request.gpus, attempt.job)
        for attempt in job.own_live
        if attempt.request.flavor == blocker.flavor
        and attempt.state is not AttemptState.STOPPING
        and attempt.request.milli_gpus >= missing
        and (tier is None or attempt.tier is tier)
    )
    return [f"cancel your job {name} ({gpus} GPU{'s' if gpus > 1 else ''})" for gpus, name in able[:SUGGESTED_JOBS_MAX]]


def _fewer_nodes(nodes: int) -> str:
    return f"{FEWER_NODES}{nodes}"


def _name(job: JobFacts, path: str) -> str:
    """``project nlp`` on the job's path; beside it only ``class sme``, or ``others of class sme`` inside it."""
    if path == ROOT:
        return "the pool"
    seen = _seen(job, path)
    name = f"{level_of(seen)} {seen.rsplit('/', 1)[1]}"
    return name if seen == path else f"others of {name}"


def _seen(job: JobFacts, path: str) -> str:
    """A tree node as the job's user may see it: of other tenants only the class."""
    return path if path in lineage(job.leaf) else "/" + path.split("/")[1]


def _gang(request: GangRequest) -> str:
    size = f"{request.gpus} {request.flavor}"
    return size if request.nodes == 1 else f"{size} ({request.nodes} nodes x {request.gpus_per_node})"


def _gpus(milli_gpus: int, blocker: Blocker) -> str:
    return f"{_count(milli_gpus)} {blocker.flavor} GPU{'' if milli_gpus == MILLI_PER_GPU else 's'}"


def _count(milli_gpus: int) -> str:
    """Milli-GPUs as GPUs, with decimals only where there are any: 2500 -> ``2.5``."""
    whole, rest = divmod(abs(milli_gpus), MILLI_PER_GPU)
    text = f"{whole}.{rest:03d}".rstrip("0").rstrip(".") if rest else str(whole)
    return f"-{text}" if milli_gpus < 0 else text
