"""Documents on their way to a file or to standard output: whole or not at all, and no binary on a terminal."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scheduler.cli.arguments import PLAIN
from scheduler.cli.base import OUTPUT, option
from scheduler.cli.clean import shortened
from scheduler.cli.session import Session
from scheduler.cli.streams import put_bytes
from scheduler.core.errors import Fatal

BAD_VALUE = "DURE-1008"
NOT_WRITTEN = "DURE-6056"
NOT_UNDERSTOOD = "DURE-8003"
DOCUMENT_SHAPES = ("table", "json", "yaml", "csv", "text", "pdf")
SAID_EVERY_MS = 1_000
SUMS = "SHA256SUMS"


lang_option = option(
    "--lang",
    type=click.Choice(("ko", "en")),
    metavar="LANG",
    default="ko",
    help="Language of documents: ko or en; ko without it.",
)


def document_options(function: Any) -> Any:
    """``--lang`` and ``--file`` of commands that give out a document."""
    for decorate in (
        option(
            "--file",
            metavar="PATH",
            default="",
            group=OUTPUT,
            help="Write it to this file, not to standard output.",
        ),
        lang_option,
    ):
        function = decorate(function)
    return function


def deliver(session: Session, content: bytes | Callable[[], bytes], file: str, *, binary: bool = False) -> None:
    """Write a document to the file, or to standard output for "".

    binary: it is not written to a terminal, and not even fetched. Raises Fatal where that is asked, and where the file
    cannot be written.
    """
    if binary and not file and sys.stdout.isatty():
        raise Fatal(BAD_VALUE, "-o pdf is not text: it is not written to a terminal", "--file NAME.pdf, or > NAME.pdf")
    found = content() if callable(content) else content
    if not file:
        put_bytes(found)
        return
    new = write_whole(Path(file), found)
    session.talk(f"{file}: {len(found):,} bytes{'' if new else ', as it was'}")


def write_whole(path: Path, content: bytes) -> bool:
    """Put the file in place whole; False when it was there with the same bytes. Raises Fatal."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else error
        message = f"{shortened(str(path))} cannot be written: {detail}"
        raise Fatal(NOT_WRITTEN, message, "choose another place") from error
    return True


def sum_of(body: Any) -> str:
    """SHA-256 of a document's canonical text, computed here."""
    return hashlib.sha256(body.text.encode()).hexdigest()


def sum_holds(body: Any) -> bool:
    """Whether that is the one which the server gives for it."""
    return sum_of(body) == str(body.sha256)


class Export:
    """All documents of a period as files of one folder."""

    def __init__(self, session: Session, folder: str, lang: str) -> None:
        """``lang``: of the PDFs, "" for none."""
        self._session = session
        self._folder = Path(folder)
        self._lang = lang
        self._sums: dict[str, str] = {}
        self._written = 0
        self._said_ms = session.now_ms()

    def run(self, period: str) -> None:
        """Fetch and write; raises Fatal where a file cannot be written or a document has another sum."""
        client = self._session.client
        invoices = [item.number for item in client.invoices(period=period).items]
        notes = [item.number for item in client.credits().items if item.booked_in == period]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{shortened(str(self._folder))} cannot be made: {error.strerror}"
            raise Fatal(NOT_WRITTEN, message, "choose another place") from error
        total = len(invoices) + len(notes)
        for done, number in enumerate(sorted(invoices), 1):
            self._document(number, client.invoice(number), client.invoice_csv, client.invoice_pdf)
            self._say(done, total)
        for done, number in enumerate(sorted(notes), 1 + len(invoices)):
            self._document(number, client.credit(number), client.credit_csv, client.credit_pdf)
            self._say(done, total)
        self._finish()
        made = f"{len(invoices)} invoices and {len(notes)} credit notes of {period} in {self._folder}"
        self._session.talk(f"{made}; {self._written} of {len(self._sums)} files are new")

    def _document(self, number: str, body: Any, csv: Callable[[str], bytes], pdf: Callable[[str, str], bytes]) -> None:
        if not re.fullmatch(PLAIN, number, re.ASCII) or not sum_holds(body):
            message = f"the server's {shortened(number)} has no proper number, or not the SHA-256 that it gives"
            raise Fatal(NOT_UNDERSTOOD, message, f"dure invoice verify {shortened(number)}")
        self._write(f"{number}.json", body.text.encode())
        self._write(f"{number}.csv", csv(number))
        if self._lang:
            self._write(f"{number}-{self._lang}.pdf", pdf(number, self._lang))

    def _write(self, name: str, content: bytes) -> None:
        self._sums[name] = hashlib.sha256(content).hexdigest()
        self._written += write_whole(self._folder / name, content)

    def _finish(self) -> None:
        """The sums of everything here, as ``sha256sum -c`` reads them."""
        lines = (f"{digest}  {name}\n" for name, digest in sorted(self._sums.items()))
        write_whole(self._folder / SUMS, "".join(lines).encode())

    def _say(self, done: int, total: int) -> None:
        now_ms = self._session.now_ms()
        if now_ms - self._said_ms >= SAID_EVERY_MS:
            self._said_ms = now_ms
            self._session.talk(f"{done} of {total} documents")
