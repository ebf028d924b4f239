"""What people read: lists of jobs, histories, reasons, GPUs, quota and usage; and who sees what of it."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.core.lifecycle import JobState
from scheduler.core.records import JobRecord
from scheduler.schema.bodies import JobBody, Listing, MemberRequest, ProjectRequest, UsageLine
from scheduler.services import job_views, jobs, registry, usage_views
from scheduler.services.job_views import JobFilter, list_jobs
from scheduler.services.quota import quota
from scheduler.services.submit import NotFound
from scheduler.services.usage_views import UsageScope, largest_gang
from scheduler.services.why import reasons, why
from scheduler.store.memory import MemoryReader
from tests.support.control_plane import ControlPlane

MINUTE = 60_000


def listed(
    plane: ControlPlane, user: str = "admin", wanted: JobFilter | None = None, cursor: int = 0, limit: int = 100
) -> Listing[JobBody]:
    """A page of jobs."""
    with plane.store.read() as view:
        actor = plane.actor(user)
        return list_jobs(view, actor, wanted or JobFilter(), reasons(view), cursor, limit, plane.now_ms)


@pytest.fixture
def busy(plane: ControlPlane) -> ControlPlane:
    """Jobs in every state: two of uni, the rest of acme."""
    plane.ended(plane.started(name="done"))
    plane.ended(plane.started(name="failed"), 2)
    plane.cancel(plane.submit(name="cancelled").id)
    plane.started(name="runs", gpus="h100:2")
    plane.submit(name="held", hold=True)
    plane.submit("colleague", name="waits", gpus="a100:1", tiers=["guaranteed"])
    plane.started("stranger", project="uni/vision", name="other-runs", tiers=["borrow"])
    plane.submit("stranger", project="uni/vision", name="other-waits", tiers=["guaranteed"])
    plane.pass_ms(1_000)
    plane.cycle()
    return plane


def names(page: Listing[JobBody]) -> list[str]:
    """Names of the jobs of a page, in order."""
    return [job.name for job in page.items]


LISTS: dict[str, tuple[str, JobFilter, list[str]]] = {
    "all that lives, newest first": (
        "admin",
        JobFilter(),
        ["other-waits", "other-runs", "waits", "held", "runs"],
    ),
    "with those that have ended": (
        "auditor",
        JobFilter(ended=True),
        ["other-waits", "other-runs", "waits", "held", "runs", "cancelled", "failed", "done"],
    ),
    "a member sees its project": ("member", JobFilter(), ["waits", "held", "runs"]),
    "another organisation sees its own": ("stranger", JobFilter(), ["other-waits", "other-runs"]),
    "an operator sees none": ("operator", JobFilter(), []),
    "nobody sees none": ("nobody", JobFilter(), []),
    "by organisation": ("admin", JobFilter(org="uni"), ["other-waits", "other-runs"]),
    "by project": ("admin", JobFilter(project="nlp"), ["waits", "held", "runs"]),
    "by user": ("admin", JobFilter(user="colleague"), ["waits"]),
    "by name": ("admin", JobFilter(name="runs"), ["runs"]),
    "by state": ("admin", JobFilter(state="Held"), ["held"]),
    "by a terminal state": ("admin", JobFilter(state="Failed"), ["failed"]),
    "a filter shows nobody more": ("stranger", JobFilter(org="acme"), []),
}


@pytest.mark.parametrize("case", LISTS.values(), ids=LISTS.keys())
def test_lists(busy: ControlPlane, case: tuple[str, JobFilter, list[str]]) -> None:
    user, wanted, expected = case
    page = listed(busy, user, wanted)
    assert (names(page), page.next) == (expected, "")


def test_pages(busy: ControlPlane) -> None:
    found, cursor = [], 0
    for _ in range(10):
        page = listed(busy, "admin", JobFilter(ended=True), cursor, 3)
        found += names(page)
        if not page.next:
            break
        cursor = int(page.next)
    assert found == names(listed(busy, "admin", JobFilter(ended=True)))


def test_no_more_is_read_than_the_page_needs(busy: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    select = MemoryReader.select

    def counted(view: Any, kind: type[Any], *where: Any, order: Any = (), limit: int = 1_000) -> list[Any]:
        if kind is JobRecord:
            asked.append(limit)
        return select(view, kind, *where, order=order, limit=limit)

    monkeypatch.setattr(MemoryReader, "select", counted)
    for user, limit, wanted in (("admin", 2, ["other-waits", "other-runs"]), ("member", 1, ["waits"])):
        asked.clear()
        assert names(listed(busy, user, limit=limit)) == wanted
        assert asked == [limit + 1]


def test_a_page_goes_on_past_jobs_that_are_hidden(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_views, "BATCH_MAX", 2)
    registry.create_project(plane.store, plane.actor(), ProjectRequest(org="acme", name="vision"), plane.now_ms)
    seen = [plane.submit(name=f"mine-{number}").id for number in range(3)]
    for number in range(3):
        plane.submit("org-admin", project="acme/vision", name=f"hidden-{number}")
    found: list[str] = []
    cursor = 0
    for _ in range(10):
        page = listed(plane, "member", cursor=cursor, limit=1)
        found += [job.id for job in page.items]
        if not page.next:
            break
        cursor = int(page.next)
    assert found == seen[::-1]


def test_who_left_a_project_is_listed_none_of_its_jobs(plane: ControlPlane) -> None:
    plane.add_member("stranger", "member", "project:acme/nlp")
    registry.create_project(plane.store, plane.actor(), ProjectRequest(org="acme", name="vision"), plane.now_ms)
    plane.add_member("stranger", "member", "project:acme/vision")
    plane.submit("stranger", name="left")
    assert names(listed(plane, "stranger")) == ["left"]
    request = MemberRequest(user="stranger", role="member", scope="project:acme/nlp")
    registry.remove_member(plane.store, plane.actor(), request, plane.now_ms)
    assert names(listed(plane, "stranger")) == []


def test_a_list_says_why_jobs_wait_or_where_they_are(busy: ControlPlane) -> None:
    reason = {job.name: job.reason for job in listed(busy).items}
    assert reason["held"] == "HeldByUser"
    assert reason["waits"] == "ShareBusy"
    assert reason["runs"] == ""


def test_a_body_shows_the_attempt(busy: ControlPlane) -> None:
    job = next(job for job in listed(busy).items if job.name == "runs")
    assert (job.state, job.attempt, job.attempt_state, job.tier) == ("Active", 1, "Running", "guaranteed")
    assert job.held_gpu_seconds == 2, "two GPUs for one second so far"
    assert job.started_at
    assert not job.ended_at


@pytest.mark.parametrize("state", ["Admitted", "Starting", "Stopping"])
def test_a_body_shows_where_an_active_job_is(plane: ControlPlane, state: str) -> None:
    job = plane.submit().id
    plane.cycle()
    if state != "Admitted":
        plane.report(plane.seen("starting", job))
    if state == "Stopping":
        plane.cancel(job)
    body = listed(plane).items[0]
    assert body.reason == ("Stopping(cancel)" if state == "Stopping" else "ClusterStarting")


# Histories.


def events(plane: ControlPlane, job: str) -> list[str]:
    """The history's words."""
    with plane.store.read() as view:
        record = view.get(JobRecord, job)
        assert record is not None
        return [event.event for event in job_views.job_events(view, record)]


