"""Triggers and functions: what a table refuses beyond its CHECKs. Made from the constants of the core.

They are no part of the migrations: ``install`` puts the present ones in place after every upgrade,
because SQLite drops a table's triggers when a migration rebuilds it, and because the constants they
come from are the code's, not history's. All our names begin with ``dure_``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import Connection

from scheduler.core.lifecycle import ATTEMPT_STEPS, JOB_STEPS
from scheduler.store.tables import append_only_tables

PREFIX = "dure_"
BALANCE_TRIGGER = f"{PREFIX}ledger_balanced"

REFUSE = """\
CREATE OR REPLACE FUNCTION dure_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$"""

BALANCED = """\
CREATE OR REPLACE FUNCTION dure_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT sum(amount) FROM ledger_entry WHERE seq = NEW.seq AND unit = NEW.unit) <> 0 THEN
    RAISE EXCEPTION 'ledger: the legs of % do not sum to zero in %', NEW.seq, NEW.unit
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$"""

# Taking a sequence and raising the horizon is one step of nobody else: so every smaller sequence was taken by a
# transaction that is not younger than this row's horizon. The inner block is rolled back on purpose, which frees the
# lock at once (sequences keep their values), so that no appender ever waits for another one's commit.
APPEND_FACT = """\
CREATE OR REPLACE FUNCTION dure_append_fact(fact_kind text, fact_at_ms bigint, fact_body text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  youngest bigint := pg_current_xact_id()::text::bigint;
BEGIN
  BEGIN
    PERFORM pg_advisory_xact_lock(x'4475726546616374'::bigint);  -- 'DureFact'
    place := nextval('fact_seq_seq');
    SELECT greatest(last_value, youngest) INTO youngest FROM fact_horizon;
    PERFORM setval('fact_horizon', youngest);
    RAISE EXCEPTION USING ERRCODE = 'DU000';
  EXCEPTION WHEN SQLSTATE 'DU000' THEN
    NULL;
  END;
  INSERT INTO fact (seq, kind, at_ms, body_json, horizon) VALUES (place, fact_kind, fact_at_ms, fact_body, youngest);
  RETURN place;
END $$"""


def illegal_step(steps: Mapping[StrEnum, frozenset[StrEnum]]) -> str:
    """SQL that holds when OLD.state -> NEW.state is another state and not in the table of legal steps."""
    legal = [
        f"(OLD.state = '{state.value}' AND NEW.state IN ({', '.join(sorted(repr(to.value) for to in after))}))"
        for state, after in steps.items()
        if after
    ]
    return f"NEW.state <> OLD.state AND NOT ({' OR '.join(legal)})"


def guards() -> Iterator[tuple[str, str, str, str, str]]:
    """(name, table, event, condition, message) of each row trigger; the condition is SQL for both databases."""
    for table in append_only_tables():
        yield f"{table}_no_update", table, "UPDATE", "", f"{table} is append-only: UPDATE is refused"
        yield f"{table}_no_delete", table, "DELETE", "", f"{table} is append-only: DELETE is refused"
    job_steps: Mapping[StrEnum, frozenset[StrEnum]] = {state: frozenset(to) for state, to in JOB_STEPS.items()}
    attempt_steps: Mapping[StrEnum, frozenset[StrEnum]] = {state: frozenset(to) for state, to in ATTEMPT_STEPS.items()}
    yield "job_steps", "job", "UPDATE", illegal_step(job_steps), "job: this is not a legal step"
    yield "attempt_steps", "attempt", "UPDATE", illegal_step(attempt_steps), "attempt: this is not a legal step"
    reason = "OLD.stop_reason IS NOT NULL AND (NEW.stop_reason IS NULL OR NEW.stop_reason <> OLD.stop_reason)"
    yield "attempt_reason", "attempt", "UPDATE", reason, "attempt: its stop reason never changes"
    held = "NEW.held > NEW.healthy"
    message = "node: held may not rise above healthy GPUs"
    yield "node_held", "node", "UPDATE", f"NEW.held > OLD.held AND {held}", message
    yield "node_first_held", "node", "INSERT", held, message


def sqlite_statements() -> dict[str, str]:
    """Name -> CREATE TRIGGER of every trigger on SQLite."""
    made = {}
    for name, table, event, condition, message in guards():
        when = f"\nWHEN {condition}" if condition else ""
        made[PREFIX + name] = (
            f"CREATE TRIGGER {PREFIX}{name} BEFORE {event} ON {table}{when}\n"
            f"BEGIN\n  SELECT RAISE(ABORT, '{message}');\nEND"
        )
    return made


def postgresql_statements() -> Iterator[str]:
    """CREATE FUNCTION and CREATE TRIGGER of everything on PostgreSQL, in an order that works."""
    yield from (REFUSE, BALANCED, APPEND_FACT)
    for name, table, event, condition, message in guards():
        when = f"WHEN ({condition}) " if condition else ""
        yield (
            f"CREATE OR REPLACE TRIGGER {PREFIX}{name} BEFORE {event} ON {table} "
            f"FOR EACH ROW {when}EXECUTE FUNCTION {PREFIX}refuse('{message}')"
        )
    for table in append_only_tables():
        yield (
            f"CREATE OR REPLACE TRIGGER {PREFIX}{table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {PREFIX}refuse('{table} is append-only: TRUNCATE is refused')"
        )
    yield (
        f"CREATE CONSTRAINT TRIGGER {BALANCE_TRIGGER} AFTER INSERT ON ledger_entry "
        f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {PREFIX}balanced()"
    )


def postgresql_triggers() -> set[tuple[str, str]]:
    """(name, table) of every trigger on PostgreSQL."""
    rows = {(PREFIX + name, table) for name, table, *_ in guards()}
    truncations = {(f"{PREFIX}{table}_no_truncate", table) for table in append_only_tables()}
    return rows | truncations | {(BALANCE_TRIGGER, "ledger_entry")}


def install(connection: Connection) -> bool:
    """Put the present triggers and functions in place; True when something had to be changed."""
    if connection.dialect.name == "sqlite":
        return _install_sqlite(connection)
    return _install_postgresql(connection)


def remove(connection: Connection) -> None:
    """Take all our triggers and functions away, as before a downgrade."""
    if connection.dialect.name == "sqlite":
        for name in _sqlite_present(connection):
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        return
    for name, table in _postgresql_present(connection):
        connection.exec_driver_sql(f'DROP TRIGGER "{name}" ON "{table}"')
    for function in ("refuse()", "balanced()", "append_fact(text, bigint, text)"):
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {PREFIX}{function}")


def _install_sqlite(connection: Connection) -> bool:
    wanted, present = sqlite_statements(), _sqlite_present(connection)
    if wanted == present:
        return False
    remove(connection)
    for statement in wanted.values():
        connection.exec_driver_sql(statement)
    return True


def _sqlite_present(connection: Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE ?"
    found = connection.exec_driver_sql(query, (f"{PREFIX}%",))
    return {row.name: row.sql for row in found}


def _install_postgresql(connection: Connection) -> bool:
    """The fingerprint of all statements lies in a function's comment; which triggers are there says the catalogue."""
    statements = list(postgresql_statements())
    wanted = sha256("\n".join(statements).encode()).hexdigest()
    found = connection.exec_driver_sql(f"SELECT obj_description(to_regproc('{PREFIX}refuse'), 'pg_proc')").scalar()
    if found == wanted and set(_postgresql_present(connection)) == postgresql_triggers():
        return False
    remove(connection)
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    connection.exec_driver_sql(f"COMMENT ON FUNCTION {PREFIX}refuse() IS '{wanted}'")
    return True


def _postgresql_present(connection: Connection) -> list[tuple[str, str]]:
    query = (
        "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND t.tgname LIKE %s AND pg_table_is_visible(c.oid)"
    )
    return [(row.tgname, row.relname) for row in connection.exec_driver_sql(query, (f"{PREFIX}%",))]
