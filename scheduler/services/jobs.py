"""Cancel, hold and release a job or a whole array; find it by id or by its owner's name for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from scheduler.core.errors import Retry
from scheduler.core.facts import AttemptStopping, JobEnded, JobHeld, JobReleased
from scheduler.core.lifecycle import TERMINAL_JOB_STATES, AttemptState, JobState, StopReason
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.schema.arrays import parse_array, split_member
from scheduler.schema.bodies import JobBody
from scheduler.services import arrays
from scheduler.services.actors import Actor, require
from scheduler.services.job_bodies import job_body
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.submit import Conflict, NotFound

NAMED_MAX = 1_000
"""How many jobs of one name are looked through for one that the actor may still see."""
Steer = Callable[[Writer, Actor, JobRecord, int], None]
"""Does one thing to one job in a transaction; a repeat changes nothing."""


def find_job(view: Reader, actor: Actor, name: str) -> JobRecord:
    """The one job that a name means; raises NotFound alike for absent and hidden, Conflict for a whole array."""
    found = find_members(view, actor, name)
    if len(found) == 1:
        return found[0]
    first = f"{found[0].array}.{found[0].array_index}"
    raise Conflict(
        "DURE-6070", f"{name} is an array of {len(found)} jobs: this needs one of them", f"name one: {first}"
    )


def find_members(view: Reader, actor: Actor, name: str) -> list[JobRecord]:
    """The job with this id, the members of the array with this id, or the actor's newest of this name.

    ``NAME.3`` and ``NAME[3]`` are one member of an array. Whose job it is gives no right by itself: who left a project
    sees nothing of it any more. Raises NotFound alike for absent and hidden.
    """
    base, index = split_member(name)
    found = _by_id(view, actor, base) or _by_name(view, actor, base)
    if not found:
        raise NotFound("DURE-3001", f"no job {name} that you may see", "dure queue --all")
    if index is None:
        return found
    for member in found:
        if member.array and member.array_index == index:
            return [member]
    if not found[0].array:
        raise NotFound("DURE-3030", f"{base} is a single job: it has no index {index}", f"dure job get {base}")
    message = f"{base} has no index {index}: it is {found[0].array_text}"
    raise NotFound("DURE-3030", message, f"dure queue --all --expand --name {found[0].name}")


def _by_id(view: Reader, actor: Actor, name: str) -> list[JobRecord]:
    job = view.get(JobRecord, name)
    found = [job] if job is not None else arrays.members_of(view, name)
    return [job for job in found if actor.sees_project(job.org, job.project)]


def _by_name(view: Reader, actor: Actor, name: str) -> list[JobRecord]:
    mine = (Where("user", "=", actor.user), Where("name", "=", name))
    for limit in (1, NAMED_MAX):  # the newest is nearly always the one
        for job in view.select(JobRecord, *mine, order=("-submitted_seq",), limit=limit):
            if actor.sees_project(job.org, job.project):
                return arrays.members_of(view, job.array) if job.array else [job]
    return []


def newest_attempt(view: Reader, job: JobRecord) -> AttemptRecord | None:
    """The job's newest attempt, if it had one."""
    return view.get(AttemptRecord, job.id, job.attempt) if job.attempt else None


def _mine(job: JobRecord, actor: Actor, what: str) -> None:
    is_owner = actor.user == job.user and actor.works_in(job.org, job.project)
    require(is_owner or actor.administers(job.org, job.project), f"{what} this job", "its owner or the project's admin")


def _changed(tx: Writer, job: JobRecord) -> None:
    if not tx.change(job, version=job.version):
        raise Retry("DURE-6001", "the job changed at the same moment", "try again")


def _steer(store: Store, actor: Actor, name: str, what: str, steer: Steer, now_ms: int) -> JobBody:
    """Do it to the job, or to every member of the array, in one transaction.

    Of an array those that are in another state than it needs are left alone, unless all are.
    """
    with store.write() as tx:
        found = find_members(tx, actor, name)
        _mine(found[0], actor, what)
        refused = []
        for job in found:
            try:
                steer(tx, actor, job, now_ms)
            except Conflict as error:
                refused.append(error)
        if len(refused) == len(found):
            raise refused[0]
        arrays.refill(tx, found[0], now_ms)
        return _told(tx, found, now_ms)


