"""``dure token ...``."""

from __future__ import annotations

import click

from scheduler.cli.arguments import TOKEN
from scheduler.cli.base import EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.build import request
from scheduler.cli.session import Session
from scheduler.cli.when import SPAN

token = group(
    "token",
    "Create, list and revoke tokens.",
    examples=("dure token create --note laptop --expires 30d", "dure token list", "dure token revoke ID"),
)


@command(
    "create",
    parent=token,
    exit_codes=EXITS_CHANGE,
    examples=(
        "dure token create --note laptop --expires 30d",
        "dure token create --user USER | ssh host dure login --token-stdin",
    ),
    see_also=("login", "token revoke"),
)
@option("--user", metavar="USER", default="", help="For another user, or an operator; administrators only.")
@option("--note", metavar="TEXT", default="", help="What it is for.")
@option("--expires", type=SPAN, metavar="DURATION", default=None, help="Valid for so long, such as 30d.")
@output_option("table", "json", "yaml", "id")
def create(session: Session, user: str, note: str, expires: int | None, output: str) -> None:
    """Make a token.

    The token alone goes to standard output, and is shown this once.
    """
    from scheduler.cli.clean import clean
    from scheduler.cli.sheets import TOKENS
    from scheduler.schema.bodies import TokenRequest

    body = session.client.create_token(
        request(TokenRequest, {"expires_seconds": "--expires"}, user=user, note=note, expires_seconds=expires)
    )
    session.made(f"token/{body.id} created")
    if output == "table":
        session.talk(f"token {body.id} of {body.user}; it is not shown again")
        session.data(clean(body.secret))
    else:
        session.emit(body, TOKENS, output)
    session.next(("Log in with it", "dure login --token-stdin"), ("End it", f"dure token revoke {body.id}"))


@command("list", parent=token, examples=("dure token list",))
@output_option()
def list_(session: Session, output: str) -> None:
    """List your tokens; administrators see everybody's."""
    from scheduler.cli.sheets import TOKENS

    page = session.client.tokens()
    session.emit(page, TOKENS, output, page.items)


@command("revoke", parent=token, exit_codes=EXITS_CHANGE, examples=("dure token revoke k3v9",))
@click.argument("token_id", type=TOKEN, metavar="ID")
def revoke(session: Session, token_id: str) -> None:
    """End a token at once."""
    body = session.client.revoke_token(token_id)
    session.made(f"token/{body.id} revoked")
    session.data(f"token/{body.id} revoked")
    session.next(("Tokens", "dure token list"))
