"""Submit: check a task against the policy and the registry, then queue one job per idempotency key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from scheduler.core.codec import canonical, sha256_hex
from scheduler.core.effective import EffectivePolicy
from scheduler.core.errors import DuplicateRecord, Fatal, Retry
from scheduler.core.facts import JobHeld, JobSubmitted
from scheduler.core.lifecycle import JobState
from scheduler.core.model import Flavor, GangRequest, Tier
from scheduler.core.records import IdempotencyRecord, JobRecord, OrgRecord, ProjectRecord
from scheduler.core.units import format_duration
from scheduler.schema.bodies import JobBody, TaskBody
from scheduler.schema.report import nearest
from scheduler.services.actors import Actor, require
from scheduler.services.arrays import HOLDER
from scheduler.services.effective import EffectivePolicies, newest_policy
from scheduler.services.job_bodies import array_body, job_body
from scheduler.services.ports import PackageStore, Reader, Store, Where, Writer

KEY_LENGTH_MAX = 128
MS_PER_SECOND = 1_000


class Refused(Fatal):
    """The policy or a quota says no: the CLI exits 7."""


class Invalid(Fatal):
    """The request names something that is not so: the CLI exits 2."""


class Conflict(Fatal):
    """The request meets another state than it assumes: the CLI exits 6."""


class NotFound(Fatal):
    """Nothing of this name that the actor may see: the CLI exits 3."""


@runtime_checkable
class MeasuringStore(Protocol):
    """A package store that tells a package's length without reading it."""

    def size(self, sha256: str) -> int | None:
        """Length in bytes, or None when it is not there."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task with everything resolved: what the job record will say."""

    task: TaskBody
    org: OrgRecord
    project: str
    request: GangRequest
    policy: EffectivePolicy

    @property
    def leaf(self) -> str:
        """Path of the project's tree node; the user's name completes it."""
        return f"/{self.org.class_name}/{self.org.name}/{self.project}"

    @property
    def jobs(self) -> int:
        """How many jobs it becomes: one, or one for each index of its array."""
        return self.task.range.size if self.task.range else 1


def resolve_flavor(flavors: dict[str, Flavor], text: str) -> Flavor:
    """The flavor of this name or unique prefix, case-insensitive; raises Invalid."""
    wanted = text.lower()
    if wanted in flavors:
        return flavors[wanted]
    matches = [name for name in sorted(flavors) if name.startswith(wanted)]
    if len(matches) == 1:
        return flavors[matches[0]]
    known = ", ".join(sorted(flavors))
    if matches:
        raise Invalid(
            "DURE-1105", f'GPU flavor "{text}" is ambiguous: {", ".join(matches)}', "write one of them in full"
        )
    guess = probable_flavor(wanted, flavors)
    hint = f"did you mean {guess}? " if guess else ""
    raise Invalid("DURE-1104", f'unknown GPU flavor "{text}"', f"{hint}use one of: {known}")


def probable_flavor(wanted: str, flavors: Iterable[str]) -> str:
    """The flavor that was probably meant, by its whole name or its head: H10O is near the h100 of h100-80g."""
    guess = nearest(wanted, flavors)
    heads = {name.partition("-")[0]: name for name in sorted(flavors, reverse=True)}
    return guess or heads.get(nearest(wanted.partition("-")[0], heads), "")


def require_room_in_line(view: Reader, accepted: Accepted) -> None:
    """Raise Refused when more jobs of the project would wait than the policy allows."""
    waiting = view.count(
        JobRecord,
        Where("org", "=", accepted.org.name),
        Where("project", "=", accepted.project),
        Where("state", "in", (JobState.QUEUED, JobState.HELD)),
    )
    most = accepted.policy.limits.max_pending_per_project
    if waiting + accepted.jobs <= most:
        return
    path = f"{accepted.org.name}/{accepted.project}"
    if accepted.jobs == 1:
        message = f"{path} already has {waiting} jobs waiting, the most the policy allows"
        raise Refused("DURE-2103", message, "wait, or cancel some: dure queue")
    message = f"the array has {accepted.jobs} jobs; {path} has {waiting} waiting and the policy allows {most}"
    raise Refused("DURE-2103", message, "submit fewer indices at once, or wait: dure queue")


