"""Click's commands as Dure uses them: loaded when run, with help that begins with examples.

This module is on the path of ``dure --help``: it may import click and the standard library, nothing else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from scheduler.cli import exits
from scheduler.cli.streams import writing

GLOBAL = "Global options"
OUTPUT = "Output options"
OPTIONS = "Options"
SHAPES = ("table", "wide", "json", "jsonl", "yaml", "csv", "id", "name")
GLOBAL_NAMES = ("server", "context", "quiet", "no_input", "debug")
EXITS_ALWAYS = (exits.OK, exits.UNEXPECTED, exits.USAGE)
EXITS_API = (*EXITS_ALWAYS, exits.NOT_FOUND, exits.LOGIN_NEEDED, exits.FORBIDDEN, exits.UNREACHABLE)
EXITS_CHANGE = (*EXITS_API[:-1], exits.CONFLICT, exits.REFUSED, exits.UNREACHABLE)
ENVIRONMENT = {
    "DURE_SERVER": "address of the server, as --server",
    "DURE_CONTEXT": "context to use, as --context",
    "DURE_ORG": "organisation you work in",
    "DURE_PROJECT": "project that jobs go to, [ORG/]PROJECT",
    "DURE_TOKEN": "the token, instead of the stored one",
    "DURE_CONFIG_DIR": "folder of config.yaml and credentials.json",
    "NO_COLOR": "set to anything: no colours",
}
"""Variables that every command reads, and what they are."""
OF_SERVER = ("DURE_SERVER", "DURE_CONTEXT", "DURE_ORG", "DURE_PROJECT", "DURE_TOKEN")
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Option(click.Option):
    """An option that belongs to a group of the help page."""

    def __init__(self, *args: Any, group: str = OPTIONS, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group

    def get_help_extra(self, ctx: click.Context) -> Any:
        """As click's, without the range: a mistake tells it in a sentence."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


class Pages(click.Command):
    """Help pages: summary, examples, arguments and options by group, commands, exit codes."""

    examples: Sequence[str] = ()
    exit_codes: Sequence[int] = ()
    see_also: Sequence[str] = ()
    usages: Sequence[str] = ()
    environment: Sequence[str] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, but every complaint knows whose command line it is about; it prints help where that is asked."""
        try:
            with writing():
                return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the page."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_text("\b\n" + "\n".join(f"$ {example}" for example in self.examples))
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        self.format_options(ctx, formatter)
        self.format_environment(ctx, formatter)
        if self.exit_codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), exits.MEANING[code]) for code in self.exit_codes], col_max=6)
        if self.see_also:
            formatter.write_paragraph()
            formatter.write_text("See also: " + ", ".join(f"dure {name}" for name in self.see_also))

    def format_environment(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The variables that the command reads: in words on the first page, by name on the others."""
        if ctx.parent is None:
            with formatter.section("Environment"):
                formatter.write_dl(list(ENVIRONMENT.items()))
        elif not isinstance(self, click.Group):
            own = (*self.environment, *(OF_SERVER if exits.UNREACHABLE in self.exit_codes else ()), "DURE_CONFIG_DIR")
            with formatter.section("Environment"):
                formatter.write_text(f"{', '.join((*own, 'NO_COLOR'))} (dure help environment)")

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line for each way to call the command."""
        if not self.usages:
            super().format_usage(ctx, formatter)
        for number, usage in enumerate(self.usages):
            formatter.write_usage(ctx.command_path, usage, "Usage: " if number == 0 else "       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options under the heading of their group, in the order of their declaration; global ones last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                is_global = "--help" in parameter.opts
                group = GLOBAL if is_global else getattr(parameter, "group", OPTIONS)
                groups.setdefault(group, []).append(record)
        last = groups.pop(GLOBAL, [])
        for title, records in [*groups.items(), (GLOBAL, last)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Command(Pages):
    """A command that does something."""


class Lazy(NamedTuple):
    """A command that is imported when it is run: ``module:name``, and its summary for the list of commands."""

    target: str
    summary: str


class LazyGroup(Pages, click.Group):
    """A group whose commands are modules that are loaded one by one, when they are asked for."""

    def __init__(self, *args: Any, lazy: Mapping[str, Mapping[str, Lazy]], **attributes: Any) -> None:
        """``lazy``: heading -> command -> where it is."""
        super().__init__(*args, **attributes)
        self.sections = lazy
        self._lazy = {name: entry for section in lazy.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help page."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of this name."""
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.target.partition(":")
        found = getattr(importlib.import_module(module), name)
        return found if isinstance(found, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but suggests from the commands that are not loaded."""
        if args and args[0] not in self._lazy and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=list(self._lazy), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by heading, without loading any."""
        width = max(len(name) for name in self._lazy)
        for title, entries in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in entries.items()])


