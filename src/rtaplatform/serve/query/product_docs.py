"""What OpenAPI says of questions about products, made from the lists that their routes read.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.analytics.answer.metric_totals import PRODUCT_METRICS
from rtaplatform.analytics.answer.popular import METRIC_OF, WINDOW
from rtaplatform.analytics.answer.trending import TRENDING_BY
from rtaplatform.catalog.entities.fields import ID_SCHEMA, NO_NUL, STORED_ID_BYTES_MAX
from rtaplatform.serve.openapi.openapi_pieces import (
    META,
    TEXT,
    Docs,
    allow_null,
    make_closed_object,
    make_json_content,
    make_parameter,
    name_schema,
)
from rtaplatform.serve.query.query_docs import COMPARE, FROM_AND_TO, IN_ZONE, limit_schema, make_choice

PRODUCTS_LIMIT = 20
PERIOD_PARAMETERS = ("from", "to", "timezone", "compare")
SHOWN_OF_PRODUCT = ("name", "price", "currency", "category", "image_url")
TOTAL_COLUMNS = ("metric", "unit", "total", "previous", "currency", "error")

_ID: Docs = {**ID_SCHEMA, "maxLength": STORED_ID_BYTES_MAX, "pattern": NO_NUL}
_NUMBER: Docs = {"type": "number"}
_TOTAL: Docs = name_schema(
    "MetricTotal",
    {
        "type": "object",
        "properties": {
            "unit": name_schema("Unit", make_choice(("count", "money", "ratio", "number", "seconds"))),
            "total": allow_null(_NUMBER),
            "previous": allow_null(_NUMBER),
            "error": allow_null(_NUMBER),
            "currency": TEXT,
        },
        "required": ["unit", "total", "previous", "error"],
        "additionalProperties": False,
    },
)


def _make_parameters(by: tuple[str, ...]) -> list[Docs]:
    return [
        make_parameter("by", "What the products are sorted by.", make_choice(by), example="views"),
        make_parameter(
            "window", "How far back: a number with m, h, d or w.", {"type": "string", "pattern": WINDOW}, example="24h"
        ),
        make_parameter("limit", "How many products.", limit_schema(PRODUCTS_LIMIT), example=PRODUCTS_LIMIT),
        make_parameter(
            "category", "Only products of this category of the catalog.", {"type": "string", "minLength": 1}
        ),
    ]


def make_totals_schema(name: str, metrics: tuple[str, ...], more: Docs) -> Docs:
    """Metrics by their names, with the period and `meta`."""
    fields = {"from": TEXT, "to": TEXT, "timezone": TEXT, **dict.fromkeys(metrics, _TOTAL), "meta": META}
    whole = make_closed_object({**more, **fields})
    optional = {"previous_from": TEXT, "previous_to": TEXT}
    return name_schema(name, {**whole, "properties": {**whole["properties"], **optional}})


READ_POPULAR: Docs = {"parameters": _make_parameters(tuple(METRIC_OF))}
READ_TRENDING: Docs = {"parameters": _make_parameters(TRENDING_BY)}
READ_PRODUCT_METRICS: Docs = {
    "parameters": [
        make_parameter("id", "The id in events, percent-encoded.", _ID, "path", example="p-1"),
        *FROM_AND_TO, IN_ZONE, COMPARE,
    ],
    "responses": {
        "200": make_json_content(
            "Each metric's total, by its name.",
            make_totals_schema(
                "ProductMetrics",
                PRODUCT_METRICS,
                {
                    "product_id": TEXT, "name": allow_null(TEXT), "price": allow_null(_NUMBER),
                    "currency": allow_null(TEXT), "category": allow_null(TEXT), "image_url": allow_null(TEXT),
                },
            ),
        )
    },
}  # fmt: skip
