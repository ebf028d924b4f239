"""``dure login``, ``dure logout`` and ``dure whoami``."""

from __future__ import annotations

import os
import re
import sys

from scheduler.cli.base import EXITS_API, command, option, output_option
from scheduler.cli.session import NO_LOGIN, Session
from scheduler.client.address import normal_server, sends_in_clear
from scheduler.client.config import (
    TOKEN_VARIABLE,
    Contexts,
    Credentials,
    Token,
    config_dir,
    sound_token,
    update_context,
)
from scheduler.core.errors import Fatal

TOKEN_BYTES_MAX = 8_192
FIX = "give it with --token-stdin or DURE_TOKEN; signing in with a browser comes in a later version"


@command(
    "login",
    exit_codes=EXITS_API,
    examples=(
        "dure login --server https://dure.example.org",
        "dure login --server https://dure.example.org --token-stdin < token.txt",
        "DURE_TOKEN=... dure login",
    ),
    see_also=("whoami", "context list", "token create"),
)
@option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@option("--as", "name", metavar="CONTEXT", default="", help="Name of the context for this server.")
@option("--org", metavar="ORG", default="", help="Organisation you work in there.")
@option("--project", metavar="[ORG/]PROJECT", default="", help="Project that your jobs go to.")
def login(session: Session, token_stdin: bool, name: str, org: str, project: str) -> None:
    """Store a token for a server.

    The token is checked with the server, kept in a file that only you can read, and sent to that server alone. Ask an
    administrator for one (dure token create). Signing in with a browser comes in a later version.
    """
    from scheduler.cli.settings import CREDENTIALS_FILE, check_context_name, given_places, load_contexts, save_contexts

    # A context that does not exist yet is what login makes: only the address is taken from the settings.
    server = normal_server(session.flags.server) if session.flags.server else session.server
    folder = config_dir(os.environ)
    contexts, credentials = load_contexts(folder), Credentials(folder / CREDENTIALS_FILE)
    credentials.load()  # a file that is not safe to replace is a reason not to ask the server at all
    chosen = name or session.flags.context or _context_for(contexts, server)
    check_context_name(chosen)
    updated = update_context(contexts, chosen, given_places(server=server, org=org, project=project))
    if sends_in_clear(server):
        session.warn(f"{server} is not encrypted: the token can be read on its way")
    token = _token(session, token_stdin)
    who = session.connect(server, token).whoami()
    # The settings first: where they cannot be written, no token is stored either.
    save_contexts(folder, Contexts(chosen, updated.items))
    credentials.put(server, Token(token, who.user))
    session.talk(f"logged in to {server} as {who.user} (context {chosen})")
    session.next(("Who am I", "dure whoami"), ("First job", "dure submit FILE"))


def _token(session: Session, from_stdin: bool) -> str:
    """The token from where the user keeps it; raises Fatal when there is none."""
    if from_stdin:
        text = sys.stdin.buffer.read(TOKEN_BYTES_MAX).decode("utf-8", "replace").strip()
        origin = "standard input"
    elif os.environ.get(TOKEN_VARIABLE):
        text, origin = os.environ[TOKEN_VARIABLE].strip(), TOKEN_VARIABLE
    elif sys.stdin.isatty() and sys.stderr.isatty() and not session.flags.no_input:
        import getpass

        text, origin = getpass.getpass("Token (not shown): ", stream=sys.stderr).strip(), "the prompt"
    else:
        raise Fatal(NO_LOGIN, "there is no token to log in with", FIX)
    if not sound_token(text):
        raise Fatal(NO_LOGIN, f"{origin} does not hold a token", "dure token create prints one")
    return text


def _context_for(contexts: Contexts, server: str) -> str:
    """The context of this server, or a new name from its host."""
    known = next((item.name for item in contexts.items if item.server == server), "")
    host = re.sub(r"[^A-Za-z0-9._-]+", "-", server.partition("://")[2]).strip("-._")[:50] or "default"
    taken = contexts.find(host)
    return known or (host if taken is None or taken.server in ("", server) else f"{host}-2")


@command("logout", examples=("dure logout", "dure logout --server https://dure.example.org"), see_also=("login",))
def logout(session: Session) -> None:
    """Forget a server's token.

    The token itself stays valid: end it with dure token revoke.
    """
    server = session.server
    if session.config.credentials.remove(server):
        session.talk(f"logged out of {server}; the token stays valid until it is revoked")
    else:
        session.talk(f"you were not logged in to {server}")
    if os.environ.get(TOKEN_VARIABLE):
        session.warn(f"{TOKEN_VARIABLE} is set and still used")


@command("whoami", examples=("dure whoami", "dure whoami -o json"), see_also=("config show", "doctor"))
@output_option("table", "json", "yaml", "id", "name")
def whoami(session: Session, output: str) -> None:
    """Show who you are and which roles you have."""
    from scheduler.cli.sheets import WHOAMI

    session.emit(session.client.whoami(), WHOAMI, output)
    origin = TOKEN_VARIABLE if os.environ.get(TOKEN_VARIABLE) else session.config.credentials.path
    session.talk(f"on {session.server}, by the token in {origin}")
