"""The local backend: attempts as Ray clusters on this machine, each under a supervisor of its own.

All that it knows is in the data folder, so that a restart forgets nothing; docs/decisions/0005 says why it is so.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from operators.local import artifacts, gpus, launch, layout, machine, nodes, processes
from operators.local.attempts import Attempts, Look, Seen
from operators.local.layout import Folder, Spec
from operators.local.nvml import Nvml
from operators.local.package import BadPackage
from operators.local.recorder import wall_ms
from operators.local.records import EndKind, GpuUse, observations
from operators.local.silence import Silence
from operators.ports import Artifacts, Assignment, Failure, Sample, StopOrder, View
from scheduler.core.errors import Fatal, Retry
from scheduler.core.lifecycle import StopReason
from scheduler.core.model import Node

SETTLED_PER_LOOK_MAX = 8
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")


class LocalBackend:
    """operators.ports.Backend on this machine; one process at a time may have it open on a data folder."""

    def __init__(
        self,
        data: Path,
        cluster: str,
        pool: Sequence[Node],
        nvml: Nvml | None = None,
        clock: Callable[[], int] = wall_ms,
        api_url: str = "",
        artifact_bytes_max: int = artifacts.BYTES_MAX,
    ) -> None:
        """Open the data folder; raises Fatal when another operator has it, Retry when it cannot be written.

        api_url: the control plane's address, for what jobs report themselves.
        """
        self._api_url = api_url
        self._data, self._cluster, self._pool = data.resolve(), cluster, tuple(pool)
        self._nvml, self._clock = nvml, clock
        self._artifact_bytes_max = artifact_bytes_max
        self._plan = gpus.plan_devices(self._pool, nvml.devices() if nvml else ())
        with _retried("the data folder cannot be written"):
            for name in ("attempts", "archive", "checkpoints"):
                (self._data / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = layout.take_lock(self._data / "operator.lock")
        if lock is None:
            raise Fatal("DURE-8032", f"{data} is in use by another operator", "stop it, or choose another data folder")
        self._lock = lock
        self._attempts = Attempts(self._data / "attempts")
        self._memory_file = self._data / "operator.json"
        self._memory = nodes.load(self._memory_file)
        self._supervisors: set[int] = set()
        self._silence = Silence()
        self._turn = 0

    @property
    def devices_note(self) -> str:
        """One sentence when real devices exist and are not used, else ""."""
        return self._plan.note

    def close(self) -> None:
        """Let another operator open the data folder; attempts run on."""
        os.close(self._lock)

    def observe(self, now_ms: int) -> View:
        """Look at every folder and at the devices; attempts that lost their supervisor are killed and proven gone."""
        with _retried("the attempts' folders cannot be read"):
            self._reap()
            look = self._attempts.look()
            failures = [_failure(name, error) for name, error, _ in look.unread]
            seen = self._settled(look.seen, failures)
            for item in self._silence.overdue(seen, now_ms):
                _kill_supervisor(item.folder)
            healthy = self._healthy()
            counts = {node.name: self._count(node, healthy) for node in self._pool}
            memory = nodes.advance(self._memory, self._pool, counts, now_ms)
            memory = replace(memory, watermark_ms=self._through_ms(Look(seen, look.unread), now_ms))
            if memory != self._memory:
                nodes.save(self._memory_file, memory)
                self._memory = memory
        found = nodes.observations(self._memory, self._cluster)
        for item in seen:
            found += observations(item.spec.assignment, item.record, item.end)
        return View(
            at_ms=now_ms,
            observed_through_ms=self._memory.watermark_ms,
            attempts=frozenset(
                [*(item.folder.name for item in seen if item.exists), *(item.name for item in look.unread)]
            ),
            observations=tuple(found),
            samples=tuple(sample for item in seen if not item.is_over for sample in _samples(item)),
            failures=tuple(failures),
        )

    def start(self, assignment: Assignment, package: bytes | None) -> None:
        """Begin the attempt unless it exists; one that cannot ever run, or is to stop already, is reported gone."""
        folder = self._folder(assignment.name)
        if (self._data / "archive" / folder.name).exists():
            raise Fatal("DURE-8005", f"attempt {folder.name} is settled and archived; it is not begun again")
        with _retried(f"attempt {folder.name} cannot be written"):
            spec = self._spec(folder, assignment)
            seen = self._attempts.look_at(folder.name)
            if seen is None or seen.exists:
                return
            self._end_untraced(seen)
            if assignment.begun:
                self._end_unrun(folder, EndKind.LOST)
                return
            if assignment.stop is not None or folder.stop.exists():
                self._end_unrun(folder, EndKind.NEVER)
                return
            try:
                launch.prepare_files(folder, spec, package)
            except BadPackage as error:
                self._end_unrun(folder, EndKind.FAILED, str(error))
                return
            pid = launch.spawn_supervisor(folder, self._memory.watermark_ms, os.environ)
            if pid is not None:
                self._supervisors.add(pid)

    def stop(self, name: str, order: StopOrder, now_ms: int) -> None:
        """Write the order, if it is the first; the supervisor sees it within moments."""
        folder = self._folder(name)
        with _retried(f"the order to stop {name} cannot be written"):
            if folder.spec.exists():
                layout.create_once(folder.stop, {"reason": order.reason, "at_ms": now_ms, "grace_ms": order.grace_ms})

    def forget(self, name: str) -> None:
        """Archive the record, remove work and logs; one that still lives is stopped, and archived when it is gone."""
        folder = self._folder(name)
        with _retried(f"attempt {name} cannot be archived"):
            seen = self._attempts.look_at(name)
            if seen is None:
                return
            if seen.is_live:
                self.stop(name, StopOrder(StopReason.LOST.value, 0), self._instant())
                return
            if seen.is_orphan:
                return
            for path in (folder.work, folder.path / ".work", folder.logs, folder.artifacts, seen.spec.ray_dir):
                shutil.rmtree(path, ignore_errors=True)
            folder.path.rename(self._data / "archive" / name)
            self._attempts.drop(name)

    def log_chunk(self, name: str, rank: int, offset: int, limit: int) -> bytes:
        """At most ``limit`` bytes of a rank's output, its setup's included."""
        with contextlib.suppress(FileNotFoundError), self._folder(name).log(rank).open("rb") as file:
            file.seek(offset)
            return file.read(limit)
        return b""

    def artifacts(self, name: str) -> Artifacts:
        """What rank 0 has put into its artifacts folder; nothing of an attempt that is not over."""
        folder = self._folder(name)
        with _retried(f"the artifacts of {name} cannot be read"):
            seen = self._attempts.look_at(name)
            rank = seen.spec.assignment.ranks[0].rank if seen is not None and seen.is_over else None
            return Artifacts() if rank is None else artifacts.collect(folder, rank, self._artifact_bytes_max)

    def artifact_chunk(self, name: str, path: str, offset: int, limit: int) -> bytes:
        """At most ``limit`` bytes of one of them."""
        folder = self._folder(name)
        with _retried(f"the artifacts of {name} cannot be read"):
            seen = self._attempts.look_at(name)
            if seen is None:
                return b""
            return artifacts.read(folder, seen.spec.assignment.ranks[0].rank, path, offset, limit)

    def _folder(self, name: str) -> Folder:
        try:
            return self._attempts.folder(name)
        except ValueError as error:
            raise Fatal("DURE-8006", str(error)) from error

    def _spec(self, folder: Folder, assignment: Assignment) -> Spec:
        """The spec on disk, or a new one: devices are chosen once, with the spec."""
        spec = folder.read_spec()
        if spec is not None:
            return spec
        taken = self._taken()
        # One whose traces are lost runs no more: it waits for no device.
        none = assignment.begun
        devices = () if none else gpus.assign_devices(self._plan, assignment.ranks, taken, self._healthy())
        if devices is None:
            raise Retry("DURE-8007", f"the GPUs for attempt {folder.name} are not free yet")
        parts = (assignment.org, assignment.project, assignment.checkpoint_key)
        if not all(_PART.fullmatch(part) for part in parts):
            raise Fatal("DURE-8006", f"{'/'.join(parts)!r} is no folder for checkpoints")
        spec = Spec(
            assignment,
            self._cluster,
            str(self._data.joinpath("checkpoints", *parts)),
            str(layout.ray_dir_for(folder)),
            devices,
            *machine.shares(sum(node.gpus for node in self._pool)),
            api_url=self._api_url,
        )
        folder.path.mkdir(exist_ok=True, mode=0o700)
        layout.sync_folder(folder.path.parent)
        layout.write_atomic(folder.spec, spec)
        return spec

    def _taken(self) -> list[str]:
        """UUIDs of the devices of attempts that are not over; raises Retry when one of them cannot be known."""
        look = self._attempts.look()
        specs = [item.spec for item in look.seen if not item.is_over]
        for name, error, spec in look.unread:
            if spec is None and self._plan.is_real:
                raise Retry("DURE-8008", f"which GPUs {name} has cannot be read: {error.strerror or error}") from error
            specs += [spec] if spec else []
        return [uuid for spec in specs for rank in spec.devices for uuid in rank]

    def _end_unrun(self, folder: Folder, kind: EndKind, message: str = "") -> None:
        """Say that the attempt is over without having run; raises Retry when a supervisor has it after all."""
        if not launch.end_without_run(folder, kind, self._instant(), message):
            raise Retry("DURE-8035", f"attempt {folder.name} was to end unbegun and a supervisor has it")

    @staticmethod
    def _end_untraced(seen: Seen) -> None:
        """Kill what runs under the attempt's name though its folder says that it never began: it may not run twice."""
        _kill_supervisor(seen.folder)
        if not processes.kill_belonging(seen.mark):
            raise Retry("DURE-8034", f"something of {seen.folder.name} runs without a trace and does not end yet")

    def _instant(self) -> int:
        """Now, but never before what was vouched for."""
        return max(self._clock(), self._memory.watermark_ms)

    def _reap(self) -> None:
        for pid in sorted(self._supervisors):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            self._supervisors.discard(pid)

    def _settled(self, seen: Sequence[Seen], failures: list[Failure]) -> list[Seen]:
        """Attempts without a supervisor and without an end: kill what is left of them, then say that they are lost.

        All of one look share its time, and each look begins with others, so that what does not die keeps nobody back.
        """
        orphans = [item for item in seen if item.is_orphan]
        first = self._turn % max(1, len(orphans))
        left = (orphans[first:] + orphans[:first])[:SETTLED_PER_LOOK_MAX]
        self._turn = first + len(left)
        after = {item.folder.name: item for item in seen}
        deadline = time.monotonic() + processes.KILL_SECONDS_MAX
        while left:
            alive = [item for item in left if not processes.kill_round(item.mark)]
            for item in left:
                if item not in alive:
                    after[item.folder.name] = self._end_lost(item, failures)
            left = alive
            if left and time.monotonic() >= deadline:
                break  # some do not die now: a later look goes on with them
            time.sleep(processes.KILL_ROUND_SECONDS if left else 0)
        return list(after.values())

    def _end_lost(self, item: Seen, failures: list[Failure]) -> Seen:
        """Write that the attempt is lost; one whose folder takes no word stays as it is, with a failure of its own."""
        shutil.rmtree(item.spec.ray_dir, ignore_errors=True)
        try:
            launch.end_lost(item.folder, max(self._instant(), item.record.last_at_ms))
            return self._attempts.look_at(item.folder.name) or item
        except OSError as error:
            failures.append(_failure(item.folder.name, error))
            return item

    def _through_ms(self, look: Look, now_ms: int) -> int:
        """Every event before this instant is in what was seen.

        A record's clock never goes backwards, so a living supervisor can still write only at or after its last line.
        One without a readable line was told the present watermark as its earliest instant: it holds the watermark
        there, and so does one whose folder cannot be read.
        """
        known_ms = self._memory.watermark_ms
        open_ends = [item for item in look.seen if not item.is_over and (item.is_live or item.has_lines)]
        bounds = [item.record.last_at_ms if item.record.last_seq else known_ms for item in open_ends]
        bounds += [known_ms for _ in look.unread]
        return max(known_ms, min([now_ms, *bounds]))

    def _healthy(self) -> frozenset[str]:
        devices = self._nvml.devices() if self._nvml and self._plan.is_real else ()
        return frozenset(device.uuid for device in devices)

    def _count(self, node: Node, healthy: frozenset[str]) -> int:
        return len(healthy.intersection(self._plan.by_node[node.name])) if self._plan.is_real else node.gpus


