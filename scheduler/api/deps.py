"""What the routes are given, and how a route gets it: one frozen bundle, and the caller behind the token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from scheduler.services.actors import Actor
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.effective import EffectivePolicies
from scheduler.services.pdfs import NoRenderer
from scheduler.services.ports import ArtifactStore, Ids, LogStore, PackageStore, Store
from scheduler.services.tokens import authenticate
from scheduler.services.verification import Witnesses

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a client may send, in bytes and seconds."""

    body_bytes: int = MEBIBYTE
    package_bytes: int = 64 * MEBIBYTE
    log_chunk_bytes: int = MEBIBYTE
    """Of a log or of an artifact, in one request."""
    artifact_bytes: int = 256 * MEBIBYTE
    """All artifacts of an attempt together."""
    packages_at_once: int = 32
    """Packages that may arrive at the same time; more are told to come back."""
    packages_per_user: int = 2
    """Of these, how many of one user."""
    body_idle_seconds: float = 30
    body_total_seconds: float = 600


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything the routes use.

    secret: a new token's secret, at least 128 bits, without ``_``. clock: now in milliseconds.
    metrics: the exposition text. unready: one sentence for each part that does not work, empty when ready.
    hosts: names allowed in the Host header, without ports; empty allows any. metrics_open: /metrics needs no token.
    """

    store: Store
    policies: EffectivePolicies
    packages: PackageStore
    logs: LogStore
    artifacts: ArtifactStore
    ids: Ids
    secret: Callable[[], str]
    attempt_tokens: AttemptTokens
    clock: Callable[[], int]
    version: str
    metrics: Callable[[], bytes]
    unready: Callable[[], Sequence[str]]
    limits: Limits = field(default_factory=Limits)
    hosts: frozenset[str] = frozenset()
    metrics_open: bool = False
    witnesses: Witnesses = field(default_factory=lambda: Witnesses(NoRenderer()))
    """What makes PDFs, and the second opinion on usage."""


async def given(request: Request) -> Deps:
    """The bundle that ``create_app`` was called with."""
    deps: Deps = request.app.state.deps
    return deps


D = Annotated[Deps, Depends(given)]
BEARER = HTTPBearer(auto_error=False, scheme_name="token", description="dure_<id>_<secret>, from `dure token create`")


def caller(
    deps: D, request: Request, _declared: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
) -> Actor:
    """Who the request speaks for; raises Unauthenticated."""
    return authenticate(deps.store, request.headers.get("Authorization"), deps.clock())


Caller = Annotated[Actor, Depends(caller)]