class Group(Pages, click.Group):
    """A noun with its verbs, all in one module. elsewhere: verbs that people look for here, and what does it."""

    elsewhere: Mapping[str, str] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of their definition."""
        return list(self.commands)


class Flags(NamedTuple):
    """The global options of one call."""

    server: str = ""
    context: str = ""
    quiet: bool = False
    no_input: bool = False
    debug: bool = False

    def over(self, below: Flags) -> Flags:
        """These flags, and those of ``below`` where these are not set."""
        return Flags(
            self.server or below.server,
            self.context or below.context,
            self.quiet or below.quiet,
            self.no_input or below.no_input,
            self.debug or below.debug,
        )


def option(*names: str, group: str = OPTIONS, **attributes: Any) -> Callable[[Any], Any]:
    """An option of a group of the help page."""
    return click.option(*names, cls=Option, group=group, **attributes)


def _contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
    """The contexts there are, for the shell to complete."""
    from scheduler.cli.arguments import live

    return live("contexts")(ctx, param, incomplete)


def global_options(function: Any) -> Any:
    """The options that every command and ``dure`` itself take."""
    for decorate in reversed(
        (
            option("--server", metavar="URL", default="", group=GLOBAL, help="Address of the server."),
            option(
                "--context", metavar="NAME", default="", group=GLOBAL, shell_complete=_contexts, help="Context to use."
            ),
            option("-q", "--quiet", is_flag=True, group=GLOBAL, help="Print data and errors only."),
            option("--no-input", is_flag=True, group=GLOBAL, help="Never ask; fail where an answer is needed."),
            option("--debug", is_flag=True, group=GLOBAL, help="Show where an unexpected error arose."),
        )
    ):
        function = decorate(function)
    return function


def take_flags(parameters: dict[str, Any]) -> Flags:
    """Remove the global options from a call's parameters and return them."""
    return Flags(*(parameters.pop(name) for name in GLOBAL_NAMES))


def output_option(*shapes: str, default: str = "table") -> Callable[[Any], Any]:
    """``-o``: the shape of what is printed on standard output."""
    return option(
        "-o",
        "--output",
        type=click.Choice(shapes or SHAPES),
        metavar="SHAPE",
        default=default,
        group=OUTPUT,
        help=f"{', '.join(shapes or SHAPES)}; {default} without it.",
    )


def command(
    name: str,
    *,
    examples: Sequence[str],
    exit_codes: Sequence[int] = EXITS_API,
    see_also: Sequence[str] = (),
    usages: Sequence[str] = (),
    environment: Sequence[str] = (),
    parent: click.Group | None = None,
    cls: type[Command] = Command,
) -> Callable[[Callable[..., int | None]], Command]:
    """Make a function a command: it gets a Session first, and what it returns is the exit code (None is 0)."""

    def wrap(function: Callable[..., int | None]) -> Command:
        def call(**parameters: Any) -> int:
            from scheduler.cli.session import open_session

            flags = take_flags(parameters).over(click.get_current_context().find_root().obj or Flags())
            with open_session(flags) as session:
                return function(session, **parameters) or exits.OK

        call.__doc__ = function.__doc__
        call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]  # click's own mark
        decorated = global_options(call)
        made: Command = click.command(name, cls=cls, context_settings=CONTEXT_SETTINGS)(decorated)
        made.examples, made.exit_codes = examples, exit_codes
        made.see_also, made.usages, made.environment = see_also, usages, environment
        if parent is not None:
            parent.add_command(made)
        return made

    return wrap


def group(name: str, summary: str, *, examples: Sequence[str] = ()) -> Group:
    """A noun: its verbs are added by ``command(..., parent=...)``."""
    made = Group(name, help=summary, context_settings=CONTEXT_SETTINGS, no_args_is_help=True)
    made.examples = examples
    return made
