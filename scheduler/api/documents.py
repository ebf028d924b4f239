"""PDFs of invoices and credit notes as answers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response

from scheduler.api.deps import Deps
from scheduler.services import pdfs
from scheduler.services.actors import Actor

Lang = Annotated[Literal["ko", "en"], Query(description="Language of the document.")]


def pdf_answer(deps: Deps, actor: Actor, what: str, number: str, lang: str) -> Response:
    """The PDF of an ``invoice`` or a ``credit`` as a file."""
    content = pdfs.pdf(deps.store, deps.witnesses.renderer, actor, what, number, lang, deps.clock())
    headers = {"Content-Disposition": f'attachment; filename="{number}-{lang}.pdf"'}
    return Response(content, headers=headers, media_type="application/pdf")
