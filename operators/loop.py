"""The operator's loop: desired attempts against observed attempts, and what to do about the difference.

Level-based: every step looks at everything, reports what it saw, asks what should be, and acts on the difference by
name. All it remembers between steps saves repeated work only (what was acknowledged, how far logs went, when to try
again); a restart that forgets it repeats calls that change nothing. No clock, thread or sleep: time is ``now_ms``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from operators.artifacts import ArtifactShipper
from operators.ports import (
    Assignment,
    Backend,
    ControlPlane,
    Failure,
    ObservationKind,
    Pull,
    Sample,
    StopOrder,
    View,
    attempt_name,
)
from scheduler.core.errors import DureError, Fatal, Retry


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one step, and the back-off of what fails."""

    observations_per_report: int = 500
    actions_per_step: int = 32
    log_chunk_bytes: int = 64 * 1024
    log_bytes_per_step: int = 512 * 1024
    log_bytes_per_rank: int = 64 * 1024 * 1024
    """Output of a rank beyond this stays on the cluster."""
    backoff_first_ms: int = 1_000
    backoff_last_ms: int = 60_000


class Start(NamedTuple):
    """Begin an attempt that is not there."""

    assignment: Assignment


class Stop(NamedTuple):
    """Give notice to an attempt that is there."""

    name: str
    order: StopOrder


class Forget(NamedTuple):
    """Let go of an attempt that the control plane has settled."""

    name: str


Action = Start | Stop | Forget


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did. ``more``: a bound cut it short, so the next step need not wait.

    observed_through_ms: the watermark that the control plane has confirmed in this process, 0 before.
    """

    reported: int = 0
    actions: tuple[Action, ...] = ()
    failures: tuple[Failure, ...] = ()
    log_bytes: int = 0
    more: bool = False
    observed_through_ms: int = 0
    samples: tuple[Sample, ...] = ()


def name_of(action: Action) -> str:
    """The attempt that an action is about."""
    return action.assignment.name if isinstance(action, Start) else action.name


def diff(assignments: Sequence[Assignment], view: View, forget: Sequence[str] = ()) -> list[Action]:
    """What makes the backend match: what frees before what takes; in each kind by name.

    An attempt that was to stop before it existed, or that began and exists no more, is started all the same: the
    backend then reports it gone without running it, and nobody else may say so. One that has had its notice, or is
    gone, needs nothing. What exists and is neither assigned nor to be forgotten is left alone: the control plane has
    not made up its mind.
    """
    settled = set(_named(view, ObservationKind.NOTICE, ObservationKind.GONE))
    wanted = sorted(assignments, key=lambda item: item.name)
    here = [item for item in wanted if item.name in view.attempts and item.name not in settled]
    known = {item.name for item in wanted}
    forgets: list[Action] = [Forget(name) for name in sorted(set(forget) & view.attempts - known)]
    stops: list[Action] = [Stop(item.name, item.stop) for item in here if item.stop]
    starts: list[Action] = [Start(item) for item in wanted if item.name not in view.attempts]
    return forgets + stops + starts


def _named(view: View, *kinds: ObservationKind) -> Iterator[str]:
    return (attempt_name(item.job, item.attempt) for item in view.observations if item.kind in kinds)


class _Stream(NamedTuple):
    """One rank's output."""

    job: str
    attempt: int
    rank: int

    @property
    def name(self) -> str:
        return attempt_name(self.job, self.attempt)


class _Pushed(Enum):
    """What became of one try to ship output."""

    MORE = "more"
    DONE = "done"
    LATER = "later"


