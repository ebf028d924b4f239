"""Policies as values: what the documents become, what is absent, and what is refused between fields."""

from __future__ import annotations

import json
import re

import pytest

from scheduler.core.effective import ClassPrice, Limits, TierRule
from scheduler.core.model import Flavor, Tier
from scheduler.policy import examples, fields
from scheduler.policy.checks import missing_prices
from scheduler.policy.loader import LoadedPolicy, lint, load
from scheduler.policy.model import Override, RateCard, Share
from scheduler.schema.validate import Objects
from tests.support.golden import assert_golden
from tests.support.source import ROOT

DAY_MS = 86_400_000
SMALL = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: small}
flavors: {h100-80g: {exchange: 1}}
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 1d}
classes: {sme: {weight: 1, price: {of_list: 0.1}}}
rate_card: card-1
"""
CARD = """\
kind: RateCard
metadata: {name: card-1}
valid_from: 1970-01-02T00:00:00Z
won_per_gpu_hour: {h100-80g: 2900}
"""


def loaded(text: str) -> LoadedPolicy:
    """The policy, which must be one."""
    result = load(text, "p.yaml")
    assert isinstance(result, LoadedPolicy), result
    return result


def test_the_national_policy_is_read_whole() -> None:
    result = loaded(examples.text("national-2026"))
    policy = result.policy
    assert (policy.name, policy.timezone, policy.rate_card) == ("national-2026", "Asia/Seoul", "ratecard-2026-2")
    assert (policy.calendar, policy.vat_ppm, policy.half_life_ms) == ("month", 100_000, 7 * DAY_MS)
    assert policy.flavors["a100-80g"] == Flavor(
        "a100-80g", 450_000, "nvidia.com/gpu", (("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB"),)
    )
    assert dict(policy.tiers) == {
        Tier.GUARANTEED: TierRule(1_000_000, 120_000),
        Tier.BORROW: TierRule(400_000, 600_000),
        Tier.SCAVENGE: TierRule(100_000, 120_000),
    }
    assert policy.limits == Limits(128, DAY_MS // 2, 7 * DAY_MS, 200, DAY_MS // 24, 20)
    sme, startup = policy.classes["sme"], policy.classes["startup"]
    assert sme.share == Share(35_000_000, {"h100-80g": 80_000}, {"h100-80g": 128_000}, {})
    assert sme.org_default == Share(1_000_000, {"h100-80g": 2_000})
    assert sme.price == ClassPrice(100_000, "MSIT", False)
    assert startup.share.lending_limit == {"h100-80g": 48_000}
    assert policy.overrides == (
        Override("hanbit-ai", weight_ppm=2_000_000, until_ms=1_796_050_800_000, reason="C-204", path="overrides[0]"),
    )
    # 2026-07-01T00:00+09:00 is 20,634 days and 15 hours after the epoch.
    prices = {"h100-80g": 2_900, "a100-80g": 1_300}
    assert result.rate_cards == (RateCard("ratecard-2026-2", (20_634 * 24 + 15) * 3_600_000, prices),)


def test_absent_fields_have_their_defaults() -> None:
    policy = loaded(SMALL).policy
    assert (policy.timezone, policy.calendar, policy.vat_ppm) == ("Asia/Seoul", "month", 100_000)
    assert policy.half_life_ms == 7 * DAY_MS
    assert set(policy.tiers.values()) == {TierRule(1_000_000, 120_000)}
    assert list(policy.tiers) == list(Tier)
    assert policy.limits == Limits(8, 3_600_000, DAY_MS, 200, 3_600_000, 20)
    assert policy.flavors == {"h100-80g": Flavor("h100-80g", 1_000_000)}
    rule = policy.classes["sme"]
    assert (rule.share, rule.org_default, rule.isolation) == (Share(), Share(), "shared")
    assert rule.price == ClassPrice(100_000)
    assert policy.overrides == ()


@pytest.mark.parametrize("text", [f"{SMALL}---\n{CARD}", f"{CARD}---\n{SMALL}", f"---\n{CARD}---\n---\n{SMALL}..."])
def test_documents_come_in_any_order(text: str) -> None:
    assert loaded(text).rate_cards == (RateCard("card-1", DAY_MS, {"h100-80g": 2_900}),)


def test_a_card_may_be_known_already_or_not_known_to_be_unknown() -> None:
    assert lint(SMALL, "p.yaml") == []
    assert lint(SMALL, "p.yaml", known_rate_cards=("card-1",)) == []
    assert [item.code for item in lint(SMALL, "p.yaml", known_rate_cards=("card-2",))] == ["DURE-1227"]


def test_prices_of_a_card_elsewhere_can_be_checked() -> None:
    policy = loaded(SMALL).policy
    assert missing_prices(policy, {"h100-80g": 1}) == []
    assert [(item.where, item.code) for item in missing_prices(policy, {"x": 1})] == [("p.yaml:7:12", "DURE-1228")]


def test_capacity_is_checked_where_it_is_given() -> None:
    text = examples.text("national-2026")
    # 96 + 80 + 60 = 236
    assert lint(text, "p.yaml", {"h100-80g": 236}) == []
    found = lint(text, "p.yaml", {"h100-80g": 235})
    assert [(item.code, item.message) for item in found] == [
        ("DURE-1221", "the classes guarantee 236 h100-80g but 235 are registered")
    ]
    assert [item.code for item in lint(text, "p.yaml", {})] == ["DURE-1221"]


def test_everything_wrong_is_said_at_once() -> None:
    text = f"{SMALL}---\n{CARD}".replace("weight: 1", "weigth: 1").replace("1h", "one hour").replace("2900", "-1")
    text = text.replace("exchange: 1", "exchange: 0").replace("0.1}", "1.1}")
    assert [(item.where, item.code) for item in lint(text, "p.yaml")] == [
        ("p.yaml:4:32", "DURE-1214"),
        ("p.yaml:5:45", "DURE-1213"),
        ("p.yaml:6:17", "DURE-1210"),
        ("p.yaml:6:45", "DURE-1214"),
        ("p.yaml:12:30", "DURE-1214"),
    ]


@pytest.mark.parametrize("name", examples.names())
def test_examples_are_policies(name: str) -> None:
    result = load(examples.text(name), f"{name}.yaml", known_rate_cards=())
    assert isinstance(result, LoadedPolicy), result
    assert result.policy.name == name


def test_examples_are_found_by_name() -> None:
    assert examples.DEFAULT in examples.names()
    assert len(examples.names()) >= 5
    with pytest.raises(KeyError):
        examples.text("../default")


def test_the_default_policy_fits_any_machine() -> None:
    assert lint(examples.text("default"), "d.yaml", {}, ()) == []


def test_programmes_price_their_classes() -> None:
    classes = loaded(examples.text("kr-advanced-gpu")).policy.classes
    price = {name: rule.price.of_list_ppm for name, rule in classes.items()}
    # Academia pays nothing, industry 5 to 10 % of the market price, young firms half of what start-ups pay.
    assert price == {"academia": 0, "sme": 100_000, "startup": 50_000, "youth-startup": 50_000 // 2}


def test_the_published_schema_is_the_tables() -> None:
    text = json.dumps(fields.policy_schema(), indent=2, ensure_ascii=False) + "\n"
    assert_golden(ROOT / "docs" / "schema" / "policy.v1.json", text)


def field_names(kind: object) -> set[str]:
    """Every field's name in a table, inside others too."""
    found: set[str] = set()
    if isinstance(kind, Objects):
        for item in kind.fields:
            found |= {item.name} | field_names(item.kind)
        found |= set(kind.unsupported)
    for inner in ("value", "item"):
        found |= field_names(getattr(kind, inner)) if hasattr(kind, inner) else set()
    return found


def test_the_reference_page_covers_every_field() -> None:
    page = (ROOT / "docs" / "reference" / "policy-file.md").read_text(encoding="utf-8")
    words = {word for code in re.findall(r"`([^`\n]+)`", page) for word in re.findall(r"[A-Za-z_]+", code)}
    names = field_names(fields.POLICY) | field_names(fields.RATE_CARD_DOCUMENT)
    assert len(names) > 40
    assert names - words == set()


def test_the_example_of_the_reference_page_is_a_policy() -> None:
    page = (ROOT / "docs" / "reference" / "policy-file.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    result = load(example, "page.yaml", known_rate_cards=())
    assert isinstance(result, LoadedPolicy), result
