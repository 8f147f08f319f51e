"""The OpenAPI document is what the apps say, is valid, and has the template's routes."""

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import validate

from local.openapi import FUNCTIONS, make_document
from local.openapi_schemas import OPERATIONS
from local.sandbox import ROOT
from local.template import load_template
from tests.functions import load_function

FILE = ROOT / "docs" / "openapi.json"


@pytest.fixture(autouse=True, scope="module")
def functions() -> None:
    """Import the apps before the document does: Mangum asks for an event loop."""
    for name in FUNCTIONS:
        load_function(name)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_document()


def test_document_in_docs_is_the_apps(document: dict[str, Any]) -> None:
    """What users read is what the apps have: `make openapi` writes it anew."""
    assert json.loads(FILE.read_text()) == document


def test_document_is_valid(document: dict[str, Any]) -> None:
    """It is OpenAPI 3.1, its references lead somewhere, its schemas are JSON Schema."""
    validate(document)


def test_document_has_the_routes_of_the_template(document: dict[str, Any]) -> None:
    """What API Gateway lets through and what the document promises are the same paths."""
    resources = load_template(ROOT / "template.yaml")["Resources"]
    routes = {
        re.sub(r"\+\}", "}", event["Properties"]["Path"])
        for resource in resources.values()
        if resource["Type"] == "AWS::Serverless::Function"
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    }

    assert set(document["paths"]) == routes


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    """Client generators name functions by them."""
    ids = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]

    assert sorted(set(ids)) == sorted(ids)


def test_route_without_an_entry_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new route cannot be forgotten in the document."""
    monkeypatch.delitem(OPERATIONS, ("get", "/v1/models"))

    with pytest.raises(KeyError, match="/v1/models"):
        make_document()


def test_entry_without_a_route_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A removed route cannot stay in the document."""
    monkeypatch.setitem(OPERATIONS, ("get", "/v1/gone"), {})

    with pytest.raises(ValueError, match="/v1/gone"):
        make_document()
