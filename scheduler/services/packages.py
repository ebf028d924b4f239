"""Packages: work directories as content-addressed zips, kept and handed out, never unpacked here."""

from __future__ import annotations

from scheduler.schema.bodies import PackageAck
from scheduler.services.actors import Actor, require
from scheduler.services.ports import PackageStore
from scheduler.services.submit import NotFound


def keep_package(packages: PackageStore, actor: Actor, sha256: str, content: bytes) -> PackageAck:
    """Keep the bytes under their SHA-256; a repeat changes nothing. Raises Fatal when the sum is another."""
    require(bool(actor.grants), "send packages", "an administrator to give you a role")
    new = packages.put(sha256, content)
    return PackageAck(sha256=sha256, size=len(content), new=new)


def find_package(packages: PackageStore, actor: Actor, sha256: str) -> int:
    """The package's size in bytes; raises NotFound."""
    require(bool(actor.grants), "ask for packages", "an administrator to give you a role")
    return len(_content(packages, sha256))


def fetch_package(packages: PackageStore, actor: Actor, sha256: str) -> bytes:
    """The package's bytes, for operators; raises NotFound."""
    is_operator = any(role == "operator" for role, _ in actor.grants)
    require(is_operator, "read packages", "an administrator for an operator's token")
    return _content(packages, sha256)


def _content(packages: PackageStore, sha256: str) -> bytes:
    content = packages.get(sha256)
    if content is None:
        raise NotFound("DURE-3009", f"no package {sha256}", "submit again: it is sent first")
    return content
