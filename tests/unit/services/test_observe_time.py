"""Instants that clusters report: none is believed beyond now, whether of an observation or of the watermark."""

from __future__ import annotations

import pytest

from scheduler.core.records import ClusterRecord, FindingRecord, LedgerEntryRecord, ObservationRecord, SliceRecord
from scheduler.schema.bodies import ReportRequest
from scheduler.services import observe
from tests.support.control_plane import CLUSTER, ControlPlane

MINUTE = 60_000
MONTH = 30 * 24 * 60 * MINUTE
FAR = 2**53


def codes(plane: ControlPlane) -> list[str]:
    """Codes of the findings."""
    return sorted(finding.code for finding in plane.rows(FindingRecord))


def billed(plane: ControlPlane) -> int:
    """Milli-GPU-milliseconds that acme/nlp is charged for."""
    rows = plane.rows(LedgerEntryRecord, ("account", "=", "billed:acme/nlp"))
    return sum(entry.amount for entry in rows)


def through(plane: ControlPlane) -> int:
    """The stored watermark."""
    watermark: int = plane.rows(ClusterRecord)[0].observed_through_ms
    return watermark


# The cluster's clock less now, the watermark it sends less now -> the watermark that counts less now, findings.
WATERMARKS: dict[str, tuple[int, int, int, list[str]]] = {
    "honest": (0, -1_000, -1_000, []),
    "up to its own clock": (2_000, 2_000, 2_000, []),
    "a little beyond its own clock": (0, 5_000, 0, []),
    "beyond its own clock": (0, 5_001, 0, ["DURE-6015"]),
    "thirty days": (0, MONTH, 0, ["DURE-6015"]),
    "for ever": (0, FAR, 0, ["DURE-6015"]),
    "a clock thirty days ahead": (MONTH, MONTH, 5_000, ["DURE-6013", "DURE-6015"]),
    "a clock that is a little ahead": (5_000, 5_000, 5_000, []),
    "a clock behind": (-2_000, -2_500, -2_500, []),
    "more than a clock behind can know": (-2_000, 0, -2_000, []),
}


@pytest.mark.parametrize("case", WATERMARKS.values(), ids=WATERMARKS.keys())
def test_a_watermark_goes_no_further_than_time(plane: ControlPlane, case: tuple[int, int, int, list[str]]) -> None:
    clock_ms, sent_ms, counts_ms, found = case
    plane.pass_ms(MINUTE)
    request = ReportRequest(
        at_ms=plane.now_ms + clock_ms, observed_through_ms=min(FAR, plane.now_ms + sent_ms), observations=[]
    )
    for _ in range(2):
        observe.report(plane.store, plane.actor("operator"), CLUSTER, request, plane.now_ms)
    assert through(plane) - plane.now_ms == counts_ms
    assert codes(plane) == found


def test_a_watermark_from_before_its_clock_was_set_back_is_no_surprise(plane: ControlPlane) -> None:
    before_ms = through(plane)
    request = ReportRequest(at_ms=before_ms - 4_000, observed_through_ms=before_ms, observations=[])
    observe.report(plane.store, plane.actor("operator"), CLUSTER, request, plane.now_ms)
    request = ReportRequest(at_ms=before_ms - MINUTE, observed_through_ms=before_ms, observations=[])
    observe.report(plane.store, plane.actor("operator"), CLUSTER, request, before_ms - MINUTE)
    assert (through(plane), codes(plane)) == (before_ms, [])


