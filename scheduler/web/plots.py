"""Plots as plain shapes in whole numbers: a template writes them as SVG, so the same figures give the same bytes.

A plot is 3,600 units wide, which is 360 CSS pixels on a phone. What a shape looks like is its class in the style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH = 3_600
TEXT = 130
"""Height of a letter."""

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar; ``look`` is its class."""

    look: str
    x: int
    y: int
    width: int
    height: int
    kind: str = "rect"


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    look: str
    x1: int
    y1: int
    x2: int
    y2: int
    kind: str = "line"


@dataclass(frozen=True, slots=True)
class Label:
    """Words; (x, y) is where the base line begins, has its middle, or ends."""

    look: str
    x: int
    y: int
    text: str
    anchor: Anchor = "start"
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points, or the area that it closes."""

    look: str
    points: tuple[tuple[int, int], ...]
    kind: str = "path"

    @property
    def text(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x},{y}" for x, y in self.points)


Shape = Rect | Line | Label | Path


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture: its name in the page, its title, what it shows in a sentence, and its shapes from back to front."""

    name: str
    title: str
    summary: str
    height: int
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Bullet:
    """A row of a bullet chart: what was received against what was due."""

    label: str
    value: str
    received: int
    due: int


def bullets(name: str, title: str, summary: str, rows: Sequence[Bullet]) -> Plot:
    """One bar a row on one scale, with a mark at what was due."""
    most = max((max(row.received, row.due) for row in rows), default=0) or 1
    shapes: list[Shape] = []
    for number, row in enumerate(rows):
        top = number * 480
        shapes += [
            Label("label", 0, top + 150, row.label),
            Label("value", WIDTH, top + 150, row.value, "end"),
            Rect("track", 0, top + 200, WIDTH, 160),
            Rect("received", 0, top + 200, WIDTH * row.received // most, 160),
        ]
        at = min(WIDTH - 15, WIDTH * row.due // most)
        shapes.append(Line("due", at, top + 165, at, top + 395))
    return Plot(name, title, summary, 480 * len(rows), tuple(shapes))


def curve(name: str, title: str, summary: str, points: Sequence[tuple[int, int]], axes: tuple[str, str]) -> Plot:
    """A Lorenz curve from points in parts per million, beside the line of equality."""
    left, top, side = 420, 40, 2_900
    bottom = top + side

    def place(x_ppm: int, y_ppm: int) -> tuple[int, int]:
        return left + side * x_ppm // 1_000_000, bottom - side * y_ppm // 1_000_000

    drawn = tuple(place(*point) for point in points)
    shapes: list[Shape] = [Path("between", (place(0, 0), *drawn, place(1_000_000, 1_000_000)))]
    for percent in (0, 50, 100):
        x, y = place(percent * 10_000, percent * 10_000)
        shapes += [
            Line("grid", left, y, left + side, y),
            Line("grid", x, top, x, bottom),
            Label("tick", left - 60, y + 45, f"{percent} %", "end"),
            Label("tick", x, bottom + 170, f"{percent} %", "middle"),
        ]
    shapes += [
        Path("equal", (place(0, 0), place(1_000_000, 1_000_000))),
        Path("curve", drawn),
        Label("axis", left + side // 2, bottom + 350, axes[0], "middle"),
        Label("axis", left + 80, top + 180, axes[1]),
    ]
    return Plot(name, title, summary, bottom + 420, tuple(shapes))


@dataclass(frozen=True, slots=True)
class Span:
    """A row of a chart of durations: a heading (no values), or two durations in milliseconds with their words."""

    label: str
    values: tuple[tuple[int, str], ...] = ()


LOOKS = ("half", "most")
TICKS = (
    *((1_000, "1s"), (10_000, "10s"), (60_000, "1m"), (600_000, "10m"), (3_600_000, "1h"), (21_600_000, "6h")),
    *((86_400_000, "1d"), (604_800_000, "7d"), (2_592_000_000, "30d"), (31_536_000_000, "365d")),
)


def durations(name: str, title: str, summary: str, rows: Sequence[Span]) -> Plot:
    """Two bars a row on a logarithmic scale from one second on, the words at their ends."""
    left, room = 600, WIDTH - 600 - 760
    most = max((value for row in rows for value, _ in row.values), default=0)
    ticks = [tick for tick in TICKS if tick[0] <= max(most, TICKS[1][0])]
    last = max(most, ticks[-1][0])

    def length(value: int) -> int:
        return room * log2_milli(max(value, 1_000) // 1_000) // (log2_milli(last // 1_000) or 1)

    shapes: list[Shape] = []
    y = 60
    for row in rows:
        shapes.append(Label("label" if row.values else "heading", 0, y + 180, row.label))
        for number, (value, words) in enumerate(row.values):
            top = y + 40 + number * 170
            width = max(20, length(value))
            shapes.append(Rect(LOOKS[number], left, top, width, 140))
            shapes.append(Label("value", left + width + 50, top + 115, words))
        y += 430 if row.values else 280
    marks: list[Shape] = []
    for number, (value, words) in enumerate(ticks):
        x = left + length(value)
        marks.append(Line("grid", x, 0, x, y))
        if number % 2 == 0 or len(ticks) < 6:
            marks.append(Label("tick", x, y + 170, words, "middle"))
    return Plot(name, title, summary, y + 230, (*marks, *shapes))


@dataclass(frozen=True, slots=True)
class Column:
    """A day: its capacity, and what of it was held; None where that is withheld."""

    label: str
    capacity: int
    held: int | None


def columns(name: str, title: str, summary: str, days: Sequence[Column]) -> Plot:
    """One column a day, filled as far as it was held; a hatched one is withheld."""
    top, high = 40, 1_500
    bottom = top + high
    most = max((day.capacity for day in days), default=0) or 1
    step = WIDTH // max(1, len(days))
    wide = min(max(20, step * 3 // 4), 400)
    shapes: list[Shape] = [Line("grid", 0, bottom, WIDTH, bottom)]
    named = {0, len(days) // 2, len(days) - 1} if len(days) > 4 else set(range(len(days)))
    for number, day in enumerate(days):
        x = number * step + (step - wide) // 2
        whole = high * day.capacity // most
        filled = whole if day.held is None else min(whole, high * day.held // most)
        shapes.append(Rect("track", x, bottom - whole, wide, whole))
        shapes.append(Rect("withheld" if day.held is None else "received", x, bottom - filled, wide, filled))
        if number in named:
            middle = x + wide // 2
            anchor: Anchor = "start" if middle < 300 else "end" if middle > WIDTH - 300 else "middle"
            place = {"start": x, "middle": middle, "end": x + wide}[anchor]
            shapes.append(Label("tick", place, bottom + 170, day.label, anchor))
    return Plot(name, title, summary, bottom + 230, tuple(shapes))


def log2_milli(value: int) -> int:
    """1,000 x log2 of a whole number from 1 on, straight between powers of two: no float, so the same everywhere."""
    power = value.bit_length() - 1
    return 1_000 * power + (1_000 * value >> power) - 1_000
