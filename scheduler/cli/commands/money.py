"""``dure period ...`` and ``dure invoice ...``."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import exits
from scheduler.cli.arguments import INVOICE as INVOICE_NUMBER
from scheduler.cli.arguments import ORG, PERIOD
from scheduler.cli.base import EXITS_API, EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.clean import clean, shortened, width
from scheduler.cli.session import Session
from scheduler.cli.streams import put, put_bytes
from scheduler.cli.tables import instant_text
from scheduler.cli.waiting import wait_timeout_option
from scheduler.core.errors import DureError, Fatal

if TYPE_CHECKING:
    from scheduler.schema.bodies import InvoiceBody

WAITED_TOO_LONG = "DURE-8009"
NOT_UNDERSTOOD = "DURE-8003"
POLL_SECONDS = 1.0
WAIT_SECONDS_MAX = 86_400
NO_PERIOD = "DURE-3007"
TOTALS = ("product_won", "funder_won", "discount_won", "tenant_won")
OPEN, CLOSED = "open", "closed"

period = group(
    "period",
    "List and close billing periods.",
    examples=("dure period list", "dure period close 2026-11 --wait-timeout 10m"),
)
invoice = group(
    "invoice",
    "List, read and verify usage invoices.",
    examples=("dure invoice list --period 2026-11", "dure invoice get NUMBER", "dure invoice verify NUMBER"),
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


@command(
    "list",
    parent=invoice,
    examples=("dure invoice list", "dure invoice list --period 2026-11 --org hanul-ai -o csv"),
    see_also=("invoice get", "invoice verify"),
)
@option("--period", type=PERIOD, metavar="PERIOD", default="", help="Invoices of this period.")
@option("--org", type=ORG, metavar="ORG", default="", help="Invoices of this organisation.")
@output_option()
def list_invoices(session: Session, period: str, org: str, output: str) -> None:
    """List usage invoices, newest first."""
    from scheduler.cli.sheets import INVOICES

    page = session.client.invoices(period=period, org=org)
    session.emit(page, INVOICES, output, page.items)


@command(
    "get",
    parent=invoice,
    examples=(
        "dure invoice get NUMBER",
        "dure invoice get NUMBER -o csv",
        "dure invoice get NUMBER -o text | sha256sum",
    ),
    see_also=("invoice verify",),
)
@click.argument("number", type=INVOICE_NUMBER, metavar="NUMBER")
@output_option("table", "json", "yaml", "csv", "text")
def get(session: Session, number: str, output: str) -> None:
    """Show a usage invoice with its lines.

    -o text is the canonical text of the invoice, byte for byte: its SHA-256 is the one that the list shows.
    """
    from scheduler.cli.render import plain
    from scheduler.cli.sheets import INVOICE
    from scheduler.cli.tables import Row

    if output == "csv":
        put_bytes(session.client.invoice_csv(number))
        return
    body = session.client.invoice(number)
    if not _sum_holds(body):
        session.warn(f"the text of invoice {body.number} does not have the SHA-256 that the server gives for it")
    if output == "text":
        put_bytes(body.text.encode())
        return
    if output != "table":
        session.emit(body, INVOICE, output)
        return
    session.emit(Row({**plain(body), **_totals(body)}), INVOICE, output)
    _lines(session, body)
    session.next(("Verify", f"dure invoice verify {body.number}"))


@command(
    "verify",
    parent=invoice,
    exit_codes=(*EXITS_API, exits.MISMATCH),
    examples=("dure invoice verify NUMBER", "dure invoice verify NUMBER -o json"),
    see_also=("invoice get",),
)
@click.argument("number", type=INVOICE_NUMBER, metavar="NUMBER")
@output_option("table", "json", "yaml")
def verify(session: Session, number: str, output: str) -> int:
    """Recompute an invoice and compare.

    The server computes it again from slices, rate card, policy and ledger; the SHA-256 of its text is computed here.
    Exit code 20 says that there is a difference.
    """
    from scheduler.cli.sheets import CHECKS

    body = session.client.verify_invoice(number)
    session.emit(body, CHECKS, output, body.checks if output == "table" else None)
    ok, detail = _checked_here(session, number)
    if output == "table":
        widest = max(width(check.name) for check in body.checks) if body.checks else 0
        session.data(f"{'✓' if ok else '✗'}   {'sha256'.ljust(widest)}   {clean(detail)}")
    elif not ok:
        session.warn(f"sha256 {detail}")
    good = ok and body.ok and all(check.ok for check in body.checks)
    session.talk(f"invoice {body.number}: {'no difference' if good else 'THERE IS A DIFFERENCE'}")
    return exits.OK if good else exits.MISMATCH


def _checked_here(session: Session, number: str) -> tuple[bool, str]:
    """Whether the text's SHA-256 is the one the server gives for it; a text that cannot be had is a difference."""
    try:
        body = session.client.invoice(number)
    except DureError as error:
        return False, f"the text could not be fetched: {error.message}"
    return _sum_holds(body), f"of the text, computed here: {_sum(body)}"


def _sum(body: InvoiceBody) -> str:
    return hashlib.sha256(body.text.encode()).hexdigest()


def _sum_holds(body: InvoiceBody) -> bool:
    return _sum(body) == body.sha256


def _totals(body: InvoiceBody) -> dict[str, int]:
    """The sums of the invoice's own text, by which its amounts add up; none where it does not say them."""
    try:
        totals: Any = json.loads(body.text)["totals"]
        return {name: value for name in TOTALS if isinstance(value := totals[name], int)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _lines(session: Session, body: InvoiceBody) -> None:
    from scheduler.cli.render import render, stdout_view
    from scheduler.cli.sheets import INVOICE_LINES
    from scheduler.cli.tables import Row

    try:
        found: Any = json.loads(body.text)["lines"]
        table = render(None, INVOICE_LINES, "table", stdout_view(session.now_ms()), [Row(line) for line in found])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"the text of invoice {body.number} is not understood"
        raise Fatal(NOT_UNDERSTOOD, message, "dure invoice get NUMBER -o text") from error
    session.data("")
    put(table)
