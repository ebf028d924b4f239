"""The first schema: every record kind and the facts. The SQL beside it is its text, one file a database."""

from __future__ import annotations

from importlib import resources

from alembic import op

revision = "0001"
down_revision: str | None = None

TABLES = (
    *(
        "job",
        "attempt",
        "rank",
        "node",
        "cluster",
        "observation",
        "finding",
        "policy",
        "key",
        "rate_card",
        "org",
        "project",
    ),
    *("member", "token", "idempotency", "lease", "counter", "cycle", "checkpoint", "slice", "ledger_entry"),
    *("ledger_tx", "period", "invoice", "waiting", "artifact", "fact"),
    *("credit_proposal", "credit_note", "rendering"),
)


def upgrade() -> None:
    """Create every table and index."""
    dialect = op.get_bind().dialect.name
    script = resources.files("scheduler.store.migrations") / "sql" / f"0001_{dialect}.sql"
    for statement in script.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop everything this version made, with all data."""
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql("DROP SEQUENCE fact_horizon")