def accept(view: Reader, policy: EffectivePolicy | None, task: TaskBody, actor: Actor) -> Accepted:
    """Check a task against registry, policy and limits; raises Forbidden, NotFound, Invalid or Refused."""
    org_name, _, project = task.project.partition("/")
    if not actor.works_in(org_name, project) and not actor.sees_project(org_name, project):
        raise NotFound("DURE-3002", f"no project {task.project} that you may see", "dure project list")
    require(actor.works_in(org_name, project), f"submit to {task.project}", "the organisation's admin to add you")
    org, place = view.get(OrgRecord, org_name), view.get(ProjectRecord, org_name, project)
    if org is None or place is None:
        raise NotFound("DURE-3002", f"no project {task.project}", "dure project list")
    if policy is None:
        raise Refused(
            "DURE-2100", "no policy is in force yet", "an administrator: dure policy apply FILE --reason TEXT"
        )
    if org.state != "verified":
        raise Refused("DURE-2105", f"organisation {org_name} is {org.state}", "ask an administrator of the pool")
    if place.state != "active":
        raise Refused("DURE-2105", f"project {task.project} is {place.state}", "ask the organisation's admin")
    model, _, count = task.gpus.partition(":")
    flavor = resolve_flavor(dict(policy.flavors), model)
    limits = policy.limits
    time_ms = limits.default_time_ms if task.time_seconds is None else task.time_seconds * MS_PER_SECOND
    tiers = tuple(dict.fromkeys(Tier(tier) for tier in task.tiers))
    request = GangRequest(flavor.name, task.nodes, int(count), tiers, time_ms)
    if request.gpus_per_node < 1:
        raise Invalid("DURE-1106", "a job needs at least 1 GPU on each node", "write for example gpus: h100:1")
    if request.gpus > limits.max_gpus_per_job:
        raise Refused(
            "DURE-2101",
            f"{request.gpus} GPUs are above the policy's limit of {limits.max_gpus_per_job} GPUs a job",
            "lower gpus or nodes",
        )
    if time_ms > limits.max_time_ms:
        raise Refused(
            "DURE-2102",
            f"a time limit of {format_duration(time_ms)} is above the policy's {format_duration(limits.max_time_ms)}",
            "lower time and checkpoint more often",
        )
    if task.hold_on_failure_seconds * MS_PER_SECOND > time_ms:
        limit = format_duration(time_ms)
        message = f"hold_on_failure is longer than the time limit of {limit}"
        raise Invalid("DURE-1311", message, f"write at most {limit}")
    return Accepted(task, org, project, request, policy)


def submit(
    store: Store,
    policies: EffectivePolicies,
    packages: PackageStore,
    task: TaskBody,
    actor: Actor,
    key: str,
    job_id: str,
    now_ms: int,
    member_ids: Sequence[str] = (),
) -> tuple[JobBody, bool]:
    """Queue the task as a job; the same user, key and body again give the same answer and no second job.

    member_ids: for an array, an id for each of its jobs; ``job_id`` is then the array's.

    Returns the job, or the whole array in one body, and whether it is new. Raises Refused, Invalid, Forbidden,
    NotFound, or Conflict when the key was used with another body.
    """
    if not 0 < len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise Invalid("DURE-1010", "the Idempotency-Key must be 1 to 128 printable characters", "send a new UUID")
    body_sha256 = sha256_hex(canonical(task.model_dump(mode="json")))
    with store.read() as view:
        known = _answered(view, actor.user, key, body_sha256)
        if known is not None:
            return known, False
        accepted = accept(view, policies.current(view, now_ms), task, actor)
    if task.package_sha256 and package_size(packages, task.package_sha256) is None:
        raise Invalid(
            "DURE-1107", "the work directory's package is not on the server", "submit again: it is sent first"
        )
    try:
        with store.write() as tx:
            body = _queue(tx, accepted, actor, (job_id, *member_ids), now_ms)
            answer = canonical(body.model_dump(mode="json"))
            tx.add(
                IdempotencyRecord(
                    user=actor.user, key=key, body_sha256=body_sha256, response_json=answer, created_at_ms=now_ms
                )
            )
            return body, True
    except DuplicateRecord:
        with store.read() as view:
            known = _answered(view, actor.user, key, body_sha256)
        if known is None:
            raise
        return known, False


