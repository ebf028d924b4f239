"""``dure up`` and ``dure serve``: they hand over to the composition root, which is imported only here."""

from __future__ import annotations

from types import ModuleType

import click

from scheduler.cli.base import EXITS_ALWAYS, command, option
from scheduler.cli.errors import Fault
from scheduler.cli.session import Session
from scheduler.core.errors import DureError, Fatal, Finding

NOT_INSTALLED = "DURE-1055"
PORT = click.IntRange(0, 65_535)
HOST = option("--host", metavar="ADDRESS", default="", help="Address to listen on; 127.0.0.1 without it.")
PORT_OPTION = option("--port", type=PORT, metavar="N", default=None, help="Port; 3873 without it, 0 takes a free one.")


@command(
    "up",
    exit_codes=EXITS_ALWAYS,
    environment=("DURE_DATA", "DURE_HOST", "DURE_PORT"),
    examples=(
        "dure up --gpus h100-80g=2x4",
        "dure up --gpus h100-80g=1x4 --gpus a100-80g=2x2 --policy policy.yaml",
        "dure up --data ~/dure-data --port 8080",
    ),
    see_also=("login", "submit", "doctor"),
)
@option(
    "--gpus",
    metavar="FLAVOR=NODESxGPUS",
    multiple=True,
    help="Logical nodes of a flavor, each rank a process; repeatable. Real GPUs are used where there are any.",
)
@option("--data", metavar="FOLDER", default="", help="Where everything is kept; dure-data without it.")
@HOST
@PORT_OPTION
@option("--policy", metavar="FILE", default="", help="Policy to apply at the first start instead of the built-in one.")
@option("--demo-org/--no-demo-org", default=True, show_default=True, help="Register an organisation and a project.")
def up(
    session: Session, gpus: tuple[str, ...], data: str, host: str, port: int | None, policy: str, demo_org: bool
) -> int:
    """Run everything on this machine, with logical GPUs.

    Control plane and operator are one process, the database is SQLite, jobs are real Ray jobs, and all data lies in
    one folder. The first start makes an administrator and stores its token; then three commands are printed. Ctrl-C
    ends it (exit code 0); running jobs live on and are found again at the next start.
    """
    from scheduler.cli.files import read_text
    from scheduler.cli.program import typable

    main = _main("server,local")
    text = read_text(policy) if policy else ""
    try:
        return int(
            main.up(
                say=lambda line: session.talk(typable(line)),
                gpus=gpus,
                data=data,
                host=host,
                port=port,
                policy=text,
                policy_name=policy or "policy.yaml",
                demo_org=demo_org,
            )
        )
    except DureError as error:
        findings: tuple[Finding, ...] = tuple(getattr(error, "findings", ()))
        raise (Fault(findings, {policy: text}) if findings else error) from error


@command(
    "serve",
    exit_codes=EXITS_ALWAYS,
    environment=("DURE_DATABASE_URL", "DURE_DATA", "DURE_HOST", "DURE_PORT"),
    examples=(
        "dure serve --database postgresql://dure@db/dure --host 0.0.0.0",
        "dure serve --database sqlite:///dure.db --data /var/lib/dure",
    ),
    see_also=("doctor",),
)
@option("--database", metavar="URL", default="", help="sqlite:///FILE or postgresql://USER@HOST/NAME.")
@option("--data", metavar="FOLDER", default="", help="Where packages and logs are kept; dure-data without it.")
@HOST
@PORT_OPTION
def serve(session: Session, database: str, data: str, host: str, port: int | None) -> int:
    """Run the control plane: API, allocator and settler.

    Operators dial in to it. The database's URL may also be in DURE_DATABASE_URL; without one it is SQLite in --data.
    """
    main = _main("server")
    return int(main.serve(say=session.talk, database=database, data=data, host=host, port=port))


def _main(extras: str) -> ModuleType:
    """The composition root; raises Fatal when the extras it needs are not installed."""
    try:
        from scheduler import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("scheduler", "operators"):
            raise
        fix = f"pip install 'dure[{extras}]'"
        raise Fatal(NOT_INSTALLED, f"this needs a part of Dure that is not installed: {error.name}", fix) from error
    return main
