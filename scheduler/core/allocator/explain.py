"""Why a job waits, in sentences: a pure function of recorded reasons and the job, run when somebody asks (S13).

Each reason gets its numbers in words, who can act, and what would help. Of tree nodes outside the
job's own path only the class is named: a tenant does not see other tenants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from scheduler.core.allocator.tiers import BORROW, GUARANTEED, PHASES, SCAVENGE
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.model import GangRequest, LiveAttempt, Tier, gpus_by_node
from scheduler.core.reasons import Actor, Blocker, Reason
from scheduler.core.tree import ROOT, level_of, lineage
from scheduler.core.units import MILLI_PER_GPU, MS_PER_SECOND

SUGGESTED_JOBS_MAX = 3
"""At most so many own jobs are named whose end would help."""
NOT_NOW = frozenset(
    {Reason.BACKOFF_AFTER_FAILURE, Reason.HELD_BY_USER, Reason.HELD_BY_ADMIN, Reason.WAITING_DEPENDENCY}
)
"""Reasons that no change of the gang ends."""
STARTS_IN = {
    GUARANTEED: "start now inside a guarantee",
    BORROW: "start now on GPUs that others do not use",
    SCAVENGE: "start now on what nobody else can use",
}
FreeGpus = tuple[str, str, int]
"""(cluster, node, free GPUs): below 0 where more is held than is healthy."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What ``explain`` knows of a job. own_live: the same user's attempts that hold GPUs.

    held_by: ``user``, ``admin`` or ``array`` while Held. at_once: how many jobs of its array may wait or run at once.
    attempt_state, tier, stop_reason: of the live attempt while Active.
    open_tiers: tiers it does not list and in which it could start now (``Plan.open_tiers``).
    is_alone: no other job waits for the flavor, so freed GPUs go to nobody else.
    free: of the nodes of the flavor that take new work.
    room_by_ms: room is being made for it, and by this instant it should be there; 0: none is made.
    """

    job: str
    state: JobState
    leaf: str
    request: GangRequest
    held_by: str = ""
    at_once: int = 0
    attempt_state: AttemptState | None = None
    tier: Tier | None = None
    stop_reason: StopReason | None = None
    message: str = ""
    own_live: tuple[LiveAttempt, ...] = ()
    open_tiers: tuple[Tier, ...] = ()
    is_alone: bool = False
    free: tuple[FreeGpus, ...] = ()
    room_by_ms: int = 0


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
    would_help = (*_changes(job, blockers), *(remedy for reason in reasons for remedy in reason.remedies))
    return Explanation(job.state, _summary(job, reasons), reasons, tuple(dict.fromkeys(would_help)))


def _changes(job: JobFacts, blockers: Sequence[Blocker]) -> Iterator[str]:
    """What the user can do to start now. Each alone is enough, for as long as nothing else happens.

    In a settled pool nobody else can start, so what the rules and the machines leave open is open to this job.
    """
    if job.room_by_ms or any(blocker.reason in NOT_NOW for blocker in blockers):
        return
    tiers = job.request.tiers
    fitting = max((_fits(job, _closers(blockers, tier)) for tier in tiers), default=0)
    if fitting:
        yield f"fewer nodes: --nodes {fitting}"
    if job.open_tiers:
        more = job.open_tiers[0]
        listed = ",".join(tier for tier in PHASES if tier in tiers or tier is more)
        yield f"--tier {listed}: {STARTS_IN[more]}"
    if job.is_alone:
        able = sorted(
            (attempt.request.gpus, attempt.job)
            for attempt in job.own_live
            if attempt.state is not AttemptState.STOPPING
            and any(_makes_room(job, attempt, _closers(blockers, tier)) for tier in tiers)
        )
        for gpus, name in able[:SUGGESTED_JOBS_MAX]:
            yield f"cancel your job {name} ({gpus} GPU{'s' if gpus > 1 else ''})"


def _closers(blockers: Sequence[Blocker], tier: Tier) -> list[Blocker]:
    """The reasons that close a tier."""
    behind = Reason.BEHIND_HIGHER_PRIORITY
    return [blocker for blocker in blockers if blocker.tier in ("", tier) and blocker.reason is not behind]


def _fits(job: JobFacts, closers: Sequence[Blocker]) -> int:
    """Workers of the gang that every one of the reasons leaves room for."""
    left = min((blocker.left for blocker in closers), default=0)
    return max(0, left) // (job.request.gpus_per_node * MILLI_PER_GPU)


def _makes_room(job: JobFacts, attempt: LiveAttempt, closers: Sequence[Blocker]) -> bool:
    """Whether all of these reasons would be gone if this own attempt were."""
    after = _free_without(job, attempt)
    if after is None:
        return False
    workers, milli_gpus = after
    for blocker in closers:
        match blocker.reason:
            case Reason.NO_CAPACITY | Reason.NO_GANG_FIT if not blocker.tree_node:
                enough = workers >= job.request.nodes
            case Reason.SHARE_BUSY if attempt.tier is not GUARANTEED or blocker.actor is Actor.ADMIN:
                enough = False
            case Reason.SHARE_BUSY | Reason.ORG_CAP_REACHED | Reason.PROJECT_CAP_REACHED:
                enough = blocker.left - blocker.over + attempt.request.milli_gpus >= blocker.need
            case Reason.RESERVED_FOR_OTHER:
                enough = blocker.left + milli_gpus >= blocker.need
            case _:
                enough = False
        if not enough:
            return False
    return bool(closers)


def _free_without(job: JobFacts, attempt: LiveAttempt) -> tuple[int, int] | None:
    """(workers of the gang that would fit into the attempt's cluster, milli-GPUs more that would be free) without it.

    None when it holds another flavor or a node that takes no new work: its end would make the pool smaller.
    """
    free = {node: gpus for cluster, node, gpus in job.free if cluster == attempt.cluster}
    freed = gpus_by_node(attempt.ranks)
    if attempt.request.flavor != job.request.flavor or not freed.keys() <= free.keys():
        return None
    then = {node: max(0, gpus + freed.get(node, 0)) for node, gpus in free.items()}
    workers = sum(gpus // job.request.gpus_per_node for gpus in then.values())
    return workers, (sum(then.values()) - sum(max(0, gpus) for gpus in free.values())) * MILLI_PER_GPU


def _sentence(reason: Explained) -> Explained:
    return replace(reason, sentence=reason.sentence[0].upper() + reason.sentence[1:])


def _summary(job: JobFacts, reasons: Sequence[Explained]) -> str:
    gang = _gang(job.request)
    if job.state is JobState.HELD and job.at_once and job.held_by == "array":
        return f"{job.job} waits for its turn in its array: {gang}."
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
    if job.held_by == "array":
        return Blocker(Reason.WAITING_DEPENDENCY, "", job.request.flavor, 1, 0, job.at_once, Actor.TIME)
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
        case Reason.NO_CAPACITY if job.room_by_ms:
            return _room_is_made(blocker, job.room_by_ms - at_ms)
        case Reason.NO_CAPACITY:
            return _no_capacity(blocker)
        case Reason.NO_GANG_FIT:
            return _no_gang_fit(job, blocker)
        case Reason.RESERVED_FOR_OTHER if not blocker.tier:
            return _kept_for_claim(job, blocker)
        case Reason.RESERVED_FOR_OTHER:
            return _reserved(job, blocker)
        case Reason.BEHIND_HIGHER_PRIORITY:
            return Explained(
                blocker,
                f"another gang, of {_gpus(blocker.limit, blocker)}, is next: gangs inside a guarantee come first, then "
                f"who has the smallest share; {_are(blocker.have)} free, this gang needs {_count(blocker.need)}.",
            )
        case Reason.BACKOFF_AFTER_FAILURE:
            seconds = _seconds(blocker.limit - at_ms)
            return Explained(blocker, f"Its last attempt failed; it may start again in {seconds} s.")
        case _:
            return _unavailable(job, blocker)


def _share_busy(job: JobFacts, blocker: Blocker) -> Explained:
    if blocker.actor is Actor.ADMIN:
        sentence = (
            f"guaranteed: neither your project nor its organisation or class has a guarantee of {blocker.flavor}; "
            f"this gang needs {_count(blocker.need)}."
        )
        return Explained(blocker, sentence, ("ask an administrator for a guarantee",))
    sentence = (
        f"guaranteed: {_name(job, blocker.tree_node)} has a guarantee of {_gpus(blocker.limit, blocker)}; "
        f"{_are(blocker.have)} in use or promised inside it, {_are(max(0, blocker.left))} left for this "
        f"gang, which needs {_count(blocker.need)}."
    )
    if any(attempt.tier is GUARANTEED and attempt.request.flavor == blocker.flavor for attempt in job.own_live):
        blocker = replace(blocker, actor=Actor.YOU)
    return Explained(blocker, sentence)


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
    never = blocker.need > blocker.limit
    return Explained(
        blocker, sentence, ("ask for a higher limit: this gang never fits into the present one",) if never else ()
    )


def _no_capacity(blocker: Blocker) -> Explained:
    verb = "is" if blocker.have == MILLI_PER_GPU else "are"
    free = f"at most {_gpus(blocker.have, blocker)} {verb} free in one cluster"
    if blocker.have == 0:
        free = f"no {blocker.flavor} GPU is free"
    return Explained(blocker, f"{free}, of {_count(blocker.limit)} in all; this gang needs {_count(blocker.need)}.")


def _room_is_made(blocker: Blocker, left_ms: int) -> Explained:
    sentence = (
        f"it is inside its guarantee, so lent GPUs are being taken back for it: {_are(blocker.have)} free already of "
        f"{_gpus(blocker.need, blocker)}; who holds the rest was asked to leave and has {_seconds(left_ms)} s at most."
    )
    return Explained(blocker, sentence)


def _kept_for_claim(job: JobFacts, blocker: Blocker) -> Explained:
    sentence = (
        f"{_gpus(blocker.limit, blocker)} are being gathered for gangs inside their guarantee, most for "
        f"{_name(job, blocker.tree_node)}; {_are(blocker.have)} free beside them, this gang needs "
        f"{_count(blocker.need)}."
    )
    return Explained(replace(blocker, tree_node=_seen(job, blocker.tree_node)), sentence)


def _no_gang_fit(job: JobFacts, blocker: Blocker) -> Explained:
    sentence = (
        f"enough {blocker.flavor} GPUs are free, but spread: of {blocker.need} workers with "
        f"{job.request.gpus_per_node} GPUs each {blocker.have} would fit in one cluster."
    )
    spread = job.request.gpus_per_node > 1
    return Explained(blocker, sentence, ("ask for fewer GPUs per node on more nodes",) if spread else ())


def _reserved(job: JobFacts, blocker: Blocker) -> Explained:
    sentence = (
        f"{blocker.tier}: {_gpus(blocker.have, blocker)} are free, and {_count(blocker.limit)} stay with others that "
        f"do not lend them, most with {_name(job, blocker.tree_node)}; this gang needs {_count(blocker.need)}."
    )
    return Explained(replace(blocker, tree_node=_seen(job, blocker.tree_node)), sentence)


def _unavailable(job: JobFacts, blocker: Blocker) -> Explained:
    """The machines are not there; also reasons that no cycle gives yet, in their own words."""
    could = blocker.have // (job.request.gpus_per_node * MILLI_PER_GPU)
    match blocker.reason:
        case Reason.MODEL_UNAVAILABLE:
            sentence = (
                f"no cluster could hold {_gang(job.request)} even if nothing ran: "
                f"{_gpus(blocker.limit, blocker)} are healthy, at most {_count(blocker.have)} suit this gang."
            )
            smaller = (f"at most {could} such nodes can be had at once",) if could else ()
            return Explained(blocker, sentence, (*smaller, "choose another flavor or fewer GPUs per node (dure gpus)"))
        case Reason.MAINTENANCE_WINDOW:
            sentence = (
                f"the {blocker.flavor} nodes that could hold {_gang(job.request)} take no new work now (cordoned)."
            )
            return Explained(blocker, sentence, ("wait until the nodes are opened again",))
        case Reason.CLUSTER_STARTING:
            return Explained(blocker, "no cluster has reported its nodes yet.", ("wait until a cluster has connected",))
        case Reason.WAITING_DEPENDENCY:
            return Explained(
                blocker, f"its array lets {blocker.limit} of its jobs wait or run at once; others come first."
            )
        case Reason.HELD_BY_USER:
            return Explained(blocker, "it is held; who may cancel it may also release it.", (f"release {job.job}",))
        case Reason.HELD_BY_ADMIN:
            return Explained(blocker, "an administrator holds it.", ("ask the administrator to release it",))
        case reason:
            return Explained(blocker, f"{reason}: needs {blocker.need}, has {blocker.have}, limit {blocker.limit}.")


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


def _seconds(milliseconds: int) -> int:
    """Whole seconds, rounded up, and none below 0."""
    return max(0, milliseconds + MS_PER_SECOND - 1) // MS_PER_SECOND


def _gang(request: GangRequest) -> str:
    size = f"{request.gpus} {request.flavor}"
    return size if request.nodes == 1 else f"{size} ({request.nodes} nodes x {request.gpus_per_node})"


def _gpus(milli_gpus: int, blocker: Blocker) -> str:
    return f"{_count(milli_gpus)} {blocker.flavor} GPU{'' if milli_gpus == MILLI_PER_GPU else 's'}"


def _are(milli_gpus: int) -> str:
    """``1 is``, ``2 are``."""
    return f"{_count(milli_gpus)} {'is' if milli_gpus == MILLI_PER_GPU else 'are'}"


def _count(milli_gpus: int) -> str:
    """Milli-GPUs as GPUs, with decimals only where there are any: 2500 -> ``2.5``."""
    whole, rest = divmod(abs(milli_gpus), MILLI_PER_GPU)
    text = f"{whole}.{rest:03d}".rstrip("0").rstrip(".") if rest else str(whole)
    return f"-{text}" if milli_gpus < 0 else text