def test_a_history(plane: ControlPlane) -> None:
    job = plane.started(retries=1)
    plane.pass_ms(MINUTE)
    plane.ended(job, 1)
    plane.pass_ms(MINUTE)
    plane.cycle()
    plane.pass_ms(MINUTE)
    plane.cancel(job)
    plane.report(plane.seen("notice", job, 2, reason="cancel"), plane.seen("gone", job, 2))
    assert events(plane, job) == [
        *("Queued", "Admitted", "RankStarted", "Starting"),
        *("Gone", "RankEnded", "Stopping", "Admitted"),
        *("Gone", "Notice", "Stopping", "Cancelled"),
    ]


# Why.


def test_why_a_job_waits(busy: ControlPlane) -> None:
    with busy.store.read() as view:
        told = why(view, busy.actor("colleague"), "waits", busy.now_ms)
        assert told.state == "Queued"
        assert [blocker.reason for blocker in told.blockers] == ["ShareBusy"]
        assert told.blockers[0].sentence
        assert told.cycle > 0
        with pytest.raises(NotFound):
            why(view, busy.actor("stranger"), "waits", busy.now_ms)


@pytest.mark.parametrize("name", ["done", "failed", "cancelled", "runs", "held", "waits"])
def test_every_job_has_a_why(busy: ControlPlane, name: str) -> None:
    user = "colleague" if name == "waits" else "member"
    with busy.store.read() as view:
        job = jobs.find_job(view, busy.actor(user), name)
        told = why(view, busy.actor(user), name, busy.now_ms)
    assert told.summary
    assert (told.job, told.state) == (job.id, str(job.state))
    assert bool(told.blockers) == (job.state in (JobState.QUEUED, JobState.HELD))


def test_why_names_no_other_tenant(plane: ControlPlane) -> None:
    plane.started("stranger", project="uni/vision", gpus="h100:4", nodes=2, tiers=["borrow"])
    job = plane.submit(gpus="h100:1").id
    plane.cycle()
    with plane.store.read() as view:
        told = why(view, plane.actor("member"), job, plane.now_ms)
    assert told.blockers
    assert "uni" not in told.model_dump_json().replace("university", "")
    assert "stranger" not in told.model_dump_json()


# GPUs and quota.


def test_gpus(busy: ControlPlane) -> None:
    with busy.store.read() as view:
        lines = {line.flavor: line for line in usage_views.gpus(view)}
    h100, a100 = lines["h100-80g"], lines["a100-80g"]
    assert (h100.nodes, h100.total, h100.healthy, h100.held, h100.free, h100.pending_jobs) == (2, 8, 8, 3, 5, 1)
    assert (a100.total, a100.free, a100.largest_gang, a100.pending_jobs) == (2, 2, "1x2", 1)


