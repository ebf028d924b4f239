"""Mutated policy files: always a policy that works or findings, never an exception."""

from __future__ import annotations

import random
import re

from scheduler.core.records import OrgRecord, ProjectRecord
from scheduler.policy import examples
from scheduler.policy.capacity import fits_capacity
from scheduler.policy.effective import Registry, effective
from scheduler.policy.loader import LoadedPolicy, lint, load
from scheduler.schema.codes import CODES
from scheduler.schema.report import FINDINGS_MAX
from tests.support.mutations import mutated

MUTATIONS = 2_000
WHERE = re.compile(r"p\.yaml:\d+:\d+\Z")
ORGS = (OrgRecord(name="hanbit-ai", class_name="sme"), OrgRecord(name="daon-lab", class_name="startup"))
REGISTRY = Registry(ORGS, (ProjectRecord(org="hanbit-ai", name="nlp"),))
CAPACITY = {"h100-80g": 236, "a100-80g": 64}


def test_a_mutated_policy_is_a_policy_or_findings(rng: random.Random) -> None:
    text = examples.text("national-2026")
    loaded = 0
    for _ in range(MUTATIONS):
        data = mutated(rng, text, 2)
        result = load(data, "p.yaml", known_rate_cards=(), capacity=CAPACITY)
        if isinstance(result, LoadedPolicy):
            loaded += 1
            assert lint(data, "p.yaml") == []
            assert effective(result.policy, 1, REGISTRY, 1, 0).policy_version == 1
            findings = fits_capacity(result.policy, ORGS, CAPACITY)
        else:
            assert 0 < len(result) <= FINDINGS_MAX + 1, data
            findings = result
        for finding in findings:
            assert WHERE.match(finding.where), (data, finding)
            assert finding.code in CODES, (data, finding)
            assert finding.message, data
            assert finding.fix, (data, finding)
    # Both halves of the promise were tried.
    assert MUTATIONS * 0.03 < loaded < MUTATIONS * 0.9
