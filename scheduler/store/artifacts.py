"""Artifacts as files (or in memory): appended by offset as logs are, named by number, never by a job's words."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scheduler.store.files import FolderLogStore, MemoryLogStore, _check_log_name, _disk, _sync_folder


class FolderArtifactStore(FolderLogStore):
    """services.ports.ArtifactStore in a folder: ``<job>/a<attempt>-f<number>``; its length is what is acknowledged."""

    def sha256(self, job: str, attempt: int, number: int) -> str:
        """The sum of what there is, of nothing when there is none."""
        try:
            with self._path(job, attempt, number).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return hashlib.sha256().hexdigest()

    def discard(self, job: str, attempt: int, number: int) -> None:
        """Throw it away, durably; none is no error."""
        path = self._path(job, attempt, number)
        with _disk():
            try:
                os.unlink(path)
            except FileNotFoundError:
                return
            _sync_folder(path.parent)

    def _path(self, job: str, attempt: int, rank: int) -> Path:
        _check_log_name(job, attempt, rank)
        return self._folder / job / f"a{attempt}-f{rank}"


class MemoryArtifactStore(MemoryLogStore):
    """services.ports.ArtifactStore in memory."""

    def sha256(self, job: str, attempt: int, number: int) -> str:
        """The sum of what there is, of nothing when there is none."""
        return hashlib.sha256(self.read(job, attempt, number, 0, self.size(job, attempt, number))).hexdigest()

    def discard(self, job: str, attempt: int, number: int) -> None:
        """Throw it away; none is no error."""
        _check_log_name(job, attempt, number)
        with self._lock:
            self._logs.pop((job, attempt, number), None)
