"""kill -9 of the whole control plane while a job runs: the job lives on, nothing is lost, run twice or billed wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDure
from tests.e2e.test_main_job import counted_milliseconds, posted_milliseconds, submit
from tests.support.dure import POLL_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.ray]

SCRIPT = """\
import pathlib, time
with open(pathlib.Path.home() / "ran", "a") as ran: print("once", file=ran)
print("before", flush=True)
while not (pathlib.Path.home() / "go").exists(): time.sleep(0.05)
print("after")
"""


def test_a_job_lives_through_a_crash_of_the_control_plane(make_dure: MakeDure, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    workdir.mkdir()
    (workdir / "train.py").write_text(SCRIPT.replace("pathlib.Path.home()", f"pathlib.Path({str(tmp_path)!r})"))
    dure = make_dure("up", "--gpus", "h100-80g=2")
    dure.start()
    token = dure.token()
    running = submit(dure, workdir, "--project", "demo/main", "--gpus", "h100:2")
    queued = submit(dure, workdir, "--project", "demo/main", "--gpus", "h100:1", "--name", "queued")
    dure.wait(running, lambda body: body["attempt_state"] == "Running")
    dure.kill()
    (tmp_path / "go").touch()  # the job ends while nobody looks
    dure.start()
    assert dure.token() == token
    ended = [dure.wait(job) for job in (running, queued)]
    assert [(body["state"], body["attempt"]) for body in ended] == [("Succeeded", 1)] * 2
    assert (tmp_path / "ran").read_text(encoding="utf-8") == "once\n" * 2
    assert "after" in dure.cli("logs", running)
    deadline = time.monotonic() + 30
    while posted_milliseconds(dure) != counted_milliseconds(dure) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    assert posted_milliseconds(dure) == counted_milliseconds(dure) > 0
    with dure.http() as client:
        (line,) = client.get("/api/v1/gpus").json()["items"]
    assert (line["held"], line["free"]) == (0, 2)
    assert dure.stop() == 0
