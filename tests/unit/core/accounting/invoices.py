"""Invoices for the tests: one that shows everything, and random ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from scheduler.core.accounting import ledger
from scheduler.core.accounting.calendar import month_bounds
from scheduler.core.accounting.invoice import InvoiceInputs, build, closing_transactions
from scheduler.core.accounting.invoice_model import Party
from scheduler.core.accounting.rounding import Rounding
from scheduler.core.accounting.usage import posted
from scheduler.core.accounting.verification import StoredTransaction
from scheduler.core.model import Tier
from scheduler.core.records import OrgRecord, PeriodRecord, SliceRecord
from tests.unit.core.accounting.worlds import A100, BOOK, CLASSES, H100, HOUR, T0, usage_slice

START_MS, END_MS = month_bounds("2026-10")
PERIOD = PeriodRecord(id="2026-10", calendar="month", start_ms=START_MS, end_ms=END_MS, state="closing", close_seq=40)
ORG = OrgRecord(name="hanbit-ai", class_name="sme", title="한빛에이아이 주식회사", registration_number="123-45-67891")
ISSUER = Party("dure", "두레 컴퓨팅 센터", "130-00-00000")


def sequenced(slices: Sequence[SliceRecord]) -> list[SliceRecord]:
    """The slices as a settler posts them: one sequence for each attempt and span, from 1."""
    groups = enumerate(ledger.grouped(slices), 1)
    return [part for seq, group in groups for part in posted(group, period=PERIOD.id, ledger_seq=seq)]


def sample_slices() -> list[SliceRecord]:
    """A month of hanbit-ai: two projects, flavors and rate cards, all tiers, three classes' prices, a part hour."""
    return sequenced(
        [
            usage_slice("jobaaaa", HOUR, tier=Tier.BORROW),
            usage_slice("jobaaaa", HOUR, tier=Tier.BORROW, rank=1, gpus=3),
            usage_slice("jobaaaa", 1_234_567, tier=Tier.BORROW, start_ms=T0 + HOUR, end_ms=T0 + HOUR + 2_000_001),
            usage_slice("jobbbbb", HOUR),
            usage_slice("jobcccc", 777, flavor=A100),
            usage_slice("jobdddd", 1_111_111, project="vision", tier=Tier.SCAVENGE, rate_card="ratecard-2026-1"),
            usage_slice("jobeeee", 2_222_222, project="vision", tier=Tier.BORROW, policy_version=2),
            usage_slice("jobffff", 3_333_333, project="vision", class_name="startup"),
            usage_slice("jobgggg", 1_000_003, project="vision", class_name="regional"),
            usage_slice("jobhhhh", 0, project="waits"),
        ]
    )


def sample_inputs() -> InvoiceInputs:
    """The invoice that shows everything."""
    return InvoiceInputs(
        number="2026-000001",
        issued_at_ms=END_MS + 5 * 24 * HOUR,
        period=PERIOD,
        org=ORG,
        issuer=ISSUER,
        slices=sample_slices(),
        book=BOOK,
        vat_ppm=100_000,
    )


def drawn_slices(rng: random.Random, count: int) -> list[SliceRecord]:
    """Random posted slices of one organisation; ``count`` attempts."""
    slices = []
    for number in range(count):
        start_ms = T0 + rng.randrange(100) * HOUR
        shared = {
            "tier": rng.choice(list(Tier)),
            "class_name": rng.choice(sorted(CLASSES)),
            "project": rng.choice(("nlp", "vision")),
            "flavor": rng.choice((H100, A100)),
            "rate_card": rng.choice(sorted(BOOK.rate_cards)),
            "policy_version": rng.choice(sorted(BOOK.policies)),
            "cluster": rng.choice(("seoul", "busan")),
        }
        for rank in range(rng.randint(1, 3)):
            billed_ms = rng.choice((0, HOUR, rng.randrange(HOUR)))
            gpus = rng.randint(1, 8)
            made = usage_slice(
                f"job{number}", billed_ms, rank=rank, gpus=gpus, start_ms=start_ms, end_ms=start_ms + HOUR
            )
            slices.append(replace(made, **shared))  # type: ignore[arg-type]  # fields by name, drawn once a gang
    return sequenced(slices)


def drawn_inputs(rng: random.Random, rounding: Rounding | None = None) -> InvoiceInputs:
    """The sample with random slices, tax and treatment."""
    return replace(
        sample_inputs(),
        slices=drawn_slices(rng, rng.randrange(30)),
        rounding=rounding or sample_inputs().rounding,
        vat_ppm=rng.choice((100_000, 0, rng.randrange(300_000))),
        org=replace(ORG, tax_treatment=rng.choice(("taxable", "zero_rated", "exempt"))),
    )


def stored_ledger(inputs: InvoiceInputs) -> list[StoredTransaction]:
    """The transactions of an invoice as the store keeps them: usage, then what closing it books."""
    by_seq: dict[int, list[SliceRecord]] = {}
    for part in inputs.slices:
        by_seq.setdefault(part.ledger_seq, []).append(part)
    booked = {seq: ledger.usage_transaction(group, inputs.book) for seq, group in by_seq.items()}
    for seq, transaction in enumerate(closing_transactions(build(inputs)), max(booked, default=0) + 1):
        booked[seq] = transaction
    return [
        (ledger.tx_record(transaction, seq, END_MS, PERIOD.id), ledger.entry_records(transaction, seq))
        for seq, transaction in sorted(booked.items())
    ]
