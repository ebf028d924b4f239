"""What clusters report: repeats, conflicts, late and unknown things; nodes, watermarks and clocks."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.core.errors import Retry
from scheduler.core.lifecycle import AttemptState, JobState, StopReason
from scheduler.core.records import ClusterRecord, FindingRecord, NodeRecord, ObservationRecord
from scheduler.schema.bodies import ObservationBody, ReportRequest
from scheduler.services import observe
from scheduler.services.actors import Forbidden
from scheduler.store.memory import MemoryWriter
from tests.support.control_plane import CLUSTER, ControlPlane

A, S, R, T, G = (
    AttemptState.ADMITTED,
    AttemptState.STARTING,
    AttemptState.RUNNING,
    AttemptState.STOPPING,
    AttemptState.GONE,
)


def admitted(plane: ControlPlane, **fields: Any) -> str:
    """A job whose attempt is admitted."""
    job = plane.submit(**fields).id
    assert job in plane.cycle().admitted
    return job


def codes(plane: ControlPlane) -> list[str]:
    """Codes of the findings."""
    return sorted(finding.code for finding in plane.rows(FindingRecord))


def words(plane: ControlPlane, job: str, *texts: str) -> list[ObservationBody]:
    """Observations in short words: ``started RANK``, ``ended RANK CODE``, ``notice REASON``, ``gone CODE``."""
    found = []
    for text in texts:
        word, *rest = text.split()
        numbers = [int(item) for item in rest if item.lstrip("-").isdigit()]
        match word:
            case "starting":
                found.append(plane.seen("starting", job))
            case "started":
                found.append(plane.seen("rank-started", job, rank=numbers[0]))
            case "ended":
                rank, code = numbers
                found.append(plane.seen("rank-ended", job, rank=rank, exit_code=code, evidence="observed"))
            case "lost":
                found.append(plane.seen("rank-ended", job, rank=numbers[0], evidence="lost"))
            case "notice":
                found.append(plane.seen("notice", job, reason=rest[0]))
            case "failed":
                found.append(plane.seen("failed", job, message="no room on disk"))
            case "gone":
                evidence = "lost" if "lost" in rest else "observed"
                found.append(plane.seen("gone", job, exit_code=next(iter(numbers), None), evidence=evidence))
    return found


# What is reported of a gang of two, one report each -> (attempt's state, stop reason, job's state)
STORIES: dict[str, tuple[tuple[str, ...], AttemptState, StopReason | None, JobState]] = {
    "nothing": ((), A, None, JobState.ACTIVE),
    "starting": (("starting",), S, None, JobState.ACTIVE),
    "a rank before its gang": (("started 0",), S, None, JobState.ACTIVE),
    "all ranks": (("starting", "started 1", "started 0"), R, None, JobState.ACTIVE),
    "one has ended": (("started 0", "started 1", "ended 0 0"), R, None, JobState.ACTIVE),
    "both have ended": (("started 0", "started 1", "ended 0 0", "ended 1 0"), T, StopReason.FINISH, JobState.ACTIVE),
    "one has failed": (("started 0", "started 1", "ended 1 2"), T, StopReason.FAIL, JobState.ACTIVE),
    "well": (
        ("started 0", "started 1", "ended 0 0", "ended 1 0", "gone 0"),
        G,
        StopReason.FINISH,
        JobState.SUCCEEDED,
    ),
    "failed": (("started 0", "started 1", "ended 1 2", "ended 0 143", "gone 2"), G, StopReason.FAIL, JobState.FAILED),
    "timeout": (
        ("started 0", "started 1", "notice timeout", "ended 0 143", "ended 1 143", "gone 143"),
        G,
        StopReason.TIMEOUT,
        JobState.FAILED,
    ),
    "timeout, and well in its grace": (
        ("started 0", "started 1", "notice timeout", "ended 0 0", "ended 1 0", "gone 0"),
        G,
        StopReason.TIMEOUT,
        JobState.SUCCEEDED,
    ),
    "evicted": (
        ("started 0", "started 1", "notice evict", "ended 0 143", "ended 1 143", "gone 143"),
        G,
        StopReason.EVICT,
        JobState.QUEUED,
    ),
    "lost": (("started 0", "started 1", "lost 0", "lost 1", "gone lost"), G, StopReason.LOST, JobState.QUEUED),
    "lost before it ran": (("starting", "gone lost"), G, StopReason.LOST, JobState.QUEUED),
    "lost before it began": (("gone lost",), G, StopReason.LOST, JobState.QUEUED),
    "failed first and lost then": (
        ("started 0", "started 1", "ended 0 1", "lost 1", "gone 1"),
        G,
        StopReason.FAIL,
        JobState.FAILED,
    ),
    "cannot start": (("starting", "failed", "gone 1"), G, StopReason.FAIL, JobState.FAILED),
    "nothing was created": (("gone",), G, None, JobState.QUEUED),
    "gone with a code and nothing else": (("gone 1",), G, StopReason.FAIL, JobState.FAILED),
    "gone without its ranks' ends": (("started 0", "started 1", "gone 0"), G, StopReason.FINISH, JobState.SUCCEEDED),
}


@pytest.mark.parametrize("batch", ["one report", "one report each"])
@pytest.mark.parametrize("story", STORIES)
def test_stories(plane: ControlPlane, story: str, batch: str) -> None:
    texts, state, reason, job_state = STORIES[story]
    job = admitted(plane, nodes=2)
    observations = words(plane, job, *texts)
    batches = [observations] if batch == "one report" else [[item] for item in observations]
    for items in batches:
        plane.report(*items)
    attempt = plane.attempt(job)
    assert (attempt.state, attempt.stop_reason, plane.job(job).state) == (state, reason, job_state)
    held = sum(plane.node(node).held for node in ("n1", "n2"))
    assert held == (0 if state is G else 2), "GPUs are free when the attempt is gone and not a moment before"
    facts = plane.facts()
    for items in batches:
        again = plane.report(*items)
        assert (again.new, again.repeated) == (0, len(items))
    assert plane.facts() == facts
    assert plane.attempt(job) == attempt
    assert codes(plane) == []


def test_the_first_reason_stays(plane: ControlPlane) -> None:
    job = admitted(plane)
    plane.report(*words(plane, job, "started 0", "notice timeout", "ended 0 1"))
    assert plane.attempt(job).stop_reason is StopReason.TIMEOUT
    plane.report(*words(plane, job, "gone 1"))
    assert plane.job(job).message == "its time limit ended it"


def test_a_failure_says_why(plane: ControlPlane) -> None:
    job = admitted(plane)
    plane.report(*words(plane, job, "starting", "failed", "gone 1"))
    assert plane.job(job).message == "no room on disk"


def test_the_same_id_with_another_content_is_a_finding(plane: ControlPlane) -> None:
    job = admitted(plane)
    plane.report(plane.seen("starting", job))
    plane.pass_ms(1)
    answer = plane.report(plane.seen("starting", job))
    assert (answer.new, answer.repeated, answer.conflicts) == (0, 0, 1)
    assert codes(plane) == ["DURE-6010"]
    assert plane.attempt(job).starting_at_ms == plane.now_ms - 1
    plane.report(plane.seen("starting", job))
    assert codes(plane) == ["DURE-6010"], "the same surprise is one finding"


def test_another_cluster_cannot_take_an_observations_place(plane: ControlPlane) -> None:
    plane.add_member("operator", "operator", "cluster:other")
    job = admitted(plane)
    forged = plane.report(*words(plane, job, "starting", "started 0", "gone 1"), cluster="other")
    assert forged.new == 3
    assert codes(plane) == ["DURE-6011"]
    assert plane.attempt(job).state is A
    plane.report(*words(plane, job, "starting", "started 0", "ended 0 0", "gone 0"))
    assert plane.job(job).state is JobState.SUCCEEDED


@pytest.mark.parametrize("attempt", [1, 7])
def test_an_unknown_attempt_is_a_finding(plane: ControlPlane, attempt: int) -> None:
    plane.report(plane.seen("starting", "unknown", attempt))
    assert codes(plane) == ["DURE-6011"]
    assert len(plane.rows(ObservationRecord, ("job", "=", "unknown"))) == 1, "it is kept as evidence"


def test_a_report_after_the_end_is_a_finding(plane: ControlPlane) -> None:
    job = plane.started()
    plane.ended(job)
    before = plane.attempt(job)
    plane.report(*words(plane, job, "notice evict"))
    assert codes(plane) == ["DURE-6012"]
    assert plane.attempt(job) == before


def test_a_notice_without_a_reason_is_left_out_and_the_rest_counts(plane: ControlPlane) -> None:
    job = plane.started()
    plane.report(plane.seen("notice", job, reason=""), *words(plane, job, "ended 0 0", "gone 0"))
    assert codes(plane) == ["DURE-6014"]
    assert plane.attempt(job).notice_at_ms == 0
    assert plane.job(job).state is JobState.SUCCEEDED


def test_an_unknown_evidence_counts_as_observed(plane: ControlPlane) -> None:
    job = plane.started()
    plane.report(
        plane.seen("rank-ended", job, rank=0, exit_code=0, evidence="guessed"),
        plane.seen("gone", job, exit_code=0, evidence="guessed"),
    )
    assert codes(plane) == ["DURE-6014", "DURE-6014"]
    assert plane.ranks(job)[0].evidence == "observed"
    assert plane.job(job).state is JobState.SUCCEEDED


def test_a_rank_that_was_never_placed_changes_nothing(plane: ControlPlane) -> None:
    job = plane.started()
    plane.report(*words(plane, job, "started 5", "ended 5 1"))
    assert plane.attempt(job).state is R


def test_a_rank_seen_elsewhere_frees_what_was_placed(plane: ControlPlane) -> None:
    job = admitted(plane)
    placed = plane.ranks(job)[0].node
    elsewhere = "n2" if placed == "n1" else "n1"
    plane.report(plane.seen("rank-started", job, rank=0, node=elsewhere))
    assert plane.ranks(job)[0].node == elsewhere
    plane.ended(job)
    assert [plane.node(name).held for name in ("n1", "n2")] == [0, 0]


def test_an_end_before_admission_is_moved_to_it(plane: ControlPlane) -> None:
    job = admitted(plane)
    early = plane.seen("gone", job, exit_code=1, evidence="observed").model_copy(update={"at_ms": plane.now_ms - 2_000})
    plane.report(early)
    assert plane.attempt(job).gone_at_ms == plane.attempt(job).admitted_at_ms


# Nodes.


def test_a_node_that_says_the_same_again_is_no_news(plane: ControlPlane) -> None:
    facts = plane.facts()
    plane.pass_ms(1_000)
    plane.report(plane.node_seen("n1", "h100-80g", 4))
    assert plane.facts() == facts
    assert plane.node("n1").seen_at_ms == plane.now_ms


@pytest.mark.parametrize("fields", [{"gpus": 3}, {"gpus": 0}, {"schedulable": False}, {"registered": 8}])
def test_a_node_that_changes_is_news(plane: ControlPlane, fields: dict[str, Any]) -> None:
    facts = len(plane.facts())
    plane.pass_ms(1_000)
    said = {"name": "n1", "flavor": "h100-80g", "gpus": 4, "registered": 4, **fields}
    plane.report(plane.node_seen(**said))
    assert plane.facts(facts) == ["NodeSeen"]
    node = plane.node("n1")
    assert (node.healthy, node.registered) == (said["gpus"], said["registered"])
    assert node.schedulable == fields.get("schedulable", True)


def test_an_overtaken_report_of_a_node_changes_nothing(plane: ControlPlane) -> None:
    plane.pass_ms(1_000)
    late = plane.node_seen("n1", "h100-80g", 4, schedulable=False)
    plane.pass_ms(1_000)
    plane.report(plane.node_seen("n1", "h100-80g", 3))
    plane.pass_ms(1_000)
    answer = plane.report(late)
    assert answer.new == 1, "it is kept as evidence"
    assert (plane.node("n1").healthy, plane.node("n1").schedulable) == (3, True)


def test_an_overtaken_report_does_not_undo_one_that_said_the_same_as_before(plane: ControlPlane) -> None:
    plane.pass_ms(1_000)
    late = plane.node_seen("n1", "h100-80g", 2)
    plane.pass_ms(1_000)
    plane.report(plane.node_seen("n1", "h100-80g", 4))
    plane.report(late)
    assert plane.node("n1").healthy == 4


def test_capacity_may_fall_under_what_is_held(plane: ControlPlane) -> None:
    plane.started(gpus="h100:4")
    name = next(node for node in ("n1", "n2") if plane.node(node).held)
    plane.pass_ms(1_000)
    plane.report(plane.node_seen(name, "h100-80g", 0, registered=0, schedulable=False))
    node = plane.node(name)
    assert (node.healthy, node.held, node.registered) == (0, 4, 0)
    plane.submit(gpus="h100:1", tiers=["borrow"])
    plane.cycle()
    assert plane.node(name).held == 4, "nothing new is granted there until it fits"


def test_a_new_node(plane: ControlPlane) -> None:
    plane.report(plane.node_seen("n9", "a100-80g", 8))
    assert plane.rows(NodeRecord, ("name", "=", "n9"))[0].healthy == 8


# Clusters.


def test_the_watermark_never_goes_back(plane: ControlPlane) -> None:
    plane.report(through_ms=plane.now_ms - 10)
    through = []
    for through_ms in (plane.now_ms - 5, plane.now_ms - 50):
        plane.report(through_ms=through_ms)
        through.append(plane.rows(ClusterRecord)[0].observed_through_ms)
    assert through == [plane.now_ms, plane.now_ms]


@pytest.mark.parametrize(("offset_ms", "found"), [(0, []), (5_000, []), (-5_000, []), (5_001, ["DURE-6013"])])
def test_a_clock_that_is_far_away_is_a_finding(plane: ControlPlane, offset_ms: int, found: list[str]) -> None:
    request = ReportRequest(at_ms=plane.now_ms + offset_ms, observed_through_ms=1, observations=[])
    for _ in range(2):
        observe.report(plane.store, plane.actor("operator"), CLUSTER, request, plane.now_ms)
    assert codes(plane) == found
    assert plane.rows(ClusterRecord)[0].clock_offset_ms == offset_ms


@pytest.mark.parametrize("user", ["member", "org-admin", "auditor", "admin", "nobody"])
def test_only_its_operator_reports(plane: ControlPlane, user: str) -> None:
    request = ReportRequest(at_ms=1, observed_through_ms=1, observations=[])
    with pytest.raises(Forbidden):
        observe.report(plane.store, plane.actor(user), CLUSTER, request, plane.now_ms)


def test_an_operator_reports_for_its_own_cluster_only(plane: ControlPlane) -> None:
    with pytest.raises(Forbidden):
        plane.report(cluster="other")


def test_a_report_that_meets_another_writer_is_repeated(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    job = admitted(plane)
    facts = plane.facts()
    monkeypatch.setattr(MemoryWriter, "change", lambda self, record, *, version: False)
    with pytest.raises(Retry):
        plane.report(plane.seen("starting", job))
    monkeypatch.undo()
    assert plane.facts() == facts
    assert plane.report(plane.seen("starting", job)).new == 1, "nothing of the failed report was kept"
