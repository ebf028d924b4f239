"""Prices: the worked numbers of the decision record, and random ones against exact fractions."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from scheduler.core.accounting.rating import PolicyPrices, Price, Rated, rate, rate_won
from scheduler.core.accounting.rounding import DOWN_TO_ONE_WON, Rounding, RoundingMode
from scheduler.core.effective import ClassPrice, EffectivePolicy, Limits, TierRule
from scheduler.core.errors import Fatal, InvariantBroken
from scheduler.core.model import Tier
from scheduler.core.tree import Tree
from scheduler.core.units import parse_ppm
from tests.support.source import ROOT
from tests.unit.core.accounting import oracle
from tests.unit.core.accounting.worlds import BOOK, CLASSES, HOUR, T0, TIERS, usage_slice

GPU_HOUR = 3_600_000_000
MSIT = "MSIT"
# (billed milli-GPU-ms, list won, tier ppm, of_list ppm, funder) -> list, product, tenant, funder, discount in micro-won
CASES = {
    "one GPU-hour: 2,900 x 0.4 = 1,160; 0.10 of it is 116; 1,160 - 116 = 1,044": (
        (GPU_HOUR, 2_900, 400_000, 100_000, MSIT),
        (2_900_000_000, 1_160_000_000, 116_000_000, 1_044_000_000, 0),
    ),
    "without a funder the rest is a discount": (
        (GPU_HOUR, 2_900, 400_000, 100_000, ""),
        (2_900_000_000, 1_160_000_000, 116_000_000, 0, 1_044_000_000),
    ),
    "a university pays nothing": (
        (GPU_HOUR, 2_900, 1_000_000, 0, MSIT),
        (2_900_000_000, 2_900_000_000, 0, 2_900_000_000, 0),
    ),
    "full price": (
        (GPU_HOUR, 2_900, 1_000_000, 1_000_000, ""),
        (2_900_000_000, 2_900_000_000, 2_900_000_000, 0, 0),
    ),
    "one GPU for 1 ms: 1,000 x 2,900 / 3,600 = 805.5; x 0.4 = 322.2; x 0.1 = 32.2": (
        (1_000, 2_900, 400_000, 100_000, MSIT),
        (805, 322, 32, 290, 0),
    ),
    "a flavor without a price, in a tier without a factor": ((GPU_HOUR, 0, 0, 1_000_000, ""), (0, 0, 0, 0, 0)),
    "nothing used": ((0, 2_900, 400_000, 100_000, MSIT), (0, 0, 0, 0, 0)),
    "a tier above list price": (
        (GPU_HOUR, 1_000, 1_500_000, 500_000, ""),
        (1_000_000_000, 1_500_000_000, 750_000_000, 0, 750_000_000),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES.keys())
def test_a_slice_is_rated(given: tuple[int, int, int, int, str], expected: tuple[int, ...]) -> None:
    billed, list_won, tier, of_list, funder = given
    assert rate(billed, Price(list_won, tier, ClassPrice(of_list, funder))) == Rated(*expected)


def drawn_price(rng: random.Random) -> Price:
    """A random price, often with factors that are not round."""
    part = ClassPrice(rng.choice((0, 1_000_000, rng.randrange(1_000_001))), rng.choice(("", MSIT)), rng.random() < 0.5)
    return Price(rng.randrange(10_000), rng.choice((0, 1_000_000, 400_000, rng.randrange(2_000_000))), part)


def test_rating_agrees_with_exact_fractions(rng: random.Random) -> None:
    for _ in range(2_000):
        price, billed = drawn_price(rng), rng.randrange(100 * GPU_HOUR)
        rated = rate(billed, price)
        tier, part = price.tier_ppm, price.class_price.of_list_ppm
        assert rated.list_microwon == oracle.microwon(billed, price.list_won_per_gpu_hour)
        assert rated.product_microwon == oracle.microwon(billed, price.list_won_per_gpu_hour, tier)
        assert rated.tenant_microwon == oracle.microwon(billed, price.list_won_per_gpu_hour, tier, part)
        parts = (rated.tenant_microwon, rated.funder_microwon, rated.discount_microwon)
        assert sum(parts) == rated.product_microwon
        assert min(parts) >= 0
        assert 0 in parts[1:]


def half_up(amount: Fraction) -> int:
    """Schoolbook rounding of an exact amount."""
    return math.floor(amount + Fraction(1, 2))


def test_line_amounts_agree_with_exact_fractions(rng: random.Random) -> None:
    for _ in range(2_000):
        price, billed = drawn_price(rng), rng.randrange(1_000 * GPU_HOUR)
        quantum = rng.choice((1, 10))
        mode = rng.choice(list(RoundingMode))
        rounded = math.floor if mode is RoundingMode.DOWN else half_up
        won = rate_won(billed, price, Rounding(mode, quantum))
        tier, part = price.tier_ppm, price.class_price.of_list_ppm
        product = rounded(oracle.won(billed, price.list_won_per_gpu_hour, tier) / quantum) * quantum
        tenant = rounded(oracle.won(billed, price.list_won_per_gpu_hour, tier, part) / quantum) * quantum
        assert (won.product_won, won.tenant_won) == (product, tenant)
        assert won.tenant_won + won.funder_won + won.discount_won == won.product_won
        assert min(won.tenant_won, won.funder_won, won.discount_won) >= 0


ROUNDED = {
    "down 2.5 -> 2": (RoundingMode.DOWN, 1, 5, 2, 2),
    "half up 2.5 -> 3": (RoundingMode.HALF_UP, 1, 5, 2, 3),
    "half up 2.4999 -> 2": (RoundingMode.HALF_UP, 1, 24_999, 10_000, 2),
    "half up 3.5 -> 4": (RoundingMode.HALF_UP, 1, 7, 2, 4),
    "down 119 -> 110 in tens": (RoundingMode.DOWN, 10, 119, 1, 110),
    "half up 115 -> 120 in tens": (RoundingMode.HALF_UP, 10, 115, 1, 120),
    "half up 114.99 -> 110 in tens": (RoundingMode.HALF_UP, 10, 11_499, 100, 110),
    "zero": (RoundingMode.HALF_UP, 10, 0, 7, 0),
}


@pytest.mark.parametrize(("mode", "quantum", "numerator", "denominator", "won"), ROUNDED.values(), ids=ROUNDED.keys())
def test_rounding(mode: RoundingMode, quantum: int, numerator: int, denominator: int, won: int) -> None:
    assert Rounding(mode, quantum).won(numerator, denominator) == won


def test_a_line_is_not_the_sum_of_cut_off_slices() -> None:
    """Two GPU-hours in seven odd slices are 2,320 won on the line; their micro-won sum up to 2,319.999998 won."""
    price = Price(2_900, 400_000, ClassPrice(1_000_000))
    parts = [HOUR * 2 // 7] * 6
    parts.append(2 * HOUR - sum(parts))
    amounts = [rate(part * 1_000, price).tenant_microwon for part in parts]
    assert sum(amounts) == 2_319_999_998
    assert rate_won(sum(parts) * 1_000, price, DOWN_TO_ONE_WON).tenant_won == 2_320


WRONG = {
    "a part above the whole": lambda: Price(1, 1, ClassPrice(1_000_001)),
    "a negative part": lambda: Price(1, 1, ClassPrice(-1)),
    "a negative list price": lambda: Price(-1, 1, ClassPrice(1)),
    "a negative tier": lambda: Price(1, -1, ClassPrice(1)),
    "negative usage": lambda: rate(-1, Price(1, 1, ClassPrice(1))),
    "a negative amount": lambda: DOWN_TO_ONE_WON.won(-1, 1),
    "no quantum": lambda: Rounding(RoundingMode.DOWN, 0),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_impossible_prices_break_an_invariant(make: object) -> None:
    assert callable(make)
    with pytest.raises(InvariantBroken):
        make()


def test_a_slice_is_priced_by_the_versions_it_carries() -> None:
    borrow = usage_slice("jobaaaa", HOUR, tier=Tier.BORROW)
    assert BOOK.price_of(borrow) == Price(2_900, 400_000, CLASSES["sme"])
    older = replace(borrow, policy_version=2, rate_card="ratecard-2026-1")
    assert BOOK.price_of(older) == Price(2_800, 450_000, CLASSES["sme"])


NO_PRICE = {
    "policy version 9 is not known": {"policy_version": 9},
    "rate card 'gone' has no price": {"rate_card": "gone"},
    "no price for flavor 'b200'": {"flavor": "b200"},
    "class 'nobody'": {"class_name": "nobody"},
}


@pytest.mark.parametrize(("message", "change"), NO_PRICE.items(), ids=NO_PRICE.keys())
def test_a_missing_price_needs_a_person(message: str, change: dict[str, Any]) -> None:
    with pytest.raises(Fatal, match=message) as caught:
        BOOK.price_of(replace(usage_slice("jobaaaa", HOUR, start_ms=T0), **change))
    assert caught.value.code == "DURE-9044"
    assert caught.value.fix


def test_prices_of_an_effective_policy() -> None:
    policy = EffectivePolicy(
        policy_version=3,
        registry_seq=1,
        policy_name="national-2026",
        timezone="Asia/Seoul",
        flavors={},
        tiers={tier: TierRule(price, 0) for tier, price in TIERS.items()},
        half_life_ms=1,
        limits=Limits(1, 1, 1, 1, 1, 1),
        tree=Tree([]),
        class_prices=CLASSES,
        rate_card="ratecard-2026-2",
        calendar="month",
        vat_ppm=100_000,
    )
    assert PolicyPrices.of(policy) == PolicyPrices(TIERS, CLASSES)


def test_the_decision_record_says_what_the_code_does() -> None:
    text = (ROOT / "docs" / "decisions" / "0002-usage-and-money.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| (\S*) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 5
    for billed, list_won, tier, part, funder, amounts in rows:
        share = ClassPrice(parse_ppm(part), "" if funder == "-" else funder)
        rated = rate(int(billed.replace(",", "")), Price(int(list_won.replace(",", "")), parse_ppm(tier), share))
        written = [int(amount.replace(",", "")) for amount in amounts.split(" | ")]
        assert [
            rated.list_microwon,
            rated.product_microwon,
            rated.tenant_microwon,
            rated.funder_microwon,
            rated.discount_microwon,
        ] == written
