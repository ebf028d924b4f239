"""Uploads: rights before bytes, few at a time for each user, none that keeps others waiting, all of them bounded."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.api.deps import Limits
from scheduler.api.packages import PART_BYTES
from scheduler.main.packages import ReceivingPackages
from tests.unit.api.place import Made, Place

CONTENT = b"PK" + bytes(range(256)) * (PART_BYTES // 128)
SHA = hashlib.sha256(CONTENT).hexdigest()
HALF = PART_BYTES + 1
BUSY = (503, "DURE-8011")
LONG_SECONDS = 30


class Sender:
    """A client that sends the first half of CONTENT, and the rest when it is let."""

    def __init__(self, place: Place, user: str) -> None:
        """Nothing is sent yet."""
        self._place, self._user = place, user
        self._rest = asyncio.Event()
        self._asked = 0
        self.stalls = asyncio.Event()

    async def _receive(self) -> dict[str, Any]:
        self._asked += 1
        if self._asked == 1:
            return {"type": "http.request", "body": CONTENT[:HALF], "more_body": True}
        self.stalls.set()
        await self._rest.wait()
        return {"type": "http.request", "body": CONTENT[HALF:], "more_body": False}

    async def put(self) -> tuple[int, str]:
        """The answer's status and code ("" when it is good)."""
        sent: list[dict[str, Any]] = []
        headers = [(b"host", b"x"), (b"authorization", f"Bearer {self._place.tokens[self._user]}".encode())]
        scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "PUT", "raw_path": b""}
        scope |= {"path": f"/api/v1/packages/{SHA}", "query_string": b"", "root_path": "", "scheme": "http"}
        scope |= {"headers": headers, "asgi": {"version": "3.0"}}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._place.app(scope, self._receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"]).get("code", "")

    async def start(self) -> asyncio.Task[tuple[int, str]]:
        """Begin; returns when the first half has arrived."""
        task = asyncio.create_task(self.put())
        await asyncio.wait_for(self.stalls.wait(), LONG_SECONDS)
        return task

    def finish(self) -> None:
        """Send the rest."""
        self._rest.set()

    @property
    def asked(self) -> int:
        """How often the server has asked for more."""
        return self._asked


def test_who_may_not_send_is_refused_before_a_byte_is_read(place: Place) -> None:
    async def scene() -> None:
        sender = Sender(place, "roleless")
        assert await sender.put() == (403, "DURE-4003")
        assert sender.asked == 0

    asyncio.run(scene())


# Whose uploads stall, and who is told to come back after that.
CROWDS: dict[str, tuple[Limits, tuple[str, ...], str]] = {
    "a user has two": (Limits(), ("member", "member"), "member"),
    "all places are taken": (Limits(packages_at_once=3), ("member", "colleague", "stranger"), "org-admin"),
}


@pytest.mark.parametrize("case", CROWDS.values(), ids=CROWDS.keys())
def test_slow_uploads_keep_waiting_nobody_but_those_beyond_the_limit(
    make_place: Made, case: tuple[Limits, tuple[str, ...], str]
) -> None:
    limits, slow, refused = case
    place = make_place(limits=limits)

    async def scene() -> None:
        senders = [Sender(place, user) for user in slow]
        tasks = [await sender.start() for sender in senders]
        late = Sender(place, refused)
        assert await late.put() == BUSY
        assert late.asked == 0
        for sender in senders:
            sender.finish()
        assert await asyncio.gather(*tasks) == [(200, "")] * len(tasks)
        late.finish()
        assert await late.put() == (200, "")

    asyncio.run(scene())
    assert not place.app.state.uploads


def test_stalled_uploads_of_others_stop_nobody(make_place: Made) -> None:
    place = make_place()

    async def scene() -> None:
        senders = [Sender(place, user) for user in ("member", "colleague", "stranger", "auditor") for _ in range(2)]
        tasks = [await sender.start() for sender in senders]
        other = Sender(place, "org-admin")
        other.finish()
        assert await asyncio.wait_for(other.put(), LONG_SECONDS) == (200, "")
        for sender in senders:
            sender.finish()
        await asyncio.gather(*tasks)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("limits", "status"),
    [(Limits(body_idle_seconds=0.01), 408), (Limits(body_total_seconds=0.05), 408), (Limits(package_bytes=9), 413)],
)
def test_an_upload_that_fails_leaves_its_place_and_no_file(
    make_place: Made, tmp_path: Path, limits: Limits, status: int
) -> None:
    place = make_place(limits=limits, packages=ReceivingPackages(tmp_path))
    assert asyncio.run(Sender(place, "member").put())[0] == status
    assert not place.app.state.uploads
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_bytes_are_on_disk_before_the_last_has_come(make_place: Made, tmp_path: Path) -> None:
    place = make_place(packages=ReceivingPackages(tmp_path))

    async def scene() -> None:
        sender = Sender(place, "member")
        task = await sender.start()
        (part,) = (tmp_path / "incoming").iterdir()
        assert part.read_bytes() == CONTENT[:HALF]
        sender.finish()
        assert await task == (200, "")

    asyncio.run(scene())
    assert list((tmp_path / "incoming").iterdir()) == []
    assert place.client("operator").get(f"/api/v1/packages/{SHA}").content == CONTENT
    assert place.client("member").head(f"/api/v1/packages/{SHA}").headers["content-length"] == str(len(CONTENT))
