"""Routes of identity: who one is, and one's tokens."""

from __future__ import annotations

from fastapi import APIRouter

from scheduler.api.deps import Caller, D
from scheduler.api.docs import reads, writes
from scheduler.api.params import PathName
from scheduler.schema.bodies import Listing, TokenBody, TokenRequest, WhoamiBody
from scheduler.services import tokens

router = APIRouter(prefix="/api/v1", tags=["identity"])


@router.get("/whoami", responses=reads())
def whoami(actor: Caller) -> WhoamiBody:
    """Who the token speaks for, and which roles that user has."""
    return tokens.whoami(actor)


@router.post("/tokens", status_code=201, responses=writes())
def create_token(deps: D, actor: Caller, request: TokenRequest) -> TokenBody:
    """A new token for oneself, or by an administrator for anybody; its secret is in this answer only."""
    return tokens.create_token(deps.store, actor, request, deps.ids.new(), deps.secret(), deps.clock())


@router.get("/tokens", responses=reads())
def list_tokens(deps: D, actor: Caller) -> Listing[TokenBody]:
    """One's own tokens; an administrator sees everybody's."""
    with deps.store.read() as view:
        return Listing[TokenBody](kind="TokenList", items=tokens.list_tokens(view, actor))


@router.delete("/tokens/{token}", responses=reads(404))
def revoke_token(deps: D, actor: Caller, token: PathName) -> TokenBody:
    """End a token at once."""
    return tokens.revoke_token(deps.store, actor, token, deps.clock())