def package_size(packages: PackageStore, sha256: str) -> int | None:
    """Length in bytes of a stored package, None when it is not there; read only where the store knows no other way."""
    if isinstance(packages, MeasuringStore):
        return packages.size(sha256)
    content = packages.get(sha256)
    return None if content is None else len(content)


def _answered(view: Reader, user: str, key: str, body_sha256: str) -> JobBody | None:
    record = view.get(IdempotencyRecord, user, key)
    if record is None:
        return None
    if record.body_sha256 != body_sha256:
        raise Invalid("DURE-1011", "this Idempotency-Key was used with another task", "send a new key")
    return JobBody.model_validate_json(record.response_json)


def _queue(tx: Writer, accepted: Accepted, actor: Actor, ids: Sequence[str], now_ms: int) -> JobBody:
    # The counter lets a project's submissions in one after the other: each counts the jobs of those before it.
    tx.next_number(f"submissions:{accepted.task.project}")
    policy = newest_policy(tx)
    if policy is None or policy.version != accepted.policy.policy_version:
        raise Retry("DURE-6001", "the policy changed at the same moment", "submit again")
    require_room_in_line(tx, accepted)
    added = []
    for record in _records(accepted, actor, ids, now_ms):
        seq = tx.append(JobSubmitted(record.id, f"{accepted.leaf}/{actor.user}", accepted.request), now_ms)
        if record.held_by:
            tx.append(JobHeld(record.id, record.held_by), now_ms)
        added.append(replace(record, submitted_seq=seq))
        tx.add(added[-1])
    return array_body(added, {}) if accepted.task.range else job_body(added[0], None)


def _records(accepted: Accepted, actor: Actor, ids: Sequence[str], now_ms: int) -> Iterator[JobRecord]:
    """The job, or the members of its array in the order of their indices: those beyond its limit are held by it."""
    array, user_holds = accepted.task.range, "user" if accepted.task.hold else ""
    first = _record(accepted, actor, ids[0], user_holds, now_ms)
    if array is None:
        yield first
        return
    for place, (member, index) in enumerate(zip(ids[1:], array.indices, strict=True)):
        held_by = user_holds or ("" if place < array.at_once else HOLDER)
        job = replace(first, id=member, array=ids[0], array_index=index, array_text=array.text, held_by=held_by)
        yield replace(job, state=JobState.HELD if held_by else JobState.QUEUED)


def _record(accepted: Accepted, actor: Actor, job_id: str, held_by: str, now_ms: int) -> JobRecord:
    task, request, org = accepted.task, accepted.request, accepted.org
    return JobRecord(
        id=job_id,
        org=org.name,
        project=accepted.project,
        user=actor.user,
        class_name=org.class_name,
        name=task.name,
        state=JobState.HELD if held_by else JobState.QUEUED,
        flavor=request.flavor,
        nodes=request.nodes,
        gpus_per_node=request.gpus_per_node,
        tiers=",".join(request.tiers),
        time_limit_ms=request.time_limit_ms,
        task_json=canonical(task.model_dump(mode="json")),
        submitted_at_ms=now_ms,
        package_sha256=task.package_sha256 or "",
        held_by=held_by,
        max_losses=accepted.policy.limits.max_losses,
    )
