"""``dure explain``, ``dure completion`` and ``dure version``."""

from __future__ import annotations

import re

import click

from scheduler.cli.arguments import live
from scheduler.cli.base import EXITS_ALWAYS, command, output_option
from scheduler.cli.clean import shortened
from scheduler.cli.exits import NOT_FOUND
from scheduler.cli.session import Session
from scheduler.core.errors import Fatal

NO_CODE = "DURE-3011"
SHELLS = ("bash", "zsh", "fish", "powershell")
INSTALL = {
    "bash": "dure completion bash > ~/.local/share/bash-completion/completions/dure",
    "zsh": "dure completion zsh > ~/.zfunc/_dure   (and fpath+=~/.zfunc before compinit in ~/.zshrc)",
    "fish": "dure completion fish > ~/.config/fish/completions/dure.fish",
    "powershell": "dure completion powershell >> $PROFILE",
}


@command(
    "explain",
    exit_codes=(*EXITS_ALWAYS, NOT_FOUND),
    examples=("dure explain DURE-2101", "dure explain 2101", "dure explain"),
)
@click.argument("code", metavar="[CODE]", required=False, shell_complete=live("codes"))
@output_option("table", "json", "jsonl", "yaml", "csv", "id")
def explain(session: Session, code: str | None, output: str) -> None:
    """Explain an error code; without one, list them all."""
    from scheduler.cli.sheets import CODES as SHEET
    from scheduler.cli.tables import Row
    from scheduler.schema.codes import CODES

    rows = {
        name: Row({"code": name, "title": entry.title, "explanation": entry.explanation, "example": entry.example})
        for name, entry in sorted(CODES.items())
    }
    if code is None:
        session.emit_rows("CodeList", list(rows.values()), SHEET, output)
        return
    number = re.fullmatch(r"(?:DURE-?)?(\d{4})", code.strip(), re.IGNORECASE | re.ASCII)
    row = rows.get(f"DURE-{number[1]}") if number else None
    if row is None:
        raise Fatal(NO_CODE, f"there is no code {shortened(code)}", "dure explain lists them all")
    if output == "table":
        session.data(f"{row.code}  {row.title}\n\n{row.explanation}\n\nFor example:\n  {row.example}")
    else:
        session.emit_row("Code", row, SHEET, output)


@command("completion", exit_codes=EXITS_ALWAYS, examples=tuple(INSTALL.values()))
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
def completion(session: Session, shell: str) -> None:
    """Print a completion script for your shell.

    SHELL is bash, zsh, fish or powershell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise Fatal("DURE-1008", f"there is no completion for {shell}", f"use one of: {', '.join(SHELLS)}")
    root = click.get_current_context().find_root().command
    session.data(found(root, {}, "dure", "_DURE_COMPLETE").source().rstrip("\n"))
    session.next(("Install", INSTALL[shell]))


@command("version", exit_codes=EXITS_ALWAYS, examples=("dure version", "dure version -o json"), see_also=("doctor",))
@output_option("table", "json", "yaml", "id")
def version(session: Session, output: str) -> None:
    """Print the version.

    dure doctor compares it with the server's."""
    import platform

    from scheduler.cli.sheets import VERSION
    from scheduler.cli.tables import Row

    row = Row({"version": own_version(), "python": platform.python_version(), "platform": platform.platform()})
    if output == "table":
        session.data(f"dure {row.version}")
    else:
        session.emit_row("Version", row, VERSION, output)


def own_version() -> str:
    """The installed version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("dure")
    except PackageNotFoundError:
        return "unknown"
