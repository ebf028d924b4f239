"""The fairness report from what is stored: who may read which, which time it is of, and that it equals a slow count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.core.errors import DureError
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.records import AttemptRecord, SliceRecord
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import FairnessBody, FairnessDay, FairnessShare, FairnessWait, OrgRequest, ProjectRequest
from scheduler.services import fairness_reading, jobs, periods, registry
from scheduler.services.fairness import Asked, fairness
from scheduler.services.fairness_bodies import as_csv
from tests.support.control_plane import POLICY, START_MS, ControlPlane

MINUTE = 60_000
WHOLE = Asked(public=False)
PUBLIC = Asked(public=True)


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


def of(plane: ControlPlane, asked: Asked = WHOLE, user: str = "admin") -> FairnessBody:
    """The report as a user gets it now."""
    with plane.store.read() as view:
        return fairness(view, plane.policies, plane.actor(user), asked, plane.now_ms)


def share(body: FairnessBody, path: str) -> FairnessShare:
    """The line of a tree node."""
    return next(line for line in body.shares if line.tree_node == path)


def wait(body: FairnessBody, class_name: str = "", size: str = "") -> FairnessWait:
    """The line of a class and size."""
    return next(line for line in body.waits if (line.class_name, line.size) == (class_name, size))


def close(plane: ControlPlane) -> str:
    """Close the open period; returns its id."""
    period = periods.close_period(plane.store, plane.policies, plane.actor(), "", plane.now_ms).id
    for _ in range(3):
        plane.pass_ms(1_000)
        plane.report()
        plane.settle()
    return period


def crowd(plane: ControlPlane, count: int) -> None:
    """So many more universities, each with a job of one A100 for 20 minutes, two at a time."""
    for number in range(count):
        org = f"uni-{'abcdefgh'[number]}"
        request = OrgRequest(name=org, class_name="university")
        registry.create_org(plane.store, plane.policies, plane.actor(), request, plane.now_ms)
        registry.create_project(plane.store, plane.actor(), ProjectRequest(org=org, name="lab"), plane.now_ms)
        plane.add_member(f"user-{org}", "member", f"project:{org}/lab")
        job = plane.started(f"user-{org}", project=f"{org}/lab", gpus="a100:2", tiers=["borrow"])
        plane.pass_ms(20 * MINUTE)
        plane.ended(job)


def test_entitlement_receipt_and_waits_of_one_job_that_waits_for_another(plane: ControlPlane) -> None:
    """Both of sme/acme want 8 of 8 H100 for 30 minutes each; the second waits 30 minutes for the first."""
    first = plane.started(gpus="h100:4", nodes=2, tiers=["borrow"])
    second = plane.submit(gpus="h100:4", nodes=2, tiers=["borrow"]).id
    plane.pass_ms(30 * MINUTE)
    plane.ended(first)
    assert plane.cycle().admitted == (second,)
    plane.pass_ms(30 * MINUTE)
    plane.ended(second)
    plane.settle()
    body = of(plane)
    acme, gpu_minute = share(body, "/sme/acme"), 1_000 * MINUTE
    assert (acme.demand_milli_gpu_ms, acme.held_milli_gpu_ms) == (720 * gpu_minute, 480 * gpu_minute)
    assert acme.entitled_milli_gpu_ms == 480 * gpu_minute, "all 8 H100 of an hour: nobody else asked"
    assert acme.guaranteed_milli_gpu_ms == 120 * gpu_minute, "2 of them are its own guarantee"
    assert share(body, "/sme").guaranteed_milli_gpu_ms == 240 * gpu_minute, "4 are its class's"
    assert (acme.received_ppm, body.unposted_milli_gpu_ms) == (1_000_000, 0)
    # Capacity in units: 8 x 1.0 + 2 x 0.45 = 8.9
    assert acme.capacity_ppm == 898_876, "8 / 8.9"
    found = wait(body, "sme", "2-8")
    assert (found.jobs, found.p50_ms, found.p95_ms, found.waiting) == (2, 0, 30 * MINUTE, 0)


def test_a_job_that_still_waits_counts_with_its_wait_so_far(plane: ControlPlane) -> None:
    plane.started(gpus="h100:4", nodes=2, tiers=["borrow"])
    plane.submit(gpus="h100:1", tiers=["borrow"])
    gone = plane.submit(gpus="h100:1", tiers=["borrow"]).id
    plane.pass_ms(10 * MINUTE)
    plane.cancel(gone)
    plane.pass_ms(10 * MINUTE)
    found = wait(of(plane))
    assert (found.jobs, found.waiting, found.withdrawn) == (3, 1, 1)
    assert (found.p50_ms, found.p50_at_least, found.p95_ms, found.p95_at_least) == (
        10 * MINUTE,
        True,
        20 * MINUTE,
        True,
    )


def test_time_in_which_somebody_held_a_job_is_no_wait_and_no_demand(plane: ControlPlane) -> None:
    job = plane.submit(gpus="h100:1", hold=True).id
    plane.pass_ms(40 * MINUTE)
    jobs.release(plane.store, plane.actor("member"), job, plane.now_ms)
    plane.pass_ms(5 * MINUTE)
    assert plane.cycle().admitted == (job,)
    plane.pass_ms(MINUTE)
    body = of(plane)
    assert wait(body).p50_ms == 5 * MINUTE
    assert share(body, "/").demand_milli_gpu_ms == 6 * MINUTE * 1_000


def test_what_no_slice_has_yet_is_counted_and_said(plane: ControlPlane) -> None:
    plane.started(gpus="h100:2")
    plane.pass_ms(90 * MINUTE)
    plane.report()
    plane.settle()
    body = of(plane)
    posted = sum(row.held_milli_gpu_ms for row in plane.rows(SliceRecord))
    assert posted > 0
    assert share(body, "/").held_milli_gpu_ms == 2_000 * 90 * MINUTE
    assert body.unposted_milli_gpu_ms == 2_000 * 90 * MINUTE - posted


def test_the_parts_of_a_time_add_up_to_it(plane: ControlPlane) -> None:
    for number in range(5):
        job = plane.started(gpus="h100:2", nodes=1 + number % 2, tiers=["borrow"])
        other = plane.submit(gpus="a100:2", tiers=["borrow"]).id
        plane.cycle()
        plane.pass_ms((25 + 31 * number) * MINUTE)
        plane.ended(job)
        if number != 2:
            plane.cancel(other)
    plane.settle()
    edges = [START_MS // MS_PER_HOUR * MS_PER_HOUR + hours * MS_PER_HOUR for hours in (0, 1, 3, 4)]
    parts = [of(plane, Asked(False, "", since, until)) for since, until in zip(edges, [*edges[1:], 0], strict=True)]
    whole = of(plane, Asked(False, "", edges[0], 0))
    for name in ("demand", "guaranteed", "entitled", "held", "billed"):
        values = [getattr(share(part, "/"), f"{name}_milli_gpu_ms") for part in parts]
        total = getattr(share(whole, "/"), f"{name}_milli_gpu_ms")
        assert abs(sum(values) - total) <= len(values), name
    attempts = plane.rows(AttemptRecord)
    rates = {"h100-80g": 100, "a100-80g": 45}
    slow = sum(
        ((row.gone_at_ms or plane.now_ms) - row.admitted_at_ms) * row.gpus * rates[row.flavor] * 10 for row in attempts
    )
    assert share(whole, "/").held_milli_gpu_ms == slow
    counts = [wait(part).jobs or 0 for part in parts]
    assert sum(counts) >= (wait(whole).jobs or 0) > 0


def test_a_policy_counts_from_the_hour_in_which_it_was_applied(plane: ControlPlane) -> None:
    """From its second hour on sme has a cap of 1 H100: guarantee 1 and borrowing limit 0."""
    plane.now_ms = (START_MS // MS_PER_HOUR + 1) * MS_PER_HOUR
    since_ms = plane.now_ms
    plane.started(gpus="h100:4", tiers=["borrow"], time_seconds=7_200)
    plane.pass_ms(MS_PER_HOUR)
    capped = "{weight: 1, guarantee: {h100-80g: 1}, borrowing_limit: {h100-80g: 0}, price"
    start, end = POLICY.index("{weight: 1, guarantee: {h100-80g: 4}"), POLICY.index("price: {of_list: 0.1")
    plane.apply(POLICY[:start] + capped + POLICY[end + len("price") :])
    plane.pass_ms(MS_PER_HOUR)
    body = of(plane, Asked(False, "", since_ms, plane.now_ms))
    assert body.policy_versions == [1, 2]
    assert share(body, "/sme").entitled_milli_gpu_ms == (4 + 1) * 1_000 * MS_PER_HOUR
    assert share(body, "/sme").guaranteed_milli_gpu_ms == (4 + 1) * 1_000 * MS_PER_HOUR


def test_capacity_follows_what_nodes_said(plane: ControlPlane) -> None:
    plane.pass_ms(10 * MINUTE)
    plane.report(plane.node_seen("n1", "h100-80g", 1))
    plane.pass_ms(10 * MINUTE)
    days = of(plane, Asked(False, "", START_MS // MS_PER_HOUR * MS_PER_HOUR, 0)).days
    assert sum(day.capacity_milli_gpu_ms for day in days) == (8_900 * 20 - 3_000 * 10) * MINUTE


def test_the_public_view_is_of_a_closed_period_and_needs_no_role(plane: ControlPlane) -> None:
    crowd(plane, 6)
    period = close(plane)
    body = of(plane, PUBLIC, "stranger")
    assert (body.view, body.period, body.state, body.least_organisations) == ("public", period, "closed", 5)
    assert [(line.tree_node, line.suppressed, line.organisations) for line in body.shares] == [
        ("/", False, 6),
        ("/university", False, 6),
    ]
    text = body.model_dump_json() + as_csv(body)
    assert "uni-" not in text
    assert "user-" not in text
    assert body.unposted_milli_gpu_ms is None
    assert of(plane, Asked(True, period), "stranger") == body


def test_a_public_report_about_four_says_nothing(plane: ControlPlane) -> None:
    crowd(plane, 4)
    close(plane)
    body = of(plane, PUBLIC, "stranger")
    lines: list[FairnessShare | FairnessWait | FairnessDay] = [*body.shares, *body.waits, *body.days]
    for line in lines:
        assert line.suppressed
        shown = {name for name, value in line.model_dump().items() if value not in (None, False, True)}
        assert shown <= {"tree_node", "level", "class_name", "size", "date", "capacity_milli_gpu_ms"}
    assert body.lorenz == []
    assert "suppressed" in as_csv(body)


REFUSALS: dict[str, tuple[str, Asked, str]] = {
    "a tenant asks for the whole": ("member", WHOLE, "DURE-4003"),
    "an organisation's auditor too": ("org-auditor", WHOLE, "DURE-4003"),
    "an organisation's administrator too": ("org-admin", WHOLE, "DURE-4003"),
    "nothing is closed": ("member", PUBLIC, "DURE-3040"),
    "the period is open": ("member", Asked(True, "manual-0001"), "DURE-6090"),
    "no such period": ("auditor", Asked(False, "manual-0009"), "DURE-3007"),
    "a month is no billing period in public": ("member", Asked(True, "2026-09"), "DURE-3007"),
    "public of any time": ("auditor", Asked(True, "", START_MS, 0), "DURE-1340"),
    "two times": ("auditor", Asked(False, "manual-0001", START_MS, 0), "DURE-1340"),
    "backwards": ("auditor", Asked(False, "", START_MS, START_MS - MS_PER_HOUR), "DURE-1340"),
    "not begun": ("auditor", Asked(False, "2027-01"), "DURE-1340"),
    "too long": ("auditor", Asked(False, "", 1, 0), "DURE-1340"),
}


@pytest.mark.parametrize(("user", "asked", "code"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(plane: ControlPlane, user: str, asked: Asked, code: str) -> None:
    plane.started()
    plane.settle()
    before = plane.facts()
    with pytest.raises(DureError) as refused:
        of(plane, asked, user)
    assert (refused.value.code, plane.facts()) == (code, before)


@pytest.mark.parametrize("user", ["admin", "auditor"])
def test_who_reads_all_has_the_whole_view(plane: ControlPlane, user: str) -> None:
    plane.started()
    plane.pass_ms(MINUTE)
    assert {line.tree_node for line in of(plane, user=user).shares} == {"/", "/sme", "/sme/acme", "/sme/acme/nlp"}
    month = of(plane, Asked(False, "2026-09"), user)
    assert (month.period, month.state, month.since) == ("2026-09", "", "2026-08-31T15:00:00.000Z")


@pytest.mark.parametrize("bound", ["SLICES_MAX", "JOBS_MAX", "ATTEMPTS_MAX"])
def test_more_than_a_report_reads_is_refused(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    for _ in range(2):
        plane.started()
    plane.pass_ms(2 * MS_PER_HOUR)
    plane.report()
    plane.settle()
    monkeypatch.setattr(fairness_reading, bound, 1)
    with pytest.raises(DureError, match="more than 1 ") as refused:
        of(plane)
    assert refused.value.code == "DURE-1341"


def test_evictions_are_counted(plane: ControlPlane, evict: Callable[[str], Any]) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    evict(job)
    plane.pass_ms(MINUTE)
    assert share(of(plane), "/sme/acme").evictions == 1


@pytest.fixture
def evict(plane: ControlPlane) -> Callable[[str], Any]:
    """Stop an attempt for the reason evict, as reclaiming does."""

    def stop(job: str) -> None:
        attempt = plane.attempt(job)
        stopped = replace(attempt, state=AttemptState.STOPPING, stop_reason=StopReason.EVICT, stop_at_ms=plane.now_ms)
        with plane.store.write() as tx:
            assert tx.change(stopped, version=attempt.version)

    return stop
