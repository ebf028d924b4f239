"""Prints the SHA-256 of an invoice's JSON, CSV and PDFs, made again from the slices of a database: a new process."""

from __future__ import annotations

import hashlib
import sys

from scheduler.core.accounting.invoice import build
from scheduler.core.accounting.rendering import invoice_csv, invoice_json
from scheduler.core.records import InvoiceRecord, PeriodRecord
from scheduler.documents.pdf import pdf
from scheduler.documents.texts import LANGUAGES
from scheduler.services.effective import EffectivePolicies
from scheduler.services.invoices import inputs_of
from scheduler.store.open import open_store


def main(url: str, number: str) -> None:
    """Make it again and print a line for each form."""
    store = open_store(url, migrate=False)
    with store.read() as view:
        record = view.get(InvoiceRecord, number)
        assert record is not None
        period = view.get(PeriodRecord, record.period)
        assert period is not None
        invoice = build(inputs_of(view, EffectivePolicies(), record, period))
    store.close()
    text = invoice_json(invoice)
    forms = {"json": text.encode(), "csv": invoice_csv(invoice).encode()}
    forms.update({lang: pdf(text, lang) for lang in LANGUAGES})
    for form, content in forms.items():
        sys.stdout.write(f"{form} {hashlib.sha256(content).hexdigest()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
