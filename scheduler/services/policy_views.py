"""What people read of a policy: its own text who reads everything, others what is everybody's or theirs."""

from __future__ import annotations

from scheduler.core.records import PolicyRecord
from scheduler.policy.excerpt import excerpt
from scheduler.schema.bodies import PolicyBody, PolicyVersionBody
from scheduler.services import policies
from scheduler.services.actors import Actor
from scheduler.services.effective import newest_policy
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Where


def show_policy(view: Reader, actor: Actor, version: int = 0) -> PolicyBody:
    """A policy version, or the one in force for 0; raises NotFound.

    For an actor that does not read everything it is rendered anew: what it says about other organisations, why and by
    whom it was applied, and the comments between the lines are none of theirs.
    """
    body = policies.show_policy(view, version)
    if actor.reads_all:
        return body
    text = excerpt(body.text, frozenset(actor.orgs))
    return body.model_copy(update={"text": text, "reason": "", "applied_by": "", "whole": False})


def list_versions(view: Reader, actor: Actor, limit: int, before: int = 0) -> list[PolicyVersionBody]:
    """Versions, the newest first; those below ``before`` where it is given.

    Why and by whom a version was applied is for who reads everything: a reason may name other organisations.
    """
    where = (Where("version", "<", before),) if before else ()
    rows = view.select(PolicyRecord, *where, order=("-version",), limit=limit)
    newest = newest_policy(view)
    return [_version_body(row, actor, newest is not None and row.version == newest.version) for row in rows]


def _version_body(record: PolicyRecord, actor: Actor, in_force: bool) -> PolicyVersionBody:
    return PolicyVersionBody(
        version=record.version,
        name=record.name,
        sha256=record.sha256,
        rate_card=record.rate_card,
        applied_at=instant(record.applied_at_ms),
        applied_by=record.applied_by if actor.reads_all else "",
        reason=record.reason if actor.reads_all else "",
        in_force=in_force,
    )
