"""``dure context ...`` and ``dure config show``."""

from __future__ import annotations

import os
from typing import Any

import click

from scheduler.cli.arguments import live
from scheduler.cli.base import EXITS_ALWAYS, SHAPES, command, group, option, output_option
from scheduler.cli.session import Session
from scheduler.client.config import (
    NO_CONTEXT,
    TOKEN_VARIABLE,
    Contexts,
    Credentials,
    Value,
    config_dir,
    update_context,
)
from scheduler.core.errors import Fatal

BAD_VALUE = "DURE-1008"
context = group(
    "context",
    "Choose server, organisation and project.",
    examples=("dure context list", "dure context use seoul --project hanul-ai/nlp"),
)
config = group("config", "Show the settings and where they come from.", examples=("dure config show --origin",))


def _place_options(function: Any) -> Any:
    """The settings that a context holds."""
    for decorate in (
        option("--project", metavar="[ORG/]PROJECT", default="", help="Project that jobs go to."),
        option("--org", metavar="ORG", default="", help="Organisation you work in."),
    ):
        function = decorate(function)
    return function


@command("list", parent=context, exit_codes=EXITS_ALWAYS, examples=("dure context list", "dure context list -o name"))
@output_option()
def list_(session: Session, output: str) -> None:
    """List contexts; a star marks the one in use."""
    from scheduler.cli.settings import CREDENTIALS_FILE, load_contexts
    from scheduler.cli.sheets import CONTEXTS
    from scheduler.cli.tables import Row

    folder = config_dir(os.environ)
    contexts = load_contexts(folder)
    tokens = Credentials(folder / CREDENTIALS_FILE).load()
    rows = []
    for item in contexts.items:
        token = tokens.get(item.server)
        values = {"name": item.name, "server": item.server, "org": item.org, "project": item.project}
        rows.append(Row({**values, "user": token.user if token else "", "current": item.name == contexts.current}))
    session.emit_rows("ContextList", rows, CONTEXTS, output)


@command("use", parent=context, exit_codes=EXITS_ALWAYS, examples=("dure context use seoul --project hanul-ai/nlp",))
@click.argument("name", metavar="NAME", shell_complete=live("contexts"))
@_place_options
def use(session: Session, name: str, org: str, project: str) -> None:
    """Make a context the one in use, and change its organisation or project."""
    from scheduler.cli.settings import given_places, load_contexts, save_contexts

    folder = config_dir(os.environ)
    contexts = load_contexts(folder)
    if contexts.find(name) is None:
        known = ", ".join(item.name for item in contexts.items) or "none yet"
        raise Fatal(NO_CONTEXT, f'no context "{name}"; contexts: {known}', "dure context add NAME --server URL")
    changed = update_context(contexts, name, given_places(org=org, project=project))
    save_contexts(folder, Contexts(name, changed.items))
    session.talk(f"context {name} is in use")
    session.next(("Settings", "dure config show --origin"), ("Log in", "dure login"))


@command(
    "add",
    parent=context,
    exit_codes=EXITS_ALWAYS,
    examples=("dure context add seoul --server https://dure.example.org --project hanul-ai/nlp",),
    see_also=("login",),
)
@click.argument("name", metavar="NAME")
@option("--use", "use_it", is_flag=True, help="Make it the one in use.")
@_place_options
def add(session: Session, name: str, use_it: bool, org: str, project: str) -> None:
    """Add a context for --server; one of this name is changed."""
    from scheduler.cli.settings import check_context_name, given_places, load_contexts, save_contexts
    from scheduler.client.address import normal_server

    check_context_name(name)
    folder = config_dir(os.environ)
    contexts = load_contexts(folder)
    known = contexts.find(name)
    if not session.flags.server and known is None:
        raise Fatal(BAD_VALUE, "a new context needs its server", f"dure context add {name} --server URL")
    server = normal_server(session.flags.server) if session.flags.server else ""
    changed = update_context(contexts, name, given_places(server=server, org=org, project=project))
    save_contexts(folder, Contexts(name if use_it or not contexts.current else contexts.current, changed.items))
    session.talk(f"context {name} {'changed' if known else 'added'}")
    session.next(("Use it", f"dure context use {name}"), ("Log in", f"dure --context {name} login"))


@command("rm", parent=context, exit_codes=EXITS_ALWAYS, examples=("dure context rm seoul",))
@click.argument("name", metavar="NAME", shell_complete=live("contexts"))
def remove(session: Session, name: str) -> None:
    """Remove a context; the token of its server is kept (dure logout forgets it)."""
    from scheduler.cli.settings import load_contexts, save_contexts

    folder = config_dir(os.environ)
    contexts = load_contexts(folder)
    if contexts.find(name) is None:
        raise Fatal(NO_CONTEXT, f'no context "{name}"', "dure context list")
    save_contexts(folder, contexts.without(name))
    session.talk(f"context {name} removed")


@command("show", parent=config, exit_codes=EXITS_ALWAYS, examples=("dure config show", "dure config show --origin"))
@option("--origin", is_flag=True, help="Where each value comes from.")
@output_option(*(shape for shape in SHAPES if shape != "wide"))
def show(session: Session, origin: bool, output: str) -> None:
    """Show the settings in force.

    A flag comes before a DURE_ variable, that before the nearest dure.yaml, that before the context, that before the
    default. The token is never shown.
    """
    from scheduler.cli.sheets import SETTINGS, SETTINGS_ORIGIN
    from scheduler.cli.tables import Row

    settings = session.config.settings
    rows = [
        Row({"name": name, "value": value.text, "origin": value.origin})
        for name, value in [*settings.rows(), ("token", _token(session)), _folder(session)]
    ]
    session.emit_rows("SettingList", rows, SETTINGS_ORIGIN if origin else SETTINGS, output)


def _folder(session: Session) -> tuple[str, Value]:
    origin = next((f"${name}" for name in ("DURE_CONFIG_DIR", "XDG_CONFIG_HOME") if os.environ.get(name)), "default")
    return "config folder", Value(str(session.config.folder), origin)


def _token(session: Session) -> Value:
    """Whether there is a token, and from where; never the token."""
    if os.environ.get(TOKEN_VARIABLE):
        return Value("set", f"${TOKEN_VARIABLE}")
    credentials = session.config.credentials
    if session.config.settings.server.text and credentials.token(session.config.settings.server.text):
        return Value("set", str(credentials.path))
    return Value("", "default")
