"""Artifacts from a real process to the control plane's store and to a user's folder, through every part between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from operators.artifacts import ArtifactLimits, ArtifactShipper
from operators.local import launch
from operators.ports import Artifacts, Failure
from scheduler.client.receive import ReceivingFolder
from scheduler.store.artifacts import FolderArtifactStore
from tests.local.rig import LocalRig, assignment

RUN = """
cd "$DURE_ARTIFACTS"
mkdir -p out && head -c 300000 /dev/zero > out/model.bin && echo "rank $DURE_NODE_RANK of job $DURE_JOB" > who.txt
ln -s /etc/passwd stolen
exit $DURE_NODE_RANK
"""


class StoreSink:
    """The far side of a shipper: an artifact store, without the network."""

    def __init__(self, store: FolderArtifactStore) -> None:
        self.store = store
        self.found: dict[tuple[str, int], Artifacts] = {}

    def list_artifacts(self, job: str, attempt: int, found: Artifacts) -> Sequence[int]:
        """How much of each there is."""
        assert self.found.setdefault((job, attempt), found) == found
        return [self.store.size(job, attempt, number) for number in range(len(found.files))]

    def push_artifact(self, job: str, attempt: int, number: int, offset: int, content: bytes) -> int:
        """Append."""
        return self.store.append(job, attempt, number, offset, content)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRig]:
    monkeypatch.setattr(launch, "SUPERVISOR_MODULE", "tests.local.stub_supervisor")
    made = LocalRig(tmp_path / "data")
    yield made
    made.close()


def test_what_rank_0_wrote_arrives_and_the_rest_goes_with_the_attempt(rig: LocalRig, tmp_path: Path) -> None:
    item = assignment("makes", RUN, gpus=(1, 1))
    folder = rig.start(item)
    assert rig.backend.artifacts(item.name) == Artifacts(), "nothing while it runs"
    rig.until_gone(item.name)
    sink, failures = StoreSink(FolderArtifactStore(tmp_path / "kept")), list[Failure]()
    small = ArtifactLimits(chunk_bytes=64 * 1024, bytes_per_step=128 * 1024)
    ArtifactShipper(rig.backend, sink, small).ship(rig.look(), 0, failures)
    rig.restart()
    shipper = ArtifactShipper(rig.backend, sink, small)
    while not shipper.sent(item.name):
        shipper.ship(rig.look(), 0, failures)
    assert failures == []
    found = sink.found[item.job, 1]
    assert [(file.path, file.size) for file in found.files] == [("out/model.bin", 300_000), ("who.txt", 20)]
    assert [left.why for left in found.left_out] == ["it is a symbolic link"]
    with ReceivingFolder(tmp_path / "mine") as mine:
        for number, file in enumerate(found.files):
            mine.put(file.path, [sink.store.read(item.job, 1, number, 0, file.size)], file.sha256)
    assert (tmp_path / "mine" / "who.txt").read_text() == "rank 0 of job makes\n"
    assert hashlib.sha256((tmp_path / "mine" / "out" / "model.bin").read_bytes()).hexdigest() == found.files[0].sha256
    assert (folder / "artifacts" / "1" / "who.txt").exists(), "other ranks write to folders of their own"
    rig.backend.forget(item.name)
    assert not list((rig.data / "archive" / item.name).glob("artifacts*"))
    assert rig.backend.artifacts(item.name) == Artifacts()


def test_what_a_stopped_attempt_wrote_is_handed_over_too(rig: LocalRig) -> None:
    item = assignment("stops", 'echo half > "$DURE_ARTIFACTS/half"; echo ready; sleep 60')
    rig.start(item)
    rig.until_printed(item.name, "ready")
    rig.stop(item, 300)
    rig.until_gone(item.name)
    assert [file.path for file in rig.backend.artifacts(item.name).files] == ["half"]
    assert rig.backend.artifact_chunk(item.name, "half", 0, 100) == b"half\n"
