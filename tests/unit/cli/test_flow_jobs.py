"""A job's life on the command line, against a real control plane."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.cli.session import Session
from scheduler.client.http import Client
from scheduler.client.transport import Progress
from scheduler.schema.bodies import TaskBody
from tests.unit.cli.conftest import Dure
from tests.unit.cli.server import Api, HandCluster, eventually

SUBMIT = ("submit", "--gpus", "h100:1", "-o", "id")


def submitted(dure: Dure, *options: str, command: str = "true") -> str:
    return dure("submit", "--gpus", "h100:1", "-o", "id", *options, "--", command).succeeds().out.strip()


def ended(dure: Dure, job: str) -> str:
    """The state in which the job ended."""
    state: list[str] = []

    def look() -> bool:
        state[:] = [dure("job", "get", job, "-o", "json").succeeds().json["state"]]
        return state[0] in ("Succeeded", "Failed", "Cancelled")

    eventually(look)
    return state[0]


def test_submit_says_what_became_of_it_and_what_to_do_next(admin: Dure, project: str) -> None:
    result = admin("submit", "--gpus", "h100:1", "--hold", "--name", "held", "--", "true").succeeds()
    job = result.out.removeprefix("job/").partition(" ")[0]
    assert result.out == f"job/{job} held\n"
    assert result.err.splitlines()[0] == f"Plan  held  (project {project})"
    assert f"dure logs -f {job}" in result.err
    assert f"dure why {job}" in result.err
    assert f"dure cancel {job}" in result.err
    assert admin("--quiet", "submit", "--gpus", "h100:1", "--hold", "--", "true").succeeds().err == ""


def test_hold_release_cancel_and_their_repeats(admin: Dure, project: str) -> None:
    job = submitted(admin, "--hold", "--name", "steered")
    assert admin("job", "release", job).succeeds().out == f"job/{job} queued\n"
    eventually(lambda: admin("job", "get", job, "-o", "json").json["state"] != "Queued")
    admin("job", "hold", job).fails(6, "error[DURE-6002]")
    admin("cancel", "steered").succeeds()
    admin("cancel", job, job, "--yes").succeeds()
    admin("cancel", "nothing-of-mine").fails(3, "error[DURE-3001]")


def test_a_job_runs_and_its_output_is_followed(
    admin: Dure, project: str, cluster: HandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(admin, "--name", "train")
    attempt = cluster.start(job)
    cluster.write(attempt, 0, b"step 1\n")
    assert admin("logs", job).succeeds().out == "step 1\n"
    steps = [
        lambda: cluster.write(attempt, 7, b"step 2\n"),
        lambda: cluster.end(attempt),
        lambda: None,
    ]
    monkeypatch.setattr(Session, "wait", lambda self, seconds: steps.pop(0)() if steps else None)
    result = admin("logs", "-f", "train").succeeds()
    assert result.out == "step 1\nstep 2\n"
    assert "job train: Succeeded" in result.err
    events = admin("job", "events", job, "-o", "json").succeeds().json["items"]
    assert len(events) >= 4
    shown = admin("job", "get", job).succeeds().out
    assert "State        Succeeded" in shown
    assert "Exit code    0" in shown


@pytest.mark.parametrize(("exit_code", "state", "code"), [(0, "Succeeded", 0), (3, "Failed", 100)])
def test_following_ends_as_the_job_ended(
    admin: Dure, project: str, cluster: HandCluster, exit_code: int, state: str, code: int
) -> None:
    job = submitted(admin)
    cluster.end(cluster.start(job), exit_code)
    assert ended(admin, job) == state
    result = admin("logs", "-f", job)
    assert result.code == code
    assert f"job {job}: {state}" in result.err


def test_following_a_cancelled_job_and_one_that_goes_on(admin: Dure, project: str, cluster: HandCluster) -> None:
    job = submitted(admin, "--hold")
    assert admin("logs", "-f", job, "--wait-timeout", "1s").code == 101
    admin("cancel", job).succeeds()
    assert admin("logs", "-f", job).code == 103
    admin("logs", "-f", "nothing-of-mine").fails(102, "error[DURE-3001]")
    admin("logs", "nothing-of-mine").fails(3, "error[DURE-3001]")
    for verb in (["logs"], ["logs", "-f"]):
        admin(*verb, job, "--attempt", "7").fails(3, "error[DURE-3010]", "had no attempt 7")
        admin(*verb, job, "--rank", "5").fails(2, "error[DURE-1008] --rank 5", f"job {job} has 1 rank, which is 0")


def test_a_newer_job_of_the_same_name_does_not_take_over(
    admin: Dure, project: str, api: Api, cluster: HandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(admin, "--name", "twice")
    attempt = cluster.start(job)
    cluster.write(attempt, 0, b"first\n")

    def submit_again() -> None:
        with Client(api.url, api.admin_token) as client:
            task = TaskBody(name="twice", project=project, gpus="h100:1", run="true", hold=True)
            newer = client.submit(task, f"twice-{project}")[0]
            client.cancel(newer.id)

    steps: list[Callable[[], object]] = [
        submit_again,
        lambda: cluster.write(attempt, 6, b"second\n"),
        lambda: cluster.end(attempt, 3),
        lambda: None,
    ]
    monkeypatch.setattr(Session, "wait", lambda self, seconds: steps.pop(0)() if steps else None)
    result = admin("logs", "-f", "twice").fails(100, "job twice: Failed", f"dure job get {job}")
    assert result.out == "first\nsecond\n"


def test_ctrl_c_while_following_leaves_the_job_alone(
    admin: Dure, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Session, seconds: float) -> None:
        raise KeyboardInterrupt

    job = submitted(admin, "--hold", "--name", "stays")
    monkeypatch.setattr(Session, "wait", interrupt)
    admin("logs", "-f", "stays").fails(130, "the job goes on", f"dure logs -f {job}")
    assert admin("job", "get", job, "-o", "json").json["state"] == "Held"


def test_the_work_directory_travels_once(
    admin: Dure, project: str, api: Api, cluster: HandCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("train.py").write_text("print(1)\n")
    Path(".env").write_text("TOKEN=1\n")
    sent: list[str] = []
    keep = Client.put_package

    def counted(self: Client, sha256: str, content: bytes, progress: Progress | None = None) -> object:
        sent.append(sha256)
        return keep(self, sha256, content, progress)

    monkeypatch.setattr(Client, "put_package", counted)
    job = submitted(admin, "--workdir", ".", command="python train.py")
    submitted(admin, "--workdir", ".", "--hold", command="python train.py")
    assert len(sent) == 1
    attempt = cluster.start(job)
    assert attempt.package_sha256 == sent[0]
    assert hashlib.sha256(cluster.client.package(sent[0])).hexdigest() == sent[0]
    cluster.end(attempt)


def test_the_same_key_makes_one_job(admin: Dure, project: str) -> None:
    first = admin(*SUBMIT, "--hold", "--idempotency-key", f"k-{project}", "--", "true").succeeds()
    again = admin(*SUBMIT, "--hold", "--idempotency-key", f"k-{project}", "--", "true").succeeds()
    assert first.out == again.out
    assert "no second job was made" in again.err
    admin(*SUBMIT, "--hold", "--idempotency-key", f"k-{project}", "--", "false").fails(2, "error[DURE-1011]")


def test_fifty_submissions_at_once_with_one_key_make_one_job(api: Api, admin: Dure, project: str) -> None:
    task = TaskBody(name="once", project=project, gpus="h100:1", run="true", hold=True)
    found: list[tuple[str, bool]] = []

    def submit() -> None:
        with Client(api.url, api.admin_token) as client:
            job, new = client.submit(task, f"fifty-{project}")
            found.append((job.id, new))

    threads = [threading.Thread(target=submit) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50
    assert len({job for job, _ in found}) == 1
    assert sum(new for _, new in found) == 1
    listed = admin("queue", "--project", project, "-o", "id").succeeds().out.split()
    assert listed == [found[0][0]]


TASK = """\
name: refused
resources: {gpus: "h100:1", nodes: 1, time: 1h}
run: "true"
"""
REFUSALS = {
    "unknown flavor": ("h100:1", "h900:1", 2, "error[DURE-1104] t.yaml:2:19", "      |                   ^^^^^^^^"),
    "too many GPUs": ("nodes: 1", "nodes: 9", 7, "error[DURE-2101] t.yaml:2:19", "8 GPUs"),
    "too long": ("time: 1h", "time: 3d", 7, "error[DURE-2102] t.yaml:2:45", "checkpoint more often"),
}


@pytest.mark.parametrize(("old", "new", "code", "place", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_shown_at_its_place_in_the_file(
    admin: Dure, project: str, old: str, new: str, code: int, place: str, says: str
) -> None:
    Path("t.yaml").write_text(TASK.replace(old, new))
    admin("submit", "t.yaml").fails(code, place, says, "  more  dure explain")
    assert admin("queue", "--project", project, "-o", "id").succeeds().out == ""


def test_queue_lists_filters_and_pages(admin: Dure, project: str) -> None:
    jobs = [submitted(admin, "--hold", "--name", f"n{number}") for number in range(5)]
    page = admin("queue", "--project", project, "--limit", "3", "-o", "json").succeeds()
    assert [item["id"] for item in page.json["items"]] == jobs[:1:-1]
    assert page.json["next"] != ""
    assert "more: --limit 15" in page.err
    assert admin("queue", "--project", project, "-o", "id").out.split() == jobs[::-1]
    assert admin("queue", "--project", project, "--name", "n2", "-o", "id").out.split() == [jobs[2]]
    admin("cancel", *jobs[:4], "--yes").succeeds()
    assert admin("queue", "--project", project, "-o", "id").out.split() == [jobs[4]]
    assert len(admin("queue", "--project", project, "--all", "-o", "jsonl").out.splitlines()) == 5
    assert admin("queue", "--project", project, "--state", "cancelled", "-o", "id").out.split() == jobs[3::-1]
    lines = [json.loads(line) for line in admin("queue", "--project", project, "--all", "-o", "jsonl").out.splitlines()]
    assert {line["kind"] for line in lines} == {"Job"}


def test_why_tells_reasons_and_what_would_help(admin: Dure, project: str, cluster: HandCluster) -> None:
    job = submitted(admin, "--gpus", "h100:8", "--name", "wide")  # no node has so many
    eventually(lambda: bool(admin("why", job, "-o", "json").json["blockers"]))
    result = admin("why", "wide").succeeds()
    assert result.out.splitlines()[1].startswith("  1  ")
    assert "who can act: " in result.out
    assert "as of cycle " in result.err
    assert admin("why", job, "-o", "yaml").succeeds().out.startswith("apiVersion: dure.dev/v1alpha1\nkind: Why\n")
    admin("cancel", job).succeeds()
