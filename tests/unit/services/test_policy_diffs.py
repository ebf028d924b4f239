"""What a policy would change here, going back to an earlier one, and what is kept of why."""

from __future__ import annotations

import pytest

from scheduler.core.records import PolicyRecord, RateCardRecord
from scheduler.schema.bodies import PolicyBody, PolicyDiffBody, PolicyDiffRequest, PolicyRequest, RollbackRequest
from scheduler.services import policies, policy_diffs, policy_views
from scheduler.services.actors import Forbidden
from scheduler.services.policies import FileRefused
from scheduler.services.submit import Conflict, NotFound
from tests.support.control_plane import POLICY, ControlPlane

CARD = POLICY[POLICY.index("---") :]
LESS = POLICY.replace("guarantee: {h100-80g: 2}}", "guarantee: {h100-80g: 1}}")
DEARER = POLICY.replace("card-1", "card-2").replace("h100-80g: 3600", "h100-80g: 4000")


def diff(plane: ControlPlane, text: str, user: str = "admin", against: int = 0) -> PolicyDiffBody:
    """A text against the policy in force, or a version."""
    request = PolicyDiffRequest(text=text, file="new.yaml", against=against)
    with plane.store.read() as view:
        return policy_diffs.diff_text(view, plane.policies, plane.actor(user), request, plane.now_ms)


def versions(plane: ControlPlane, old: int = 0, new: int = 0) -> PolicyDiffBody:
    """Two versions as an administrator sees them."""
    with plane.store.read() as view:
        return policy_diffs.diff_versions(view, plane.policies, plane.actor(), old, new)


def roll_back(
    plane: ControlPlane, version: int, user: str = "admin", reason: str = "C-9", against: int = 0
) -> tuple[PolicyBody, bool]:
    """Put a version in force again."""
    request = RollbackRequest(version=version, reason=reason, against=against)
    return policies.rollback_policy(plane.store, plane.actor(user), request, plane.now_ms)


def paths(body: PolicyDiffBody) -> list[str]:
    """Field, old and new of every change."""
    return [f"{item.path} {item.old} -> {item.new}" for item in body.changes]


def test_the_text_in_force_differs_in_nothing(plane: ControlPlane) -> None:
    body = diff(plane, POLICY + "# a comment\n")
    assert (body.old_version, body.new_version, body.changes, body.prices) == (1, 0, [], [])
    # 4 of the 8 registered
    sums = [(item.flavor, item.before, item.after, item.registered) for item in body.guarantees]
    assert sums == [("h100-80g", 4_000, 4_000, 8_000)]
    assert (body.refusals, body.shrinks, body.whole) == ([], [], True)


def test_a_card_that_is_stored_is_known_to_the_text(plane: ControlPlane) -> None:
    plane.apply(DEARER)
    back = POLICY[: POLICY.index("---")]
    assert paths(diff(plane, back)) == ["rate_card card-2 -> card-1", "won_per_gpu_hour.h100-80g 4000 -> 3600"]
    # of_list 0.1: 400 -> 360, borrow 0.4: 160 -> 144, scavenge 0.1: 40 -> 36
    prices = [(item.tier, item.before_microwon, item.after_microwon) for item in diff(plane, back).prices]
    assert prices == [
        ("guaranteed", 400_000_000, 360_000_000),
        ("borrow", 160_000_000, 144_000_000),
        ("scavenge", 40_000_000, 36_000_000),
    ]


def test_versions_against_each_other(plane: ControlPlane) -> None:
    plane.apply(LESS)
    plane.apply(DEARER)
    change = "classes.sme.org_default.guarantee.h100-80g"
    assert paths(versions(plane, 1, 2)) == [f"{change} 2 -> 1"]
    assert paths(versions(plane, 2, 1)) == [f"{change} 1 -> 2"]
    last = versions(plane)
    assert (last.old_version, last.new_version) == (2, 3)
    assert paths(last)[0] == f"{change} 1 -> 2"
    assert (versions(plane, 1).new_version, versions(plane, 0, 2).old_version) == (3, 1)
    first = versions(plane, 0, 1)
    assert (first.old_version, {item.change for item in first.changes}) == (0, {"added"})
    assert paths(diff(plane, POLICY, against=2)) == [f"{change} 1 -> 2"]
    for wrong in ((9, 0), (0, 9)):
        with pytest.raises(NotFound):
            versions(plane, *wrong)


def test_an_administrator_learns_what_would_be_refused(plane: ControlPlane) -> None:
    text = POLICY.replace("guarantee: {h100-80g: 4}", "guarantee: {h100-80g: 9}")
    assert [item.code for item in diff(plane, text).refusals] == ["DURE-1221"]
    assert diff(plane, text, "auditor").refusals == []
    with pytest.raises(FileRefused):
        diff(plane, "a: [")


