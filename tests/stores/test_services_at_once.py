"""Services whose checks look at more than one row: what they promise holds however many ask at the same moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from scheduler.core.errors import Fatal
from scheduler.core.records import CounterRecord, JobRecord, MemberRecord, OrgRecord, PolicyRecord
from scheduler.schema.bodies import MemberRequest, OrgRequest, PolicyRequest, ProjectRequest, TaskBody
from scheduler.services import jobs, policies, registry, submit
from scheduler.services.actors import Actor
from scheduler.services.effective import REGISTRY_COUNTER, EffectivePolicies, registry_sequence
from scheduler.services.ports import Store, Where
from scheduler.sim.world.shelves import MemoryPackages
from scheduler.store.sql import SqlStore
from tests.stores.actors import actors
from tests.stores.test_concurrency import THREADS, at_once, repeated, waits_for_lock
from tests.support.control_plane import POLICY, START_MS

ADMIN = Actor("admin", frozenset({("admin", "all")}))
ROUNDS = 4
"""A race that is lost by chance is lost in one of these."""


def found(store: Store) -> None:
    """A policy (class sme guarantees 4 GPUs, 2 to each organisation) and a project of one organisation."""
    policies.apply_policy(store, ADMIN, PolicyRequest(text=POLICY, reason="tests"), START_MS)
    registry.create_org(store, EffectivePolicies(), ADMIN, OrgRequest(name="uni", class_name="university"), 1)
    registry.create_project(store, ADMIN, ProjectRequest(org="uni", name="vision"), 1)


@pytest.fixture
def founded(store: Store) -> Store:
    """Each of the stores with a policy and a project."""
    found(store)
    return store


def outcome(act: Callable[[], object]) -> str:
    """ "" or the code of the refusal, after as many tries as a passing conflict needs."""
    try:
        repeated(act)
    except Fatal as refused:
        return refused.code
    return ""


def numbered(store: Store) -> list[int]:
    """Sequences of the registry's facts."""
    with store.read() as view:
        assert registry_sequence(view) == sum(fact.kind == "RegistryChanged" for fact in view.facts(0))
        return [getattr(fact.body, "sequence", 0) for fact in view.facts(0) if fact.kind == "RegistryChanged"]


def test_organisations_at_once_do_not_outgrow_their_class(founded: Store) -> None:
    def join(number: int) -> str:
        request = OrgRequest(name=f"firm-{number}", class_name="sme")
        return outcome(lambda: registry.create_org(founded, EffectivePolicies(), ADMIN, request, 2))

    assert Counter(at_once(join)) == {"": 2, "DURE-2106": THREADS - 2}
    with founded.read() as view:
        assert view.count(OrgRecord, Where("class_name", "=", "sme")) == 2
    assert numbered(founded) == [1, 2, 3, 4]


def test_administrators_who_remove_each_other_leave_one(founded: Store) -> None:
    names = [f"boss-{number}" for number in range(THREADS)]
    for round_ in range(ROUNDS):
        for name in names:
            registry.add_member(founded, ADMIN, MemberRequest(user=name, role="admin", scope="all"), round_)

        def remove(number: int) -> str:
            request = MemberRequest(user=names[number - 1], role="admin", scope="all")
            return outcome(lambda: registry.remove_member(founded, ADMIN, request, 2))

        assert Counter(at_once(remove)) == {"": THREADS - 1, "DURE-6021": 1}
        with founded.read() as view:
            assert view.count(MemberRecord, Where("role", "=", "admin"), Where("state", "=", "active")) == 1
    sequences = numbered(founded)
    assert sequences == list(range(1, len(sequences) + 1))


def test_of_many_equal_requests_one_changes_the_registry(founded: Store) -> None:
    org = OrgRequest(name="firm", class_name="sme")
    project = ProjectRequest(org="uni", name="speech")
    member = MemberRequest(user="kim", role="member", scope="project:uni/vision")
    acts: list[Callable[[], tuple[object, bool]]] = [
        lambda: registry.create_org(founded, EffectivePolicies(), ADMIN, org, 2),
        lambda: registry.create_project(founded, ADMIN, project, 2),
        lambda: registry.add_member(founded, ADMIN, member, 2),
    ]
    for act in acts:

        def is_new(_number: int, act: Callable[[], tuple[object, bool]] = act) -> bool:
            return repeated(act)[1]

        new = at_once(is_new)
        assert sorted(new) == [False] * (THREADS - 1) + [True]
    at_once(lambda _: repeated(lambda: registry.remove_member(founded, ADMIN, member, 3)))
    assert numbered(founded) == [1, 2, 3, 4, 5, 6]


