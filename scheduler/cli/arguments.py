"""Kinds of arguments: what can be no name at all is refused here, in a sentence and before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from scheduler.cli.clean import shortened
from scheduler.core.errors import Fatal

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

BAD_VALUE = "DURE-1008"
# What every kind of name is made of; what a name really is, the server knows.
PLAIN = r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}"
# A member of an array as tables show it; a path of the API takes no brackets.
MEMBER = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)\[(?P<index>[0-9]{1,6})\]\Z", re.ASCII)
SLASHED = rf"(?:{PLAIN}/)?{PLAIN}"


class Named(click.ParamType):
    """The name or id of a thing; "" stands for none where one need not be given."""

    name = "name"

    def __init__(self, what: str, fix: str, pattern: str = PLAIN, kind: str = "") -> None:
        """``what``: such as "name of an organisation". ``fix``: where to find the right one.

        kind: of the names that a shell is offered (``scheduler.cli.completing``).
        """
        self._kind = kind
        self._what = what
        self._fix = fix
        self._pattern = re.compile(pattern, re.ASCII)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is; raises Fatal for one that cannot be a name."""
        text = MEMBER.sub(r"\g<name>.\g<index>", str(value)) if self is JOB else str(value)
        required = isinstance(param, click.Argument) and param.required
        if self._pattern.fullmatch(text) or (not text and not required):
            return text
        raise Fatal(BAD_VALUE, f"{label(param)} {shortened(text)} is no {self._what}", self._fix)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that the server knows."""
        return live(self._kind)(ctx, param, incomplete) if self._kind else []


def live(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """For ``shell_complete`` of an argument or option: names of a kind, as they are now."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from scheduler.cli.completing import offered

        return [CompletionItem(name) for name in offered(ctx, kind, incomplete)]

    return complete


JOB = Named("id or name of a job", "dure queue --all lists yours", kind="jobs")
ORG = Named("name of an organisation", "dure org list", kind="orgs")
PROJECT = Named("PROJECT or ORG/PROJECT", "dure project list", SLASHED, kind="projects")
USER = Named("name of a user", "dure whoami shows yours, dure member list those of others", kind="users")
JOB_NAME = Named("name of a job", "dure queue --all lists yours", kind="job names")
TOKEN = Named("id of a token", "dure token list", kind="tokens")
PERIOD = Named("id of a period", "dure period list", kind="periods")
INVOICE = Named("number of an invoice", "dure invoice list has the numbers; files are not read", kind="invoices")
SCOPE = Named(
    "scope",
    "write all, org:NAME, project:ORG/NAME or cluster:NAME",
    rf"all|(?:org|cluster):{PLAIN}|project:{PLAIN}/{PLAIN}",
)


def label(param: click.Parameter | None) -> str:
    """How the user calls a parameter: its longest option, or the argument as the usage line shows it."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.make_metavar(click.get_current_context()).strip("[].") if param else "the value"


def text_of(text: str, origin: str) -> str:
    """The text; raises Fatal where it holds bytes that are no UTF-8, which no request can carry."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Fatal(BAD_VALUE, f"{origin}: the value is not UTF-8 text", "write it in UTF-8") from error
    return text


def resolved_flavor(given: str, known: Iterable[str]) -> str:
    """The flavor of this name or unique prefix, in any case; raises Fatal with the flavors there are."""
    flavors = sorted(set(known))
    wanted = given.casefold()
    found = [name for name in flavors if name == wanted] or [name for name in flavors if name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Fatal(BAD_VALUE, f"--flavor {shortened(given)} is ambiguous: {', '.join(found)}", "write one in full")
    raise Fatal(BAD_VALUE, f"--flavor {shortened(given)} is no flavor here", f"use one of: {', '.join(flavors)}")