def test_who_holds_more_than_would_be_guaranteed_is_named_with_numbers(plane: ControlPlane) -> None:
    assert diff(plane, LESS).shrinks == [], "nobody holds anything"
    plane.started(gpus="h100:2", tiers=["guaranteed"])
    for user in ("admin", "auditor"):
        found = [(item.tree_node, item.held, item.before, item.after) for item in diff(plane, LESS, user).shrinks]
        assert found == [("/sme/acme", 2_000, 2_000, 1_000)]
    assert diff(plane, LESS, "org-admin").shrinks == []
    assert diff(plane, POLICY).shrinks == [], "it is guaranteed what it holds"
    none = LESS.replace("guarantee: {h100-80g: 4}", "guarantee: {h100-80g: 1}")
    assert [(item.tree_node, item.after) for item in diff(plane, none).shrinks] == [
        ("/sme", 1_000),
        ("/sme/acme", 1_000),
    ]


def test_what_is_borrowed_is_no_guarantee(plane: ControlPlane) -> None:
    plane.started(gpus="h100:2", tiers=["borrow"])
    assert diff(plane, LESS).shrinks == []


def test_a_rollback_is_a_version_of_its_own(plane: ControlPlane) -> None:
    plane.apply(DEARER)
    body, new = roll_back(plane, 1)
    assert (body.version, new, body.text, body.reason, body.rate_card) == (
        3,
        True,
        POLICY,
        "rollback to v1: C-9",
        "card-1",
    )
    assert body.applied_by == "admin"
    assert plane.facts()[-1] == "PolicyApplied"
    # card-1 stands in the text again; it was stored with version 1, and nothing is stored anew
    assert {row.name: row.policy_version for row in plane.rows(RateCardRecord)} == {"card-1": 1, "card-2": 2}
    assert roll_back(plane, 1) == (body, False)
    assert roll_back(plane, 3) == (body, False)


def test_a_reason_of_the_full_length_is_kept_whole(plane: ControlPlane) -> None:
    plane.apply(DEARER)
    assert roll_back(plane, 1, reason="가" * 500)[0].reason == "rollback to v1: " + "가" * 500


def test_a_rollback_is_checked_again(plane: ControlPlane) -> None:
    """Version 1 guarantees 4 GPUs; since then nodes have gone, and 2 are registered."""
    plane.apply(POLICY.replace("{h100-80g: 4}", "{h100-80g: 2}"))
    plane.report(plane.node_seen("n1", "h100-80g", 0), plane.node_seen("n2", "h100-80g", 2))
    with pytest.raises(FileRefused) as refused:
        roll_back(plane, 1)
    (finding,) = refused.value.findings
    assert finding.where.startswith("policy-1.yaml:10:")
    assert (finding.code, finding.message) == ("DURE-1221", "the classes guarantee 4 h100-80g but 2 are registered")
    assert len(plane.rows(PolicyRecord)) == 2


def test_a_rollback_to_nothing_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(NotFound, match="no policy version 7"):
        roll_back(plane, 7)
    for user in ("auditor", "org-admin", "nobody"):
        with pytest.raises(Forbidden):
            roll_back(plane, 1, user)


@pytest.mark.parametrize("verb", ["apply", "rollback"])
def test_what_was_decided_against_an_older_version_changes_nothing(plane: ControlPlane, verb: str) -> None:
    plane.apply(DEARER)
    request = PolicyRequest(text=LESS, reason="x", against=1)
    with pytest.raises(Conflict, match="decided against version 1, and in force is version 2 by admin") as refused:
        if verb == "apply":
            policies.apply_policy(plane.store, plane.actor(), request, plane.now_ms)
        else:
            roll_back(plane, 1, against=1)
    assert refused.value.code == "DURE-2120"
    assert len(plane.rows(PolicyRecord)) == 2
    assert roll_back(plane, 1, against=2)[1]


def test_versions_are_listed_with_why_for_who_reads_everything(plane: ControlPlane) -> None:
    plane.apply(DEARER)
    roll_back(plane, 1)
    with plane.store.read() as view:
        whole = policy_views.list_versions(view, plane.actor("auditor"), 10)
        part = policy_views.list_versions(view, plane.actor("org-admin"), 10)
        below = policy_views.list_versions(view, plane.actor(), 1, before=3)
    assert [(item.version, item.reason, item.applied_by, item.in_force) for item in whole] == [
        (3, "rollback to v1: C-9", "admin", True),
        (2, "tests", "admin", False),
        (1, "tests", "admin", False),
    ]
    assert {(item.reason, item.applied_by) for item in part} == {("", "")}
    assert [item.version for item in below] == [2]
    assert whole[0].sha256 == whole[2].sha256
