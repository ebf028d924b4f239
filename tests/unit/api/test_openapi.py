"""The committed description of the API is the code's, and says of each operation what a client must know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts import openapi
from tests.support.golden import assert_golden
from tests.unit.api.place import Place

PUBLIC = {"healthz", "readyz", "metrics", "version"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as it would be committed."""
    made: dict[str, Any] = json.loads(openapi.document())
    return made


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every operation."""
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_the_committed_document_is_the_codes() -> None:
    assert_golden(openapi.FILE, openapi.document())


def test_the_server_serves_it(place: Place, document: dict[str, Any]) -> None:
    assert place.client().get("/openapi.json").json() == document


def test_every_operation_is_named_grouped_and_described(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document)]
    assert len(set(names)) == len(names) > 40
    for operation in operations(document):
        assert len(operation["tags"]) == 1
        assert operation["description"].endswith(".")


def test_every_operation_declares_its_errors(document: dict[str, Any]) -> None:
    for operation in operations(document):
        declared = set(operation["responses"])
        assert {"421", "500"} <= declared
        if operation["operationId"] not in PUBLIC:
            speaks = "attempt" if operation["operationId"] == "report_checkpoint" else "token"
            assert operation["security"] == [{speaks: []}]
            assert {"401", "403", "422", "503"} <= declared
        if "requestBody" in operation:
            assert {"400", "408", "413"} <= declared
        for status in declared:
            if status >= "400":
                assert operation["responses"][status] == {"$ref": f"#/components/responses/Problem{status}"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for item in value.values() for found in references(item)]
        if isinstance(value, list):
            return [found for item in value for found in references(item)]
        return []

    found = set(references(document))
    assert len(found) > 20
    for reference in found:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target


def test_it_is_openapi_3_1_without_a_word_of_any_server(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == "v1"
    assert "servers" not in document
