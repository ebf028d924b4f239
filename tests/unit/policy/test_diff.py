"""What differs between two policies: every field once, in the file's order, with the sums and prices that follow."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from scheduler.policy.diff import Change, GuaranteeSum, Priced, changes, guarantee_sums, price_changes
from scheduler.policy.loader import LoadedPolicy, load
from tests.support.policy_texts import Entry, policy, write

TEXT = """\
apiVersion: dure.dev/v1alpha1
kind: Policy
metadata: {name: small}
flavors: {h100: {exchange: 1}, a100: {exchange: 0.45, selector: {gpu: a100}}}
tiers: {borrow: {price: 0.4, grace: 10m}}
limits: {max_gpus_per_job: 8, default_time: 1h, max_time: 1d}
classes:
  sme: {weight: 3, guarantee: {h100: 60}, lending_limit: {h100: 48}, price: {of_list: 0.1, funder: MSIT}}
  uni: {weight: 1, guarantee: {h100: 6, a100: 4}, org_default: {guarantee: {h100: 2}}, price: {of_list: 0}}
overrides:
  - {org: hanbit, weight: 2, guarantee: {h100: 4}}
  - {org: hanbit, weight: 9, until: 2026-12-01T00:00:00+09:00, reason: C-204}
  - {project: nuri/nlp, weight: 0.5}
