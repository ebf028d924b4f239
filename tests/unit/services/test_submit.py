"""Submit: every refusal with its code, one job per key, and what a new job looks like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from scheduler.core.errors import DuplicateRecord, Fatal, Retry
from scheduler.core.records import IdempotencyRecord, JobRecord, OrgRecord, ProjectRecord
from scheduler.services import submit as service
from scheduler.services.actors import Forbidden
from scheduler.services.submit import Invalid, NotFound, Refused, resolve_flavor
from tests.support.control_plane import POLICY, ControlPlane

NO_PACKAGE = "0" * 64


@dataclass(frozen=True)
class Case:
    """A submission that is refused."""

    code: str
    error: type[Fatal]
    user: str = "member"
    task: dict[str, Any] = field(default_factory=dict)
    key: str = "key"


REFUSED = {
    "project of another organisation": Case("DURE-3002", NotFound, user="stranger"),
    "no roles at all": Case("DURE-3002", NotFound, user="nobody"),
    "project that is not there": Case("DURE-3002", NotFound, task={"project": "acme/other"}),
    "project that is not there, for the administrator": Case("DURE-3002", NotFound, "admin", {"project": "acme/other"}),
    "organisation that is not there": Case("DURE-3002", NotFound, "admin", {"project": "nowhere/nlp"}),
    "may read the project only": Case("DURE-4003", Forbidden, user="org-auditor"),
    "auditor of all": Case("DURE-4003", Forbidden, user="auditor"),
    "unknown flavor": Case("DURE-1104", Invalid, task={"gpus": "b200:1"}),
    "empty key": Case("DURE-1010", Invalid, key=""),
    "key of 129 characters": Case("DURE-1010", Invalid, key="k" * 129),
    "key with a line break": Case("DURE-1010", Invalid, key="a\nb"),
    "9 GPUs > 8 a job": Case("DURE-2101", Refused, task={"gpus": "h100:3", "nodes": 3}),
    "7201 s > 2 h": Case("DURE-2102", Refused, task={"time_seconds": 7_201}),
    "package not sent": Case("DURE-1107", Invalid, task={"package_sha256": NO_PACKAGE}),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(plane: ControlPlane, case: Case) -> None:
    before = plane.facts()
    with pytest.raises(case.error) as refused:
        service.submit(
            plane.store,
            plane.policies,
            plane.packages,
            plane.task(**case.task),
            plane.actor(case.user),
            case.key,
            "newjob",
            plane.now_ms,
        )
    assert refused.value.code == case.code
    assert refused.value.fix
    assert plane.facts() == before
    assert plane.rows(JobRecord) == plane.rows(IdempotencyRecord) == []


def change(plane: ControlPlane, kind: type[Any], key: tuple[str, ...], **fields: Any) -> None:
    """Put a record into a state that no service makes yet."""
    with plane.store.write() as tx:
        row = tx.get(kind, *key)
        assert row is not None
        assert tx.change(replace(row, **fields), version=row.version)


@pytest.mark.parametrize("state", ["applied", "suspended", "expired", "closed"])
def test_an_organisation_that_is_not_verified_submits_nothing(plane: ControlPlane, state: str) -> None:
    change(plane, OrgRecord, ("acme",), state=state)
    with pytest.raises(Refused, match=state) as refused:
        plane.submit()
    assert refused.value.code == "DURE-2105"


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_a_project_that_is_not_active_submits_nothing(plane: ControlPlane, state: str) -> None:
    change(plane, ProjectRecord, ("acme", "nlp"), state=state)
    with pytest.raises(Refused, match=f"project acme/nlp is {state}") as refused:
        plane.submit()
    assert refused.value.code == "DURE-2105"


def test_no_policy_no_jobs(plane: ControlPlane) -> None:
    with plane.store.read() as view, pytest.raises(Refused) as refused:
        service.accept(view, None, plane.task(), plane.actor("member"))
    assert refused.value.code == "DURE-2100"


def test_the_fourth_waiting_job_of_a_project_is_refused(plane: ControlPlane) -> None:
    for _ in range(2):
        plane.submit(hold=True)
    plane.submit()
    with pytest.raises(Refused) as refused:
        plane.submit()
    assert refused.value.code == "DURE-2103"
    assert plane.submit("stranger", project="uni/vision").state == "Queued"
    assert plane.cycle().admitted
    assert plane.submit().state == "Queued", "jobs that run do not wait"


def test_a_new_job(plane: ControlPlane) -> None:
    body = plane.submit(gpus="A100:2", nodes=1, tiers=["borrow", "guaranteed", "borrow"], retries=2)
    job = plane.job(body.id)
    assert (body.state, body.flavor, body.gpus, body.attempt, body.time_seconds) == ("Queued", "a100-80g", 2, 0, 3_600)
    assert (job.tiers, job.class_name, job.max_losses, job.held_by) == ("borrow,guaranteed", "sme", 2, "")
    assert job.submitted_seq == len(plane.facts())
    assert plane.facts()[-1] == "JobSubmitted"


def test_a_job_that_begins_held(plane: ControlPlane) -> None:
    body = plane.submit(hold=True)
    assert (body.state, body.reason) == ("Held", "HeldByUser")
    assert plane.job(body.id).held_by == "user"
    assert plane.facts()[-2:] == ["JobSubmitted", "JobHeld"]
    assert plane.cycle().admitted == ()


def test_a_job_with_a_package(plane: ControlPlane) -> None:
    content = b"zip"
    digest = hashlib.sha256(content).hexdigest()
    plane.packages.put(digest, content)
    assert plane.job(plane.submit(package_sha256=digest).id).package_sha256 == digest


def test_the_same_key_is_the_same_job(plane: ControlPlane) -> None:
    first = plane.submit(key="once")
    facts = plane.facts()
    plane.pass_ms(60_000)
    assert plane.submit(key="once") == first
    plane.cycle()
    assert plane.submit(key="once") == first, "the answer is the one first given, whatever became of the job"
    assert plane.facts()[: len(facts)] == facts
    assert len(plane.rows(JobRecord)) == 1


def test_the_same_key_with_another_task_is_refused(plane: ControlPlane) -> None:
    plane.submit(key="once")
    with pytest.raises(Invalid) as refused:
        plane.submit(key="once", run="python other.py")
    assert refused.value.code == "DURE-1011"
    assert len(plane.rows(JobRecord)) == 1


def test_keys_are_a_users_own(plane: ControlPlane) -> None:
    assert plane.submit("member", key="once").id != plane.submit("colleague", key="once").id


def test_a_known_key_is_answered_even_when_the_task_would_now_be_refused(plane: ControlPlane) -> None:
    first = plane.submit(key="once")
    change(plane, OrgRecord, ("acme",), state="suspended")
    assert plane.submit(key="once") == first


def racing(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> None:
    """Let something happen between the look at the policy and the write."""
    honest = service.accept

    def accept(*arguments: Any) -> Any:
        monkeypatch.setattr(service, "accept", honest)
        accepted = honest(*arguments)
        meanwhile()
        return accepted

    monkeypatch.setattr(service, "accept", accept)


def test_two_at_once_with_one_key_make_one_job(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    racing(plane, monkeypatch, lambda: answers.append(plane.submit(key="once")))
    answers.append(plane.submit(key="once"))
    assert answers[0] == answers[1]
    assert len(plane.rows(JobRecord)) == 1


def test_two_at_once_with_one_key_and_two_tasks(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    racing(plane, monkeypatch, lambda: plane.submit(key="once"))
    with pytest.raises(Invalid) as refused:
        plane.submit(key="once", run="python other.py")
    assert refused.value.code == "DURE-1011"


def test_a_policy_that_changes_meanwhile_is_looked_at_again(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    racing(plane, monkeypatch, lambda: plane.apply(POLICY.replace("max_time: 2h", "max_time: 1h")))
    with pytest.raises(Retry):
        plane.submit(time_seconds=7_200)
    assert plane.rows(JobRecord) == []
    with pytest.raises(Refused):
        plane.submit(time_seconds=7_200)


def test_a_taken_id_is_no_second_answer(plane: ControlPlane) -> None:
    job = plane.submit(key="one").id
    with pytest.raises(DuplicateRecord, match="already stored"):
        service.submit(
            plane.store,
            plane.policies,
            plane.packages,
            plane.task(),
            plane.actor("member"),
            "two",
            job,
            plane.now_ms,
        )


FLAVORS = {"h100-80g": "h100-80g", "H100": "h100-80g", "a": "a100-80g", "A100-80G": "a100-80g"}


@pytest.mark.parametrize(("text", "name"), FLAVORS.items())
def test_a_flavor_by_name_or_unique_prefix(plane: ControlPlane, text: str, name: str) -> None:
    with plane.store.read() as view:
        policy = plane.policies.current(view, plane.now_ms)
    assert policy is not None
    assert resolve_flavor(dict(policy.flavors), text).name == name


def test_an_ambiguous_flavor_names_both(plane: ControlPlane) -> None:
    with plane.store.read() as view:
        policy = plane.policies.current(view, plane.now_ms)
    assert policy is not None
    flavors = {**policy.flavors, "h100-40g": policy.flavors["h100-80g"]}
    with pytest.raises(Invalid, match="h100-40g, h100-80g") as refused:
        resolve_flavor(flavors, "h100")
    assert refused.value.code == "DURE-1105"


PROBABLE = {
    "a letter for a digit": ("h10o", "h100-80g"),
    "the whole name": ("h100-8g", "h100-80g"),
    "like none": ("tpu", ""),
}


@pytest.mark.parametrize(("given", "wanted"), PROBABLE.values(), ids=PROBABLE.keys())
def test_a_flavor_that_was_probably_meant(given: str, wanted: str) -> None:
    assert service.probable_flavor(given, ("a100-80g", "h100-80g")) == wanted
