"""What the tree and the capacity were, hour by hour, folded from the few facts that change them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

from scheduler.core.codec import from_json
from scheduler.core.effective import EffectivePolicy
from scheduler.core.facts import Fact, JobHeld, JobReleased, NodeSeen, PolicyApplied, RegistryChanged
from scheduler.core.fairness.hours import HourSums, Span
from scheduler.core.records import OrgRecord, PolicyRecord, ProjectRecord
from scheduler.core.units import MILLI_PER_GPU
from scheduler.policy.effective import Registry, effective
from scheduler.services.effective import EffectivePolicies
from scheduler.services.ports import Reader
from scheduler.services.submit import Invalid

KINDS = tuple(kind.__name__ for kind in (PolicyApplied, RegistryChanged, NodeSeen, JobHeld, JobReleased))
FACTS_MAX = 1_000_000
FACTS_A_READ = 10_000


class History:
    """Facts that change shares, capacity and holds, up to the end of a span."""

    def __init__(self, view: Reader, policies: EffectivePolicies, span: Span) -> None:
        """Reads them; raises Invalid when there are more than FACTS_MAX."""
        self._view = view
        self._policies = policies
        self._span = span
        self._facts = sorted(
            (fact for fact in _facts(view) if fact.at_ms < span.until_ms), key=lambda fact: (fact.at_ms, fact.seq)
        )

    def policies(self) -> list[EffectivePolicy | None]:
        """The effective policy at the last instant of each hour, None before the first."""
        found: list[EffectivePolicy | None] = []
        fold, rest = _Fold(), iter(self._facts)
        fact = next(rest, None)
        current: EffectivePolicy | None = None
        for _, end_ms in pairwise(self._span.edges):
            changed = False
            while fact is not None and fact.at_ms < end_ms:
                changed = fold.add(fact) or changed
                fact = next(rest, None)
            leased = current is not None and 0 < current.until_ms < end_ms
            if changed or leased:
                current = self._effective(fold, end_ms - 1)
            found.append(current)
        return found

    def _effective(self, fold: _Fold, at_ms: int) -> EffectivePolicy | None:
        record = self._view.get(PolicyRecord, fold.version) if fold.version else None
        if record is None:
            return None
        policy = self._policies.parsed(record).policy
        return effective(policy, record.version, fold.registry(), fold.sequence, at_ms)

    def capacity(self) -> HourSums[str]:
        """Healthy GPUs by flavor."""
        sums: HourSums[str] = HourSums(self._span)
        seen: dict[tuple[str, str], tuple[int, NodeSeen]] = {}
        for fact in self._facts:
            if isinstance(fact.body, NodeSeen):
                name = (fact.body.cluster, fact.body.name)
                since_ms, before = seen.get(name, (fact.at_ms, fact.body))
                sums.add(before.flavor, since_ms, fact.at_ms, before.gpus * MILLI_PER_GPU)
                seen[name] = (fact.at_ms, fact.body)
        for since_ms, node in seen.values():
            sums.add(node.flavor, since_ms, self._span.until_ms, node.gpus * MILLI_PER_GPU)
        return sums

    def holds(self) -> dict[str, list[tuple[int, int]]]:
        """Job -> intervals in which somebody held it."""
        found: dict[str, list[tuple[int, int]]] = {}
        since: dict[str, int] = {}
        for fact in self._facts:
            if isinstance(fact.body, JobHeld):
                since.setdefault(fact.body.job, fact.at_ms)
            elif isinstance(fact.body, JobReleased) and fact.body.job in since:
                found.setdefault(fact.body.job, []).append((since.pop(fact.body.job), fact.at_ms))
        for job, since_ms in since.items():
            found.setdefault(job, []).append((since_ms, self._span.until_ms))
        return found


class _Fold:
    """Policy version and registry as of the facts that were added."""

    def __init__(self) -> None:
        self.version = 0
        self.sequence = 0
        self._orgs: dict[str, OrgRecord] = {}
        self._projects: dict[tuple[str, str], ProjectRecord] = {}

    def add(self, fact: Fact) -> bool:
        """Whether the fact changes the tree."""
        body = fact.body
        if isinstance(body, PolicyApplied):
            self.version = body.version
            return True
        if not isinstance(body, RegistryChanged):
            return False
        self.sequence = body.sequence
        if body.change == "org":
            org = from_json(OrgRecord, json.loads(body.record_json))
            self._orgs[org.name] = org
        elif body.change == "project":
            project = from_json(ProjectRecord, json.loads(body.record_json))
            self._projects[project.org, project.name] = project
        return body.change in ("org", "project")

    def registry(self) -> Registry:
        """Organisations and active projects, by name."""
        orgs = tuple(self._orgs[name] for name in sorted(self._orgs))
        active = (self._projects[key] for key in sorted(self._projects) if self._projects[key].state == "active")
        return Registry(orgs=orgs, projects=tuple(active))


def _facts(view: Reader) -> Iterator[Fact]:
    last = 0
    for _ in range(FACTS_MAX // FACTS_A_READ):
        batch = view.facts(last, FACTS_A_READ, KINDS)
        yield from batch
        if len(batch) < FACTS_A_READ:
            return
        last = batch[-1].seq
    raise Invalid("DURE-1341", f"more than {FACTS_MAX:,} changes of shares lie before the end of this time")
