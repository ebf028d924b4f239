"""What of a report may be public: nothing that is about fewer than LEAST organisations, nor follows by subtraction.

Figures that add up form a tree: pool, classes, sizes of gangs in a class; or the pool and its days. In each family of
parts with a published total the withheld parts together are at least two and about at least LEAST organisations, so
what is left when the published parts are taken from the total is itself a figure that might be published. A withheld
part has only withheld parts below it (docs/decisions/0012, section 5).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from scheduler.core.fairness.indices import lorenz
from scheduler.core.fairness.report import DayFigures, Report, ShareFigures
from scheduler.core.fairness.waits import ALL, WaitFigures
from scheduler.core.tree import ROOT, level_of

K = TypeVar("K", bound=Hashable)

LEAST = 5
"""Organisations that a public figure is about, at least."""
CURVE_GROUPS_MAX = 10


def withheld(parts: Mapping[K, frozenset[str]], total: frozenset[str], least: int = LEAST) -> frozenset[K]:
    """Which parts of a total are not published; all of them where the total is not.

    parts: whom each part is about; total: whom all of it is about. A part about too few is withheld; while the withheld
    ones together are about too few, the next part goes with them, the one about the fewest first. Parts about nobody
    hide nobody and are published.
    """
    if len(total) < least:
        return frozenset(parts)
    hidden = {key for key, orgs in parts.items() if 0 < len(orgs) < least}
    about = frozenset[str]().union(*(parts[key] for key in hidden))
    # Sorted by text too: which of two equal parts goes must not depend on the order in which they came.
    rest = sorted((key for key in parts if parts[key] and key not in hidden), key=lambda k: (len(parts[k]), str(k)))
    for key in rest:
        if not hidden or len(about) >= least:
            break
        hidden.add(key)
        about |= parts[key]
    return frozenset(hidden)


def published(whole: Report) -> Report:
    """The public view: pool, classes and sizes of gangs; a withheld line keeps its name and nothing else."""
    pool = next((share.orgs for share in whole.shares if share.path == ROOT), frozenset[str]())
    return replace(
        whole,
        shares=_shares(whole, pool),
        waits=_waits(whole.waits),
        days=_days(whole.days, pool),
        lorenz=_curve(whole.ratios),
        ratios=(),
    )


def _shares(whole: Report, pool: frozenset[str]) -> tuple[ShareFigures, ...]:
    shown = [share for share in whole.shares if level_of(share.path) in ("pool", "class")]
    classes = {share.path: share.orgs for share in shown if share.path != ROOT}
    hidden = withheld(classes, pool)
    if len(pool) < LEAST:
        hidden |= {ROOT}
    return tuple(ShareFigures(share.path, hidden=True) if share.path in hidden else _indices(share) for share in shown)


def _indices(share: ShareFigures) -> ShareFigures:
    """The line without indices over too few."""
    return share if share.entitled_orgs >= LEAST else replace(share, jain=None, gini=None, entitled_orgs=0)


def _waits(waits: tuple[WaitFigures, ...]) -> tuple[WaitFigures, ...]:
    """All, classes, and sizes in a class; sizes over all classes would be a second way to the same sums."""
    about = {(line.class_name, line.size): line.orgs for line in waits if line.class_name or not line.size}
    total = about.get((ALL, ALL), frozenset())
    classes = {key: orgs for key, orgs in about.items() if key[0] and not key[1]}
    hidden = set(withheld(classes, total))
    for class_key, orgs in classes.items():
        sizes = {key: found for key, found in about.items() if key[0] == class_key[0] and key[1]}
        hidden |= sizes.keys() if class_key in hidden else withheld(sizes, orgs)
    if len(total) < LEAST:
        hidden.add((ALL, ALL))
    return tuple(
        WaitFigures(line.class_name, line.size, hidden=True) if (line.class_name, line.size) in hidden else line
        for line in waits
        if (line.class_name, line.size) in about
    )


def _days(days: tuple[DayFigures, ...], pool: frozenset[str]) -> tuple[DayFigures, ...]:
    """Capacity is about no organisation and stays."""
    hidden = withheld({day.date: day.orgs for day in days}, pool)
    return tuple(DayFigures(day.date, day.capacity, 0, hidden=True) if day.date in hidden else day for day in days)


def _curve(ratios: tuple[int, ...]) -> tuple[tuple[Fraction, Fraction], ...]:
    """The Lorenz curve with a point for each group of at least LEAST organisations."""
    groups = min(CURVE_GROUPS_MAX, len(ratios) // LEAST)
    return tuple(lorenz(ratios, groups)) if groups else ()
