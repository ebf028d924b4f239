"""Bearer tokens ``dure_<id>_<secret>``: made once, shown once, kept as a SHA-256."""

from __future__ import annotations

import hmac
from dataclasses import replace

from scheduler.core.codec import sha256_hex
from scheduler.core.errors import Fatal, Retry
from scheduler.core.records import TokenRecord
from scheduler.core.units import MS_PER_SECOND
from scheduler.schema.bodies import GrantBody, TokenBody, TokenRequest, WhoamiBody
from scheduler.schema.times import parse_rfc3339
from scheduler.services.actors import Actor, actor_of, require
from scheduler.services.job_bodies import instant
from scheduler.services.ports import Reader, Store, Where
from scheduler.services.submit import Invalid, NotFound

PREFIX = "dure"
NEWEST_FIRST = ("-created_at_ms", "id")


class Unauthenticated(Fatal):
    """No token, or none that counts; never says which."""


def authenticate(store: Store, header: str | None, now_ms: int) -> Actor:
    """The actor of an ``Authorization`` header; raises Unauthenticated."""
    refused = Unauthenticated("DURE-4001", "a valid token is needed", "dure login, or set DURE_TOKEN")
    scheme, _, token = (header or "").partition(" ")
    parts = token.strip().split("_")
    if scheme.lower() != "bearer" or len(parts) != 3 or parts[0] != PREFIX:
        raise refused
    with store.read() as view:
        record = view.get(TokenRecord, parts[1])
        expected = record.sha256 if record else "0" * 64
        matches = hmac.compare_digest(expected, sha256_hex(parts[2]))
        if record is None or not matches or record.revoked_at_ms:
            raise refused
        if record.expires_at_ms and record.expires_at_ms <= now_ms:
            raise Unauthenticated("DURE-4002", "the token has expired", "ask for a new one: dure token create")
        return actor_of(view, record.user, record.expires_at_ms)


def whoami(actor: Actor) -> WhoamiBody:
    """Who the actor is, with its roles in order."""
    grants = [GrantBody.model_validate({"role": role, "scope": scope}) for role, scope in sorted(actor.grants)]
    return WhoamiBody(user=actor.user, grants=grants)


def create_token(
    store: Store, actor: Actor, request: TokenRequest, token_id: str, secret: str, now_ms: int
) -> TokenBody:
    """A token for oneself, or by an admin for somebody else; the only answer that carries the secret.

    It ends no later than the token that it is asked for with: a short-lived one that got out stays short-lived.
    """
    user = request.user or actor.user
    require(user == actor.user or actor.is_admin, f"make a token for {user}", "an administrator of the pool")
    asked_ms = now_ms + request.expires_seconds * MS_PER_SECOND if request.expires_seconds else 0
    record = TokenRecord(
        id=token_id,
        sha256=sha256_hex(secret),
        user=user,
        note=request.note,
        created_at_ms=now_ms,
        expires_at_ms=min((end_ms for end_ms in (asked_ms, actor.expires_at_ms) if end_ms), default=0),
    )
    with store.write() as tx:
        tx.add(record)
    return token_body(record).model_copy(update={"secret": f"{PREFIX}_{token_id}_{secret}"})


def list_tokens(view: Reader, actor: Actor, limit: int, after: str = "") -> list[TokenBody]:
    """The actor's tokens, newest first; an admin sees everybody's. ``after`` is a ``token_place``; raises Invalid."""
    where = () if actor.is_admin else (Where("user", "=", actor.user),)
    if not after:
        return [token_body(row) for row in view.select(TokenRecord, *where, order=NEWEST_FIRST, limit=limit)]
    at_ms, token_id = _read_place(after)
    same = (Where("created_at_ms", "=", at_ms), Where("id", ">", token_id))
    rows = view.select(TokenRecord, *where, *same, order=("id",), limit=limit)
    older = Where("created_at_ms", "<", at_ms)
    rows += view.select(TokenRecord, *where, older, order=NEWEST_FIRST, limit=limit - len(rows))
    return [token_body(row) for row in rows]


def token_place(token: TokenBody) -> str:
    """Where a token stands in lists."""
    return f"{token.created_at} {token.id}"


def _read_place(place: str) -> tuple[int, str]:
    created_at, _, token_id = place.partition(" ")
    try:
        return parse_rfc3339(created_at), token_id
    except ValueError as error:
        raise Invalid("DURE-1044", "the cursor is not one of this list", "begin again without a cursor") from error


def revoke_token(store: Store, actor: Actor, token_id: str, now_ms: int) -> TokenBody:
    """End a token at once; a repeat changes nothing."""
    with store.write() as tx:
        record = tx.get(TokenRecord, token_id)
        if record is None or not (record.user == actor.user or actor.is_admin):
            raise NotFound("DURE-3005", f"no token {token_id} of yours", "dure token list")
        if record.revoked_at_ms:
            return token_body(record)
        revoked = replace(record, revoked_at_ms=now_ms)
        if not tx.change(revoked, version=record.version):
            raise Retry("DURE-6001", "the token changed at the same moment", "try again")
        return token_body(revoked)


def token_body(record: TokenRecord) -> TokenBody:
    """The token without its secret."""
    return TokenBody(
        id=record.id,
        user=record.user,
        note=record.note,
        created_at=instant(record.created_at_ms),
        expires_at=instant(record.expires_at_ms),
        revoked=bool(record.revoked_at_ms),
    )
