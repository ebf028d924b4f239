"""Routes of identity: who one is, and one's tokens."""

from __future__ import annotations

from fastapi import APIRouter

from scheduler.api.deps import Caller, D
from scheduler.api.docs import reads, writes
from scheduler.api.params import LISTED_MAX, Cursor, Limit, PathName, from_cursor, page
from scheduler.schema.bodies import Listing, TokenBody, TokenRequest, WhoamiBody
from scheduler.services import tokens

router = APIRouter(prefix="/api/v1", tags=["identity"])


@router.get("/whoami", responses=reads())
def whoami(actor: Caller) -> WhoamiBody:
    """Who the token speaks for, and which roles that user has."""
    return tokens.whoami(actor)


@router.post("/tokens", status_code=201, responses=writes())
def create_token(deps: D, actor: Caller, request: TokenRequest) -> TokenBody:
    """A new token for oneself, or by an administrator for anybody; its secret is in this answer only.

    It ends no later than the token of this request: expires_at says when.
    """
    return tokens.create_token(deps.store, actor, request, deps.ids.new(), deps.secret(), deps.clock())


@router.get("/tokens", responses=reads())
def list_tokens(deps: D, actor: Caller, cursor: Cursor = "", limit: Limit = LISTED_MAX) -> Listing[TokenBody]:
    """One's own tokens, newest first; an administrator sees everybody's."""
    with deps.store.read() as view:
        found = tokens.list_tokens(view, actor, limit + 1, from_cursor(cursor))
    return page(Listing[TokenBody], "TokenList", found, limit, tokens.token_place)


@router.delete("/tokens/{token}", responses=reads(404))
def revoke_token(deps: D, actor: Caller, token: PathName) -> TokenBody:
    """End a token at once."""
    return tokens.revoke_token(deps.store, actor, token, deps.clock())
