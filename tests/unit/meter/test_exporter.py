"""The control plane's series: what they count, that their text is sound, that labels and work are bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.core.accounting.invoice_model import Party
from scheduler.meter import exporter
from scheduler.meter.exporter import CycleTimes, Exporter, LedgerTotals, exposition, make_registry
from scheduler.services import why
from scheduler.services.effective import EffectivePolicies
from scheduler.services.settle import Settler
from tests.unit.api.place import NOW_MS, Place

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
RULES = re.compile(r"dure_[a-z_]+")


@pytest.fixture
def place() -> Iterator[Place]:
    """A place with one node of 4 GPUs."""
    made = Place()
    made.nodes(gpus=4)
    yield made
    made.close()


def read(text: bytes) -> Series:
    """The series of an exposition."""
    families = text_string_to_metric_families(text.decode())
    return {
        (item.name, tuple(sorted(item.labels.items()))): item.value for family in families for item in family.samples
    }


def scrape(place: Place, times: CycleTimes | None = None) -> Series:
    """A scrape of a new exporter over the place's store."""
    made = Exporter(place.store, why.reasons, "0.0.1", times or CycleTimes())
    return read(exposition(make_registry(made)))


def of(series: Series, name: str) -> dict[tuple[str, ...], float]:
    """The series of one name, by the values of their labels in order of the labels' names."""
    return {tuple(value for _, value in labels): found for (item, labels), found in series.items() if item == name}


def test_jobs_gpus_and_reasons(place: Place) -> None:
    for number in range(3):
        place.submit(key=f"k{number}", gpus="h100:2")
    place.submit(key="held", hold=True)
    place.allocator().step(place.now_ms)
    series = scrape(place)
    jobs = {labels: count for labels, count in of(series, "dure_jobs").items() if count}
    assert jobs == {("startup", "Active", "borrow"): 2, ("startup", "Queued", ""): 1, ("startup", "Held", ""): 1}
    assert of(series, "dure_pool_gpus") == {
        ("local", "h100-80g", "held"): 4,
        ("local", "h100-80g", "free"): 0,
        ("local", "h100-80g", "cordoned"): 0,
        ("local", "h100-80g", "unhealthy"): 0,
    }
    assert of(series, "dure_org_gpus_held") == {("h100-80g", "alpha", "borrow"): 4}
    ((flavor, reason), count) = next(iter(of(series, "dure_unadmitted_jobs").items()))
    assert (flavor, count) == ("h100-80g", 1)
    assert reason
    assert of(series, "dure_build_info") == {("0.0.1",): 1}
    assert of(series, "dure_exporter_database_up") == {(): 1}


def test_jobs_that_have_ended_are_not_counted(place: Place) -> None:
    job = place.submit(key="k1")["id"]
    place.allocator().step(place.now_ms)
    finish(place, job)
    states = {state for _, state, _ in of(scrape(place), "dure_jobs")}
    assert states == {"Queued", "Held"}


def node(place: Place, number: int, gpus: int, *, schedulable: bool = True) -> None:
    """The node reports ``gpus`` healthy ones of four."""
    about = {"id": f"n/again/{number}", "kind": "node", "at_ms": NOW_MS, "node": "h100-80g-0", "flavor": "h100-80g"}
    place.report(about | {"gpus": gpus, "registered": 4, "schedulable": schedulable})


@pytest.mark.parametrize(
    ("gpus", "schedulable", "parts"),
    [
        (4, True, {"held": 2, "free": 2, "cordoned": 0, "unhealthy": 0}),
        (3, True, {"held": 2, "free": 1, "cordoned": 0, "unhealthy": 1}),
        (3, False, {"held": 2, "free": 0, "cordoned": 1, "unhealthy": 1}),
        (1, True, {"held": 2, "free": 0, "cordoned": 0, "unhealthy": 2}),  # more is held than is healthy
    ],
)
def test_the_states_of_gpus_add_up(place: Place, gpus: int, schedulable: bool, parts: dict[str, int]) -> None:
    place.submit(gpus="h100:2")
    place.allocator().step(place.now_ms)
    node(place, 1, gpus, schedulable=schedulable)
    found = {state: count for (_, _, state), count in of(scrape(place), "dure_pool_gpus").items()}
    assert found == parts
    assert sum(found.values()) == 4


def finish(place: Place, job: str) -> None:
    """The job runs from second 1 to second 11 on one GPU, and is settled."""
    base = {"job": job, "attempt": 1}
    place.now_ms += 20_000
    place.report(
        {**base, "id": f"{job}/s", "kind": "rank-started", "rank": 0, "at_ms": NOW_MS + 1_000},
        {**base, "id": f"{job}/e", "kind": "rank-ended", "rank": 0, "at_ms": NOW_MS + 11_000, "exit_code": 0},
        {**base, "id": f"{job}/g", "kind": "gone", "at_ms": NOW_MS + 12_000, "exit_code": 0},
        through_ms=NOW_MS + 20_000,
    )
    assert Settler(place.store, EffectivePolicies(), "test", Party("Dure")).step(place.now_ms).slices == 1


