"""``dure job artifacts`` against a real control plane: listed, fetched, proven, and nothing of the user's replaced."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scheduler.client.artifacts import send_list, send_part
from scheduler.schema.bodies import ArtifactsRequest, AssignmentBody
from tests.unit.cli.conftest import Dure
from tests.unit.cli.server import CLUSTER, HandCluster, eventually

FILES = {"metrics.json": b'{"loss": 1}', "out/model.bin": b"\0" * 1_500_000, "결과.csv": b"a,b\n"}


def ended(dure: Dure, cluster: HandCluster, name: str) -> AssignmentBody:
    """An attempt of a new job that is gone."""
    job = dure("submit", "--gpus", "h100:1", "-o", "id", "--name", name, "--", "true").succeeds().out.strip()
    attempt = cluster.start(job)
    cluster.end(attempt)
    eventually(lambda: dure("job", "get", job, "-o", "json").json["state"] == "Succeeded")
    return attempt


def hand_over(cluster: HandCluster, attempt: AssignmentBody, *, but: str = "") -> None:
    """Send FILES, all but one."""
    files = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in FILES.items()
    ]
    left_out = [{"path": "link", "why": "it is a symbolic link"}]
    request = ArtifactsRequest.model_validate({"files": files, "left_out": left_out})
    send_list(cluster.client, CLUSTER, attempt.job, attempt.attempt, request)
    for number, (path, data) in enumerate(FILES.items()):
        for at in range(0, 0 if path == but else len(data), 1_000_000):
            send_part(cluster.client, CLUSTER, attempt.job, attempt.attempt, number, at, data[at : at + 1_000_000])


def test_artifacts_are_listed_and_fetched(admin: Dure, project: str, cluster: HandCluster) -> None:
    attempt = ended(admin, cluster, "makes")
    empty = admin("job", "artifacts", "makes").succeeds()
    assert (empty.out, "$DURE_ARTIFACTS" in empty.err) == ("", True)
    hand_over(cluster, attempt, but="out/model.bin")
    lines = admin("job", "artifacts", "makes").succeeds().out.splitlines()
    assert [line.split()[0] for line in lines] == ["PATH", *FILES, "link"]
    assert "1,500,000" in lines[2]
    assert lines[2].endswith("arriving")
    assert lines[4].endswith("left out: it is a symbolic link")
    hand_over(cluster, attempt)
    fetched = admin("job", "artifacts", "makes", "--get", "--to", "results").succeeds()
    assert fetched.out.splitlines() == [f"results/{path}" for path in FILES]
    assert "3 files, 1.4 MiB, from attempt 1" in fetched.err
    assert {path: (Path("results") / path).read_bytes() for path in FILES} == FILES
    again = admin("job", "artifacts", "makes", "--get", "*.json", "--to", "results", "-o", "json").succeeds()
    assert [item["path"] for item in again.json["items"]] == ["metrics.json"]
    assert "1 file was there already" in again.err


def test_nothing_is_replaced_and_nothing_is_fetched_that_is_not_there(
    admin: Dure, project: str, cluster: HandCluster
) -> None:
    attempt = ended(admin, cluster, "careful")
    hand_over(cluster, attempt, but="metrics.json")
    admin("job", "artifacts", "careful", "--get", "metrics.json").fails(3, "error[DURE-3032]")
    admin("job", "artifacts", "careful", "--attempt", "2").fails(3, "error[DURE-3010]")
    hand_over(cluster, attempt)
    Path("결과.csv").write_text("mine")
    admin("job", "artifacts", "careful", "--get").fails(6, "error[DURE-6071]", "--to FOLDER")
    assert sorted(path.name for path in Path().iterdir()) == ["결과.csv"]
    assert Path("결과.csv").read_text() == "mine"
    Path("out").symlink_to("/tmp")
    admin("job", "artifacts", "careful", "--get", "out/*").fails(2, "error[DURE-1322]")
