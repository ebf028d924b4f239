"""Print the tables as the models have them: ``python -m scheduler.store.schema_text sqlite|postgresql``.

For the author of a migration, to compare; migrations themselves never read the models.
"""

from __future__ import annotations

import re
import sys

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from scheduler.store.tables import METADATA

DIALECTS: dict[str, type[Dialect]] = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}
HEAD = "-- Schema version 0001. A released version never changes; a change is a new version."


def schema_text(dialect: str) -> str:
    """CREATE statements of every table and index, each ended by a semicolon and a line break."""
    lines = [HEAD]
    words = DIALECTS[dialect]()
    for table in METADATA.sorted_tables:
        text = str(CreateTable(table).compile(dialect=words)).strip()
        text = re.sub(r"\s*\n\t", "\n  ", text).replace("\n)\n STRICT", "\n) STRICT")
        lines.append(f"{text};")
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            lines.append(f"{str(CreateIndex(index).compile(dialect=words)).strip()};")
    if dialect == "postgresql":
        lines.append("CREATE SEQUENCE fact_horizon;")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text(sys.argv[1]))
