"""The operators' side: assignments, what may be forgotten, logs and packages; and what each role may do."""

from __future__ import annotations

import hashlib
import json

import pytest

from scheduler.core.errors import Fatal
from scheduler.schema.bodies import PackageAck, PullRequest
from scheduler.services import assignments, logs, packages
from scheduler.services.actors import SCOPES_BY_ROLE, Actor, Forbidden
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.submit import NotFound, Refused
from tests.support.control_plane import CLUSTER, ControlPlane

MINUTE = 60_000


def test_an_assignment_says_all_that_an_operator_needs(plane: ControlPlane) -> None:
    digest = hashlib.sha256(b"zip").hexdigest()
    plane.packages.put(digest, b"zip")
    job = plane.submit(
        gpus="h100:2",
        nodes=2,
        env={"SEED": "1"},
        setup="pip list",
        entrypoint="ray",
        package_sha256=digest,
        time_seconds=600,
    ).id
    plane.cycle()
    (wanted,) = plane.pull().assignments
    assert (wanted.job, wanted.attempt, wanted.org, wanted.project, wanted.user) == (job, 1, "acme", "nlp", "member")
    assert (wanted.tier, wanted.flavor, wanted.time_limit_ms) == ("guaranteed", "h100-80g", 600_000)
    assert (wanted.entrypoint, wanted.run, wanted.setup) == ("ray", "python train.py", "pip list")
    assert (wanted.env, wanted.package_sha256, wanted.checkpoint_key) == ({"SEED": "1"}, digest, job)
    placed = json.loads(plane.attempt(job).ranks_json)
    assert [rank.model_dump() for rank in wanted.ranks] == placed
    assert wanted.stop is None


def test_an_attempt_is_assigned_until_it_is_gone(plane: ControlPlane) -> None:
    job = plane.submit().id
    assert plane.pull().assignments == []
    plane.cycle()
    for report in ("starting", "rank-started", "rank-ended", "gone"):
        assert [item.job for item in plane.pull().assignments] == [job]
        rank = {"rank": 0} if report.startswith("rank") else {}
        code = {"exit_code": 0} if report in ("rank-ended", "gone") else {}
        plane.report(plane.seen(report, job, **rank, **code))
    assert plane.pull().assignments == []


# tier -> (grace of an assignment, grace of a cancellation: never longer than 30 s)
GRACE = {"guaranteed": (120_000, 30_000), "borrow": (60_000, 30_000), "scavenge": (5_000, 5_000)}


@pytest.mark.parametrize("tier", GRACE)
def test_grace(plane: ControlPlane, tier: str) -> None:
    job = plane.submit(tiers=[tier]).id
    plane.cycle()
    assert plane.pull().assignments[0].grace_ms == GRACE[tier][0]
    plane.cancel(job)
    stop = plane.pull().assignments[0].stop
    assert stop is not None
    assert (stop.reason, stop.grace_ms) == ("cancel", GRACE[tier][1])


@pytest.mark.parametrize("reason", ["finish", "fail", "lost"])
def test_what_the_cluster_saw_is_no_order(plane: ControlPlane, reason: str) -> None:
    job = plane.started()
    plane.report(plane.seen("notice", job, reason=reason))
    assert plane.attempt(job).stop_reason == reason
    assert plane.pull().assignments[0].stop is None


def test_what_may_be_forgotten(plane: ControlPlane) -> None:
    job = plane.started()
    mine = f"d-{job}-a1"
    others = ["d-unknown-a1", f"d-{job}-a2", f"d-{job}-ax", "something", "d--a1", mine]
    assert plane.pull(*others).forget == [], "it runs"
    plane.pass_ms(MINUTE)
    plane.ended(job)
    assert plane.pull(*others).forget == [], "it is gone, but its usage is not in the ledger"
    plane.settle()
    assert plane.pull(*others).forget == [mine]


def test_another_clusters_attempt_is_not_forgotten(plane: ControlPlane) -> None:
    plane.add_member("operator", "operator", "cluster:other")
    job = plane.started()
    plane.pass_ms(MINUTE)
    plane.ended(job)
    plane.settle()
    request = PullRequest(existing=[f"d-{job}-a1"])
    body = assignments.pull(
        plane.store, plane.policies, AttemptTokens("key"), plane.actor("operator"), "other", request, plane.now_ms
    )
    assert (body.assignments, body.forget) == ([], [])


@pytest.mark.parametrize("user", ["admin", "auditor", "org-admin", "member", "nobody"])
def test_only_its_operator_pulls(plane: ControlPlane, user: str) -> None:
    with pytest.raises(Forbidden):
        plane.pull(user=user)


# Logs.


def append(plane: ControlPlane, job: str, offset: int, content: bytes, attempt: int = 1, user: str = "operator") -> int:
    """Append output of rank 0."""
    actor = plane.actor(user)
    return logs.append_log(plane.store, plane.logs, actor, CLUSTER, job, attempt, 0, offset, content).size


def test_logs_are_appended_by_offset(plane: ControlPlane) -> None:
    job = plane.started()
    sizes = [append(plane, job, 0, b"abc"), append(plane, job, 0, b"abc"), append(plane, job, 2, b"cde")]
    assert sizes == [3, 3, 5]
    assert append(plane, job, 9, b"later") == 5, "a gap is refused by the present length"
    with plane.store.read() as view:
        part = logs.read_log(view, plane.logs, plane.actor("member"), job, 0, 0, 1, 3)
        assert (part.content, part.size, part.attempt, part.job_state) == (b"bcd", 5, 1, "Active")
        with pytest.raises(NotFound):
            logs.read_log(view, plane.logs, plane.actor("member"), job, 2, 0, 0, 10)
        with pytest.raises(NotFound):
            logs.read_log(view, plane.logs, plane.actor("stranger"), job, 1, 0, 0, 10)


