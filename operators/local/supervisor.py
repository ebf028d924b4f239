"""One attempt's supervisor: ``python -m operators.local.supervisor FOLDER``.

It starts the attempt's Ray cluster and ranks, keeps the record, gives notice when told to, enforces the time limit, and
says "gone" only when nothing that descends from it is left. It is detached from the operator and outlives it; all that
it shares with it are files. One thread, no import of Ray, no state beside the record.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
from enum import Enum
from pathlib import Path
from types import FrameType

from operators.local import children, environment, layout, processes
from operators.local.hold import FailureHold
from operators.local.layout import MARKER, Folder, Spec
from operators.local.meter import RankMeter
from operators.local.ranks import Command, RankRun
from operators.local.raycluster import RayCluster
from operators.local.recorder import Recorder, wall_ms
from operators.local.records import LineKind
from scheduler.core.lifecycle import StopReason

TICK_SECONDS = 0.1
BEAT_SECONDS = 1.0
START_SECONDS_MAX = 900.0
"""Ray and setup together, once it is their turn; the time limit counts from the start of the ranks."""
FAIL_GRACE_MS = 5_000
"""What the other ranks of a gang get when one has failed."""
SHUTDOWN_GRACE_MS = 10_000
STOPPED_EARLY = 128 + signal.SIGTERM


class Phase(Enum):
    """What the supervisor is doing."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    CLOSING = "closing"
    GONE = "gone"


