"""A server's address in the one form that files and keys use."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from scheduler.core.errors import Fatal

USAGE = "DURE-1001"
SHOWN_MAX = 200
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def segment(text: str) -> str:
    """One path segment, quoted; raises Fatal for names that would leave their place in the path."""
    if text in ("", ".", ".."):
        raise Fatal(USAGE, f"{text!r} is not a name", "give the id or the name")
    return quote(text, safe="")


def normal_server(text: str) -> str:
    """The address with scheme and host in lower case and no trailing slash.

    Raises Fatal when it is not an http or https address, or carries a user, a query or a fragment.
    """
    fix = "write it as https://HOST or http://HOST:PORT"
    text = text.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise Fatal(USAGE, f"{_shown(text)} is not a server's address: {error}", fix) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isascii() or not text.isprintable():
        raise Fatal(USAGE, f"{_shown(text)} is not a server's address", fix)
    if parts.username or parts.password or parts.query or parts.fragment or " " in text or "\\" in text:
        raise Fatal(USAGE, "a server's address has no user, query, fragment or space in it", fix)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _shown(text: str) -> str:
    """What the user wrote, in quotes and cut where it is long."""
    return repr(text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…")


def sends_in_clear(server: str) -> bool:
    """Whether a token sent to this address can be read on the way: plain http to another machine."""
    parts = urlsplit(server)
    return parts.scheme == "http" and parts.hostname not in LOOPBACK
