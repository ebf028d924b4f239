"""Policies: versions, every refusal with its place, what must not be taken away, and the effective policy."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from scheduler.core.errors import Finding
from scheduler.core.instants import parse_rfc3339
from scheduler.core.records import PolicyRecord, RateCardRecord
from scheduler.schema.bodies import PolicyRequest, PolicyText
from scheduler.services import policies
from scheduler.services.actors import Forbidden
from scheduler.services.effective import EffectivePolicies
from scheduler.services.policies import FileRefused
from scheduler.services.submit import NotFound
from scheduler.store.memory import MemoryStore
from tests.support.control_plane import POLICY, ControlPlane

CARD = POLICY[POLICY.index("---") :]
POLICY_ONLY = POLICY[: POLICY.index("---")]


def lint(plane: ControlPlane, text: str) -> list[Finding]:
    """Every mistake of a text."""
    with plane.store.read() as view:
        return policies.lint_policy(view, PolicyText(text=text, file="new.yaml"), plane.now_ms)


def test_the_same_text_again_is_no_new_version(plane: ControlPlane) -> None:
    facts = plane.facts()
    request = PolicyRequest(text=POLICY, file="other-name.yaml", reason="again")
    body, new = policies.apply_policy(plane.store, plane.actor(), request, plane.now_ms)
    assert (body.version, new) == (1, False)
    assert plane.facts() == facts


def test_another_text_is_the_next_version(plane: ControlPlane) -> None:
    request = PolicyRequest(text=POLICY + "# a comment\n", file="policy.yaml", reason="because")
    body, new = policies.apply_policy(plane.store, plane.actor(), request, plane.now_ms)
    assert (body.version, new, body.applied_by, body.reason) == (2, True, "admin", "because")
    assert plane.facts()[-1] == "PolicyApplied"
    assert plane.apply(POLICY) == 3, "an earlier text in force again is a version of its own"


def test_a_stored_rate_card_need_not_be_sent_again(plane: ControlPlane) -> None:
    assert plane.apply(POLICY_ONLY) == 2
    assert len(plane.rows(RateCardRecord)) == 1


PLACES = {
    "a class": (POLICY.replace("university:", "college:"), ["DURE-1260 new.yaml:9:3"]),
    "a rate card": (POLICY.replace("h100-80g: 3600", "h100-80g: 1"), ["DURE-1261 new.yaml:17:18"]),
    "a flavor": (
        POLICY.replace(", a100-80g: {exchange: 0.45}", "").replace("card-1", "card-2").replace(", a100-80g: 1800", ""),
        ["DURE-1262 new.yaml:4:10"],
    ),
}


@pytest.mark.parametrize(("text", "wanted"), PLACES.values(), ids=PLACES.keys())
def test_what_is_still_needed_is_missed_at_its_place(plane: ControlPlane, text: str, wanted: list[str]) -> None:
    plane.submit(gpus="a100:1", tiers=["borrow"])
    assert [f"{item.code} {item.where}" for item in lint(plane, text)] == wanted


@dataclass(frozen=True)
class Case:
    """A text that is refused."""

    text: str
    code: str
    says: str


REFUSED = {
    "not YAML": Case("a: [", "DURE-12", ""),
    "a mistake in it": Case(POLICY.replace("weight: 1", "weight: -1"), "DURE-12", "weight"),
    "class that organisations are in": Case(POLICY.replace("university:", "college:"), "DURE-1260", "uni is of class"),
    "more than is registered": Case(
        POLICY.replace("guarantee: {h100-80g: 4}", "guarantee: {h100-80g: 9}"), "DURE-1221", "8 are registered"
    ),
    "more than the class has": Case(
        POLICY.replace("org_default: {guarantee: {h100-80g: 2}}", "org_default: {guarantee: {h100-80g: 5}}"),
        "DURE-12",
        "sme",
    ),
    "other prices under a used name": Case(POLICY.replace("h100-80g: 3600", "h100-80g: 1"), "DURE-1261", "card-1"),
    "another date under a used name": Case(POLICY.replace("2026-07-01", "2026-07-02"), "DURE-1261", "card-1"),
    "a card that does not hold yet": Case(
        POLICY.replace("card-1", "card-2").replace("2026-07-01T00", "2026-10-01T00"),
        "DURE-1263",
        "card-2 holds only from 2026-09-30T15:00:00",
    ),
    "a card that is not there": Case(POLICY_ONLY.replace("card-1", "card-9"), "DURE-12", "card-9"),
    "a flavor that the stored card has no price for": Case(
        POLICY_ONLY.replace("flavors: {", "flavors: {b200: {exchange: 2}, "), "DURE-12", "b200"
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(plane: ControlPlane, case: Case) -> None:
    facts = plane.facts()
    with pytest.raises(FileRefused) as refused:
        plane.apply(case.text)
    assert refused.value.code.startswith(case.code)
    assert any(case.says in finding.message for finding in refused.value.findings)
    assert all(re.fullmatch(r"policy\.yaml:\d+:\d+", item.where) for item in refused.value.findings)
    assert plane.facts() == facts
    assert len(plane.rows(PolicyRecord)) == len(plane.rows(RateCardRecord)) == 1
    messages = {(finding.code, finding.message) for finding in refused.value.findings}
    assert {(finding.code, finding.message) for finding in lint(plane, case.text)} == messages


def test_all_mistakes_come_at_once(plane: ControlPlane) -> None:
    text = POLICY.replace("h100-80g: 3600", "h100-80g: 1").replace(
        "guarantee: {h100-80g: 4}", "guarantee: {h100-80g: 9}"
    )
    assert len(lint(plane, text)) >= 2
    with pytest.raises(FileRefused, match="more"):
        plane.apply(text)


def test_a_sound_text_has_no_findings(plane: ControlPlane) -> None:
    assert lint(plane, POLICY) == []


WITHOUT_A100 = (
    POLICY.replace(", a100-80g: {exchange: 0.45}", "").replace("card-1", "card-2").replace(", a100-80g: 1800", "")
)


@pytest.mark.parametrize("state", ["Queued", "Held", "Active"])
def test_a_flavor_that_jobs_still_need_stays(plane: ControlPlane, state: str) -> None:
    """Such a job could start under a policy that has no price for it, and nothing could ever be posted again."""
    job = plane.submit(gpus="a100:1", tiers=["borrow"], hold=state == "Held").id
    if state == "Active":
        plane.cycle()
    assert plane.job(job).state == state
    with pytest.raises(FileRefused, match="1 jobs that have not ended ask for flavor a100-80g") as refused:
        plane.apply(WITHOUT_A100)
    assert refused.value.code == "DURE-1262"


def test_a_flavor_that_nobody_needs_any_more_may_go(plane: ControlPlane) -> None:
    job = plane.started(gpus="a100:1", tiers=["borrow"])
    plane.pass_ms(60_000)
    plane.ended(job)
    assert plane.apply(WITHOUT_A100) == 2
    assert plane.settle().settled == 1, "what was admitted before has its price from before"


def test_a_rate_card_is_stored_ahead_of_time_and_used_from_then_on(plane: ControlPlane) -> None:
    holds_ms = parse_rfc3339("2026-10-01T00:00:00+09:00")
    later = CARD.replace("card-1", "card-2").replace("2026-07-01T00", "2026-10-01T00")
    plane.apply(POLICY + later)
    switched = POLICY_ONLY.replace("card-1", "card-2")
    plane.now_ms = holds_ms - 1
    (finding,) = lint(plane, switched)
    assert finding.where.startswith("new.yaml:12:")
    assert (finding.code, finding.fix) == (
        "DURE-1263",
        "name the card that holds now, and apply this policy when the new one does",
    )
    with pytest.raises(FileRefused) as refused:
        plane.apply(switched)
    assert refused.value.code == "DURE-1263"
    plane.now_ms = holds_ms
    assert lint(plane, switched) == []
    assert plane.apply(switched) == 3


@pytest.mark.parametrize("user", ["org-admin", "auditor", "member", "operator", "nobody"])
def test_only_an_administrator_applies(plane: ControlPlane, user: str) -> None:
    with pytest.raises(Forbidden):
        policies.apply_policy(plane.store, plane.actor(user), PolicyRequest(text=POLICY, reason="tests"), plane.now_ms)


def test_show(plane: ControlPlane) -> None:
    plane.apply(POLICY + "# two\n")
    with plane.store.read() as view:
        assert policies.show_policy(view).version == 2
        assert policies.show_policy(view, 1).text == POLICY
        with pytest.raises(NotFound) as refused:
            policies.show_policy(view, 9)
    assert refused.value.code == "DURE-3006"


def test_show_before_the_first() -> None:
    with MemoryStore().read() as view, pytest.raises(NotFound) as refused:
        policies.show_policy(view)
    assert refused.value.code == "DURE-3006"


# The effective policy.

LEASED = POLICY.replace(
    "rate_card: card-1\n",
    "overrides:\n  - {org: acme, weight: 7, until: 2026-09-22T00:00:00+09:00, reason: test}\nrate_card: card-1\n",
    1,
)


def test_an_override_ends_by_itself(plane: ControlPlane) -> None:
    plane.apply(LEASED)
    cache = EffectivePolicies()
    weights = []
    for at_ms in (plane.now_ms, plane.now_ms + 1, 1_790_002_800_000, 1_790_002_800_000 - 1):
        with plane.store.read() as view:
            policy = cache.current(view, at_ms)
        assert policy is not None
        weights.append(policy.tree.node("/sme/acme").weight_ppm // 1_000_000)
    # 2026-09-22T00:00+09:00 is 1,790,002,800,000
    assert weights[:3] == [7, 7, 1]


def test_the_cache_is_one_value_until_something_changes(plane: ControlPlane) -> None:
    cache = EffectivePolicies()
    with plane.store.read() as view:
        first = cache.current(view, plane.now_ms)
        assert cache.current(view, plane.now_ms + 10**9) is first
    plane.add_member("colleague", "project-admin", "project:acme/nlp")
    with plane.store.read() as view:
        second = cache.current(view, plane.now_ms)
    assert first is not None
    assert second is not None
    assert second.registry_seq == first.registry_seq + 1
    plane.apply(POLICY + "# two\n")
    with plane.store.read() as view:
        third = cache.current(view, plane.now_ms)
    assert third is not None
    assert third.policy_version == 2
