"""Calls to the API: bounded in time, size and repeats; every failure is one of a few errors."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from scheduler.client.errors import ApiBusy, ApiProblem, ApiRefused, Unreachable
from scheduler.client.http import Client
from scheduler.client.transport import Policy, Request, Transport, jittered_pause_seconds, problem_of
from scheduler.core.errors import DureError, Fatal, Retry
from scheduler.schema.bodies import TaskBody
from tests.unit.client.faulty import Answer, Exchange, serving

TASK = TaskBody(name="t", project="o/p", gpus="h100:1", run="true")
PROBLEM = {
    "type": "urn:x",
    "title": "too many GPUs for one job",
    "status": 403,
    "detail": "96 GPUs are above the limit",
    "code": "DURE-2101",
    "fix": "lower gpus",
    "findings": [{"where": "gpus", "code": "DURE-2101", "message": "too many", "fix": "", "new_field": 1}],
    "a_field_of_the_future": [1],
}


class Clock:
    """Time that passes only when somebody sleeps, or by a step at every look."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.now = 0.0
        self.step = step_seconds
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        """Now."""
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(url: str, clock: Clock, token: str = "dure_a_b", tries: int = 4) -> Client:
    policy = Policy(tries=tries, sleep=clock.sleep, monotonic=clock.monotonic)
    return Client(url, token, policy=policy, timeout_seconds=5)


def failing(answer: Answer, clock: Clock, call: Callable[[Client], object], tries: int = 4) -> tuple[DureError, int]:
    """The error of a call and how many requests the server saw."""
    with serving(answer) as (url, seen), client(url, clock, tries=tries) as api, pytest.raises(DureError) as caught:
        call(api)
    return caught.value, len(seen)


def busy_then(status: int, times: int, body: bytes) -> Answer:
    def answer(exchange: Exchange) -> None:
        if exchange.number <= times:
            exchange.answer(status)
        else:
            exchange.answer(200, body, Content_Type="application/json")

    return answer


GPUS = b'{"apiVersion": "dure.dev/v1alpha1", "kind": "GpuList", "items": [], "next": "", "of_the_future": 1}'


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again_with_growing_pauses(clock: Clock, status: int) -> None:
    with serving(busy_then(status, 3, GPUS)) as (url, seen), client(url, clock) as api:
        assert api.gpus().items == []
    assert len(seen) == 4
    assert [pause <= limit for pause, limit in zip(clock.pauses, (0.2, 0.4, 0.8), strict=True)] == [True] * 3
    assert all(pause > 0 for pause in clock.pauses)


def test_after_the_last_try_the_answer_is_the_error(clock: Clock) -> None:
    error, requests = failing(lambda exchange: exchange.answer(503), clock, lambda api: api.gpus())
    assert (type(error), error.code, requests) == (ApiBusy, "DURE-8004", 4)
    assert isinstance(error, Retry)


def test_500_is_not_repeated(clock: Clock) -> None:
    error, requests = failing(lambda exchange: exchange.answer(500), clock, lambda api: api.gpus())
    assert (type(error), requests) == (ApiBusy, 1)


def test_submitting_is_repeated_with_the_same_key(clock: Clock) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.cut()
        else:
            exchange.answer(422)

    with serving(answer) as (url, seen), client(url, clock) as api, pytest.raises(ApiRefused):
        api.submit(TASK, "key-1")
    assert [exchange.headers["Idempotency-Key"] for exchange in seen] == ["key-1", "key-1"]
    assert seen[0].body == seen[1].body


ONCE: dict[str, Callable[[Client], object]] = {
    "cancel": lambda api: api.cancel("j"),
    "hold": lambda api: api.hold("j"),
    "close the oldest period": lambda api: api.close_period(),
}


@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE.keys())
def test_what_may_not_be_repeated_is_sent_once(clock: Clock, call: Callable[[Client], object]) -> None:
    for answer in (lambda exchange: exchange.cut(), lambda exchange: exchange.answer(503)):
        error, requests = failing(answer, clock, call)
        assert isinstance(error, Retry)
        assert requests == 1


