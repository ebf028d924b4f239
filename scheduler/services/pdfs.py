"""PDFs of invoices and credit notes: made when asked for; the hash of what is handed out is kept (decision 0010)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from scheduler.core.errors import Fatal
from scheduler.core.records import RenderingRecord
from scheduler.schema.bodies import CheckBody
from scheduler.services.actors import Actor
from scheduler.services.credits import found_note
from scheduler.services.invoices import found_invoice
from scheduler.services.ports import Reader, Renderer, Store, Where
from scheduler.services.submit import Conflict, NotFound

NOT_MADE_HERE = "DURE-3020"
DAMAGED = {"invoice": "DURE-6022", "credit": "DURE-6053"}
OTHER_BYTES = "DURE-9060"
RENDERINGS_MAX = 1_000
DOCUMENTS = ("invoice", "credit")


@dataclass(frozen=True, slots=True)
class NoRenderer:
    """Where no PDF can be made."""

    name: str = ""

    def pdf(self, text: str, lang: str) -> bytes:
        """Always raises NotFound."""
        raise _not_made_here()


def pdf(store: Store, renderer: Renderer, actor: Actor, what: str, number: str, lang: str, now_ms: int) -> bytes:
    """The PDF of an invoice (what: ``invoice``) or a credit note (``credit``); its hash is kept before it is given.

    Raises NotFound (no such document, or no PDFs here), Conflict for a damaged text, Fatal when the same renderer made
    other bytes before: such a PDF is not given to anybody.
    """
    with store.read() as view:
        text = _text(view, actor, what, number)
    if not renderer.name:
        raise _not_made_here()
    try:
        content = renderer.pdf(text, lang)
    except ValueError as error:
        message = f"the stored text of {number} is damaged: {error}"
        raise Conflict(DAMAGED[what], message, f"dure {what} verify {number}") from error
    made = RenderingRecord(
        document=number,
        lang=lang,
        renderer=renderer.name,
        sha256=hashlib.sha256(content).hexdigest(),
        at_ms=now_ms,
    )
    with store.read() as view:
        known = view.get(RenderingRecord, number, lang, renderer.name)
    if known is None:
        with store.write() as tx:
            tx.add_new(made)
            known = tx.get(RenderingRecord, number, lang, renderer.name)
    if known is None or known.sha256 != made.sha256:
        message = f"the PDF of {number} ({lang}) is another than the one handed out before"
        raise Fatal(OTHER_BYTES, message, f"dure {what} verify {number}")
    return content


def handed_out(view: Reader, number: str) -> list[RenderingRecord]:
    """Every PDF of a document that was handed out, oldest first."""
    of_document = Where("document", "=", number)
    return view.select(RenderingRecord, of_document, order=("at_ms", "lang", "renderer"), limit=RENDERINGS_MAX)


def checks(renderer: Renderer, text: str, renderings: list[RenderingRecord]) -> list[CheckBody]:
    """Each PDF that was handed out, made again where the same renderer is here; outside of any transaction."""
    found = [_check(renderer, text, rendering) for rendering in renderings]
    nothing = CheckBody(name="PDF", ok=True, asked=False, detail="none was handed out yet: nothing to compare")
    return found or [nothing]


def _check(renderer: Renderer, text: str, record: RenderingRecord) -> CheckBody:
    name = f"PDF {record.lang}"
    if record.renderer != renderer.name:
        here = renderer.name or "no renderer"
        detail = f"{record.sha256} was made by {record.renderer}; here is {here}, so it is not made again"
        return CheckBody(name=name, ok=True, asked=False, detail=detail)
    try:
        again = hashlib.sha256(renderer.pdf(text, record.lang)).hexdigest()
    except (ValueError, Fatal) as error:
        return CheckBody(name=name, ok=False, detail=f"cannot be made again: {error}")
    if again == record.sha256:
        return CheckBody(name=name, ok=True, detail=f"sha256 {again} = the record of what was handed out")
    return CheckBody(name=name, ok=False, detail=f"sha256 is {again}, handed out was {record.sha256}")


def _text(view: Reader, actor: Actor, what: str, number: str) -> str:
    if what == "invoice":
        return found_invoice(view, actor, number).invoice_json
    return found_note(view, actor, number).note_json


def _not_made_here() -> NotFound:
    return NotFound(
        NOT_MADE_HERE,
        "this server makes no PDFs: typst is not installed there",
        "pip install 'dure[pdf]' on the server",
    )
