"""A change of policy on its way: the reason for it, what would differ, and the lines that say so."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from scheduler.cli.build import request
from scheduler.cli.errors import Fault
from scheduler.cli.render import PLAIN_COLUMNS, Page, table
from scheduler.cli.sheets_policy import CHANGES, GUARANTEES, PRICES
from scheduler.cli.tables import Sheet, View
from scheduler.client.errors import ApiProblem
from scheduler.core.errors import Fatal, Finding
from scheduler.schema.bodies import Body, PolicyDiffBody, PolicyDiffRequest
from scheduler.schema.quantities import gpus_text

if TYPE_CHECKING:
    from scheduler.cli.session import Session


class Pointed(Protocol):
    """A text that findings point into."""

    def fault(self, findings: Iterable[Finding]) -> Fault:
        """The findings at their places, with their source lines."""


NO_REASON = "DURE-1271"
BAD_VALUE = "DURE-1008"
REFUSED = "DURE-2"
VERSION_DIGITS_MAX = 9
SHOWN_CHANGES_MAX = 60
SHOWN_WARNINGS_MAX = 10
INDENT = "  "


def require_reason(reason: str) -> None:
    """Raise Fatal where no reason is given."""
    if not reason.strip():
        raise Fatal(NO_REASON, "a policy is put in force for a reason, and none is given", 'add --reason "C-204: why"')


def sides(words: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """Files and versions of ``[FILE...] [VERSION [VERSION]]``; a word of digits alone is a version. Raises Fatal."""
    files = [word for word in words if not _is_version(word)]
    versions = [int(word) for word in words[len(files) :] if _is_version(word)]
    if len(files) + len(versions) != len(words):
        raise Fatal(BAD_VALUE, "versions stand after files", "write dure policy diff FILE VERSION; ./3 is a file")
    if len(versions) > (1 if files else 2):
        most = "one version" if files else "two versions"
        raise Fatal(BAD_VALUE, f"at most {most} can be compared here", "dure policy diff --help")
    if 0 in versions:
        raise Fatal(BAD_VALUE, "versions are counted from 1", "dure policy history")
    return tuple(files), versions


def _is_version(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= VERSION_DIGITS_MAX


def compared(session: Session, text: Pointed, content: str, name: str, against: int = 0) -> PolicyDiffBody:
    """What the text would change; raises Fault with its mistakes at their places."""
    body = request(PolicyDiffRequest, {"text": "FILE"}, text=content, file=name[:200], against=against)
    try:
        return session.client.diff_policy(body)
    except ApiProblem as problem:
        placed(problem, text)


def placed(problem: ApiProblem, text: Pointed) -> NoReturn:
    """Raise a server's findings at their places in the files, or the problem as it is."""
    if not problem.findings or problem.code.startswith(REFUSED):
        raise problem
    raise text.fault(problem.findings) from problem


def preview(session: Session, diff: PolicyDiffBody, text: Pointed) -> None:
    """Before it is asked: what would differ and whom it would hurt. Raises Fault for what would be refused anyway."""
    if diff.refusals:
        raise text.fault(
            Finding(where=item.where, code=item.code, message=item.message, fix=item.fix) for item in diff.refusals
        )
    before = f"version {diff.old_version}" if diff.old_version else "nothing in force"
    session.talk(f"Changes  against {before}")
    terminal = sys.stderr.isatty()
    columns = shutil.get_terminal_size().columns - len(INDENT) if terminal else PLAIN_COLUMNS
    page = Page(terminal, False, max(1, columns))
    for line in diff_text(diff, page, most=SHOWN_CHANGES_MAX).splitlines():
        session.talk(f"{INDENT}{line}" if line else "")
    for sentence in warnings(diff):
        session.warn(sentence)


def warnings(diff: PolicyDiffBody) -> Iterator[str]:
    """Who holds more guaranteed GPUs than would be guaranteed; what runs keeps running."""
    for item in diff.shrinks[:SHOWN_WARNINGS_MAX]:
        was, will, held = (gpus_text(amount) for amount in (item.before, item.after, item.held))
        yield (
            f"{item.tree_node} holds {held} guaranteed {item.flavor} and would be guaranteed {will} (now {was}): they"
            " keep running, and nothing new is guaranteed to it until it holds less"
        )
    rest = len(diff.shrinks) - SHOWN_WARNINGS_MAX
    if rest > 0:
        yield f"and {rest} more tree nodes hold more than they would be guaranteed"


def diff_text(diff: PolicyDiffBody, page: Page, most: int = 0, wide: bool = False) -> str:
    """Changes, then sums of guarantees and prices that differ; at most ``most`` rows of each, 0 for all."""
    if not diff.changes:
        return "no difference\n"
    sums = [item for item in diff.guarantees if item.before != item.after]
    parts = [
        _rows(CHANGES, diff.changes, page, most, wide),
        _rows(GUARANTEES, sums, page, most, wide),
        _rows(PRICES, diff.prices, page, most, wide),
    ]
    return "\n".join(part for part in parts if part)


def _rows(sheet: Sheet, rows: Sequence[Body], page: Page, most: int, wide: bool) -> str:
    shown = rows[:most] if most else rows
    columns = [column for column in sheet.columns if wide or not column.wide]
    rest = len(rows) - len(shown)
    more = f"and {rest} more; dure policy diff shows all of them\n" if rest > 0 else ""
    return table(columns, shown, View(), page) + more
