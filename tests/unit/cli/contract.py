"""The committed OpenAPI document as a judge: whether a printed body is one that the asked routes may give or take."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.source import ROOT

JSON = "application/json"


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    return document


@functools.cache
def _routes() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Each path's pattern; those without parameters first, as the server looks them up."""
    found = [(re.sub(r"\{[^}/]+\}", "[^/]+", path), item) for path, item in _document()["paths"].items()]
    return [(re.compile(pattern), item) for pattern, item in sorted(found, key=lambda entry: "[" in entry[0])]


def _schemas(method: str, path: str) -> Iterator[dict[str, Any]]:
    """Of what the route takes, and of what it gives when it does as it was asked."""
    operation: dict[str, Any] = {}
    for pattern, item in _routes():
        if pattern.fullmatch(path):
            operation = item.get(method.lower(), {})
            break
    contents = [operation.get("requestBody", {})]
    contents += [answer for status, answer in operation.get("responses", {}).items() if status < "300"]
    for content in contents:
        schema = content.get("content", {}).get(JSON, {}).get("schema")
        if schema:
            yield schema


def _mistakes(schema: dict[str, Any], body: Any) -> list[str]:
    whole = {**schema, "components": _document()["components"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(body)]


def complaint(asked: Sequence[tuple[str, str]], body: Any) -> str:
    """Why no asked route gives or takes such a body; "" when one does."""
    complaints = []
    for method, path in dict.fromkeys(asked):
        for schema in _schemas(method, path):
            mistakes = _mistakes(schema, body)
            if not mistakes:
                return ""
            complaints.append(f"{method} {path}: {mistakes[:3]}")
    return "; ".join(complaints) or f"none of these answers with JSON: {asked}"
