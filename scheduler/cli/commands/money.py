"""``dure period ...``."""

from __future__ import annotations

import click

from scheduler.cli.arguments import PERIOD
from scheduler.cli.base import EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.clean import shortened
from scheduler.cli.session import Session
from scheduler.cli.tables import instant_text
from scheduler.cli.waiting import wait_timeout_option
from scheduler.core.errors import Fatal

WAITED_TOO_LONG = "DURE-8009"
POLL_SECONDS = 1.0
WAIT_SECONDS_MAX = 86_400
NO_PERIOD = "DURE-3007"
OPEN, CLOSED = "open", "closed"

period = group(
    "period",
    "List and close billing periods.",
    examples=("dure period list", "dure period close 2026-11 --wait-timeout 10m"),
)


@command("list", parent=period, examples=("dure period list", "dure period list -o json"), see_also=("period close",))
@output_option()
def list_periods(session: Session, output: str) -> None:
    """List billing periods, oldest first."""
    from scheduler.cli.sheets import PERIODS

    page = session.client.periods()
    session.emit(page, PERIODS, output, page.items)


@command(
    "close",
    parent=period,
    exit_codes=EXITS_CHANGE,
    examples=("dure period close", "dure period close 2026-11 --wait-timeout 10m --yes"),
    see_also=("invoice list",),
)
@click.argument("name", type=PERIOD, metavar="[PERIOD]", required=False, default="")
@option("--wait", is_flag=True, help="Wait until it is over.")
@wait_timeout_option()
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option("table", "json", "yaml", "id")
def close(session: Session, name: str, wait: bool, wait_timeout: int | None, yes: bool, output: str) -> None:
    """Close a billing period and issue its invoices.

    Without PERIOD it is the oldest open one. It cannot be opened again: you are asked, and without a terminal --yes
    is needed. A period stays closing until all of its usage is in the ledger; asking again tells what it waits for.
    With --wait or --wait-timeout it is waited for; exit code 8 says that it was not closed in time.
    """
    from scheduler.cli.sheets import PERIODS

    body = session.client.close_period(name if yes else _agreed(session, name))
    wait = wait or wait_timeout is not None
    seconds = WAIT_SECONDS_MAX if wait_timeout is None else min(wait_timeout, WAIT_SECONDS_MAX)
    deadline_ms = session.now_ms() + (seconds * 1_000 if wait else 0)
    said = ""
    while body.state != CLOSED and session.now_ms() < deadline_ms:
        if body.waiting_for != said:
            said = body.waiting_for
            session.talk(f"closing: {said}")
        session.wait(POLL_SECONDS)
        body = session.client.close_period(body.id)
    waits = f": {body.waiting_for}" if body.waiting_for else ""
    session.told(body, PERIODS, output, f"period/{body.id} {body.state}{waits}")
    if body.state == CLOSED:
        session.next(("Invoices", f"dure invoice list --period {body.id}"))
    elif wait:
        raise Fatal(WAITED_TOO_LONG, f"period {body.id} was not closed in time{waits}", f"dure period close {body.id}")
    else:
        session.next(("How far", f"dure period close {body.id}"))


def _agreed(session: Session, name: str) -> str:
    """The period that the user agrees to close; one that is closing or closed already needs no consent."""
    periods = session.client.periods().items
    found = next((item for item in periods if item.id == name or (not name and item.state != CLOSED)), None)
    if found is None:
        what = f"there is no period {shortened(name)}" if name else "no period is open"
        raise Fatal(NO_PERIOD, what, "dure period list")
    if found.state == OPEN:
        question = f"Close period {found.id}, open since {instant_text(found.start)}? It cannot be opened again."
        session.confirm(question, yes=False, consent=True)
    return found.id
