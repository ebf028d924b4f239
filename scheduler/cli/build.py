"""Request bodies from options: what the model refuses becomes one sentence for each option."""

from __future__ import annotations

from typing import Any, TypeVar

from scheduler.cli.errors import Fault
from scheduler.core.errors import Finding
from scheduler.schema.bodies import Body

B = TypeVar("B", bound=Body)
BAD_VALUE = "DURE-1008"


def request(model: type[B], options: dict[str, str] | None = None, **values: Any) -> B:
    """A body from these values; raises Fault that names the option of each wrong one.

    options: field -> how the user calls it; ``--field-name`` by default.
    """
    try:
        return model(**values)
    except ValueError as error:
        details = getattr(error, "errors", None)
        found = details(include_url=False) if callable(details) else []
        findings = [_finding(item, options or {}) for item in found]
        raise Fault(findings or [Finding("", BAD_VALUE, str(error))]) from None


def _finding(item: dict[str, Any], options: dict[str, str]) -> Finding:
    name = str(item["loc"][0]) if item.get("loc") else ""
    shown = options.get(name, f"--{name.replace('_', '-')}")
    value = item.get("input")
    return Finding(shown, BAD_VALUE, f"{value!r} is not accepted: {str(item['msg']).removeprefix('Value error, ')}")
