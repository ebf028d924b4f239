"""``dure help`` and ``dure skill``."""

from __future__ import annotations

from typing import Any

import click

from scheduler.cli import exits
from scheduler.cli.base import EXITS_ALWAYS, command
from scheduler.cli.clean import shortened
from scheduler.cli.session import Session
from scheduler.core.errors import Fatal

NO_TOPIC = "DURE-1060"
WORDS_MAX = 4


def _topics(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Topics and commands, for the shell to complete."""
    from click.shell_completion import CompletionItem

    from scheduler.cli.topics import all_topics

    root = _ctx.find_root().command
    commands = root.list_commands(_ctx) if isinstance(root, click.Group) else []
    return [CompletionItem(name) for name in (*commands, *all_topics()) if name.startswith(incomplete)]


@command(
    "help",
    exit_codes=EXITS_ALWAYS,
    examples=("dure help", "dure help submit", "dure help task.resources.gpus", "dure help slurm"),
    see_also=("explain", "skill"),
)
@click.argument("words", metavar="[TOPIC]", nargs=-1, shell_complete=_topics)
def help_(session: Session, words: tuple[str, ...]) -> None:
    """Explain a command, a field of the task file, or a topic.

    TOPIC is a command (submit, job get), task or a field of it (task.gpus), slurm, output, environment or exit-codes;
    without one it is the list of commands. An error code: dure explain CODE.
    """
    from scheduler.cli.topics import text_of

    topic = " ".join(words[:WORDS_MAX]).removeprefix("dure ")
    text = text_of(topic) or _page(topic.split())
    if text is None:
        raise Fatal(NO_TOPIC, f"there is no help about {shortened(topic)}", _guess(topic))
    session.data(text.rstrip("\n"))


def _page(words: list[str]) -> str | None:
    """The help page of a command; None when there is none."""
    context = click.get_current_context().find_root()
    for word in words:
        found = context.command
        inner = found.get_command(context, word) if isinstance(found, click.Group) else None
        if inner is None:
            return None
        context = click.Context(inner, info_name=word, parent=context, **inner.context_settings)
    return context.get_help()


def _guess(topic: str) -> str:
    from scheduler.cli.topics import all_topics
    from scheduler.schema.report import nearest

    root = click.get_current_context().find_root()
    commands = root.command.list_commands(root) if isinstance(root.command, click.Group) else []
    guess = nearest(topic, [*all_topics(), *commands])
    return f"did you mean dure help {guess}?" if guess else "dure help lists the commands; topics: task, slurm, output"


@command("skill", exit_codes=EXITS_ALWAYS, examples=("dure skill", "dure skill > SKILL.md"), see_also=("help",))
def skill(session: Session) -> None:
    """Print a guide for programs and agents that use dure.

    It is text in Markdown: the daily commands, how to read their output, the exit codes, and what not to do. The
    whole command tree as JSON is dure --describe.
    """
    from importlib import resources

    from scheduler.cli.main import COMMANDS

    text = (resources.files("scheduler.cli") / "skill.md.in").read_text(encoding="utf-8")
    lines = [f"- `dure {name}`: {entry.summary}" for section in COMMANDS.values() for name, entry in section.items()]
    codes = [f"| {code} | {meaning} |" for code, meaning in exits.MEANING.items()]
    session.data(text.replace("@COMMANDS@", "\n".join(lines)).replace("@EXITS@", "\n".join(codes)).rstrip("\n"))
