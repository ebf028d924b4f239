"""Shipping artifacts: nothing twice, nothing lost, nobody kept back, and no attempt kept for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from operators.artifacts import ArtifactLimits, ArtifactShipper
from operators.loop import Forget, Limits, OperatorLoop
from operators.ports import Artifact, Artifacts, Failure, LeftOut, Observation, ObservationKind, View
from scheduler.core.errors import DureError
from tests.unit.operators.fakes import FATAL, RETRY, FakeBackend, FakePlane, seen

SMALL = ArtifactLimits(chunk_bytes=10, bytes_per_step=30, backoff_first_ms=1_000, backoff_last_ms=8_000)
A, B = "d-aaaa-a1", "d-bbbb-a1"


@dataclass
class Far:
    """Both sides of a shipper: files by attempt, and what has arrived."""

    files: dict[str, dict[str, bytes]]
    left_out: tuple[LeftOut, ...] = ()
    arrived: dict[tuple[str, int], bytes] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    fail: dict[str, DureError] = field(default_factory=dict)
    damages: int = 0
    """How many completed files are still to be found damaged."""

    def _call(self, what: str) -> None:
        if error := self.fail.get(what):
            raise error

    def artifacts(self, name: str) -> Artifacts:
        """All files, by path."""
        self._call("artifacts")
        files = sorted(self.files.get(name, {}).items())
        made = (Artifact(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files)
        return Artifacts(tuple(made), self.left_out)

    def artifact_chunk(self, name: str, path: str, offset: int, limit: int) -> bytes:
        """A part of one."""
        return self.files[name][path][offset : offset + limit]

    def list_artifacts(self, job: str, attempt: int, found: Artifacts) -> Sequence[int]:
        """What there is of each."""
        self._call("list")
        self.listed.append(f"d-{job}-a{attempt}")
        return [len(self.arrived.get((self.listed[-1], number), b"")) for number in range(len(found.files))]

    def push_artifact(self, job: str, attempt: int, number: int, offset: int, content: bytes) -> int:
        """Append; a file that is complete may be found damaged."""
        self._call("push")
        key = (f"d-{job}-a{attempt}", number)
        kept = self.arrived.get(key, b"")
        assert offset == len(kept), "nothing is sent twice, and there is no gap"
        self.arrived[key] = kept + content
        if self.damages and len(self.arrived[key]) == len(sorted(self.files[key[0]].items())[number][1]):
            self.damages -= 1
            del self.arrived[key]
        return len(self.arrived.get(key, b""))

    def whole(self, name: str) -> bool:
        """Whether everything of an attempt has arrived."""
        wanted = [data for _, data in sorted(self.files[name].items())]
        return [self.arrived.get((name, number), b"") for number in range(len(wanted))] == wanted


def view(*gone: str, running: Sequence[str] = ()) -> View:
    """What a backend sees."""
    found = tuple(seen(ObservationKind.GONE, name[2:6]) for name in gone)
    return View(0, 0, frozenset([*gone, *running]), found)


def ship(shipper: ArtifactShipper, looked: View, now_ms: int = 0, steps: int = 1) -> list[str]:
    """Some steps a second apart; the codes of all failures."""
    failures: list[Failure] = []
    for step in range(steps):
        shipper.ship(looked, now_ms + 1_000 * step, failures)
    return [failure.error.code for failure in failures]


def test_everything_arrives_in_bounded_steps() -> None:
    far = Far({A: {"a": b"x" * 25, "b": b"", "c": b"y" * 45}})
    shipper, failures = ArtifactShipper(far, far, SMALL), list[Failure]()
    more = [shipper.ship(view(A), 0, failures) for _ in range(4)]
    assert far.arrived == {(A, 0): b"x" * 25, (A, 2): b"y" * 45}
    assert (more, failures, far.listed) == ([True, True, False, False], [], [A]), (
        "30 bytes a step and the rest of a chunk, for 70"
    )
    assert shipper.sent(A)
    assert not shipper.sent(B)


def test_an_attempt_without_artifacts_is_done_and_never_told_of() -> None:
    far = Far({})
    shipper = ArtifactShipper(far, far, SMALL)
    assert ship(shipper, view(A, running=[B])) == []
    assert (shipper.sent(A), shipper.sent(B), far.listed) == (True, False, [])


def test_what_is_only_left_out_is_told() -> None:
    far = Far({}, left_out=(LeftOut("link", "it is a symbolic link"),))
    shipper = ArtifactShipper(far, far, SMALL)
    ship(shipper, view(A))
    assert (shipper.sent(A), far.listed) == (True, [A])


def test_a_restarted_operator_goes_on_where_the_far_side_is() -> None:
    far = Far({A: {"a": b"x" * 45}})
    ship(ArtifactShipper(far, far, SMALL), view(A))
    assert len(far.arrived[A, 0]) == 30
    again = ArtifactShipper(far, far, SMALL)
    ship(again, view(A))
    assert (far.whole(A), again.sent(A), far.listed) == (True, True, [A, A])


def test_a_large_one_does_not_keep_a_small_one_back() -> None:
    far = Far({A: {"a": b"x" * 10_000}, B: {"b": b"y" * 5}})
    ship(ArtifactShipper(far, far, SMALL), view(A, B), steps=2)
    assert far.whole(B)
    assert not far.whole(A)


def test_what_fails_is_tried_less_and_less_often_and_goes_on() -> None:
    far = Far({A: {"a": b"x" * 25}}, fail={"push": RETRY})
    shipper = ArtifactShipper(far, far, SMALL)
    codes = ship(shipper, view(A), steps=32)
    assert codes == [RETRY.code] * 7, "at 0, 1, 3, 7, 15, 23 and 31 s"
    far.fail.clear()
    assert ship(shipper, view(A), 40_000) == []
    assert far.whole(A)


def test_a_damaged_file_is_sent_again() -> None:
    far = Far({A: {"a": b"x" * 25}}, damages=2)
    shipper = ArtifactShipper(far, far, SMALL)
    assert ship(shipper, view(A), steps=8) == ["DURE-6074"] * 2
    assert (far.whole(A), shipper.sent(A)) == (True, True)


def test_a_file_that_never_arrives_whole_is_given_up_however_long_each_try_takes() -> None:
    far = Far({A: {"a": b"x" * 95}}, damages=1_000)
    shipper = ArtifactShipper(far, far, SMALL)
    codes = ship(shipper, view(A), steps=200)
    assert (codes, shipper.sent(A)) == (["DURE-6074"] * 10, True)


def test_an_upload_that_gets_nowhere_is_given_up() -> None:
    far = Far({A: {"a": b"x" * 25}}, fail={"list": RETRY})
    shipper = ArtifactShipper(far, far, ArtifactLimits(give_up_ms=60_000))
    ship(shipper, view(A), steps=60)
    assert not shipper.sent(A)
    ship(shipper, view(A), 60_000, steps=60)
    assert shipper.sent(A)


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    far = Far({A: {"a": b"x"}}, fail={"list": FATAL})
    shipper = ArtifactShipper(far, far, SMALL)
    assert ship(shipper, view(A), steps=5) == [FATAL.code]
    assert shipper.sent(A)


def test_what_is_forgotten_takes_no_room() -> None:
    far = Far({A: {"a": b"x"}})
    shipper = ArtifactShipper(far, far, SMALL)
    ship(shipper, view(A))
    ship(shipper, view(B))
    assert not shipper.sent(A)


def gone(name: str) -> list[Observation]:
    return [seen(kind, name[2:6]) for kind in (ObservationKind.STARTING, ObservationKind.GONE)]


def test_an_attempt_is_forgotten_only_when_its_artifacts_have_arrived() -> None:
    far = Far({A: {"a": b"x" * 70}}, fail={"list": RETRY})
    backend, plane = FakeBackend({A: gone(A)}), FakePlane(forget=(A,))
    loop = OperatorLoop("local", backend, plane, Limits(), ArtifactShipper(far, far, SMALL))
    for now_ms in range(0, 5_000, 1_000):
        assert Forget(A) not in loop.step(now_ms).actions
    far.fail.clear()
    done = [Forget(A) in loop.step(now_ms).actions for now_ms in range(7_000, 12_000, 1_000)]
    assert done == [False, False, False, True, False], "30 bytes a step, for 70; then forgotten"
    assert (far.whole(A), backend.items) == (True, {})
