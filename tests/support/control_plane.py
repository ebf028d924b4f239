"""A small control plane on the memory store for tests: one policy, two organisations, three nodes, and short words.

Instants are ``plane.now_ms``, which only moves by ``pass_ms``. Nothing here fails by itself; tests that want
trouble use the deterministic world.
"""

from __future__ import annotations

import itertools
from typing import Any

from scheduler.core.accounting.invoice_model import Party
from scheduler.core.records import AttemptRecord, JobRecord, MemberRecord, NodeRecord, PeriodRecord, RankRecord, Record
from scheduler.schema.bodies import (
    JobBody,
    MemberRequest,
    ObservationBody,
    OrgRequest,
    PolicyRequest,
    ProjectRequest,
    PullBody,
    PullRequest,
    ReportBody,
    ReportRequest,
    TaskBody,
)
from scheduler.services import assignments, jobs, observe, policies, registry, submit
from scheduler.services.actors import Actor, actor_of
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.cycle import Allocator, CycleReport
from scheduler.services.effective import EffectivePolicies
from scheduler.services.settle import Settler, SettleReport
from scheduler.sim.world.shelves import MemoryLogs, MemoryPackages
from scheduler.store.memory import MemoryStore

START_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z, a Monday in Korea."""
CLUSTER = "site"
ISSUER = Party("dure", "The pool", "124-81-00998")
ADMIN = "admin"
POLICY = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: test}
flavors: {h100-80g: {exchange: 1.0}, a100-80g: {exchange: 0.45}}
tiers: {guaranteed: {}, borrow: {price: 0.4, grace: 60s}, scavenge: {price: 0.1, grace: 5s}}
half_life: 7d
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 2h, max_pending_per_project: 3, max_losses: 2}
classes:
  sme:
    {weight: 1, guarantee: {h100-80g: 4}, org_default: {guarantee: {h100-80g: 2}}, price: {of_list: 0.1, funder: MSIT}}
  university: {weight: 1, price: {of_list: 0}}
rate_card: card-1
billing: {calendar: manual}
---
apiVersion: dure.dev/v1alpha1
kind: RateCard
metadata: {name: card-1}
valid_from: 2026-07-01T00:00:00+09:00
won_per_gpu_hour: {h100-80g: 3600, a100-80g: 1800}
"""
NODES = (("n1", "h100-80g", 4), ("n2", "h100-80g", 4), ("n3", "a100-80g", 2))
MEMBERS = (
    ("member", "member", "project:acme/nlp"),
    ("colleague", "member", "project:acme/nlp"),
    ("project-admin", "project-admin", "project:acme/nlp"),
    ("org-admin", "org-admin", "org:acme"),
    ("org-auditor", "auditor", "org:acme"),
    ("auditor", "auditor", "all"),
    ("stranger", "member", "project:uni/vision"),
    ("operator", "operator", f"cluster:{CLUSTER}"),
)


