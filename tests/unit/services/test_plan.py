"""The plan of a task: prices by tier and class, limits resolved, refused as a submission is, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.core.errors import Fatal
from scheduler.core.records import AttemptRecord, LedgerEntryRecord
from scheduler.schema.bodies import PlanBody
from scheduler.services import plan as service
from scheduler.services import submit
from scheduler.services.actors import Actor
from scheduler.services.submit import Refused
from tests.support.control_plane import ControlPlane
from tests.unit.services.test_submit import REFUSED, Case

HOUR = 3_600
WON = 1_000_000


def planned(plane: ControlPlane, user: str = "member", **fields: Any) -> PlanBody:
    actor: Actor = plane.actor(user)
    with plane.store.read() as view:
        return service.plan(view, plane.policies, plane.task(**fields), actor, plane.now_ms)


# List 3600 won; sme pays 0.1 of it, university nothing; borrow x 0.4, scavenge x 0.1. Default time 1 h.
# The grace after the limit counts too: guaranteed 120 s (the default), borrow 60 s, scavenge 5 s.
PRICES = {
    "one GPU for the default hour": ({"gpus": "h100:1"}, HOUR, {"guaranteed": (360, 372), "borrow": (144, 146.4)}),
    "a gang for two hours": (
        {"gpus": "h100:4", "nodes": 2, "time_seconds": 2 * HOUR},
        2 * HOUR,
        {"guaranteed": (360, 5_856), "borrow": (144, 2_323.2)},
    ),
    "half an hour of another flavor": (
        {"gpus": "A100:2", "time_seconds": HOUR // 2, "tiers": ["scavenge"]},
        HOUR // 2,
        {"scavenge": (18, 18.05)},
    ),
    "in the job's own order": (
        {"tiers": ["scavenge", "guaranteed"], "time_seconds": 10},
        10,
        {"scavenge": (36, 0.15), "guaranteed": (360, 13)},
    ),
}


@pytest.mark.parametrize(("fields", "seconds", "tiers"), PRICES.values(), ids=PRICES.keys())
def test_prices_of_a_small_firm(
    plane: ControlPlane, fields: dict[str, Any], seconds: int, tiers: dict[str, tuple[int, float]]
) -> None:
    body = planned(plane, **fields)
    assert (body.time_seconds, body.class_name, body.rate_card) == (seconds, "sme", "card-1")
    assert [item.tier for item in body.tiers] == list(tiers)
    for item in body.tiers:
        an_hour, most = tiers[item.tier]
        assert item.tenant_microwon_per_gpu_hour == an_hour * WON
        assert item.most_microwon == round(most * WON)


def test_a_class_that_pays_nothing_and_the_parts_of_a_price(plane: ControlPlane) -> None:
    body = planned(plane, "stranger", project="uni/vision", gpus="h100:8", tiers=["borrow"])
    assert (body.flavor, body.gpus, body.project) == ("h100-80g", 8, "uni/vision")
    (item,) = body.tiers
    assert (item.list_won_per_gpu_hour, item.tier_factor_ppm, item.tenant_part_ppm) == (3_600, 400_000, 0)
    assert (item.tenant_microwon_per_gpu_hour, item.most_microwon) == (0, 0)


ABOUT_THE_TASK = {name: case for name, case in REFUSED.items() if "key" not in name and "package" not in name}


@pytest.mark.parametrize("case", ABOUT_THE_TASK.values(), ids=ABOUT_THE_TASK.keys())
def test_refused_as_a_submission_is_and_nothing_changes(plane: ControlPlane, case: Case) -> None:
    before = plane.facts()
    with pytest.raises(case.error) as refused:
        planned(plane, case.user, **case.task)
    assert refused.value.code == case.code
    with pytest.raises(Fatal) as submitted:
        task, actor = plane.task(**case.task), plane.actor(case.user)
        submit.submit(plane.store, plane.policies, plane.packages, task, actor, "k", "newjob", plane.now_ms)
    assert (refused.value.message, refused.value.fix) == (submitted.value.message, submitted.value.fix)
    assert plane.facts() == before


def test_a_project_with_too_many_jobs_waiting_is_told_before(plane: ControlPlane) -> None:
    for _ in range(3):
        plane.submit(tiers=["borrow"])
    with pytest.raises(Refused) as refused:
        planned(plane)
    assert refused.value.code == "DURE-2103"


def test_the_most_is_what_an_attempt_at_its_limit_and_grace_is_charged(plane: ControlPlane) -> None:
    body = planned(plane, gpus="h100:2")
    job = plane.started(gpus="h100:2")
    plane.pass_ms((HOUR + 120) * 1_000)
    plane.ended(job)
    plane.settle()
    tier = plane.rows(AttemptRecord)[0].tier
    charged = sum(row.amount for row in plane.rows(LedgerEntryRecord) if row.account == "receivable:acme")
    assert charged == {item.tier: item.most_microwon for item in body.tiers}[tier.value]
    assert charged == 744 * WON
