"""One small world behind a real API: organisations with Hangul names, jobs of every state, a closed period, invoices.

Time and ids are the world's own, so that every answer is the same in every run. ``served`` listens on a real socket;
the world behind it can be exchanged, so that a command that changes something meets a world that nothing has changed.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from scheduler.api.app import create_app
from scheduler.api.deps import Deps
from scheduler.client.artifacts import send_list, send_part
from scheduler.client.http import Client
from scheduler.core.accounting.invoice_model import Party
from scheduler.core.records import MemberRecord
from scheduler.schema.bodies import (
    ArtifactFile,
    ArtifactLeftOut,
    ArtifactsRequest,
    AssignmentBody,
    CreditRequest,
    LineLeft,
    MemberRequest,
    ObservationBody,
    OrgRequest,
    PolicyRequest,
    ProjectRequest,
    PullRequest,
    ReportRequest,
    TaskBody,
    TokenRequest,
)
from scheduler.services import tokens
from scheduler.services.actors import Actor
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.cycle import Allocator
from scheduler.services.effective import EffectivePolicies
from scheduler.services.settle import Settler
from scheduler.store.artifacts import MemoryArtifactStore
from scheduler.store.files import MemoryLogStore, MemoryPackageStore
from scheduler.store.memory import MemoryStore
from tests.support.asgi import AsgiTransport

START_MS = 1_793_577_600_000  # 2026-11-02T00:00:00Z, nine in the morning of a Monday in Korea
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
START_SECONDS_MAX = 20.0
CLUSTER = "seoul"
RESULT = b'{"accuracy": 0.97}\n'
NODES = (("n1", "h100-80g", 4), ("n2", "h100-80g", 4), ("n3", "a100-80g", 2))
POLICY = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: national-2026}
timezone: Asia/Seoul
billing: {calendar: manual}
flavors:
  h100-80g: {exchange: 1.0, resource: nvidia.com/gpu, selector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}
  a100-80g: {exchange: 0.45, resource: nvidia.com/gpu, selector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}}
tiers: {guaranteed: {}, borrow: {price: 0.4, grace: 10m}, scavenge: {price: 0.1, grace: 2m}}
half_life: 7d
limits: {max_gpus_per_job: 16, default_time: 12h, max_time: 7d, max_pending_per_project: 50}
classes:
  university: {weight: 40, price: {of_list: 0.0, funder: MSIT}}
  startup:
    weight: 25
    guarantee: {h100-80g: 6}
    org_default: {weight: 1, guarantee: {h100-80g: 6}}
    price: {of_list: 0.05, funder: MSIT}
rate_card: ratecard-2026-2
---
apiVersion: dure.dev/v1alpha1
kind: RateCard
metadata: {name: ratecard-2026-2}
valid_from: 2026-07-01T00:00:00+09:00
won_per_gpu_hour: {h100-80g: 2900, a100-80g: 1300}
"""
ORGS = (
    ("hanul-ai", "startup", "한울 인공지능 주식회사", "124-81-00998", ("nlp", "자연어 처리")),
    ("seohae", "university", "서해대학교", "", ("vision", "컴퓨터 비전")),
)
MEMBERS = (
    ("kim", "member", "project:hanul-ai/nlp"),
    ("lee", "org-admin", "org:hanul-ai"),
    ("park", "member", "project:seohae/vision"),
    ("audit", "auditor", "all"),
    ("yoon", "admin", "all"),
    (f"operator:{CLUSTER}", "operator", f"cluster:{CLUSTER}"),
)


