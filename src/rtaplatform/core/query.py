"""A query and its answer.   Pure.

A query keeps relative and local times as they were given until a plan is made, so that a live query moves with the
clock. msgspec encodes the structs of an answer to the JSON of docs/reference/api.md.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import UNSET, Struct, UnsetType

POINTS_MAX = 3_000
LIMIT_DEFAULT = 10
LIMIT_MAX = 1_000
ALL_ROWS = 2**31  # the limit of a breakdown whose rows are all needed
SKETCH_ERROR = 0.0081

Number = int | float


class Anchor(StrEnum):
    """What the milliseconds of a time expression count from."""

    NOW = "now"
    EPOCH = "epoch"
    LOCAL = "local"  # wall time in the query's zone, as if it were UTC


class TimeExpression(Struct, frozen=True):
    anchor: Anchor
    ms: int


NOW = TimeExpression(Anchor.NOW, 0)
DAY_AGO = TimeExpression(Anchor.NOW, -86_400_000)


class Query(Struct, frozen=True):
    """One query. `timezone` and `week_start` None: the project's. Filters are sorted; values as answers show them."""

    metric: str
    start: TimeExpression = DAY_AGO
    end: TimeExpression = NOW
    interval: str = "none"
    timezone: str | None = None
    week_start: str | None = None
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    breakdown: tuple[str, ...] = ()
    limit: int = LIMIT_DEFAULT
    compare: str | None = None
    bots: str = "exclude"
    half_life_ms: int = 0  # rows by a sum of their points in which each counts less with its age; 0: by their totals
    period_metrics: tuple[str, ...] = ()  # their buckets make up the period too, so that all numbers go together


Point = tuple[str, Number | None]


class Result(Struct, frozen=True):
    """One row of an answer. `points` are sorted by time."""

    dimensions: dict[str, str]
    total: Number | None
    previous: Number | None
    points: list[Point]


class Meta(Struct, frozen=True):
    """How fresh, complete and exact an answer is. `as_of` null: not known yet; `error` null: a cap has hidden values.

    The counts are those of the period, by stream time.
    """

    as_of: str | None
    lag_ms: int | None
    complete: bool
    exact: bool
    error: float | None
    late: int = 0
    duplicates: int = 0
    dead: int = 0
    unreadable_times: int = 0
    unreadable_amounts: int = 0
    repeated_orders: int = 0
    other_currencies: int | UnsetType = UNSET
    more_rows: bool | UnsetType = UNSET  # only with a breakdown: whether there are rows beyond `limit`
    traits: str | UnsetType = UNSET  # only with `user.<trait>`: `at_apply`, as known when the events were counted
    reasons: list[str] | UnsetType = UNSET  # why it is not complete, or covers another period than was asked for


class Answer(Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """The answer to one query, with the period and zone that were used."""

    metric: str
    unit: str
    start: str
    end: str
    interval: str
    timezone: str
    results: list[Result]
    meta: Meta
    currency: str | UnsetType = UNSET
    previous_from: str | UnsetType = UNSET
    previous_to: str | UnsetType = UNSET


class AnswerUpdate(Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """What has changed in an answer: rows with whole totals and only the changed points, and removed rows.

    `index` is the answer's place among all answers. `order` is there if the rows are not the kept rows followed by the
    new ones: for each row its place among those.
    """

    metric: str
    unit: str
    start: str
    end: str
    interval: str
    timezone: str
    results: list[Result]
    meta: Meta
    removed: list[dict[str, str]]
    index: int
    order: list[int] | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    previous_from: str | UnsetType = UNSET
    previous_to: str | UnsetType = UNSET


class PopularProduct(Struct, frozen=True):
    product_id: str
    value: Number
    name: str | None = None
    price: Number | None = None
    currency: str | None = None
    category: str | None = None
    image_url: str | None = None


class Popular(Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """The most popular products of a period, the most popular first."""

    by: str
    start: str
    end: str
    results: list[PopularProduct]
    meta: Meta


class TrendingProduct(Struct, frozen=True):
    """`value` of the period, `previous` of the one before; `change` is the growth as a share of `previous`.

    `score`: the value, each part of it halved for every half-life of its age.
    """

    product_id: str
    value: Number
    score: Number
    previous: Number | None
    change: float | None
    name: str | None = None
    price: Number | None = None
    currency: str | None = None
    category: str | None = None
    image_url: str | None = None


class Trending(Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """The products of the greatest score, most first."""

    by: str
    start: str
    end: str
    half_life_seconds: int
    results: list[TrendingProduct]
    meta: Meta
    previous_from: str | UnsetType = UNSET
    previous_to: str | UnsetType = UNSET


class MetricTotal(Struct, frozen=True):
    """One metric of several. `error` as in `Meta`."""

    unit: str
    total: Number | None
    previous: Number | None
    error: float | None
    currency: str | UnsetType = UNSET


class MetricTotals(Struct, frozen=True):
    """Several metrics of one period and moment, by name."""

    start: str
    end: str
    timezone: str
    totals: dict[str, MetricTotal]
    meta: Meta
    previous_from: str | UnsetType = UNSET
    previous_to: str | UnsetType = UNSET


class Cohort(Struct, frozen=True):
    """The persons first seen in a day or week: how many, and how many of them were active so many periods later."""

    start: str
    size: int
    retained: list[int]


class RetentionTable(Struct, frozen=True):
    """The cohorts of a period, by time. A list `retained` ends with the period in progress."""

    cohort: str
    cohorts: list[Cohort]
    meta: Meta


class LengthBucket(Struct, frozen=True):
    """The sessions that are at least `from_seconds` long and shorter than `to_seconds`; the last has no end."""

    from_seconds: float
    to_seconds: float | None
    sessions: int


class LengthHistogram(Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """How many sessions of a period have which length, the shortest first. Lengths that none has are left out."""

    start: str
    end: str
    timezone: str
    sessions: int
    lengths: list[LengthBucket]
    meta: Meta


class MetricItem(Struct, frozen=True):
    name: str
    unit: str
    description: str
    dimensions: list[str]
    intervals: list[str]
