"""Fetch artifacts to a folder, with a bar on a terminal while that takes."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scheduler.cli.session import Session
from scheduler.client.artifacts import read_part
from scheduler.client.http import not_understood
from scheduler.client.package import files_text, size_text
from scheduler.client.receive import ReceivingFolder
from scheduler.core.errors import Fatal
from scheduler.schema.artifacts import clashing
from scheduler.schema.bodies import ArtifactBody

Advance = Callable[[int], None]


def fetch(session: Session, job: str, found: Sequence[ArtifactBody], pattern: str, to: str) -> list[ArtifactBody]:
    """Write the files that fit, of the newest attempt that has any; returns them.

    Before a byte is fetched it is sure that no name leads elsewhere and that nothing is replaced. Raises Fatal.
    """
    chosen = _chosen(job, found, pattern)
    with ReceivingFolder(Path(to).expanduser()) as folder:
        missing = [file for file in chosen if not folder.has(file.path, file.sha256)]
        with _bar(session, sum(file.size for file in missing)) as advance:
            for file in missing:
                folder.put(file.path, _parts(session, job, file, advance), file.sha256)
    if missing:
        size = size_text(sum(file.size for file in missing))
        session.talk(f"{files_text(len(missing))}, {size}, from attempt {chosen[0].attempt}")
    if there := len(chosen) - len(missing):
        session.talk(f"{files_text(there)} {'was' if there == 1 else 'were'} there already")
    return chosen


def _chosen(job: str, found: Sequence[ArtifactBody], pattern: str) -> list[ArtifactBody]:
    fitting = [file for file in found if file.state == "complete" and fnmatch.fnmatchcase(file.path, pattern)]
    if not fitting:
        fix = f"dure job artifacts {job} lists what there is"
        raise Fatal("DURE-3032", f"job {job} has no artifact that fits {pattern!r}", fix)
    newest = max(file.attempt for file in fitting)
    chosen = [file for file in fitting if file.attempt == newest]
    if clash := clashing([file.path for file in chosen]):
        raise not_understood(f"two artifacts have the name {min(clash)!r}")
    return chosen


def _parts(session: Session, job: str, file: ArtifactBody, advance: Advance) -> Iterator[bytes]:
    offset = 0
    while offset < file.size:
        content = read_part(session.client, job, file.attempt, file.number, offset)
        if not content:
            return
        yield content
        offset += len(content)
        advance(len(content))


@contextmanager
def _bar(session: Session, size: int) -> Iterator[Advance]:
    """On a terminal a bar on standard error; elsewhere, and with --quiet, nothing."""
    if session.flags.quiet or not sys.stderr.isatty() or not size:
        yield lambda _size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size)
        yield lambda done: progress.advance(task, done)