class ControlPlane:
    """Services over one store; ``job``, ``attempt``, ``rank`` and ``node`` read what is stored."""

    def __init__(self, policy: str = POLICY, start_ms: int = START_MS) -> None:
        self.store = MemoryStore()
        self.now_ms = start_ms
        self.policies = EffectivePolicies()
        self.packages = MemoryPackages()
        self.logs = MemoryLogs()
        self.allocator = self.new_allocator("allocator-1")
        self.settler = self.new_settler("settler-1")
        self._numbers = itertools.count(1)
        self._first_member(ADMIN, "admin", "all")
        self._first_member("operator", "operator", f"cluster:{CLUSTER}")
        self.report(*(self.node_seen(name, flavor, gpus) for name, flavor, gpus in NODES))
        self.apply(policy)
        for org, class_name, project in (("acme", "sme", "nlp"), ("uni", "university", "vision")):
            registry.create_org(
                self.store, self.policies, self.actor(), OrgRequest(name=org, class_name=class_name), self.now_ms
            )
            registry.create_project(self.store, self.actor(), ProjectRequest(org=org, name=project), self.now_ms)
        for user, role, scope in MEMBERS:
            self.add_member(user, role, scope)

    def new_allocator(self, holder: str) -> Allocator:
        """Another allocator process on the same store."""
        return Allocator(self.store, EffectivePolicies(), holder, "test")

    def new_settler(self, holder: str) -> Settler:
        """Another settler process on the same store."""
        return Settler(self.store, EffectivePolicies(), holder, ISSUER)

    def pass_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        self.now_ms += duration_ms

    def actor(self, user: str = ADMIN) -> Actor:
        """The user with its grants."""
        with self.store.read() as view:
            return actor_of(view, user)

    def apply(self, policy: str) -> int:
        """Put a policy in force; returns its version."""
        request = PolicyRequest(text=policy, file="policy.yaml", reason="tests")
        return policies.apply_policy(self.store, self.actor(), request, self.now_ms)[0].version

    def add_member(self, user: str, role: str, scope: str) -> None:
        """Grant a role."""
        request = MemberRequest.model_validate({"user": user, "role": role, "scope": scope})
        registry.add_member(self.store, self.actor(), request, self.now_ms)

    def task(self, **fields: Any) -> TaskBody:
        """A task of one H100 in acme/nlp unless the fields say otherwise."""
        return TaskBody.model_validate(
            {"name": "train", "project": "acme/nlp", "gpus": "h100:1", "run": "python train.py", **fields}
        )

    def submit(self, user: str = "member", key: str = "", **fields: Any) -> JobBody:
        """Submit a task under a new key (or ``key``) and a new id."""
        number = next(self._numbers)
        body, _ = submit.submit(
            self.store,
            self.policies,
            self.packages,
            self.task(**fields),
            self.actor(user),
            key or f"key-{number}",
            f"job{'abcdefghijklmnopqrstuvwxyz'[number % 26]}{'234567'[number // 26 % 6]}",
            self.now_ms,
        )
        return body

    def cycle(self, allocator: Allocator | None = None) -> CycleReport:
        """One step of the allocator."""
        return (allocator or self.allocator).step(self.now_ms)

    def settle(self, settler: Settler | None = None) -> SettleReport:
        """One step of the settler."""
        return (settler or self.settler).step(self.now_ms)

    def started(self, user: str = "member", **fields: Any) -> str:
        """Submit a job, admit it, and report that all its ranks run; returns its id."""
        job = self.submit(user, **fields).id
        report = self.cycle()
        assert job in report.admitted, f"{job} is not admitted: {report}"
        ranks = [self.seen("rank-started", job, rank=rank.rank) for rank in self.ranks(job)]
        self.report(self.seen("starting", job), *ranks)
        return job

    def ended(self, job: str, exit_code: int = 0, attempt: int = 0) -> None:
        """Report that all ranks of its newest attempt have ended with this code, and that it is gone."""
        number = attempt or self.job(job).attempt
        ends = [
            self.seen("rank-ended", job, number, rank=rank.rank, exit_code=exit_code, evidence="observed")
            for rank in self.ranks(job, number)
        ]
        self.report(*ends, self.seen("gone", job, number, exit_code=exit_code, evidence="observed"))

    def seen(self, kind: str, job: str, attempt: int = 1, **fields: Any) -> ObservationBody:
        """An observation of an attempt now, with an id made from what is observed."""
        place = f"/{fields['rank']}" if "rank" in fields else ""
        value = {"id": f"d-{job}-a{attempt}/{kind}{place}", "kind": kind, "at_ms": self.now_ms}
        return ObservationBody.model_validate({**value, "job": job, "attempt": attempt, **fields})

    def node_seen(self, name: str, flavor: str, gpus: int, **fields: Any) -> ObservationBody:
        """An observation of a node now."""
        value = {"id": f"node/{name}/{self.now_ms}/{gpus}", "kind": "node", "at_ms": self.now_ms, "node": name}
        return ObservationBody.model_validate({**value, "flavor": flavor, "gpus": gpus, "registered": gpus, **fields})

    def report(self, *observations: ObservationBody, through_ms: int = 0, cluster: str = CLUSTER) -> ReportBody:
        """Report observations; the watermark is now unless ``through_ms`` says otherwise."""
        request = ReportRequest(
            at_ms=self.now_ms, observed_through_ms=through_ms or self.now_ms, observations=list(observations)
        )
        return observe.report(self.store, self.actor("operator"), cluster, request, self.now_ms)

    def pull(self, *existing: str, user: str = "operator") -> PullBody:
        """What the operator should run."""
        request = PullRequest(existing=list(existing))
        return assignments.pull(
            self.store, self.policies, AttemptTokens("key"), self.actor(user), CLUSTER, request, self.now_ms
        )

    def cancel(self, job: str, user: str = "member") -> JobBody:
        """Cancel a job."""
        return jobs.cancel(self.store, self.actor(user), job, self.now_ms)

    def job(self, job: str) -> JobRecord:
        """The job's record."""
        return self._got(JobRecord, job)

    def attempt(self, job: str, number: int = 1) -> AttemptRecord:
        """An attempt's record."""
        return self._got(AttemptRecord, job, number)

    def ranks(self, job: str, number: int = 1) -> list[RankRecord]:
        """The ranks of an attempt, in order."""
        with self.store.read() as view:
            return view.select(RankRecord, ("job", "=", job), ("attempt", "=", number), order=("rank",))

    def node(self, name: str) -> NodeRecord:
        """A node's record."""
        return self._got(NodeRecord, CLUSTER, name)

    def period(self, number: int = 1) -> PeriodRecord:
        """A manual period's record."""
        return self._got(PeriodRecord, f"manual-{number:04d}")

    def rows(self, kind: type[Any], *where: tuple[str, str, object]) -> list[Any]:
        """Records of a kind, by key."""
        with self.store.read() as view:
            found: list[Any] = view.select(kind, *where, limit=100_000)
            return found

    def facts(self, after_seq: int = 0) -> list[str]:
        """Kinds of all facts after a sequence."""
        with self.store.read() as view:
            return [fact.kind for fact in view.facts(after_seq)]

    def _got(self, kind: type[Any], *key: str | int) -> Any:
        with self.store.read() as view:
            found = view.get(kind, *key)
        assert found is not None, f"no {kind.__name__} {key}"
        return found

    def _first_member(self, user: str, role: str, scope: str) -> None:
        with self.store.write() as tx:
            tx.add(MemberRecord(user=user, role=role, scope=scope, granted_at_ms=self.now_ms, granted_by=ADMIN))


def writes(plane: ControlPlane, kinds: tuple[type[Record], ...]) -> tuple[int, ...]:
    """How many facts and records of these kinds there are: equal before and after what must write nothing."""
    return (len(plane.facts()), *(len(plane.rows(kind)) for kind in kinds))