class Supervisor:
    """The attempt's state machine; ``tick`` looks at everything once."""

    def __init__(self, folder: Folder, spec: Spec, record: Recorder) -> None:
        """Nothing is started before ``begin``."""
        self._folder, self._spec, self._record = folder, spec, record
        self._children = children.Children()
        programs = Path(sys.executable).parent
        ranks = spec.assignment.ranks
        self._envs = [environment.of_rank(spec, folder, at, os.environ, programs) for at in range(len(ranks))]
        self._ray = RayCluster(folder, spec, self._envs, self._children)
        self._meter = RankMeter(spec)
        self._hold = FailureHold(spec.assignment.hold_on_failure_ms, spec.assignment.time_limit_ms)
        self._setups: list[RankRun] = []
        self._runs: list[RankRun] = []
        self._codes: list[int] = []
        self._phase = Phase.STARTING
        self._changed = self._beat_at = time.monotonic()
        self._grace_until = 0.0
        self._code = 0
        self._slot: int | None = None
        self._own_order: dict[str, object] | None = None
        self._ready = self._shutdown = False

    def begin(self) -> None:
        """First line, then Ray and the ranks' setup beside it."""
        own = processes.process(os.getpid())
        # Who leads the session, before anything is in it: leftovers are found by it when this process is no more.
        ticks = own.start_ticks if own and own.session == own.pid else 0
        self._record.append(LineKind.BEGIN, pid=os.getpid(), start_ticks=ticks, boot_id=processes.boot_id())
        if self._folder.stop.exists():
            return
        if self._spec.assignment.setup.strip():
            self._setups = self._start_all(self._spec.assignment.setup)

    def tick(self) -> bool:
        """Look at everything once; False when the attempt is gone and its record complete."""
        self._children.reap()
        self._record.flush()
        if time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + BEAT_SECONDS
            self._record.append(LineKind.BEAT, **self._meter.fields())
        if self._shutdown and not self._stop_order():
            self._order(StopReason.LOST, SHUTDOWN_GRACE_MS)
        match self._phase:
            case Phase.STARTING:
                self._look_at_start()
            case Phase.RUNNING:
                self._look_at_run()
            case Phase.STOPPING:
                self._look_at_stop()
            case Phase.CLOSING:
                self._look_at_close()
        return self._phase is not Phase.GONE or self._record.behind

    def shut_down(self, _sign: int, _frame: FrameType | None) -> None:
        """SIGTERM: the machine wants the supervisor away; the attempt is lost, with what notice there is time for."""
        self._shutdown = True

    def _start_all(self, script: str) -> list[RankRun]:
        runs = []
        for at, rank in enumerate(self._spec.assignment.ranks):
            command = Command(script, self._envs[at], self._folder.work / str(rank.rank), self._folder.log(rank.rank))
            runs.append(RankRun(rank.rank, command, self._children))
        return runs

    def _look_at_start(self) -> None:
        for run in self._setups:
            run.look(kill_rest=False)  # what a setup leaves running may serve the run
        failed = next((run for run in self._setups if run.code), None)
        if self._stop_order():
            self._notice(self._setups, STOPPED_EARLY)
        elif self._ray.failure:
            self._fail(f"Ray could not be started: {self._ray.failure}", 1)
        elif failed is not None and failed.code:
            self._fail(f"setup of rank {failed.rank} ended with exit status {failed.code}", failed.code)
        elif not self._ray.is_started:
            self._slot = layout.take_slot(self._folder.path.parent, self._spec.starts_at_once)
            if self._slot is not None:
                self._changed = time.monotonic()
                self._ray.start()
        elif time.monotonic() - self._changed > START_SECONDS_MAX:
            self._fail(f"Ray and setup were not ready after {START_SECONDS_MAX:.0f} s", 1)
        elif self._ray.address:
            if not self._ready:
                self._record.append(LineKind.READY)
                self._ready = True
                self._free_slot()
            if all(run.code == 0 for run in self._setups):
                self._run()

    def _run(self) -> None:
        for env in self._envs:
            env["RAY_ADDRESS"] = self._ray.address
        self._meter.start()
        if self._spec.assignment.entrypoint == "ray":
            self._runs = [self._driver()]
        else:
            self._runs = self._start_all(self._spec.assignment.run)
        for at, rank in enumerate(self._spec.assignment.ranks):
            # Of a Ray driver's gang the other ranks are Ray nodes alone: they run as long as the driver does.
            pid = self._runs[min(at, len(self._runs) - 1)].pid
            self._record.append(LineKind.START, rank=rank.rank, pid=pid)
        self._enter(Phase.RUNNING)

    def _driver(self) -> RankRun:
        rank = self._spec.assignment.ranks[0].rank
        folder = self._folder
        command = Command(self._spec.assignment.run, self._envs[0], folder.work / str(rank), folder.log(rank))
        return RankRun(rank, command, self._children)

    def _look_at_run(self) -> None:
        self._note_exits()
        if all(run.noted for run in self._runs):
            self._close(next((code for code in self._codes if code), 0))
            return
        if any(self._codes) or self._ray.failure:
            self._order(StopReason.FAIL, FAIL_GRACE_MS)
        elif self._ran_ms() >= self._spec.assignment.time_limit_ms:
            self._order(StopReason.TIMEOUT, self._spec.assignment.grace_ms)
        if self._stop_order():
            self._notice(self._runs, 0)

    def _ran_ms(self) -> int:
        """Since the ranks were started; while they run."""
        return int((time.monotonic() - self._changed) * 1_000)

    def _is_held(self, run: RankRun) -> bool:
        """Whether a rank that has ended is kept, with all of its gang, because one of them has failed."""
        if self._phase is not Phase.RUNNING or self._stop_order():
            return False
        if run.code and self._hold.begin(run.rank, self._ran_ms()):
            self._record.append(LineKind.HOLD, rank=run.rank, code=run.code)
        return self._hold.is_on(self._ran_ms())

    def _note_exits(self) -> None:
        # After a hold the rank that began it is the first to have ended: its code is the attempt's.
        for at, run in sorted(enumerate(self._runs), key=lambda item: item[1].rank != self._hold.rank):
            run.look(kill_rest=self._phase is Phase.RUNNING)
            if run.ended and not run.noted and not self._is_held(run):
                run.noted = True
                self._codes.append(run.code or 0)
                self._record.append(LineKind.EXIT, rank=run.rank, code=run.code)
                if self._spec.assignment.entrypoint == "ray":
                    self._note_other_ranks(run)
                else:
                    self._ray.release(at)

    def _note_other_ranks(self, driver: RankRun) -> None:
        for rank in self._spec.assignment.ranks:
            if rank.rank != driver.rank:
                self._record.append(LineKind.EXIT, rank=rank.rank, code=0)

    def _look_at_stop(self) -> None:
        over = time.monotonic() >= self._grace_until
        for run in self._setups:
            run.look(kill_rest=over)
        self._note_exits()
        left = [run for run in (*self._setups, *self._runs) if not run.ended]
        if not left:
            self._close(next((code for code in self._codes if code), self._code))
        elif over:
            for run in left:
                run.signal(signal.SIGKILL)

    def _look_at_close(self) -> None:
        """Ray in order first, then whatever is left by force; gone when no descendant and no marked process is left."""
        if self._ray.stop():
            self._children.kill_all()
        folder = self._folder
        mark = processes.Mark(MARKER, str(folder.path), (str(folder.logs), self._spec.ray_dir))
        if self._children.none_left and not processes.belonging(mark):
            self._ray.remove_files()
            self._record.append(LineKind.GONE, code=self._code, cpu_ms=children.cpu_ms())
            self._enter(Phase.GONE)

    def _stop_order(self) -> dict[str, object] | None:
        if self._folder.stop.exists():
            return layout.read_json(self._folder.stop) or {}
        return self._own_order

    def _order(self, reason: StopReason, grace_ms: int) -> None:
        """Give the same order as the operator would: whichever file was there first decides."""
        order: dict[str, object] = {"reason": reason.value, "at_ms": wall_ms(), "grace_ms": grace_ms}
        try:
            layout.create_once(self._folder.stop, order)
        except OSError:  # a full disk must not keep a job beyond its time
            self._own_order = self._own_order or order

    def _notice(self, runs: list[RankRun], code: int) -> None:
        order = self._stop_order() or {}
        reason, grace_ms = order.get("reason"), order.get("grace_ms")
        self._record.append(LineKind.NOTICE, reason=reason if isinstance(reason, str) else StopReason.CANCEL.value)
        limit_ms = grace_ms if isinstance(grace_ms, int) else self._spec.assignment.grace_ms
        for run in runs:
            run.signal(signal.SIGTERM)
        self._code = code
        self._grace_until = time.monotonic() + limit_ms / 1_000
        self._enter(Phase.STOPPING)

    def _fail(self, message: str, code: int) -> None:
        self._record.append(LineKind.FAIL, message=message)
        for run in self._setups:
            run.signal(signal.SIGKILL)
        self._close(code)

    def _free_slot(self) -> None:
        if self._slot is not None:
            os.close(self._slot)
            self._slot = None

    def _close(self, code: int) -> None:
        self._code = code
        self._free_slot()
        self._meter.stop()
        self._enter(Phase.CLOSING)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._changed = time.monotonic()


