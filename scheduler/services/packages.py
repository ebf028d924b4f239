"""Packages: work directories as content-addressed zips, kept and handed out, never unpacked here."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from scheduler.schema.bodies import PackageAck
from scheduler.services.actors import Actor, require
from scheduler.services.ports import PackageStore
from scheduler.services.submit import NotFound, package_size


class Upload(Protocol):
    """A package that arrives in parts; the store has nothing of it before ``keep``."""

    def write(self, part: bytes) -> None:
        """Add a part; raises Fatal when the package becomes too large."""

    def keep(self) -> bool:
        """Keep what was written under its SHA-256; True when it is new. Raises Fatal when the sum is another."""

    def discard(self) -> None:
        """Forget what was written and not kept; a repeat changes nothing."""


@runtime_checkable
class ReceivingStore(Protocol):
    """A package store that takes a package in parts, so that none has to be in memory whole."""

    def receive(self, sha256: str) -> Upload:
        """Begin to take the package with this SHA-256."""


class WholeUpload:
    """An Upload for a store that only takes whole packages: the parts wait in memory."""

    def __init__(self, packages: PackageStore, sha256: str) -> None:
        self._packages = packages
        self._sha256 = sha256
        self._content = bytearray()

    def write(self, part: bytes) -> None:
        """Add a part."""
        self._content += part

    def keep(self) -> bool:
        """Give the store the whole."""
        return self._packages.put(self._sha256, bytes(self._content))

    def discard(self) -> None:
        """Forget it."""
        self._content.clear()


def check_sender(actor: Actor) -> None:
    """Raise Forbidden for who may not send packages: to be asked before a body is read."""
    require(bool(actor.grants), "send packages", "an administrator to give you a role")


def receive_package(packages: PackageStore, sha256: str) -> Upload:
    """Begin to take a package."""
    return packages.receive(sha256) if isinstance(packages, ReceivingStore) else WholeUpload(packages, sha256)


def keep_package(upload: Upload, sha256: str, size: int) -> PackageAck:
    """Keep a package of which all ``size`` bytes are there; a repeat changes nothing. Raises Fatal for another sum."""
    return PackageAck(sha256=sha256, size=size, new=upload.keep())


def find_package(packages: PackageStore, actor: Actor, sha256: str) -> int:
    """The package's size in bytes; raises NotFound."""
    require(bool(actor.grants), "ask for packages", "an administrator to give you a role")
    size = package_size(packages, sha256)
    if size is None:
        raise _absent(sha256)
    return size


def fetch_package(packages: PackageStore, actor: Actor, sha256: str) -> bytes:
    """The package's bytes, for operators; raises NotFound."""
    is_operator = any(role == "operator" for role, _ in actor.grants)
    require(is_operator, "read packages", "an administrator for an operator's token")
    content = packages.get(sha256)
    if content is None:
        raise _absent(sha256)
    return content


def _absent(sha256: str) -> NotFound:
    return NotFound("DURE-3009", f"no package {sha256}", "submit again: it is sent first")
