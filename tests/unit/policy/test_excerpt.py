"""The part of a policy for who does not read everything: a valid policy, nobody else's name, every value as written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import scheduler.policy.examples
from scheduler.policy import fields
from scheduler.policy.excerpt import NAMES_NOBODY, OVERRIDES, excerpt
from scheduler.policy.loader import LoadedPolicy, load

EXAMPLES = sorted(Path(scheduler.policy.examples.__file__).parent.glob("*.yaml"))
HEAD = """\
# written for beta
{apiVersion: dure.dev/v1alpha1, kind: RateCard, metadata: {name: card}, valid_from: 2026-07-01T00:00:00+09:00,
 won_per_gpu_hour: {h100: 3600}}
---
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: "test"}
flavors: {h100: {exchange: 1.0}}
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 2h}
classes: {sme: {weight: 1, price: {of_list: 0.10, funder: "과기정통부: A"}}}
rate_card: card
"""
BLOCK = """\
overrides:
  # beta was promised this
  - org: beta
    weight: 3
    reason: "to keep beta: here"
  - {org: acme, weight: 2, until: 2030-12-01T00:00:00+09:00, reason: "C-204"}  # and beta
  - {project: acme/nlp, weight: 0.5}
  - {project: beta/lab, weight: 7}
  - {org: acme-beta, weight: 9}
"""
FLOW = 'overrides: [{org: beta, weight: 3}, {org: acme, weight: 2, until: 2030-12-01T00:00:00+09:00, reason: "C-204"},'
FLOW += " {project: acme/nlp, weight: 0.5}, {project: beta/lab, weight: 7}]\n"


def loaded(text: str) -> LoadedPolicy:
    """The text as a policy without a finding."""
    found = load(text, "policy.yaml")
    assert isinstance(found, LoadedPolicy), found
    return found


@pytest.mark.parametrize("overrides", [BLOCK, FLOW, "\ufeff" + BLOCK], ids=["block", "flow", "byte order mark"])
def test_only_ones_own_overrides_are_left(overrides: str) -> None:
    text = "\ufeff" + HEAD + overrides[1:] if overrides.startswith("\ufeff") else HEAD + overrides
    whole = loaded(text)
    part = excerpt(text, {"acme"})
    assert "beta" not in part
    assert "#" not in part
    assert '"C-204"' in part
    kept = [replace(item, path="") for item in whole.policy.overrides if item.org == "acme"]
    found = loaded(part)
    assert [replace(item, path="") for item in found.policy.overrides] == kept
    assert len(kept) == 2
    assert replace(found.policy, overrides=()) == replace(whole.policy, overrides=())
    assert found.rate_cards == whole.rate_cards


@pytest.mark.parametrize("orgs", [(), ("gamma",)])
def test_who_has_no_override_gets_none(orgs: tuple[str, ...]) -> None:
    part = excerpt(HEAD + BLOCK, orgs)
    assert OVERRIDES not in part
    assert "beta" not in part
    assert "acme" not in part
    assert loaded(part).policy.overrides == ()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_rest_is_as_it_was(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    whole, part = loaded(text), loaded(excerpt(text, ()))
    assert part.policy == replace(whole.policy, overrides=())
    assert part.rate_cards == whole.rate_cards


def test_every_field_is_decided_on() -> None:
    """A new field is left out until it stands in one of the two: whoever adds it decides."""
    documents = (fields.POLICY, fields.RATE_CARD_DOCUMENT)
    assert {item.name for document in documents for item in document.fields} == NAMES_NOBODY | {OVERRIDES}
    assert "secret" not in excerpt("kind: Policy\nreservations: {secret: 1}\n", {"secret"})
