"""Queries over HTTP: one metric, and several queries.   Stage 6 of 6: analytics → [serve].

The project is that of the key. A wrong query raises a `Rejected`, and `http/problems.py` turns it into a problem
document.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from litestar import get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from msgspec import Struct

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import name_field_in_object, parse_object, parse_parameters
from rtaplatform.analytics.plan.declared_dimensions import resolve_metric
from rtaplatform.analytics.plan.metric_intervals import list_intervals
from rtaplatform.catalog.entities.fields import require_object
from rtaplatform.core.errors import InvalidParameter, PlatformError, UnreadableBody
from rtaplatform.core.metrics import METRICS
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Answer, MetricItem, Query
from rtaplatform.serve.http.access import get_access, take
from rtaplatform.serve.http.bodies import read_body
from rtaplatform.serve.http.csv_tables import TableResponse, type_as, wants_csv, write_answer, write_objects
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies, require_query_services
from rtaplatform.serve.http.limits import READ
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.query.answer_encoding import count_points, encode_results
from rtaplatform.serve.query.query_docs import QUERIES_MAX, READ_METRIC, READ_QUERIES

BODY_BYTES_MAX = 256 * 1024


class MetricList(Struct, frozen=True):
    items: list[MetricItem]


class AnswerList(Struct, frozen=True):
    answers: list[Answer]


@get(
    "/v1/metrics", opt={"scope": "read", "csv": True}, tags=["metrics"],
    summary="Which metrics there are", response_class=TableResponse,
)  # fmt: skip
async def list_metrics(request: AnyRequest) -> MetricList:
    """Every metric with its unit, dimensions and intervals; with what the key's project declares."""
    read_parameters(request, ("format",))
    project = await _read_settings(request)
    items = [
        MetricItem(
            metric.name, metric.unit, metric.description, list(metric.dimensions),
            list(list_intervals(metric)),
        )
        for metric in (resolve_metric(name, project) for name in METRICS)
    ]  # fmt: skip
    if wants_csv(request):
        return type_as(MetricList, write_objects(items, MetricItem.__struct_fields__))
    return MetricList(items)


@get(
    "/v1/metrics/{name:str}", opt={"scope": "read", "csv": True, "docs": READ_METRIC}, tags=["metrics"],
    summary="One metric over a period", response_class=TableResponse,
)  # fmt: skip
async def read_metric(request: AnyRequest, name: FromPath[str]) -> Answer:
    """Total, points and comparison of one metric, filtered and broken down."""
    query = parse_parameters(name, request.query_params.multi_items(), besides=("format",))
    is_table = wants_csv(request)
    answer = (await _answer_queries(request, [query]))[0]
    if is_table:
        table = partial(write_answer, answer, query.breakdown)
        return type_as(Answer, await find_engine(request).side_thread.run(count_points([answer]), table))
    return (await encode_results(find_engine(request).side_thread, [answer]))[0]


@post(
    "/v1/query", opt={"scope": "read", "docs": READ_QUERIES}, tags=["metrics"],
    summary="Several metrics of one moment", status_code=200,
)  # fmt: skip
async def read_queries(request: AnyRequest) -> AnswerList:
    """Up to 20 queries, answered from one moment."""
    read_parameters(request, ())
    engine, project = find_engine(request), get_access(request).project
    raw_queries = _read_queries(await _read_body(request))
    queries = [await _parse_query(engine, project, n, raw) for n, raw in enumerate(raw_queries)]
    return AnswerList(await encode_results(find_engine(request).side_thread, await _answer_queries(request, queries)))


route_handlers: list[BaseRouteHandler] = [list_metrics, read_metric, read_queries]


def find_engine(request: AnyRequest) -> Engine:
    return require_query_services(find_dependencies(request)).engine


async def _read_settings(request: AnyRequest) -> ProjectSettings:
    """The project's settings; without an answer of the store, those of a project that declares nothing."""
    engine, slug = find_engine(request), get_access(request).project
    try:
        await engine.observe(slug)
        return await engine.read_project(slug)
    except PlatformError:
        return ProjectSettings(slug)


async def _read_body(request: AnyRequest) -> bytes:
    try:
        return await read_body(request.receive, request.headers.get("content-encoding"), BODY_BYTES_MAX)
    except UnreadableBody as error:
        error.hint = f"Send JSON of at most {BODY_BYTES_MAX} bytes, gzipped or not: fewer queries at once."
        raise


def _read_queries(body: bytes) -> list[object]:
    if not body:
        raise UnreadableBody("The body is empty.")
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBody(f"The body is not JSON: {error}") from None
    fields = require_object(content, ["queries"], '{"queries": [{"metric": "orders"}]}')
    unknown = next((name for name in fields if name != "queries"), None)
    if unknown is not None:
        raise InvalidParameter(f"There is no field {unknown[:100]!r}.", field=unknown[:100], allowed=["queries"])
    queries = fields.get("queries")
    if not isinstance(queries, list) or not 1 <= len(queries) <= QUERIES_MAX:
        raise InvalidParameter(
            f"`queries` is a list of 1 to {QUERIES_MAX} queries.",
            field="queries",
            allowed=f"1 to {QUERIES_MAX} queries",
        )
    return queries


async def _answer_queries(request: AnyRequest, queries: Sequence[Query]) -> list[Answer]:
    """Answer the queries. Expensive ones count as several requests against the key's limit."""
    engine, access = find_engine(request), get_access(request)
    cost = await engine.check(access.project, queries)
    if cost.reads > 1:
        await take(request, READ, access, cost.reads - 1)
    return await engine.answer(access.project, queries)


async def _parse_query(engine: Engine, project: str, number: int, raw_query: object) -> Query:
    """Parse and plan one of several queries. The field of an error names the query: `queries.3.from`."""
    try:
        query = parse_object(raw_query)
        await engine.check(project, [query])
    except InvalidParameter as error:
        field = name_field_in_object(raw_query, error.field)
        error.field = f"queries.{number}" + (f".{field}" if field else "")
        raise
    return query
