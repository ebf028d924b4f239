"""An attempt's token: the same in every process, of that attempt alone, and no user's."""

from __future__ import annotations

import pytest

from scheduler.services.attempt_tokens import AttemptTokens, attempt_tokens
from scheduler.services.tokens import Unauthenticated, authenticate
from scheduler.store.memory import MemoryStore

TOKENS = AttemptTokens("key")
OWN = TOKENS.token("job7", 12)


def test_it_speaks_for_its_attempt() -> None:
    assert TOKENS.read(f"Bearer {OWN}") == ("job7", 12)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        OWN,
        f"Basic {OWN}",
        f"Bearer {OWN[:-1]}",
        f"Bearer {OWN}0",
        f"Bearer {OWN.replace('job7', 'job6')}",
        f"Bearer {OWN.replace('_12_', '_13_')}",
        f"Bearer {OWN.replace('_12_', '_012_')}",
        f"Bearer {OWN.replace('_12_', '_١٢_')}",
        f"Bearer {OWN.replace('dureattempt', 'dure')}",
        f"Bearer {AttemptTokens('another').token('job7', 12)}",
        "Bearer dureattempt_job7_12_é",
        "Bearer dureattempt_job7_12_",
    ],
)
def test_nothing_else_does(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        TOKENS.read(header)


def test_it_is_no_users_token() -> None:
    with pytest.raises(Unauthenticated):
        authenticate(MemoryStore(), f"Bearer {OWN}", 0)


def test_every_process_has_the_key_that_was_first() -> None:
    store = MemoryStore()
    assert attempt_tokens(store, "first") == attempt_tokens(store, "second") == AttemptTokens("first")
