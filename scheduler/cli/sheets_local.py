"""The sheets of lists that the command line makes itself."""

from __future__ import annotations

from scheduler.cli import tables as t
from scheduler.cli.tables import Column, Sheet

TEMPLATES = Sheet(
    (Column("NAME", t.text("name")), Column("SUMMARY", t.text("summary"), folds=True)),
    t.by_field("name"),
    t.by_field("name"),
    ("name", "summary"),
)
FINDINGS = Sheet(
    (
        Column("WHERE", t.text("where"), folds=True),
        Column("CODE", t.text("code")),
        Column("MESSAGE", t.text("message"), folds=True),
        Column("FIX", t.text("fix"), folds=True),
    ),
    t.by_field("where"),
    t.by_field("code"),
    ("where", "code", "message", "fix"),
)
