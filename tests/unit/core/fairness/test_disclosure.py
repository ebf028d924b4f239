"""What the public view gives away: nothing about few, not even to somebody who adds, subtracts and compares lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fairness.disclosure import LEAST, published, withheld
from scheduler.core.fairness.report import Report, report
from scheduler.core.fairness.waits import Outcome, Wait
from tests.unit.core.fairness.reports import inputs


def orgs(count: int, mark: str = "o") -> frozenset[str]:
    """So many organisations."""
    return frozenset(f"{mark}{number}" for number in range(count))


# organisations of each part, which are withheld, why
FAMILIES = {
    "all are many": ((5, 6, 7), "", "nobody is few"),
    "one is few": ((4, 9, 6), "ac", "a alone would be total - b - c; c is about fewer than b"),
    "two are few, many together": ((2, 3, 9), "ab", "a + b is about 5"),
    "two are few, few together": ((1, 2, 9), "abc", "a + b = total - c would be about 3"),
    "nobody hides nobody": ((3, 0, 9), "ac", "a part of none makes no cover"),
    "a part of all": ((5,), "", "it is the total"),
    "the total is few": ((2, 2), "ab", "nothing is published"),
    "empty": ((), "", "nothing to withhold"),
}


@pytest.mark.parametrize(("counts", "expected", "_why"), FAMILIES.values(), ids=FAMILIES)
def test_withheld(counts: tuple[int, ...], expected: str, _why: str) -> None:
    parts = {name: orgs(count, name) for name, count in zip("abc", counts, strict=False)}
    total = frozenset[str]().union(*parts.values())
    assert withheld(parts, total) == set(expected)


def spans(rows: Sequence[Sequence[int]], target: Sequence[int]) -> bool:
    """Whether the target is a sum of multiples of the rows: what linear algebra can derive from them."""
    return _rank([*rows, target]) == _rank(rows)


def _rank(rows: Iterable[Sequence[int]]) -> int:
    basis: list[list[Fraction]] = []
    for row in rows:
        rest = [Fraction(value) for value in row]
        for known in basis:
            lead = next(place for place, value in enumerate(known) if value)
            factor = rest[lead] / known[lead]
            rest = [value - factor * other for value, other in zip(rest, known, strict=True)]
        if any(rest):
            basis.append(rest)
    return len(basis)


def derivable(
    cells: Mapping[tuple[str, str], frozenset[str]], lines: Sequence[frozenset[tuple[str, str]]]
) -> list[str]:
    """Sums of at most four cells that are about 1 to LEAST - 1 organisations and follow from the published lines."""
    places = list(cells)
    rows = [[int(place in line) for place in places] for line in lines]
    found = []
    for size in range(1, 5):
        for chosen in combinations(places, size):
            about = frozenset[str]().union(*(cells[place] for place in chosen))
            if 0 < len(about) < LEAST and spans(rows, [int(place in chosen) for place in places]):
                found.append(f"{chosen} about {len(about)}")
    return found


CLASSES, SIZES = ("a", "b", "c"), ((1, "1"), (4, "2-8"), (16, "9-32"))


@st.composite
def crowds(draw: st.DrawFn) -> dict[tuple[str, str], frozenset[str]]:
    """(class, size) -> organisations with such jobs; few and many."""
    count = st.sampled_from((0, 0, 1, 2, 4, 5, 6, 9))
    return {
        (name, size): frozenset(f"{name}{draw(st.integers(0, 9))}" for _ in range(draw(count)))
        for name in CLASSES
        for _, size in SIZES
    }


@given(crowds())
def test_no_count_of_jobs_of_few_can_be_derived(crowd: dict[tuple[str, str], frozenset[str]]) -> None:
    sizes = {name: gpus for gpus, name in SIZES}
    waits = tuple(
        Wait(class_name, org, sizes[size], 7, Outcome.STARTED)
        for (class_name, size), found in crowd.items()
        for org in sorted(found)
    )
    cells = {place: found for place, found in crowd.items() if found}
    shown = [line for line in published(report(inputs({}, waits=waits))).waits if not line.hidden]
    lines = [
        frozenset(place for place in cells if line.class_name in ("", place[0]) and line.size in ("", place[1]))
        for line in shown
    ]
    assert all(line.jobs == sum(len(cells[place]) for place in about) for line, about in zip(shown, lines, strict=True))
    assert derivable(cells, lines) == []


@st.composite
def users(draw: st.DrawFn) -> dict[str, tuple[int, int]]:
    """Projects of organisations in three classes."""
    return {
        f"/{name}/{name}{number}/p": (draw(st.integers(0, 3)), draw(st.integers(0, 2)))
        for name in CLASSES
        for number in range(draw(st.sampled_from((0, 1, 3, 5, 7))))
    }


@given(users())
def test_no_receipt_of_few_can_be_derived(use: dict[str, tuple[int, int]]) -> None:
    whole = report(inputs(use))
    public = published(whole)
    asked = {path: path.split("/")[2] for path, amounts in use.items() if any(amounts)}
    cells = {(path, ""): frozenset({org}) for path, org in asked.items()}
    lines = [
        frozenset(place for place in cells if line.path == "/" or place[0].startswith(f"{line.path}/"))
        for line in public.shares
        if not line.hidden
    ]
    assert derivable(cells, lines) == []
    assert all(len(line.orgs) >= LEAST for line in public.shares if not line.hidden)
    assert public.ratios == ()
    assert bool(public.lorenz) == (len(whole.ratios) >= LEAST and any(whole.ratios))
    assert all(line.jain is None or line.entitled_orgs >= LEAST for line in public.shares)
    assert all(day.hidden or len(day.orgs) in (0, *range(LEAST, 99)) for day in public.days)


def test_a_withheld_line_keeps_nothing() -> None:
    waits = tuple(Wait("a", f"a{number}", 1, 9, Outcome.STARTED) for number in range(3))
    use = {"/a/a1/p": (3, 4), "/a/a2/p": (1, 1)}
    found: Report = published(report(inputs(use, waits=waits, evictions=("/a/a1/p",))))
    assert [(line.path, line.hidden) for line in found.shares] == [("/", True), ("/a", True)]
    for line in (*found.shares, *found.waits):
        named = {"path", "class_name", "size", "hidden"}
        kept = {name: getattr(line, name) for name in dir(line) if name[0] != "_" and name not in named}
        assert not any(kept.values()), kept
    assert [(day.held, day.orgs, day.hidden) for day in found.days] == [(0, frozenset(), True)]


def test_a_public_report_names_no_organisation() -> None:
    use = {f"/a/secret-{number}/p": (1, 1) for number in range(8)}
    waits = tuple(Wait("a", f"secret-{number}", 1, 9, Outcome.STARTED) for number in range(8))
    found = published(report(inputs(use, waits=waits)))
    assert [(line.path, line.hidden, len(line.orgs)) for line in found.shares] == [("/", False, 8), ("/a", False, 8)]
    assert len(found.lorenz) == 2, "one group of eight"
