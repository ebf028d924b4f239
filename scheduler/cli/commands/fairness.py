"""``dure fairness report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler.cli import exits
from scheduler.cli.arguments import PERIOD
from scheduler.cli.base import EXITS_API, OUTPUT, command, group, option, output_option
from scheduler.cli.session import Session
from scheduler.cli.streams import put, put_bytes
from scheduler.core.errors import Fatal

if TYPE_CHECKING:
    from scheduler.schema.bodies import FairnessBody

NOT_WRITTEN = "DURE-1342"
ORGS_SHOWN = 20
LANGS = ("ko", "en")

fairness = group(
    "fairness",
    "Report who got what they were entitled to.",
    examples=("dure fairness report --period 2026-11", "dure fairness report --public -o html --file fairness.html"),
)


@command(
    "report",
    parent=fairness,
    exit_codes=(*EXITS_API[:-1], exits.CONFLICT, exits.UNREACHABLE),
    examples=(
        "dure fairness report --period 2026-11",
        "dure fairness report --since 7d -o csv --file fairness.csv",
        "dure fairness report --public -o html --lang en --file fairness.html",
    ),
    see_also=("quota", "usage", "period list"),
)
@option("--period", type=PERIOD, metavar="PERIOD", default="", help="A billing period, or a Korean month: 2026-11.")
@option("--since", metavar="WHEN", default="", help="From this instant: a date (Korean time), RFC 3339, or 7d ago.")
@option("--until", metavar="WHEN", default="", help="Up to this instant.")
@option("--public", is_flag=True, help="The public view of a closed period: nothing about fewer than 5 organisations.")
@option(
    "--lang",
    type=click.Choice(LANGS),
    metavar="LANG",
    default="ko",
    group=OUTPUT,
    help="Language of documents: ko or en; ko without it.",
)
@option("--file", metavar="PATH", default="", group=OUTPUT, help="Write it to this file, not to standard output.")
@output_option("table", "json", "yaml", "csv", "html")
def report(
    session: Session, period: str, since: str, until: str, public: bool, lang: str, file: str, output: str
) -> None:
    """Show entitlement against receipt, how even it was, and how long jobs waited.

    Without a time it is the period that is open, with --public the newest closed one; other times are cut to full
    hours. Entitlement is the fair share
    among those who asked, hour by hour; receipt is what they held. Jobs that still wait count with their wait so far,
    and >= says that a value may be larger for that reason. -o html is one file with its pictures in it.
    """
    from scheduler.cli.when import filters, instant

    now_ms = session.now_ms()
    asked = filters(
        view="public" if public else "whole",
        period=period,
        since=instant(since, "--since", now_ms),
        until=instant(until, "--until", now_ms),
    )
    if output == "html":
        content = session.client.fairness_page(asked, lang)
    elif output == "csv":
        content = session.client.fairness_csv(asked)
    else:
        content = _text(session, session.client.fairness(asked), output).encode()
    if not file:
        put_bytes(content) if output in ("html", "csv") else put(content.decode())
        return
    try:
        Path(file).write_bytes(content)
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else error
        raise Fatal(NOT_WRITTEN, f"{file} cannot be written: {detail}", "name a file that you may write") from error
    session.talk(f"written: {file}")


def _text(session: Session, body: FairnessBody, output: str) -> str:
    """The report as tables, JSON or YAML."""
    from scheduler.cli.render import render, stdout_view
    from scheduler.cli.sheets_fairness import SHARES, WAITS

    view = stdout_view(session.now_ms())
    if output != "table":
        return render(body, SHARES, output, view)
    upper = [share for share in body.shares if share.level in ("pool", "class")]
    orgs = [share for share in body.shares if share.level == "organisation"]
    worst = sorted(orgs, key=lambda share: (share.received_ppm is None, share.received_ppm or 0))[:ORGS_SHOWN]
    session.talk(f"fairness, {body.view} view, {body.since} to {body.until}")
    if len(orgs) > len(worst):
        session.talk(f"of {len(orgs)} organisations the {len(worst)} that received least of their entitlement")
    if not body.shares:
        session.talk(SHARES.empty)
    tables = (render(None, SHARES, "table", view, [*upper, *worst]), render(None, WAITS, "table", view, body.waits))
    return "\n".join(table for table in tables if table)
