"""Lent GPUs taken back for real: the borrower is told, saves, leaves and goes on where it was; the owner runs."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import pytest

import scheduler.policy.examples
from tests.e2e.conftest import MakeDure
from tests.e2e.test_main_job import counted_milliseconds, posted_milliseconds, submit
from tests.support.dure import POLL_SECONDS, Dure

pytestmark = [pytest.mark.slow, pytest.mark.ray]

POLICY = (Path(scheduler.policy.examples.__file__).parent / "default.yaml").read_text(encoding="utf-8")
GUARANTEED = POLICY.replace("university: {weight: 40,", "university: {weight: 40, guarantee: {h100-80g: 1},", 1)
GRACE_MS = 30_000
SLACK_MS = 20_000
"""Beside the grace: ticks and the end of a Ray cluster, on a busy machine."""

# The borrower's first attempt ends only when it is asked to; a later one takes STEPS more. It saves every fifth step,
# and the one during which the notice came. The owner's job is the same with its first attempt as short.
SCRIPT = """\
import os, sys, time
from scheduler.client import job
saved = job.checkpoint_dir() / "step"
notice = job.on_notice(lambda: None)
step = int(saved.read_text()) if saved.exists() else 0
print(f"begins after {step}", flush=True)
left = int(os.environ["STEPS"]) if job.attempt() > 1 or "OWNER" in os.environ else sys.maxsize
while left:
    step, left = step + 1, left - 1
    print(f"step={step}", flush=True)
    time.sleep(0.1)
    if notice or step % 5 == 0:
        job.save_atomically(saved, str(step).encode())
        job.checkpointed(step)
    if notice:
        sys.exit(143)
"""


def join(dure: Dure, org: str, class_name: str) -> str:
    """A project of a new organisation."""
    dure.cli("org", "create", org, "--class", class_name)
    dure.cli("project", "create", f"{org}/lab")
    return f"{org}/lab"


def steps(dure: Dure, job: str, attempt: int) -> list[int]:
    """The steps that the attempt took, by its log."""
    return [int(step) for step in re.findall(r"^step=(\d+)$", dure.cli("logs", job, "--attempt", str(attempt)), re.M)]


def at_ms(dure: Dure, job: str, event: str, detail: str = "") -> int:
    """When the first such event of the job happened."""
    with dure.http() as client:
        events = client.get(f"/api/v1/jobs/{job}/events").raise_for_status().json()["items"]
    found = [row["at"] for row in events if row["event"] == event and detail in row["detail"]]
    assert found, f"no {event} {detail} in {events}"
    return round(datetime.fromisoformat(found[0]).timestamp() * 1_000)


def test_a_borrower_leaves_for_the_owner_and_resumes(make_dure: MakeDure, tmp_path: Path) -> None:
    policy, workdir = tmp_path / "policy.yaml", tmp_path / "work"
    assert GUARANTEED != POLICY
    policy.write_text(GUARANTEED, encoding="utf-8")
    workdir.mkdir()
    (workdir / "train.py").write_text(SCRIPT, encoding="utf-8")
    dure = make_dure("up", "--gpus", "h100-80g=1x2", "--policy", str(policy), "--no-demo-org")
    dure.start()
    lent, owned = join(dure, "hanul", "startup"), join(dure, "bada", "university")

    borrower = submit(dure, workdir, "--project", lent, "--gpus", "h100:2", "--env", "STEPS=7")
    dure.wait(borrower, lambda body: body["checkpoint_step"] is not None)
    owner = submit(dure, workdir, "--project", owned, "--gpus", "h100:1", "--env", "STEPS=3", "--env", "OWNER=1")
    ended = {job: dure.wait(job) for job in (owner, borrower)}
    shown = [(ended[job]["state"], ended[job]["tier"], ended[job]["attempt"]) for job in (owner, borrower)]
    assert shown == [("Succeeded", "guaranteed", 1), ("Succeeded", "borrow", 2)]

    stopping = at_ms(dure, borrower, "Stopping", "evict: its GPUs (borrow) were lent")
    notice, gone = at_ms(dure, borrower, "Notice", "attempt 1 "), at_ms(dure, borrower, "Gone", "attempt 1 ")
    asked, admitted = at_ms(dure, owner, "Queued"), at_ms(dure, owner, "Admitted", "guaranteed")
    assert asked <= stopping <= notice <= gone <= admitted <= asked + GRACE_MS + SLACK_MS
    assert steps(dure, owner, 1) == [1, 2, 3]

    first, second = steps(dure, borrower, 1), steps(dure, borrower, 2)
    assert len(first) >= 5
    assert len(second) == 7
    assert first + second == list(range(1, len(first) + 8)), "none is taken twice, none is left out"
    assert f"begins after {first[-1]}\n" in dure.cli("logs", borrower, "--attempt", "2")

    deadline = time.monotonic() + 30
    while posted_milliseconds(dure) != counted_milliseconds(dure) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    assert posted_milliseconds(dure) == counted_milliseconds(dure) > 0
    assert dure.stop() == 0
