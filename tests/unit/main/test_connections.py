"""Connections on real sockets: who never sends a whole request is let go, and who is only slow is served."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scheduler.config import Settings
from scheduler.main.connections import HEAD_TOO_LARGE, ConnectionLimits
from scheduler.main.control_plane import ControlPlane
from scheduler.main.serving import listen, make_server

LIMITS = ConnectionLimits(head_seconds=0.3, rest_seconds=0.3, head_bytes=2_000)
PATIENCE_SECONDS = 20.0
"""Far beyond the limits: what takes so long is not bounded."""
GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
EARLY = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers /early before it has read anything, all else with the length of the body."""
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = f"read {size}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Where a server with short limits listens, made as every server of ours is."""
    settings = Settings(port=0)
    with contextlib.closing(listen(settings)) as listener:
        plane = cast(ControlPlane, SimpleNamespace(settings=settings, app=app))
        server = make_server(plane, lambda: None, LIMITS)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[:2]
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A fresh connection."""
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as made:
        yield made


def answer(client: socket.socket) -> str:
    """The next answer of the server to a request that is whole."""
    got = b""
    while b"\r\n\r\n" not in got or got.rpartition(b"\r\n\r\n")[2].find(b"read ") < 0:
        part = client.recv(65_536)
        assert part, got
        got += part
    return got.decode()


def until_closed(client: socket.socket, drip: bytes = b"") -> bytes:
    """What comes before the server lets go, while ``drip`` is sent again and again; fails when it does not."""
    got = b""
    client.settimeout(0.05)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if drip:
                client.sendall(drip)
            part = client.recv(65_536)
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return got
        if not part:
            return got
        got += part
    raise AssertionError(f"still open after {PATIENCE_SECONDS} s")


# What is sent first, and what again and again after that.
UNFINISHED: dict[str, tuple[bytes, bytes]] = {
    "silence": (b"", b""),
    "line ends": (b"", b"\r\n"),
    "half a request line": (b"GET /x", b""),
    "a request line that goes on": (b"GET /x", b"x"),
    "half of the headers": (b"GET /x HTTP/1.1\r\nHost: x\r\n", b""),
    "headers that go on": (b"GET /x HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n"),
}


@pytest.mark.parametrize(("first", "drip"), UNFINISHED.values(), ids=UNFINISHED.keys())
def test_a_head_has_to_be_complete_in_time(client: socket.socket, first: bytes, drip: bytes) -> None:
    client.sendall(first)
    assert until_closed(client, drip) == b""


AFTER_AN_ANSWER = {name: case for name, case in UNFINISHED.items() if name != "silence"}


@pytest.mark.parametrize(("first", "drip"), AFTER_AN_ANSWER.values(), ids=AFTER_AN_ANSWER.keys())
def test_so_has_that_of_a_later_request(client: socket.socket, first: bytes, drip: bytes) -> None:
    client.sendall(GET)
    assert "read 0" in answer(client)
    client.sendall(first or drip)
    assert until_closed(client, drip) == b""


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silence", "bytes"])
def test_a_body_that_is_answered_already_is_not_waited_for(client: socket.socket, drip: bytes) -> None:
    client.sendall(EARLY)
    assert "read 0" in answer(client)
    client.sendall(b"x")
    assert until_closed(client, drip) == b""


LARGE: dict[str, bytes] = {
    "a request line": b"GET /" + b"x" * 2_000,
    "a header that does not end": b"GET /x HTTP/1.1\r\nA: " + b"x" * 2_000,
    "many headers, not complete": b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 400,
    "one header, complete": b"GET /x HTTP/1.1\r\nA: " + b"x" * 2_000 + b"\r\n\r\n",
    "many headers, complete": b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 400 + b"\r\n",
    "a path, complete": b"GET /" + b"x" * 2_000 + b" HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("again", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("head", LARGE.values(), ids=LARGE.keys())
def test_a_large_head_is_refused(client: socket.socket, head: bytes, again: bool) -> None:
    if again:
        client.sendall(GET)
        assert "read 0" in answer(client)
    client.sendall(head[:1_000])
    time.sleep(0.02)
    client.sendall(head[1_000:])
    got = until_closed(client)
    assert got.startswith(b"HTTP/1.1 400 "), got
    assert b"text/plain" in got
    assert b"read" not in got


def test_a_head_that_does_not_end_is_told_why(client: socket.socket) -> None:
    client.sendall(LARGE["a header that does not end"])
    assert HEAD_TOO_LARGE.encode() in until_closed(client)


def test_a_head_within_the_limits_may_be_slow_and_large(client: socket.socket) -> None:
    for part in (b"GET /x HTTP/1.1\r\n", b"A: " + b"x" * 1_500 + b"\r\n", b"\r\n"):
        client.sendall(part)
        time.sleep(0.05)
    assert "read 0" in answer(client)


def test_a_body_may_take_longer_than_a_head(client: socket.socket) -> None:
    client.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n")
    time.sleep(2 * LIMITS.head_seconds)
    client.sendall(b"x" * 3_000)
    assert "read 3000" in answer(client)


def test_an_idle_connection_is_kept_longer_than_a_head(client: socket.socket) -> None:
    for _ in range(2):
        client.sendall(GET)
        assert "read 0" in answer(client)
        time.sleep(2 * LIMITS.head_seconds)


def test_requests_that_come_together_are_answered_one_by_one(client: socket.socket) -> None:
    """However much comes at once, each head is measured alone, and bodies are none of it."""
    client.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3_000 + GET * 100 + GET[:9])
    got = ""
    while got.count("read ") < 101:
        got += client.recv(65_536).decode()
    assert got.count("200 OK") == 101
    assert "read 3000" in got
    client.sendall(GET[9:])
    assert "read 0" in answer(client)
