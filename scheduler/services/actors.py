"""Who asks, and what they may do. The default is nothing.

Roles and scopes: ``admin`` and ``auditor`` in ``all`` (an auditor also in ``org:NAME``); ``org-admin``
in ``org:NAME``; ``project-admin`` and ``member`` in ``project:ORG/NAME``; ``operator`` in ``cluster:NAME``.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.core.errors import Fatal
from scheduler.core.records import MemberRecord
from scheduler.services.ports import Reader, Where

GRANTS_MAX = 10_000
SCOPES_BY_ROLE = {
    "admin": ("all",),
    "auditor": ("all", "org"),
    "org-admin": ("org",),
    "project-admin": ("project",),
    "member": ("project",),
    "operator": ("cluster",),
}


class Forbidden(Fatal):
    """The actor has no right to do this; says which role would."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A user and its active (role, scope) pairs; when the token that it shows ends, 0 for never."""

    user: str
    grants: frozenset[tuple[str, str]]
    expires_at_ms: int = 0

    @property
    def is_admin(self) -> bool:
        """Administrator of the whole pool."""
        return ("admin", "all") in self.grants

    @property
    def reads_all(self) -> bool:
        """May read every organisation's jobs and money."""
        return self.is_admin or ("auditor", "all") in self.grants

    def administers(self, org: str, project: str = "") -> bool:
        """Administrator of the pool, the organisation or the project."""
        return (
            self.is_admin
            or ("org-admin", f"org:{org}") in self.grants
            or (bool(project) and ("project-admin", f"project:{org}/{project}") in self.grants)
        )

    def works_in(self, org: str, project: str) -> bool:
        """May submit to the project."""
        return self.administers(org, project) or ("member", f"project:{org}/{project}") in self.grants

    def reads_org(self, org: str) -> bool:
        """May read the organisation's usage and invoices."""
        return self.reads_all or ("org-admin", f"org:{org}") in self.grants or ("auditor", f"org:{org}") in self.grants

    def sees_org(self, org: str) -> bool:
        """Belongs to the organisation in any role, or reads all."""
        inside = (f"org:{org}", f"project:{org}/")
        return self.reads_all or any(scope.startswith(inside[1]) or scope == inside[0] for _, scope in self.grants)

    def sees_project(self, org: str, project: str) -> bool:
        """May see the project's jobs."""
        return self.works_in(org, project) or self.reads_org(org)

    def operates(self, cluster: str) -> bool:
        """Is the operator of the cluster."""
        return ("operator", f"cluster:{cluster}") in self.grants

    @property
    def orgs(self) -> tuple[str, ...]:
        """Organisations it belongs to in any role, sorted."""
        found = set()
        for _, scope in self.grants:
            kind, _, rest = scope.partition(":")
            if kind in ("org", "project"):
                found.add(rest.partition("/")[0])
        return tuple(sorted(found))


def actor_of(reader: Reader, user: str, expires_at_ms: int = 0) -> Actor:
    """The user with its active grants, for as long as its token lasts."""
    rows = reader.select(MemberRecord, Where("user", "=", user), Where("state", "=", "active"), limit=GRANTS_MAX)
    return Actor(user, frozenset((row.role, row.scope) for row in rows), expires_at_ms)


def require(allowed: bool, what: str, who: str) -> None:
    """Raise Forbidden unless allowed; ``who`` names the role that may."""
    if not allowed:
        raise Forbidden("DURE-4003", f"you may not {what}", f"ask {who}")
