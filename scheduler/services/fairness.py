"""The fairness report: whole for who may read everything, public for everybody who has a login."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.core.accounting.calendar import month_bounds
from scheduler.core.fairness.disclosure import LEAST, published
from scheduler.core.fairness.hours import Span
from scheduler.core.fairness.report import report
from scheduler.core.instants import MS_PER_DAY
from scheduler.core.records import PeriodRecord
from scheduler.core.units import MS_PER_HOUR
from scheduler.schema.bodies import FairnessBody
from scheduler.services.actors import Actor, require
from scheduler.services.effective import EffectivePolicies
from scheduler.services.fairness_bodies import Meta, body
from scheduler.services.fairness_reading import read
from scheduler.services.ports import Reader, Where
from scheduler.services.submit import Conflict, Invalid, NotFound

SPAN_MAX_DAYS = 366
DEFAULT_MS = 31 * MS_PER_DAY
BAD_SPAN = "DURE-1340"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which report: a billing period or Korean month by name, or [since, until), 0 for not given; "" for the newest."""

    public: bool
    period: str = ""
    since_ms: int = 0
    until_ms: int = 0


def fairness(view: Reader, policies: EffectivePolicies, actor: Actor, asked: Asked, now_ms: int) -> FairnessBody:
    """The report that was asked for.

    Public figures are of closed billing periods alone: over times that anybody chooses, two reports and a subtraction
    would tell what no report may. Raises Forbidden, NotFound, Conflict or Invalid.
    """
    if not asked.public:
        require(
            actor.reads_all, "read the whole fairness report", "an administrator or auditor of the pool, or --public"
        )
    period = _period(view, asked)
    span = _span(asked, period, now_ms)
    reading = read(view, policies, span)
    whole = report(reading.inputs)
    if asked.public:
        return body(published(whole), Meta("public", asked.period or period.id, period.state, LEAST, None))
    return body(whole, Meta("whole", asked.period or period.id, period.state, 1, reading.unposted))


NO_PERIOD = PeriodRecord(id="", calendar="", start_ms=0, state="")


def _period(view: Reader, asked: Asked) -> PeriodRecord:
    """The billing period that is meant; NO_PERIOD where a time is given, or the name of a month that is none."""
    if asked.since_ms or asked.until_ms:
        if asked.period:
            raise Invalid(BAD_SPAN, "a period and a time are both given", "give --period, or --since and --until")
        if asked.public:
            raise Invalid(BAD_SPAN, "a public report is of a closed billing period", "give --period")
        return NO_PERIOD
    if not asked.period:
        return _newest(view, asked.public)
    found = view.get(PeriodRecord, asked.period)
    if found is None:
        if not asked.public and _is_month(asked.period):
            return NO_PERIOD
        raise NotFound("DURE-3007", f"no period {asked.period}", "dure period list")
    if asked.public and found.state != "closed":
        message = f"period {found.id} is not closed: its figures may change"
        raise Conflict("DURE-6090", message, "ask again when it is closed, or for an earlier one")
    return found


def _newest(view: Reader, public: bool) -> PeriodRecord:
    """The newest closed period for a public report, else the oldest that is not closed."""
    states = Where("state", "=", "closed") if public else Where("state", "!=", "closed")
    order = ("-start_ms",) if public else ("start_ms",)
    found = view.select(PeriodRecord, states, order=order, limit=1)
    if found:
        return found[0]
    if public:
        raise NotFound("DURE-3040", "no billing period is closed yet", "dure period list")
    return NO_PERIOD


def _is_month(name: str) -> bool:
    try:
        month_bounds(name)
    except ValueError:
        return False
    return True


def _span(asked: Asked, period: PeriodRecord, now_ms: int) -> Span:
    """The time of the report, never past now; a time that is given is cut down to full hours. Raises Invalid."""
    if period.id:
        since_ms, until_ms = period.start_ms, period.end_ms or now_ms
    elif asked.period:
        since_ms, until_ms = month_bounds(asked.period)
    else:
        until_ms = _hour(asked.until_ms) if asked.until_ms else now_ms
        since_ms = _hour(asked.since_ms or max(0, until_ms - DEFAULT_MS))
    until_ms = min(until_ms, now_ms)
    if since_ms >= until_ms:
        raise Invalid(BAD_SPAN, "this time has not begun, or ends before it begins", "give an earlier --since")
    if until_ms - since_ms > SPAN_MAX_DAYS * MS_PER_DAY:
        raise Invalid(BAD_SPAN, f"a report is over at most {SPAN_MAX_DAYS} days", "give a shorter time")
    return Span(since_ms, until_ms)


def _hour(at_ms: int) -> int:
    return at_ms // MS_PER_HOUR * MS_PER_HOUR