def test_a_server_that_is_not_there(clock: Clock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with client(url, clock) as api, pytest.raises(Unreachable) as caught:
            api.cancel("j")  # never reached the server: may be tried again although it is not repeatable
    assert (caught.value.code, caught.value.sent, len(clock.pauses)) == ("DURE-8001", False, 3)
    assert url in caught.value.message


def test_a_cut_connection(clock: Clock) -> None:
    error, requests = failing(lambda exchange: exchange.cut(), clock, lambda api: api.gpus())
    assert (type(error), error.code, requests) == (Unreachable, "DURE-8001", 4)


def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    clock = Clock(step_seconds=2.0)  # every look at the clock is two seconds later; the limit is five

    def answer(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Length": str(10**9), "Content-Type": "application/json"})
        for _ in range(10**5):  # until the client hangs up
            exchange.handler.wfile.write(b" " * 10_000)

    error, _ = failing(answer, clock, lambda api: api.gpus(), tries=1)
    assert (type(error), error.code) == (Unreachable, "DURE-8002")


def test_a_silent_server_times_out(clock: Clock) -> None:
    done: list[Exchange] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        policy = Policy(tries=2, sleep=clock.sleep)
        with Client(url, policy=policy, timeout_seconds=0.05) as api, pytest.raises(Unreachable) as caught:
            api.gpus()
    assert (caught.value.code, done, len(clock.pauses)) == ("DURE-8002", [], 1)


def test_an_endless_answer_is_cut_off(clock: Clock) -> None:
    bomb = gzip.compress(b"0" * 3_000_000)

    def answer(exchange: Exchange) -> None:
        exchange.answer(200, bomb, Content_Encoding="gzip")

    with serving(answer) as (url, _):
        transport = Transport(url, "", policy=Policy(tries=1, sleep=clock.sleep))
        with pytest.raises(Fatal, match="larger than 1000000 bytes"):
            transport.send(Request("GET", "/", answer_bytes_max=1_000_000))
        transport.close()


def test_problem_details_are_read_with_fields_of_the_future(clock: Clock) -> None:
    body = json.dumps(PROBLEM).encode()

    def answer(exchange: Exchange) -> None:
        exchange.answer(403, body, Content_Type="application/problem+json")

    error, _ = failing(answer, clock, lambda api: api.submit(TASK, "k"))
    assert isinstance(error, ApiRefused)
    assert (error.status, error.code, error.fix) == (403, "DURE-2101", "lower gpus")
    assert error.message == "96 GPUs are above the limit"
    assert [(finding.where, finding.message) for finding in error.findings] == [("gpus", "too many")]


STRANGE = {
    "html of a proxy": (502, "text/html", b"<html>", ApiBusy, "DURE-8004"),
    "json of something else": (400, "application/json", b'{"error": "x"}', ApiRefused, "DURE-8004"),
    "broken json": (400, "application/problem+json", b"{", ApiRefused, "DURE-8004"),
    "another server": (404, "text/html", b"nginx", ApiRefused, "DURE-8003"),
    "a redirect": (302, "", b"", ApiRefused, "DURE-8003"),
}


@pytest.mark.parametrize(("status", "kind", "body", "error", "code"), STRANGE.values(), ids=STRANGE.keys())
def test_answers_without_problem_details(
    status: int, kind: str, body: bytes, error: type[ApiProblem], code: str
) -> None:
    problem = problem_of(status, kind, body)
    assert (type(problem), problem.code, problem.status) == (error, code, status)


def test_a_redirect_is_not_followed_and_the_token_stays(clock: Clock) -> None:
    with serving(lambda exchange: exchange.answer(200, GPUS)) as (elsewhere, seen):

        def answer(exchange: Exchange) -> None:
            exchange.answer(307, Location=f"{elsewhere}/api/v1/gpus")

        error, _ = failing(answer, clock, lambda api: api.gpus())
    assert (error.code, seen) == ("DURE-8003", [])


NOT_OURS = {
    "not JSON": b"<html>",
    "another version": GPUS.replace(b"v1alpha1", b"v2"),
    "another shape": b'{"items": 1}',
    "nothing": b"",
}


@pytest.mark.parametrize("body", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_an_answer_of_another_shape_is_one_sentence(clock: Clock, body: bytes) -> None:
    error, _ = failing(lambda exchange: exchange.answer(200, body), clock, lambda api: api.gpus())
    assert (type(error), error.code) == (Fatal, "DURE-8003")
    assert "\n" not in error.message


def test_a_log_without_its_headers_is_not_understood(clock: Clock) -> None:
    error, _ = failing(lambda exchange: exchange.answer(200, b"x"), clock, lambda api: api.log("j"))
    assert error.code == "DURE-8003"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_would_leave_the_path(clock: Clock, name: str) -> None:
    with client("http://127.0.0.1:1", clock) as api, pytest.raises(Fatal, match="is not a name"):
        api.cancel(name)


def test_names_are_quoted(clock: Clock) -> None:
    with serving(lambda exchange: exchange.answer(404)) as (url, seen), client(url, clock) as api:
        for name in ("a/b", "a?b#c", "한글", "a b"):
            with pytest.raises(ApiRefused):
                api.job(name)
    paths = [exchange.path.removeprefix("/api/v1/jobs/") for exchange in seen]
    assert paths == ["a%2Fb", "a%3Fb%23c", "%ED%95%9C%EA%B8%80", "a%20b"]


def test_the_token_is_sent_and_empty_filters_are_not(clock: Clock) -> None:
    with serving(lambda exchange: exchange.answer(200, GPUS)) as (url, seen), client(url, clock) as api:
        api.usage(org="o")
    assert seen[0].headers["Authorization"] == "Bearer dure_a_b"
    assert seen[0].path == "/api/v1/usage?org=o"


def pauses(number: int) -> Iterator[float]:
    return (jittered_pause_seconds(number) for _ in range(200))


def test_pauses_are_random_and_bounded() -> None:
    for number in range(12):
        found = list(pauses(number))
        assert 0 < min(found) <= max(found) <= min(5.0, 0.2 * 2**number)
        assert len(set(found)) > 50


@pytest.mark.parametrize(
    ("call", "tries", "seconds"),
    [(lambda api: api.gpus(), 1, 20), (lambda api: api.jobs(), 1, 20), (lambda api: api.job("j"), 4, 120)],
    ids=["a list", "a list with filters", "a single thing"],
)
def test_a_server_that_hangs_is_waited_for_less_long_where_a_list_is_asked(
    clock: Clock, call: Callable[[Client], object], tries: int, seconds: int
) -> None:
    asked: list[float] = []
    entered: list[str] = []

    def hang(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["timeout"]["read"])
        clock.now += asked[-1]
        raise httpx.ReadTimeout("no answer")

    @contextmanager
    def around() -> Iterator[None]:
        entered.append("waits")
        try:
            yield
        finally:
            entered.append("done")

    policy = Policy(sleep=clock.sleep, monotonic=clock.monotonic)
    http = httpx.MockTransport(hang)
    with Client("http://h", policy=policy, around=around, http=http) as api, pytest.raises(Unreachable):
        call(api)
    assert len(asked) == tries
    assert sum(asked) == seconds
    assert entered == ["waits", "done"]


def test_tries_of_a_list_share_its_time(clock: Clock) -> None:
    asked: list[float] = []

    def slow(request: httpx.Request) -> httpx.Response:
        asked.append(request.extensions["timeout"]["read"])
        clock.now += 9
        return httpx.Response(503)

    policy = Policy(sleep=clock.sleep, monotonic=clock.monotonic)
    with Client("http://h", "t", policy=policy, http=httpx.MockTransport(slow)) as api, pytest.raises(ApiBusy):
        api.gpus()
    assert len(asked) == 3
    assert asked == sorted(asked, reverse=True)
    assert clock.now < 30
