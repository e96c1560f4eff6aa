"""The page about the API: every operation with its bodies, from examples that keep to their schemas."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest

from rtaplatform.serve.docs_page.docs_html import write_docs
from rtaplatform.serve.docs_page.sample_values import SampleMaker
from rtaplatform.serve.docs_page.type_words import say_type
from rtaplatform.serve.openapi.document import make_document
from tests.unit.serve.parts_of_tests import Site
from tests.unit.serve.shared_routes import share_routes


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_document(share_routes(Site().parts))


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> str:
    return write_docs(document)


def test_every_operation_and_every_body_is_on_the_page(document: dict[str, Any], page: str) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            start = page.index(f'id="{operation["operationId"]}" data-method="{method}" data-path="{path}"')
            part = page[start : page.index("</details>", start)]
            for media in operation.get("requestBody", {}).get("content", {}):
                assert f'data-media="{media}"' in part


def test_examples_of_bodies_keep_to_their_schemas(document: dict[str, Any]) -> None:
    samples, wrong = SampleMaker(document["components"]["schemas"]), []
    for item in document["paths"].values():
        for operation in item.values():
            for part in operation.get("requestBody", {}).get("content", {}).values():
                validator = jsonschema_rs.Draft202012Validator({**part["schema"], "components": document["components"]})
                if not validator.is_valid(samples.sample(part["schema"])):
                    wrong.append(operation["operationId"])
    assert wrong == []


def test_every_link_of_the_page_leads_somewhere(page: str) -> None:
    places = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= places


def test_texts_of_the_document_are_no_markup() -> None:
    parameter = {"name": "<b>", "in": "query", "schema": {"enum": ["<i>"]}, "description": "`<u>` & <s>"}
    operation = {
        "operationId": "read", "tags": ["a"], "summary": "<p>", "parameters": [parameter], "responses": {},
    }  # fmt: skip
    page = write_docs(
        {
            "info": {"title": "T", "version": "1"},
            "components": {"schemas": {}},
            "paths": {"/a": {"get": operation}},
        }
    )
    assert not re.search("<(b|i|u|s)>", page)
    assert "<code>&lt;u&gt;</code> &amp; &lt;s&gt;" in page


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["string", "null"]}, "text or null"),
        ({"type": "array", "items": {"type": "integer"}}, "list of whole number"),
        ({"anyOf": [{"$ref": "#/components/schemas/Key"}, {"type": "null"}]},
         '<a href="#schema-Key">Key</a> or null'),
        ({"enum": list(range(10))}, " or ".join(f"<code>{n}</code>" for n in range(8)) + " or one of 2 others"),
        ({"type": "string", "format": "date-time"}, "time"),
        ({}, "any value"),
        ({"if": {}, "then": {"type": "number"}}, "number"),
        (False, "nothing"),
    ],
)  # fmt: skip
def test_types_are_said_in_words(schema: Any, words: str) -> None:
    assert say_type(schema) == words


def test_a_schema_that_has_itself_as_a_part_has_an_example() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}, "ok": {"const": True}}}
    sample = SampleMaker({"Node": node}).sample({"$ref": "#/components/schemas/Node"})
    assert sample["next"]["ok"] is True