rate_card: card-1
---
kind: RateCard
metadata: {name: card-1}
valid_from: 2026-01-01T00:00:00+09:00
won_per_gpu_hour: {h100: 2900, a100: 1300}
"""


def priced(text: str) -> Priced:
    """The text as a policy with its one rate card."""
    loaded = load(text, "p.yaml", ())
    assert isinstance(loaded, LoadedPolicy), loaded
    card = next(card for card in loaded.rate_cards if card.name == loaded.policy.rate_card)
    return Priced(loaded.policy, card)


OLD = priced(TEXT)
CASES: dict[str, tuple[tuple[str, str], list[str]]] = {
    "a guarantee": (("{h100: 60}", "{h100: 72}"), ["class sme: classes.sme.guarantee.h100 60 -> 72"]),
    "thousands without a comma": (
        ("{h100: 60}", "{h100: 1234.5}"),
        ["class sme: classes.sme.guarantee.h100 60 -> 1234.5"],
    ),
    "a guarantee that was none": (
        ("{h100: 60}", "{h100: 60, a100: 1}"),
        ["class sme: classes.sme.guarantee.a100 0 -> 1"],
    ),
    "a guarantee of nothing written out": (("{h100: 60}", "{h100: 60, a100: 0}"), []),
    "a lending limit gone": (
        ("lending_limit: {h100: 48}, ", ""),
        ["class sme: classes.sme.lending_limit.h100 48 -> all"],
    ),
    "a borrowing limit of nothing": (
        ("lending_limit: {h100: 48}", "lending_limit: {h100: 48}, borrowing_limit: {h100: 0}"),
        ["class sme: classes.sme.borrowing_limit.h100 none -> 0"],
    ),
    "another order": (
        (
            "{h100: {exchange: 1}, a100: {exchange: 0.45, selector: {gpu: a100}}}",
            "{a100: {selector: {gpu: a100}, exchange: 0.450}, h100: {exchange: 1.0}}",
        ),
        [],
    ),
    "a default written out": (("metadata: {name: small}", "metadata: {name: small}\ntimezone: Asia/Seoul"), []),
    "an hour in minutes": (("default_time: 1h", "default_time: 60m"), []),
    "the time limit": (("max_time: 1d", "max_time: 36h"), ["everyone: limits.max_time 1d -> 36h"]),
    "a tier's price": (("price: 0.4", "price: 0.5"), ["tier borrow: tiers.borrow.price 0.4 -> 0.5"]),
    "a funder gone": ((", funder: MSIT", ""), ["class sme: classes.sme.price.funder MSIT -> "]),
    "a funder new": (("of_list: 0}", "of_list: 0, funder: MSIT}"), ["class uni: classes.uni.price.funder  -> MSIT"]),
    "a label": (("{gpu: a100}", "{gpu: a100-80}"), ["flavor a100: flavors.a100.selector.gpu a100 -> a100-80"]),
    "an override's amounts as a whole": (
        ("guarantee: {h100: 4}}", "guarantee: {a100: 1, h100: 4}}"),
        ["organisation hanbit: overrides.org:hanbit.guarantee {h100: 4} -> {a100: 1, h100: 4}"],
    ),
    "an override that gives nothing": (
        ("guarantee: {h100: 4}}", "guarantee: {}}"),
        ["organisation hanbit: overrides.org:hanbit.guarantee {h100: 4} -> {}"],
    ),
    "a lease longer": (
        ("2026-12-01", "2027-01-01"),
        ["organisation hanbit: overrides.org:hanbit.lease.until 2026-11-30T15:00:00.000Z -> 2026-12-31T15:00:00.000Z"],
    ),
    "an override gone": (
        ("  - {project: nuri/nlp, weight: 0.5}\n", ""),
        ["project nuri/nlp: overrides.project:nuri/nlp.weight 0.5 -> "],
    ),
    "list prices": (
        ("{h100: 2900, a100: 1300}", "{h100: 3000, a100: 1300}"),
        ["flavor h100: won_per_gpu_hour.h100 2900 -> 3000"],
    ),
    "a class new": (
        ("overrides:", "  new: {weight: 5, price: {of_list: 1}}\noverrides:"),
        [
            "class new: classes.new.weight  -> 5",
            "class new: classes.new.org_default.weight  -> 1",
            "class new: classes.new.isolation  -> shared",
            "class new: classes.new.price.of_list  -> 1",
            "class new: classes.new.price.in_supply_value  -> false",
        ],
    ),
}


@pytest.mark.parametrize(("swap", "wanted"), CASES.values(), ids=CASES.keys())
def test_each_field_that_differs_is_named_once(swap: tuple[str, str], wanted: list[str]) -> None:
    assert TEXT.count(swap[0]) == 1
    new = priced(TEXT.replace(*swap))
    found = changes(OLD, new)
    assert [f"{item.who}: {item.path} {item.old} -> {item.new}" for item in found] == wanted
    back = changes(new, OLD)
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    mirrored = [Change(item.path, item.who, turned[item.change], item.new, item.old, item.org) for item in found]
    assert sorted(map(str, back)) == sorted(map(str, mirrored))


def test_changes_are_in_the_order_of_a_policy_file() -> None:
    text = (
        TEXT.replace("max_time: 1d", "max_time: 2d").replace("weight: 9", "weight: 8").replace("name: small", "name: b")
    )
    text = text.replace("  sme:", "  startup:").replace("a100: 1300", "a100: 1400")
    heads = [item.path.split(".")[0] for item in changes(OLD, priced(text))]
    order = ["metadata", "limits", "classes", "overrides", "won_per_gpu_hour"]
    assert list(dict.fromkeys(heads)) == order
    assert heads == sorted(heads, key=order.index)
    about_classes = [item.path.split(".")[1] for item in changes(OLD, priced(text)) if item.path.startswith("classes")]
    assert list(dict.fromkeys(about_classes)) == ["startup", "sme"], "what is new comes before what is gone"


def test_whom_an_override_names() -> None:
    new = priced(TEXT.replace("weight: 0.5", "weight: 1").replace("weight: 2,", "weight: 3,"))
    assert [(item.org, item.who) for item in changes(OLD, new)] == [
        ("hanbit", "organisation hanbit"),
        ("nuri", "project nuri/nlp"),
    ]
    assert {item.org for item in changes(OLD, priced(TEXT.replace("weight: 3", "weight: 4")))} == {""}


def test_without_an_old_policy_everything_is_new() -> None:
    found = changes(None, OLD)
    assert {item.change for item in found} == {"added"}
    assert {item.old for item in found} == {""}
    assert guarantee_sums(None, OLD) == [GuaranteeSum("h100", 0, 66_000), GuaranteeSum("a100", 0, 4_000)]
    # 2 classes x 3 tiers x 2 flavors
    assert len(price_changes(None, OLD)) == 12
    assert {item.before_microwon for item in price_changes(None, OLD)} == {None}


def test_sums_of_guarantees() -> None:
    new = priced(TEXT.replace("{h100: 60}", "{h100: 72.5}").replace("a100: 4}", "a100: 0}"))
    # 60 + 6 = 66, 72.5 + 6 = 78.5; what is 0 on both sides is not there
    assert guarantee_sums(OLD, new) == [GuaranteeSum("h100", 66_000, 78_500), GuaranteeSum("a100", 4_000, 0)]
    assert guarantee_sums(OLD, OLD) == [GuaranteeSum("h100", 66_000, 66_000), GuaranteeSum("a100", 4_000, 4_000)]


PRICES = {
    # of_list 0.1 of 2900 = 290, of borrow's 1160 = 116; of 1300 = 130, of 520 = 52. uni pays nothing before and after.
    "list price 2900 -> 3000": (
        ("h100: 2900", "h100: 3000"),
        [
            ("sme", "guaranteed", "h100", 290_000_000, 300_000_000),
            ("sme", "borrow", "h100", 116_000_000, 120_000_000),
            ("sme", "scavenge", "h100", 290_000_000, 300_000_000),
        ],
    ),
    "borrow 0.4 -> 0.35": (
        ("price: 0.4", "price: 0.35"),
        [
            ("sme", "borrow", "h100", 116_000_000, 101_500_000),
            ("sme", "borrow", "a100", 52_000_000, 45_500_000),
        ],
    ),
    "uni pays 0.000001": (
        ("of_list: 0}", "of_list: 0.000001}"),
        [
            ("uni", "guaranteed", "h100", 0, 2_900),
            ("uni", "guaranteed", "a100", 0, 1_300),
            ("uni", "borrow", "h100", 0, 1_160),
            ("uni", "borrow", "a100", 0, 520),
            ("uni", "scavenge", "h100", 0, 2_900),
            ("uni", "scavenge", "a100", 0, 1_300),
        ],
    ),
}


@pytest.mark.parametrize(("swap", "wanted"), PRICES.values(), ids=PRICES.keys())
def test_prices_in_micro_won(swap: tuple[str, str], wanted: list[tuple[str, str, str, int, int]]) -> None:
    found = price_changes(OLD, priced(TEXT.replace(*swap)))
    assert [
        (item.class_name, item.tier.value, item.flavor, item.before_microwon, item.after_microwon) for item in found
    ] == wanted


def test_a_class_that_goes_has_no_price_after() -> None:
    new = Priced(replace(OLD.policy, classes={"uni": OLD.policy.classes["uni"]}), OLD.card)
    found = price_changes(OLD, new)
    assert [(item.class_name, item.after_microwon) for item in found] == [("sme", None)] * 6


SPOILED = {"weight": "17", "of_list": "0.77", "funder": "KISTI", "max_gpus_per_job": "513", "max_losses": "4"}
SPOILED |= {"grace": "11m", "half_life": "8d", "vat": "0.11", "timezone": "Asia/Tokyo", "exchange": "0.77"}


def test_one_value_changed_at_random_is_one_change(rng: random.Random) -> None:
    """However the same policy is written it differs in nothing, and with one other value in that one."""
    tried: set[str] = set()
    for _ in range(150):
        documents = policy(rng)
        whole = priced(write(rng, documents).text)
        assert changes(whole, priced(write(rng, documents).text)) == []
        spots = [part for document in documents for part in inside(document) if part.name in SPOILED]
        chosen = rng.choice(spots)
        chosen.value = SPOILED[chosen.name]
        (found,) = changes(whole, priced(write(rng, documents).text))
        assert (found.path.rsplit(".", 1)[-1], found.change, found.new) == (chosen.name, "changed", chosen.value)
        tried.add(chosen.name)
    assert tried == set(SPOILED)


def inside(entries: list[Entry]) -> list[Entry]:
    """Every entry of a mapping, of what is in it too."""
    found = []
    for entry in entries:
        found.append(entry)
        if not isinstance(entry.value, str):
            for part in entry.value:
                found += inside([part] if isinstance(part, Entry) else part.value)
    return found
