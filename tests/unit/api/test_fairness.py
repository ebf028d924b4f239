"""Routes of the fairness report: one report in three forms, its times, and the page's headers."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from scheduler.api.app import create_app
from scheduler.services.fairness_bodies import COLUMNS
from tests.support import asgi
from tests.unit.api.place import Made, Place

HOUR_MS = 3_600_000


@pytest.fixture
def busy(place: Place) -> Place:
    """One job runs and one waits, for an hour."""
    place.nodes(gpus=1)
    for user, project in (("member", "alpha/nlp"), ("stranger", "beta/lab")):
        place.submit(user, project=project, tiers=["borrow"])
    place.allocator().step(place.now_ms)
    place.now_ms += HOUR_MS
    return place


@pytest.fixture
def auditor(busy: Place) -> httpx.Client:
    """An auditor of everything asks."""
    return busy.client("auditor")


def test_json_csv_and_page_are_of_one_report(auditor: httpx.Client) -> None:
    body = auditor.get("/api/v1/fairness").json()
    assert (body["kind"], body["view"], body["since"]) == ("FairnessReport", "whole", "2026-12-31T15:00:00.000Z")
    pool = next(share for share in body["shares"] if share["tree_node"] == "/")
    assert (pool["held_milli_gpu_ms"], pool["demand_milli_gpu_ms"]) == (1_000 * HOUR_MS, 2_000 * HOUR_MS)
    answer = auditor.get("/api/v1/fairness.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(rows[0]) == COLUMNS
    found = {(row["tree_node"], row["figure"]): row["value"] for row in rows if row["table"] == "shares"}
    assert found["/", "held_milli_gpu_ms"] == str(pool["held_milli_gpu_ms"])
    page = auditor.get("/fairness", params={"lang": "en"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "alpha" in page.text
    assert '<html lang="ko">' in auditor.get("/fairness").text


def test_the_page_may_load_its_own_style_and_nothing_else(auditor: httpx.Client) -> None:
    headers = auditor.get("/fairness").headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_a_time_is_cut_to_full_hours(auditor: httpx.Client, busy: Place) -> None:
    times = {"since": "2027-01-15T17:10:00+09:00", "until": "2027-01-15T18:59:00+09:00"}
    body = auditor.get("/api/v1/fairness", params=times).json()
    assert (body["since"], body["until"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T09:00:00.000Z")


BAD = {
    "view": ({"view": "mine"}, 422, "DURE-1040"),
    "since": ({"since": "yesterday"}, 422, "DURE-1040"),
    "period": ({"period": "manual-0009"}, 404, "DURE-3007"),
    "not closed": ({"view": "public"}, 404, "DURE-3040"),
    "not begun": ({"since": "2030-01-01T00:00:00Z"}, 422, "DURE-1340"),
    "two times": ({"since": "2027-01-01T00:00:00Z", "period": "2027-01"}, 422, "DURE-1340"),
}


@pytest.mark.parametrize("path", ["/api/v1/fairness", "/api/v1/fairness.csv", "/fairness"])
@pytest.mark.parametrize(("asked", "status", "code"), BAD.values(), ids=BAD)
def test_bad_questions_are_problems(
    auditor: httpx.Client, path: str, asked: dict[str, str], status: int, code: str
) -> None:
    answer = auditor.get(path, params=asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["fix"]


@pytest.mark.parametrize(
    ("user", "whole", "public"),
    [("", 401, 401), ("roleless", 403, 404), ("org-admin", 403, 404), ("operator", 403, 404), ("admin", 200, 404)],
)
def test_who_may_see_the_page(busy: Place, user: str, whole: int, public: int) -> None:
    """The public one is not there yet: no period is closed."""
    client = busy.client(user)
    assert client.get("/fairness").status_code == whole
    assert client.get("/fairness", params={"view": "public"}).status_code == public


def test_a_page_is_in_a_language_that_it_has(auditor: httpx.Client) -> None:
    assert auditor.get("/fairness", params={"lang": "fr"}).status_code == 422


def test_without_pages_there_are_none(make_place: Made) -> None:
    place = make_place()
    with asgi.client(create_app(place.deps), place.tokens["auditor"]) as client:
        assert client.get("/fairness").status_code == 404
        assert client.get("/api/v1/fairness").status_code == 200
