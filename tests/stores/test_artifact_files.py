"""Artifact stores: the same on disk and in memory; appending itself is tested with the logs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from scheduler.core.errors import Fatal
from scheduler.services.ports import ArtifactStore
from scheduler.store.artifacts import FolderArtifactStore, MemoryArtifactStore


@pytest.fixture(params=["folder", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """Each artifact store, for files of at most 100 bytes."""
    if request.param == "memory":
        return MemoryArtifactStore(bytes_max=100)
    return FolderArtifactStore(tmp_path / "artifacts", bytes_max=100)


def summed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_sum_is_of_what_there_is(files: ArtifactStore) -> None:
    assert files.sha256("j1", 1, 0) == summed(b"")
    files.append("j1", 1, 0, 0, b"hello ")
    assert files.sha256("j1", 1, 0) == summed(b"hello ")
    files.append("j1", 1, 0, 3, b"lo world")
    assert files.sha256("j1", 1, 0) == summed(b"hello world")
    assert files.sha256("j1", 1, 1) == files.sha256("j1", 2, 0) == files.sha256("j2", 1, 0) == summed(b"")


def test_what_is_discarded_begins_anew(files: ArtifactStore) -> None:
    files.discard("j1", 1, 0)
    for number in (0, 1):
        files.append("j1", 1, number, 0, b"wrong")
    files.discard("j1", 1, 0)
    files.discard("j1", 1, 0)
    assert (files.size("j1", 1, 0), files.read("j1", 1, 0, 0, 9)) == (0, b"")
    assert files.append("j1", 1, 0, 5, b"later") == 0
    assert files.append("j1", 1, 0, 0, b"right") == 5
    assert files.read("j1", 1, 1, 0, 9) == b"wrong"


def test_names_are_numbers(files: ArtifactStore) -> None:
    for call in (files.sha256, files.discard, files.size):
        with pytest.raises(Fatal, match="named by"):
            call("../x", 1, 0)
        with pytest.raises(Fatal, match="named by"):
            call("j1", 1, -1)