def _samples(seen: Seen) -> Iterator[Sample]:
    """What each rank of an attempt holds and does; a rank runs when its process does, whatever the record says.

    After a failure the attempt may be held: its ranks have ended and their GPUs are still theirs.
    """
    assignment, record = seen.spec.assignment, seen.record
    pids = {line.rank: line.pid for line in record.starts if line.rank in record.running}
    uses = {use.rank: use for use in record.gpus}
    for rank in assignment.ranks:
        found = processes.process(pids[rank.rank]) if rank.rank in pids else None
        is_held = seen.is_live and record.hold is not None and rank.rank in record.running
        use: GpuUse | None = uses.get(rank.rank)
        yield Sample(
            assignment.job,
            assignment.attempt,
            rank.rank,
            assignment.org,
            assignment.project,
            assignment.flavor,
            assignment.tier,
            rank.gpus,
            is_held or (found is not None and not found.is_zombie),
            use.utilisation_percent if use else None,
            use.memory_bytes if use else None,
            use.energy_mj if use else None,
        )


def _kill_supervisor(folder: Folder) -> None:
    """Kill whatever runs as this attempt's supervisor."""
    for target in processes.commanded(launch.SUPERVISOR_MODULE, str(folder.path)):
        processes.send(target, signal.SIGKILL)


def _failure(name: str, error: OSError) -> Failure:
    return Failure(name, Retry("DURE-8008", f"the folder of attempt {name} fails: {error.strerror or error}"))


@contextmanager
def _retried(what: str) -> Iterator[None]:
    """Turn a failure of the file system into a Retry that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise Retry("DURE-8008", f"{what}: {error.strerror or error}") from error
