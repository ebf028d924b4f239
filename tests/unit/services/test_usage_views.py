"""Usage in sums: time that is posted or not is in one of them, once, and money is of all slices or not given at all."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.schema.bodies import UsageLine
from scheduler.services import reads, usage_views
from scheduler.services.submit import Invalid
from scheduler.services.usage_views import UsageScope
from tests.support.control_plane import START_MS, ControlPlane

MINUTE = 60_000
HOUR = 60 * MINUTE
FIRST_HOUR_MS = (START_MS // HOUR + 1) * HOUR


def used(
    plane: ControlPlane, user: str = "member", since_ms: int = 0, org: str = "", project: str = ""
) -> list[UsageLine]:
    """Lines of usage from an instant up to now."""
    scope = UsageScope(since_ms, plane.now_ms + 1, org, project)
    with plane.store.read() as view:
        return usage_views.usage(view, plane.actor(user), scope, plane.now_ms)


def run_on(plane: ControlPlane, hours: int) -> None:
    """Two jobs of one GPU run up to 40 minutes past a full hour, and are posted up to it: the first, and so many on."""
    plane.started(time_seconds=7_200)
    plane.started("stranger", project="uni/vision", tiers=["borrow"], time_seconds=7_200)
    plane.now_ms = FIRST_HOUR_MS + hours * HOUR + 40 * MINUTE
    plane.report()
    plane.settle()


# How long before now the question begins -> minutes in slices that start there, minutes that are not posted.
SINCE = {
    0: (0, 0),
    10: (0, 10),
    40: (0, 40),
    50: (0, 40),
    100: (60, 40),
    130: (60, 40),
    100_000: (4 * 60 + (FIRST_HOUR_MS - START_MS) / MINUTE, 40),
}


@pytest.mark.parametrize("minutes", SINCE)
def test_posted_time_is_not_counted_as_unposted(plane: ControlPlane, minutes: int) -> None:
    run_on(plane, hours=4)
    (line,) = used(plane, since_ms=plane.now_ms - minutes * MINUTE)
    held, unposted = SINCE[minutes]
    assert (line.held_milli_gpu_ms, line.unposted_milli_gpu_ms) == (held * 1_000 * MINUTE, unposted * 1_000 * MINUTE)


@pytest.mark.parametrize("rows_max", [1, 1_000])
@pytest.mark.parametrize("hours", [0, 4])
@pytest.mark.parametrize("late_ms", [0, HOUR, 3 * HOUR, 50 * HOUR])
def test_what_a_settler_that_stands_still_has_posted_counts_as_posted(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, late_ms: int, hours: int, rows_max: int
) -> None:
    run_on(plane, hours)
    plane.pass_ms(late_ms)
    with monkeypatch.context() as patch:
        patch.setattr(usage_views, "SLICES_MAX", rows_max)
        lines = used(plane, "admin", since_ms=plane.now_ms - 55 * MINUTE)
    left = 1_000 * min(40 * MINUTE + late_ms, 55 * MINUTE)
    assert {line.org: line.unposted_milli_gpu_ms for line in lines} == {"acme": left, "uni": left}
    (line,) = used(plane)
    assert line.unposted_milli_gpu_ms == 1_000 * (40 * MINUTE + late_ms)


def run(plane: ControlPlane, *users: str) -> None:
    """Each of these users runs a job of one GPU for a minute, one after another; all is posted."""
    for user in users:
        project = "uni/vision" if user == "stranger" else "acme/nlp"
        job = plane.started(user, project=project, tiers=["borrow"])
        plane.pass_ms(MINUTE)
        plane.ended(job)
        plane.settle()


# A GPU-minute costs 60 won x borrow 0.4, of which acme pays 0.1: 2.4 won
ACME_MICROWON = 2_400_000


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_money_is_of_all_slices_whoever_else_was_busy(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    run(plane, "member", "stranger", "stranger", "stranger", "member", "colleague")
    monkeypatch.setattr(reads, "SEQUENCES_A_READ", at_once)
    monkeypatch.setattr(usage_views, "SLICES_MAX", 3)
    lines = {line.user: line for line in used(plane)}
    assert {user: line.posted_microwon for user, line in lines.items()} == {
        "member": 2 * ACME_MICROWON,
        "colleague": ACME_MICROWON,
    }


@pytest.mark.parametrize(
    ("user", "narrowed"),
    [("admin", (0, "uni")), ("admin", (0, "", "vision")), ("member", (START_MS + 2 * MINUTE,))],
)
def test_more_than_one_answer_adds_up_is_refused(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, user: str, narrowed: tuple[Any, ...]
) -> None:
    run(plane, "member", "member", "member", "stranger")
    monkeypatch.setattr(usage_views, "SLICES_MAX", 2)
    with pytest.raises(Invalid, match="this asks for more than 2 pieces of usage at once") as refused:
        used(plane, user)
    assert refused.value.code == "DURE-1046"
    assert refused.value.fix == "narrow it: --since WHEN, --org ORG or --project PROJECT"
    (line,) = used(plane, user, *narrowed)
    assert line.jobs == 1


def test_a_tenant_is_not_refused_for_what_others_use(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    run(plane, "member", "member", "member", "stranger")
    monkeypatch.setattr(usage_views, "SLICES_MAX", 2)
    assert [line.org for line in used(plane, "stranger")] == ["uni"]
