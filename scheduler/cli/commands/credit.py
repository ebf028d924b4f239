"""``dure credit ...``."""

from __future__ import annotations

import click

from scheduler.cli import exits
from scheduler.cli.arguments import INVOICE, ORG, Named
from scheduler.cli.base import EXITS_API, EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.build import request
from scheduler.cli.clean import shortened
from scheduler.cli.delivery import DOCUMENT_SHAPES, deliver, document_options
from scheduler.cli.session import Session
from scheduler.core.errors import Fatal

BAD_VALUE = "DURE-1008"
REASONS = ("01", "02", "06")
MICRO_HOURS = 1_000_000
CREDIT = Named("number of a credit note or id of a proposal", "dure credit list")

credit = group(
    "credit",
    "Propose, approve, read and verify credit notes.",
    examples=(
        'dure credit propose NUMBER --reason 02 --explanation "a node was slow" --line 3=12.5',
        "dure credit approve ID",
        "dure credit verify NUMBER",
    ),
)


@command(
    "propose",
    parent=credit,
    exit_codes=EXITS_CHANGE,
    examples=(
        'dure credit propose NUMBER --reason 06 --explanation "issued twice"',
        'dure credit propose NUMBER --reason 02 --explanation "a node was slow" --line 3=12.5',
    ),
    see_also=("credit approve", "invoice get"),
)
@click.argument("number", type=INVOICE, metavar="NUMBER")
@option(
    "--reason",
    type=click.Choice(REASONS),
    metavar="CODE",
    required=True,
    help="01 wrong entry, 06 issued twice: the whole invoice; 02 supply value changed: lines.",
)
@option("--explanation", metavar="TEXT", required=True, help="Why, as the credit note says it.")
@option(
    "--line",
    "lines",
    metavar="LINE=GPU-HOURS",
    multiple=True,
    help="A line of the invoice and what of it stays billed; may be repeated.",
)
@output_option("table", "json", "yaml", "id")
def propose(session: Session, number: str, reason: str, explanation: str, lines: tuple[str, ...], output: str) -> None:
    """Propose to take something off an issued invoice.

    The invoice itself is never changed. Another administrator has to approve; then the credit note is issued and
    booked. The same question again is the same proposal.
    """
    from scheduler.cli.sheets_credit import CREDIT_CARD
    from scheduler.schema.bodies import CreditRequest

    left = [{"number": line, "left_milli_gpu_ms": usage} for line, usage in map(line_left, lines)]
    options = {"invoice": "NUMBER", "explanation": "--explanation", "lines": "--line"}
    asked = request(CreditRequest, options, invoice=number, reason=reason, explanation=explanation, lines=left)
    body = session.client.propose_credit(asked)
    off = f"{body.payable_won:,} won off {body.invoice}"
    session.told(body, CREDIT_CARD, output, f"credit/{body.id} {body.state}: {off}")
    session.next(("Look", f"dure credit get {body.id}"), ("Another admin", f"dure credit approve {body.id}"))


