"""How Alembic runs here: inside the transaction of the connection that ``scheduler.store.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from scheduler.store.tables import METADATA


def run() -> None:
    """Run the migrations that were asked for; the caller commits."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection, target_metadata=METADATA, render_as_batch=connection.dialect.name == "sqlite"
    )
    context.run_migrations()


run()
