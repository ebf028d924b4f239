"""No answer names an organisation, a project or a person that the asker has nothing to do with."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from scheduler.api.app import ROUTERS
from scheduler.schema.bodies import PolicyRequest
from scheduler.services import policies
from tests.unit.api.place import DEFAULT_POLICY, ROOT_ACTOR, Place

OVERRIDES = """\
overrides:
  - {org: alpha, weight: 2, reason: "promised to alpha"}
  - {project: beta/lab, weight: 3, reason: "promised to beta"}
"""
POLICY = DEFAULT_POLICY.replace("classes:", f"{OVERRIDES}# beta asked for this\nclasses:", 1)
# Of whom a token may not read: all for one without a role, the other organisation for a member.
FOREIGN = {
    "roleless": ("alpha", "beta", "nlp", "lab", "stranger", "colleague"),
    "member": ("beta", "lab", "stranger"),
    "stranger": ("alpha", "nlp", "colleague"),
}


@pytest.fixture
def busy(place: Place) -> Place:
    """Both organisations have work, and the policy says something about each."""
    policies.apply_policy(place.store, ROOT_ACTOR, PolicyRequest(text=POLICY, reason="as beta asked"), place.now_ms)
    place.nodes(gpus=1)
    for user, project in (("member", "alpha/nlp"), ("colleague", "alpha/nlp"), ("stranger", "beta/lab")):
        place.submit(user, project=project, tiers=["borrow"])
    place.allocator().step(place.now_ms)
    place.now_ms += 60_000
    return place


def paths(place: Place) -> list[str]:
    """Every GET route, its parameters filled with what is there."""
    jobs = [job["id"] for job in place.client("admin").get("/api/v1/jobs").json()["items"]]
    filled = {"{version}": "2", "{org}": "beta", "{number}": "DURE-2027-000001", "{sha256}": "0" * 64}
    found = []
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
                path = route.path
                for name, value in filled.items():
                    path = path.replace(name, value)
                found += [path.replace("{job}", job) for job in jobs] if "{job}" in path else [path]
    return found


@pytest.mark.parametrize("user", FOREIGN)
def test_no_get_route_names_others(busy: Place, user: str) -> None:
    asked = paths(busy)
    assert len(asked) > 30
    told = 0
    for path in asked:
        answer = busy.client(user).get(path)
        text = answer.text.replace("v1alpha1", "")
        if answer.status_code == 404:
            text = text.replace(path.split("/")[4], "")  # what was asked for is said back
        assert [name for name in FOREIGN[user] if name in text] == [], path
        told += answer.status_code == 200
    assert told > 10


def test_the_same_routes_name_them_to_an_administrator(busy: Place) -> None:
    text = "".join(busy.client("admin").get(path).text for path in paths(busy))
    assert [name for name in FOREIGN["roleless"] if name not in text] == []


PARTS = {"member": ["alpha"], "stranger": ["beta"], "roleless": [], "operator": []}


@pytest.mark.parametrize("user", PARTS)
@pytest.mark.parametrize("path", ["/api/v1/policy", "/api/v1/policy/2"])
def test_a_policy_is_shown_in_part(busy: Place, user: str, path: str) -> None:
    whole, part = (busy.client(name).get(path).json() for name in ("auditor", user))
    shown = [whole[name] for name in ("whole", "text", "reason", "applied_by")]
    assert shown == [True, POLICY, "as beta asked", "root"]
    assert [part[name] for name in ("whole", "reason", "applied_by")] == [False, "", ""]
    assert [name for name in ("alpha", "beta") if f"promised to {name}" in part["text"]] == PARTS[user]
    assert "asked" not in part["text"]
    same = ("version", "name", "sha256", "rate_card", "applied_at")
    assert [part[name] for name in same] == [whole[name] for name in same]


BOTH = POLICY.replace("weight: 2", "weight: 5").replace("weight: 3", "weight: 7")


@pytest.mark.parametrize("user", PARTS)
def test_a_difference_is_shown_in_part(busy: Place, user: str) -> None:
    """Neither a text against the policy in force nor two versions tell of others' overrides, nor why and by whom."""
    shown = busy.client(user).get("/api/v1/policy/diff").text.replace("v1alpha1", "")
    assert [name for name in ("alpha", "beta") if name in shown] == PARTS[user]
    for text in (BOTH, DEFAULT_POLICY, POLICY):
        whole, part = (
            busy.client(name).post("/api/v1/policy/diff", json={"text": text}).json() for name in ("auditor", user)
        )
        assert (whole["whole"], part["whole"], part["shrinks"], part["refusals"]) == (True, False, [], [])
        own = [item for item in whole["changes"] if not item["path"].startswith("overrides.")]
        for name in PARTS[user]:
            own += [item for item in whole["changes"] if name in item["who"]]
        assert sorted(map(str, part["changes"])) == sorted(map(str, own))
    versions = busy.client(user).get("/api/v1/policy/versions").json()["items"]
    assert [(item["version"], item["reason"], item["applied_by"]) for item in versions] == [(2, "", ""), (1, "", "")]
    whole_versions = busy.client("auditor").get("/api/v1/policy/versions").json()["items"]
    assert [item["reason"] for item in whole_versions] == ["as beta asked", "tests"]
