"""The facts that taking a step of a plan appends, for histories that are made without a store."""

from __future__ import annotations

from scheduler.core.allocator.plan import Admit, Reclaim, Step
from scheduler.core.facts import AttemptAdmitted, AttemptStopping, EarmarkReleased, FactBody, GpusEarmarked
from scheduler.core.lifecycle import StopReason


def facts_of(step: Step, cycle: int) -> list[FactBody]:
    """What ``services.cycle`` appends when it takes this step of a cycle."""
    match step:
        case Admit():
            return [AttemptAdmitted(step.job, step.attempt, step.tier, step.cluster, step.ranks, cycle)]
        case Reclaim():
            asked: list[FactBody] = [AttemptStopping(*victim, StopReason.EVICT) for victim in step.victims]
            made = GpusEarmarked(step.job, step.attempt, step.cluster, step.ranks, step.victims, cycle)
            return [*asked, made]
        case _:
            return [EarmarkReleased(step.job, step.attempt)]
