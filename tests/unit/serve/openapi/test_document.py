"""What the OpenAPI document says, held against what reads requests. Schemathesis does it over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtaplatform import __version__
from rtaplatform.analytics.answer.popular import WINDOW
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.ask.time_expressions import PATTERN, read_moment
from rtaplatform.analytics.plan.dimension_groups import list_dimension_groups
from rtaplatform.analytics.plan.plan import make_plan
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.metrics import METRICS
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.serve.openapi.document import make_document
from rtaplatform.serve.openapi.named_schemas import move_named_schemas
from tests.unit.serve.parts_of_tests import Site
from tests.unit.serve.shared_routes import share_routes

NOW = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)
DEMO = ProjectSettings("demo", "Europe/Berlin")
NEARLY_TIMES = st.from_regex(
    r"now|-[0-9]{1,10}[mhdwy]|[0-9]{4}-[01][0-9]-[0-3][0-9]"
    r"([Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{1,10})?)?([Zz]|[+ -][0-2][0-9](:?[0-6][0-9])?)?)?",
    fullmatch=True,
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_document(share_routes(Site().parts))


@given(NEARLY_TIMES.filter(lambda text: text.isascii()))
@example("2024-02-29")
@example("2023-02-29")
@example("1900-02-29")
@example("2000-02-29T23:59:59,123456789+02")
@example("0000-01-01")
@example("2026-01-10T00:00-0060")
def test_the_pattern_of_times_matches_what_is_read(text: str) -> None:
    try:
        read_moment(text, "from")
    except InvalidParameter:
        assert not re.search(PATTERN.replace("$", r"\Z"), text)
    else:
        assert re.search(PATTERN, text)


def test_dimensions_go_together_as_their_groups_say() -> None:
    for metric in METRICS.values():
        groups = [set(group) for group in list_dimension_groups(metric)]
        for pair in combinations(metric.dimensions, 2):
            query = parse_object({"metric": metric.name, "breakdown": list(pair)})
            if any(set(pair) <= group for group in groups):
                make_plan(query, DEMO, NOW)
            else:
                with pytest.raises(InvalidParameter):
                    make_plan(query, DEMO, NOW)


@pytest.mark.parametrize("limit", [10, 10.0])
def test_a_whole_number_may_be_written_with_a_point(limit: float) -> None:
    assert parse_object({"metric": "events", "limit": limit}).limit == 10


@pytest.mark.parametrize("limit", [10.5, True, 0, 1_001, float("inf"), "10"])
def test_an_invalid_limit_is_refused(limit: object) -> None:
    with pytest.raises(InvalidParameter):
        parse_object({"metric": "events", "limit": limit})


@pytest.mark.parametrize(
    ("window", "fits"), [("24h", True), ("99w", True), ("100w", False), ("0m", False), ("1y", False)]
)
async def test_the_pattern_of_windows_matches_what_is_read(window: str, fits: bool) -> None:
    answer = await Site().ask("GET", "/v1/products/popular", window=window)
    assert (answer.status == 200) is fits is bool(re.search(WINDOW, window))


def test_every_operation_names_its_scope_where_programs_look(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            scope = operation.get("x-scope")
            assert ({"key": [scope]} in operation.get("security", ())) is (scope is not None), (method, path)
            assert ({"401", "403"} <= operation["responses"].keys()) is (scope is not None), (method, path)


def test_every_503_and_429_has_retry_after(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            for status in {"429", "503"} & operation["responses"].keys():
                assert operation["responses"][status]["headers"]["Retry-After"]["required"]


def test_every_reference_in_the_document_exists(document: dict[str, Any]) -> None:
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r"'\$ref': '([^']+)'", str(document))) <= named


def test_the_document_has_the_version_of_the_platform(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == __version__
    assert __version__ != "0"


def _list_operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_operations_have_names_of_their_own_that_begin_with_a_verb(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in _list_operations(document)]
    assert len(set(names)) == len(names)
    verbs = (
        "change|collect|create|delete|end|erase|import|issue|list|make|open|read|replace|replay|revoke|rotate|stream|"
        "validate"
    )
    assert [name for name in names if not re.fullmatch(f"({verbs})([A-Z][a-z0-9]*)+", name)] == []


def test_bodies_and_answers_in_json_have_names(document: dict[str, Any]) -> None:
    contents = [
        content["application/json"]["schema"]
        for operation in _list_operations(document)
        for part in (operation.get("requestBody", {}), *operation["responses"].values())
        if "application/json" in (content := part.get("content", {}))
    ]
    unnamed = [schema for schema in contents if "$ref" not in str(schema) and schema.get("additionalProperties") != {}]
    # Answers that hold what others define: health, the document itself, PostHog's switches.
    assert all(schema["type"] == "object" and "properties" not in schema for schema in unnamed), unnamed


def test_a_parameter_is_there_once(document: dict[str, Any]) -> None:
    for operation in _list_operations(document):
        places = [(entry["name"], entry["in"]) for entry in operation.get("parameters", ())]
        assert len(set(places)) == len(places), operation["operationId"]


def test_two_schemas_of_one_name_are_refused() -> None:
    document = {"components": {"schemas": {}}, "paths": {"/a": [{"title": "A", "type": "string"}, {"title": "A"}]}}
    with pytest.raises(AssertionError, match="two schemas have the name A"):
        move_named_schemas(document)


def test_a_property_called_title_is_no_name() -> None:
    schema = {"title": "Page", "properties": {"title": {"type": "string"}}, "example": {"title": "Home"}}
    document = {"components": {"schemas": {}}, "paths": {"/a": {"schema": schema}}}
    move_named_schemas(document)
    assert document == {
        "components": {"schemas": {"Page": schema}},
        "paths": {"/a": {"schema": {"$ref": "#/components/schemas/Page"}}},
    }
