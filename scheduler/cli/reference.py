"""The command tree as data: the reference page docs/reference/cli.md and ``dure --describe``.

``python -m scheduler.cli.reference`` prints the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from scheduler.cli import exits
from scheduler.cli.base import ENVIRONMENT, GLOBAL, OPTIONS, LazyGroup, Pages

PAGE_COLUMNS = 100
HEAD = """# The command line

Every command of `dure`, as `dure COMMAND --help` shows it. This page is made from the commands themselves
(`python -m scheduler.cli.reference`); a test fails when it is out of date.

Data goes to standard output, everything for people to standard error. `-o` gives the shape of the data: `json` and
`yaml` are the API's answer unchanged, `jsonl` has one item a line, `csv` the items' fields, `id` and `name` one word a
line. What goes on and on (`dure queue --watch`) is a line for each change, with `-o jsonl` an object. Without a
terminal there are no colours, no questions, no progress and no cut columns.

## Settings

A setting comes from the first of these that has it; `dure config show --origin` tells which.

| place | what it may hold |
|---|---|
| options | `--server`, `--context`, `--project`, `--org` |
| variables | `DURE_SERVER`, `DURE_CONTEXT`, `DURE_PROJECT`, `DURE_ORG`, `DURE_TOKEN` |
| `dure.yaml` in this folder or one above it | `context`, `server` (one that you have used before), `org`, `project` |
| the context in use, in `config.yaml` | `server`, `org`, `project` |

`config.yaml` and `credentials.json` lie in `~/.config/dure`, or where `DURE_CONFIG_DIR` says. A token is sent to the
server it was stored for and to no other; a `credentials.json` that others can read is refused. `NO_COLOR` turns
colours off.

## Exit codes

| code | meaning |
|---|---|
"""


def walk(command: click.Command, path: tuple[str, ...] = ("dure",)) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its path, in the order of the help pages, groups before their verbs."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1], **command.context_settings)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from walk(found, (*path, name))


def help_page(command: click.Command, path: tuple[str, ...]) -> str:
    """The command's help page, 100 columns wide."""
    context: click.Context | None = None
    for part in path[:-1]:
        context = click.Context(click.Group(part), info_name=part, parent=context)
    context = click.Context(command, info_name=path[-1], parent=context, **command.context_settings)
    formatter = click.HelpFormatter(width=PAGE_COLUMNS)
    command.format_help(context, formatter)
    return formatter.getvalue().rstrip("\n") + "\n"


def reference(root: click.Group) -> str:
    """The reference page."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in exits.MEANING.items())
    parts = [HEAD + codes]
    for path, command in walk(root):
        parts.append(f"\n## {' '.join(path)}\n\n```\n{help_page(command, path)}```\n")
    return "".join(parts)


def describe(root: click.Group) -> str:
    """The command tree as JSON, for completion, documents and programs."""
    commands = [_described(path, command) for path, command in walk(root)]
    known = {"environment": ENVIRONMENT, "exit_codes": {str(code): text for code, text in exits.MEANING.items()}}
    return json.dumps({"apiVersion": "dure.dev/v1alpha1", "kind": "CommandList", "items": commands, **known}, indent=2)


def _described(path: tuple[str, ...], command: click.Command) -> dict[str, Any]:
    entry: dict[str, Any] = {"command": " ".join(path), "summary": command.get_short_help_str(limit=200)}
    if isinstance(command, Pages):
        entry["examples"] = list(command.examples)
        entry["exit_codes"] = list(command.exit_codes)
        entry["usages"] = list(command.usages)
        entry["see_also"] = list(command.see_also)
        entry["environment"] = list(command.environment)
    entry["group"] = isinstance(command, click.Group)
    entry["parameters"] = [
        _parameter(item)
        for item in command.params
        if getattr(item, "group", OPTIONS) != GLOBAL or isinstance(command, LazyGroup)
    ]
    return entry


def _parameter(item: click.Parameter) -> dict[str, Any]:
    values = list(item.type.choices) if isinstance(item.type, click.Choice) else []
    names = [*item.opts, *item.secondary_opts] if isinstance(item, click.Option) else [item.human_readable_name]
    about = {"names": names, "required": item.required, "multiple": item.multiple or item.nargs == -1, "values": values}
    if isinstance(item, click.Option):
        return {**about, "flag": item.is_flag, "help": item.help or ""}
    return about


if __name__ == "__main__":
    from scheduler.cli.main import cli

    sys.stdout.write(reference(cli))
