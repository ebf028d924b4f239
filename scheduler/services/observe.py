"""Observe: what clusters report becomes facts, once; and what a cluster should run is told to its operator.

An observation's id comes from the observed object, so a repeat is the same fact. The same id with
another content is a finding, never an overwrite. Every report is one transaction.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.core.codec import canonical
from scheduler.core.errors import Retry
from scheduler.core.facts import NodeSeen
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.records import (
    AttemptRecord,
    ClusterRecord,
    NodeRecord,
    ObservationRecord,
)
from scheduler.schema.bodies import ObservationBody, ReportBody, ReportRequest
from scheduler.services.actors import Actor, require
from scheduler.services.attempts import ObservedAttempt
from scheduler.services.findings import note
from scheduler.services.ports import Store, Writer

CLOCK_OFFSET_MAX_MS = 5_000


def report(store: Store, actor: Actor, cluster: str, batch: ReportRequest, now_ms: int) -> ReportBody:
    """Take in a batch and then its watermark; raises Retry when another writer was in the way."""
    require(actor.operates(cluster), f"report for cluster {cluster}", "an administrator for that cluster's token")
    new = repeated = conflicts = 0
    with store.write() as tx:
        site = tx.get(ClusterRecord, cluster)
        through_ms = site.observed_through_ms if site else 0
        for observation in batch.observations:
            record = _record(cluster, observation, now_ms)
            if tx.add_new(record):
                _take_in(tx, cluster, _bounded(tx, cluster, observation, through_ms, now_ms), through_ms, now_ms)
                new += 1
                continue
            known = tx.get(ObservationRecord, record.id)
            if known is not None and known.body_json == record.body_json:
                repeated += 1
            else:
                conflicts += 1
                message = "an observation was reported again with another content; the first one stands"
                note(tx, "DURE-6010", record.id, message, now_ms)
        _advance(tx, cluster, site, batch, now_ms)
    return ReportBody(new=new, repeated=repeated, conflicts=conflicts)


def _record(cluster: str, observation: ObservationBody, now_ms: int) -> ObservationRecord:
    # The cluster is part of the id: none can take another's place with an id that it made up.
    return ObservationRecord(
        id=f"{cluster}/{observation.id}",
        cluster=cluster,
        kind=observation.kind,
        job=observation.job,
        attempt=observation.attempt,
        rank=observation.rank,
        at_ms=observation.at_ms,
        received_at_ms=now_ms,
        body_json=canonical(observation.model_dump(mode="json")),
    )


def _bounded(tx: Writer, cluster: str, observation: ObservationBody, through_ms: int, now_ms: int) -> ObservationBody:
    """The observation as it is booked: for no instant to come. Its record keeps what was reported.

    What the cluster has vouched for already is behind it, also when its clock was set back since.
    """
    latest_ms = max(now_ms + CLOCK_OFFSET_MAX_MS, through_ms)
    if observation.at_ms <= latest_ms:
        return observation
    is_node = observation.kind == "node"
    subject = f"{cluster}/{observation.node}" if is_node else f"{observation.job}-a{observation.attempt}"
    message = f"{observation.kind} was reported for an instant to come; it was booked as of now"
    note(tx, "DURE-6016", subject, message, now_ms)
    return observation.model_copy(update={"at_ms": latest_ms})


def _take_in(tx: Writer, cluster: str, observation: ObservationBody, through_ms: int, now_ms: int) -> None:
    if observation.kind == "node":
        _see_node(tx, cluster, observation, now_ms)
        return
    attempt = tx.get(AttemptRecord, observation.job, observation.attempt)
    if attempt is None or attempt.cluster != cluster:
        subject = f"{cluster}/{observation.job}-a{observation.attempt}"
        note(tx, "DURE-6011", subject, "the cluster reports an attempt that was never given to it", now_ms)
        return
    if attempt.state is AttemptState.GONE:
        subject = f"{observation.job}-a{observation.attempt}"
        note(tx, "DURE-6012", subject, f"{observation.kind} was reported after the attempt was gone", now_ms)
        return
    subject = f"{observation.job}-a{observation.attempt}"
    if observation.at_ms < through_ms:
        message = f"{observation.kind} was reported for an instant up to which its cluster had reported everything"
        note(tx, "DURE-6017", subject, message, now_ms)
    unknown = _unknown_word(observation)
    if unknown:
        note(tx, "DURE-6014", subject, f"{observation.kind} was reported with {unknown}", now_ms)
    if not unknown or observation.kind != "notice":
        ObservedAttempt(tx, attempt, now_ms).take_in(observation)


def _unknown_word(observation: ObservationBody) -> str:
    """A word that this version does not know, from a newer operator perhaps; a notice of such a kind is left out."""
    if observation.kind == "notice" and observation.reason not in set(StopReason):
        return f"the unknown reason {observation.reason!r}"
    if observation.evidence not in ("", "observed", "lost"):
        return f"the unknown evidence {observation.evidence!r}"
    return ""


def _see_node(tx: Writer, cluster: str, seen: ObservationBody, now_ms: int) -> None:
    """The cluster owns what it has; the control plane owns what is held of it.

    A report that was overtaken by a later one changes nothing: ``seen_at_ms`` is on the cluster's clock.
    """
    known = tx.get(NodeRecord, cluster, seen.node)
    if known is not None and seen.at_ms < known.seen_at_ms:
        return
    fresh = NodeRecord(
        cluster=cluster,
        name=seen.node,
        flavor=seen.flavor,
        registered=max(seen.registered, seen.gpus),
        healthy=seen.gpus,
        held=known.held if known else 0,
        schedulable=seen.schedulable,
        seen_at_ms=seen.at_ms,
        version=known.version if known else 1,
    )
    if known is None:
        tx.add(fresh)
    elif not tx.change(fresh, version=known.version):
        raise Retry("DURE-6001", "a node changed at the same moment", "the operator repeats the report")
    if known is not None and replace(known, seen_at_ms=seen.at_ms) == fresh:
        return
    tx.append(NodeSeen(cluster, seen.node, seen.flavor, seen.gpus, seen.schedulable), now_ms)


def _advance(tx: Writer, cluster: str, known: ClusterRecord | None, batch: ReportRequest, now_ms: int) -> None:
    """Move the watermark; ``known`` is what this report began from, so that nobody else's change is lost."""
    offset_ms = batch.at_ms - now_ms
    before_ms = known.observed_through_ms if known else 0
    fresh = ClusterRecord(
        name=cluster,
        observed_through_ms=max(_vouched_ms(tx, cluster, batch, before_ms, now_ms), before_ms),
        reported_at_ms=now_ms,
        clock_offset_ms=offset_ms,
        version=known.version if known else 1,
    )
    if abs(offset_ms) > CLOCK_OFFSET_MAX_MS and (known is None or abs(known.clock_offset_ms) <= CLOCK_OFFSET_MAX_MS):
        note(tx, "DURE-6013", cluster, f"its clock is {offset_ms} ms away from the control plane's", now_ms)
    if known is None:
        tx.add(fresh)
    elif not tx.change(fresh, version=known.version):
        raise Retry("DURE-6001", "the cluster changed at the same moment", "the operator repeats the report")


def _vouched_ms(tx: Writer, cluster: str, batch: ReportRequest, before_ms: int, now_ms: int) -> int:
    """The watermark as far as it can be true: nobody has observed what has not happened yet.

    A watermark never goes back, and usage is billed up to it: one that is too late would bill the future.
    """
    latest_ms = min(batch.at_ms, now_ms + CLOCK_OFFSET_MAX_MS)
    if batch.observed_through_ms > max(latest_ms, before_ms) + CLOCK_OFFSET_MAX_MS:
        message = "it vouches for time that has not passed yet; its watermark goes no further than its clock"
        note(tx, "DURE-6015", cluster, message, now_ms)
    return min(batch.observed_through_ms, latest_ms)
