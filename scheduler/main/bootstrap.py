"""The first start: who may do what before anybody could be asked, and the names that last over restarts."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from scheduler.core.records import MemberRecord
from scheduler.schema.bodies import MemberRequest, TokenRequest
from scheduler.services.actors import Actor
from scheduler.services.ports import Store, Where
from scheduler.services.registry import add_member
from scheduler.services.tokens import Unauthenticated, authenticate, create_token
from scheduler.store.ids import RandomIds

ADMIN = "admin"
ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105 - a file's name, not a secret
OPERATOR_TOKEN_FILE = "operator.token"  # noqa: S105 - a file's name, not a secret
INSTANCE_FILE = "instance"
SECRET_BYTES = 32

ITSELF = Actor("dure", frozenset({("admin", "all")}))
"""Dure acting for its owner, who can read and write the database's files anyway."""


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def instance_id(data: Path, *, unique: bool) -> str:
    """This process's name in leases: one that lasts as long as the data folder, or with ``unique`` one of its own.

    The lasting one is for a folder that only one process uses at a time: after a crash it holds its leases still.
    """
    if unique:
        return f"{socket.gethostname()}-{os.getpid()}-{RandomIds().new()}"[:200]
    path = data / INSTANCE_FILE
    if not path.exists():
        write_private(path, RandomIds().new())
    return f"up-{path.read_text(encoding='utf-8').strip()}"


def ensure_admin(store: Store, token_file: Path, now_ms: int, *, always: bool) -> bool:
    """Make the administrator ``admin`` and its token when there is no administrator; with ``always`` in any case.

    Returns whether the token is new. A token file that still counts is kept.
    """
    with store.read() as view:
        admins = (Where("role", "=", "admin"), Where("scope", "=", "all"), Where("state", "=", "active"))
        there = view.count(MemberRecord, *admins) > 0
    if there and not always:
        return False
    add_member(store, ITSELF, MemberRequest(user=ADMIN, role="admin", scope="all"), now_ms)
    return ensure_token(store, token_file, ADMIN, now_ms)


def ensure_operator(store: Store, token_file: Path, cluster: str, now_ms: int) -> str:
    """The token of the cluster's own operator, kept in a file."""
    user = f"operator:{cluster}"
    add_member(store, ITSELF, MemberRequest(user=user, role="operator", scope=f"cluster:{cluster}"), now_ms)
    ensure_token(store, token_file, user, now_ms)
    return token_file.read_text(encoding="utf-8").strip()


def ensure_token(store: Store, file: Path, user: str, now_ms: int) -> bool:
    """A token of the user in the file; one that counts is kept. Returns whether it is new.

    The file is written before the database knows the token: a crash in between leaves a token that does not count.
    """
    if file.exists():
        try:
            if authenticate(store, f"Bearer {file.read_text(encoding='utf-8').strip()}", now_ms).user == user:
                return False
        except Unauthenticated:
            pass
    token_id, secret = RandomIds().new(), secrets.token_hex(SECRET_BYTES)
    write_private(file, f"dure_{token_id}_{secret}\n")
    create_token(store, ITSELF, TokenRequest(user=user, note="made at the start"), token_id, secret, now_ms)
    return True
