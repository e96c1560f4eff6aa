"""Products over HTTP: popular, trending, and one product's own funnel.   Stage 6 of 6: analytics → [serve]."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from litestar import get
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from rtaplatform.analytics.answer.metric_totals import PRODUCT_METRICS, read_totals
from rtaplatform.analytics.answer.popular import METRIC_OF, WINDOW, PopularProducts, find_products, read_catalog_fields
from rtaplatform.analytics.answer.trending import TRENDING_BY, TrendingProducts
from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.analytics.ask.time_expressions import UNIT_MS
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import (
    LIMIT_MAX,
    Anchor,
    MetricTotals,
    Popular,
    PopularProduct,
    TimeExpression,
    Trending,
    TrendingProduct,
)
from rtaplatform.core.rollups import PRODUCT_ID
from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.markers import to_shown_value
from rtaplatform.serve.catalog.catalog_http import decode_id
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.csv_tables import META_HEADER, TableResponse, type_as, wants_csv, write_objects
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies, require_query_services
from rtaplatform.serve.http.parameters import read_limit, read_parameters
from rtaplatform.serve.query.product_docs import (
    PERIOD_PARAMETERS,
    PRODUCTS_LIMIT,
    READ_POPULAR,
    READ_PRODUCT_METRICS,
    READ_TRENDING,
    SHOWN_OF_PRODUCT,
    TOTAL_COLUMNS,
)

PRODUCTS_PARAMETERS = ("by", "window", "limit", "category", "format")
DAY_WINDOW = "24h"


@get(
    "/v1/products/popular", opt={"scope": "read", "csv": True, "docs": READ_POPULAR}, tags=["products"],
    summary="The most popular products", operation_id="readPopularProducts", response_class=TableResponse,
)  # fmt: skip
async def read_popular(request: AnyRequest) -> Popular:
    """The first products of a window by views, adds_to_cart, orders, units, revenue or visitors."""
    ranking, is_table = _read_ranking(request, tuple(METRIC_OF)), wants_csv(request)
    services = require_query_services(find_dependencies(request))
    answer = await PopularProducts(services.engine, services.products).find_popular(
        get_access(request).project,
        ranking.by,
        window=TimeExpression(Anchor.NOW, -ranking.window_ms),
        limit=ranking.limit,
        category=ranking.category,
    )
    if is_table:
        return type_as(Popular, _make_table(answer.results, PopularProduct.__struct_fields__, answer.meta))
    return answer


@get(
    "/v1/products/trending", opt={"scope": "read", "csv": True, "docs": READ_TRENDING}, tags=["products"],
    summary="The products that have the most now", operation_id="readTrendingProducts", response_class=TableResponse,
)  # fmt: skip
async def read_trending(request: AnyRequest) -> Trending:
    """The first products of a window, where each event counts half for every quarter of the window that it is old."""
    ranking, is_table = _read_ranking(request, TRENDING_BY), wants_csv(request)
    services = require_query_services(find_dependencies(request))
    answer = await TrendingProducts(services.engine, services.products).find_trending(
        get_access(request).project,
        ranking.by,
        window_ms=ranking.window_ms,
        limit=ranking.limit,
        category=ranking.category,
    )
    if is_table:
        return type_as(Trending, _make_table(answer.results, TrendingProduct.__struct_fields__, answer.meta))
    return answer


@get(
    "/v1/products/{id:str}/metrics", opt={"scope": "read", "csv": True, "docs": READ_PRODUCT_METRICS},
    tags=["products"], summary="One product's own funnel", response_class=TableResponse,
)  # fmt: skip
async def read_product_metrics(request: AnyRequest, id: FromPath[str]) -> dict[str, Any]:
    """Views, carts, checkouts, orders, units, revenue, distinct viewers and the rates between them, of one moment."""
    read_parameters(request, (*PERIOD_PARAMETERS, "format"))
    product_id = decode_id(id)
    query = parse_parameters("visitors", request.query_params.multi_items(), besides=("format",))
    stored_id = as_dimension(product_id)
    query = msgspec.structs.replace(query, filters=((PRODUCT_ID, (to_shown_value(stored_id),)),))
    is_table = wants_csv(request)
    services, project = require_query_services(find_dependencies(request)), get_access(request).project
    totals = await read_totals(services.engine, project, query, PRODUCT_METRICS)
    if is_table:
        return type_as(dict[str, Any], make_totals_table(totals))
    products = await find_products(services.products, project, [stored_id])
    catalog_fields = dict(zip(SHOWN_OF_PRODUCT, read_catalog_fields(products.get(stored_id)), strict=True))
    return {"product_id": product_id, **catalog_fields, **make_totals_document(totals)}


route_handlers: list[BaseRouteHandler] = [read_popular, read_trending, read_product_metrics]


def make_totals_document(totals: MetricTotals) -> dict[str, Any]:
    """The period, each metric by its name, and `meta`."""
    period = {"from": totals.start, "to": totals.end, "timezone": totals.timezone}
    if totals.previous_from is not msgspec.UNSET:
        period |= {"previous_from": totals.previous_from, "previous_to": str(totals.previous_to)}
    return {**period, **totals.totals, "meta": totals.meta}


def make_totals_table(totals: MetricTotals) -> Any:
    rows = [{"metric": name, **msgspec.to_builtins(total)} for name, total in totals.totals.items()]
    return _make_table(rows, TOTAL_COLUMNS, totals.meta)


def _make_table(rows: Any, columns: tuple[str, ...], meta: Any) -> Any:
    return write_objects(rows, columns, {META_HEADER: msgspec.json.encode(meta).decode()})


class RankingRequest(NamedTuple):
    """The parameters of a list of products: the number that ranks them, how far back, how many, of which category."""

    by: str
    window_ms: int
    limit: int
    category: str | None


def _read_ranking(request: AnyRequest, allowed: tuple[str, ...]) -> RankingRequest:
    """Raises InvalidParameter. `allowed`: the values of `by`."""
    parameters = read_parameters(request, PRODUCTS_PARAMETERS)
    return RankingRequest(
        _read_by(parameters, allowed),
        _read_window_ms(parameters),
        read_limit(parameters, PRODUCTS_LIMIT, LIMIT_MAX),
        _read_category(parameters.get("category")),
    )


def _read_by(parameters: dict[str, str], allowed: tuple[str, ...]) -> str:
    by = parameters.get("by", "views")
    if by not in allowed:
        raise InvalidParameter(f"`by` cannot be {by[:100]!r}.", field="by", allowed=list(allowed))
    return by


def _read_window_ms(parameters: dict[str, str]) -> int:
    text = parameters.get("window", DAY_WINDOW)
    if not re.fullmatch(WINDOW, text):
        raise InvalidParameter(
            f"{text[:100]!r} is not a window.",
            field="window",
            allowed=["1m to 999999m", "1h to 9999h", "1d to 999d", "1w to 99w"],
            hint="window=24h",
        )
    return int(text[:-1]) * UNIT_MS[text[-1]]


def _read_category(text: str | None) -> str | None:
    if text == "":
        raise InvalidParameter("`category` is empty.", field="category", hint="Leave it out for all categories.")
    return text
