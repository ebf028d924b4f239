"""A fairness report as a body, and the body as CSV: one figure a row, whatever table it is from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from scheduler.core.fairness.indices import ppm, ratio_ppm
from scheduler.core.fairness.report import DayFigures, Report, ShareFigures
from scheduler.core.fairness.waits import WaitFigures
from scheduler.core.tree import level_of
from scheduler.schema.bodies import (
    FairnessBody,
    FairnessDay,
    FairnessPoint,
    FairnessShare,
    FairnessView,
    FairnessWait,
)
from scheduler.schema.times import rfc3339

COLUMNS = ("table", "tree_node", "class", "size", "date", "organisations_ppm", "figure", "value", "note")
SUPPRESSED, AT_LEAST = "suppressed", "at least"
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Meta:
    """What a report says beside its figures."""

    view: FairnessView
    period: str
    state: str
    least: int
    unposted: int | None


def body(found: Report, meta: Meta) -> FairnessBody:
    """The report as it is answered."""
    return FairnessBody(
        view=meta.view,
        period=meta.period,
        state=meta.state,
        since=rfc3339(found.span.since_ms),
        until=rfc3339(found.span.until_ms),
        least_organisations=meta.least,
        policy_versions=list(found.policy_versions),
        unposted_milli_gpu_ms=meta.unposted,
        shares=[_share(share, found.capacity) for share in found.shares],
        waits=[_wait(line) for line in found.waits],
        days=[_day(day) for day in found.days],
        lorenz=[
            FairnessPoint(organisations_ppm=ppm(part) or 0, received_ppm=ppm(received) or 0)
            for part, received in found.lorenz
        ],
    )


def _share(share: ShareFigures, capacity: int) -> FairnessShare:
    shown = not share.hidden
    return FairnessShare(
        tree_node=share.path,
        level=level_of(share.path),
        suppressed=share.hidden,
        organisations=len(share.orgs) if shown else None,
        demand_milli_gpu_ms=share.demand if shown else None,
        guaranteed_milli_gpu_ms=share.guaranteed if shown else None,
        entitled_milli_gpu_ms=share.entitled if shown else None,
        held_milli_gpu_ms=share.held if shown else None,
        billed_milli_gpu_ms=share.billed if shown else None,
        received_ppm=share.received_ppm if shown else None,
        capacity_ppm=ratio_ppm(share.held, capacity) if shown else None,
        evictions=share.evictions if shown else None,
        jain_ppm=ppm(share.jain),
        gini_ppm=ppm(share.gini),
    )


def _wait(line: WaitFigures) -> FairnessWait:
    shown = not line.hidden
    return FairnessWait(
        class_name=line.class_name,
        size=line.size,
        suppressed=line.hidden,
        organisations=len(line.orgs) if shown else None,
        jobs=line.jobs if shown else None,
        waiting=line.waiting if shown else None,
        withdrawn=line.withdrawn if shown else None,
        p50_ms=line.p50.wait_ms if line.p50 else None,
        p50_at_least=line.p50.at_least if line.p50 else False,
        p95_ms=line.p95.wait_ms if line.p95 else None,
        p95_at_least=line.p95.at_least if line.p95 else False,
    )


def _day(day: DayFigures) -> FairnessDay:
    return FairnessDay(
        date=day.date,
        capacity_milli_gpu_ms=day.capacity,
        suppressed=day.hidden,
        held_milli_gpu_ms=None if day.hidden else day.held,
        used_ppm=None if day.hidden else ratio_ppm(day.held, day.capacity),
    )


def as_csv(found: FairnessBody) -> str:
    """The body in CSV with COLUMNS: numbers as in JSON, an empty value for null, ``note`` says why."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(found))
    return buffer.getvalue()


def _rows(found: FairnessBody) -> Iterator[Row]:
    for name in ("view", "period", "state", "since", "until", "least_organisations", "unposted_milli_gpu_ms"):
        yield ("report", "", "", "", "", "", name, _cell(getattr(found, name)), "")
    yield ("report", "", "", "", "", "", "policy_versions", " ".join(map(str, found.policy_versions)), "")
    for share in found.shares:
        yield from _figures(share, ("shares", share.tree_node, "", "", "", ""), ("tree_node", "level"))
    for wait in found.waits:
        yield from _figures(wait, ("waits", "", wait.class_name, wait.size, "", ""), ("class_name", "size"))
    for day in found.days:
        yield from _figures(day, ("days", "", "", "", day.date, ""), ("date",))
    for point in found.lorenz:
        yield ("lorenz", "", "", "", "", str(point.organisations_ppm), "received_ppm", str(point.received_ppm), "")


def _figures(line: FairnessShare | FairnessWait | FairnessDay, place: Row, named: Row) -> Iterator[Row]:
    """One row for each figure of a line."""
    values = line.model_dump()
    for name, value in values.items():
        if name in named or name == "suppressed" or name.endswith("_at_least"):
            continue
        least = values.get(f"{name.removesuffix('_ms')}_at_least")
        note = SUPPRESSED if line.suppressed and value is None else AT_LEAST if least else ""
        yield (*place, name, _cell(value), note)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
