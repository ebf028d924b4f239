"""Values of options that need a word of care: durations, instants, capacities."""

from __future__ import annotations

import click

from scheduler.cli.clean import shortened
from scheduler.core.errors import Fatal

BAD_VALUE = "DURE-1008"


def filters(**values: str) -> dict[str, str | int]:
    """The filters of a list that were given."""
    return {name: value for name, value in values.items() if value}


def whose(org: str, project: str) -> tuple[str, str]:
    """Organisation and project of the filters ``--org`` and ``--project [ORG/]PROJECT``; raises Fatal."""
    owner, slash, name = project.rpartition("/")
    if slash and org and org != owner:
        raise Fatal(BAD_VALUE, f"--org {org} and --project {project} name two organisations", "leave --org out")
    return (owner if slash else org), name


class Span(click.ParamType):
    """A duration such as 90s, 10m, 12h or 7d, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Whole seconds; fails with one sentence."""
        from scheduler.core.units import MS_PER_SECOND, parse_duration_ms

        if isinstance(value, int):
            return value
        try:
            duration_ms = parse_duration_ms(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if duration_ms % MS_PER_SECOND:
            self.fail(f"not in whole seconds: {value!r}", param, ctx)
        return duration_ms // MS_PER_SECOND


SPAN = Span()


def instant(text: str, option: str, now_ms: int) -> str:
    """An instant in RFC 3339: as given, midnight in Korean time of a date, or so long ago (7d). Raises Fatal."""
    import re

    from scheduler.core.units import parse_duration_ms
    from scheduler.schema.times import parse_rfc3339, rfc3339

    if not text:
        return ""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        text += "T00:00:00+09:00"
    try:
        if re.fullmatch(r"\d+[a-z]+", text, re.ASCII):
            return rfc3339(max(0, now_ms - parse_duration_ms(text)))
        return rfc3339(parse_rfc3339(text))
    except (ValueError, OverflowError) as error:
        fix = "write a date, an instant with its offset, or how long ago: 7d"
        raise Fatal(BAD_VALUE, f"{option} {shortened(text)} is no instant", fix) from error


def capacity(texts: tuple[str, ...]) -> dict[str, int]:
    """Whole GPUs by flavor from ``FLAVOR=N``; raises Fatal."""
    found: dict[str, int] = {}
    for text in texts:
        flavor, _, count = text.partition("=")
        if not flavor or not (count.isascii() and count.isdigit() and len(count) < 8):
            raise Fatal(
                BAD_VALUE, f"--capacity {shortened(text)} is not FLAVOR=N", "write for example --capacity h100-80g=96"
            )
        if flavor in found:
            raise Fatal(BAD_VALUE, f"--capacity names {shortened(flavor)} twice", "name each flavor once")
        found[flavor] = int(count)
    return found
