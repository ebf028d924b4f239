"""Answers that are files: PDFs of invoices and credit notes, and CSV."""

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
    return file_answer(content, f"{number}-{lang}.pdf", "application/pdf")


def csv_answer(text: str, name: str) -> Response:
    """CSV as a file of this name."""
    return file_answer(text, f"{name}.csv", "text/csv; charset=utf-8")


def file_answer(content: str | bytes, filename: str, media_type: str) -> Response:
    """An answer that a browser keeps as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return Response(content, headers=headers, media_type=media_type)
