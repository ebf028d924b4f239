"""Cancel, hold and release in every state, by everybody; and how a job is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.errors import Fatal
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.schema.bodies import MemberRequest
from scheduler.services import jobs, registry
from scheduler.services.actors import Forbidden
from scheduler.services.submit import Conflict, NotFound
from tests.support.control_plane import ControlPlane

Prepare = Callable[[ControlPlane], str]


def queued(plane: ControlPlane) -> str:
    """A job that waits."""
    return plane.submit().id


def held(plane: ControlPlane) -> str:
    """A job that its owner holds."""
    return plane.submit(hold=True).id


def admitted(plane: ControlPlane) -> str:
    """A job whose attempt has not begun."""
    job = plane.submit().id
    plane.cycle()
    return job


def running(plane: ControlPlane) -> str:
    """A job that runs."""
    return plane.started()


def stopping(plane: ControlPlane) -> str:
    """A job whose only rank has ended well; it is not gone yet."""
    job = plane.started()
    plane.report(plane.seen("rank-ended", job, rank=0, exit_code=0, evidence="observed"))
    return job


def ending(exit_code: int) -> Prepare:
    """A job that has ended with this code."""

    def prepare(plane: ControlPlane) -> str:
        job = plane.started()
        plane.ended(job, exit_code)
        return job

    return prepare


def cancelled(plane: ControlPlane) -> str:
    """A job that was cancelled while it waited."""
    job = plane.submit().id
    plane.cancel(job)
    return job


STATES: dict[str, Prepare] = {
    "Queued": queued,
    "Held": held,
    "Admitted": admitted,
    "Running": running,
    "Stopping": stopping,
    "Succeeded": ending(0),
    "Failed": ending(3),
    "Cancelled": cancelled,
}
# Action -> state -> (job's state, attempt's stop reason, facts written), or the code of the refusal.
CANCEL: dict[str, tuple[str, str, list[str]]] = {
    "Queued": ("Cancelled", "", ["JobEnded"]),
    "Held": ("Cancelled", "", ["JobEnded"]),
    "Admitted": ("Active", "cancel", ["AttemptStopping"]),
    "Running": ("Active", "cancel", ["AttemptStopping"]),
    "Stopping": ("Active", "finish", []),
    "Succeeded": ("Succeeded", "finish", []),
    "Failed": ("Failed", "fail", []),
    "Cancelled": ("Cancelled", "", []),
}


@pytest.mark.parametrize("state", STATES)
def test_cancel(plane: ControlPlane, state: str) -> None:
    job = STATES[state](plane)
    before = len(plane.facts())
    plane.pass_ms(1_000)
    body = plane.cancel(job)
    job_state, reason, facts = CANCEL[state]
    assert (body.state, plane.facts(before)) == (job_state, facts)
    record = plane.job(job)
    attempt = plane.attempt(job) if record.attempt else None
    assert str(attempt.stop_reason if attempt and attempt.stop_reason else "") == reason
    if job_state == "Cancelled":
        assert (record.cancelled_by, record.message) == ("member", "cancelled by member")
        assert record.ended_at_ms > 0
    assert plane.cancel(job) == body, "a repeat changes nothing"
    assert plane.facts(before) == facts


@pytest.mark.parametrize("state", ["Admitted", "Running", "Stopping"])
def test_a_cancelled_attempt_keeps_its_gpus_until_it_is_gone(plane: ControlPlane, state: str) -> None:
    job = STATES[state](plane)
    plane.cancel(job)
    assert plane.job(job).cancelled_by == "member"
    assert sum(plane.node(node).held for node in ("n1", "n2")) == 1
    plane.report(plane.seen("gone", job, exit_code=143, evidence="observed"))
    assert sum(plane.node(node).held for node in ("n1", "n2")) == 0
    assert plane.job(job).state is JobState.CANCELLED


def test_a_cancelled_job_that_ends_well_in_its_grace_has_succeeded(plane: ControlPlane) -> None:
    job = plane.started()
    plane.cancel(job)
    plane.ended(job, 0)
    assert plane.job(job).state is JobState.SUCCEEDED
    assert plane.attempt(job).stop_reason is StopReason.CANCEL, "the first reason stays"


def test_a_rank_that_started_after_the_order_counts_as_having_run(plane: ControlPlane) -> None:
    job = admitted(plane)
    plane.cancel(job)
    plane.report(plane.seen("starting", job), plane.seen("rank-started", job, rank=0))
    assert plane.attempt(job).running_at_ms > 0
    assert plane.attempt(job).state is AttemptState.STOPPING
    plane.ended(job, 0)
    assert plane.job(job).state is JobState.SUCCEEDED


HOLD: dict[str, str] = dict.fromkeys(STATES, "DURE-6002") | {"Queued": "Held", "Held": "Held"}
RELEASE: dict[str, str] = dict.fromkeys(STATES, "DURE-6002") | {"Queued": "Queued", "Held": "Queued"}


@pytest.mark.parametrize(("service", "table"), [(jobs.hold, HOLD), (jobs.release, RELEASE)], ids=["hold", "release"])
@pytest.mark.parametrize("state", STATES)
def test_hold_and_release(plane: ControlPlane, service: Any, table: dict[str, str], state: str) -> None:
    job = STATES[state](plane)
    before = plane.job(job)
    wanted = table[state]
    if wanted.startswith("DURE"):
        with pytest.raises(Conflict) as refused:
            service(plane.store, plane.actor("member"), job, plane.now_ms)
        assert refused.value.code == wanted
        assert plane.job(job) == before
        return
    body = service(plane.store, plane.actor("member"), job, plane.now_ms)
    assert body.state == plane.job(job).state == wanted
    facts = len(plane.facts())
    assert service(plane.store, plane.actor("member"), job, plane.now_ms) == body, "a repeat changes nothing"
    assert len(plane.facts()) == facts


def test_a_held_job_is_not_started_and_a_released_one_is(plane: ControlPlane) -> None:
    job = queued(plane)
    jobs.hold(plane.store, plane.actor("member"), job, plane.now_ms)
    assert plane.cycle().admitted == ()
    jobs.release(plane.store, plane.actor("member"), job, plane.now_ms)
    assert plane.cycle().admitted == (job,)


def test_what_an_admin_holds_only_an_admin_releases(plane: ControlPlane) -> None:
    job = queued(plane)
    assert jobs.hold(plane.store, plane.actor("project-admin"), job, plane.now_ms).reason == "HeldByAdmin"
    assert plane.job(job).held_by == "admin"
    with pytest.raises(Forbidden):
        jobs.release(plane.store, plane.actor("member"), job, plane.now_ms)
    assert jobs.release(plane.store, plane.actor("org-admin"), job, plane.now_ms).state == "Queued"
    assert plane.job(job).held_by == ""


# Who holds a job that its owner holds already -> who may release it after that.
OVER: dict[str, tuple[str, list[str]]] = {
    "member": ("user", ["member", "project-admin", "admin"]),
    "project-admin": ("admin", ["project-admin", "admin"]),
    "admin": ("admin", ["project-admin", "admin"]),
}


@pytest.mark.parametrize("holder", OVER)
def test_an_admins_hold_outweighs_the_owners(plane: ControlPlane, holder: str) -> None:
    by, releasers = OVER[holder]
    for user in ("member", "project-admin", "admin"):
        job = held(plane)
        plane.cycle()
        before = len(plane.facts())
        body = jobs.hold(plane.store, plane.actor(holder), job, plane.now_ms)
        assert (body.state, body.reason) == ("Held", "HeldByAdmin" if by == "admin" else "HeldByUser")
        assert plane.job(job).held_by == by
        assert plane.facts(before) == (["JobReleased", "JobHeld"] if by == "admin" else [])
        for again in (holder, "member"):
            assert jobs.hold(plane.store, plane.actor(again), job, plane.now_ms) == body, "a repeat changes nothing"
        assert plane.cycle().admitted == ()
        if user in releasers:
            assert jobs.release(plane.store, plane.actor(user), job, plane.now_ms).state == "Queued"
            assert job in plane.cycle().admitted
            continue
        with pytest.raises(Forbidden):
            jobs.release(plane.store, plane.actor(user), job, plane.now_ms)
        assert plane.job(job).state is JobState.HELD


MAY: dict[str, type[Fatal] | None] = {
    "member": None,
    "colleague": Forbidden,
    "project-admin": None,
    "org-admin": None,
    "admin": None,
    "org-auditor": Forbidden,
    "auditor": Forbidden,
    "stranger": NotFound,
    "operator": NotFound,
    "nobody": NotFound,
}


@pytest.mark.parametrize("service", [jobs.cancel, jobs.hold, jobs.release], ids=["cancel", "hold", "release"])
@pytest.mark.parametrize("user", MAY)
def test_who_may(plane: ControlPlane, service: Any, user: str) -> None:
    job = held(plane) if service is jobs.release else queued(plane)
    refusal = MAY[user]
    if refusal is None:
        service(plane.store, plane.actor(user), job, plane.now_ms)
        return
    with pytest.raises(refusal):
        service(plane.store, plane.actor(user), job, plane.now_ms)


def leave(plane: ControlPlane, user: str, role: str, scope: str) -> None:
    """Take a role away."""
    request = MemberRequest.model_validate({"user": user, "role": role, "scope": scope})
    registry.remove_member(plane.store, plane.actor(), request, plane.now_ms)


@pytest.mark.parametrize("service", [jobs.cancel, jobs.hold, jobs.release], ids=["cancel", "hold", "release"])
@pytest.mark.parametrize("by_name", [False, True])
def test_an_owner_who_left_the_project_neither_sees_nor_steers_the_job(
    plane: ControlPlane, service: Any, by_name: bool
) -> None:
    job = plane.submit(name="mine", hold=True).id
    leave(plane, "member", "member", "project:acme/nlp")
    before = plane.job(job)
    for _ in range(2):  # neither without any role nor with one elsewhere
        with pytest.raises(NotFound):
            service(plane.store, plane.actor("member"), "mine" if by_name else job, plane.now_ms)
        plane.add_member("member", "member", "project:uni/vision")
    assert plane.job(job) == before


def test_an_owner_who_only_reads_by_now_does_not_steer(plane: ControlPlane) -> None:
    job = queued(plane)
    leave(plane, "member", "member", "project:acme/nlp")
    plane.add_member("member", "auditor", "org:acme")
    with plane.store.read() as view:
        assert jobs.find_job(view, plane.actor("member"), job).id == job
    for service in (jobs.cancel, jobs.hold, jobs.release):
        with pytest.raises(Forbidden):
            service(plane.store, plane.actor("member"), job, plane.now_ms)


def test_a_name_means_the_newest_job_that_one_may_still_see(plane: ControlPlane) -> None:
    plane.add_member("stranger", "member", "project:acme/nlp")
    seen = plane.submit("stranger", project="uni/vision", name="train").id
    plane.submit("stranger", name="train")
    leave(plane, "stranger", "member", "project:acme/nlp")
    with plane.store.read() as view:
        assert jobs.find_job(view, plane.actor("stranger"), "train").id == seen


def test_a_job_by_its_name_is_the_newest_of_that_name(plane: ControlPlane) -> None:
    plane.submit(name="train")
    newest = plane.submit(name="train").id
    plane.submit(name="other")
    with plane.store.read() as view:
        assert jobs.find_job(view, plane.actor("member"), "train").id == newest
        with pytest.raises(NotFound):
            jobs.find_job(view, plane.actor("colleague"), "train")


def test_a_name_that_is_a_hidden_jobs_id_is_still_my_name(plane: ControlPlane) -> None:
    hidden = plane.submit("stranger", project="uni/vision").id
    mine = plane.submit(name=hidden).id
    with plane.store.read() as view:
        assert jobs.find_job(view, plane.actor("member"), hidden).id == mine


def test_absent_and_hidden_are_the_same_answer(plane: ControlPlane) -> None:
    hidden = plane.submit("stranger", project="uni/vision").id
    answers = []
    for name in (hidden, "absent"):
        with plane.store.read() as view, pytest.raises(NotFound) as refused:
            jobs.find_job(view, plane.actor("member"), name)
        answers.append((refused.value.code, refused.value.message.replace(name, "NAME"), refused.value.fix))
    assert answers[0] == answers[1]
