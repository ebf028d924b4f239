"""Routes of the fairness report: JSON and CSV; the page is ``scheduler.web``'s."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from scheduler.api.deps import Caller, D
from scheduler.api.docs import raw_answer, reads
from scheduler.api.documents import csv_answer
from scheduler.api.params import Filter, Instant, instant_ms
from scheduler.schema.bodies import FairnessBody, FairnessView
from scheduler.services import fairness
from scheduler.services.fairness_bodies import as_csv

router = APIRouter(prefix="/api/v1", tags=["shares"])


def report(
    deps: D,
    actor: Caller,
    view: FairnessView = "whole",
    period: Filter = "",
    since: Instant = "",
    until: Instant = "",
) -> FairnessBody:
    """The report that the request asks for."""
    asked = fairness.Asked(view == "public", period, instant_ms("since", since, 0), instant_ms("until", until, 0))
    with deps.store.read() as reader:
        return fairness.fairness(reader, deps.policies, actor, asked, deps.clock())


Found = Annotated[FairnessBody, Depends(report)]


@router.get("/fairness", responses=reads(404, 409))
def get_fairness(found: Found) -> FairnessBody:
    """Entitlement against receipt, indices and waits: publicly of a closed period, to administrators all of it."""
    return found


@router.get("/fairness.csv", response_class=Response, responses=raw_answer("text/csv") | reads(404, 409))
def get_fairness_csv(found: Found) -> Response:
    """The same report as CSV, one figure a row."""
    return csv_answer(as_csv(found), "fairness")
