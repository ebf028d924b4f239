"""``dure policy ...``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from scheduler.cli.base import EXITS_ALWAYS, EXITS_CHANGE, SHAPES, command, group, option, output_option
from scheduler.cli.session import Session

if TYPE_CHECKING:
    from scheduler.schema.bodies import PolicyBody

VERSION_MAX = 2**31 - 1

policy = group(
    "policy",
    "Check, apply and show the fair-share policy.",
    examples=(
        "dure policy lint policy.yaml",
        "dure policy diff policy.yaml",
        'dure policy apply policy.yaml --reason "C-204"',
        "dure policy history",
    ),
)
REASON = option("--reason", metavar="TEXT", default="", help="Why; kept with the version. Required.")
YES = option("-y", "--yes", is_flag=True, help="Do not ask.")
FILES = click.argument("names", metavar="FILE...", nargs=-1, required=True)


@command(
    "lint",
    parent=policy,
    exit_codes=EXITS_ALWAYS,
    examples=("dure policy lint policy.yaml", "dure policy lint policy.yaml ratecard.yaml --capacity h100-80g=96"),
    see_also=("policy diff", "policy apply"),
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
    session.next(("Compare", f"dure policy diff {shlex.join(names)}"), ("Apply", _apply_of(names)))


def _apply_of(names: tuple[str, ...]) -> str:
    return f"dure policy apply {shlex.join(names)} --reason TEXT"


@command(
    "diff",
    parent=policy,
    usages=("[FILE...] [VERSION]", "[VERSION] [VERSION]"),
    examples=("dure policy diff policy.yaml ratecard.yaml", "dure policy diff 3 5", "dure policy diff -o json"),
    see_also=("policy history", "policy apply"),
)
@click.argument("words", metavar="[FILE...|VERSION] [VERSION]", nargs=-1)
@output_option("table", "wide", "json", "jsonl", "yaml", "csv")
def diff(session: Session, words: tuple[str, ...], output: str) -> None:
    """Say what differs between two policies, and what that means.

    FILEs are compared with the policy in force, or with VERSION; a VERSION with the one in force, or with a second one;
    without any, the one in force with the one before. Fields are shown in a policy file's order, then the classes'
    guarantees together, and what a GPU-hour costs an organisation, where they differ.
    """
    from scheduler.cli.clean import clean_lines
    from scheduler.cli.files import Joined
    from scheduler.cli.policy_changes import compared, diff_text, sides, warnings
    from scheduler.cli.policy_files import PolicyText
    from scheduler.cli.render import stdout_page
    from scheduler.cli.sheets_policy import CHANGES

    names, versions = sides(words)
    if names:
        files = Joined(names)
        text = PolicyText(files)
        text.require_readable()
        body = compared(session, text, files.text, files.name, *versions)
    else:
        body = session.client.diff_versions(*versions)
    if not body.whole:
        session.warn("this is an excerpt: without overrides of other organisations")
    if output in ("table", "wide"):
        shown = diff_text(body, stdout_page(), wide=output == "wide")
        session.data(clean_lines(shown).removesuffix("\n"))
    else:
        session.emit(body, CHANGES, output, body.changes)
    for item in body.refusals:
        session.warn(f"it would be refused: {item.message} ({item.code})")
    for sentence in warnings(body):
        session.warn(sentence)


@command(
    "apply",
    parent=policy,
    exit_codes=EXITS_CHANGE,
    examples=(
        'dure policy apply policy.yaml --reason "C-204"',
        'dure policy apply policy.yaml ratecard.yaml --reason "prices of 2027" --yes',
    ),
    see_also=("policy lint", "policy diff", "policy rollback"),
)
@FILES
@REASON
@YES
@output_option("table", "json", "yaml", "id")
def apply(session: Session, names: tuple[str, ...], reason: str, yes: bool, output: str) -> None:
    """Put a policy in force.

    The files are one policy and its rate cards. What would differ is shown before it is asked. The server checks them
    against the machines and the organisations; a policy with a mistake changes nothing, nor does one where somebody
    else has changed the policy meanwhile. The text that is in force already is no new version.
    """
    from scheduler.cli.build import request
    from scheduler.cli.files import Joined
    from scheduler.cli.policy_changes import compared, placed, preview, require_reason
    from scheduler.cli.policy_files import PolicyText
    from scheduler.client.errors import ApiProblem
    from scheduler.schema.bodies import PolicyRequest

    require_reason(reason)
    files = Joined(names)
    text = PolicyText(files)
    text.require_readable()
    body = request(PolicyRequest, {"text": "FILE"}, text=files.text, file=files.name[:200], reason=reason)
    changes = compared(session, text, files.text, files.name)
    preview(session, changes, text)
    session.confirm(f"Apply {', '.join(names)} on {session.server}?", yes=yes)
    try:
        applied, new = session.client.apply_policy(body.model_copy(update={"against": changes.old_version}))
    except ApiProblem as problem:
        placed(problem, text)
    _told(session, applied, new, output)


def _told(session: Session, applied: PolicyBody, new: bool, output: str) -> None:
    from scheduler.cli.sheets import POLICY

    session.told(applied, POLICY, output, f"policy/{applied.version} {'applied' if new else 'in force already'}")
    session.next(("See", "dure policy show"), ("Quota", "dure quota"))


@command(
    "history",
    parent=policy,
    examples=("dure policy history", "dure policy history -o csv > versions.csv"),
    see_also=("policy show", "policy diff", "policy rollback"),
)
@output_option(*SHAPES)
def history(session: Session, output: str) -> None:
    """List the policy's versions, the newest first.

    Why and by whom each was put in force is shown to administrators and auditors of the pool.
    """
    from scheduler.cli.sheets_policy import VERSIONS

    page = session.all_pages(lambda cursor: session.client.policy_versions(cursor=cursor))
    session.emit(page, VERSIONS, output, page.items)


@command(
    "rollback",
    parent=policy,
    exit_codes=EXITS_CHANGE,
    examples=('dure policy rollback 3 --reason "C-231: prices were wrong"',),
    see_also=("policy history", "policy diff"),
)
@click.argument("version", type=click.IntRange(1, VERSION_MAX))
@REASON
@YES
@output_option("table", "json", "yaml", "id")
def rollback(session: Session, version: int, reason: str, yes: bool, output: str) -> None:
    """Put an earlier version of the policy in force again, as a new version.

    What would differ is shown before it is asked. The server checks it again: machines, organisations and jobs may have
    changed since. Its rate card is the one that it named then.
    """
    from scheduler.cli.build import request
    from scheduler.cli.policy_changes import compared, placed, preview, require_reason
    from scheduler.cli.policy_files import StoredText
    from scheduler.client.errors import ApiProblem
    from scheduler.schema.bodies import RollbackRequest

    require_reason(reason)
    body = request(RollbackRequest, version=version, reason=reason)
    earlier = session.client.policy(version)
    text = StoredText(earlier)
    changes = compared(session, text, earlier.text, text.name)
    preview(session, changes, text)
    session.confirm(f"Put version {version} in force again on {session.server}?", yes=yes)
    try:
        applied, new = session.client.rollback_policy(body.model_copy(update={"against": changes.old_version}))
    except ApiProblem as problem:
        placed(problem, text)
    _told(session, applied, new, output)


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
