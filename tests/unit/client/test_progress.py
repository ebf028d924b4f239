"""Long transfers tell how far they are: what is told, and that it changes nothing of what is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx

from scheduler.client.http import Client
from scheduler.client.transport import PIECE_BYTES, Policy, Request, Transport

CONTENT = bytes(range(256)) * 1_000  # 256,000 bytes: three whole pieces and a rest of 59,392
WHOLE = len(CONTENT)
SUM = hashlib.sha256(CONTENT).hexdigest()


def test_an_upload_is_told_piece_by_piece_and_arrives_whole_with_its_length() -> None:
    arrived: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        request.read()
        arrived.append(request)
        return httpx.Response(200, json={"kind": "Package", "sha256": SUM, "size": WHOLE, "new": True})

    told: list[tuple[int, int]] = []
    with Client("http://127.0.0.1", "dure_a_b", http=httpx.MockTransport(take)) as client:
        client.put_package(SUM, CONTENT, lambda done, whole: told.append((done, whole)))
    steps = [0, PIECE_BYTES, 2 * PIECE_BYTES, 3 * PIECE_BYTES, WHOLE]
    assert told == [(step, WHOLE) for step in steps]
    assert arrived[0].content == CONTENT
    assert arrived[0].headers["Content-Length"] == str(WHOLE)
    assert "Transfer-Encoding" not in arrived[0].headers


def test_a_second_try_begins_anew_and_sends_everything() -> None:
    sizes: list[int] = []

    def busy_once(request: httpx.Request) -> httpx.Response:
        sizes.append(len(request.read()))
        if len(sizes) == 1:
            return httpx.Response(503)
        return httpx.Response(200, json={"kind": "Package", "sha256": SUM, "size": WHOLE, "new": True})

    told: list[int] = []
    policy = Policy(tries=2, sleep=lambda seconds: None)
    with Client("http://127.0.0.1", "dure_a_b", policy=policy, http=httpx.MockTransport(busy_once)) as client:
        client.put_package(SUM, CONTENT, lambda done, whole: told.append(done))
    assert sizes == [WHOLE, WHOLE]
    assert told.count(0) == told.count(WHOLE) == 2


def fetched(answer: httpx.Response) -> list[tuple[int, int]]:
    """What is told while this answer is read."""
    told: list[tuple[int, int]] = []
    transport = Transport("http://127.0.0.1", "", http=httpx.MockTransport(lambda request: answer))
    transport.send(Request("GET", "/file", progress=lambda done, whole: told.append((done, whole))))
    transport.close()
    return told


def test_a_download_is_told_with_its_length_where_that_is_known() -> None:
    assert fetched(httpx.Response(200, content=CONTENT))[-1] == (WHOLE, WHOLE)

    def pieces() -> Iterator[bytes]:
        yield CONTENT[:100]
        yield CONTENT[100:]

    assert fetched(httpx.Response(200, content=pieces()))[-1] == (WHOLE, 0)
