"""Artifacts: an operator lists the files of an attempt that is gone and sends them; people list and read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scheduler.core.artifacts import FILES_MAX, LEFT_OUT_MAX, clashing, path_fault
from scheduler.core.records import ArtifactRecord, AttemptRecord, JobRecord
from scheduler.schema.bodies import ArtifactBody, ArtifactsAck, ArtifactsRequest, Listing, LogAck
from scheduler.services.actors import Actor, require
from scheduler.services.findings import note
from scheduler.services.jobs import find_job
from scheduler.services.ports import ArtifactStore, Reader, Store, Where
from scheduler.services.submit import Conflict, Invalid, NotFound

LISTED_MAX = FILES_MAX + LEFT_OUT_MAX
ATTEMPTS_SHOWN_MAX = 10
"""Of how many attempts, the newest, artifacts are listed when none is named."""
TOLD_MAX = 3
NOT_KEPT = "DURE-1320"
LEFT_OUT = "DURE-1321"


def take_list(
    store: Store,
    files: ArtifactStore,
    actor: Actor,
    cluster: str,
    job: str,
    attempt: int,
    request: ArtifactsRequest,
    bytes_max: int,
    now_ms: int,
) -> ArtifactsAck:
    """Keep the list of an attempt's artifacts, once; a repeat changes nothing. The answer says how far each one is.

    Raises NotFound for an attempt that is not the cluster's, Invalid for a list that cannot be kept, Conflict for
    another list than the first.
    """
    require(actor.operates(cluster), f"send artifacts of cluster {cluster}", "an administrator for its token")
    _check(request, bytes_max)
    with store.write() as tx:
        _known(tx, cluster, job, attempt)
        kept = _kept(tx, job, attempt)
        listed = list(_records(job, attempt, request, kept[0].reported_at_ms if kept else now_ms))
        if kept and kept != listed:
            message = f"attempt {attempt} of job {job} has listed other artifacts before, and the first list counts"
            raise Conflict("DURE-6072", message, "dure doctor")
        for record in listed[len(kept) :]:
            tx.add(record)
        if request.left_out and not kept:
            note(tx, LEFT_OUT, f"{job}-a{attempt}", _left_out_text(request), now_ms)
    return ArtifactsAck(sizes=[files.size(job, attempt, number) for number in range(len(request.files))])


def append(
    store: Store,
    files: ArtifactStore,
    actor: Actor,
    cluster: str,
    job: str,
    attempt: int,
    number: int,
    offset: int,
    content: bytes,
) -> LogAck:
    """Append to an artifact that was listed; the answer says what length there is now.

    With its last byte it is checked. One that has another SHA-256 than was listed is thrown away: the length is 0
    again, and it is sent once more. Raises NotFound for a file that was not listed, Invalid for bytes beyond its end.
    """
    require(actor.operates(cluster), f"send artifacts of cluster {cluster}", "an administrator for its token")
    with store.read() as view:
        _known(view, cluster, job, attempt)
        record = view.get(ArtifactRecord, job, attempt, number)
    if record is None or record.left_out:
        raise NotFound("DURE-3031", f"attempt {attempt} of job {job} has listed no file {number}", "")
    if offset + len(content) > record.size:
        raise Invalid(NOT_KEPT, f"{record.path} has {record.size} bytes, and more were sent", "send what was listed")
    size = files.append(job, attempt, number, offset, content)
    if content and size == record.size and files.sha256(job, attempt, number) != record.sha256:
        files.discard(job, attempt, number)
        size = 0
    return LogAck(size=size)


def list_artifacts(view: Reader, files: ArtifactStore, actor: Actor, name: str, attempt: int) -> Listing[ArtifactBody]:
    """What an attempt has handed over, or with 0 the newest attempts, oldest first. Raises NotFound."""
    job = find_job(view, actor, name)
    attempts = [attempt] if attempt else range(max(1, job.attempt - ATTEMPTS_SHOWN_MAX + 1), job.attempt + 1)
    _check_attempt(job, attempt)
    found = [_body(files, record) for number in attempts for record in _kept(view, job.id, number)]
    return Listing[ArtifactBody](kind="ArtifactList", items=found)


def read_artifact(
    view: Reader, files: ArtifactStore, actor: Actor, name: str, attempt: int, number: int, offset: int, limit: int
) -> bytes:
    """At most ``limit`` bytes of an artifact from ``offset``. Raises NotFound when there is none, or not all of it."""
    job = find_job(view, actor, name)
    _check_attempt(job, attempt)
    record = view.get(ArtifactRecord, job.id, attempt, number)
    if record is None or _body(files, record).state != "complete":
        message = f"attempt {attempt} of job {job.id} has no artifact {number}"
        raise NotFound("DURE-3031", message, f"dure job artifacts {job.id}")
    return files.read(job.id, attempt, number, offset, limit)


def _check_attempt(job: JobRecord, attempt: int) -> None:
    if attempt > job.attempt:
        raise NotFound("DURE-3010", f"job {job.id} had no attempt {attempt}", f"dure job get {job.id}")


def _known(view: Reader, cluster: str, job: str, attempt: int) -> None:
    known = view.get(AttemptRecord, job, attempt)
    if known is None or known.cluster != cluster:
        raise NotFound("DURE-3010", f"no attempt {attempt} of job {job} on cluster {cluster}", "")


def _kept(view: Reader, job: str, attempt: int) -> list[ArtifactRecord]:
    where = (Where("job", "=", job), Where("attempt", "=", attempt))
    return view.select(ArtifactRecord, *where, order=("number",), limit=LISTED_MAX)


def _check(request: ArtifactsRequest, bytes_max: int) -> None:
    paths = [file.path for file in request.files]
    for path in paths:
        if fault := path_fault(path):
            raise Invalid(NOT_KEPT, f"{path!r} cannot be kept: {fault}", "leave it out")
    if clash := clashing(paths):
        raise Invalid(NOT_KEPT, f"{min(clash)!r} clashes with another file", "leave one of them out")
    total = sum(file.size for file in request.files)
    if total > bytes_max:
        message = f"the artifacts have {total} bytes, and an attempt may hand over {bytes_max}"
        raise Invalid(NOT_KEPT, message, "leave large files out")


def _records(job: str, attempt: int, request: ArtifactsRequest, at_ms: int) -> Iterator[ArtifactRecord]:
    entries: Sequence[tuple[str, int, str, str]] = [
        *((file.path, file.size, file.sha256, "") for file in request.files),
        *((item.path, 0, "", item.why) for item in request.left_out),
    ]
    for number, (path, size, sha256, why) in enumerate(entries):
        yield ArtifactRecord(
            job=job,
            attempt=attempt,
            number=number,
            path=path,
            size=size,
            sha256=sha256,
            left_out=why,
            reported_at_ms=at_ms,
        )


def _left_out_text(request: ArtifactsRequest) -> str:
    count = len(request.left_out) + request.left_out_more
    told = "; ".join(f"{item.path}: {item.why}" for item in request.left_out[:TOLD_MAX])
    return f"{count} artifacts were left out: {told}" + ("; ..." if count > TOLD_MAX else "")


def _body(files: ArtifactStore, record: ArtifactRecord) -> ArtifactBody:
    complete = files.size(record.job, record.attempt, record.number) == record.size
    return ArtifactBody(
        attempt=record.attempt,
        number=record.number,
        path=record.path,
        size=record.size,
        sha256=record.sha256,
        state="left out" if record.left_out else "complete" if complete else "arriving",
        why=record.left_out,
    )