class _Backoff:
    """When each failing call may be tried again: twice the wait after every failure, none after a success.

    A call is named by its attempt ("" for the control plane as a whole) and what it does.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures: dict[tuple[str, str], tuple[int, int]] = {}

    def ready(self, name: str, what: str, now_ms: int) -> bool:
        return now_ms >= self._failures.get((name, what), (0, 0))[1]

    def failed(self, name: str, what: str, now_ms: int) -> None:
        count = self._failures.get((name, what), (0, 0))[0]
        wait_ms = min(self._limits.backoff_last_ms, self._limits.backoff_first_ms << min(count, 20))
        self._failures[name, what] = (count + 1, now_ms + wait_ms)

    def succeeded(self, name: str, what: str) -> None:
        self._failures.pop((name, what), None)

    def keep(self, names: set[str]) -> None:
        self._failures = {key: value for key, value in self._failures.items() if key[0] in names}


@dataclass(slots=True)
class _Step:
    """What one step has gathered so far."""

    now_ms: int
    view: View
    reported: int = 0
    actions: list[Action] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    log_bytes: int = 0
    more: bool = False


class OperatorLoop:
    """One cluster's operator. Call ``step`` again and again; who calls decides the pace."""

    def __init__(
        self,
        cluster: str,
        backend: Backend,
        control_plane: ControlPlane,
        limits: Limits | None = None,
        artifacts: ArtifactShipper | None = None,
    ):
        """Join a backend to a control plane; neither is called yet. artifacts: None where the backend has none."""
        self._cluster = cluster
        self._backend = backend
        self._plane = control_plane
        self._artifacts = artifacts
        self._limits = limits or Limits()
        self._backoff = _Backoff(self._limits)
        self._acknowledged: set[str] = set()
        self._through_ms = 0
        self._awaited: set[str] | None = None
        """What must be seen in a view that is vouched for: begun by the last pull, or seen since; None: no pull yet."""
        self._offsets: dict[_Stream, int] = {}
        self._turn = 0

    def step(self, now_ms: int) -> StepResult:
        """Observe, report, pull, act, ship logs; failures are in the result, only broken promises raise."""
        try:
            view = self._backend.observe(now_ms)
        except DureError as error:
            return StepResult(failures=(Failure("observe", error),), observed_through_ms=self._through_ms)
        step = _Step(now_ms, view, failures=list(view.failures))
        if self._backoff.ready("", "talk", now_ms):
            self._talk(step)
        return StepResult(
            step.reported,
            tuple(step.actions),
            tuple(step.failures),
            step.log_bytes,
            step.more,
            self._through_ms,
            view.samples,
        )

    def _talk(self, step: _Step) -> None:
        where = "report"
        try:
            self._report(step)
            where = "pull"
            pull = self._plane.pull(self._cluster, sorted(step.view.attempts))
            self._awaited = {item.name for item in pull.assignments if item.begun}
        except DureError as error:
            self._backoff.failed("", "talk", step.now_ms)
            step.failures.append(Failure(where, error))
            return
        self._backoff.succeeded("", "talk")
        self._backoff.keep({item.name for item in pull.assignments} | step.view.attempts | {""})
        self._act(step, pull)
        self._ship(step)
        if self._artifacts is not None:
            step.more = self._artifacts.ship(step.view, step.now_ms, step.failures) or step.more

    def _report(self, step: _Step) -> None:
        """Send what is new in batches; only the last one moves the watermark, for it vouches for all of them.

        None moves it while nothing is seen of an attempt that began, or while nobody has said which began: what is not
        seen cannot be vouched for (decision 0006).
        """
        view = step.view
        seen = {attempt_name(item.job, item.attempt) for item in view.observations if item.job}
        vouches = self._awaited is not None and self._awaited <= seen
        if self._awaited is not None:
            self._awaited |= seen  # a report that gets lost may arrive all the same, and tell that they began
        self._acknowledged &= {item.id for item in view.observations}
        fresh = [item for item in view.observations if item.id not in self._acknowledged]
        size = self._limits.observations_per_report
        batches = [fresh[at : at + size] for at in range(0, len(fresh), size)] or [[]]
        for batch in batches:
            last = batch is batches[-1]
            moves = last and vouches
            through_ms = max(view.observed_through_ms, self._through_ms) if moves else self._through_ms
            self._plane.report(self._cluster, view.at_ms, through_ms, batch)
            self._acknowledged.update(item.id for item in batch)
            self._through_ms = through_ms
            step.reported += len(batch)

    def _act(self, step: _Step, pull: Pull) -> None:
        actions = diff(pull.assignments, step.view, pull.forget)
        due = [action for action in actions if self._backoff.ready(name_of(action), "act", step.now_ms)]
        step.more = len(due) > self._limits.actions_per_step
        for action in due[: self._limits.actions_per_step]:
            name = name_of(action)
            try:
                if self._perform(action, step):
                    step.actions.append(action)
                self._backoff.succeeded(name, "act")
            except DureError as error:
                self._backoff.failed(name, "act", step.now_ms)
                step.failures.append(Failure(name, error))

    def _perform(self, action: Action, step: _Step) -> bool:
        match action:
            case Start(assignment):
                self._backend.start(assignment, self._package(assignment, step))
            case Stop(name, order):
                self._backend.stop(name, order, step.now_ms)
            case Forget(name):
                # The record may be archived only when its last output and its artifacts are at the control plane.
                if not self._drained(name, step) or not (self._artifacts is None or self._artifacts.sent(name)):
                    return False
                self._backend.forget(name)
        return True

    def _package(self, assignment: Assignment, step: _Step) -> bytes | None:
        """The package's bytes; None when none is needed, or when there will never be one: the backend then says so."""
        if not assignment.package_sha256 or assignment.stop or assignment.begun:
            return None
        try:
            return self._plane.package(assignment.package_sha256)
        except Fatal as error:
            step.failures.append(Failure(assignment.name, error))
            return None

    def _ship(self, step: _Step) -> None:
        """Push output round-robin, so that a job that prints much does not keep the others' back."""
        streams = self._streams(step.view)
        self._offsets = {stream: offset for stream, offset in self._offsets.items() if stream in streams}
        first = self._turn % max(1, len(streams))
        self._turn += 1
        waiting = streams[first:] + streams[:first]
        while waiting and step.log_bytes < self._limits.log_bytes_per_step:
            waiting = [stream for stream in waiting if self._push(stream, step) is _Pushed.MORE]
        step.more = step.more or bool(waiting)

    def _drained(self, name: str, step: _Step) -> bool:
        for stream in self._streams(step.view):
            if stream.name != name:
                continue
            while (pushed := self._push(stream, step)) is _Pushed.MORE:
                if step.log_bytes >= self._limits.log_bytes_per_step:
                    step.more = True
                    return False
            if pushed is _Pushed.LATER:
                return False
        return True

    def _push(self, stream: _Stream, step: _Step) -> _Pushed:
        """Push the next chunk of a rank's output, if there is one and the step's budget has room."""
        what = f"log {stream.rank}"
        offset = self._offsets.get(stream, 0)
        if offset >= self._limits.log_bytes_per_rank:
            return _Pushed.DONE
        if not self._backoff.ready(stream.name, what, step.now_ms):
            return _Pushed.LATER
        if step.log_bytes >= self._limits.log_bytes_per_step:
            return _Pushed.MORE
        try:
            size = min(self._limits.log_chunk_bytes, self._limits.log_bytes_per_rank - offset)
            content = self._backend.log_chunk(stream.name, stream.rank, offset, size)
            if not content:
                return _Pushed.DONE
            length = self._plane.push_log(stream.job, stream.attempt, stream.rank, offset, content)
        except Retry as error:
            self._backoff.failed(stream.name, what, step.now_ms)
            step.failures.append(Failure(stream.name, error))
            return _Pushed.LATER
        except Fatal as error:
            self._offsets[stream] = self._limits.log_bytes_per_rank
            step.failures.append(Failure(stream.name, error))
            return _Pushed.DONE
        step.log_bytes += len(content)
        self._offsets[stream] = length
        if length == offset:  # it took nothing: asking again at once would be asked for ever
            self._backoff.failed(stream.name, what, step.now_ms)
            return _Pushed.LATER
        self._backoff.succeeded(stream.name, what)
        return _Pushed.MORE

    @staticmethod
    def _streams(view: View) -> list[_Stream]:
        """Outputs that exist: rank 0's from the beginning (its setup writes there), the others' from their start."""
        ranks = {ObservationKind.STARTING: 0, ObservationKind.RANK_STARTED: -1}
        seen = (item for item in view.observations if item.kind in ranks)
        return sorted({_Stream(item.job, item.attempt, max(item.rank, ranks[item.kind])) for item in seen})