# free GPUs of each node -> the largest gang
GANGS = {
    (): "-",
    (0, 0): "-",
    (4,): "1x4",
    (4, 4): "2x4",
    (1, 4): "5x1",  # more GPUs than one worker of 4
    (3, 2): "5x1",
    (2, 2, 2): "3x2",
    (8, 1): "9x1",
}


@pytest.mark.parametrize(("free", "gang"), GANGS.items())
def test_the_largest_gang(free: tuple[int, ...], gang: str) -> None:
    assert largest_gang(free) == gang


QUOTA_SEEN = {
    "admin": {"pool", "sme", "university", "acme", "nlp", "uni", "vision"},
    "member": {"pool", "sme", "university", "acme", "nlp"},
    "stranger": {"pool", "sme", "university", "uni", "vision"},
    "operator": {"pool", "sme", "university"},
    "nobody": set(),
}


@pytest.mark.parametrize("user", QUOTA_SEEN)
def test_quota(plane: ControlPlane, user: str) -> None:
    plane.started(gpus="h100:2")
    plane.started("stranger", project="uni/vision", gpus="h100:1", tiers=["borrow"])
    with plane.store.read() as view:
        lines = quota(view, plane.policies, plane.actor(user), "", "h100-80g", plane.now_ms)
    by_name = {line.name: line for line in lines if line.level != "user"}
    assert set(by_name) == QUOTA_SEEN[user]
    if not by_name:
        return
    sme, pool = by_name["sme"], by_name["pool"]
    assert (sme.guarantee, sme.held_guaranteed, sme.held_borrow) == (4_000, 2_000, 0)
    assert (pool.held_guaranteed, pool.held_borrow, pool.held_scavenge) == (2_000, 1_000, 0)


def test_quota_of_one_organisation_and_flavor(plane: ControlPlane) -> None:
    with plane.store.read() as view:
        lines = quota(view, plane.policies, plane.actor(), "acme", "", plane.now_ms)
    assert {line.flavor for line in lines} == {"h100-80g", "a100-80g"}
    assert {line.name for line in lines} == {"acme", "nlp"}


# Usage.


def used(plane: ControlPlane, user: str, scope: UsageScope) -> list[UsageLine]:
    """Lines of usage."""
    with plane.store.read() as view:
        return usage_views.usage(view, plane.actor(user), scope, plane.now_ms)


def test_usage_posted_and_not_yet(plane: ControlPlane) -> None:
    first = plane.started(gpus="h100:2")
    plane.pass_ms(MINUTE)
    plane.ended(first)
    plane.settle()
    plane.started(tiers=["borrow"])
    plane.pass_ms(MINUTE)
    whole = UsageScope(0, plane.now_ms + 1)
    done, runs = sorted(used(plane, "member", whole), key=lambda line: line.tier, reverse=True)
    assert (done.jobs, done.held_milli_gpu_ms, done.billed_milli_gpu_ms) == (1, 2_000 * MINUTE, 2_000 * MINUTE)
    # 2 GPU-minutes at 1 won a second, of which the tenant pays 0.1
    assert (done.posted_microwon, done.unposted_milli_gpu_ms) == (12_000_000, 0)
    assert (runs.held_milli_gpu_ms, runs.unposted_milli_gpu_ms, runs.posted_microwon) == (0, 1_000 * MINUTE, 0)


@pytest.mark.parametrize("posted", [False, True])
def test_who_left_a_project_reads_no_usage_of_it(plane: ControlPlane, posted: bool) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    if posted:
        plane.ended(job)
        plane.settle()
    whole = UsageScope(0, plane.now_ms + 1)
    assert len(used(plane, "member", whole)) == 1
    request = MemberRequest(user="member", role="member", scope="project:acme/nlp")
    registry.remove_member(plane.store, plane.actor(), request, plane.now_ms)
    assert used(plane, "member", whole) == []


def test_usage_by_scope_and_actor(plane: ControlPlane) -> None:
    for user, project in (("member", "acme/nlp"), ("stranger", "uni/vision")):
        job = plane.started(user, project=project, tiers=["borrow"])
        plane.pass_ms(MINUTE)
        plane.ended(job)
    plane.settle()
    end_ms = plane.now_ms + 1
    seen = {
        user: {line.org for line in used(plane, user, UsageScope(0, end_ms))}
        for user in ("admin", "auditor", "org-admin", "colleague", "stranger", "nobody")
    }
    both = {"acme", "uni"}
    assert seen == {
        "admin": both,
        "auditor": both,
        "org-admin": {"acme"},
        "colleague": {"acme"},
        "stranger": {"uni"},
        "nobody": set(),
    }
    assert {line.org for line in used(plane, "admin", UsageScope(0, end_ms, org="uni"))} == {"uni"}
    assert used(plane, "admin", UsageScope(0, end_ms, org="uni", project="nlp")) == []
    assert used(plane, "admin", UsageScope(end_ms, end_ms + 1)) == []
    assert len(used(plane, "admin", UsageScope(plane.now_ms - MINUTE, end_ms))) == 1
