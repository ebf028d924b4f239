"""Request bodies from options: what the model refuses becomes one sentence for each option."""

from __future__ import annotations

from typing import Any, TypeVar

from scheduler.cli.clean import shortened
from scheduler.cli.errors import Fault
from scheduler.core.errors import Finding
from scheduler.schema.bodies import Body

B = TypeVar("B", bound=Body)
BAD_VALUE = "DURE-1008"
NAME_FIX = "use at most 40 small letters, digits and dashes, begin with a letter and end without a dash"
FORMS = {
    "name": ("name", NAME_FIX),
    "org": ("name of an organisation", NAME_FIX),
    "class_name": ("name of a class", NAME_FIX),
    "user": ("name of a user", "use at most 63 small letters, digits and . _ @ : -, and begin with a letter"),
    "scope": ("scope", "write all, org:NAME, project:ORG/NAME or cluster:NAME"),
    "gpus": ("request for GPUs", "write for example --gpus h100:1"),
    "project": ("ORG/PROJECT", "dure project list"),
}
"""Field -> what it is, and how to write it."""
EXPIRES = ("1m", "366d")


def request(model: type[B], options: dict[str, str] | None = None, **values: Any) -> B:
    """A body from these values; raises Fault that names the option of each wrong one.

    options: field -> how the user calls it; ``--field-name`` by default.
    """
    try:
        return model(**values)
    except ValueError as error:
        raise Fault(findings_of(error, options or {})) from None


def findings_of(error: ValueError, options: dict[str, str]) -> list[Finding]:
    """A finding for each field that a model refuses; one that is no model's is a single finding."""
    details = getattr(error, "errors", None)
    found = details(include_url=False) if callable(details) else []
    return [_finding(item, options) for item in found] or [Finding("", BAD_VALUE, str(error))]


def _finding(item: dict[str, Any], options: dict[str, str]) -> Finding:
    name = str(item["loc"][0]) if item.get("loc") else ""
    shown = options.get(name, f"--{name.replace('_', '-')}")
    message, fix = _sentence(name, item)
    return Finding(shown, BAD_VALUE, message, fix)


def _sentence(name: str, item: dict[str, Any]) -> tuple[str, str]:
    """What is wrong with a field and what to write instead, for people."""
    value, kind, limits = shortened(str(item.get("input"))), str(item["type"]), item.get("ctx") or {}
    if kind == "string_pattern_mismatch" and name in FORMS:
        wanted, fix = FORMS[name]
        return f"{value} is no {wanted}", fix
    if kind == "string_too_long":
        return f"the text has {len(item['input'])} characters; at most {limits['max_length']} are taken", "shorten it"
    if kind == "string_unicode":
        return "the value is not UTF-8 text", "write it in UTF-8"
    if name == "expires_seconds" and kind in ("greater_than_equal", "less_than_equal"):
        least, most = EXPIRES
        return f"a token is valid for {least} at least and {most} at most", "write for example --expires 30d"
    return f"{value} is not accepted: {str(item['msg']).removeprefix('Value error, ')}", ""
