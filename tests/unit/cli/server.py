"""A real control plane (``dure serve``) in a process of its own, and a cluster whose operator is the test.

``Api`` is all that the tests know of the server: its address and an administrator's token.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scheduler.client.http import Client
from scheduler.schema.bodies import (
    AssignmentBody,
    MemberRequest,
    ObservationBody,
    PolicyRequest,
    PullRequest,
    ReportRequest,
    TokenRequest,
)
from tests.support.source import ROOT

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
WAIT_SECONDS_MAX = 20
LOOK_SECONDS = 0.02
POLICY = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: test}
timezone: Asia/Seoul
billing: {calendar: manual}
flavors:
  h100-80g: {exchange: 1.0, resource: nvidia.com/gpu, selector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}
tiers: {guaranteed: {}, borrow: {price: 0.4, grace: 30s}, scavenge: {price: 0.1, grace: 10s}}
half_life: 7d
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 2d, max_pending_per_project: 50}
classes:
  startup: {weight: 25, price: {of_list: 0.05, funder: MSIT}}
  university: {weight: 40, price: {of_list: 0.0, funder: MSIT}}
rate_card: test
---
apiVersion: dure.dev/v1alpha1
kind: RateCard
metadata: {name: test}
valid_from: 2026-01-01T00:00:00+09:00
won_per_gpu_hour: {h100-80g: 2900}
"""
FAST = {f"DURE_{name}_INTERVAL_MS": "50" for name in ("ALLOCATOR", "SETTLER")}
CLUSTER = "hand"


@dataclass(frozen=True, slots=True)
class Api:
    """A control plane: where it is, and a token of its administrator."""

    url: str
    admin_token: str


@contextmanager
def served(folder: Path) -> Iterator[Api]:
    """Run ``dure serve`` on a folder until the block ends."""
    command = [sys.executable, "-m", "scheduler.cli", "serve", "--data", str(folder / "data"), "--port", "0"]
    log = folder / "serve.log"
    with log.open("wb") as err, subprocess.Popen(command, cwd=ROOT, env={**os.environ, **FAST}, stderr=err) as process:
        try:
            url = wait_for(lambda: _address(log), process, log)
            yield Api(url, (folder / "data" / "admin.token").read_text().strip())
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def _address(log: Path) -> str:
    lines = log.read_text().splitlines()
    return next((line.removeprefix("dure serve: ") for line in lines if line.startswith("dure serve: ")), "")


def wait_for(look: Callable[[], str], process: subprocess.Popen[bytes], log: Path) -> str:
    """The first answer that is not empty; fails with the log when the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if found := look():
            return found
        time.sleep(LOOK_SECONDS)
    raise AssertionError(log.read_text())


def eventually(look: Callable[[], bool]) -> None:
    """Wait until the control plane's own loops have brought something about."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not look():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(LOOK_SECONDS)


class HandCluster:
    """The cluster ``hand``: two nodes of four GPUs whose operator does what the test says, through the API."""

    def __init__(self, admin: Client, url: str) -> None:
        """Make the operator's token and report the nodes."""
        user = f"operator:{CLUSTER}"
        admin.add_member(MemberRequest(user=user, role="operator", scope=f"cluster:{CLUSTER}"))
        self.client = Client(url, admin.create_token(TokenRequest(user=user)).secret)
        self._clock_ms = 0
        for number in (1, 2):
            self._report("node", id=f"node-{number}", node=f"n{number}", flavor="h100-80g", gpus=4, registered=4)

    def now_ms(self) -> int:
        """This machine's clock, never twice the same."""
        self._clock_ms = max(self._clock_ms + 1, time.time_ns() // 1_000_000)
        return self._clock_ms

    def _report(self, kind: str, **fields: object) -> None:
        at_ms = self.now_ms()
        seen = ObservationBody.model_validate({"kind": kind, "at_ms": at_ms, **fields})
        through_ms = self.now_ms()
        request = ReportRequest(at_ms=through_ms, observed_through_ms=through_ms, observations=[seen])
        self.client.report(CLUSTER, request)

    def watch(self) -> None:
        """Everything up to now was seen: usage up to now can be settled."""
        at_ms = self.now_ms()
        self.client.report(CLUSTER, ReportRequest(at_ms=at_ms, observed_through_ms=at_ms, observations=[]))

    def assigned(self, job: str) -> AssignmentBody:
        """The job's attempt, once the allocator has admitted it."""
        found: list[AssignmentBody] = []

        def look() -> bool:
            found[:] = [item for item in self.client.pull(CLUSTER, PullRequest()).assignments if item.job == job]
            return bool(found)

        eventually(look)
        return found[0]

    def start(self, job: str) -> AssignmentBody:
        """Start all ranks of the job's attempt."""
        attempt = self.assigned(job)
        for rank in attempt.ranks:
            self._about(attempt, "rank-started", rank=rank.rank, node=rank.node)
        return attempt

    def _about(self, attempt: AssignmentBody, kind: str, *, rank: int = -1, **fields: object) -> None:
        name = f"{attempt.job}-{attempt.attempt}-{kind}-{rank}"
        self._report(kind, id=name, job=attempt.job, attempt=attempt.attempt, rank=rank, **fields)

    def write(self, attempt: AssignmentBody, offset: int, content: bytes, rank: int = 0) -> None:
        """Output of a rank."""
        self.client.push_log(CLUSTER, attempt.job, attempt.attempt, rank, offset, content)

    def end(self, attempt: AssignmentBody, exit_code: int = 0) -> None:
        """All ranks end, and the attempt is gone."""
        for rank in attempt.ranks:
            self._about(attempt, "rank-ended", rank=rank.rank, exit_code=exit_code, evidence="observed")
        self._about(attempt, "gone", exit_code=exit_code, evidence="observed")


def prepare(api: Api) -> HandCluster:
    """Apply the policy and join the cluster."""
    with Client(api.url, api.admin_token) as admin:
        policy, _ = admin.apply_policy(PolicyRequest(text=POLICY, reason="tests"))
        assert policy.version == 1
        return HandCluster(admin, api.url)
