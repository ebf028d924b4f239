"""The sheets of credit notes."""

from __future__ import annotations

from scheduler.cli import tables as t
from scheduler.cli.tables import Column, Sheet
from scheduler.schema import bodies

CREDITS = Sheet(
    (
        Column("ID", t.text("id")),
        Column("STATE", t.text("state")),
        Column("NUMBER", t.text("number")),
        Column("INVOICE", t.text("invoice")),
        Column("ORGANISATION", t.text("org"), cuts=True, leaves=2),
        Column("REASON", t.text("reason"), leaves=3),
        Column("OFF", t.won("payable_won"), right=True),
        Column("BY", t.text("proposed_by"), leaves=1),
        Column("APPROVED BY", t.text("approved_by"), wide=True),
        Column("PROPOSED", t.instant("proposed_at"), wide=True),
        Column("ISSUED", t.instant("issued_at"), wide=True),
        Column("EXPLANATION", t.text("explanation"), wide=True, folds=True),
        Column("SHA-256", t.text("sha256"), wide=True),
    ),
    t.by_field("id"),
    lambda row: row.number or row.id,
    t.fields_of(bodies.CreditSummary),
    empty="no credit notes that you may see",
)
CREDIT_CARD = Sheet(
    t.note(
        (
            ("Credit note", t.text("number")),
            ("Proposal", t.text("id")),
            ("State", t.text("state")),
            ("Invoice", t.text("invoice")),
            ("Organisation", t.text("org")),
            ("Reason", t.text("reason")),
            ("Explanation", t.text("explanation")),
            ("Proposed", lambda row, view: f"{t.instant_text(row.proposed_at)} by {row.proposed_by}"),
            ("Approved by", t.text("approved_by")),
            ("Issued", t.instant("issued_at")),
            ("Booked in", t.text("booked_in")),
            ("Product", t.less("product_won")),
            ("Subsidy", t.less("subsidy_won")),
            ("Supply value", t.less("supply_won")),
            ("VAT", t.less("vat_won")),
            ("Payable", t.less("payable_won")),
            ("SHA-256", t.text("sha256")),
        )
    ),
    lambda row: row.number or row.id,
    lambda row: row.number or row.id,
    CREDITS.fields,
    card=True,
)
CREDIT_LINES = Sheet(
    (
        Column("LINE", t.number("number"), right=True),
        Column("PROJECT", t.text("project"), folds=True),
        Column("FLAVOR", t.text("flavor")),
        Column("TIER", t.text("tier")),
        Column("GPU-H BEFORE", t.hours("before_milli_gpu_ms"), right=True),
        Column("AFTER", t.hours("after_milli_gpu_ms"), right=True),
        Column("PRODUCT", t.less("product_won"), right=True),
        Column("PAID BY FUND", t.less("funder_won"), right=True),
        Column("DISCOUNT", t.less("discount_won"), right=True),
        Column("TENANT", t.less("tenant_won"), right=True),
    ),
    t.by_field("number"),
    t.by_field("project"),
    (),
)
