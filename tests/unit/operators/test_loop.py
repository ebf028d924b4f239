"""The operator's loop against a backend and a control plane that fail in every way they may."""

from __future__ import annotations

import pytest

from operators.loop import Action, Forget, Limits, OperatorLoop, Start, StepResult, Stop, diff
from operators.ports import Assignment, ObservationKind, StopOrder, View
from tests.support.assignments import assignment
from tests.unit.operators.fakes import FATAL, RETRY, FakeBackend, FakePlane, seen

CANCEL = StopOrder("cancel", 1_000)
A, B, C = assignment("aaaa"), assignment("bbbb"), assignment("cccc")
STOP_A = assignment("aaaa", stop=CANCEL)
KIND = ObservationKind


def view(*names: str, kinds: tuple[ObservationKind, ...] = ()) -> View:
    """A backend's view of these attempts; the observations are all of the first."""
    job = names[0].split("-")[1] if names else "aaaa"
    return View(9, 9, frozenset(names), tuple(seen(kind, job) for kind in kinds))


DIFFS: dict[str, tuple[list[Assignment], View, tuple[str, ...], list[Action]]] = {
    "nothing wanted, nothing there": ([], view(), (), []),
    "wanted and absent: start, by name": ([B, A], view(), (), [Start(A), Start(B)]),
    "wanted and there: nothing": ([A], view(A.name), (), []),
    "to stop and there: stop": ([STOP_A], view(A.name, kinds=(KIND.STARTING,)), (), [Stop(A.name, CANCEL)]),
    "to stop and noticed: nothing": ([STOP_A], view(A.name, kinds=(KIND.STARTING, KIND.NOTICE)), (), []),
    "to stop and gone: nothing": ([STOP_A], view(A.name, kinds=(KIND.GONE,)), (), []),
    "to stop and absent: the backend must say that it is gone": ([STOP_A], view(), (), [Start(STOP_A)]),
    "settled: forget": ([], view(A.name), (A.name,), [Forget(A.name)]),
    "settled and forgotten: nothing": ([], view(), (A.name,), []),
    "settled and still wanted: wanted wins": ([A], view(A.name), (A.name,), []),
    "there, neither wanted nor settled: left alone": ([], view(A.name), (), []),
    "a second attempt is another name": ([assignment("aaaa", 2)], view(A.name), (), [Start(assignment("aaaa", 2))]),
    "what frees comes before what takes": (
        [C, assignment("bbbb", stop=CANCEL)],
        view(A.name, B.name),
        (A.name,),
        [Forget(A.name), Stop(B.name, CANCEL), Start(C)],
    ),
}


@pytest.mark.parametrize(("wanted", "seen_now", "forget", "actions"), DIFFS.values(), ids=DIFFS.keys())
def test_diff(wanted: list[Assignment], seen_now: View, forget: tuple[str, ...], actions: list[Action]) -> None:
    assert diff(wanted, seen_now, forget) == actions


class Rig:
    """A loop with both sides; every step is one second later."""

    def __init__(self, **limits: int) -> None:
        self.backend, self.plane = FakeBackend(), FakePlane()
        self.limits = Limits(**limits)
        self.now_ms = 1_000_000
        self.restart()

    def restart(self) -> None:
        """The operator dies and comes back with nothing in memory."""
        self.loop = OperatorLoop("local", self.backend, self.plane, self.limits)

    def step(self, seconds: int = 1) -> StepResult:
        """One step, later."""
        self.now_ms += seconds * 1_000
        return self.loop.step(self.now_ms)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_an_attempt_from_start_to_forgotten(rig: Rig) -> None:
    rig.plane.assignments = (assignment(package_sha256="ab" * 32),)
    assert rig.step().actions == (Start(rig.plane.assignments[0]),)
    assert rig.backend.packages == {A.name: b"ab" * 32}
    assert rig.step().reported == 1
    assert rig.plane.existing == (A.name,)
    rig.plane.assignments = (STOP_A,)
    assert rig.step().actions == (Stop(A.name, CANCEL),)
    assert rig.step().actions == ()
    rig.backend.items[A.name].append(seen(KIND.GONE))
    rig.plane.assignments, rig.plane.forget = (), (A.name,)
    assert rig.step().actions == (Forget(A.name),)
    assert rig.plane.reported == [f"{A.name}/{kind}" for kind in ("starting", "notice", "gone")]
    assert rig.step() == StepResult(observed_through_ms=rig.now_ms)
    assert rig.backend.calls == [f"{what} {A.name}" for what in ("start", "stop", "forget")]


