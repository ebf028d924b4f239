"""A private PostgreSQL cluster for the whole test session, and a fresh database for every test that asks."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

import psycopg
import pytest

from tests.support import programs

MISSING = "PostgreSQL's server programs are not installed; on Debian or Ubuntu run: apt-get install postgresql"
START_TRIES_MAX = 3
START_SECONDS_MAX = 30.0
FAST_STOP = signal.SIGINT  # SIGTERM would wait for connections that a test left open
APP_ROLE = "dure_app"
SUPERUSER = "postgres"


class _Identity(TypedDict, total=False):
    """Arguments of subprocess that say as whom to run; empty for an ordinary user."""

    user: int
    group: int
    extra_groups: list[int]


def find_programs() -> Path | None:
    """The folder with initdb and postgres: from PATH, else the newest of Debian's; None when there is none."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql")
    found = [path.parent for path in debian.glob("*/bin/initdb") if (path.parent / "postgres").exists()]
    return max(found, key=lambda folder: int(folder.parent.name.split(".")[0]), default=None)


def ordinary_user() -> _Identity:
    """As whom the server runs: PostgreSQL refuses root, so root becomes the postgres user, else nobody."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class PostgresServer:
    """One running cluster on 127.0.0.1; data without fsync in a temporary folder that goes with it."""

    def __init__(self, binaries: Path) -> None:
        """Make the cluster and start it; raises RuntimeError with the server's log when it does not come up."""
        self._binaries = binaries
        self._identity = ordinary_user()
        self._folder = Path(tempfile.mkdtemp(prefix="dure-postgres-"))
        self._numbers = itertools.count(1)
        if "user" in self._identity:
            os.chown(self._folder, self._identity["user"], self._identity["group"])
        try:
            self._initialise()
            self._process = self._start()
            self._execute(f"CREATE ROLE {APP_ROLE} LOGIN")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _initialise(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._folder / "data"), "-U", SUPERUSER, "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=60, check=False, **self._identity
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr[-2_000:]}")

    def _start(self) -> subprocess.Popen[bytes]:
        for _ in range(START_TRIES_MAX - 1):
            try:
                return self._start_once()
            except RuntimeError:
                continue  # somebody took the port between our look and the server's bind
        return self._start_once()

    def _start_once(self) -> subprocess.Popen[bytes]:
        self.port = programs.free_port()
        log = self._folder / "postgres.log"
        settings = {"listen_addresses": "127.0.0.1", "fsync": "off", "synchronous_commit": "off"}
        settings |= {"full_page_writes": "off", "max_connections": "60", "timezone": "UTC"}
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data")]
        command += ["-p", str(self.port), "-k", ""]  # no socket file: a long folder name would be too long for one
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as out:
            process = subprocess.Popen(
                programs.die_with_parent(command), cwd=self._folder, stdout=out, stderr=out, **self._identity
            )
        try:
            programs.wait_until(self._answers, process, log, START_SECONDS_MAX)
        except BaseException:
            programs.stop(process, FAST_STOP)
            raise
        return process

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        address = f"host=127.0.0.1 port={self.port} user={SUPERUSER} dbname=postgres connect_timeout=5"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def url(self, database: str, user: str = APP_ROLE) -> str:
        """The SQLAlchemy URL of a database; ``user=SUPERUSER`` bypasses row security, so tests of it must not."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Make an empty database owned by the ordinary role; returns its name."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} OWNER {APP_ROLE} TEMPLATE template0")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, closing connections that a test left open."""
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop the server and remove its files."""
        programs.stop(self._process, FAST_STOP)
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's private cluster; skips (in CI: a failure) when the programs are not installed."""
    binaries = find_programs()
    if binaries is None:
        pytest.skip(MISSING)
    server = PostgresServer(binaries)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def new_postgres_database(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """A factory: each call makes a fresh database and returns its URL; all are dropped after the test."""
    made: list[str] = []

    def create() -> str:
        made.append(postgres_server.create_database())
        return postgres_server.url(made[-1])

    yield create
    for name in made:
        postgres_server.drop_database(name)


@pytest.fixture
def postgres_url(new_postgres_database: Callable[[], str]) -> str:
    """The URL of one fresh database."""
    return new_postgres_database()
