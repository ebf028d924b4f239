"""``dure check``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from scheduler.cli import exits
from scheduler.cli.base import EXITS_ALWAYS, command, output_option
from scheduler.cli.session import Session
from scheduler.core.errors import Fatal, Finding

if TYPE_CHECKING:
    from scheduler.cli.errors import Fault
    from scheduler.cli.submitting import Draft

FILES_MAX = 100


@command(
    "check",
    exit_codes=EXITS_ALWAYS,
    examples=("dure check task.yaml", "dure check jobs/*.yaml", "dure check task.yaml -o json"),
    see_also=("submit", "help"),
)
@click.argument("names", metavar="FILE...", nargs=-1, required=True, shell_complete=click.Path().shell_complete)
@output_option("table", "json", "jsonl", "yaml", "csv")
def check(session: Session, names: tuple[str, ...], output: str) -> int:
    """Check task files without a server.

    Every mistake is shown at its place, and the folder named by workdir is looked at as submitting would. What only
    the server knows (flavors, limits, projects) is checked by dure submit --dry-run. With -o json and the like the
    mistakes are a list, which is empty where there are none; exit code 2 says that there is one.
    """
    from scheduler.cli.errors import Fault
    from scheduler.cli.sheets_local import FINDINGS
    from scheduler.cli.tables import Row

    if len(names) > FILES_MAX:
        raise click.UsageError(f"{len(names)} files at once; at most {FILES_MAX}")
    faults = [fault for name in names if (fault := _fault(session, name, tell=output == "table"))]
    findings = [finding for fault in faults for finding in fault.findings]
    if output != "table":
        rows = [Row({"where": x.where, "code": x.code, "message": x.message, "fix": x.fix}) for x in findings]
        session.emit_rows("FindingList", rows, FINDINGS, output)
        return exits.USAGE if findings else exits.OK
    if findings:
        raise Fault(findings, {name: text for fault in faults for name, text in fault.sources.items()})
    session.next(("Plan it", f"dure submit {shlex.quote(names[0])} --dry-run"))
    return exits.OK


def _fault(session: Session, name: str, *, tell: bool) -> Fault | None:
    """What is wrong with a file; one that is right is told, with ``tell``."""
    from scheduler.cli.errors import Fault
    from scheduler.cli.submitting import Draft

    try:
        draft = Draft(session, name, None, {})
        draft.package()
    except Fault as fault:
        return fault
    except Fatal as error:  # the other files are looked at all the same
        return Fault([Finding("", error.code, error.message, error.fix)])
    if tell:
        session.data(f"{name}: {_summary(draft)}")
    return None


def _summary(draft: Draft) -> str:
    task = draft.task
    gang = f"{task.nodes} x {task.gpus}" if task.nodes > 1 else str(task.gpus)
    return f"ok ({task.name}, {gang}, {', then '.join(task.tiers)})"