class _Ids:
    """Ids as long as real ones, and the same in every world."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def new(self) -> str:
        """The next id."""
        tens, ones = divmod(next(self._numbers), 26)
        return f"q7f3k2ab{chr(ord('a') + tens)}{chr(ord('a') + ones)}"


class World:
    """The API over a memory store, and what its operator, allocator and settler have done so far."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._store = MemoryStore()
        secrets = itertools.count(1)
        self._deps = Deps(
            store=self._store,
            policies=EffectivePolicies(),
            packages=MemoryPackageStore(),
            logs=MemoryLogStore(),
            ids=_Ids(),
            secret=lambda: f"secret{next(secrets):026d}",
            artifacts=MemoryArtifactStore(),
            attempt_tokens=AttemptTokens("key"),
            clock=lambda: self.now_ms,
            version="0.1.0",
            metrics=lambda: b"",
            unready=list,
        )
        self.app = create_app(self._deps)
        self._transport = AsgiTransport(self.app)
        self._allocator = Allocator(self._store, EffectivePolicies(), "allocator", "0.1.0")
        issuer = Party("dure", "국가 공동 GPU 센터", "124-81-00998")
        self._settler = Settler(self._store, EffectivePolicies(), "settler", issuer)
        self.tokens = {"admin": self._first_token()}
        self._found()
        self._last_month()
        self._this_month()

    def client(self, user: str = "admin") -> Client:
        """A client of the API without a network, with the user's token."""
        return Client("http://127.0.0.1", self.tokens[user], http=self._transport)

    def close(self) -> None:
        """Close what the clients share."""
        self._transport.close()

    def turn(self) -> None:
        """One second passes: the cluster is watched, the allocator and the settler take a step."""
        self.now_ms += 1_000
        self._report()
        self._allocator.step(self.now_ms)
        self._settler.step(self.now_ms)

    def start(self, job: str) -> AssignmentBody:
        """Start all ranks of the job's newest attempt."""
        found = self._operator().pull(CLUSTER, PullRequest()).assignments
        attempt = next(item for item in found if item.job == job)
        seen = [self._seen(attempt, "rank-started", rank=rank.rank, node=rank.node) for rank in attempt.ranks]
        self._report(self._seen(attempt, "starting"), *seen)
        return attempt

    def end(self, attempt: AssignmentBody, exit_code: int) -> None:
        """All ranks end, and the attempt is gone."""
        ends = [
            self._seen(attempt, "rank-ended", rank=rank.rank, exit_code=exit_code, evidence="observed")
            for rank in attempt.ranks
        ]
        self._report(*ends, self._seen(attempt, "gone", exit_code=exit_code, evidence="observed"))

    def submit(self, user: str, name: str, gpus: str, project: str = "hanul-ai/nlp", **fields: Any) -> str:
        """A job of the user; returns its id."""
        task = TaskBody.model_validate({"name": name, "project": project, "gpus": gpus, "run": "true", **fields})
        return self.client(user).submit(task, f"{name}-{self.now_ms}")[0].id

    def _first_token(self) -> str:
        with self._store.write() as tx:
            tx.add(MemberRecord(user="admin", role="admin", scope="all", granted_at_ms=START_MS, granted_by="admin"))
        root, request = Actor("admin", frozenset({("admin", "all")})), TokenRequest(note="first")
        return tokens.create_token(self._store, root, request, "k3v9", self._deps.secret(), START_MS).secret

    def _found(self) -> None:
        """Policy, registry, roles, tokens and machines."""
        admin = self.client()
        admin.apply_policy(PolicyRequest(text=POLICY, file="national.yaml", reason="C-204"))
        for org, class_name, title, number, (project, project_title) in ORGS:
            admin.create_org(OrgRequest(name=org, class_name=class_name, title=title, registration_number=number))
            admin.create_project(ProjectRequest(org=org, name=project, title=project_title))
        for user, role, scope in MEMBERS:
            admin.add_member(MemberRequest.model_validate({"user": user, "role": role, "scope": scope}))
            self.tokens[user] = admin.create_token(TokenRequest(user=user, note=f"{user}: 첫 토큰")).secret
        self._report(
            *(
                ObservationBody(
                    id=f"node/{node}",
                    kind="node",
                    at_ms=self.now_ms,
                    node=node,
                    flavor=flavor,
                    gpus=gpus,
                    registered=gpus,
                )
                for node, flavor, gpus in NODES
            )
        )

    def _last_month(self) -> None:
        """Three jobs that have ended, and the period that bills them, closed."""
        jobs = [
            (self.submit("kim", "tokenize", "h100:1", time_seconds=7_200), 0),
            (self.submit("kim", "ablation", "h100:2", time_seconds=7_200), 137),
            (self.submit("park", "segment", "a100:2", "seohae/vision", time_seconds=7_200), 0),
        ]
        self.turn()
        attempts = [(self.start(job), code) for job, code in jobs]
        self._write(attempts[0][0], "읽는 중 …\n토큰 1,048,576개\n".encode())
        for number, (attempt, code) in enumerate(attempts, 1):
            self.now_ms += number * 30 * MINUTE_MS
            self.end(attempt, code)
        self.turn()
        result = ArtifactFile(path="result.json", size=len(RESULT), sha256=hashlib.sha256(RESULT).hexdigest())
        left_out = ArtifactLeftOut(path="latest", why="it is a link")
        job = attempts[0][0].job
        send_list(self._operator(), CLUSTER, job, 1, ArtifactsRequest(files=[result], left_out=[left_out]))
        send_part(self._operator(), CLUSTER, job, 1, 0, 0, RESULT)
        self.client().close_period("manual-0001")
        self.turn()
        self.turn()
        self._corrected()

    def _corrected(self) -> None:
        """A credit note that two administrators agreed on, and one more that is proposed."""
        for explanation, left_milli_gpu_ms in (("노드가 느렸다", HOUR_MS * 1_000), ("한 번 더", 0)):
            line = LineLeft(number=1, left_milli_gpu_ms=left_milli_gpu_ms)
            asked = CreditRequest(invoice="DURE-2026-000001", reason="02", explanation=explanation, lines=(line,))
            proposed = self.client().propose_credit(asked)
            self.now_ms += MINUTE_MS
            if left_milli_gpu_ms:
                self.client("yoon").approve_credit(proposed.id)
            self.now_ms += MINUTE_MS

    def _this_month(self) -> None:
        """One job runs, three wait for different things, one is held, one has been cancelled."""
        self.now_ms += 20 * HOUR_MS
        running = self.submit("kim", "pretrain", "h100:4", time_seconds=43_200)
        self.turn()
        self._write(self.start(running), b"step 1 loss 2.31\n")
        self.now_ms += 40 * MINUTE_MS
        self.submit("kim", "llm-sft", "h100:4", nodes=2, time_seconds=43_200)
        self.submit("park", "segment-2", "a100:4", "seohae/vision", tiers=["borrow"])
        self.submit("lee", "sweep", "h100:1", hold=True)
        self.client("kim").cancel(self.submit("kim", "typo", "h100:1", hold=True))
        self.turn()
        self.now_ms += 12 * MINUTE_MS
        self.turn()

    def _operator(self) -> Client:
        return self.client(f"operator:{CLUSTER}")

    def _seen(self, attempt: AssignmentBody, kind: str, **fields: Any) -> ObservationBody:
        name = f"d-{attempt.job}-a{attempt.attempt}/{kind}/{fields.get('rank', '')}"
        value = {"id": name, "kind": kind, "at_ms": self.now_ms, "job": attempt.job, "attempt": attempt.attempt}
        return ObservationBody.model_validate({**value, **fields})

    def _report(self, *seen: ObservationBody) -> None:
        """What the operator saw; everything up to now was seen."""
        request = ReportRequest(at_ms=self.now_ms, observed_through_ms=self.now_ms, observations=list(seen))
        self._operator().report(CLUSTER, request)

    def _write(self, attempt: AssignmentBody, content: bytes) -> None:
        self._operator().push_log(CLUSTER, attempt.job, attempt.attempt, 0, 0, content)


class Server:
    """A socket of this machine, the world behind it, and what its API was asked (method and path) and answered."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Hand a request on to the world of now."""
        self.asked.append((scope.get("method", ""), scope.get("path", "")))
        await self.here().app(scope, receive, send)

    def here(self) -> World:
        """The world behind the socket now."""
        assert self.world is not None
        return self.world


@contextmanager
def served() -> Iterator[Server]:
    """Listen until the block ends."""
    server = Server()
    config = uvicorn.Config(server, host="127.0.0.1", port=0, lifespan="off", log_level="critical", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not running.started:
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.005)
    server.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        running.should_exit = True
        thread.join(START_SECONDS_MAX)
