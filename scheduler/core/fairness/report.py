"""The report: from hours of demand, use and capacity, and the tree in force in each, to figures (decision 0012)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from scheduler.core.effective import EffectivePolicy
from scheduler.core.fairness.entitlement import Owed, owed
from scheduler.core.fairness.hours import HourSums, Span
from scheduler.core.fairness.indices import gini, jain, lorenz, ratio_ppm
from scheduler.core.fairness.waits import Wait, WaitFigures, wait_figures
from scheduler.core.instants import kst_date
from scheduler.core.tree import ROOT, Tree, level_of, lineage, parent_of
from scheduler.core.units import PPM_ONE

NO_TREE = Tree(())


class Line(NamedTuple):
    """Whose GPUs of which flavor: the path of a project, ``/class/organisation/project``."""

    path: str
    flavor: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that decides a report.

    held, billed, waiting: of each line and hour. capacity: healthy GPUs by flavor and hour. policies: in force at the
    last instant of each hour, None before the first. evictions: path of the project of each.
    """

    span: Span
    held: HourSums[Line]
    billed: HourSums[Line]
    waiting: HourSums[Line]
    capacity: HourSums[str]
    policies: Sequence[EffectivePolicy | None]
    waits: Sequence[Wait]
    evictions: Sequence[str] = ()


@dataclass(slots=True)
class _Sum:
    """Amounts of one tree node, in millionths of a milli-GPU-millisecond of exchange rate 1."""

    demand: int = 0
    guaranteed: int = 0
    entitled: int = 0
    held: int = 0
    billed: int = 0
    evictions: int = 0


@dataclass(frozen=True, slots=True)
class ShareFigures:
    """Entitlement against receipt of one tree node, in milli-GPU-milliseconds of exchange rate 1.

    orgs: who asked for anything. jain, gini: over the organisations below that were entitled to anything, None for
    others than the pool and classes; ``entitled_orgs`` of them. hidden: the figures are withheld.
    """

    path: str
    orgs: frozenset[str] = frozenset()
    demand: int = 0
    guaranteed: int = 0
    entitled: int = 0
    held: int = 0
    billed: int = 0
    evictions: int = 0
    entitled_orgs: int = 0
    jain: Fraction | None = None
    gini: Fraction | None = None
    hidden: bool = False

    @property
    def received_ppm(self) -> int | None:
        """What was held of what was owed; None where nothing was owed."""
        return ratio_ppm(self.held, self.entitled)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One Korean day of the pool: GPUs that were healthy, and held, in milli-GPU-milliseconds of exchange rate 1."""

    date: str
    capacity: int
    held: int
    orgs: frozenset[str] = frozenset()
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All figures. ratios: what each entitled organisation received of its entitlement, ppm, the worst served first."""

    span: Span
    shares: tuple[ShareFigures, ...]
    waits: tuple[WaitFigures, ...]
    days: tuple[DayFigures, ...]
    lorenz: tuple[tuple[Fraction, Fraction], ...]
    ratios: tuple[int, ...]
    policy_versions: tuple[int, ...]

    @property
    def capacity(self) -> int:
        """Of the whole time."""
        return sum(day.capacity for day in self.days)


def report(inputs: Inputs) -> Report:
    """The whole report, a pure function of its inputs: shares by path, waits by class and size, days in order."""
    edges = inputs.held.edges
    sums, days = _Totals(), _Days([kst_date(start_ms) for start_ms in edges[:-1]])
    lines = sorted({*inputs.held.keys, *inputs.billed.keys, *inputs.waiting.keys})
    for flavor in sorted({*inputs.capacity.keys, *(line.flavor for line in lines)}):
        rates = [_exchange(policy, flavor) for policy in inputs.policies]
        capacity = inputs.capacity.of(flavor)
        demand: list[dict[str, int]] = [{} for _ in rates]
        for line in lines:
            if line.flavor == flavor:
                held = inputs.held.of(line)
                sums.use(line.path, _in_units(held, rates), _in_units(inputs.billed.of(line), rates))
                days.hold(line.path, held, rates)
                for hour, (used, waited) in enumerate(zip(held, inputs.waiting.of(line), strict=True)):
                    if used or waited:
                        demand[hour][line.path] = used + waited
        days.offer(capacity, rates)
        for hour, (start_ms, end_ms) in enumerate(pairwise(edges)):
            policy = inputs.policies[hour]
            tree = policy.tree if policy else NO_TREE
            for path, amounts in owed(tree, flavor, end_ms - start_ms, capacity[hour], demand[hour]).items():
                sums.owe(path, amounts, rates[hour])
    for path in inputs.evictions:
        sums.evict(path)
    shares = sums.figures()
    ratios = tuple(sorted(_ratios(shares)))
    versions = sorted({policy.policy_version for policy in inputs.policies if policy})
    points = tuple(lorenz(ratios))
    return Report(inputs.span, shares, wait_figures(inputs.waits), days.figures(), points, ratios, tuple(versions))


