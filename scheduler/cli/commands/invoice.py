"""``dure invoice ...``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import exits
from scheduler.cli.arguments import INVOICE as INVOICE_NUMBER
from scheduler.cli.arguments import ORG, PERIOD
from scheduler.cli.base import EXITS_API, command, group, option, output_option
from scheduler.cli.clean import shortened
from scheduler.cli.delivery import DOCUMENT_SHAPES, deliver, document_options, lang_option, sum_holds
from scheduler.cli.session import Session
from scheduler.cli.streams import put
from scheduler.core.errors import Fatal

if TYPE_CHECKING:
    from scheduler.schema.bodies import InvoiceBody

NO_PERIOD = "DURE-3007"
NOT_UNDERSTOOD = "DURE-8003"
TOTALS = ("product_won", "funder_won", "discount_won", "tenant_won")

invoice = group(
    "invoice",
    "List, read, verify and export usage invoices.",
    examples=("dure invoice list --period 2026-11", "dure invoice get NUMBER -o pdf", "dure invoice verify NUMBER"),
)


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
        "dure invoice get NUMBER -o pdf --lang en --file invoice.pdf",
        "dure invoice get NUMBER -o text | sha256sum",
    ),
    see_also=("invoice verify", "invoice export"),
)
@click.argument("number", type=INVOICE_NUMBER, metavar="NUMBER")
@document_options
@output_option(*DOCUMENT_SHAPES)
def get(session: Session, number: str, lang: str, file: str, output: str) -> None:
    """Show a usage invoice with its lines.

    -o text is the canonical text of the invoice, byte for byte: its SHA-256 is the one that the list shows. -o pdf is
    the same bytes each time.
    """
    from scheduler.cli.render import plain
    from scheduler.cli.sheets import INVOICE
    from scheduler.cli.tables import Row

    if output == "csv":
        deliver(session, session.client.invoice_csv(number), file)
        return
    if output == "pdf":
        deliver(session, lambda: session.client.invoice_pdf(number, lang), file, binary=True)
        return
    body = session.client.invoice(number)
    if not sum_holds(body):
        session.warn(f"the text of invoice {body.number} does not have the SHA-256 that the server gives for it")
    if output == "text":
        deliver(session, body.text.encode(), file)
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
    examples=("dure invoice verify NUMBER", "dure invoice verify NUMBER -o wide", "dure invoice verify NUMBER -o json"),
    see_also=("invoice get", "credit verify"),
)
@click.argument("number", type=INVOICE_NUMBER, metavar="NUMBER")
@output_option("table", "wide", "json", "yaml")
def verify(session: Session, number: str, output: str) -> int:
    """Recompute an invoice and compare.

    The server computes it again from slices, rate card, policy and ledger, makes its PDFs again and asks Prometheus
    where it knows one; the SHA-256 of its text is computed here. -o wide shows every check. Exit code 20 says that
    there is a difference.
    """
    from scheduler.cli.verdict import tell_verdict

    body = session.client.verify_invoice(number)
    return tell_verdict(session, body, "invoice", lambda: session.client.invoice(number), output)


@command(
    "export",
    parent=invoice,
    examples=(
        "dure invoice export --period 2026-11 --to invoices",
        "dure invoice export --period 2026-11 --to x --no-pdf",
    ),
    see_also=("invoice list", "invoice verify"),
)
@option("--period", type=PERIOD, metavar="PERIOD", required=True, help="The invoices of this period.")
@option("--to", "folder", metavar="FOLDER", required=True, help="Folder to write them to; it is made if need be.")
@lang_option
@option("--no-pdf", is_flag=True, help="JSON and CSV only.")
def export(session: Session, period: str, folder: str, lang: str, no_pdf: bool) -> None:
    """Write every invoice of a period as JSON, CSV and PDF.

    Credit notes that are booked in the period are written too, and SHA256SUMS names all files. The same command again
    writes the same files; each appears whole or not at all.
    """
    from scheduler.cli.delivery import Export

    _require_known(session, period)
    Export(session, folder, "" if no_pdf else lang).run(period)


def _require_known(session: Session, period: str) -> None:
    """Raise Fatal for a period that is not there, as far as the user may know: not everybody may list periods."""
    from scheduler.client.errors import ApiRefused

    if session.client.invoices(period=period).items:
        return
    try:
        known = {item.id for item in session.client.periods().items}
    except ApiRefused:
        return
    if period not in known:
        raise Fatal(NO_PERIOD, f"there is no period {shortened(period)}", "dure period list")


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
