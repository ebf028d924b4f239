"""Records of policy, registry, tokens, leases and counters; see ``scheduler.core.records`` for the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key of the control plane's own, made once: whoever reads the database can sign with it."""

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = True
    name: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """A policy version: its text as applied (all documents) and what it was parsed to."""

    KEY: ClassVar = ("version",)
    APPEND_ONLY: ClassVar = True
    version: int
    name: str
    text: str
    sha256: str
    rate_card: str
    applied_at_ms: int
    applied_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCardRecord:
    """List prices by flavor; a name is used once and never changes."""

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = True
    name: str
    valid_from_ms: int
    prices_json: str
    """Object: flavor -> whole won per GPU-hour."""
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRecord:
    """An organisation (tenant): state applied, verified, suspended, expired or closed."""

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = False
    name: str
    class_name: str
    title: str = ""
    state: str = "verified"
    registration_number: str = ""
    tax_treatment: str = "taxable"
    created_at_ms: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRecord:
    """A project of an organisation; its name is unique inside it."""

    KEY: ClassVar = ("org", "name")
    APPEND_ONLY: ClassVar = False
    org: str
    name: str
    title: str = ""
    state: str = "active"
    created_at_ms: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """A role of a user in a scope: ``all``, ``org:NAME``, ``project:ORG/NAME`` or ``cluster:NAME``."""

    KEY: ClassVar = ("user", "role", "scope")
    APPEND_ONLY: ClassVar = False
    user: str
    role: str
    scope: str
    state: str = "active"
    """``active`` or ``removed``."""
    granted_at_ms: int = 0
    granted_by: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """A bearer token: only the SHA-256 of its secret is kept."""

    KEY: ClassVar = ("id",)
    APPEND_ONLY: ClassVar = False
    id: str
    sha256: str
    user: str
    note: str = ""
    created_at_ms: int = 0
    expires_at_ms: int = 0
    """0: does not expire."""
    revoked_at_ms: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """The answer once given to (user, key); the same key with another body is refused."""

    KEY: ClassVar = ("user", "key")
    APPEND_ONLY: ClassVar = True
    user: str
    key: str
    body_sha256: str
    response_json: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who may write as the one allocator or settler; every change of holder raises the epoch."""

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = False
    name: str
    holder: str
    epoch: int
    expires_at_ms: int
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterRecord:
    """A gapless counter, taken inside the transaction that uses the number."""

    KEY: ClassVar = ("name",)
    APPEND_ONLY: ClassVar = False
    name: str
    value: int
    version: int = 1
