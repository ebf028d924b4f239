"""A job reports its checkpoint to a real server, by the one line that its script has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from scheduler.client import job as helper
from tests.unit.api.place import NOW_MS, Place
from tests.unit.api.test_use import post, seen

PATH = "/api/v1/attempts/{job}/1/checkpoint"


@pytest.fixture
def running(place: Place) -> str:
    """A job whose only rank runs; returns its id."""
    job: str = post(place, "k").json()["id"]
    place.nodes(gpus=4)
    place.allocator().step(place.now_ms)
    place.report(seen("starting", job, at_ms=NOW_MS), seen("rank-started", job, rank=0, at_ms=NOW_MS))
    return job


def test_with_its_own_token_and_no_other(place: Place, running: str) -> None:
    nobody, path = place.client(), PATH.format(job=running)
    own = {"Authorization": f"Bearer {place.deps.attempt_tokens.token(running, 1)}"}
    answer = nobody.post(path, json={"step": 40}, headers=own)
    assert (answer.status_code, answer.json()["step"], answer.json()["is_leaving"]) == (200, 40, False)
    body = place.client("member").get(f"/api/v1/jobs/{running}").json()
    assert (body["checkpoint_step"], body["checkpoint_at"] != "") == (40, True)
    other = {"Authorization": f"Bearer {place.deps.attempt_tokens.token(running, 2)}"}
    assert nobody.post(path, json={}, headers=other).status_code == 403
    assert place.client("admin").post(path, json={}).status_code == 401
    assert nobody.post(path, json={"step": -1}, headers=own).status_code == 422
    assert nobody.get("/api/v1/jobs", headers=own).status_code == 401


@pytest.fixture
def served(place: Place) -> Iterator[str]:
    """The API on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(place.app, log_level="error", loop="asyncio", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_by_one_line_of_the_script(place: Place, running: str, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(helper._quiet, "until", 0.0)
    assert not helper.checkpointed(step=1), "outside a job nobody is told"
    token = place.deps.attempt_tokens.token(running, 1)
    for name, value in {"JOB": running, "ATTEMPT": "1", "API_URL": served, "ATTEMPT_TOKEN": token}.items():
        monkeypatch.setenv(f"DURE_{name}", value)
    assert helper.checkpointed(step=7)
    assert place.client("member").get(f"/api/v1/jobs/{running}").json()["checkpoint_step"] == 7


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "file:///etc/passwd", "nonsense", ""])
def test_what_cannot_be_reached_stops_no_training(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(helper._quiet, "until", 0.0)
    for name, value in {"JOB": "jobx", "API_URL": url, "ATTEMPT_TOKEN": "t"}.items():
        monkeypatch.setenv(f"DURE_{name}", value)
    assert not helper.checkpointed()
    assert not helper.checkpointed(), "and is not asked again at once"
