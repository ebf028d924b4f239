"""The fairness page: one file of HTML with its style and pictures in it; no script, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scheduler.api.docs import raw_answer, reads
from scheduler.api.fairness import Found
from scheduler.schema.bodies import FairnessBody
from scheduler.web.fairness_view import FairnessPage
from scheduler.web.plots import TEXT, WIDTH
from scheduler.web.words import WORDS, Lang

FOLDER = Path(__file__).parent / "templates"
STYLE = (FOLDER / "fairness.css").read_text(encoding="utf-8")
_SUM = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_SUM}'; base-uri 'none'; form-action 'none'"
"""What the page may load: its own style, known by its hash, and nothing else."""
HEADERS = {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'"}

_PAGES = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
router = APIRouter(tags=["pages"])


def page(found: FairnessBody, lang: Lang) -> str:
    """The report as a page; the same body gives the same bytes."""
    template = _PAGES.get_template("fairness.html.j2")
    words = WORDS[lang]
    shown = FairnessPage(found, words)
    return template.render(page=shown, words=words, lang=lang, style=STYLE, policy=POLICY, width=WIDTH, letter=TEXT)


@router.get("/fairness", response_class=Response, responses=raw_answer("text/html") | reads(404, 409))
def get_fairness_page(found: Found, lang: Annotated[Lang, Query()] = "ko") -> Response:
    """The fairness report as a page of its own, in Korean or English."""
    return Response(page(found, lang), headers=HEADERS, media_type="text/html; charset=utf-8")
