"""What a verification found, in a few lines for people: what stands, what differs, and what could not be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from scheduler.cli import exits
from scheduler.cli.clean import clean
from scheduler.cli.delivery import sum_holds, sum_of
from scheduler.cli.session import Session
from scheduler.cli.tables import instant_text
from scheduler.core.errors import DureError
from scheduler.schema.quantities import UNREADABLE_WON

if TYPE_CHECKING:
    from scheduler.schema.bodies import VerifyBody

GOOD, BAD, NOT_ASKED = "✓", "✗", "–"
OF_LINES = "line "


class Line(NamedTuple):
    """A mark and what it is about."""

    mark: str
    text: str


def tell_verdict(session: Session, body: VerifyBody, what: str, fetch: Callable[[], Any], output: str) -> int:
    """Print a verification; ``fetch`` gets the document, whose sum is computed here. Returns the exit code."""
    from scheduler.cli.render import render, stdout_view
    from scheduler.cli.sheets import CHECKS
    from scheduler.cli.streams import put

    ok, detail = _checked_here(fetch)
    if output in ("json", "yaml"):
        session.emit(body, CHECKS, output)
        if not ok:
            session.warn(f"sha256 {detail}")
    else:
        session.data(clean(heading(body)))
        if output == "wide":
            put(render(body, CHECKS, "table", stdout_view(session.now_ms()), body.checks))
        for line in (*lines(body, what), Line(GOOD if ok else BAD, f"sha256   {detail}")):
            session.data(clean(f"{line.mark}   {line.text}"))
    good = ok and body.ok and all(check.ok for check in body.checks)
    session.talk(f"{what} {body.number}: {'no difference' if good else 'THERE IS A DIFFERENCE'}")
    return exits.OK if good else exits.MISMATCH


def heading(body: VerifyBody) -> str:
    """What was verified: ``lines 214   total 3,594,537 KRW   closed 2026-11-03 10:00 KST by kim``."""
    total = "unreadable" if body.total_won == UNREADABLE_WON else f"{body.total_won:,} KRW"
    by = f" by {body.closed_by}" if body.closed_by else ""
    closed = f"   closed {instant_text(body.closed_at)}{by}" if body.closed_at else ""
    return f"lines {body.lines:,}   total {total}{closed}"


def lines(body: VerifyBody, what: str) -> Iterator[Line]:
    """One line for each kind of check, and one for each check that differs."""
    if body.lines:
        whole = body.lines == body.lines_ok
        difference = "difference 0" if whole else f"{body.lines - body.lines_ok:,} differ"
        counted = f"{body.lines_ok:,}/{body.lines:,} lines recomputed from {body.intervals:,} raw intervals"
        yield Line(GOOD if whole else BAD, f"{counted} ({difference})")
    others = [check for check in body.checks if not check.name.startswith(OF_LINES)]
    good = sum(check.ok for check in others)
    if others:
        about = "issue, totals, tax and ledger" if what == "invoice" else "issue, consent, totals, tax and ledger"
        yield Line(GOOD if good == len(others) else BAD, f"{good:,}/{len(others):,} checks of {about}")
    for check in body.checks:
        if not check.ok:
            yield Line(BAD, f"{check.name}: {check.detail}")
    for check in (*body.pdfs, *((body.prometheus,) if body.prometheus else ())):
        yield Line((GOOD if check.ok else BAD) if check.asked else NOT_ASKED, f"{check.name}: {check.detail}")
    if body.credit_notes:
        numbers = ", ".join(body.credit_notes)
        yield Line(GOOD, f"credited {body.credited_won:,} KRW by {numbers}: dure credit verify NUMBER")


def _checked_here(fetch: Callable[[], Any]) -> tuple[bool, str]:
    """Whether the text's SHA-256 is the one the server gives for it; a text that cannot be had is a difference."""
    try:
        body = fetch()
    except DureError as error:
        return False, f"the text could not be fetched: {error.message}"
    return sum_holds(body), f"of the text, computed here: {sum_of(body)}"
