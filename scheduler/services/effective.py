"""Loads the effective policy: the newest policy version over the registry as it is, cached by both numbers."""

from __future__ import annotations

from scheduler.core.effective import EffectivePolicy
from scheduler.core.records import CounterRecord, OrgRecord, PolicyRecord, ProjectRecord
from scheduler.policy.effective import Registry, effective
from scheduler.policy.loader import LoadedPolicy, load
from scheduler.services.ports import Reader, Where

REGISTRY_COUNTER = "registry"
ORGS_MAX = 100_000
PROJECTS_MAX = 1_000_000


def newest_policy(reader: Reader) -> PolicyRecord | None:
    """The policy version in force."""
    found = reader.select(PolicyRecord, order=("-version",), limit=1)
    return found[0] if found else None


def registry_sequence(reader: Reader) -> int:
    """How many registry changes there have been."""
    counter = reader.get(CounterRecord, REGISTRY_COUNTER)
    return counter.value if counter else 0


def registry_of(reader: Reader) -> Registry:
    """Organisations and active projects as they are."""
    orgs = reader.select(OrgRecord, order=("name",), limit=ORGS_MAX)
    projects = reader.select(ProjectRecord, Where("state", "=", "active"), limit=PROJECTS_MAX)
    return Registry(orgs=tuple(orgs), projects=tuple(projects))


class EffectivePolicies:
    """One cache a process: makes an effective policy when a version, the registry or a lease's end changes it."""

    def __init__(self) -> None:
        self._parsed: dict[int, LoadedPolicy] = {}
        self._current: EffectivePolicy | None = None

    def parsed(self, record: PolicyRecord) -> LoadedPolicy:
        """The stored text as a policy; it was checked when it was applied."""
        known = self._parsed.get(record.version)
        if known is None:
            loaded = load(record.text, record.name, known_rate_cards=frozenset({record.rate_card}))
            if isinstance(loaded, list):
                raise ValueError(f"policy version {record.version} no longer loads: {loaded[0].message}")
            known = self._parsed[record.version] = loaded
        return known

    def current(self, reader: Reader, at_ms: int) -> EffectivePolicy | None:
        """The effective policy at this instant; None before the first policy."""
        record = newest_policy(reader)
        if record is None:
            return None
        sequence = registry_sequence(reader)
        known = self._current
        fresh = known is not None and (known.policy_version, known.registry_seq) == (record.version, sequence)
        if known is not None and fresh and (not known.until_ms or at_ms < known.until_ms):
            return known
        # Several threads share this cache: each answers with what its own view says.
        made = self._current = self.at(reader, record, sequence, at_ms)
        return made

    def at(self, reader: Reader, record: PolicyRecord, sequence: int, at_ms: int) -> EffectivePolicy:
        """The effective policy of a given version over the registry as it is now."""
        return effective(self.parsed(record).policy, record.version, registry_of(reader), sequence, at_ms)
