"""Artifacts on the control plane: listed once, appended by offset, proven by their sums, read as the job's logs are."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from scheduler.core.errors import Fatal
from scheduler.core.records import ArtifactRecord, FindingRecord
from scheduler.schema.bodies import ArtifactsAck, ArtifactsRequest
from scheduler.services import artifacts
from scheduler.store.artifacts import MemoryArtifactStore
from tests.support.control_plane import CLUSTER, ControlPlane

BYTES_MAX = 100
FILES = {"metrics.json": b'{"loss": 1}', "out/empty": b"", "out/model.bin": b"\0" * 80}
LEFT = [{"path": "link", "why": "it is a symbolic link"}]


class Kept:
    """A job of one attempt that is gone, and the store its artifacts go to."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.store = plane, MemoryArtifactStore(bytes_max=BYTES_MAX)
        self.job = plane.started()
        plane.ended(self.job)

    def listed(self, user: str = "operator", cluster: str = CLUSTER, attempt: int = 1, **changes: Any) -> ArtifactsAck:
        """List FILES, or what the changes say."""
        files = [self.file(path, content) for path, content in FILES.items()]
        request = ArtifactsRequest.model_validate({"files": files, **changes})
        actor, now_ms = self.plane.actor(user), self.plane.now_ms
        return artifacts.take_list(
            self.plane.store, self.store, actor, cluster, self.job, attempt, request, BYTES_MAX, now_ms
        )

    @staticmethod
    def file(path: str, content: bytes) -> dict[str, Any]:
        """A file of a list."""
        return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def append(self, number: int, offset: int, content: bytes, user: str = "operator") -> int:
        """Send a part; returns the length."""
        actor = self.plane.actor(user)
        return artifacts.append(self.plane.store, self.store, actor, CLUSTER, self.job, 1, number, offset, content).size

    def shown(self, user: str = "member", attempt: int = 0) -> list[tuple[str, str]]:
        """Path and state of what people see."""
        with self.plane.store.read() as view:
            found = artifacts.list_artifacts(view, self.store, self.plane.actor(user), self.job, attempt)
        return [(item.path, item.state) for item in found.items]

    def read(self, number: int, offset: int = 0, user: str = "member") -> bytes:
        """What people read."""
        with self.plane.store.read() as view:
            return artifacts.read_artifact(view, self.store, self.plane.actor(user), self.job, 1, number, offset, 1_000)


@pytest.fixture
def kept(plane: ControlPlane) -> Kept:
    return Kept(plane)


def test_from_the_list_to_the_last_byte(kept: Kept) -> None:
    assert kept.shown() == []
    assert kept.listed(left_out=LEFT, left_out_more=7).sizes == [0, 0, 0]
    wanted = [("metrics.json", "arriving"), ("out/empty", "complete"), ("out/model.bin", "arriving")]
    assert kept.shown() == [*wanted, ("link", "left out")]
    assert kept.append(0, 0, b'{"loss"') == 7
    assert kept.append(0, 0, b'{"loss"') == 7, "a repeat changes nothing"
    assert kept.append(0, 9, b"1}") == 7, "a gap is answered by the length"
    assert kept.listed(left_out=LEFT, left_out_more=7).sizes == [7, 0, 0], "a restarted operator goes on from here"
    assert kept.append(0, 5, b's": 1}') == 11
    assert kept.append(2, 0, b"\0" * 80) == 80
    assert [state for _, state in kept.shown()] == ["complete"] * 3 + ["left out"]
    assert (kept.read(0), kept.read(0, 9), kept.read(1)) == (FILES["metrics.json"], b"1}", b"")
    (found,) = kept.plane.rows(FindingRecord)
    assert (found.code, found.message) == ("DURE-1321", "8 artifacts were left out: link: it is a symbolic link; ...")


def test_a_file_with_another_sum_is_thrown_away_and_sent_again(kept: Kept) -> None:
    kept.listed()
    assert kept.append(0, 0, b'{"loss": 2}') == 0
    assert kept.append(0, 0, b'{"loss": 1}') == 11
    assert kept.read(0) == FILES["metrics.json"]


REFUSED_LISTS: dict[str, tuple[dict[str, Any], str]] = {
    "a path that leaves its folder": ({"files": [Kept.file("../x", b"")]}, "DURE-1320"),
    "a name of a device": ({"files": [Kept.file("NUL", b"")]}, "DURE-1320"),
    "two names for one file": ({"files": [Kept.file("a", b""), Kept.file("A", b"")]}, "DURE-1320"),
    "101 bytes of 100": ({"files": [Kept.file("a", b"x" * 50), Kept.file("b", b"x" * 51)]}, "DURE-1320"),
    "another cluster's token": ({"user": "member"}, "DURE-4003"),
    "no such attempt": ({"attempt": 2}, "DURE-3010"),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED_LISTS.values(), ids=REFUSED_LISTS.keys())
def test_lists_that_are_refused(kept: Kept, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Fatal) as refused:
        kept.listed(**changes)
    assert refused.value.code == code
    assert kept.plane.rows(ArtifactRecord) == []


@pytest.mark.parametrize(
    "changes",
    [{"files": []}, {"files": [Kept.file("other", b"")]}, {"left_out": LEFT}],
    ids=["fewer", "others", "one more that is left out"],
)
def test_the_first_list_counts(kept: Kept, changes: dict[str, Any]) -> None:
    kept.listed()
    before = kept.plane.rows(ArtifactRecord)
    with pytest.raises(Fatal) as refused:
        kept.listed(**changes)
    assert refused.value.code == "DURE-6072"
    assert kept.plane.rows(ArtifactRecord) == before


def test_parts_that_are_refused(kept: Kept) -> None:
    kept.listed(left_out=LEFT)
    cases = [
        (0, 0, b"x" * 12, "operator", "DURE-1320"),
        (1, 0, b"x", "operator", "DURE-1320"),
        (3, 0, b"", "operator", "DURE-3031"),
        (4, 0, b"x", "operator", "DURE-3031"),
        (0, 0, b"x", "admin", "DURE-4003"),
    ]
    for number, offset, content, user, code in cases:
        with pytest.raises(Fatal) as refused:
            kept.append(number, offset, content, user)
        assert refused.value.code == code, (number, user)
    assert kept.store.size(kept.job, 1, 0) == 0


def test_who_reads(kept: Kept) -> None:
    kept.listed()
    kept.append(0, 0, FILES["metrics.json"])
    for user in ("member", "colleague", "org-admin", "auditor", "admin"):
        assert kept.read(0, user=user) == FILES["metrics.json"]
    for user in ("stranger", "operator"):
        with pytest.raises(Fatal) as refused:
            kept.shown(user)
        assert refused.value.code == "DURE-3001"
    for number in (2, 9):  # one that is on its way, one that is none
        with pytest.raises(Fatal) as refused:
            kept.read(number)
        assert refused.value.code == "DURE-3031"
    with pytest.raises(Fatal) as refused:
        kept.shown(attempt=2)
    assert refused.value.code == "DURE-3010"
