"""A small place to ask the API about: two organisations, every role, one cluster; store and time are of the tests."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

import scheduler.policy.examples
from scheduler.api.app import create_app
from scheduler.api.deps import Deps
from scheduler.schema.bodies import MemberRequest, OrgRequest, PolicyRequest, ProjectRequest, TokenRequest
from scheduler.services import policies, registry, tokens
from scheduler.services.actors import Actor
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.cycle import Allocator
from scheduler.services.effective import EffectivePolicies
from scheduler.store.artifacts import MemoryArtifactStore
from scheduler.store.files import MemoryLogStore, MemoryPackageStore
from scheduler.store.memory import MemoryStore
from scheduler.web import fairness_page
from tests.support import asgi

NOW_MS = 1_800_000_000_000
DEFAULT_POLICY = (Path(scheduler.policy.examples.__file__).parent / "default.yaml").read_text(encoding="utf-8")
ROOT_ACTOR = Actor("root", frozenset({("admin", "all")}))

ROLES: dict[str, tuple[tuple[str, str], ...]] = {
    "roleless": (),
    "stranger": (("org-admin", "org:beta"), ("member", "project:beta/lab")),
    "member": (("member", "project:alpha/nlp"),),
    "colleague": (("member", "project:alpha/nlp"),),
    "org-admin": (("org-admin", "org:alpha"),),
    "auditor": (("auditor", "all"),),
    "operator": (("operator", "cluster:local"),),
    "other-operator": (("operator", "cluster:far"),),
    "admin": (("admin", "all"),),
}
ORGS = {"alpha": ("startup", "nlp"), "beta": ("sme", "lab")}
TASK: dict[str, Any] = {"name": "train", "project": "alpha/nlp", "gpus": "h100:1", "run": "true"}


class SequentialIds:
    """Ids that are the same in every place: aaaaaaaaaaaa, aaaaaaaaaaab, ..."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def new(self) -> str:
        """The next id."""
        number, letters = next(self._numbers), ""
        for _ in range(12):
            number, digit = divmod(number, 26)
            letters = chr(ord("a") + digit) + letters
        return letters


class Place:
    """The API over a memory store, with a token for every role."""

    def __init__(self, store: Any = None, found: tuple[str, ...] = ("alpha", "beta"), **changes: Any) -> None:
        """``found``: organisations that are there. ``changes`` replace fields of the API's Deps."""
        self.now_ms = NOW_MS
        self.store = store or MemoryStore()
        secrets = itertools.count(1)
        deps = Deps(
            store=self.store,
            policies=EffectivePolicies(),
            packages=MemoryPackageStore(),
            logs=MemoryLogStore(),
            artifacts=MemoryArtifactStore(),
            ids=SequentialIds(),
            secret=lambda: f"secret{next(secrets):026d}",
            attempt_tokens=AttemptTokens("key"),
            clock=lambda: self.now_ms,
            version="0.0.1",
            metrics=lambda: b"dure_build_info 1\n",
            unready=list,
        )
        self.deps = dataclasses.replace(deps, **changes)
        self.app: FastAPI = create_app(self.deps, pages=(fairness_page.router,))
        self.tokens: dict[str, str] = {}
        self._clients: dict[str, httpx.Client] = {}
        self._found(found)

    def _found(self, orgs: tuple[str, ...]) -> None:
        store, deps, now_ms = self.store, self.deps, self.now_ms
        policies.apply_policy(store, ROOT_ACTOR, PolicyRequest(text=DEFAULT_POLICY, reason="tests"), now_ms)
        for org in orgs:
            class_name, project = ORGS[org]
            registry.create_org(store, deps.policies, ROOT_ACTOR, OrgRequest(name=org, class_name=class_name), now_ms)
            registry.create_project(store, ROOT_ACTOR, ProjectRequest(org=org, name=project), now_ms)
        for user, grants in ROLES.items():
            if any("alpha" in scope for _, scope in grants) and "alpha" not in orgs:
                continue
            for role, scope in grants:
                request = MemberRequest.model_validate({"user": user, "role": role, "scope": scope})
                registry.add_member(store, ROOT_ACTOR, request, now_ms)
            made = tokens.create_token(
                store, ROOT_ACTOR, TokenRequest(user=user), f"token{user.replace('-', '')}", deps.secret(), now_ms
            )
            self.tokens[user] = made.secret

    def client(self, user: str = "") -> httpx.Client:
        """A client with the user's token, or without one."""
        if user not in self._clients:
            self._clients[user] = asgi.client(self.app, self.tokens.get(user, ""))
        return self._clients[user]

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    def submit(self, user: str = "member", key: str = "key", **task: Any) -> dict[str, Any]:
        """A job; returns its body."""
        answer = self.client(user).post("/api/v1/jobs", json={**TASK, **task}, headers={"Idempotency-Key": key})
        assert answer.status_code in (200, 201), answer.text
        body: dict[str, Any] = answer.json()
        return body

    def report(self, *observations: dict[str, Any], through_ms: int = 0) -> dict[str, Any]:
        """What the operator of the local cluster saw."""
        batch = {"at_ms": self.now_ms, "observed_through_ms": through_ms, "observations": list(observations)}
        answer = self.client("operator").post("/api/v1/operator/local/report", json=batch)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def nodes(self, gpus: int = 4) -> None:
        """One node of the cluster is there."""
        self.report(
            {"id": f"n/{gpus}", "kind": "node", "at_ms": self.now_ms, "node": "h100-80g-0", "flavor": "h100-80g"}
            | {"gpus": gpus, "registered": gpus}
        )

    def allocator(self) -> Allocator:
        """An allocator that thinks no time."""
        return Allocator(self.store, EffectivePolicies(), "test", "0.0.1")


Made = Callable[..., Place]
