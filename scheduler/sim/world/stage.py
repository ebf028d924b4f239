"""Who acts when: processes that are stepped at seeded intervals, paused in the middle, killed, and built anew."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Generic, TypeVar

from scheduler.core.errors import DureError, Retry
from scheduler.sim.world.agenda import Agenda
from scheduler.sim.world.chance import Crashed, Dice, between

L = TypeVar("L")
PAUSED_AT_ONCE_MAX = 3
PAUSE_MS_MAX = 60_000
TRACE_LINES_KEPT = 20_000


class Trace:
    """Everything that happened, one line each; the digest is over all lines, also those no longer kept."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=TRACE_LINES_KEPT)
        self._digest = sha256()

    def add(self, at_ms: int, who: str, what: str) -> None:
        """A line."""
        line = f"{at_ms} {who}: {what}"
        self.lines.append(line)
        self._digest.update(f"{line}\n".encode())

    @property
    def sha256(self) -> str:
        """Digest over all lines."""
        return self._digest.hexdigest()


class Stage:
    """The processes that are at work right now, innermost last, and what may happen to the innermost."""

    def __init__(self, agenda: Agenda, dice: Dice, trace: Trace, findings_max: int) -> None:
        self.agenda = agenda
        self.dice = dice
        self.trace = trace
        self.findings: list[str] = []
        self._findings_max = findings_max
        self._stack: list[str] = []

    @property
    def who(self) -> str:
        """The process at work."""
        return self._stack[-1] if self._stack else "world"

    @contextmanager
    def acting(self, name: str) -> Iterator[None]:
        """Inside the block ``name`` is at work."""
        self._stack.append(name)
        try:
            yield
        finally:
            self._stack.pop()

    def say(self, what: str) -> None:
        """A line of the trace."""
        self.trace.add(self.agenda.now_ms, self.who, what)

    def found(self, sentence: str) -> None:
        """A finding; enough of them end the world."""
        self.findings.append(sentence)
        self.say(f"FINDING {sentence}")
        if self.is_over:
            self.agenda.stop()

    @property
    def is_over(self) -> bool:
        """So much is found that going on would only repeat it."""
        return len(self.findings) >= self._findings_max

    def pause_point(self) -> None:
        """Where the process at work may die, or stand still while the world goes on. Raises Crashed."""
        if not self._stack:
            return
        if self.dice.happens("crash", "crashes"):
            raise Crashed("before a transaction")
        if len(self._stack) <= PAUSED_AT_ONCE_MAX and self.dice.happens("pause", "pauses"):
            duration_ms = between(self.dice.of("pauses"), 100, PAUSE_MS_MAX)
            self.say(f"stands still for {duration_ms} ms")
            self.agenda.run_until(self.agenda.now_ms + duration_ms)

    def between_calls(self, what: str) -> None:
        """The same for an operator between two of its calls."""
        if self.dice.happens("operator_dies", "operators"):
            raise Crashed(f"before {what}")
        self.pause_point()

    def guarded(self, name: str, action: Callable[[], object]) -> bool:
        """Do something as ``name``; True when it came to its end. What nobody expects becomes a finding."""
        try:
            with self.acting(name):
                action()
        except Retry as error:
            self.trace.add(self.agenda.now_ms, name, f"Retry: {error}")
        except Crashed as error:
            self.trace.add(self.agenda.now_ms, name, f"dies {error}")
            self.dice.counts["deaths"] += 1
            raise
        except DureError as error:
            self.found(f"{name}: {error.code} {error.message}")
        except Exception as error:
            self.found(f"{name}: {type(error).__name__}: {error}")
        else:
            return True
        return False


class Process(Generic[L]):
    """A loop object that is thrown away when it dies and built anew under another name, from the store alone."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        build: Callable[[str], L],
        step: Callable[[L, int], object],
        interval_ms: tuple[int, int],
    ) -> None:
        self.name = name
        self.steps = 0
        self.part: L | None = None
        self._stage = stage
        self._build = build
        self._step = step
        self._interval_ms = interval_ms
        self._lives = 0
        self._is_busy = False

    def fire(self) -> None:
        """Step now unless it is paused in the middle of a step, and again after a seeded interval."""
        rng = self._stage.dice.of(f"interval {self.name}")
        self._stage.agenda.at(self._stage.agenda.now_ms + rng.randint(*self._interval_ms), self.fire)
        self.step()

    def step(self) -> None:
        """One step, by a new life if the last one died."""
        if self._is_busy or self._stage.is_over:
            return
        if self.part is None:
            self._lives += 1
            self.part = self._build(self.holder)
        part = self.part
        self._is_busy = True
        self.steps += 1
        try:
            self._stage.guarded(self.holder, lambda: self._step(part, self._stage.agenda.now_ms))
        except Crashed:
            self.part = None
        finally:
            self._is_busy = False

    @property
    def holder(self) -> str:
        """The name of its present life: no two lives have the same."""
        return f"{self.name}.{self._lives}"