def test_the_ledgers_counter_reads_each_slice_once(place: Place) -> None:
    totals = LedgerTotals()
    labels = ("alpha", "nlp", "h100-80g", "borrow")

    def values() -> dict[tuple[str, ...], float]:
        with place.store.read() as view:
            return {tuple(item.labels.values()): item.value for item in totals.family(view).samples}

    assert values() == {}
    first = place.submit(key="k1")["id"]
    place.allocator().step(place.now_ms)
    finish(place, first)
    assert values() == {labels: 10.0}
    assert values() == {labels: 10.0}


def test_the_ledgers_counter_shows_nothing_before_it_has_read_all(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = place.submit(key="k1", nodes=2)["id"]
    place.allocator().step(place.now_ms)
    base = {"job": job, "attempt": 1}
    seen = [
        {**base, "id": f"{kind}{rank}", "kind": kind, "rank": rank, "at_ms": NOW_MS + at_ms, "exit_code": 0}
        for kind, at_ms in (("rank-started", 1_000), ("rank-ended", 11_000))
        for rank in (0, 1)
    ]
    gone = {**base, "id": "g", "kind": "gone", "at_ms": NOW_MS + 12_000, "exit_code": 0}
    place.now_ms += 20_000
    place.report(*seen, gone, through_ms=NOW_MS + 20_000)
    Settler(place.store, EffectivePolicies(), "test", Party("Dure")).step(place.now_ms)
    monkeypatch.setattr(exporter, "SLICES_A_SCRAPE", 2)
    totals = LedgerTotals()
    with place.store.read() as view:
        assert totals.family(view).samples == []
        monkeypatch.setattr(exporter, "SLICES_A_SCRAPE", 3)
        assert [item.value for item in totals.family(view).samples] == [20.0]


def test_organisations_beyond_the_bound_share_a_label(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "ORGS_MAX", 0)
    place.submit(gpus="h100:2")
    place.allocator().step(place.now_ms)
    assert of(scrape(place), "dure_org_gpus_held") == {("h100-80g", "other", "borrow"): 2}


def test_cycles_and_loops() -> None:
    times = CycleTimes()
    for duration_us in (500, 1_000, 1_001, 9_000_000):
        times.cycle(duration_us)
    times.success("allocator", 1_500)
    times.success("settler", 2_500)
    place = Place()
    series = scrape(place, times)
    place.close()
    buckets = of(series, "dure_cycle_duration_seconds_bucket")
    assert (buckets["0.001",], buckets["0.0025",], buckets["2.5",], buckets["+Inf",]) == (2, 3, 3, 4)
    assert of(series, "dure_cycle_duration_seconds_sum") == {(): pytest.approx(9.002501)}
    assert of(series, "dure_cycle_duration_seconds_count") == {(): 4}
    assert of(series, "dure_cycle_last_success_timestamp_seconds") == {(): 1.5}
    assert of(series, "dure_loop_last_success_timestamp_seconds") == {("allocator",): 1.5, ("settler",): 2.5}


def test_a_scrape_within_moments_reads_nothing(place: Place) -> None:
    class Counting:
        """Counts views."""

        views = 0

        def read(self) -> Any:
            """A view."""
            self.views += 1
            return place.store.read()

    counting, now = Counting(), [100.0]
    made = Exporter(counting, why.reasons, "0.0.1", CycleTimes(), monotonic=lambda: now[0])
    registry = make_registry(made)
    first = read(exposition(registry))
    second = read(exposition(registry))
    assert of(first, "dure_pool_gpus") == of(second, "dure_pool_gpus") != {}
    assert counting.views == 1
    now[0] += exporter.CACHE_SECONDS
    exposition(registry)
    assert counting.views == 2


def test_without_a_database_the_rest_is_still_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        """No database."""

        def read(self) -> Any:
            """Fails."""
            raise RuntimeError("gone")

    series = read(exposition(make_registry(Exporter(Broken(), why.reasons, "0.0.1", CycleTimes()))))
    assert of(series, "dure_exporter_database_up") == {(): 0}
    assert of(series, "dure_build_info") == {("0.0.1",): 1}
    assert of(series, "dure_pool_gpus") == {}
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_the_text_keeps_prometheus_rules(place: Place) -> None:
    text = exposition(make_registry(Exporter(place.store, why.reasons, "0.0.1", CycleTimes()))).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ours = {name: family for name, family in families.items() if name.startswith("dure_")}
    assert len(ours) >= 10
    for name, family in ours.items():
        assert RULES.fullmatch(name)
        assert family.documentation
        assert f"# TYPE {name}" in text
        if family.type == "counter":
            assert f"# TYPE {name}_total counter" in text
        assert not name.endswith("_total")
    assert "process_cpu_seconds" in families