def test_what_was_acknowledged_is_not_sent_again_and_after_a_restart_it_is(rig: Rig) -> None:
    rig.backend.items[A.name] = [seen(KIND.STARTING)]
    assert [rig.step().reported, rig.step().reported] == [1, 0]
    rig.restart()
    assert [rig.step().reported, rig.step().reported] == [1, 0]


def test_batches_are_bounded_and_only_the_last_moves_the_watermark() -> None:
    rig = Rig(observations_per_report=2)
    rig.step()
    rig.step()
    confirmed_ms = rig.now_ms
    rig.backend.items[A.name] = [seen(KIND.RANK_STARTED, rank=rank) for rank in range(5)]
    rig.step()
    sent = [(through_ms, len(ids)) for through_ms, ids in rig.plane.reports[2:]]
    assert sent == [(confirmed_ms, 2), (confirmed_ms, 2), (rig.now_ms, 1)]


def watermarks(rig: Rig) -> list[int]:
    """What was vouched for, in seconds after the first instant; 0: nothing."""
    return [max(0, through_ms - 1_000_000) // 1_000 for through_ms, _ in rig.plane.reports]


def test_nothing_is_vouched_for_before_the_first_pull(rig: Rig) -> None:
    rig.backend.items[A.name] = [seen(KIND.STARTING)]
    rig.plane.fail["pull"] = RETRY
    rig.step()
    rig.plane.fail.clear()
    for _ in range(3):
        rig.step()
    assert watermarks(rig) == [0, 0, 3, 4]
    rig.restart()
    rig.step()
    rig.step()
    assert watermarks(rig)[4:] == [0, 6]
    assert rig.plane.reported == [f"{A.name}/starting"] * 2, "what was seen is told all the same"


def test_nothing_is_vouched_for_while_what_began_is_missing(rig: Rig) -> None:
    rig.plane.assignments = (assignment(begun=True),)
    rig.backend.items[A.name] = [seen(KIND.STARTING)]
    rig.step()
    rig.step()
    rig.backend.items.clear()
    rig.backend.fail["start"] = RETRY
    rig.step()
    rig.restart()
    for _ in range(3):
        rig.step()
    assert watermarks(rig) == [0, 2, 2, 0, 0, 0]
    rig.backend.fail.clear()
    rig.step(10)
    rig.step()
    assert watermarks(rig)[6:] == [0, 17], "not before it is seen again, gone"
    assert rig.plane.reports[-1][1] == (f"{A.name}/gone",)


def test_what_a_lost_report_told_is_missing_too(rig: Rig) -> None:
    """It began, the report seemed to fail and arrived, and before the next pull every trace was lost."""
    rig.plane.assignments = (A,)
    rig.step()
    rig.plane.fail["report"], rig.plane.act_then_fail = RETRY, True
    rig.step()
    rig.backend.items.clear()
    rig.plane.fail.clear()
    rig.plane.assignments = (assignment(begun=True),)
    rig.step()
    rig.step()
    assert watermarks(rig) == [0, 2, 0, 4]


def test_a_lost_answer_to_a_report_is_a_repeat_and_no_gap(rig: Rig) -> None:
    rig.backend.items[A.name] = [seen(KIND.STARTING)]
    rig.plane.fail["report"], rig.plane.act_then_fail = RETRY, True
    result = rig.step()
    assert (result.reported, [failure.where for failure in result.failures]) == (0, ["report"])
    assert result.observed_through_ms == 0
    rig.plane.fail.clear()
    rig.step()
    assert rig.plane.reported == [f"{A.name}/starting"] * 2


def test_an_unreachable_control_plane_is_asked_less_and_less_often(rig: Rig) -> None:
    rig.plane.fail["pull"] = RETRY
    tries = [bool(rig.step().failures) for _ in range(40)]
    # waits 1, 2, 4, 8, 16 s after each failure: tries in seconds 1, 2, 4, 8, 16, 32
    assert [second for second, tried in enumerate(tries, 1) if tried] == [1, 2, 4, 8, 16, 32]
    rig.plane.fail.clear()
    rig.plane.assignments = (A,)
    assert rig.step(60).actions == (Start(A),)
    assert rig.step().failures == ()


def test_one_failing_attempt_does_not_hold_the_others(rig: Rig) -> None:
    rig.plane.assignments = (A, B)
    rig.backend.fail[f"start {A.name}"] = RETRY
    result = rig.step()
    assert result.actions == (Start(B),)
    assert [failure.where for failure in result.failures] == [A.name]
    seconds = [second for second in range(2, 10) if rig.step().failures]
    assert seconds == [2, 4, 8]
    rig.backend.fail.clear()
    assert rig.step(60).actions == (Start(A),)


@pytest.mark.parametrize("what", ["start", "stop", "forget"])
def test_an_act_whose_answer_is_lost_is_not_done_twice(rig: Rig, what: str) -> None:
    if what != "start":
        rig.backend.items[A.name] = [seen(KIND.STARTING)]
    rig.plane.assignments = {"start": (A,), "stop": (STOP_A,), "forget": ()}[what]
    rig.plane.forget = (A.name,)
    rig.backend.fail[what], rig.backend.act_then_fail = RETRY, True
    assert len(rig.step().failures) == 1
    rig.backend.fail.clear()
    assert [rig.step().failures for _ in range(5)] == [()] * 5
    assert rig.backend.calls == [f"{what} {A.name}"]


def test_a_package_that_will_never_come_is_told_to_the_backend(rig: Rig) -> None:
    rig.plane.assignments = (assignment(package_sha256="ab" * 32),)
    rig.plane.fail["package"] = RETRY
    rig.step()
    assert rig.backend.calls == []
    rig.plane.fail["package"] = FATAL
    result = rig.step()
    assert rig.backend.packages == {A.name: None}
    assert [failure.error for failure in result.failures] == [FATAL]


@pytest.mark.parametrize(
    "wanted",
    [assignment(package_sha256="ab" * 32, stop=CANCEL), assignment(package_sha256="ab" * 32, begun=True)],
    ids=["to stop", "without a trace"],
)
def test_no_package_is_fetched_for_what_never_runs(rig: Rig, wanted: Assignment) -> None:
    rig.plane.assignments = (wanted,)
    rig.plane.fail["package"] = RETRY
    assert rig.step().failures == ()
    assert rig.step().reported == 1
    assert rig.plane.reported == [f"{A.name}/gone"]


def test_actions_are_bounded_and_the_rest_follows() -> None:
    rig = Rig(actions_per_step=2)
    rig.plane.assignments = tuple(assignment("a" * length) for length in range(1, 6))
    results = [rig.step() for _ in range(3)]
    assert [(len(result.actions), result.more) for result in results] == [(2, True), (2, True), (1, False)]


def test_an_observation_that_cannot_be_made_is_no_empty_view(rig: Rig) -> None:
    rig.plane.assignments = (A,)
    rig.backend.fail["observe"] = RETRY
    assert [failure.where for failure in rig.step().failures] == ["observe"]
    assert rig.backend.calls == []
    assert rig.plane.reports == []


def started(rig: Rig, job: str, content: bytes) -> str:
    """A running attempt that has printed something."""
    item = assignment(job)
    rig.backend.items[item.name] = [seen(KIND.STARTING, job), seen(KIND.RANK_STARTED, job, rank=0)]
    rig.backend.logs[item.name, 0] = content
    return item.name


def test_output_is_shipped_once_and_goes_on_where_the_control_plane_is() -> None:
    rig = Rig(log_chunk_bytes=4)
    name = started(rig, "aaaa", b"0123456789")
    assert rig.step().log_bytes == 10
    rig.backend.logs[name, 0] += b"abc"
    assert rig.step().log_bytes == 3
    rig.restart()
    assert rig.step().log_bytes == 4  # one chunk, to learn how far it had come
    assert rig.plane.logs == {("aaaa", 1, 0): b"0123456789abc"}
    assert rig.step().log_bytes == 0


def test_a_control_plane_that_lost_output_gets_it_again() -> None:
    rig = Rig(log_chunk_bytes=4)
    name = started(rig, "aaaa", b"0123456789")
    rig.step()
    rig.plane.logs["aaaa", 1, 0] = b"01"
    rig.backend.logs[name, 0] += b"ab"
    rig.step()
    assert rig.plane.logs["aaaa", 1, 0] == b"0123456789ab"


def test_a_loud_job_does_not_hold_back_a_quiet_one() -> None:
    rig = Rig(log_chunk_bytes=10, log_bytes_per_step=20)
    started(rig, "aaaa", b"x" * 1_000)
    started(rig, "bbbb", b"quiet")
    result = rig.step()
    assert rig.plane.logs["bbbb", 1, 0] == b"quiet"
    assert (result.log_bytes, result.more) == (25, True)


def test_a_log_that_takes_nothing_is_not_asked_for_ever(rig: Rig) -> None:
    started(rig, "aaaa", b"x" * 100)
    rig.plane.log_limit = 60
    counts = [rig.step().log_bytes for _ in range(10)]
    # 100 offered and 60 taken; then 40 offered in vain in seconds 1, 2, 4, 8 after the first refusal in the same step
    assert counts == [140, 40, 0, 40, 0, 0, 0, 40, 0, 0]


@pytest.mark.parametrize(("error", "again"), [(RETRY, True), (FATAL, False)])
def test_output_that_cannot_be_pushed(rig: Rig, error: Exception, again: bool) -> None:
    started(rig, "aaaa", b"hello")
    rig.plane.fail["push_log"] = error
    assert len(rig.step().failures) == 1
    rig.plane.fail.clear()
    rig.step()
    assert bool(rig.plane.logs) is again


def test_a_record_is_kept_until_its_last_output_is_away(rig: Rig) -> None:
    name = started(rig, "aaaa", b"last words")
    rig.plane.forget = (name,)
    rig.plane.fail["push_log"] = RETRY
    assert rig.step().actions == ()
    rig.plane.fail.clear()
    assert rig.step(10).actions == (Forget(name),)
    assert rig.plane.logs["aaaa", 1, 0] == b"last words"


def test_draining_before_forgetting_is_bounded() -> None:
    rig = Rig(log_chunk_bytes=10, log_bytes_per_step=20)
    name = started(rig, "aaaa", b"x" * 45)
    rig.plane.forget = (name,)
    results = [rig.step() for _ in range(3)]
    assert [(result.log_bytes, len(result.actions), result.more) for result in results] == [
        (20, 0, True),
        (20, 0, True),
        (5, 1, False),
    ]


def test_output_beyond_the_limit_stays() -> None:
    rig = Rig(log_chunk_bytes=8, log_bytes_per_rank=20)
    started(rig, "aaaa", b"x" * 100)
    rig.step()
    rig.step()
    assert len(rig.plane.logs["aaaa", 1, 0]) == 20


def test_a_broken_promise_is_not_swallowed(rig: Rig) -> None:
    rig.plane.fail["pull"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        rig.step()
