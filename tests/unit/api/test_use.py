"""The API in use: submit, list, steer, run, read output, apply policy, register, page through lists."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from scheduler.api.params import from_cursor, to_cursor
from scheduler.services.submit import Invalid
from tests.unit.api.place import DEFAULT_POLICY, NOW_MS, TASK, Place

ZIP = b"PK\x05\x06" + b"\0" * 18


def post(place: Place, key: str | None, user: str = "member", **task: Any) -> Any:
    """POST /jobs."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return place.client(user).post("/api/v1/jobs", json={**TASK, **task}, headers=headers)


def test_the_same_key_and_task_are_one_job(place: Place) -> None:
    first, again, other_task = post(place, "k"), post(place, "k"), post(place, "k", name="other")
    other_key, other_user = post(place, "l"), post(place, "k", user="colleague")
    assert [answer.status_code for answer in (first, again, other_task, other_key, other_user)] == [
        201,
        200,
        422,
        201,
        201,
    ]
    assert again.content == first.content
    assert other_task.json()["code"] == "DURE-1011"
    assert len({answer.json()["id"] for answer in (first, other_key, other_user)}) == 3
    assert len(place.client("admin").get("/api/v1/jobs").json()["items"]) == 3


@pytest.mark.parametrize("key", [None, "", "k" * 129])
def test_a_submission_needs_a_key(place: Place, key: str | None) -> None:
    answer = post(place, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "DURE-1040")
    assert answer.json()["findings"][0]["where"] == "header.Idempotency-Key"


def test_a_refused_submission_is_no_job(place: Place) -> None:
    answer = post(place, "k", gpus="h100:65")
    assert (answer.status_code, answer.json()["code"]) == (403, "DURE-2101")
    assert place.client("admin").get("/api/v1/jobs?all=true").json()["items"] == []


def test_jobs_come_in_pages_newest_first(place: Place) -> None:
    made = [place.submit(key=f"k{number}")["id"] for number in range(7)]
    pages, cursor = [], ""
    for _ in range(10):
        answer = place.client("member").get("/api/v1/jobs", params={"limit": 3, "cursor": cursor}).json()
        pages.append([item["id"] for item in answer["items"]])
        cursor = answer["next"]
        if not cursor:
            break
    assert pages == [made[6:3:-1], made[3:0:-1], made[0:1]]


def test_lists_of_the_registry_come_in_pages(place: Place) -> None:
    admin = place.client("admin")
    for name in ("a", "a-b", "c"):
        assert admin.post("/api/v1/orgs", json={"name": name, "class_name": "sme"}).status_code == 201
        assert admin.post("/api/v1/projects", json={"org": name, "name": "x"}).status_code == 201
    for path, name in (("orgs", "name"), ("projects", "org"), ("members", "scope")):
        whole = admin.get(f"/api/v1/{path}").json()
        assert whole["next"] == ""
        found, cursor = [], ""
        for _ in range(40):
            answer = admin.get(f"/api/v1/{path}", params={"limit": 2, "cursor": cursor}).json()
            assert len(answer["items"]) in (1, 2)
            found += answer["items"]
            cursor = answer["next"]
            if not cursor:
                break
        assert found == whole["items"]
        assert len(found) >= 5
        assert [item[name] for item in found] == sorted(item[name] for item in found)


def test_tokens_come_in_pages(place: Place) -> None:
    admin = place.client("admin")
    for _ in range(4):
        place.now_ms += 1
        assert admin.post("/api/v1/tokens", json={}).status_code == 201
    whole = admin.get("/api/v1/tokens").json()
    found, cursor = [], ""
    for _ in range(40):
        answer = admin.get("/api/v1/tokens", params={"limit": 3, "cursor": cursor}).json()
        found += answer["items"]
        cursor = answer["next"]
        if not cursor:
            break
    assert found == whole["items"]
    assert len(found) == 4 + len(place.tokens)
    answer = admin.get("/api/v1/tokens", params={"cursor": to_cursor("alpha")})
    assert (answer.status_code, answer.json()["code"]) == (422, "DURE-1044")


