"""Tokens: none outlives the one that made it, and every one of them is listed."""

from __future__ import annotations

import pytest

from scheduler.core.records import TokenRecord
from scheduler.schema.bodies import TokenBody, TokenRequest
from scheduler.services import tokens
from scheduler.services.submit import Invalid
from tests.support.control_plane import ControlPlane

HOUR_MS = 3_600_000


def made(plane: ControlPlane, by: str, token_id: str, **fields: object) -> str:
    """The header of a new token that is asked for with the header ``by``."""
    actor = tokens.authenticate(plane.store, by, plane.now_ms)
    request = TokenRequest.model_validate(fields)
    return f"Bearer {tokens.create_token(plane.store, actor, request, token_id, 's3cret', plane.now_ms).secret}"


def first(plane: ControlPlane, user: str, expires_seconds: int | None) -> str:
    """A token of the user from an administrator whose own token does not end."""
    request = TokenRequest(user=user, expires_seconds=expires_seconds)
    body = tokens.create_token(plane.store, plane.actor(), request, "first", "s3cret", plane.now_ms)
    return f"Bearer {body.secret}"


# What the parent has left in hours (None: for ever), what is asked for in hours -> what the child gets.
LIFETIMES: tuple[tuple[int | None, int | None, int | None], ...] = (
    (None, None, None),
    (None, 24, 24),
    (2, None, 2),
    (2, 24, 2),
    (24, 2, 2),
)


@pytest.mark.parametrize(("parent", "asked", "expected"), LIFETIMES)
@pytest.mark.parametrize(("user", "of"), [("member", ""), ("admin", ""), ("admin", "somebody")])
def test_a_token_ends_no_later_than_the_one_that_made_it(
    plane: ControlPlane, parent: int | None, asked: int | None, expected: int | None, user: str, of: str
) -> None:
    start_ms = plane.now_ms
    by = first(plane, user, (parent + 1) * 3_600 if parent else None)
    plane.pass_ms(HOUR_MS)
    child = made(plane, by, "child", user=of, expires_seconds=asked * 3_600 if asked else None)
    grandchild = made(plane, child, "grandchild")
    ends = {row.id: row.expires_at_ms for row in plane.rows(TokenRecord)}
    expected_ms = start_ms + HOUR_MS + expected * HOUR_MS if expected else 0
    assert ends["child"] == ends["grandchild"] == expected_ms
    if expected:
        plane.now_ms = expected_ms
        for header in (child, grandchild):
            with pytest.raises(tokens.Unauthenticated):
                tokens.authenticate(plane.store, header, plane.now_ms)


def listed(plane: ControlPlane, user: str, limit: int) -> list[TokenBody]:
    """All tokens of the user's list, by pages of ``limit``; none is longer."""
    found: list[TokenBody] = []
    with plane.store.read() as view:
        actor = plane.actor(user)
        while True:
            page = tokens.list_tokens(view, actor, limit, tokens.token_place(found[-1]) if found else "")
            assert len(page) <= limit
            found += page
            if len(page) < limit:
                return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_lists_go_on_where_they_ended(plane: ControlPlane, limit: int) -> None:
    ages = (5, 3, 3, 3, 3, 1, 0, 0, 0)
    with plane.store.write() as tx:
        for number, age in enumerate(ages):
            made_ms, user = plane.now_ms - age, "member" if number % 3 else "colleague"
            tx.add(TokenRecord(id=f"t{number}", sha256=f"{number:064}", user=user, created_at_ms=made_ms))
    newest_first = ["t6", "t7", "t8", "t5", "t1", "t2", "t3", "t4", "t0"]
    assert [body.id for body in listed(plane, "admin", limit)] == newest_first
    mine = [name for name in newest_first if int(name[1:]) % 3]
    assert [body.id for body in listed(plane, "member", limit)] == mine


@pytest.mark.parametrize("place", ["x", "2026-01-01", " t1"])
def test_a_place_of_another_list_is_refused(plane: ControlPlane, place: str) -> None:
    with plane.store.read() as view, pytest.raises(Invalid) as refused:
        tokens.list_tokens(view, plane.actor(), 10, place)
    assert refused.value.code == "DURE-1044"
