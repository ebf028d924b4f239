"""A fixed report for the page, CSV and JSON: three classes, seventeen organisations, five days, jobs of every size."""

from __future__ import annotations

from scheduler.core.fairness.disclosure import LEAST, published
from scheduler.core.fairness.hours import HourSums, Span
from scheduler.core.fairness.report import Inputs, Line, report
from scheduler.core.fairness.waits import Outcome, Wait
from scheduler.core.instants import parse_rfc3339
from scheduler.core.tree import Tree, TreeNode
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import FairnessBody
from scheduler.services.fairness_bodies import Meta, body
from tests.unit.core.fairness.reports import F, policy

SINCE_MS = parse_rfc3339("2026-10-01T00:00:00+09:00")
HOURS = 5 * 24
CLASSES = (("university", 40, 8), ("sme", 35, 6), ("startup", 25, 3))
GUARANTEES = {"university": 96_000, "sme": 80_000, "startup": 60_000}
SIZES = (1, 4, 16, 64)
TREE = Tree(TreeNode(f"/{name}", weight * 1_000_000, {F: GUARANTEES[name]}) for name, weight, _ in CLASSES)


def _inputs() -> Inputs:
    span = Span(SINCE_MS, SINCE_MS + HOURS * MS_PER_HOUR)
    held, billed, waiting = (HourSums[Line](span) for _ in range(3))
    capacity: HourSums[str] = HourSums(span)
    capacity.add(F, span.since_ms, span.until_ms, 256_000)
    capacity.add(F, span.since_ms + 60 * MS_PER_HOUR, span.since_ms + 80 * MS_PER_HOUR, -32_000)
    waits: list[Wait] = []
    for name, _, count in CLASSES:
        for number in range(count):
            org = f"{name}-{'abcdefgh'[number]}"
            line = Line(f"/{name}/{org}/lab", F)
            first_ms = span.since_ms + number * 5 * MS_PER_HOUR
            gpus = (4 + 3 * number) * 1_000
            held.add(line, first_ms, span.until_ms - number * MS_PER_HOUR, gpus)
            billed.add(line, first_ms + 60_000, span.until_ms - number * MS_PER_HOUR, gpus)
            waiting.add(line, span.since_ms, first_ms, gpus)
            waiting.add(line, first_ms, span.until_ms, number * 2_000)
            waits += [_wait(name, org, number, place) for place in range(12)]
    return Inputs(
        span=span,
        held=held,
        billed=billed,
        waiting=waiting,
        capacity=capacity,
        policies=[policy(TREE, version=17)] * HOURS,
        waits=waits,
        evictions=["/sme/sme-a/lab"] * 3,
    )


def _wait(name: str, org: str, number: int, place: int) -> Wait:
    """Bigger gangs wait longer; of the biggest some wait still; only universities have them."""
    gpus = SIZES[place % (4 if name == "university" else 3)]
    outcome = Outcome.WAITING if gpus == 64 and number % 3 == 0 else Outcome.STARTED
    return Wait(name, org, gpus, (place + 1) * (number + 1) * gpus * 17_000, outcome)


def fixed(public: bool) -> FairnessBody:
    """The report in one of its views."""
    whole = report(_inputs())
    if public:
        return body(published(whole), Meta("public", "2026-10", "closed", LEAST, None))
    return body(whole, Meta("whole", "2026-10", "closed", 1, 0))
