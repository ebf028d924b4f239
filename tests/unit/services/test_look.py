"""How a task would stand in the pool now: the guarantee above it, and the same verdict as the allocator's own."""

from __future__ import annotations

import random
from typing import Any

import pytest

from scheduler.core.errors import Fatal
from scheduler.core.records import JobRecord
from tests.support.control_plane import ControlPlane, writes
from tests.unit.services.test_plan import planned

# Class sme: 4 h100 guaranteed, acme 2 of them; uni none. Nodes: 2 of 4 h100, 1 of 2 a100.
# held: GPUs of acme's running jobs. The task, then (tree node, guarantee, in use, with this job) and the tier.
STANDINGS: dict[str, tuple[list[str], dict[str, Any], tuple[str, int, int, int] | None, str]] = {
    "inside its own guarantee: 0 + 1 of 2": ([], {}, ("/sme/acme", 2, 0, 1), "guaranteed"),
    "above its own, inside the class's: 2 + 2 of 4": (
        ["h100:2"],
        {"gpus": "h100:2"},
        ("/sme/acme", 2, 2, 4),
        "guaranteed",
    ),
    "above the class's: 4 + 1 of 4, borrowed": (["h100:4"], {}, ("/sme/acme", 2, 4, 5), "borrow"),
    "guaranteed only: 4 + 1 of 4": (["h100:4"], {"tiers": ["guaranteed"]}, ("/sme/acme", 2, 4, 5), ""),
    "no room at all: 8 of 8 held": (["h100:4", "h100:4"], {}, ("/sme/acme", 2, 4, 5), ""),
    "a flavor without guarantees": ([], {"gpus": "a100:2"}, None, "borrow"),
    "no node is so large": ([], {"gpus": "h100:5"}, ("/sme/acme", 2, 0, 5), ""),
}


@pytest.mark.parametrize(("held", "task", "share", "tier"), STANDINGS.values(), ids=STANDINGS.keys())
def test_guarantee_and_verdict(
    plane: ControlPlane, held: list[str], task: dict[str, Any], share: tuple[str, int, int, int] | None, tier: str
) -> None:
    for gpus in held:
        plane.started(gpus=gpus)
    body = planned(plane, **task)
    found = body.share
    assert (found and (found.tree_node, found.guarantee, found.in_use, found.with_this_job)) == (
        share and (share[0], *(gpus * 1_000 for gpus in share[1:]))
    )
    assert body.now is not None
    assert (body.now.tier, body.now.blockers == []) == (tier, tier != "")


def test_whoever_has_no_guarantee_is_told_so(plane: ControlPlane) -> None:
    body = planned(plane, "stranger", project="uni/vision")
    assert body.share is None


def test_options_are_those_of_why(plane: ControlPlane) -> None:
    plane.started(gpus="h100:4")
    body = planned(plane, gpus="h100:4", nodes=2)
    assert body.now is not None
    assert [item.reason for item in body.now.blockers] == ["NoCapacity", "ShareBusy"]
    assert body.now.options[0] == "fewer nodes: --nodes 1"
    assert any(option.startswith("cancel your job ") for option in body.now.options)


def test_looking_changes_nothing(plane: ControlPlane) -> None:
    before = writes(plane, (JobRecord,))
    planned(plane)
    assert writes(plane, (JobRecord,)) == before


def test_the_verdict_is_the_allocators(rng: random.Random) -> None:
    """Submit after each look, and let the allocator decide: it starts what the look said, in that tier."""
    verdicts: list[str] = []
    for _ in range(20):
        plane = ControlPlane()
        for _ in range(12):
            verdicts += _look_and_submit(plane, rng)
    assert {verdict: verdicts.count(verdict) >= 10 for verdict in ("guaranteed", "borrow", "scavenge", "")} == (
        dict.fromkeys(("guaranteed", "borrow", "scavenge", ""), True)
    )


def _look_and_submit(plane: ControlPlane, rng: random.Random) -> list[str]:
    """The verdict of a random task, after it has come true; none where the line is full or the job too large."""
    who, project = rng.choice([("member", "acme/nlp"), ("stranger", "uni/vision")])
    fields: dict[str, Any] = {
        "project": project,
        "gpus": f"{rng.choice(['h100', 'a100'])}:{rng.choice([1, 1, 2, 4])}",
        "nodes": rng.choice([1, 1, 2]),
        "tiers": rng.choice([["guaranteed"], ["guaranteed", "borrow"], ["borrow"], ["scavenge"]]),
    }
    try:
        body = planned(plane, who, **fields)
    except Fatal:
        return []
    assert body.now is not None
    job = plane.submit(who, **fields).id
    plane.cycle()
    state = str(plane.job(job).state)
    tier = str(plane.attempt(job).tier) if state == "Active" else ""
    assert (state, tier) == ("Active" if body.now.tier else "Queued", body.now.tier), fields
    return [tier]
