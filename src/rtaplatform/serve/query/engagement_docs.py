"""What OpenAPI says of questions about people, made from the lists that their routes read.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.analytics.answer.metric_totals import ENGAGEMENT_DIMENSIONS, ENGAGEMENT_METRICS
from rtaplatform.analytics.answer.retention import COHORTS, PERIODS_DEFAULT, PERIODS_MAX
from rtaplatform.serve.openapi.openapi_pieces import Docs, make_json_content, make_parameter
from rtaplatform.serve.query.product_docs import PERIOD_PARAMETERS, make_totals_schema
from rtaplatform.serve.query.query_docs import COMPARE, FROM_AND_TO, IN_ZONE, make_choice, make_filters

ENGAGEMENT_PARAMETERS = (*PERIOD_PARAMETERS, *ENGAGEMENT_DIMENSIONS)
LENGTHS_PARAMETERS = ("from", "to", "timezone", *ENGAGEMENT_DIMENSIONS)
RETENTION_PARAMETERS = ("cohort", "periods", "from", "to")

READ_ENGAGEMENT: Docs = {
    "parameters": [*FROM_AND_TO, IN_ZONE, COMPARE, *make_filters(ENGAGEMENT_DIMENSIONS)],
    "responses": {
        "200": make_json_content(
            "Each metric's total, by its name.", make_totals_schema("Engagement", ENGAGEMENT_METRICS, {})
        ),
    },
}
READ_LENGTHS: Docs = {"parameters": [*FROM_AND_TO, IN_ZONE, *make_filters(ENGAGEMENT_DIMENSIONS)]}
READ_RETENTION: Docs = {
    "parameters": [
        make_parameter("cohort", "Persons first seen on one day, or in one week.", make_choice(COHORTS), example="day"),
        make_parameter(
            "periods", f"Days or weeks to tell of, the first one included: {PERIODS_MAX}.",
            {"type": "integer", "minimum": 1, "maximum": max(PERIODS_MAX.values()), "default": PERIODS_DEFAULT},
            example=PERIODS_DEFAULT,
        ),
        *FROM_AND_TO,
    ],
}  # fmt: skip
