"""A body that is no object is refused in words by every route that takes one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rtaplatform.catalog.keys.key_format import SCOPES
from rtaplatform.catalog.keys.key_rows import KeyAccess
from tests.unit.serve.parts_of_tests import Site

KINDS: list[tuple[Any, str]] = [
    ([], "a list"), ([{}], "a list"), (b"null", "null"), (7, "a number"), ("x", "text"), (True, "true or false"),
]  # fmt: skip


def make_site() -> Site:
    site = Site()
    site.keys.accesses["all"] = KeyAccess("demo", "prj_1", frozenset(SCOPES), "key_9")
    return site


async def list_routes(site: Site) -> list[tuple[str, str]]:
    """The routes whose body is JSON, except those of collecting, whose bodies are events."""
    paths = (await site.ask("GET", "/openapi.json")).json["paths"]
    return [
        (method.upper(), re.sub(r"\{.*?\}", "prj_1", path))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
        and operation["tags"] != ["collect"]
    ]


@pytest.mark.parametrize(("body", "kind"), KINDS)
async def test_a_body_that_is_no_object_is_refused_in_words(body: Any, kind: str) -> None:
    site = make_site()
    routes = await list_routes(site)
    assert ("POST", "/v1/query") in routes
    assert ("PATCH", "/v1/products/prj_1") in routes
    assert len(routes) >= 14
    for method, path in routes:
        reply = await site.ask(method, path, key="all", body=body)
        problem = reply.json
        assert (reply.status, problem["field"]) == (422, "body"), (method, path, problem)
        assert problem["detail"] == f"The body is {kind}. It must be a JSON object.", (method, path)
        assert problem["allowed"], (method, path)
        assert problem["hint"].startswith("Send one object, for example {"), (method, path)
