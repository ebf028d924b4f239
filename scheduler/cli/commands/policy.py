"""``dure policy ...``."""

from __future__ import annotations

import shlex

import click

from scheduler.cli.base import EXITS_ALWAYS, EXITS_CHANGE, command, group, option, output_option
from scheduler.cli.session import Session

policy = group(
    "policy",
    "Check, apply and show the fair-share policy.",
    examples=("dure policy lint policy.yaml", 'dure policy apply policy.yaml --reason "C-204"', "dure policy show"),
)
FILES = click.argument("names", metavar="FILE...", nargs=-1, required=True)


@command(
    "lint",
    parent=policy,
    exit_codes=EXITS_ALWAYS,
    examples=("dure policy lint policy.yaml", "dure policy lint policy.yaml ratecard.yaml --capacity h100-80g=96"),
    see_also=("policy apply",),
)
@FILES
@option("--capacity", metavar="FLAVOR=N", multiple=True, help="Registered GPUs; guarantees must fit. Repeatable.")
def lint(session: Session, names: tuple[str, ...], capacity: tuple[str, ...]) -> None:
    """Check policy files without a server.

    Every mistake is shown at its place. Sums are checked inside the files; whether they fit the machines needs
    --capacity, or a server: policy apply checks it again.
    """
    from scheduler.cli.files import Joined
    from scheduler.cli.policy_files import PolicyText
    from scheduler.cli.when import capacity as read_capacity
    from scheduler.main import lint_policy

    registered, files = read_capacity(capacity), Joined(names)
    text = PolicyText(files)
    text.require_flavors(registered)
    findings = lint_policy(files.text, files.name, registered or None)
    if findings:
        raise text.fault(findings)
    session.data(f"{', '.join(names)}: ok")
    session.next(("Apply", f"dure policy apply {shlex.join(names)}"))


@command(
    "apply",
    parent=policy,
    exit_codes=EXITS_CHANGE,
    examples=('dure policy apply policy.yaml --reason "C-204"', "dure policy apply policy.yaml ratecard.yaml --yes"),
    see_also=("policy lint", "policy show"),
)
@FILES
@option("--reason", metavar="TEXT", default="", help="Why; kept with the version.")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option("table", "json", "yaml", "id")
def apply(session: Session, names: tuple[str, ...], reason: str, yes: bool, output: str) -> None:
    """Put a policy in force.

    The files are one policy and its rate cards. The server checks them against the machines and the organisations; a
    policy with a mistake changes nothing. The text that is in force already is no new version.
    """
    from scheduler.cli.build import request
    from scheduler.cli.files import Joined
    from scheduler.cli.policy_files import PolicyText
    from scheduler.cli.sheets import POLICY
    from scheduler.client.errors import ApiProblem
    from scheduler.schema.bodies import PolicyRequest

    files = Joined(names)
    text = PolicyText(files)
    text.require_readable()
    body = request(PolicyRequest, {"text": "FILE"}, text=files.text, file=files.name[:200], reason=reason)
    session.confirm(f"Apply {', '.join(names)} on {session.server}?", yes=yes)
    try:
        applied, new = session.client.apply_policy(body)
    except ApiProblem as problem:
        if not problem.findings or problem.code.startswith("DURE-2"):
            raise
        raise text.fault(problem.findings) from problem
    session.told(applied, POLICY, output, f"policy/{applied.version} {'applied' if new else 'in force already'}")
    session.next(("See", "dure policy show"), ("Quota", "dure quota"))


@command("show", parent=policy, examples=("dure policy show", "dure policy show 3 --text > policy-3.yaml"))
@click.argument("version", metavar="[VERSION]", type=click.IntRange(1), required=False)
@option(
    "--text",
    "as_text",
    is_flag=True,
    help="The policy's own text, as it was applied; an excerpt for who may not read it all.",
)
@output_option("table", "json", "yaml", "id", "name")
def show(session: Session, version: int | None, as_text: bool, output: str) -> None:
    """Show the policy in force, or one version of it."""
    from scheduler.cli.clean import clean_lines
    from scheduler.cli.sheets import POLICY

    body = session.client.policy(version)
    if not body.whole:
        session.warn("this is an excerpt: without comments and without overrides of other organisations")
    if as_text:
        text = clean_lines(body.text)
        session.data(text.removesuffix("\n"))
    else:
        session.emit(body, POLICY, output)
