"""A backend and a control plane in memory, with calls that fail on demand, and a short way to make an observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from operators.ports import (
    Assignment,
    Observation,
    ObservationKind,
    Pull,
    StopOrder,
    View,
    attempt_name,
)
from scheduler.core.errors import Fatal, Retry

RETRY = Retry("DURE-8001", "not now")
FATAL = Fatal("DURE-8002", "never")


def seen(kind: ObservationKind, job: str = "aaaa", attempt: int = 1, rank: int = -1, at_ms: int = 5) -> Observation:
    """An observation with an id as backends make them."""
    suffix = f"/{rank}" if rank >= 0 else ""
    return Observation(f"{attempt_name(job, attempt)}/{kind}{suffix}", kind, at_ms, job, attempt, rank)


@dataclass
class FakeBackend:
    """Holds attempts by name; a start shows at once, a stop only gives notice."""

    items: dict[str, list[Observation]] = field(default_factory=dict)
    logs: dict[tuple[str, int], bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    packages: dict[str, bytes | None] = field(default_factory=dict)
    fail: dict[str, Exception] = field(default_factory=dict)
    """Name of a call, or call and attempt ("start d-aaaa-a1"), to what it raises."""
    act_then_fail: bool = False
    """The failing call does its work first: the caller only does not learn of it."""

    def _call(self, what: str, name: str = "") -> Exception | None:
        self.calls.append(f"{what} {name}".strip())
        error = self.fail.get(f"{what} {name}") or self.fail.get(what)
        if error and not self.act_then_fail:
            raise error
        return error

    def observe(self, now_ms: int) -> View:
        """Everything, vouched for up to now."""
        if error := self.fail.get("observe"):
            raise error
        found = tuple(item for name in sorted(self.items) for item in self.items[name])
        return View(now_ms, now_ms, frozenset(self.items), found)

    def start(self, item: Assignment, package: bytes | None) -> None:
        """Starting and running at once; gone at once if it was to stop, or began and is not here."""
        error = self._call("start", item.name)
        self.packages[item.name] = package
        kinds = [ObservationKind.GONE] if item.stop or item.begun else [ObservationKind.STARTING]
        self.items.setdefault(item.name, [seen(kind, item.job, item.attempt) for kind in kinds])
        if error:
            raise error

    def stop(self, name: str, order: StopOrder, now_ms: int) -> None:
        """Notice once."""
        error = self._call("stop", name)
        job, attempt = name.removeprefix("d-").split("-a")
        notice = seen(ObservationKind.NOTICE, job, int(attempt), at_ms=now_ms)
        if name in self.items and notice.id not in {item.id for item in self.items[name]}:
            self.items[name].append(replace(notice, reason=order.reason))
        if error:
            raise error

    def forget(self, name: str) -> None:
        """Away with it."""
        error = self._call("forget", name)
        self.items.pop(name, None)
        if error:
            raise error

    def log_chunk(self, name: str, rank: int, offset: int, limit: int) -> bytes:
        """From the log given to the test."""
        return self.logs.get((name, rank), b"")[offset : offset + limit]


@dataclass
class FakePlane:
    """Keeps what is reported; pulls what the test put there."""

    assignments: tuple[Assignment, ...] = ()
    forget: tuple[str, ...] = ()
    reports: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    logs: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    existing: tuple[str, ...] = ()
    fail: dict[str, Exception] = field(default_factory=dict)
    act_then_fail: bool = False
    log_limit: int = 1 << 40

    def _call(self, what: str) -> Exception | None:
        error = self.fail.get(what)
        if error and not self.act_then_fail:
            raise error
        return error

    def pull(self, cluster: str, existing: Sequence[str]) -> Pull:
        """What the test wants."""
        self.existing = tuple(existing)
        if error := self._call("pull"):
            raise error
        return Pull(self.assignments, self.forget)

    def report(self, cluster: str, at_ms: int, observed_through_ms: int, observations: Sequence[Observation]) -> None:
        """Keep the watermark and the ids."""
        error = self._call("report")
        self.reports.append((observed_through_ms, tuple(item.id for item in observations)))
        if error:
            raise error

    def push_log(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Append as a log store does: at its length or inside it."""
        error = self._call("push_log")
        have = self.logs.get((job, attempt, rank), b"")
        if offset <= len(have):
            have = (have + content[len(have) - offset :])[: self.log_limit]
            self.logs[job, attempt, rank] = have
        if error:
            raise error
        return len(have)

    def package(self, sha256: str) -> bytes:
        """Its own name as bytes."""
        if error := self._call("package"):
            raise error
        return sha256.encode()

    @property
    def reported(self) -> list[str]:
        """Ids in the order in which they came."""
        return [item for _, ids in self.reports for item in ids]
