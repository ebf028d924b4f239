"""The typed client of Dure's API: one method a route, bodies in and out.

Every method raises ApiRefused (a person must change something), ApiBusy or Unreachable (both Retry: the same call may
succeed later), or Fatal when the answer is not understood. Submitting is repeatable by its idempotency key; calls that
change something without such a name are sent once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, TypeVar

import httpx

from scheduler.client.address import normal_server, segment
from scheduler.client.errors import NOT_UNDERSTOOD, ApiProblem
from scheduler.client.fairness import FairnessCalls
from scheduler.client.money import MoneyCalls
from scheduler.client.transport import Policy, Progress, Reply, Request, Transport
from scheduler.core.errors import Fatal
from scheduler.schema import bodies
from scheduler.schema.bodies import Body, Listing

V1 = "/api/v1"
PACKAGE_BYTES_MAX = 64 * 1024 * 1024
UPLOAD_SECONDS = 600.0
LIST_SECONDS = 20.0
"""For a list, all tries together: somebody sits and waits for it."""
LOG_CHUNK_BYTES = 65_536
PAGES_MAX = 1_000

B = TypeVar("B", bound=Body)


class LogChunk(NamedTuple):
    """Bytes of a rank's log from an offset, the log's length now, and where job and attempt stand."""

    content: bytes
    size: int
    attempt: int
    job_state: str


class Client(MoneyCalls, FairnessCalls):
    """Talks to one server with one token; use it as a context manager or close it."""

    def __init__(
        self,
        server: str,
        token: str = "",
        *,
        timeout_seconds: float = 30.0,
        user_agent: str = "dure",
        policy: Policy | None = None,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        """``timeout_seconds`` bounds each try of each call; a list has LIST_SECONDS for all its tries.

        around: entered while the server is waited for. ``policy`` and ``http`` are for tests.
        """
        self.server = normal_server(server)
        self._timeout_seconds = timeout_seconds
        self._transport = Transport(self.server, token, user_agent=user_agent, policy=policy, around=around, http=http)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # What every route goes through.

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        total_seconds: float = 0.0,
    ) -> Reply:
        content = body.model_dump_json().encode() if body is not None else b""
        if repeatable is None:
            repeatable = method in ("GET", "HEAD", "PUT", "DELETE")
        request = Request(
            method,
            path,
            params or {},
            content,
            headers=headers or {},
            repeatable=repeatable,
            timeout_seconds=self._timeout_seconds,
            total_seconds=total_seconds,
        )
        return self._transport.send(request)

    def send(self, request: Request) -> Reply:
        """Any request, within the client's time for each try; for the routes whose calls lie beside this module."""
        return self._transport.send(replace(request, timeout_seconds=self._timeout_seconds))

    def _slow_get(self, answer: type[B], path: str, params: Mapping[str, str | int]) -> B:
        return read(answer, self._slow_file(path, params))

    def _slow_file(self, path: str, params: Mapping[str, str | int]) -> bytes:
        return self._send("GET", path, params, total_seconds=LIST_SECONDS).content

    def _get(self, answer: type[B], path: str, params: Mapping[str, str | int] | None = None) -> B:
        total_seconds = LIST_SECONDS if issubclass(answer, Listing) else 0.0
        return read(answer, self._send("GET", path, params, total_seconds=total_seconds).content)

    def _post(
        self,
        answer: type[B],
        path: str,
        body: Body | None = None,
        params: Mapping[str, str | int] | None = None,
        *,
        repeatable: bool = False,
    ) -> B:
        return read(answer, self._send("POST", path, params, body=body, repeatable=repeatable).content)

    def _file(self, path: str, params: Mapping[str, str | int]) -> bytes:
        request = Request(
            "GET", path, params, timeout_seconds=self._timeout_seconds, answer_bytes_max=PACKAGE_BYTES_MAX
        )
        return self._transport.send(request).content

    # The server and oneself.

    def version(self) -> bodies.VersionBody:
        """GET /version; needs no token."""
        return self._get(bodies.VersionBody, "/version")

    def server_date(self) -> str:
        """The ``Date`` header of GET /healthz ("" when there is none): how far the clocks are apart."""
        return str(self._send("GET", "/healthz").headers.get("Date", ""))

    def whoami(self) -> bodies.WhoamiBody:
        """Who the token speaks for."""
        return self._get(bodies.WhoamiBody, f"{V1}/whoami")

    # Jobs.

    def submit(self, task: bodies.TaskBody, key: str) -> tuple[bodies.JobBody, bool]:
        """Queue a task; the same key and task again give the same job. Returns it and whether it is new."""
        headers = {"Idempotency-Key": key}
        reply = self._send("POST", f"{V1}/jobs", body=task, headers=headers, repeatable=True)
        return read(bodies.JobBody, reply.content), reply.status == httpx.codes.CREATED

    def plan(self, task: bodies.TaskBody) -> bodies.PlanBody:
        """What a task would become and could cost; refused as a submission would be, and nothing is changed."""
        return self._post(bodies.PlanBody, f"{V1}/jobs/plan", task, repeatable=True)

    def jobs(self, filters: Mapping[str, str | int] | None = None) -> Listing[bodies.JobBody]:
        """One page of jobs, newest first. Filters: org, project, state, user, name, all, cursor, limit."""
        return self._get(Listing[bodies.JobBody], f"{V1}/jobs", filters)

    def job(self, name: str) -> bodies.JobBody:
        """A job by its id, or the caller's newest of this name."""
        return self._get(bodies.JobBody, f"{V1}/jobs/{segment(name)}")

    def events(self, name: str) -> Listing[bodies.EventBody]:
        """A job's history."""
        return self._get(Listing[bodies.EventBody], f"{V1}/jobs/{segment(name)}/events")

    def why(self, name: str) -> bodies.WhyBody:
        """Why a job waits."""
        return self._get(bodies.WhyBody, f"{V1}/jobs/{segment(name)}/why")

    def cancel(self, name: str) -> bodies.JobBody:
        """End a job."""
        return self._post(bodies.JobBody, f"{V1}/jobs/{segment(name)}/cancel")

    def hold(self, name: str) -> bodies.JobBody:
        """Keep a queued job from starting."""
        return self._post(bodies.JobBody, f"{V1}/jobs/{segment(name)}/hold")

    def release(self, name: str) -> bodies.JobBody:
        """Queue a held job again."""
        return self._post(bodies.JobBody, f"{V1}/jobs/{segment(name)}/release")

    def log(self, name: str, *, attempt: int = 0, rank: int = 0, offset: int = 0) -> LogChunk:
        """Up to 64 KiB of a rank's output from ``offset``; attempt 0 is the newest."""
        params = {"attempt": attempt, "rank": rank, "offset": offset, "limit": LOG_CHUNK_BYTES}
        reply = self._send("GET", f"{V1}/jobs/{segment(name)}/logs", params)
        headers = reply.headers
        try:
            size, found = int(headers["Dure-Log-Size"]), int(headers["Dure-Log-Attempt"])
        except (KeyError, ValueError) as error:
            raise not_understood(f"log without its size: {error}") from error
        return LogChunk(reply.content, size, found, headers.get("Dure-Job-State", ""))

    # Packages.

    def has_package(self, sha256: str) -> bool:
        """Whether the server has a package already."""
        try:
            self._send("HEAD", f"{V1}/packages/{segment(sha256)}")
        except ApiProblem as problem:
            if problem.status == httpx.codes.NOT_FOUND:
                return False
            raise
        return True

    def put_package(self, sha256: str, content: bytes, progress: Progress | None = None) -> bodies.PackageAck:
        """Store a package's bytes under their SHA-256; a repeat changes nothing."""
        request = Request(
            "PUT",
            f"{V1}/packages/{segment(sha256)}",
            content=content,
            content_type="application/zip",
            timeout_seconds=UPLOAD_SECONDS,
            progress=progress,
        )
        return read(bodies.PackageAck, self._transport.send(request).content)

    def package(self, sha256: str) -> bytes:
        """A package's bytes; operators only."""
        path = f"{V1}/packages/{segment(sha256)}"
        request = Request("GET", path, timeout_seconds=UPLOAD_SECONDS, answer_bytes_max=PACKAGE_BYTES_MAX)
        return self._transport.send(request).content

    # Shares and usage.

    def quota(self, *, org: str = "", flavor: str = "") -> Listing[bodies.QuotaLine]:
        """Entitlement and use by tree node and flavor."""
        return self._get(Listing[bodies.QuotaLine], f"{V1}/quota", {"org": org, "flavor": flavor})

    def usage(
        self, *, org: str = "", project: str = "", since: str = "", until: str = "", by: str = ""
    ) -> bodies.UsageList:
        """Usage between two instants (RFC 3339), by properties such as ``project,day``."""
        params = {"org": org, "project": project, "since": since, "until": until, "by": by}
        return self._get(bodies.UsageList, f"{V1}/usage", params)

    def gpus(self) -> Listing[bodies.GpuLine]:
        """GPUs by cluster and flavor."""
        return self._get(Listing[bodies.GpuLine], f"{V1}/gpus")

    # Tokens.

    def create_token(self, request: bodies.TokenRequest) -> bodies.TokenBody:
        """A new token; its secret is in this answer only."""
        return self._post(bodies.TokenBody, f"{V1}/tokens", request)

    def tokens(self) -> Listing[bodies.TokenBody]:
        """The caller's tokens, all pages; an admin sees everybody's."""
        whole = self._get(Listing[bodies.TokenBody], f"{V1}/tokens")
        for _ in range(PAGES_MAX):
            if not whole.next:
                return whole
            page = self._get(Listing[bodies.TokenBody], f"{V1}/tokens", {"cursor": whole.next})
            whole = page.model_copy(update={"items": [*whole.items, *page.items]})
        raise not_understood(f"more than {PAGES_MAX} pages of tokens")

    def revoke_token(self, token_id: str) -> bodies.TokenBody:
        """End a token at once."""
        return read(bodies.TokenBody, self._send("DELETE", f"{V1}/tokens/{segment(token_id)}").content)

    # Policy.

    def apply_policy(self, request: bodies.PolicyRequest) -> tuple[bodies.PolicyBody, bool]:
        """Put a policy in force; the same text again changes nothing. Returns it and whether it is a new version."""
        reply = self._send("POST", f"{V1}/policy", body=request, repeatable=True)
        return read(bodies.PolicyBody, reply.content), reply.status == httpx.codes.CREATED

    def policy(self, version: int | None = None) -> bodies.PolicyBody:
        """The policy in force, or one version of it."""
        return self._get(bodies.PolicyBody, f"{V1}/policy" if version is None else f"{V1}/policy/{version}")

    def policy_versions(self, *, cursor: str = "") -> Listing[bodies.PolicyVersionBody]:
        """A page of the versions, the newest first."""
        return self._get(Listing[bodies.PolicyVersionBody], f"{V1}/policy/versions", {"cursor": cursor})

    def diff_policy(self, request: bodies.PolicyDiffRequest) -> bodies.PolicyDiffBody:
        """What a text would change of the policy in force, or of a version."""
        return self._post(bodies.PolicyDiffBody, f"{V1}/policy/diff", request, repeatable=True)

    def diff_versions(self, old: int = 0, new: int = 0) -> bodies.PolicyDiffBody:
        """What differs between two versions; ``new`` 0 is the one in force, ``old`` 0 the one before ``new``."""
        return self._get(bodies.PolicyDiffBody, f"{V1}/policy/diff", {"old": old, "new": new})

    def rollback_policy(self, request: bodies.RollbackRequest) -> tuple[bodies.PolicyBody, bool]:
        """Put an earlier version's text in force again. Returns it and whether it is a new version."""
        reply = self._send("POST", f"{V1}/policy/rollback", body=request, repeatable=True)
        return read(bodies.PolicyBody, reply.content), reply.status == httpx.codes.CREATED

    def lint_policy(self, request: bodies.PolicyText) -> Listing[bodies.FindingBody]:
        """What the server would say to a policy; changes nothing."""
        return self._post(Listing[bodies.FindingBody], f"{V1}/policy/lint", request, repeatable=True)

    # Registry.

    def create_org(self, request: bodies.OrgRequest) -> bodies.OrgBody:
        """Register an organisation; a repeat changes nothing."""
        return self._post(bodies.OrgBody, f"{V1}/orgs", request, repeatable=True)

    def orgs(self, *, cursor: str = "") -> Listing[bodies.OrgBody]:
        """A page of the organisations the caller may see."""
        return self._get(Listing[bodies.OrgBody], f"{V1}/orgs", {"cursor": cursor})

    def org(self, name: str) -> bodies.OrgBody:
        """One organisation."""
        return self._get(bodies.OrgBody, f"{V1}/orgs/{segment(name)}")

    def create_project(self, request: bodies.ProjectRequest) -> bodies.ProjectBody:
        """Create a project; a repeat changes nothing."""
        return self._post(bodies.ProjectBody, f"{V1}/projects", request, repeatable=True)

    def projects(self, org: str = "", *, cursor: str = "") -> Listing[bodies.ProjectBody]:
        """A page of the projects the caller may see."""
        return self._get(Listing[bodies.ProjectBody], f"{V1}/projects", {"org": org, "cursor": cursor})

    def add_member(self, request: bodies.MemberRequest) -> bodies.MemberBody:
        """Grant a role; a repeat changes nothing."""
        return self._post(bodies.MemberBody, f"{V1}/members", request, repeatable=True)

    def remove_member(self, request: bodies.MemberRequest) -> bodies.MemberBody:
        """Take a role away; a repeat changes nothing."""
        return self._post(bodies.MemberBody, f"{V1}/members/remove", request, repeatable=True)

    def members(self, scope: str = "", *, cursor: str = "") -> Listing[bodies.MemberBody]:
        """A page of the roles in a scope."""
        return self._get(Listing[bodies.MemberBody], f"{V1}/members", {"scope": scope, "cursor": cursor})

    # An operator's side.

    def pull(self, cluster: str, request: bodies.PullRequest) -> bodies.PullBody:
        """Attempts that should exist on a cluster."""
        return self._post(bodies.PullBody, f"{V1}/operator/{segment(cluster)}/pull", request, repeatable=True)

    def report(self, cluster: str, request: bodies.ReportRequest) -> bodies.ReportBody:
        """Push observations; repeats change nothing."""
        return self._post(bodies.ReportBody, f"{V1}/operator/{segment(cluster)}/report", request, repeatable=True)

    def push_log(self, cluster: str, job: str, attempt: int, rank: int, offset: int, content: bytes) -> bodies.LogAck:
        """Append output at ``offset``; the answer says what length the server has."""
        path = f"{V1}/operator/{segment(cluster)}/logs/{segment(job)}/{attempt}/{rank}"
        request = Request(
            "POST",
            path,
            {"offset": offset},
            content,
            content_type="application/octet-stream",
            timeout_seconds=self._timeout_seconds,
        )
        return read(bodies.LogAck, self._transport.send(request).content)


def read(answer: type[B], content: bytes) -> B:
    """The body of an answer; unknown fields of a newer server are ignored. Raises Fatal when it is something else."""
    try:
        return answer.model_validate_json(content, extra="ignore")
    except ValueError as error:
        raise not_understood(str(error).splitlines()[0]) from error


def not_understood(detail: str) -> Fatal:
    """The answer is not what this version of the client expects."""
    return Fatal(NOT_UNDERSTOOD, f"the server's answer is not understood: {detail}", "compare versions: dure doctor")
