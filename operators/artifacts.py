"""Sends what attempts hand over, once they are gone: listed once, then bytes by offset, until the far side has all.

As for everything that an operator sends, a repeat changes nothing and a restart forgets nothing that matters: the far
side says how far it is. An upload that does not succeed is given up after a while, so that no attempt is kept for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from operators.ports import Artifacts, ArtifactSink, ArtifactSource, Failure, ObservationKind, View, attempt_name
from scheduler.core.errors import DureError, Fatal, Retry


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """Bounds of one step and of one upload."""

    chunk_bytes: int = 512 * 1024
    bytes_per_step: int = 4 * 1024 * 1024
    uploads_per_step: int = 16
    backoff_first_ms: int = 1_000
    backoff_last_ms: int = 60_000
    give_up_ms: int = 3_600_000
    """Since its first failure without a byte sent after it."""
    refusals_max: int = 10
    """How often the far side may take nothing of what it is sent, or throw a file away as damaged."""


@dataclass(slots=True)
class _Upload:
    """One attempt's artifacts on their way; found None: not listed yet."""

    job: str
    attempt: int
    found: Artifacts | None = None
    sizes: list[int] = field(default_factory=list)
    failures: int = 0
    refusals: int = 0
    failing_since_ms: int = 0
    ready_ms: int = 0
    done: bool = False


class ArtifactShipper:
    """Artifacts of every attempt that a backend shows as gone; the operator's loop calls it once a step."""

    def __init__(self, source: ArtifactSource, sink: ArtifactSink, limits: ArtifactLimits | None = None) -> None:
        """Join the two sides; neither is called yet."""
        self._source, self._sink = source, sink
        self._limits = limits or ArtifactLimits()
        self._uploads: dict[str, _Upload] = {}
        self._left_bytes = 0
        self._turn = 0

    def sent(self, name: str) -> bool:
        """Whether all that the attempt hands over is at the control plane, or was given up."""
        upload = self._uploads.get(name)
        return upload is not None and upload.done

    def ship(self, view: View, now_ms: int, failures: list[Failure]) -> bool:
        """Send what this step's bounds allow; failures are added. True when there is more that could be sent at once.

        Each step begins with another attempt, so that one that hands over much does not keep the others' back.
        """
        gone = [item for item in view.observations if item.kind is ObservationKind.GONE]
        known = {attempt_name(item.job, item.attempt): item for item in gone}
        self._uploads = {name: upload for name, upload in self._uploads.items() if name in view.attempts}
        for name, item in known.items():
            self._uploads.setdefault(name, _Upload(item.job, item.attempt))
        due = [name for name, upload in sorted(self._uploads.items()) if not upload.done and now_ms >= upload.ready_ms]
        first = self._turn % max(1, len(due))
        self._turn += 1
        self._left_bytes = self._limits.bytes_per_step
        chosen = (due[first:] + due[:first])[: self._limits.uploads_per_step]
        for name in chosen:
            self._try(name, self._uploads[name], now_ms, failures)
        waiting = [name for name in due if not self._uploads[name].done and now_ms >= self._uploads[name].ready_ms]
        return bool(waiting)

    def _try(self, name: str, upload: _Upload, now_ms: int, failures: list[Failure]) -> None:
        before = sum(upload.sizes)
        try:
            upload.done = self._advance(name, upload)
            upload.failures = 0
        except Fatal as error:
            upload.done = True
            failures.append(Failure(name, error))
        except DureError as error:
            if not upload.failures or sum(upload.sizes) > before:
                upload.failures, upload.failing_since_ms = 0, now_ms
            wait_ms = min(self._limits.backoff_last_ms, self._limits.backoff_first_ms << min(upload.failures, 20))
            upload.failures, upload.ready_ms = upload.failures + 1, now_ms + wait_ms
            upload.done = now_ms - upload.failing_since_ms >= self._limits.give_up_ms
            failures.append(Failure(name, error))

    def _advance(self, name: str, upload: _Upload) -> bool:
        """Send on within the step's budget; True when everything is there."""
        if upload.found is None:
            found = self._source.artifacts(name)
            if found == Artifacts():
                return True
            upload.sizes = list(self._sink.list_artifacts(upload.job, upload.attempt, found))
            upload.found = found
        for number, file in enumerate(upload.found.files):
            while upload.sizes[number] < file.size:
                if self._left_bytes <= 0:
                    return False
                self._push(name, upload, number, file.path)
        return True

    def _push(self, name: str, upload: _Upload, number: int, path: str) -> None:
        offset = upload.sizes[number]
        content = self._source.artifact_chunk(name, path, offset, self._limits.chunk_bytes)
        self._left_bytes -= max(1, len(content))
        if not content:
            raise Fatal("DURE-1321", f"{path} of attempt {name} is shorter than it was", "dure doctor")
        length = self._sink.push_artifact(upload.job, upload.attempt, number, offset, content)
        upload.sizes[number] = length
        if length <= offset:  # it took nothing, or what it had was damaged: not at once again
            upload.refusals += 1
            kind = Fatal if upload.refusals >= self._limits.refusals_max else Retry
            raise kind("DURE-6074", f"{path} of attempt {name} does not arrive as it was sent")
