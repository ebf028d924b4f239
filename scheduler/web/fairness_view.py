"""From a fairness report's body to what its page shows: cells of tables as words, and plots as shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scheduler.core.units import PPM_ONE
from scheduler.schema.bodies import FairnessBody, FairnessShare, FairnessWait
from scheduler.schema.quantities import gpu_hours_text
from scheduler.schema.times import local_text, parse_rfc3339, span_text
from scheduler.web import plots
from scheduler.web.plots import Plot

DRAWN_MAX = 30
"""Organisations in a picture; the table has all."""
MORE = "≥ "


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: its caption, its headings, and its rows with a name first."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a heading, what is to be known, a picture and the same as a table."""

    name: str
    heading: str
    note: str
    plot: Plot
    grid: Grid
    wide: bool = False
    """The table needs the whole width."""


class FairnessPage:
    """What the template asks for, in one language."""

    def __init__(self, found: FairnessBody, words: dict[str, str]) -> None:
        """``words``: of the language."""
        self.found = found
        self.words = words
        self.pool = next((share for share in found.shares if share.level == "pool"), None)

    @property
    def facts(self) -> list[str]:
        """Which report this is, a line each."""
        found, words = self.found, self.words
        lines = [words[found.view], words["from_to"].format(since=_instant(found.since), until=_instant(found.until))]
        if found.period and found.state:
            lines.append(words["period"].format(period=found.period, state=words[found.state]))
        versions = ", ".join(map(str, found.policy_versions))
        lines.append(words["policy"].format(versions=versions) if versions else words["no_policy"])
        if found.view == "public":
            lines.append(words["public_note"].format(least=found.least_organisations, withheld=words["withheld"]))
        if found.unposted_milli_gpu_ms:
            lines.append(words["unposted"].format(hours=gpu_hours_text(found.unposted_milli_gpu_ms)))
        return lines

    @property
    def command(self) -> str:
        """The command line that shows the same figures."""
        found = self.found
        which = f"--period {found.period}" if found.period else f"--since {found.since} --until {found.until}"
        return f"dure fairness report {which}{' --public' if found.view == 'public' else ''}"

    @property
    def glance(self) -> list[tuple[str, str, str]]:
        """(what, how much, how to read it) of the whole pool."""
        pool, words = self.pool, self.words
        if pool is None:
            return []
        return [
            (words["jain"], self._index(pool.jain_ppm, pool.suppressed), words["jain_note"]),
            (words["gini"], self._index(pool.gini_ppm, pool.suppressed), words["gini_note"]),
            (words["received"], self._part(pool.received_ppm, pool.suppressed), ""),
            (words["used"], self._part(pool.capacity_ppm, pool.suppressed), ""),
            (words["organisations"], self._count(pool.organisations, pool.suppressed), ""),
            (words["evictions"], self._count(pool.evictions, pool.suppressed), ""),
        ]

    @property
    def sections(self) -> list[Section]:
        """Every part that has something to show."""
        found = self.found
        parts = [self._shares("shares", "class", [share for share in found.shares if share.level == "class"])]
        orgs = [share for share in found.shares if share.level == "organisation"]
        if orgs:
            parts.append(self._shares("orgs", "organisation", orgs))
        if len(found.lorenz) > 2:  # Two points are the line of equality, whatever was received.
            parts.append(self._lorenz())
        if found.waits:
            parts.append(self._waits())
        if found.days:
            parts.append(self._days())
        return parts if found.shares else parts[1:]

    def _shares(self, name: str, level: str, shares: Sequence[FairnessShare]) -> Section:
        words = self.words
        # Who received least of what was due is looked for first; who was due nothing comes last.
        drawn = [share for share in shares if not share.suppressed]
        if level == "organisation":
            drawn = sorted(drawn, key=lambda share: (share.received_ppm is None, share.received_ppm, share.tree_node))
        rows = [self._bullet(share) for share in drawn[:DRAWN_MAX]]
        note = words[f"{name}_note"].format(shown=len(rows), all=len(shares))
        amounts = ("demand", "guaranteed", "entitled", "held", "billed")
        headings = (words[level], *(words[key] for key in amounts), words["received"], words["jain"], words["gini"])
        grid = Grid(words[name], headings, tuple(self._share_row(share, amounts) for share in shares))
        return Section(name, words[name], note, plots.bullets(name, words[name], _said(rows), rows), grid, wide=True)

    def _share_row(self, share: FairnessShare, amounts: Sequence[str]) -> tuple[str, ...]:
        hours = (self._hours(getattr(share, f"{name}_milli_gpu_ms")) for name in amounts)
        received = self._part(share.received_ppm, share.suppressed)
        indices = (self._index(value, share.suppressed) for value in (share.jain_ppm, share.gini_ppm))
        return (share.tree_node[1:], *hours, received, *indices)

    def _bullet(self, share: FairnessShare) -> plots.Bullet:
        """A class with its amounts; an organisation's name may be long, so beside it only its part of its due."""
        value = self._of(share) if share.level == "class" else _percent(share.received_ppm)
        name = share.tree_node.rsplit("/", 1)[1]
        return plots.Bullet(name, value, share.held_milli_gpu_ms or 0, share.entitled_milli_gpu_ms or 0)

    def _of(self, share: FairnessShare) -> str:
        part, whole = (gpu_hours_text(value or 0) for value in (share.held_milli_gpu_ms, share.entitled_milli_gpu_ms))
        return self.words["of"].format(part=part, whole=whole, percent=_percent(share.received_ppm))

    def _lorenz(self) -> Section:
        words, points = self.words, self.found.lorenz
        places = [(point.organisations_ppm, point.received_ppm) for point in points]
        rows = tuple((_percent(x), _percent(y)) for x, y in places)
        said = f"{words['gini']}: {self._index(self.pool.gini_ppm if self.pool else None, False)}"
        axes = (words["lorenz_x"], words["lorenz_y"])
        plot = plots.curve("lorenz", words["lorenz"], said, places, axes)
        return Section("lorenz", words["lorenz"], words["lorenz_note"], plot, Grid(words["lorenz"], axes, rows))

    def _waits(self) -> Section:
        words, waits = self.words, self.found.waits
        rows: list[plots.Span] = []
        for wait in waits:
            if not wait.size and not wait.suppressed:
                rows.append(plots.Span(wait.class_name or words["all"]))
            if not wait.suppressed and wait.p50_ms is not None and wait.p95_ms is not None:
                ends = ((wait.p50_ms, self._wait(wait, "p50")), (wait.p95_ms, self._wait(wait, "p95")))
                rows.append(plots.Span(wait.size or words["all"], ends))
        keys = ("class", "size", "jobs", "waiting", "withdrawn")
        headings = (*(words[key] for key in keys), "p50", "p95")
        grid = Grid(words["waits"], headings, tuple(self._wait_row(wait) for wait in waits))
        said = "; ".join(f"{row.label}: {', '.join(text for _, text in row.values)}" for row in rows if row.values)
        plot = plots.durations("waits", words["waits"], said, rows)
        return Section("waits", words["waits"], words["waits_note"], plot, grid)

    def _wait_row(self, wait: FairnessWait) -> tuple[str, ...]:
        counts = (self._count(value, wait.suppressed) for value in (wait.jobs, wait.waiting, wait.withdrawn))
        ends = (self._wait(wait, "p50"), self._wait(wait, "p95"))
        return (wait.class_name or self.words["all"], wait.size or self.words["all"], *counts, *ends)

    def _wait(self, wait: FairnessWait, name: str) -> str:
        value: int | None = getattr(wait, f"{name}_ms")
        least: bool = getattr(wait, f"{name}_at_least")
        return self._shown(value, wait.suppressed, lambda ms: (MORE if least else "") + span_text(ms))

    def _days(self) -> Section:
        words, days = self.words, self.found.days
        columns = [plots.Column(day.date[5:], day.capacity_milli_gpu_ms, day.held_milli_gpu_ms) for day in days]
        headings = tuple(words[key] for key in ("date", "capacity", "held", "used"))
        rows = tuple(
            (
                day.date,
                self._hours(day.capacity_milli_gpu_ms),
                self._hours(day.held_milli_gpu_ms),
                self._part(day.used_ppm, day.suppressed),
            )
            for day in days
        )
        said = f"{words['used']}: {self._part(self.pool.capacity_ppm, self.pool.suppressed) if self.pool else '-'}"
        plot = plots.columns("days", words["days"], said, columns)
        return Section("days", words["days"], words["days_note"], plot, Grid(words["days"], headings, rows))

    def _shown(self, value: int | None, suppressed: bool, text: Callable[[int], str]) -> str:
        """The value in words, that it is withheld, or a dash where there is none."""
        if suppressed:
            return self.words["withheld"]
        return "–" if value is None else text(value)

    def _hours(self, value: int | None) -> str:
        return self._shown(value, value is None, gpu_hours_text)

    def _part(self, value: int | None, suppressed: bool) -> str:
        return self._shown(value, suppressed, _percent)

    def _index(self, value: int | None, suppressed: bool) -> str:
        return self._shown(value, suppressed, lambda ppm: _fixed(ppm, 3))

    def _count(self, value: int | None, suppressed: bool) -> str:
        return self._shown(value, suppressed, lambda count: f"{count:,}")


def _said(rows: Sequence[plots.Bullet]) -> str:
    """All rows of a picture in words, for those who do not see it."""
    return "; ".join(f"{row.label}: {row.value}" for row in rows)


def _instant(text: str) -> str:
    return local_text(parse_rfc3339(text))


def _percent(ppm: int | None) -> str:
    return "–" if ppm is None else f"{_fixed(ppm * 100, 1)} %"


def _fixed(ppm: int, places: int) -> str:
    """Parts per million as a decimal with this many places, rounded half up."""
    scale: int = 10**places
    whole, part = divmod((2 * ppm * scale + PPM_ONE) // (2 * PPM_ONE), scale)
    return f"{whole:,}.{part:0{places}d}"