def _told(tx: Reader, found: Sequence[JobRecord], now_ms: int) -> JobBody:
    """What the transaction has made of the job, or of all members of the array."""
    if len(found) > 1:
        return arrays.whole(tx, arrays.members_of(tx, found[0].array), lambda _job: "", now_ms)
    job = tx.get(JobRecord, found[0].id) or found[0]
    return job_body(job, newest_attempt(tx, job), now_ms=now_ms)


def cancel(store: Store, actor: Actor, name: str, now_ms: int) -> JobBody:
    """End a job or an array: at once what waits, by a stop order what is active; a repeat changes nothing."""
    return _steer(store, actor, name, "cancel", _cancel, now_ms)


def _cancel(tx: Writer, actor: Actor, job: JobRecord, now_ms: int) -> None:
    if job.state in TERMINAL_JOB_STATES or job.cancelled_by:
        return
    message, attempt = f"cancelled by {actor.user}", newest_attempt(tx, job)
    if job.state is JobState.ACTIVE and attempt is not None:
        job = replace(job, cancelled_by=actor.user, message=message)
        _stop(tx, attempt, now_ms)
    else:
        job = replace(job, state=JobState.CANCELLED, cancelled_by=actor.user, ended_at_ms=now_ms, message=message)
        tx.append(JobEnded(job.id, JobState.CANCELLED), now_ms)
    _changed(tx, job)


def _stop(tx: Writer, attempt: AttemptRecord, now_ms: int, reason: StopReason = StopReason.CANCEL) -> AttemptRecord:
    if attempt.state in (AttemptState.STOPPING, AttemptState.GONE):
        return attempt
    stopped = replace(attempt, state=AttemptState.STOPPING, stop_reason=reason, stop_at_ms=now_ms)
    if not tx.change(stopped, version=attempt.version):
        raise Retry("DURE-6001", "the attempt changed at the same moment", "try again")
    tx.append(AttemptStopping(attempt.job, attempt.number, reason), now_ms)
    return stopped


def hold(store: Store, actor: Actor, name: str, now_ms: int) -> JobBody:
    """Keep a queued job, or what waits of an array, from starting; raises Conflict when nothing of it waits.

    An administrator's hold outweighs the owner's: on a job that its owner holds it takes that hold's place.
    """
    return _steer(store, actor, name, "hold", _hold, now_ms)


def _hold(tx: Writer, actor: Actor, job: JobRecord, now_ms: int) -> None:
    by = "user" if actor.user == job.user else "admin"
    if job.state is JobState.HELD:
        if job.held_by in ("admin", by):
            return
        tx.append(JobReleased(job.id), now_ms)  # in the books one hold ends and the other begins: no new lifecycle
    elif job.state is not JobState.QUEUED:
        raise Conflict("DURE-6002", f"job {job.id} is {job.state}: only a queued job can be held", "dure cancel")
    _changed(tx, replace(job, state=JobState.HELD, held_by=by))
    tx.append(JobHeld(job.id, by), now_ms)


def release(store: Store, actor: Actor, name: str, now_ms: int) -> JobBody:
    """Queue a held job again, or all held members of an array; one held by an admin is released by an admin.

    Of a job that is held after a failure the attempt ends now, as it would at the end of that hold.
    """
    return _steer(store, actor, name, "release", _release, now_ms)


def _release(tx: Writer, actor: Actor, job: JobRecord, now_ms: int) -> None:
    if job.state is JobState.QUEUED or job.held_by == arrays.HOLDER:
        return
    attempt = newest_attempt(tx, job)
    if job.state is JobState.ACTIVE and attempt is not None and attempt.hold_until_ms:
        _stop(tx, attempt, now_ms, StopReason.FAIL)
        return
    if job.state is not JobState.HELD:
        raise Conflict("DURE-6002", f"job {job.id} is {job.state}: only a held job can be released", "")
    if job.held_by == "admin":
        require(actor.administers(job.org, job.project), "release a job that an admin holds", "the admin")
    tx.append(JobReleased(job.id), now_ms)
    if job.array and parse_array(job.array_text).is_limited:  # its turn is the array's to give, in this transaction
        tx.append(JobHeld(job.id, arrays.HOLDER), now_ms)
        _changed(tx, replace(job, held_by=arrays.HOLDER))
    else:
        _changed(tx, replace(job, state=JobState.QUEUED, held_by=""))
