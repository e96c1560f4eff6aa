"""What OpenAPI says of questions about people, made from the lists that their routes read.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.analytics.answer.metric_totals import ENGAGEMENT_DIMENSIONS, ENGAGEMENT_METRICS
from rtaplatform.analytics.answer.retention import COHORTS, PERIODS_DEFAULT, PERIODS_MAX
from rtaplatform.serve.openapi.openapi_pieces import TEXT, Docs, json_content, parameter
from rtaplatform.serve.query.product_docs import PERIOD_PARAMETERS, totals_schema
from rtaplatform.serve.query.query_docs import COMPARE, FROM_AND_TO, IN_ZONE, filters_of, one_of

ENGAGEMENT_PARAMETERS = (*PERIOD_PARAMETERS, *ENGAGEMENT_DIMENSIONS)
RETENTION_PARAMETERS = ("cohort", "periods", "from", "to")

_COUNT: Docs = {"type": "integer", "minimum": 0}
_COHORT: Docs = {
    "type": "object",
    "properties": {"start": TEXT, "size": _COUNT, "retained": {"type": "array", "items": _COUNT, "minItems": 1}},
    "required": ["start", "size", "retained"],
    "additionalProperties": False,
}
READ_ENGAGEMENT: Docs = {
    "parameters": [*FROM_AND_TO, IN_ZONE, COMPARE, *filters_of(ENGAGEMENT_DIMENSIONS)],
    "responses": {
        "200": json_content("Each metric's total, by its name.", totals_schema(ENGAGEMENT_METRICS, {})),
    },
}
READ_RETENTION: Docs = {
    "parameters": [
        parameter("cohort", "Persons first seen on one day, or in one week.", one_of(COHORTS), example="day"),
        parameter(
            "periods", f"Days or weeks to tell of, the first one included: {PERIODS_MAX}.",
            {"type": "integer", "minimum": 1, "maximum": max(PERIODS_MAX.values()), "default": PERIODS_DEFAULT},
            example=PERIODS_DEFAULT,
        ),
        *FROM_AND_TO,
    ],
    "responses": {
        "200": json_content(
            "The cohorts, by time.",
            {
                "type": "object",
                "properties": {
                    "cohort": one_of(COHORTS),
                    "cohorts": {"type": "array", "items": _COHORT},
                    "meta": {"type": "object"},
                },
                "required": ["cohort", "cohorts", "meta"],
                "additionalProperties": False,
            },
        )
    },
}  # fmt: skip
