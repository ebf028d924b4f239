"""Balanced transactions from slices, their opposites, and what any settler must arrive at."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from scheduler.core.accounting import ledger
from scheduler.core.accounting.ledger import Entry, Transaction
from scheduler.core.accounting.usage import cut, usage_of
from scheduler.core.errors import Fatal, InvariantBroken
from scheduler.core.model import Tier
from scheduler.core.records import SliceRecord
from tests.unit.core.accounting import oracle
from tests.unit.core.accounting.worlds import (
    BOOK,
    CLASSES,
    H100,
    HOUR,
    T0,
    TIERS,
    Story,
    story,
    usage_slice,
    watermarks,
)

FOREVER = T0 + 10_000 * HOUR
WON = 1_000_000
UNIT = f"milli_gpu_ms:{H100}"
GPU_HOUR = 3_600_000_000

# Two ranks of 1 and 3 GPUs for an hour, borrow of 2,900: 4 x 1,160 = 4,640; 0.10 of it 464; MSIT 4,176.
GANG = [
    usage_slice("jobaaaa", HOUR, rank=1, gpus=3, tier=Tier.BORROW),
    usage_slice("jobaaaa", HOUR, rank=0, gpus=1, tier=Tier.BORROW),
]


def legs(transaction: Transaction) -> dict[tuple[str, str], int]:
    """Amounts by account and unit."""
    found = {(leg.account, leg.unit): leg.amount for leg in transaction.entries}
    assert len(found) == len(transaction.entries), "one leg an account and unit"
    return found


def test_a_gang_of_one_hour_is_one_transaction() -> None:
    transaction = ledger.usage_transaction(GANG, BOOK)
    assert legs(transaction) == {
        ("capacity:seoul", UNIT): -4 * GPU_HOUR,
        ("used:hanbit-ai/nlp", UNIT): 4 * GPU_HOUR,
        ("metered:seoul", UNIT): -4 * GPU_HOUR,
        ("billed:hanbit-ai/nlp", UNIT): 4 * GPU_HOUR,
        ("receivable:hanbit-ai", "microwon"): 464 * WON,
        ("funder_receivable:MSIT", "microwon"): 4_176 * WON,
        ("revenue:seoul", "microwon"): -4_640 * WON,
    }
    assert (transaction.idem_key, transaction.kind) == (f"usage:jobaaaa:1:{T0}", "usage")
    assert (transaction.occurred_from_ms, transaction.occurred_to_ms) == (T0, T0 + HOUR)
    assert json.loads(transaction.body_json) == {
        "slices": sorted(part.id for part in GANG),
        "rate_card": "ratecard-2026-2",
        "policy_version": 1,
        "list_won_per_gpu_hour": 2_900,
        "tier": "borrow",
        "tier_ppm": 400_000,
        "class": "sme",
        "of_list_ppm": 100_000,
        "funder": "MSIT",
    }


def test_without_a_funder_the_rest_is_a_discount() -> None:
    transaction = ledger.usage_transaction([usage_slice("jobaaaa", HOUR, class_name="regional")], BOOK)
    money = {account: amount for (account, unit), amount in legs(transaction).items() if unit == "microwon"}
    # 2,900 x 0.333333 = 966.6657; 2,900 - 966.6657 = 1,933.3343
    assert money == {
        "receivable:hanbit-ai": 966_665_700,
        "discount:regional": 1_933_334_300,
        "revenue:seoul": -2_900_000_000,
    }


def test_what_is_only_held_books_usage_alone() -> None:
    transaction = ledger.usage_transaction([usage_slice("jobaaaa", 0)], BOOK)
    assert legs(transaction) == {("capacity:seoul", UNIT): -GPU_HOUR, ("used:hanbit-ai/nlp", UNIT): GPU_HOUR}


APART = {
    "attempt": replace(GANG[1], attempt=2),
    "span": replace(GANG[1], end_ms=T0 + HOUR - 1),
    "start": replace(GANG[1], start_ms=T0 + 1),
    "job": replace(GANG[1], job="jobbbbb"),
    "project": replace(GANG[1], project="vision"),
    "organisation": replace(GANG[1], org="saebyeok-lab"),
    "cluster": replace(GANG[1], cluster="busan"),
    "tier": replace(GANG[1], tier=Tier.SCAVENGE),
    "rate card": replace(GANG[1], rate_card="ratecard-2026-1"),
    "policy version": replace(GANG[1], policy_version=2),
    "the same rank": replace(GANG[1], rank=1),
}


@pytest.mark.parametrize("other", APART.values(), ids=APART.keys())
def test_only_slices_that_belong_together_are_booked_together(other: SliceRecord) -> None:
    assert ledger.belong_together(GANG)
    assert not ledger.belong_together([GANG[0], other])
    with pytest.raises(InvariantBroken, match="of one attempt and span"):
        ledger.usage_transaction([GANG[0], other], BOOK)


def test_nothing_is_no_transaction() -> None:
    assert not ledger.belong_together([])
    assert ledger.grouped([]) == []


def test_a_slice_without_a_price_is_not_booked() -> None:
    with pytest.raises(Fatal, match="rate card 'gone' has no price"):
        ledger.usage_transaction([replace(GANG[0], rate_card="gone")], BOOK)


LEGS = (Entry("a", "microwon", 5), Entry("b", "microwon", -5))
UNBALANCED = {
    "one leg": LEGS[:1],
    "none": (),
    "one won short": (LEGS[0], Entry("b", "microwon", -4)),
    "balanced over two units": (LEGS[0], Entry("b", UNIT, -5)),
    "an empty leg": (*LEGS, Entry("c", "microwon", 0)),
    "a leg without account": (LEGS[0], Entry("", "microwon", -5)),
}


@pytest.mark.parametrize("entries", UNBALANCED.values(), ids=UNBALANCED.keys())
def test_an_unbalanced_transaction_cannot_be_made(entries: tuple[Entry, ...]) -> None:
    with pytest.raises(InvariantBroken):
        Transaction(idem_key="k", kind="usage", occurred_from_ms=0, occurred_to_ms=1, entries=entries)


@pytest.mark.parametrize(("key", "kind"), [("", "usage"), ("k", "gift")])
def test_a_transaction_has_a_key_and_a_kind(key: str, kind: str) -> None:
    with pytest.raises(InvariantBroken, match="a key and a known kind"):
        Transaction(idem_key=key, kind=kind, occurred_from_ms=0, occurred_to_ms=1, entries=LEGS)


def test_a_reversal_is_the_exact_opposite() -> None:
    booked = ledger.usage_transaction(GANG, BOOK)
    opposite = ledger.reversal(booked, 7, reason="counted twice", approved_by="lee")
    assert not any(ledger.balances([*booked.entries, *opposite.entries]).values())
    assert (opposite.idem_key, opposite.kind, opposite.reverses_seq) == ("reversal:7", "reversal", 7)
    expected = {"reverses": booked.idem_key, "reason": "counted twice", "approved_by": "lee"}
    assert json.loads(opposite.body_json) == expected
    with pytest.raises(InvariantBroken, match="no reversal"):
        ledger.reversal(opposite, 8, reason="again", approved_by="lee")
    with pytest.raises(InvariantBroken, match="booked"):
        ledger.reversal(booked, 0, reason="not booked", approved_by="lee")


ROUNDED = {
    "all exact": ({"receivable:hanbit-ai": 0}, None),
    "cut off": ({"receivable:hanbit-ai": -300_000}, {"receivable:hanbit-ai": -300_000, "rounding": 300_000}),
    "two accounts": (
        {"receivable:hanbit-ai": -300_000, "funder_receivable:MSIT": 500_000, "discount:sme": 0},
        {"receivable:hanbit-ai": -300_000, "funder_receivable:MSIT": 500_000, "rounding": -200_000},
    ),
    "from one to the other": (
        {"receivable:hanbit-ai": -7, "funder_receivable:MSIT": 7},
        {"receivable:hanbit-ai": -7, "funder_receivable:MSIT": 7},
    ),
}


@pytest.mark.parametrize(("differences", "expected"), ROUNDED.values(), ids=ROUNDED.keys())
def test_the_rounding_of_an_invoice(differences: dict[str, int], expected: dict[str, int] | None) -> None:
    booked = ledger.rounding_transaction("2026-000001", differences, T0, T0 + HOUR)
    if expected is None:
        assert booked is None
        return
    assert booked is not None
    assert legs(booked) == {(account, "microwon"): amount for account, amount in expected.items()}
    assert (booked.idem_key, booked.kind, booked.reverses_seq) == ("rounding:2026-000001", "rounding", 0)


def test_the_legs_of_a_rounding_have_one_order() -> None:
    given = {"receivable:hanbit-ai": -3, "discount:sme": 1, "funder_receivable:MSIT": 1}
    booked = ledger.rounding_transaction("2026-000001", given, T0, T0 + HOUR)
    assert booked is not None
    assert [leg.account.split(":")[0] for leg in booked.entries] == [
        "discount",
        "funder_receivable",
        "receivable",
        "rounding",
    ]


def test_the_tax_of_an_invoice() -> None:
    booked = ledger.vat_transaction("2026-000001", "hanbit-ai", 46 * WON, T0, T0 + HOUR)
    assert booked is not None
    expected = {("receivable:hanbit-ai", "microwon"): 46 * WON, ("vat_payable", "microwon"): -46 * WON}
    assert legs(booked) == expected
    assert booked.idem_key == "vat:2026-000001"
    assert ledger.vat_transaction("2026-000001", "hanbit-ai", 0, T0, T0 + HOUR) is None


def test_rows_and_back() -> None:
    booked = ledger.reversal(ledger.usage_transaction(GANG, BOOK), 3, reason="r", approved_by="lee")
    row = ledger.tx_record(booked, 9, T0 + 2 * HOUR, "2026-10")
    entries = ledger.entry_records(booked, 9)
    assert (row.seq, row.booked_at_ms, row.period, row.reverses_seq) == (9, T0 + 2 * HOUR, "2026-10", 3)
    assert [entry.line for entry in entries] == list(range(7))
    other = replace(entries[0], seq=8)
    assert ledger.transaction_of(row, [other, *reversed(entries)]) == booked


def test_grouping_refuses_two_contents_under_one_id() -> None:
    with pytest.raises(InvariantBroken, match="one content"):
        ledger.grouped([GANG[0], replace(GANG[0], billed_milli_gpu_ms=1)])


def told(rng: random.Random) -> list[Story]:
    """A handful of attempts of different jobs, with all their oddities."""
    return [story(rng, step=10_000, job=f"job{chr(97 + index)}aaa") for index in range(6)]


def slices_of(stories: list[Story], through: int) -> list[SliceRecord]:
    """Every final slice as it is known at ``through``."""
    known = [(*each.known_at(through), each.class_name) for each in stories]
    return [part for attempt, ranks, class_name in known for part in cut(usage_of(attempt, ranks, class_name), through)]


def booked_by_a_settler(rng: random.Random, stories: list[Story]) -> dict[str, Transaction]:
    """A settler that wakes at random instants, sees slices in any order, some twice, and repeats itself."""
    book: dict[str, Transaction] = {}
    last = max(max(each.gone, each.admitted) for each in stories)
    for through in watermarks(rng, min(each.admitted for each in stories), last, 5):
        slices = slices_of(stories, through)
        slices += rng.sample(slices, len(slices) // 2)
        rng.shuffle(slices)
        for group in ledger.grouped(slices):
            transaction = ledger.usage_transaction(group, BOOK)
            assert book.setdefault(transaction.idem_key, transaction) == transaction
    return book


def test_any_order_and_duplication_gives_the_same_ledger(rng: random.Random) -> None:
    transactions = 0
    for _ in range(25):
        stories = told(rng)
        at_once = [ledger.usage_transaction(group, BOOK) for group in ledger.grouped(slices_of(stories, FOREVER))]
        assert booked_by_a_settler(rng, stories) == {each.idem_key: each for each in at_once}
        order = [(each.occurred_from_ms, each.idem_key.split(":")[1]) for each in at_once]
        assert order == sorted(order)
        transactions += len(at_once)
    assert transactions >= 100


def expected_balances(stories: list[Story]) -> Counter[tuple[str, str]]:
    """What the ledger must hold, by counting and by exact fractions."""
    sums: Counter[tuple[str, str]] = Counter()
    for each in stories:
        held, billed = oracle.counted(each, 10_000, [])
        unit, tenant = f"milli_gpu_ms:{each.flavor}", f"{each.org}/{each.project}"
        for account, amount in (
            (f"used:{tenant}", sum(held.values())),
            (f"billed:{tenant}", sum(billed.values())),
            (f"capacity:{each.cluster}", -sum(held.values())),
            (f"metered:{each.cluster}", -sum(billed.values())),
        ):
            sums[account, unit] += amount
        list_won = BOOK.rate_cards[each.rate_card][each.flavor]
        tier = 450_000 if (each.policy_version, each.tier) == (2, Tier.BORROW) else TIERS[each.tier]
        share = CLASSES[each.class_name]
        other = f"funder_receivable:{share.funder}" if share.funder else f"discount:{each.class_name}"
        for amount in billed.values():
            product = oracle.microwon(amount, list_won, tier)
            tenant_part = oracle.microwon(amount, list_won, tier, share.of_list_ppm)
            sums[f"receivable:{each.org}", "microwon"] += tenant_part
            sums[other, "microwon"] += product - tenant_part
            sums[f"revenue:{each.cluster}", "microwon"] -= product
    return sums


def test_the_ledger_holds_what_counting_and_fractions_give(rng: random.Random) -> None:
    paid = 0
    for _ in range(15):
        stories = told(rng)
        book = booked_by_a_settler(rng, stories)
        entries = [leg for transaction in book.values() for leg in transaction.entries]
        balances = {key: amount for key, amount in ledger.balances(entries).items() if amount}
        expected = {key: amount for key, amount in expected_balances(stories).items() if amount}
        assert balances == expected
        assert not any(ledger.unit_sums(entries).values())
        paid += sum(1 for account, _ in balances if account.startswith("receivable:"))
    assert paid >= 10
