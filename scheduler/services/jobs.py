"""Cancel, hold and release a job; find it by id or by its owner's name for it."""

from __future__ import annotations

from dataclasses import replace

from scheduler.core.errors import Retry
from scheduler.core.facts import AttemptStopping, JobEnded, JobHeld, JobReleased
from scheduler.core.lifecycle import TERMINAL_JOB_STATES, AttemptState, JobState, StopReason
from scheduler.core.records import AttemptRecord, JobRecord
from scheduler.schema.bodies import JobBody
from scheduler.services.actors import Actor, require
from scheduler.services.job_bodies import job_body
from scheduler.services.ports import Reader, Store, Where, Writer
from scheduler.services.submit import Conflict, NotFound

NAMED_MAX = 1_000
"""How many jobs of one name are looked through for one that the actor may still see."""


def find_job(view: Reader, actor: Actor, name: str) -> JobRecord:
    """The job with this id, or the actor's newest job of this name; raises NotFound alike for absent and hidden.

    Whose job it is gives no right by itself: who left a project sees nothing of it any more.
    """
    job = view.get(JobRecord, name)
    if job is not None and actor.sees_project(job.org, job.project):
        return job
    mine = (Where("user", "=", actor.user), Where("name", "=", name))
    for limit in (1, NAMED_MAX):  # the newest is nearly always the one
        for job in view.select(JobRecord, *mine, order=("-submitted_seq",), limit=limit):
            if actor.sees_project(job.org, job.project):
                return job
    raise NotFound("DURE-3001", f"no job {name} that you may see", "dure queue --all")


def newest_attempt(view: Reader, job: JobRecord) -> AttemptRecord | None:
    """The job's newest attempt, if it had one."""
    return view.get(AttemptRecord, job.id, job.attempt) if job.attempt else None


def _mine(job: JobRecord, actor: Actor, what: str) -> None:
    is_owner = actor.user == job.user and actor.works_in(job.org, job.project)
    require(is_owner or actor.administers(job.org, job.project), f"{what} this job", "its owner or the project's admin")


def _changed(tx: Writer, job: JobRecord) -> None:
    if not tx.change(job, version=job.version):
        raise Retry("DURE-6001", "the job changed at the same moment", "try again")


def cancel(store: Store, actor: Actor, name: str, now_ms: int) -> JobBody:
    """End a job: at once when it waits, by a stop order when it is active; a repeat changes nothing."""
    with store.write() as tx:
        job = find_job(tx, actor, name)
        _mine(job, actor, "cancel")
        attempt = newest_attempt(tx, job)
        if job.state in TERMINAL_JOB_STATES or job.cancelled_by:
            return job_body(job, attempt, now_ms=now_ms)
        if job.state is JobState.ACTIVE and attempt is not None:
            job = replace(job, cancelled_by=actor.user, message=f"cancelled by {actor.user}")
            attempt = _stop(tx, attempt, now_ms)
        else:
            message = f"cancelled by {actor.user}"
            job = replace(job, state=JobState.CANCELLED, cancelled_by=actor.user, ended_at_ms=now_ms, message=message)
            tx.append(JobEnded(job.id, JobState.CANCELLED), now_ms)
        _changed(tx, job)
        return job_body(job, attempt, now_ms=now_ms)


def _stop(tx: Writer, attempt: AttemptRecord, now_ms: int) -> AttemptRecord:
    if attempt.state in (AttemptState.STOPPING, AttemptState.GONE):
        return attempt
    stopped = replace(attempt, state=AttemptState.STOPPING, stop_reason=StopReason.CANCEL, stop_at_ms=now_ms)
    if not tx.change(stopped, version=attempt.version):
        raise Retry("DURE-6001", "the attempt changed at the same moment", "try again")
    tx.append(AttemptStopping(attempt.job, attempt.number, StopReason.CANCEL), now_ms)
    return stopped


def hold(store: Store, actor: Actor, name: str, now_ms: int) -> JobBody:
    """Keep a queued job from starting; raises Conflict when it is neither queued nor held.

    An administrator's hold outweighs the owner's: on a job that its owner holds it takes that hold's place.
    """
    with store.write() as tx:
        job = find_job(tx, actor, name)
        _mine(job, actor, "hold")
        by = "user" if actor.user == job.user else "admin"
        if job.state is JobState.HELD:
            if job.held_by == "admin" or by == "user":
                return job_body(job, newest_attempt(tx, job), now_ms=now_ms)
            tx.append(JobReleased(job.id), now_ms)  # in the books one hold ends and the other begins: no new lifecycle
        elif job.state is not JobState.QUEUED:
            raise Conflict("DURE-6002", f"job {job.id} is {job.state}: only a queued job can be held", "dure cancel")
        held = replace(job, state=JobState.HELD, held_by=by)
        _changed(tx, held)
        tx.append(JobHeld(job.id, by), now_ms)
        return job_body(held, newest_attempt(tx, job), now_ms=now_ms)


def release(store: Store, actor: Actor, name: str, now_ms: int) -> JobBody:
    """Queue a held job again; one held by an admin is released by an admin."""
    with store.write() as tx:
        job = find_job(tx, actor, name)
        _mine(job, actor, "release")
        if job.state is JobState.QUEUED:
            return job_body(job, newest_attempt(tx, job), now_ms=now_ms)
        if job.state is not JobState.HELD:
            raise Conflict("DURE-6002", f"job {job.id} is {job.state}: only a held job can be released", "")
        if job.held_by == "admin":
            require(actor.administers(job.org, job.project), "release a job that an admin holds", "the admin")
        released = replace(job, state=JobState.QUEUED, held_by="")
        _changed(tx, released)
        tx.append(JobReleased(job.id), now_ms)
        return job_body(released, newest_attempt(tx, job), now_ms=now_ms)