def test_a_policy_waits_for_the_organisation_that_is_joining(postgres: SqlStore) -> None:
    """It is checked against what the other transaction has committed, not against what was there before."""
    found(postgres)
    registry.create_org(postgres, EffectivePolicies(), ADMIN, OrgRequest(name="first", class_name="sme"), 2)
    request = PolicyRequest(text=POLICY.replace("guarantee: {h100-80g: 4}", "guarantee: {h100-80g: 2}"), reason="less")
    with actors(postgres, 2) as (joining, applying):
        joining.begin()
        joining.do(lambda: joining.tx.next_number(REGISTRY_COUNTER))
        joining.do(lambda: joining.tx.add(OrgRecord(name="second", class_name="sme")))
        applied = applying.start(lambda: outcome(lambda: policies.apply_policy(postgres, ADMIN, request, START_MS)))
        waits_for_lock(postgres)
        joining.end()
        assert applied.result(30) == "DURE-1220"


def test_one_text_applied_many_times_at_once_is_one_version(founded: Store) -> None:
    before = numbered(founded)
    again = PolicyRequest(text=POLICY + "# again\n", reason="again")
    new = at_once(lambda _: repeated(lambda: policies.apply_policy(founded, ADMIN, again, START_MS))[1])
    assert sorted(new) == [False] * (THREADS - 1) + [True]
    with founded.read() as view:
        assert view.count(PolicyRecord) == 2
    assert numbered(founded) == before


def test_submissions_at_once_keep_to_the_projects_limit(founded: Store) -> None:
    """The policy lets three jobs of a project wait; a refused submission takes no place."""

    def send(number: int) -> str:
        task = TaskBody(name="train", project="uni/vision", gpus="h100:1", run="true")
        job = f"job{'abcdefgh'[number]}"
        packages = MemoryPackages()
        key = f"key-{number}"
        return outcome(lambda: submit.submit(founded, EffectivePolicies(), packages, task, ADMIN, key, job, 2))

    assert Counter(at_once(send)) == {"": 3, "DURE-2103": THREADS - 3}
    with founded.read() as view:
        assert view.count(JobRecord) == 3
        counter = view.get(CounterRecord, "submissions:uni/vision")
    assert counter is not None
    assert counter.value == 3


def test_members_of_an_array_that_end_at_once_each_let_one_in(founded: Store) -> None:
    """Two ends of one moment may choose the same next member; no place is lost and none is given twice."""
    at_once_max, size = THREADS, 3 * THREADS
    policy = POLICY.replace("max_pending_per_project: 3", f"max_pending_per_project: {size}")
    policies.apply_policy(founded, ADMIN, PolicyRequest(text=policy, reason="another class"), START_MS)
    task = TaskBody(name="sweep", project="uni/vision", gpus="h100:1", run="true", array=f"1-{size}%{at_once_max}")
    ids = [f"mem{chr(97 + number)}" for number in range(size)]
    submit.submit(founded, EffectivePolicies(), MemoryPackages(), task, ADMIN, "key", "array", 2, ids)
    for round_ in range(2):

        def end(number: int, first: int = round_ * THREADS) -> str:
            return outcome(lambda: jobs.cancel(founded, ADMIN, f"array.{first + number + 1}", 3))

        assert set(at_once(end)) == {""}
        with founded.read() as view:
            members = view.select(JobRecord, Where("array", "=", "array"), order=("array_index",))
        states = "".join("h" if (job.state, job.held_by) == ("Held", "array") else job.state[0] for job in members)
        done = (round_ + 1) * THREADS
        assert states == "C" * done + "Q" * THREADS + "h" * (size - done - THREADS)
