"""An invoice made again after a restart, wherever and in whatever language: the same JSON, CSV and PDF bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.core.accounting.rendering import invoice_csv, parse_invoice
from scheduler.core.records import InvoiceRecord
from scheduler.documents.pdf import pdf
from scheduler.documents.texts import LANGUAGES
from scheduler.store.open import open_store
from tests.support import control_plane
from tests.support.control_plane import ControlPlane
from tests.support.invoiced import ACME, close_an_hour
from tests.support.source import ROOT

SECONDS_MAX = 120
PLACES = {
    "as it is": {},
    "New York": {"TZ": "America/New_York", "PYTHONHASHSEED": "1"},
    "C": {"LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "2"},
    "Korean": {"LANG": "ko_KR.UTF-8", "LC_ALL": "ko_KR.UTF-8", "PYTHONHASHSEED": "3"},
    "another day": {"SOURCE_DATE_EPOCH": "86400", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "4"},
}


@dataclass(frozen=True)
class Issued:
    """A database with an issued invoice, and the sums of that invoice's forms as this process makes them."""

    url: str
    sums: dict[str, str]


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """Used, posted, closed and issued on SQLite; the database is closed then, as by a server that stops."""
    url = f"sqlite:///{tmp_path_factory.mktemp('rebuild') / 'dure.db'}"
    store = open_store(url, migrate=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_plane, "MemoryStore", lambda: store)
        plane = ControlPlane()
    close_an_hour(plane)
    [record] = plane.rows(InvoiceRecord, ("number", "=", ACME))
    store.close()
    text = record.invoice_json
    forms = {"json": text.encode(), "csv": invoice_csv(parse_invoice(text)).encode()}
    forms |= {lang: pdf(text, lang) for lang in LANGUAGES}
    return Issued(url, {form: hashlib.sha256(content).hexdigest() for form, content in forms.items()})


@pytest.mark.parametrize("place", PLACES)
def test_the_same_bytes_in_another_process(issued: Issued, place: str, tmp_path: Path) -> None:
    program = ROOT / "tests" / "unit" / "documents" / "rebuild.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **PLACES[place]}
    command = [sys.executable, str(program), issued.url, ACME]
    made = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert made.returncode == 0, made.stderr
    assert dict(line.split() for line in made.stdout.splitlines()) == issued.sums
