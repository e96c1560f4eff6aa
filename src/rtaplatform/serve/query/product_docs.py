"""What OpenAPI says of questions about products, made from the lists that their routes read.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.analytics.answer.metric_totals import PRODUCT_METRICS
from rtaplatform.analytics.answer.popular import METRIC_OF, WINDOW
from rtaplatform.analytics.answer.trending import TRENDING_BY
from rtaplatform.catalog.entities.fields import ID_SCHEMA, NO_NUL, STORED_ID_BYTES_MAX
from rtaplatform.serve.openapi.openapi_pieces import TEXT, Docs, json_content, nullable, parameter
from rtaplatform.serve.query.query_docs import COMPARE, FROM_AND_TO, IN_ZONE, limit_schema, one_of

PRODUCTS_LIMIT = 20
PERIOD_PARAMETERS = ("from", "to", "timezone", "compare")
SHOWN_OF_PRODUCT = ("name", "price", "currency", "category", "image_url")
TOTAL_COLUMNS = ("metric", "unit", "total", "previous", "currency", "error")

_ID: Docs = {**ID_SCHEMA, "maxLength": STORED_ID_BYTES_MAX, "pattern": NO_NUL}
_NUMBER: Docs = {"type": "number"}
_TOTAL: Docs = {
    "type": "object",
    "properties": {
        "unit": one_of(("count", "money", "ratio", "number", "seconds")),
        "total": nullable(_NUMBER),
        "previous": nullable(_NUMBER),
        "error": nullable(_NUMBER),
        "currency": TEXT,
    },
    "required": ["unit", "total", "previous", "error"],
    "additionalProperties": False,
}


def _parameters(by: tuple[str, ...]) -> list[Docs]:
    return [
        parameter("by", "What the products are sorted by.", one_of(by), example="views"),
        parameter(
            "window", "How far back: a number with m, h, d or w.", {"type": "string", "pattern": WINDOW}, example="24h"
        ),
        parameter("limit", "How many products.", limit_schema(PRODUCTS_LIMIT), example=PRODUCTS_LIMIT),
        parameter("category", "Only products of this category of the catalog.", {"type": "string", "minLength": 1}),
    ]


def totals_schema(names: tuple[str, ...], more: Docs) -> Docs:
    """Metrics by their names, with the period and `meta`."""
    fields = {"from": TEXT, "to": TEXT, "timezone": TEXT, **dict.fromkeys(names, _TOTAL), "meta": {"type": "object"}}
    return {
        "type": "object",
        "properties": {**more, **fields, "previous_from": TEXT, "previous_to": TEXT},
        "required": [*more, *fields],
        "additionalProperties": False,
    }


READ_POPULAR: Docs = {"parameters": _parameters(tuple(METRIC_OF))}
READ_TRENDING: Docs = {"parameters": _parameters(TRENDING_BY)}
READ_PRODUCT_METRICS: Docs = {
    "parameters": [
        parameter("id", "The id in events, percent-encoded.", _ID, "path", example="p-1"),
        *FROM_AND_TO, IN_ZONE, COMPARE,
    ],
    "responses": {
        "200": json_content(
            "Each metric's total, by its name.",
            totals_schema(
                PRODUCT_METRICS,
                {
                    "product_id": TEXT, "name": nullable(TEXT), "price": nullable(_NUMBER),
                    "currency": nullable(TEXT), "category": nullable(TEXT), "image_url": nullable(TEXT),
                },
            ),
        )
    },
}  # fmt: skip
