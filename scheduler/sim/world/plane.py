"""The way between an operator and the control plane: requests get lost, come twice or late, and answers get lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from operators.http import assignment_of
from operators.ports import Observation, Pull
from scheduler.core.codec import to_json
from scheduler.core.errors import Retry
from scheduler.schema.bodies import ObservationBody, PullBody, PullRequest, ReportRequest
from scheduler.services import assignments, logs, observe, packages
from scheduler.services.actors import Actor, actor_of
from scheduler.services.attempt_tokens import AttemptTokens
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import LogStore, PackageStore, Store
from scheduler.sim.world.chance import Crashed, Dice

T = TypeVar("T")
LATE_MS_MAX = 60_000
TOKENS = AttemptTokens("world")


class Server:
    """The control plane's edge for operators: each request is one service call as the operator of its cluster."""

    def __init__(
        self,
        store: Store,
        policies: EffectivePolicies,
        package_store: PackageStore,
        log_store: LogStore,
        clock: Callable[[], int],
        pulled: Callable[[PullBody], None] = lambda body: None,
    ) -> None:
        """pulled: hears each answer to a pull, whether it arrives or not."""
        self._pulled = pulled
        self._store = store
        self._policies = policies
        self._packages = package_store
        self._logs = log_store
        self._clock = clock

    def pull(self, cluster: str, existing: Sequence[str]) -> PullBody:
        """services.assignments.pull."""
        request = PullRequest(existing=list(existing))
        actor, now_ms = self._actor(cluster), self._clock()
        body = assignments.pull(self._store, self._policies, TOKENS, actor, cluster, request, now_ms)
        self._pulled(body)
        return body

    def report(self, cluster: str, request: ReportRequest) -> None:
        """services.observe.report."""
        observe.report(self._store, self._actor(cluster), cluster, request, self._clock())

    def push_log(self, cluster: str, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """services.logs.append_log."""
        actor = self._actor(cluster)
        return logs.append_log(self._store, self._logs, actor, cluster, job, attempt, rank, offset, content).size

    def package(self, cluster: str, sha256: str) -> bytes:
        """services.packages.fetch_package."""
        return packages.fetch_package(self._packages, self._actor(cluster), sha256)

    def _actor(self, cluster: str) -> Actor:
        with self._store.read() as view:
            return actor_of(view, f"operator-{cluster}")


class FlakyPlane:
    """operators.ports.ControlPlane for one cluster; ``later`` delivers a request after its sender has given up."""

    def __init__(
        self,
        cluster: str,
        server: Server,
        dice: Dice,
        meanwhile: Callable[[str], None],
        later: Callable[[int, Callable[[], object]], None],
        is_out: Callable[[], bool] = lambda: False,
    ) -> None:
        """is_out: whether there is an outage, in which nothing gets through."""
        self._is_out = is_out
        self._cluster = cluster
        self._server = server
        self._dice = dice
        self._meanwhile = meanwhile
        self._later = later

    def pull(self, cluster: str, existing: Sequence[str]) -> Pull:
        """What should exist; never late, for an answer that nobody waits for changes nothing."""
        body = self._call("pull", lambda: self._server.pull(cluster, existing))
        return Pull(tuple(assignment_of(item) for item in body.assignments), tuple(body.forget))

    def report(self, cluster: str, at_ms: int, observed_through_ms: int, observations: Sequence[Observation]) -> None:
        """Push observations."""
        bodies = [ObservationBody(**to_json(item)) for item in observations]
        request = ReportRequest(at_ms=at_ms, observed_through_ms=observed_through_ms, observations=bodies)
        self._call("report", lambda: self._server.report(cluster, request), may_be_late=True)

    def push_log(self, job: str, attempt: int, rank: int, offset: int, content: bytes) -> int:
        """Append output."""
        cluster = self._cluster
        return self._call(
            "push_log", lambda: self._server.push_log(cluster, job, attempt, rank, offset, content), may_be_late=True
        )

    def package(self, sha256: str) -> bytes:
        """The work directory's zip."""
        return self._call("package", lambda: self._server.package(self._cluster, sha256))

    def _call(self, what: str, request: Callable[[], T], *, may_be_late: bool = False) -> T:
        self._meanwhile(what)
        dice = self._dice
        if self._is_out() or dice.happens("request_lost", "network"):
            raise Retry("DURE-8002", f"the {what} got lost", "the operator tries again")
        if may_be_late and dice.happens("request_late", "network"):
            self._later(dice.of("network").randrange(1, LATE_MS_MAX), request)
            raise Retry("DURE-8002", f"the {what} took too long", "the operator tries again")
        try:
            answer = request()
            if dice.happens("request_twice", "network"):
                answer = request()
        except Crashed as error:
            raise Retry("DURE-8002", f"the server died {error}", "the operator tries again") from error
        if dice.happens("response_lost", "network"):
            raise Retry("DURE-8002", f"the answer to {what} got lost", "the operator tries again")
        self._meanwhile(f"{what}'s answer")
        return answer
