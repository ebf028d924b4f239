"""The report as a whole: the worked example of decision 0012, exchange rates, days, evictions, waits by size."""

from __future__ import annotations

from fractions import Fraction

import pytest

from scheduler.core.fairness.indices import Percentile
from scheduler.core.fairness.report import Report, ShareFigures, report
from scheduler.core.fairness.waits import Outcome, Wait, WaitFigures, size_of
from scheduler.core.tree import Tree, TreeNode
from tests.unit.core.fairness.reports import GPU_HOUR, F, inputs

PPM = 1_000_000
DAYS = [("2026-09-21", 1), ("2026-09-22", 24), ("2026-09-23", 1)]
TREE = Tree(
    (
        TreeNode("/sme", PPM, {F: 4_000}),
        TreeNode("/university", 2 * PPM),
        TreeNode("/sme/acme", PPM),
        TreeNode("/sme/bolt", PPM),
        TreeNode("/university/uni", PPM),
    )
)


def share(found: Report, path: str) -> ShareFigures:
    """The line of a tree node."""
    return next(line for line in found.shares if line.path == path)


def test_the_example_of_the_decision_record() -> None:
    """12 GPUs, 2 hours. sme is owed 4 (its weight's third is 4 too), university 8; inside sme 2 and 2."""
    use = {"/sme/acme/p": (2, 6), "/sme/bolt/p": (1, 5), "/university/uni/p": (6, 10)}
    found = report(inputs(use, tree=TREE, gpus=12, hours=2))
    in_hours = {
        line.path: tuple(amount // GPU_HOUR for amount in (line.demand, line.guaranteed, line.entitled, line.held))
        for line in found.shares
        if line.path.count("/") < 3
    }
    assert in_hours == {
        "/": (60, 8, 24, 18),
        "/sme": (28, 8, 8, 6),
        "/sme/acme": (16, 0, 4, 4),
        "/sme/bolt": (12, 0, 4, 2),
        "/university": (32, 0, 16, 12),
        "/university/uni": (32, 0, 16, 12),
    }
    assert found.ratios == (500_000, 750_000, 1_000_000)
    pool = share(found, "/")
    assert (pool.jain, pool.gini, pool.entitled_orgs) == (Fraction(27, 29), Fraction(4, 27), 3)
    sme = share(found, "/sme")
    assert (sme.jain, sme.gini) == (Fraction(9, 10), Fraction(1, 6)), "(1.5)^2 / (2 x 1.25), (-0.5 + 1) / (2 x 1.5)"
    assert share(found, "/sme/acme").jain is None
    assert sme.orgs == {"acme", "bolt"}
    assert found.lorenz == (
        (Fraction(0), Fraction(0)),
        (Fraction(1, 3), Fraction(2, 9)),
        (Fraction(2, 3), Fraction(5, 9)),
        (Fraction(1), Fraction(1)),
    )
    assert [(day.capacity // GPU_HOUR, day.held // GPU_HOUR) for day in found.days] == [(12, 9), (12, 9)], "it is 23:00"


def test_amounts_are_in_units_of_exchange_rate_1() -> None:
    found = report(inputs({"/sme/acme/p": (4, 0)}, exchange_ppm=450_000))
    assert share(found, "/sme/acme").held == 4 * GPU_HOUR * 45 // 100
    assert found.capacity == 10 * GPU_HOUR * 45 // 100


def test_days_are_korean_and_evictions_are_counted_up_the_tree() -> None:
    found = report(inputs({"/sme/acme/p": (1, 0)}, hours=26, evictions=("/sme/acme/p", "/sme/acme/p", "/sme/bolt/q")))
    assert [(day.date, day.held // GPU_HOUR) for day in found.days] == DAYS
    assert [share(found, path).evictions for path in ("/", "/sme", "/sme/acme", "/sme/bolt/q")] == [3, 3, 2, 1]


def test_nobody_is_in_a_report_of_nothing() -> None:
    found = report(inputs({}))
    assert (found.shares, found.waits, found.ratios, found.lorenz) == ((), (), (), ())
    assert found.capacity == 10 * GPU_HOUR


@pytest.mark.parametrize(
    ("gpus", "size"), [(1, "1"), (2, "2-8"), (8, "2-8"), (9, "9-32"), (32, "9-32"), (33, "33+"), (4_096, "33+")]
)
def test_sizes(gpus: int, size: str) -> None:
    assert size_of(gpus) == size


def test_waits_by_class_and_size() -> None:
    waits = (
        Wait("sme", "acme", 1, 10, Outcome.STARTED),
        Wait("sme", "acme", 8, 30, Outcome.STARTED),
        Wait("sme", "bolt", 8, 20, Outcome.WAITING),
        Wait("university", "uni", 40, 5, Outcome.WITHDRAWN),
    )
    found = {(line.class_name, line.size): line for line in report(inputs({}, waits=waits)).waits}
    assert list(found) == [
        *(("", size) for size in ("", "1", "2-8", "33+")),
        *(("sme", size) for size in ("", "1", "2-8")),
        *(("university", size) for size in ("", "33+")),
    ]
    # Of 20 (open) and 30: the first is at least 20, and may be 30; the second is 30 or more.
    assert found["sme", "2-8"] == WaitFigures(
        "sme", "2-8", frozenset({"acme", "bolt"}), 2, 1, 0, Percentile(20, True), Percentile(30, True)
    )
    everybody = found["", ""]
    assert (everybody.jobs, everybody.waiting, everybody.withdrawn, len(everybody.orgs)) == (4, 1, 1, 3)
