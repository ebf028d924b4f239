"""The control plane over HTTP: what an operator of any cluster dials, one call a method.

Whatever the loop would take as the end of a job or of its output must come from Dure's own server and by its own code:
a withdrawn token, a proxy's page or damaged bytes are things that pass, and no reason to fail anybody's job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from operators.ports import Artifacts, Assignment, Observation, Pull, StopOrder
from scheduler.client.artifacts import send_list, send_part
from scheduler.client.errors import NOT_UNDERSTOOD
from scheduler.client.http import Client
from scheduler.core.codec import to_json
from scheduler.core.errors import Fatal, Retry
from scheduler.core.model import Rank
from scheduler.schema.bodies import (
    ArtifactFile,
    ArtifactLeftOut,
    ArtifactsRequest,
    AssignmentBody,
    ObservationBody,
    PullRequest,
    ReportRequest,
)

EXISTING_MAX = 10_000
NO_PACKAGE = frozenset({"DURE-3009"})
NO_MORE_OUTPUT = frozenset({"DURE-2110", "DURE-3001", "DURE-3010"})
"""The log is full, or it is of no job or attempt that this server knows."""

NO_MORE_ARTIFACTS = frozenset({"DURE-1320", "DURE-3010", "DURE-3031", "DURE-6072"})
"""The list cannot be kept or is another than the first, or it is of no attempt or file that this server knows."""


class HttpControlPlane:
    """operators.ports.ControlPlane for one cluster. Raises Retry for what may pass, Fatal for what will not."""

    def __init__(self, client: Client, cluster: str) -> None:
        """``client`` carries the token of this cluster's operator."""
        self._client = client
        self._cluster = cluster

    def pull(self, cluster: str, existing: Sequence[str]) -> Pull:
        """What should exist, and what may be forgotten of at most 10,000 existing names."""
        body = self._client.pull(cluster, PullRequest(existing=list(existing[:EXISTING_MAX])))
        return Pull(tuple(assignment_of(item) for item in body.assignments), tuple(body.forget))

    def report(self, cluster: str, at_ms: int, observed_through_ms: int, observations: Sequence[Observation]) -> None:
        """Push a batch and then its watermark."""
        bodies = [ObservationBody.model_validate(to_json(item)) for item in observations]
        request = ReportRequest(at_ms=at_ms, observed_through_ms=observed_through_ms, observations=bodies)
        self._client.report(cluster, request)

    def push_log(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Append output; returns the length the server has. Fatal: it takes no more of this rank."""
        with _lasting(NO_MORE_OUTPUT):
            return self._client.push_log(self._cluster, job, attempt, rank, offset, content).size

    def list_artifacts(self, job: str, attempt: int, found: Artifacts) -> Sequence[int]:
        """Tell what an attempt hands over. Fatal: the server will not keep it."""
        request = ArtifactsRequest(
            files=[ArtifactFile(path=file.path, size=file.size, sha256=file.sha256) for file in found.files],
            left_out=[ArtifactLeftOut(path=item.path, why=item.why) for item in found.left_out],
            left_out_more=found.left_out_more,
        )
        with _lasting(NO_MORE_ARTIFACTS):
            sizes = send_list(self._client, self._cluster, job, attempt, request).sizes
        if len(sizes) != len(found.files):
            raise Retry(NOT_UNDERSTOOD, "the server tells of other artifacts", "the operator tries again")
        return sizes

    def push_artifact(self, job: str, attempt: int, number: int, offset: int, content: bytes) -> int:
        """Append to a listed file; returns the length the server has. Fatal: it takes no more of it."""
        with _lasting(NO_MORE_ARTIFACTS):
            return send_part(self._client, self._cluster, job, attempt, number, offset, content).size

    def package(self, sha256: str) -> bytes:
        """The work directory's zip. Fatal: the server does not have it."""
        with _lasting(NO_PACKAGE):
            content = self._client.package(sha256)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Retry(NOT_UNDERSTOOD, "the package's bytes are not those of its SHA-256", "the operator tries again")
        return content


@contextmanager
def _lasting(codes: frozenset[str]) -> Iterator[None]:
    """Let a refusal through as Fatal only by one of these codes; every other one may pass."""
    try:
        yield
    except Fatal as error:
        if error.code in codes:
            raise
        raise Retry(error.code, error.message, error.fix) from error


def assignment_of(body: AssignmentBody) -> Assignment:
    """An assignment from the wire."""
    return Assignment(
        job=body.job,
        attempt=body.attempt,
        org=body.org,
        project=body.project,
        user=body.user,
        tier=body.tier,
        flavor=body.flavor,
        ranks=tuple(Rank(rank.rank, rank.node, rank.gpus) for rank in body.ranks),
        entrypoint=body.entrypoint,
        run=body.run,
        setup=body.setup,
        env=tuple(sorted(body.env.items())),
        package_sha256=body.package_sha256,
        time_limit_ms=body.time_limit_ms,
        grace_ms=body.grace_ms,
        checkpoint_key=body.checkpoint_key,
        hold_on_failure_ms=body.hold_on_failure_ms,
        begun=body.begun,
        token=body.token,
        stop=StopOrder(body.stop.reason, body.stop.grace_ms) if body.stop else None,
    )