def main(arguments: list[str]) -> int:
    """Supervise one attempt; exit status 0 also when it has, or had, another supervisor, 2 without a readable spec."""
    parser = argparse.ArgumentParser(prog="operators.local.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path, help="the attempt's folder, with its spec.json")
    parser.add_argument("--lock-fd", type=int, help="an inherited descriptor that holds supervisor.lock")
    parser.add_argument("--floor-ms", type=int, default=0, help="no line is older than this instant")
    options = parser.parse_args(arguments)
    folder = Folder(options.folder.resolve())
    lock = options.lock_fd if options.lock_fd is not None else layout.take_lock(folder.lock)
    if lock is None:
        return 0
    # The lock says that this very process lives: nothing that it starts may hold it too.
    fcntl.fcntl(lock, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    spec = None
    with contextlib.suppress(OSError):
        spec = folder.read_spec()
    if spec is None:
        print(f"dure: {folder.spec} is missing or unreadable", file=sys.stderr)
        return 2
    record = Recorder(folder.record, options.floor_ms)
    if not record.is_empty or folder.end.exists():
        return 0
    supervise(Supervisor(folder, spec, record))
    return 0


def supervise(supervisor: Supervisor) -> None:
    """Run until the attempt is gone; should the supervisor itself break, it takes everything down with it."""
    children.adopt_orphans()
    signal.signal(signal.SIGTERM, supervisor.shut_down)
    # Handlers that do nothing: a signal that is ignored would stay ignored in every program of the job.
    signal.signal(signal.SIGINT, _unheard)
    signal.signal(signal.SIGHUP, _unheard)
    try:
        supervisor.begin()
        while supervisor.tick():
            time.sleep(TICK_SECONDS)
    finally:
        children.Children().kill_all()


def _unheard(_sign: int, _frame: FrameType | None) -> None:
    """What a key at the operator's terminal sends is not for the attempt."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
