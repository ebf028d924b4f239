"""What turns a loop's ``step(now)`` over and over: a thread with a pace, a wake-up, and no way to die of an error."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from scheduler.core.errors import DureError, Retry
from scheduler.services.ports import Reader, Store, Writer

LOG = logging.getLogger("dure.loops")

BACKOFF_MAX_SECONDS = 10.0
GATHER_SECONDS = 0.02
GATHER_MAX_SECONDS = 1.0
"""After a wake-up: what else is written in this time is decided in the same step. It is at least as long as the last
step was, so that a busy loop leaves half of a processor to those who wake it."""


def boot_ns() -> int:
    """Nanoseconds since this machine was started, time asleep included; no change of the clock touches it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class WallClock:
    """Milliseconds since 1970 that go on with real time and never run backwards in this process; thread-safe.

    The wall clock is read once and then followed forward only: set forward, it takes this clock along; set back, it
    does not, and time goes on from where it is. Standing still instead would make all that happens meanwhile an instant
    to come, which is not believed and not charged.
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, elapsed_ns: Callable[[], int] = boot_ns) -> None:
        """elapsed_ns: nanoseconds of real time from any one instant on; never goes backwards."""
        self._lock = threading.Lock()
        self._wall_ns = wall_ns
        self._elapsed_ns = elapsed_ns
        self._base_ns = wall_ns() - elapsed_ns()

    def __call__(self) -> int:
        """Now."""
        with self._lock:
            # The wall first: a thread that is held up between the two then never moves the base forward.
            wall_ns = self._wall_ns()
            elapsed_ns = self._elapsed_ns()
            self._base_ns = max(self._base_ns, wall_ns - elapsed_ns)
            return (self._base_ns + elapsed_ns) // 1_000_000


class Driver:
    """Calls ``step`` every ``interval_ms``, sooner after ``wake``; failures are logged once a kind and backed off.

    ``step`` returns whether it has more to do at once.
    """

    def __init__(self, name: str, step: Callable[[], bool], interval_ms: int) -> None:
        self.name = name
        self._step = step
        self._interval_seconds = interval_ms / 1_000
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"dure-{name}", daemon=True)
        self._succeeded = time.monotonic()
        self._failing: str = ""
        self._failures = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Step soon, not only when the interval is over."""
        self._woken.set()

    def ask_to_stop(self) -> None:
        """End after the present step."""
        self._stopping.set()
        self._woken.set()

    def join(self, seconds_max: float) -> bool:
        """Wait for the end; False when the step hangs (the thread then ends with the process)."""
        self._thread.join(seconds_max)
        return not self._thread.is_alive()

    def fault(self, within_ms: int) -> str:
        """One sentence when no step has succeeded for so long, else ""; anybody may read it, so it names only codes."""
        silent_seconds = time.monotonic() - self._succeeded
        if silent_seconds * 1_000 <= within_ms:
            return ""
        because = f": {self._failing}" if self._failing.startswith("DURE-") else ""
        return f"the {self.name} has not run for {silent_seconds:.0f} s{because}"

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            pause_seconds = self._once()
            took_seconds = time.monotonic() - began
            if self._woken.wait(pause_seconds):
                self._stopping.wait(min(GATHER_MAX_SECONDS, max(GATHER_SECONDS, took_seconds)))
                self._woken.clear()

    def _once(self) -> float:
        """One step; returns the seconds to wait after it."""
        try:
            more = self._step()
        except Exception as error:
            return self._failed(error)
        if self._failures:
            LOG.info("a loop runs again", extra={"loop": self.name, "failures": self._failures})
        self._succeeded, self._failing, self._failures = time.monotonic(), "", 0
        return 0.0 if more else self._interval_seconds

    def _failed(self, error: Exception) -> float:
        kind = error.code if isinstance(error, DureError) else type(error).__name__
        if kind != self._failing:
            about = {"loop": self.name, "kind": kind}
            if isinstance(error, Retry):
                LOG.warning("a loop has to wait: %s", error.message, extra=about)
            else:
                LOG.error("a loop's step failed", exc_info=error, extra=about)
        self._failing = kind
        self._failures += 1
        return min(BACKOFF_MAX_SECONDS, self._interval_seconds * 2.0 ** min(self._failures, 16))


class WakingStore:
    """A store that tells somebody after each committed write."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake

    def read(self) -> AbstractContextManager[Reader]:
        """A read view of the store."""
        return self._store.read()

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """A write transaction of the store; ``wake`` is called once it is committed."""
        with self._store.write() as tx:
            yield tx
        self._wake()
