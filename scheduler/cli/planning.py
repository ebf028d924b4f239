"""The lines of a plan about the pool: the share that a job would take, whether it could start now, what would help."""

from __future__ import annotations

from scheduler.cli.tables import View, bar
from scheduler.schema.bodies import PlanBody
from scheduler.schema.quantities import gpus_text

GUARANTEED = "guaranteed"
BLOCKERS_MAX = 5
OPTIONS_MAX = 4

Lines = list[tuple[str, str]]


def pool_rows(plan: PlanBody | None, view: View) -> Lines:
    """(label, text) of the lines; none where the server did not say."""
    if plan is None or plan.now is None:
        return []
    return [*_share(plan, view), *_now(plan)]


def _share(plan: PlanBody, view: View) -> Lines:
    share = plan.share
    if share is None:
        return [("Share", f"no guarantee of {plan.flavor} here: it runs on what others do not use")]
    name = f"{share.level} {share.tree_node.rpartition('/')[2]}"
    head = f"{gpus_text(share.guarantee)} guaranteed to {name}, {gpus_text(share.in_use)} in use"
    if all(tier.tier != GUARANTEED for tier in plan.tiers):
        return [("Share", f"{head}; this job is not counted against it")]
    before, after = (used * 100 // share.guarantee for used in (share.in_use, share.with_this_job))
    drawn = bar(share.in_use, share.guarantee, view.bars)
    return [
        ("Share", f"{head}, {gpus_text(share.with_this_job)} with this job"),
        ("", f"{drawn} {before}% -> {after}%"),
    ]


def _now(plan: PlanBody) -> Lines:
    """A look, in words that promise nothing."""
    now = plan.now
    assert now is not None
    if now.tier:
        return [("Now", f"nothing is in its way in tier {now.tier}")]
    texts = [f"{item.reason}: {item.sentence}" for item in now.blockers[:BLOCKERS_MAX]]
    if len(now.blockers) > BLOCKERS_MAX:
        texts.append(f"and {len(now.blockers) - BLOCKERS_MAX} more reasons: dure why, once it is submitted")
    rows = [("Now", "it would wait:"), *(("", f"- {text}") for text in texts)]
    options = now.options[:OPTIONS_MAX]
    return [*rows, *(("Options" if number == 0 else "", text) for number, text in enumerate(options))]
