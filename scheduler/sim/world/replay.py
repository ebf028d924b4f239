"""Replay of recorded cycles from facts alone: the same code makes the same plan, byte for byte (S12)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import NamedTuple

from scheduler.core.allocator.cycle import decide
from scheduler.core.allocator.plan import Plan
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.codec import from_json
from scheduler.core.effective import EffectivePolicy
from scheduler.core.facts import Fact, RegistryChanged
from scheduler.core.records import CycleRecord, OrgRecord, PolicyRecord, ProjectRecord
from scheduler.core.state import AllocatorState
from scheduler.policy.effective import Registry, effective
from scheduler.policy.loader import LoadedPolicy, load
from scheduler.services.ports import Reader

CYCLES_MAX = 1_000_000


class Replayed(NamedTuple):
    """A recorded cycle, the picture it must have seen, and the plan that follows from it."""

    cycle: CycleRecord
    snapshot: Snapshot
    plan: Plan
    code_version: str
    """Of the code that replays."""

    @property
    def fault(self) -> str:
        """What differs from the record; empty when nothing does. Of another code's cycle only that is said."""
        if self.code_version != self.cycle.code_version:
            return f"cycle {self.cycle.number} is of code {self.cycle.code_version}, and {self.code_version} replays it"
        if self.snapshot.input_hash != self.cycle.input_hash:
            return f"cycle {self.cycle.number} was decided on another input than the facts up to {self.cycle.fact_seq}"
        if self.plan.recorded(self.plan.waiting()) != self.cycle.plan_json:
            return f"cycle {self.cycle.number} replayed makes another plan"
        return ""


def replay(view: Reader, numbers: Collection[int], code_version: str) -> Iterator[Replayed]:
    """Replay these cycles in order, in one fold over all facts."""
    facts = all_facts(view)
    registry = _Registries(facts)
    policies = {row.version: _loaded(row) for row in view.select(PolicyRecord, order=("version",), limit=CYCLES_MAX)}
    state, done = AllocatorState(), 0
    for cycle in view.select(CycleRecord, order=("number",), limit=CYCLES_MAX):
        if cycle.number not in numbers:
            continue
        while done < len(facts) and facts[done].seq <= cycle.fact_seq:
            state.apply(facts[done])
            done += 1
        loaded = policies[cycle.policy_version]
        policy = registry.effective(loaded, cycle.policy_version, cycle.registry_seq, cycle.at_ms)
        snapshot = state.snapshot(cycle.at_ms, policy)
        yield Replayed(cycle, snapshot, decide(snapshot), code_version)


def all_facts(view: Reader) -> list[Fact]:
    """Every fact from the first."""
    facts: list[Fact] = []
    while batch := view.facts(facts[-1].seq if facts else 0):
        facts += batch
    return facts


class _Registries:
    """The registry at any of its sequences, folded from facts."""

    def __init__(self, facts: list[Fact]) -> None:
        self._changes = [fact.body for fact in facts if isinstance(fact.body, RegistryChanged)]

    def effective(self, loaded: LoadedPolicy, version: int, sequence: int, at_ms: int) -> EffectivePolicy:
        orgs: dict[str, OrgRecord] = {}
        projects: dict[tuple[str, str], ProjectRecord] = {}
        for change in self._changes:
            if change.sequence > sequence:
                break
            value = json.loads(change.record_json)
            if change.change == "org":
                org: OrgRecord = from_json(OrgRecord, value)
                orgs[org.name] = org
            elif change.change == "project":
                project: ProjectRecord = from_json(ProjectRecord, value)
                projects[project.org, project.name] = project
        active = tuple(project for _, project in sorted(projects.items()) if project.state == "active")
        registry = Registry(tuple(org for _, org in sorted(orgs.items())), active)
        return effective(loaded.policy, version, registry, sequence, at_ms)


def _loaded(record: PolicyRecord) -> LoadedPolicy:
    loaded = load(record.text, record.name, known_rate_cards=frozenset({record.rate_card}))
    if isinstance(loaded, list):
        raise ValueError(f"policy version {record.version} no longer loads: {loaded[0].message}")
    return loaded