@pytest.mark.parametrize("place_text", ["", "1", "a-b", "project:a/b kim member", "é"])
def test_cursors_return(place_text: str) -> None:
    assert from_cursor(to_cursor(place_text)) == place_text


@pytest.mark.parametrize("cursor", ["!", "YQ=", "a", "_w", "AA", "가"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        from_cursor(cursor)


def seen(kind: str, job: str, **fields: Any) -> dict[str, Any]:
    """An observation of attempt 1 of a job."""
    suffix = f"/{fields['rank']}" if "rank" in fields else ""
    return {"id": f"d-{job}-a1/{kind}{suffix}", "kind": kind, "job": job, "attempt": 1, **fields}


def test_a_job_from_submit_to_its_end(place: Place) -> None:
    member, operator = place.client("member"), place.client("operator")
    content = ZIP
    sha256 = hashlib.sha256(content).hexdigest()
    assert member.head(f"/api/v1/packages/{sha256}").status_code == 404
    assert post(place, "early", package_sha256=sha256).json()["code"] == "DURE-1107"
    assert member.put(f"/api/v1/packages/{sha256}", content=content).json()["new"] is True
    assert member.put(f"/api/v1/packages/{sha256}", content=content).json()["new"] is False
    assert member.head(f"/api/v1/packages/{sha256}").headers["content-length"] == str(len(content))
    job = post(place, "k", package_sha256=sha256).json()["id"]
    place.nodes(gpus=4)
    assert place.allocator().step(place.now_ms).admitted == (job,)

    (wanted,) = operator.post("/api/v1/operator/local/pull", json={}).json()["assignments"]
    assert (wanted["job"], wanted["attempt"], wanted["package_sha256"]) == (job, 1, sha256)
    assert operator.get(f"/api/v1/packages/{sha256}").content == content
    place.now_ms += 5_000
    place.report(seen("starting", job, at_ms=NOW_MS + 1_000), seen("rank-started", job, rank=0, at_ms=NOW_MS + 2_000))
    assert member.get(f"/api/v1/jobs/{job}").json()["attempt_state"] == "Running"
    assert member.get("/api/v1/gpus").json()["items"][0]["held"] == 1

    log = f"/api/v1/operator/local/logs/{job}/1/0"
    assert operator.post(log, params={"offset": 0}, content=b"hello ").json()["size"] == 6
    assert operator.post(log, params={"offset": 0}, content=b"hello ").json()["size"] == 6
    assert operator.post(log, params={"offset": 6}, content="세계\n".encode()).json()["size"] == 13
    answer = member.get(f"/api/v1/jobs/{job}/logs", params={"offset": 6, "limit": 3})
    assert answer.content == "세".encode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    shown = [answer.headers[name] for name in ("dure-log-size", "dure-log-attempt", "dure-job-state")]
    assert shown == ["13", "1", "Active"]
    assert member.get(f"/api/v1/jobs/{job}/logs?attempt=2").json()["code"] == "DURE-3010"

    place.now_ms += 5_000
    place.report(
        seen("rank-ended", job, rank=0, at_ms=NOW_MS + 8_000, exit_code=0, evidence="observed"),
        seen("gone", job, at_ms=NOW_MS + 9_000, exit_code=0),
    )
    body = member.get(f"/api/v1/jobs/{job}").json()
    assert (body["state"], body["exit_code"], body["held_gpu_seconds"]) == ("Succeeded", 0, 9)
    events = [item["event"] for item in member.get(f"/api/v1/jobs/{job}/events").json()["items"]]
    assert events[0] == "Queued"
    assert {"Admitted", "Starting", "RankStarted", "Gone", "Succeeded"} <= set(events)
    assert member.get("/api/v1/jobs").json()["items"] == []
    assert [item["id"] for item in member.get("/api/v1/jobs?all=1").json()["items"]] == [job]
    assert member.get(f"/api/v1/jobs/{TASK['name']}").json()["id"] == job


def test_a_running_job_is_cancelled_by_an_order(place: Place) -> None:
    job = place.submit()["id"]
    place.nodes()
    place.allocator().step(place.now_ms)
    first = place.client("member").post(f"/api/v1/jobs/{job}/cancel").json()
    assert (first["state"], first["attempt_state"]) == ("Active", "Stopping")
    assert place.client("member").post(f"/api/v1/jobs/{job}/cancel").json() == first
    (wanted,) = place.client("operator").post("/api/v1/operator/local/pull", json={}).json()["assignments"]
    assert wanted["stop"]["reason"] == "cancel"


def test_hold_and_release(place: Place) -> None:
    member = place.client("member")
    job = place.submit()["id"]
    assert member.post(f"/api/v1/jobs/{job}/hold").json()["state"] == "Held"
    assert member.post(f"/api/v1/jobs/{job}/release").json()["state"] == "Queued"
    assert member.post(f"/api/v1/jobs/{job}/cancel").json()["state"] == "Cancelled"
    answer = member.post(f"/api/v1/jobs/{job}/hold")
    assert (answer.status_code, answer.json()["code"]) == (409, "DURE-6002")


def test_a_package_with_another_sum_is_refused(place: Place) -> None:
    answer = place.client("member").put(f"/api/v1/packages/{'0' * 64}", content=ZIP)
    assert answer.status_code == 422
    assert place.client("member").head(f"/api/v1/packages/{'0' * 64}").status_code == 404


def test_a_policy_with_mistakes_is_refused_with_all_of_them(place: Place) -> None:
    admin = place.client("admin")
    text = DEFAULT_POLICY.replace("weight: 40", "weight: heavy").replace("half_life: 7d", "half_life: 7 days")
    request = {"text": text, "file": "mine.yaml"}
    answer = admin.post("/api/v1/policy", json={**request, "reason": "test"})
    assert answer.status_code == 422
    findings = answer.json()["findings"]
    assert len(findings) >= 2
    assert all(finding["where"].startswith("mine.yaml:") for finding in findings)
    assert admin.post("/api/v1/policy/lint", json=request).json()["items"] == findings
    assert admin.post("/api/v1/policy/diff", json=request).json()["findings"] == findings
    assert admin.get("/api/v1/policy").json()["version"] == 1


def test_a_policy_is_applied_once(place: Place) -> None:
    admin = place.client("admin")
    request = {"text": DEFAULT_POLICY + "# changed\n", "reason": "test"}
    answers = [admin.post("/api/v1/policy", json=request) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert [answer.json()["version"] for answer in answers] == [2, 2]
    assert admin.get("/api/v1/policy/1").json()["text"] == DEFAULT_POLICY


REASONS = {
    "none": {},
    "empty": {"reason": ""},
    "blank": {"reason": " \t "},
    "two lines": {"reason": "a\nb"},
    "hidden direction": {"reason": "a\u202eb"},
    "an escape": {"reason": "\x1b[31m"},
    "501 characters": {"reason": "가" * 501},
}


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS.keys())
@pytest.mark.parametrize(
    ("path", "what"), [("policy", {"text": DEFAULT_POLICY + "# 2\n"}), ("policy/rollback", {"version": 1})]
)
def test_a_policy_is_put_in_force_for_a_reason(
    place: Place, path: str, what: dict[str, object], reason: dict[str, str]
) -> None:
    admin = place.client("admin")
    answer = admin.post(f"/api/v1/{path}", json={**what, **reason})
    assert (answer.status_code, answer.json()["code"]) == (422, "DURE-1040")
    assert "reason" in answer.json()["findings"][0]["where"]
    assert admin.get("/api/v1/policy").json()["version"] == 1


def test_a_reason_is_kept_without_the_spaces_around_it(place: Place) -> None:
    request = {"text": DEFAULT_POLICY + "# 2\n", "reason": "  국가과제 C-204 🚀 "}
    assert place.client("admin").post("/api/v1/policy", json=request).json()["reason"] == "국가과제 C-204 🚀"


def test_versions_come_in_pages_the_newest_first(place: Place) -> None:
    admin = place.client("admin")
    for number in range(2, 6):
        admin.post("/api/v1/policy", json={"text": f"{DEFAULT_POLICY}# {number}\n", "reason": f"C-{number}"})
    seen, cursor = [], ""
    for _ in range(3):
        answer = admin.get("/api/v1/policy/versions", params={"limit": 2, "cursor": cursor}).json()
        seen += [(item["version"], item["reason"], item["in_force"]) for item in answer["items"]]
        cursor = answer["next"]
    assert seen == [(5, "C-5", True), (4, "C-4", False), (3, "C-3", False), (2, "C-2", False), (1, "tests", False)]
    assert cursor == ""
    assert admin.get("/api/v1/policy/versions", params={"cursor": "x"}).json()["code"] == "DURE-1044"


def test_what_was_decided_against_another_version_is_refused(place: Place) -> None:
    admin = place.client("admin")
    request = {"reason": "test", "against": 1}
    first = admin.post("/api/v1/policy", json={**request, "text": f"{DEFAULT_POLICY}# 2\n"})
    answer = admin.post("/api/v1/policy", json={**request, "text": f"{DEFAULT_POLICY}# 3\n"})
    assert (first.status_code, answer.status_code) == (201, 409)
    assert (answer.json()["code"], answer.json()["detail"]) == (
        "DURE-2120",
        "this was decided against version 1, and in force is version 2 by admin",
    )
    again = {"version": 1, "reason": "test", "against": 1}
    assert admin.post("/api/v1/policy/rollback", json=again).status_code == 409
    back = admin.post("/api/v1/policy/rollback", json={**again, "against": 2})
    assert (back.status_code, back.json()["version"], back.json()["reason"]) == (201, 3, "rollback to v1: test")
    repeated = admin.post("/api/v1/policy/rollback", json={**again, "against": 2})
    assert (repeated.status_code, repeated.json()["version"]) == (200, 3)


def test_usage_shows_what_is_not_posted_yet(place: Place) -> None:
    job = place.submit()["id"]
    place.nodes()
    place.allocator().step(place.now_ms)
    place.now_ms += 60_000
    (line,) = place.client("member").get("/api/v1/usage").json()["items"]
    assert (line["org"], line["project"], line["jobs"]) == ("alpha", "nlp", 1)
    assert line["unposted_milli_gpu_ms"] == 60_000 * 1_000, job
    assert place.client("stranger").get("/api/v1/usage").json()["items"] == []
    early = {"since": "2020-01-01T00:00:00Z", "until": "2020-02-01T00:00:00+09:00"}
    assert place.client("member").get("/api/v1/usage", params=early).json()["items"] == []


def test_a_node_without_a_name_is_refused_at_its_place(place: Place) -> None:
    named = {
        "id": "n/1",
        "kind": "node",
        "at_ms": NOW_MS,
        "node": "n",
        "flavor": "h100-80g",
        "gpus": 1,
        "registered": 1,
    }
    batch = {"at_ms": NOW_MS, "observed_through_ms": 0, "observations": [named, {**named, "id": "n/2", "node": ""}]}
    answer = place.client("operator").post("/api/v1/operator/local/report", json=batch)
    assert (answer.status_code, answer.json()["code"]) == (422, "DURE-1040")
    assert answer.json()["findings"][0]["where"] == "body.observations.1"
    assert place.client("admin").get("/api/v1/gpus").json()["items"] == []


def test_an_operator_speaks_for_its_cluster_only(place: Place) -> None:
    job = place.submit()["id"]
    place.nodes()
    place.allocator().step(place.now_ms)
    far = place.client("other-operator")
    assert far.post("/api/v1/operator/far/pull", json={}).json()["assignments"] == []
    answer = far.post(f"/api/v1/operator/far/logs/{job}/1/0?offset=0", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (404, "DURE-3010")
