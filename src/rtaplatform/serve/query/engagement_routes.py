"""People over HTTP: engagement, lengths of sessions and retention.   Stage 6 of 6: analytics → [serve]."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get
from litestar.handlers import BaseRouteHandler

from rtaplatform.analytics.answer.length_histogram import make_length_query, read_lengths
from rtaplatform.analytics.answer.metric_totals import ENGAGEMENT_METRICS, list_total_queries, read_totals
from rtaplatform.analytics.answer.retention import (
    COHORTS,
    PERIODS_DEFAULT,
    PERIODS_MAX,
    RetentionRequest,
    count_reads,
    read_retention,
)
from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.analytics.ask.time_expressions import read_moment
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import NOW, LengthBucket, LengthHistogram, RetentionTable
from rtaplatform.serve.http.access import get_access, take
from rtaplatform.serve.http.csv_tables import META_HEADER, TableResponse, type_as, wants_csv, write_objects
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies, require_query_services
from rtaplatform.serve.http.limits import READ
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.query.engagement_docs import (
    ENGAGEMENT_PARAMETERS,
    LENGTHS_PARAMETERS,
    READ_ENGAGEMENT,
    READ_LENGTHS,
    READ_RETENTION,
    RETENTION_PARAMETERS,
)
from rtaplatform.serve.query.product_routes import make_totals_document, make_totals_table


@get(
    "/v1/engagement", opt={"scope": "read", "csv": True, "docs": READ_ENGAGEMENT}, tags=["people"],
    summary="Visitors, active users and sessions at once", response_class=TableResponse,
)  # fmt: skip
async def read_engagement(request: AnyRequest) -> dict[str, Any]:
    """The totals of all metrics of people, for one period and of one moment."""
    _require_known(request, ENGAGEMENT_PARAMETERS)
    query = parse_parameters("sessions", request.query_params.multi_items(), besides=("format",))
    is_table = wants_csv(request)
    engine, access = require_query_services(find_dependencies(request)).engine, get_access(request)
    cost = await engine.check(access.project, list_total_queries(query, ENGAGEMENT_METRICS))
    if cost.reads > 1:
        await take(request, READ, access, cost.reads - 1)
    totals = await read_totals(engine, access.project, query, ENGAGEMENT_METRICS)
    return type_as(dict[str, Any], make_totals_table(totals)) if is_table else make_totals_document(totals)


@get(
    "/v1/sessions/lengths", opt={"scope": "read", "csv": True, "docs": READ_LENGTHS}, tags=["people"],
    summary="How many sessions have which length", response_class=TableResponse,
)  # fmt: skip
async def read_session_lengths(request: AnyRequest) -> LengthHistogram:
    """The sessions that begin in the period, counted in log buckets: each begins a tenth above the one before."""
    _require_known(request, LENGTHS_PARAMETERS)
    period_query = parse_parameters("sessions", request.query_params.multi_items(), besides=("format",))
    query, is_table = make_length_query(period_query), wants_csv(request)
    engine, access = require_query_services(find_dependencies(request)).engine, get_access(request)
    cost = await engine.check(access.project, [query])
    if cost.reads > 1:
        await take(request, READ, access, cost.reads - 1)
    histogram = await read_lengths(engine, access.project, query)
    if is_table:
        meta = {META_HEADER: msgspec.json.encode(histogram.meta).decode()}
        return type_as(LengthHistogram, write_objects(histogram.lengths, LengthBucket.__struct_fields__, meta))
    return histogram


@get(
    "/v1/retention", opt={"scope": "read", "csv": True, "docs": READ_RETENTION}, tags=["people"],
    summary="How many of the new visitors come back", operation_id="readRetention", response_class=TableResponse,
)  # fmt: skip
async def read_retention_table(request: AnyRequest) -> RetentionTable:
    """By the day or week on which persons were first seen: how many, and how many were active in each one after."""
    table_request, is_table = _read_retention_request(request), wants_csv(request)
    engine, access = require_query_services(find_dependencies(request)).engine, get_access(request)
    reads = await count_reads(engine, access.project, table_request)
    if reads > 1:
        await take(request, READ, access, reads - 1)
    retention = await read_retention(engine, access.project, table_request)
    if is_table:
        return type_as(RetentionTable, _make_table(retention, table_request.periods))
    return retention


route_handlers: list[BaseRouteHandler] = [read_engagement, read_session_lengths, read_retention_table]


def _require_known(request: AnyRequest, names: tuple[str, ...]) -> None:
    for name in request.query_params:
        if name not in (*names, "format"):
            raise InvalidParameter.unknown(name, (*names, "format"))


def _read_retention_request(request: AnyRequest) -> RetentionRequest:
    parameters = read_parameters(request, (*RETENTION_PARAMETERS, "format"))
    cohort = parameters.get("cohort", COHORTS[0])
    if cohort not in COHORTS:
        raise InvalidParameter(f"`cohort` cannot be {cohort[:100]!r}.", field="cohort", allowed=list(COHORTS))
    return RetentionRequest(
        cohort,
        _read_periods(parameters.get("periods", str(PERIODS_DEFAULT)), PERIODS_MAX[cohort]),
        read_moment(parameters["from"], "from") if "from" in parameters else None,
        read_moment(parameters["to"], "to") if "to" in parameters else NOW,
    )


def _read_periods(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise InvalidParameter(
            f"`periods` cannot be {text[:100]!r}.", field="periods", allowed=f"1 to {most}",
            hint="400 days are kept.",
        )  # fmt: skip
    return int(text)


def _make_table(retention: RetentionTable, periods: int) -> Any:
    """A row for each cohort, with a column for each period; empty where the period has not begun."""
    ages = [str(age) for age in range(periods)]
    rows = [
        {"start": cohort.start, "size": cohort.size, **dict(zip(ages, cohort.retained, strict=False))}
        for cohort in retention.cohorts
    ]
    meta = {META_HEADER: msgspec.json.encode(retention.meta).decode()}
    return write_objects(rows, ("start", "size", *ages), meta)