def test_a_watermark_of_next_month_bills_no_hour_of_it(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(2 * MINUTE)
    plane.report(through_ms=plane.now_ms + MONTH)
    plane.settle()
    assert plane.rows(SliceRecord) == []
    plane.ended(job)
    plane.settle()
    assert billed(plane) == 1_000 * 2 * MINUTE
    assert plane.attempt(job).settled


# How far ahead of now -> how far ahead it is booked, findings.
INSTANTS = {-1_000: (-1_000, []), 2_000: (2_000, []), 5_000: (5_000, []), 5_001: (5_000, ["DURE-6016"])}
INSTANTS[MONTH] = (5_000, ["DURE-6016"])


@pytest.mark.parametrize("ahead_ms", INSTANTS)
def test_an_observation_is_booked_for_no_instant_to_come(plane: ControlPlane, ahead_ms: int) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    end = plane.seen("rank-ended", job, rank=0, exit_code=0).model_copy(update={"at_ms": plane.now_ms + ahead_ms})
    booked_ms, found = INSTANTS[ahead_ms]
    assert (plane.report(end).new, plane.report(end).repeated) == (1, 1)
    assert plane.ranks(job)[0].ended_at_ms == plane.now_ms + booked_ms
    stored = plane.rows(ObservationRecord, ("kind", "=", "rank-ended"))[0]
    assert stored.at_ms == plane.now_ms + ahead_ms, "what was reported is kept as evidence"
    assert codes(plane) == found


def test_an_end_of_next_month_is_billed_as_now(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(2 * MINUTE)
    later_ms = plane.now_ms + MONTH
    ends = plane.seen("rank-ended", job, rank=0, exit_code=0), plane.seen("gone", job, exit_code=0)
    plane.report(*(item.model_copy(update={"at_ms": later_ms}) for item in ends), through_ms=later_ms)
    assert plane.attempt(job).gone_at_ms == plane.now_ms + 5_000
    plane.pass_ms(MINUTE)
    plane.report()
    plane.settle()
    assert billed(plane) == 1_000 * (2 * MINUTE + 5_000)
    assert codes(plane) == ["DURE-6015", "DURE-6016", "DURE-6016"]


def test_a_node_of_the_future_does_not_silence_the_node(plane: ControlPlane) -> None:
    plane.report(plane.node_seen("n1", "h100-80g", 2).model_copy(update={"at_ms": FAR}))
    assert plane.node("n1").healthy == 2
    plane.pass_ms(MINUTE)
    plane.report(plane.node_seen("n1", "h100-80g", 4))
    assert plane.node("n1").healthy == 4
    assert codes(plane) == ["DURE-6016"]


def test_what_was_vouched_for_is_no_instant_to_come_when_clocks_were_set_back(plane: ControlPlane) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    plane.report()
    end = plane.seen("rank-ended", job, rank=0, exit_code=0)
    plane.pass_ms(-30_000)
    plane.report(end)
    assert plane.ranks(job)[0].ended_at_ms == end.at_ms
    assert codes(plane) == []


@pytest.mark.parametrize(("behind_ms", "found"), [(0, []), (1, ["DURE-6017"]), (30_000, ["DURE-6017"])])
def test_an_observation_behind_the_watermark_is_a_finding(
    plane: ControlPlane, behind_ms: int, found: list[str]
) -> None:
    job = plane.started()
    plane.pass_ms(MINUTE)
    end = plane.seen("rank-ended", job, rank=0, exit_code=0)
    plane.report()
    through_ms = plane.now_ms
    late = end.model_copy(update={"at_ms": through_ms - behind_ms})
    for _ in range(2):
        plane.report(late)
    assert plane.ranks(job)[0].ended_at_ms == through_ms - behind_ms, "it is booked as far as that can be"
    assert codes(plane) == found


def test_the_watermark_of_a_batch_comes_after_its_observations(plane: ControlPlane) -> None:
    job = plane.started()
    end = plane.seen("rank-ended", job, rank=0, exit_code=0)
    plane.pass_ms(MINUTE)
    plane.report(end)
    assert codes(plane) == []


def test_a_node_behind_the_watermark_is_none(plane: ControlPlane) -> None:
    late = plane.node_seen("n1", "h100-80g", 2)
    plane.pass_ms(MINUTE)
    plane.report()
    plane.report(late)
    assert codes(plane) == []
