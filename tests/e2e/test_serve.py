"""The server on real sockets: one key is one job however often it comes, odd texts, its start and its end."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from scheduler.config import Settings
from scheduler.core.records import JobRecord
from scheduler.main.bootstrap import ITSELF, ensure_admin
from scheduler.main.control_plane import ControlPlane, build_control_plane
from scheduler.main.embedded import default_policy
from scheduler.main.serving import listen, make_server, url_of
from scheduler.schema.bodies import OrgRequest, PolicyRequest, ProjectRequest
from scheduler.services.policies import apply_policy
from scheduler.services.registry import create_org, create_project
from tests.e2e.conftest import MakeDure

pytestmark = pytest.mark.slow

TASK = {"name": "train", "project": "demo/main", "gpus": "h100:1", "run": "true"}
POSTS = 50
Serve = Callable[[Settings], tuple[str, ControlPlane]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves control planes on real sockets, in threads of this process, with one project registered."""
    with contextlib.ExitStack() as stack:

        def run(settings: Settings) -> tuple[str, ControlPlane]:
            listener = stack.enter_context(contextlib.closing(listen(settings)))
            plane = stack.enter_context(contextlib.closing(build_control_plane(settings, "test")))
            now_ms = plane.clock()
            ensure_admin(plane.store, settings.data / "admin.token", now_ms, always=True)
            apply_policy(plane.store, ITSELF, PolicyRequest(text=default_policy().text, reason="tests"), now_ms)
            org = OrgRequest(name="demo", class_name="startup")
            create_org(plane.store, plane.policies, ITSELF, org, now_ms)
            create_project(plane.store, ITSELF, ProjectRequest(org="demo", name="main"), now_ms)
            server = make_server(plane, plane.stop)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            plane.start()
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(30)
                assert not thread.is_alive()

            stack.callback(stop)
            return url_of(listener), plane

        yield run


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.store)])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database; "" is SQLite in the data folder."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


def test_one_key_posted_fifty_times_at_once_is_one_job(database: str, serve: Serve, tmp_path: Path) -> None:
    url, plane = serve(Settings(data=tmp_path / "data", database_url=database, port=0))
    token = (tmp_path / "data" / "admin.token").read_text(encoding="utf-8").strip()
    together = threading.Barrier(POSTS)

    def post(_number: int) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "the-one"}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            client.get("/healthz")
            together.wait(60)
            answer = client.post("/api/v1/jobs", json=TASK)
            return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(POSTS) as pool:
        answers = list(pool.map(post, range(POSTS)))
    assert Counter(status for status, _ in answers) == {201: 1, 200: POSTS - 1}
    assert len({job for _, job in answers}) == 1
    with plane.store.read() as view:
        assert view.count(JobRecord) == 1


TEXTS = ("a\0b", "\ud800", "\u2028", "x" * 200, "'; DROP TABLE job; --", "%s %(x)s {0}", "é" * 100)


def test_odd_texts_are_kept_or_refused_and_never_break_a_database(database: str, serve: Serve, tmp_path: Path) -> None:
    url, plane = serve(Settings(data=tmp_path / "data", database_url=database, port=0))
    token = (tmp_path / "data" / "admin.token").read_text(encoding="utf-8").strip()
    answers: Counter[int] = Counter()
    with httpx.Client(base_url=f"{url}/api/v1", timeout=60, trust_env=False) as client:
        client.headers.update({"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        for number, text in enumerate(TEXTS):
            bodies: dict[str, dict[str, object]] = {
                "orgs": {"name": f"new-{number}", "class_name": "sme", "title": text},
                "projects": {"org": "demo", "name": f"new-{number}", "title": text},
                "tokens": {"note": text},
                "policy": {"text": f"{default_policy().text}# {number}\n", "reason": text, "file": text[:100]},
                "jobs": {**TASK, "run": text, "env": {"A": text}, "setup": text},
            }
            for path, body in bodies.items():
                headers = {"Idempotency-Key": f"k{number}"}
                answer = client.post(f"/{path}", content=json.dumps(body), headers=headers)
                assert answer.status_code in (201, 422), (path, text, answer.text)
                answers[answer.status_code] += 1
        assert len(client.get("/jobs").json()["items"]) == len(TEXTS) - 2
    # NUL and the lone surrogate are refused everywhere, a second line in a policy's reason; all other texts are kept.
    assert answers == {201: 5 * (len(TEXTS) - 2) - 1, 422: 5 * 2 + 1}
    assert not plane.app.state.uploads


def test_a_large_body_is_refused_over_a_real_connection(serve: Serve, tmp_path: Path) -> None:
    url, _ = serve(Settings(data=tmp_path / "data", port=0))
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        answer = client.post("/api/v1/jobs", content=b" " * (1024 * 1024 + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "DURE-1042")
        assert client.get("/healthz").text == "ok\n"


def test_other_names_are_not_served_on_the_loopback_address(serve: Serve, tmp_path: Path) -> None:
    url, _ = serve(Settings(data=tmp_path / "data", port=0))
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/healthz", headers={"Host": "attacker.example"})
        assert (answer.status_code, answer.json()["code"]) == (421, "DURE-4004")
        assert "server" not in answer.headers


def test_the_first_signal_ends_in_good_order_and_the_second_at_once(make_dure: MakeDure) -> None:
    dure = make_dure("serve", DURE_SHUTDOWN_MS="120000")
    dure.start()
    assert dure.cli("whoami", "-o", "json").count('"admin"') >= 2
    place = ("127.0.0.1", int(dure.url.rpartition(":")[2]))
    with socket.create_connection(place, timeout=30) as unfinished:
        head = "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
        unfinished.sendall(head.encode())
        dure.signal()
        with pytest.raises(ConnectionRefusedError):
            while True:  # nobody new is let in, while the request that has begun may still be finished
                socket.create_connection(place, timeout=30).close()
                time.sleep(0.05)
        dure.signal()
        assert dure.wait_for_end() == 130
    assert "Traceback" not in dure.log