def test_a_job_without_an_attempt_has_an_empty_log(plane: ControlPlane) -> None:
    job = plane.submit().id
    with plane.store.read() as view:
        part = logs.read_log(view, plane.logs, plane.actor("member"), job, 0, 0, 0, 10)
    assert (part.content, part.size, part.attempt, part.job_state) == (b"", 0, 0, "Queued")


def test_what_is_not_appended(plane: ControlPlane) -> None:
    job = plane.started()
    with pytest.raises(NotFound):
        append(plane, job, 0, b"x", attempt=2)
    with pytest.raises(NotFound):
        append(plane, "unknown", 0, b"x")
    with pytest.raises(Forbidden):
        append(plane, job, 0, b"x", user="member")
    with pytest.raises(Refused) as refused:
        append(plane, job, logs.LOG_BYTES_MAX, b"x")
    assert refused.value.code == "DURE-2110"
    assert plane.logs.size(job, 1, 0) == 0


# Packages.


def kept(plane: ControlPlane, digest: str, *parts: bytes) -> PackageAck:
    """Send a package in parts."""
    upload = packages.receive_package(plane.packages, digest)
    for part in parts:
        upload.write(part)
    return packages.keep_package(upload, digest, sum(map(len, parts)))


def test_packages(plane: ControlPlane) -> None:
    content = b"a work directory"
    digest = hashlib.sha256(content).hexdigest()
    member, operator = plane.actor("member"), plane.actor("operator")
    packages.check_sender(member)
    first = kept(plane, digest, content[:5], content[5:])
    assert (first.size, first.new) == (len(content), True)
    assert not kept(plane, digest, content).new
    assert packages.find_package(plane.packages, member, digest) == len(content)
    assert packages.fetch_package(plane.packages, operator, digest) == content
    with pytest.raises(Forbidden):
        packages.fetch_package(plane.packages, member, digest)
    with pytest.raises(NotFound):
        packages.find_package(plane.packages, member, "0" * 64)
    with pytest.raises(Fatal):
        kept(plane, "0" * 64, content)
    for service in (packages.find_package, packages.fetch_package):
        with pytest.raises(Forbidden):
            service(plane.packages, plane.actor("nobody"), digest)
    with pytest.raises(Forbidden):
        packages.check_sender(plane.actor("nobody"))


# What a role may do; the default is nothing.

MATRIX: dict[tuple[str, str], set[str]] = {
    ("admin", "all"): {"is_admin", "reads_all", "administers", "works_in", "reads_org", "sees_org", "sees_project"},
    ("auditor", "all"): {"reads_all", "reads_org", "sees_org", "sees_project"},
    ("org-admin", "org:acme"): {"administers", "works_in", "reads_org", "sees_org", "sees_project"},
    ("auditor", "org:acme"): {"reads_org", "sees_org", "sees_project"},
    ("project-admin", "project:acme/nlp"): {"administers", "works_in", "sees_org", "sees_project"},
    ("member", "project:acme/nlp"): {"works_in", "sees_org", "sees_project"},
    ("operator", "cluster:site"): {"operates"},
    # Elsewhere, or a name that only begins the same.
    ("org-admin", "org:uni"): set(),
    ("auditor", "org:acm"): set(),
    ("member", "project:acme/nlp2"): {"sees_org"},
    ("project-admin", "project:acme/other"): {"sees_org"},
    ("member", "project:acme2/nlp"): set(),
    ("operator", "cluster:site2"): set(),
    # A role outside its scope is no role.
    ("admin", "org:acme"): {"sees_org"},
    ("member", "org:acme"): {"sees_org"},
    ("operator", "all"): set(),
}


def rights(actor: Actor) -> set[str]:
    """What an actor may do with organisation acme, project nlp and cluster site."""
    found = {
        "is_admin": actor.is_admin,
        "reads_all": actor.reads_all,
        "administers": actor.administers("acme", "nlp"),
        "works_in": actor.works_in("acme", "nlp"),
        "reads_org": actor.reads_org("acme"),
        "sees_org": actor.sees_org("acme"),
        "sees_project": actor.sees_project("acme", "nlp"),
        "operates": actor.operates("site"),
    }
    return {name for name, holds in found.items() if holds}


@pytest.mark.parametrize("grant", MATRIX, ids=" in ".join)
def test_rights(grant: tuple[str, str]) -> None:
    assert rights(Actor("somebody", frozenset({grant}))) == MATRIX[grant]


def test_no_grants_no_rights() -> None:
    assert rights(Actor("nobody", frozenset())) == set()


def test_a_projects_admin_does_not_administer_the_organisation() -> None:
    actor = Actor("somebody", frozenset({("project-admin", "project:acme/nlp")}))
    assert not actor.administers("acme")
    assert not actor.administers("acme", "other")
    assert actor.orgs == ("acme",)


def test_every_role_is_in_the_matrix() -> None:
    assert {role for role, _ in MATRIX} == set(SCOPES_BY_ROLE)