def line_left(text: str) -> tuple[int, int]:
    """Number of a line and the milli-GPU-ms that stay billed, from ``LINE=GPU-HOURS``; raises Fatal."""
    from scheduler.core.units import MILLI_GPU_MS_PER_GPU_HOUR, parse_ppm

    line, _, amount = text.partition("=")
    try:
        if not (line.isascii() and line.isdigit() and 0 < int(line[:9]) == int(line)) or amount.startswith("-"):
            raise ValueError(line)
        return int(line), parse_ppm(amount) * (MILLI_GPU_MS_PER_GPU_HOUR // MICRO_HOURS)
    except ValueError as error:
        fix = "write for example --line 3=12.5, with at most 6 places"
        raise Fatal(BAD_VALUE, f"--line {shortened(text)} is not LINE=GPU-HOURS", fix) from error


@command(
    "approve",
    parent=credit,
    exit_codes=EXITS_CHANGE,
    examples=("dure credit approve ID", "dure credit approve ID --yes -o json"),
    see_also=("credit propose", "credit get"),
)
@click.argument("proposal", type=CREDIT, metavar="ID")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option("table", "json", "yaml", "id")
def approve(session: Session, proposal: str, yes: bool, output: str) -> None:
    """Issue and book the credit note that another administrator proposed.

    It cannot be taken back: you are asked, and without a terminal --yes is needed. A repeat changes nothing.
    """
    from scheduler.cli.sheets_credit import CREDIT_CARD

    if not yes:
        found = session.client.credit(proposal)
        off = f"take {found.payable_won:,} won off {found.invoice} ({found.reason}: {found.explanation})"
        session.confirm(f"{off}, proposed by {found.proposed_by}?", yes=found.state == "issued", consent=True)
    body = session.client.approve_credit(proposal)
    off = f"{body.payable_won:,} won off {body.invoice}"
    session.told(body, CREDIT_CARD, output, f"credit/{body.number} {body.state}: {off}")
    session.next(("Read", f"dure credit get {body.number}"), ("Verify", f"dure credit verify {body.number}"))


@command(
    "list",
    parent=credit,
    examples=("dure credit list", "dure credit list --invoice NUMBER -o csv"),
    see_also=("credit get", "invoice list"),
)
@option("--invoice", type=INVOICE, metavar="NUMBER", default="", help="Of this invoice.")
@option("--org", type=ORG, metavar="ORG", default="", help="Of this one.")
@output_option()
def list_credits(session: Session, invoice: str, org: str, output: str) -> None:
    """List credit notes and proposals, newest first.

    Proposals are shown to those who read every organisation.
    """
    from scheduler.cli.sheets_credit import CREDITS

    page = session.client.credits(invoice=invoice, org=org)
    session.emit(page, CREDITS, output, page.items)


@command(
    "get",
    parent=credit,
    examples=("dure credit get NUMBER", "dure credit get NUMBER -o pdf --file note.pdf"),
    see_also=("credit verify", "credit list"),
)
@click.argument("name", type=CREDIT, metavar="NUMBER|ID")
@document_options
@output_option(*DOCUMENT_SHAPES)
def get(session: Session, name: str, lang: str, file: str, output: str) -> None:
    """Show a credit note, or a proposal, with its lines.

    CSV, text and PDF are there once it is issued; -o text is its canonical text, byte for byte.
    """
    from scheduler.cli.render import render, stdout_view
    from scheduler.cli.sheets_credit import CREDIT_CARD, CREDIT_LINES
    from scheduler.cli.streams import put

    if output == "csv":
        deliver(session, session.client.credit_csv(name), file)
        return
    if output == "pdf":
        deliver(session, lambda: session.client.credit_pdf(name, lang), file, binary=True)
        return
    body = session.client.credit(name)
    if output == "text":
        deliver(session, body.text.encode(), file)
        return
    session.emit(body, CREDIT_CARD, output)
    if output == "table" and body.lines:
        session.data("")
        put(render(None, CREDIT_LINES, "table", stdout_view(session.now_ms()), body.lines))


@command(
    "verify",
    parent=credit,
    exit_codes=(*EXITS_API, exits.MISMATCH),
    examples=("dure credit verify NUMBER", "dure credit verify NUMBER -o json"),
    see_also=("credit get", "invoice verify"),
)
@click.argument("number", type=CREDIT, metavar="NUMBER")
@output_option("table", "wide", "json", "yaml")
def verify(session: Session, number: str, output: str) -> int:
    """Recompute a credit note and compare.

    The server makes it again from its invoice's text, the notes before it, the proposal and the ledger; the SHA-256 of
    its text is computed here. Exit code 20 says that there is a difference.
    """
    from scheduler.cli.verdict import tell_verdict

    body = session.client.verify_credit(number)
    return tell_verdict(session, body, "credit note", lambda: session.client.credit(number), output)
