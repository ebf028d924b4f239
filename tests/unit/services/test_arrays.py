"""Job arrays: submitted as one, limited by themselves, steered whole or by member, and never half."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.core.errors import Fatal
from scheduler.core.lifecycle import JobState
from scheduler.core.records import IdempotencyRecord, JobRecord
from scheduler.core.state import AllocatorState
from scheduler.schema.bodies import JobBody
from scheduler.services import job_views, jobs, plan, submit, why
from scheduler.services.submit import Conflict, NotFound, Refused
from tests.support.control_plane import POLICY, ControlPlane

ARRAY = "arrayx"


@pytest.fixture
def plane() -> ControlPlane:
    """Room for 30 waiting jobs; eight H100 in all, four of them guaranteed to the class and two to acme."""
    return ControlPlane(POLICY.replace("max_pending_per_project: 3", "max_pending_per_project: 30"))


def submitted(
    plane: ControlPlane, array: str = "1-20%4", user: str = "member", key: str = "k", **fields: object
) -> JobBody:
    """An array whose members have the ids ``m-<place>``, spelt in letters."""
    task = plane.task(name="ablate", array=array, **fields)
    assert task.range
    ids = [member(place) for place in range(task.range.size)]
    actor = plane.actor("member")
    return submit.submit(plane.store, plane.policies, plane.packages, task, actor, "k", ARRAY, plane.now_ms, ids)[0]


def member(place: int) -> str:
    """The id of the member at a place, from 0."""
    return f"mem{chr(97 + place // 26)}{chr(97 + place % 26)}"


def states(plane: ControlPlane) -> str:
    """One letter a member, by index; small where the array holds it."""
    rows = sorted(plane.rows(JobRecord, ("array", "=", ARRAY)), key=lambda row: row.array_index)
    return "".join("h" if (row.state, row.held_by) == ("Held", "array") else str(row.state)[0] for row in rows)


def test_one_submission_makes_all_members_once(plane: ControlPlane) -> None:
    body = submitted(plane)
    assert states(plane) == "QQQQ" + "h" * 16
    assert (body.id, body.name, body.state, body.attempt) == (ARRAY, "ablate", "Queued", 0)
    assert body.array
    assert (body.array.indices, body.array.size, body.array.index) == ("1-20%4", 20, None)
    assert body.array.states == {"Held": 16, "Queued": 4}
    before = plane.facts()
    assert submitted(plane) == body
    assert plane.facts() == before
    assert Counter(before[-36:]) == {"JobSubmitted": 20, "JobHeld": 16}
    assert len(plane.rows(IdempotencyRecord)) == 1


@pytest.mark.parametrize(
    ("array", "first", "code"),
    [("1-30", 0, ""), ("1-31", 0, "DURE-2103"), ("1-11", 20, "DURE-2103"), ("1-10%1", 20, "")],
    ids=["30 of 30", "31 > 30", "20 + 11 > 30", "20 + 10 = 30"],
)
def test_the_whole_array_must_fit_into_the_line(plane: ControlPlane, array: str, first: int, code: str) -> None:
    for _ in range(first):
        plane.submit()
    before = plane.facts()
    if not code:
        assert submitted(plane, array).state == "Queued"
        return
    with pytest.raises(Refused) as refused:
        submitted(plane, array)
    assert refused.value.code == code
    assert plane.facts() == before


def test_a_member_that_ends_lets_the_next_one_in(plane: ControlPlane) -> None:
    submitted(plane, "1-6%2")
    plane.cycle()
    assert states(plane) == "AAhhhh"
    for place, after in ((1, "ASAhhh"), (0, "SSAAhh")):
        job = member(place)
        plane.report(plane.seen("rank-started", job, rank=0))
        plane.ended(job)
        plane.cycle()
        assert states(plane) == after


def test_a_failed_member_that_is_run_again_keeps_its_place(plane: ControlPlane) -> None:
    submitted(plane, "1-3%1", retries=1)
    plane.cycle()
    plane.report(plane.seen("rank-started", member(0), rank=0))
    plane.ended(member(0), 1)
    assert states(plane) == "Qhh"
    plane.pass_ms(60_000)
    plane.cycle()
    plane.report(plane.seen("rank-started", member(0), 2, rank=0))
    plane.ended(member(0), 1, 2)
    assert states(plane) == "FQh"


def test_cancelling_and_holding_members_makes_room_and_the_whole_can_be_steered(plane: ControlPlane) -> None:
    actor = plane.actor("member")
    submitted(plane, "1-6%2")
    plane.cancel(f"{ARRAY}.1")
    assert states(plane) == "CQQhhh"
    jobs.hold(plane.store, actor, "ablate[2]", plane.now_ms)
    assert states(plane) == "CHQQhh"
    jobs.release(plane.store, actor, "ablate.2", plane.now_ms)
    assert states(plane) == "ChQQhh", "no room: it waits for its turn again, as the first of those that do"
    plane.cancel(f"{ARRAY}.3")
    assert states(plane) == "CQCQhh"
    jobs.hold(plane.store, actor, ARRAY, plane.now_ms)
    assert states(plane) == "CHCHHH"
    jobs.release(plane.store, actor, ARRAY, plane.now_ms)
    assert states(plane) == "CQCQhh"
    plane.cycle()
    body = plane.cancel("ablate")
    assert states(plane) == "CACACC"
    assert body.array
    assert body.array.states == {"Active": 2, "Cancelled": 4}
    assert [order.stop is not None for order in plane.pull().assignments] == [True, True]
    with pytest.raises(Conflict) as refused:
        jobs.hold(plane.store, actor, ARRAY, plane.now_ms)
    assert refused.value.code == "DURE-6002"


def test_the_facts_fold_to_what_is_stored(plane: ControlPlane) -> None:
    """The allocator, which knows nothing of arrays, agrees with every step of one."""
    submitted(plane, "1-6%2", hold=True)
    actor = plane.actor("member")
    jobs.release(plane.store, actor, ARRAY, plane.now_ms)
    jobs.hold(plane.store, plane.actor("project-admin"), ARRAY, plane.now_ms)
    jobs.release(plane.store, plane.actor("project-admin"), ARRAY, plane.now_ms)
    plane.cycle()
    plane.cancel(f"{ARRAY}.5")
    state = AllocatorState()
    with plane.store.read() as view:
        for fact in view.facts(0):
            state.apply(fact)
    folded = state.to_json()
    assert states(plane) == "AAhhCh"
    assert [item["job"]["job"] for item in folded["active"]] == [member(0), member(1)]
    assert [(item["job"]["job"], item["by"]) for item in folded["held"]] == [
        (member(place), "array") for place in (2, 3, 5)
    ]


def test_a_member_knows_its_place(plane: ControlPlane) -> None:
    submitted(plane, "3,7")
    plane.cycle()
    told = {order.job: order.env for order in plane.pull().assignments}
    assert told == {
        member(place): {"DURE_ARRAY_ID": ARRAY, "DURE_ARRAY_INDEX": index, "DURE_ARRAY_COUNT": "2"}
        for place, index in ((0, "3"), (1, "7"))
    }


def test_names(plane: ControlPlane) -> None:
    single = plane.submit(name="ablate").id
    submitted(plane, "1-3")
    with plane.store.read() as view:
        mine, other = plane.actor("member"), plane.actor("colleague")
        for name in (ARRAY, "ablate"):
            assert [job.array_index for job in jobs.find_members(view, mine, name)] == [1, 2, 3]
            assert jobs.find_job(view, mine, f"{name}.2").id == member(1)
        assert jobs.find_job(view, other, member(2)).array_index == 3
        cases = [
            (mine, ARRAY, Conflict, "DURE-6070"),
            (mine, f"{ARRAY}.4", NotFound, "DURE-3030"),
            (mine, f"{single}.1", NotFound, "DURE-3030"),
            (other, "ablate.1", NotFound, "DURE-3001"),
            (plane.actor("stranger"), ARRAY, NotFound, "DURE-3001"),
            (plane.actor("stranger"), f"{ARRAY}.1", NotFound, "DURE-3001"),
        ]
        for actor, name, kind, code in cases:
            with pytest.raises(kind) as refused:
                jobs.find_job(view, actor, name)
            assert (refused.value.code, bool(refused.value.fix)) == (code, True)


def test_who_may_not_steer_one_changes_nothing(plane: ControlPlane) -> None:
    submitted(plane, "1-3")
    before = plane.facts()
    for steer in (jobs.cancel, jobs.hold, jobs.release):
        with pytest.raises(Fatal) as refused:
            steer(plane.store, plane.actor("colleague"), ARRAY, plane.now_ms)
        assert refused.value.code == "DURE-4003"
    assert plane.facts() == before


def test_a_folded_list_has_one_row_an_array_on_whatever_page(plane: ControlPlane) -> None:
    first = plane.submit().id
    submitted(plane, "1-20")
    last = plane.submit().id
    wanted = job_views.JobFilter(fold=True)
    with plane.store.read() as view:
        for limit in (1, 2, 3, 100):
            found: list[str] = []
            cursor = 0
            for _ in range(10):
                page = job_views.list_jobs(view, plane.actor("member"), wanted, lambda _job: "", cursor, limit, 0)
                found += [item.id for item in page.items]
                cursor = int(page.next or 0)
                if not cursor:
                    break
            assert found == [last, ARRAY, first], f"{limit} a page"
        everything = job_views.list_jobs(
            view, plane.actor("member"), job_views.JobFilter(), lambda _job: "", 0, 100, 0
        ).items
    assert len(everything) == 22
    assert {item.array.index for item in everything if item.array} == set(range(1, 21))


def test_an_array_is_told_as_one_job(plane: ControlPlane) -> None:
    submitted(plane, "1-4", gpus="h100:2")
    plane.cycle()
    for place in (0, 1):
        plane.report(plane.seen("rank-started", member(place), rank=0))
    plane.pass_ms(10_000)
    plane.ended(member(0), 1)
    with plane.store.read() as view:
        body = job_views.get_job(view, plane.actor("member"), "ablate", why.reasons(view), plane.now_ms)
    assert body.array
    assert (body.state, body.array.states) == ("Active", {"Active": 3, "Failed": 1})
    assert body.held_gpu_seconds == 4 * 2 * 10, "four attempts of two GPUs for ten seconds"
    assert (body.started_at != "", body.ended_at, body.exit_code) == (True, "", None)
    assert plane.cancel(ARRAY).state == "Active"
    for place in (1, 2, 3):
        plane.ended(member(place), 143)
    with plane.store.read() as view:
        body = job_views.get_job(view, plane.actor("member"), ARRAY, why.reasons(view), plane.now_ms)
    assert (body.state, body.ended_at != "") == ("Failed", True), "one of its jobs has failed"


@pytest.mark.parametrize(
    ("name", "summary", "reason"),
    [
        (ARRAY, "4 of the array's 6 jobs wait; the first is ablate[3]. ", "WaitingDependency"),
        (f"{ARRAY}.1", "", ""),
        (f"{ARRAY}.4", "", "WaitingDependency"),
    ],
    ids=["the whole", "one that runs", "one that waits for its turn"],
)
def test_why(plane: ControlPlane, name: str, summary: str, reason: str) -> None:
    submitted(plane, "1-6%2")
    plane.cycle()
    with plane.store.read() as view:
        body = why.why(view, plane.actor("member"), name, plane.now_ms)
    assert body.summary.startswith(summary or "mem")
    assert [line.reason for line in body.blockers] == ([reason] if reason else [])
    if reason:
        assert body.blockers[0].sentence == "Its array lets 2 of its jobs wait or run at once; others come first."
        assert (body.blockers[0].actor, body.would_help) == ("time", [])


def test_the_plan_is_of_the_whole_array(plane: ControlPlane) -> None:
    with plane.store.read() as view:
        one = plan.plan(view, plane.policies, plane.task(), plane.actor("member"), plane.now_ms)
        all_of_it = plan.plan(view, plane.policies, plane.task(array="1-20%4"), plane.actor("member"), plane.now_ms)
        with pytest.raises(Refused):
            plan.plan(view, plane.policies, plane.task(array="1-31"), plane.actor("member"), plane.now_ms)
    assert (one.jobs, one.at_once, all_of_it.jobs, all_of_it.at_once) == (1, 1, 20, 4)
    for single, whole in zip(one.tiers, all_of_it.tiers, strict=True):
        assert single.all_jobs_microwon == single.most_microwon == whole.most_microwon
        assert whole.all_jobs_microwon == 20 * single.most_microwon


def test_a_held_array_waits_for_its_owner_and_then_for_its_turn(plane: ControlPlane) -> None:
    submitted(plane, "1-4%2", hold=True)
    assert states(plane) == "HHHH"
    jobs.release(plane.store, plane.actor("member"), f"{ARRAY}.3", plane.now_ms)
    assert states(plane) == "HHQH"
    jobs.release(plane.store, plane.actor("member"), ARRAY, plane.now_ms)
    assert states(plane) == "QhQh"
    assert plane.job(member(1)).state is JobState.HELD
