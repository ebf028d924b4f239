"""What people read of a policy: its own text who reads everything, others what is everybody's or theirs."""

from __future__ import annotations

from scheduler.policy.excerpt import excerpt
from scheduler.schema.bodies import PolicyBody
from scheduler.services import policies
from scheduler.services.actors import Actor
from scheduler.services.ports import Reader


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
