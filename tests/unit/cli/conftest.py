"""Runs the command line in this process, with a folder of settings and a working folder of its own."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.unit.cli.running import Result
from tests.unit.cli.server import Api, HandCluster, prepare, served


class Dure(Protocol):
    """Calls ``dure`` with these arguments; ``stdin`` is what it can read."""

    def __call__(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result: ...


class _Stdin(io.TextIOWrapper):
    """Standard input that is no terminal."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    """Where config.yaml and credentials.json are."""
    return tmp_path / "config"


@pytest.fixture
def dure(
    tmp_path: Path, config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Dure:
    """The command line; ``Result.out`` is standard output, ``Result.err`` standard error."""
    from scheduler.cli.main import cli
    from scheduler.cli.shell import run

    work = tmp_path / "here"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("DURE_CONFIG_DIR", str(config_folder))
    capfdbinary.readouterr()

    def call(*args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", _Stdin(stdin))
            code = run(cli, list(args), "dure")
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return Result(code, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"))

    return call


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A control plane for all tests of the session."""
    with served(tmp_path_factory.mktemp("serve")) as api:
        yield api


@pytest.fixture(scope="session")
def cluster(api: Api) -> Iterator[HandCluster]:
    """The control plane's one cluster, with a policy in force."""
    cluster = prepare(api)
    yield cluster
    cluster.client.close()


@pytest.fixture
def admin(dure: Dure, api: Api, cluster: HandCluster) -> Dure:
    """The command line, logged in as the administrator; the cluster is there."""
    dure("--server", api.url, "login", "--as", "test", "--token-stdin", stdin=api.admin_token.encode()).succeeds()
    return dure


@pytest.fixture
def project(admin: Dure, request: pytest.FixtureRequest) -> str:
    """A project of its own organisation, in the context of the command line."""
    org = f"org-{zlib.crc32(request.node.nodeid.encode()):x}"
    admin("org", "create", org, "--class", "startup").succeeds()
    admin("project", "create", f"{org}/main").succeeds()
    admin("context", "use", "test", "--project", f"{org}/main").succeeds()
    return f"{org}/main"
