"""What people do in a world: submit, cancel, hold, release, change the policy, register organisations, close periods.

A client that gets no answer tries again with the same key, as the CLI does; one that gives up does not know
what became of its request, and neither does the world: both ends are right.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random

from scheduler.core.errors import DureError, Retry
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.bodies import JobBody, MemberRequest, OrgRequest, PolicyRequest, ProjectRequest, TaskBody
from scheduler.services import jobs, periods, policies, registry
from scheduler.services.actors import Actor, actor_of
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import PackageStore, Store
from scheduler.services.submit import submit
from scheduler.sim.world.agenda import Agenda
from scheduler.sim.world.chance import Crashed, between, pick, stream
from scheduler.sim.world.scenario import MINUTE_MS, Scenario, Tenant, policy_text, tenant

ADMIN = "admin"
TRIES_MAX = 6
WAIT_MS_MAX = 20_000
TIERS = (
    ["guaranteed", "borrow"],
    ["guaranteed", "borrow"],
    ["guaranteed"],
    ["borrow"],
    ["scavenge"],
    ["guaranteed", "borrow", "scavenge"],
    ["scavenge", "guaranteed"],
)
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(slots=True)
class Memory:
    """What clients know: the answer to each (user, key), and how often they were refused."""

    answers: dict[tuple[str, str], str] = field(default_factory=dict)
    jobs: list[tuple[str, str]] = field(default_factory=list)
    """(id, user) of jobs in the order of the answers."""
    sent: dict[tuple[str, str], TaskBody] = field(default_factory=dict)
    """(user, key) -> the task first sent under it."""
    cancelled: dict[str, list[JobBody]] = field(default_factory=dict)
    """Job -> what its cancels were answered with."""
    maybe_cancelled: set[str] = field(default_factory=set)
    """Jobs whose cancel was answered, or not answered: it may have been done all the same."""
    refused: Counter[str] = field(default_factory=Counter)
    policies: int = 0


class People:
    """Every client of the control plane; ``edge`` is a context in which a request's process may die."""

    def __init__(
        self,
        scenario: Scenario,
        store: Store,
        packages: PackageStore,
        agenda: Agenda,
        edge: Callable[[str], AbstractContextManager[None]],
        found: Callable[[str], None],
    ) -> None:
        self.memory = Memory()
        self.tenants: list[Tenant] = []
        self._scenario = scenario
        self._store = store
        self._policies = EffectivePolicies()
        self._packages = packages
        self._agenda = agenda
        self._edge = edge
        self._found = found
        self._rng = stream(scenario.seed, "people")
        self._ids = stream(scenario.seed, "ids")

    def plan(self) -> None:
        """Put everything that people will do on the agenda."""
        scenario, rng = self._scenario, self._rng
        for number in range(scenario.jobs):
            self._later(rng.randrange(scenario.busy_ms), self._submission(number))
        plans: tuple[tuple[int, Callable[[], None]], ...] = (
            (rng.randint(0, scenario.jobs // 2), self._disturb),
            (rng.randint(0, 4), self._change_policy),
            (rng.randint(0, 3), self._close),
            (rng.randint(0, 2), self._join),
        )
        for times, what in plans:
            for _ in range(times):
                self._later(rng.randrange(scenario.busy_ms), what)

    def actor(self, user: str) -> Actor:
        """The user with its grants as they are now."""
        with self._store.read() as view:
            return actor_of(view, user)

    def ask(self, what: str, request: Callable[[], None]) -> bool:
        """Make a request; True when it was answered, with success or with a refusal. Retry and a crash are neither."""
        try:
            with self._edge(f"client {what}"):
                request()
        except (Retry, Crashed):
            return False
        except DureError as error:
            self.memory.refused[error.code] += 1
        return True

    def insist(self, what: str, request: Callable[[], None], tries: int = TRIES_MAX) -> None:
        """Make a request, and again a while later as long as there is no answer."""
        if not self.ask(what, request) and tries > 1:
            self._later(self._rng.randrange(MS_PER_SECOND, WAIT_MS_MAX), lambda: self.insist(what, request, tries - 1))

    def apply_policy(self) -> None:
        """The next policy version's text, once."""
        self.memory.policies += 1
        request = PolicyRequest(
            text=policy_text(self._scenario, self.memory.policies), file="world.yaml", reason="world"
        )
        self.insist("policy", lambda: self._apply(request))

    def register(self, joining: Tenant) -> None:
        """An organisation, its projects and members, one request each; a repeat changes nothing."""
        org = OrgRequest(name=joining.name, class_name=joining.class_name)
        self.insist("org", lambda: self._register(joining, org))

    def close_period(self, period: str = "") -> None:
        """Ask for the close of the oldest period that is not closed."""
        self.insist("close", lambda: self._close_now(period))

    def cancel(self, job: str, user: str = ADMIN) -> None:
        """Cancel a job."""
        self.insist("cancel", lambda: self._act(self._cancel, job, user))

    def _later(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._agenda.at(self._agenda.now_ms + delay_ms, action)

    def _apply(self, request: PolicyRequest) -> None:
        policies.apply_policy(self._store, self.actor(ADMIN), request, self._agenda.now_ms)

    def _register(self, joining: Tenant, org: OrgRequest) -> None:
        registry.create_org(self._store, self._policies, self.actor(ADMIN), org, self._agenda.now_ms)
        for project in joining.projects:
            request = ProjectRequest(org=joining.name, name=project)
            registry.create_project(self._store, self.actor(ADMIN), request, self._agenda.now_ms)
            for user in joining.users:
                member = MemberRequest(user=user, role="member", scope=f"project:{joining.name}/{project}")
                registry.add_member(self._store, self.actor(ADMIN), member, self._agenda.now_ms)
        if joining not in self.tenants:
            self.tenants.append(joining)

    def _close_now(self, period: str) -> None:
        periods.close_period(self._store, self._policies, self.actor(ADMIN), period, self._agenda.now_ms)

    def _act(self, service: Callable[[Store, Actor, str, int], object], job: str, user: str) -> None:
        service(self._store, self.actor(user), job, self._agenda.now_ms)

    def _cancel(self, store: Store, actor: Actor, job: str, now_ms: int) -> None:
        try:
            answer = jobs.cancel(store, actor, job, now_ms)
        except (Retry, Crashed):
            self.memory.maybe_cancelled.add(job)
            raise
        self.memory.maybe_cancelled.add(job)
        self.memory.cancelled.setdefault(job, []).append(answer)

    def _change_policy(self) -> None:
        self.apply_policy()

    def _close(self) -> None:
        self.close_period()

    def _join(self) -> None:
        number = len(self._scenario.tenants) + len(self.tenants)
        self.register(tenant(self._rng, number, self._scenario.classes))

    def _disturb(self) -> None:
        """Cancel, hold or release one of the jobs, as its owner or as the administrator; many will be refused."""
        rng = self._rng
        if not self.memory.jobs:
            return
        newest = self.memory.jobs[-12:]
        job, owner = pick(rng, newest)
        user = ADMIN if rng.randrange(4) == 0 else owner
        what, service = pick(rng, (("cancel", self._cancel), ("hold", jobs.hold), ("release", jobs.release)))
        self.insist(what, lambda: self._act(service, job, user))
        if what == "hold":
            wait_ms = between(rng, MINUTE_MS, 30 * MINUTE_MS)
            self._later(wait_ms, lambda: self.insist("release", lambda: self._act(jobs.release, job, user)))

    def _submission(self, number: int) -> Callable[[], None]:
        key = f"key-{number}"

        def submit_now() -> None:
            if not self.tenants:
                return
            rng = self._rng
            who = pick(rng, self.tenants)
            user = pick(rng, who.users)
            task = self._task(rng, number, f"{who.name}/{pick(rng, who.projects)}")
            self.insist("submit", lambda: self._submit(user, key, task))
            for _ in range(rng.choice((0, 0, 0, 1, 2))):
                self._later(
                    rng.randrange(2 * WAIT_MS_MAX), lambda: self.insist("submit", lambda: self._submit(user, key, task))
                )
            if rng.randrange(20) == 0:
                other = task.model_copy(update={"run": "something else"})
                self._later(WAIT_MS_MAX, lambda: self.insist("submit", lambda: self._submit(user, key, other)))

        return submit_now

    def _task(self, rng: Random, number: int, project: str) -> TaskBody:
        flavor = pick(rng, self._scenario.flavors)
        gpus = min(self._scenario.largest_node(flavor), rng.choice((1, 1, 1, 2, 2, 3, 4)))
        nodes = rng.choice((1, 1, 1, 2, 2, 3, 4))
        if rng.randrange(10):  # most gangs fit into the pool, some never do
            nodes = max(1, min(nodes, self._scenario.capacity(flavor) // gpus))
        package = None
        if rng.randrange(3) == 0:
            content = f"package {number}".encode()
            package = hashlib.sha256(content).hexdigest()
            self._packages.put(package, content)
        return TaskBody(
            name=f"job-{number}",
            project=project,
            gpus=f"{rng.choice((flavor, flavor.upper(), flavor[:4]))}:{gpus}",
            nodes=nodes,
            time_seconds=rng.choice((None, None, None, 90, 600, 600, 1_800, 1_800, 3_600)),
            tiers=pick(rng, TIERS),
            run="python train.py",
            retries=rng.choice((0, 0, 1, 3)),
            package_sha256=package,
            hold=rng.randrange(12) == 0,
        )

    def _submit(self, user: str, key: str, task: TaskBody) -> None:
        self.memory.sent.setdefault((user, key), task)
        body, _ = submit(
            self._store,
            self._policies,
            self._packages,
            task,
            self.actor(user),
            key,
            "".join(pick(self._ids, ALPHABET) for _ in range(10)),
            self._agenda.now_ms,
        )
        known = self.memory.answers.setdefault((user, key), body.id)
        if known != body.id:
            self._found(f"{user}'s {key} was answered with job {known} and then with job {body.id}")
        if (body.id, user) not in self.memory.jobs:
            self.memory.jobs.append((body.id, user))