def _in_units(amounts: Sequence[int], rates: Sequence[int]) -> int:
    """Amounts of hours times the exchange rate of each."""
    return sum(amount * rate for amount, rate in zip(amounts, rates, strict=True))


def _exchange(policy: EffectivePolicy | None, flavor: str) -> int:
    known = policy.flavors.get(flavor) if policy else None
    return known.exchange_ppm if known else PPM_ONE


def _ratios(shares: Iterable[ShareFigures], below: str = "") -> list[int]:
    """Receipt of entitlement of each organisation that was entitled to anything, under a path ("" for all)."""
    return [
        ratio
        for share in shares
        if level_of(share.path) == "organisation" and (not below or parent_of(share.path) == below)
        if (ratio := share.received_ppm) is not None
    ]


@dataclass(slots=True)
class _Totals:
    """Amounts by path, of projects and of all tree nodes above."""

    by_path: dict[str, _Sum] = field(default_factory=dict)

    def of(self, path: str) -> _Sum:
        found = self.by_path.get(path)
        if found is None:
            found = self.by_path[path] = _Sum()
        return found

    def use(self, path: str, held: int, billed: int) -> None:
        for above in lineage(path):
            found = self.of(above)
            found.held += held
            found.billed += billed

    def owe(self, path: str, amounts: Owed, rate: int) -> None:
        found = self.of(path)
        found.demand += amounts.demand * rate
        found.guaranteed += amounts.guaranteed * rate
        found.entitled += amounts.entitled * rate

    def evict(self, path: str) -> None:
        for above in lineage(path):
            self.of(above).evictions += 1

    def figures(self) -> tuple[ShareFigures, ...]:
        """By path, the pool first; classes and pool with the indices of the organisations below."""
        plain = [self._plain(path) for path in sorted(self.by_path)]
        members: dict[str, set[str]] = {}
        for share in plain:
            if level_of(share.path) == "organisation" and share.orgs:
                for above in lineage(share.path)[1:]:
                    members.setdefault(above, set()).update(share.orgs)
        return tuple(self._indexed(share, plain, members) for share in plain)

    def _plain(self, path: str) -> ShareFigures:
        found, parts = self.by_path[path], path.split("/")
        asked = len(parts) > 2 and (found.demand or found.held or found.evictions)
        return ShareFigures(
            path,
            frozenset(parts[2:3] if asked else ()),
            found.demand // PPM_ONE,
            found.guaranteed // PPM_ONE,
            found.entitled // PPM_ONE,
            found.held // PPM_ONE,
            found.billed // PPM_ONE,
            found.evictions,
        )

    def _indexed(
        self, share: ShareFigures, plain: Sequence[ShareFigures], members: Mapping[str, set[str]]
    ) -> ShareFigures:
        if level_of(share.path) not in ("pool", "class"):
            return share
        ratios = _ratios(plain, "" if share.path == ROOT else share.path)
        orgs = frozenset(members.get(share.path, ()))
        return replace(share, orgs=orgs, entitled_orgs=len(ratios), jain=jain(ratios), gini=gini(ratios))


class _Days:
    """Capacity and use by Korean day; ``dates``: of each hour."""

    def __init__(self, dates: Sequence[str]) -> None:
        self._dates = dates
        self._amounts: dict[str, list[int]] = {date: [0, 0] for date in dates}
        self._orgs: dict[str, set[str]] = {date: set() for date in dates}

    def offer(self, capacity: Sequence[int], rates: Sequence[int]) -> None:
        for date, amount, rate in zip(self._dates, capacity, rates, strict=True):
            self._amounts[date][0] += amount * rate

    def hold(self, path: str, held: Sequence[int], rates: Sequence[int]) -> None:
        org = path.split("/")[2]
        for date, amount, rate in zip(self._dates, held, rates, strict=True):
            if amount:
                self._amounts[date][1] += amount * rate
                self._orgs[date].add(org)

    def figures(self) -> tuple[DayFigures, ...]:
        return tuple(
            DayFigures(date, capacity // PPM_ONE, held // PPM_ONE, frozenset(self._orgs[date]))
            for date, (capacity, held) in sorted(self._amounts.items())
        )
