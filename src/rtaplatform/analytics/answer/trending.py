"""Trending products: an event's weight halves with each half-life of its age.   Stage 5 of 6.

The half-life is a quarter of the window. The points of the window are weighted by their age when an answer is computed,
so nothing is stored for it. Points are minutes in a window of up to 6 hours, hours up to 15 days, and days beyond.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.answer.popular import (
    METRIC_OF,
    find_products,
    list_product_rows,
    make_product_query,
    read_catalog_fields,
)
from rtaplatform.analytics.plan.decay import ONE, compute_weights
from rtaplatform.analytics.read.product_attributes import ProductCatalog
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import Anchor, Answer, Number, Query, Result, TimeExpression, Trending, TrendingProduct
from rtaplatform.core.time.buckets import DAY_MS, HOUR_MS

TRENDING_BY = tuple(name for name in METRIC_OF if name != "visitors")  # persons do not add up over points
HALF_LIVES = 4  # in a window
MINUTES_UP_TO_MS, HOURS_UP_TO_MS = 6 * HOUR_MS, 15 * DAY_MS
SCORE_DIGITS = 4
NOT_COMPARED = "`previous` is null: what is kept does not make up the period before."


class TrendingProducts:
    def __init__(self, engine: Engine, catalog: ProductCatalog) -> None:
        self._engine, self._catalog = engine, catalog

    async def find_trending(
        self, project: str, by: str, *, window_ms: int, limit: int, category: str | None = None
    ) -> Trending:
        """The first `limit` products by `by` (one of TRENDING_BY) until now, of one category if it is given."""
        half_life_ms = window_ms // HALF_LIVES
        query = make_product_query(
            by, TimeExpression(Anchor.NOW, -window_ms), limit, category, interval=choose_interval(window_ms),
            compare="previous_period", half_life_ms=half_life_ms,
        )  # fmt: skip
        answer = await self._answer(project, query)
        rows = list_product_rows(answer, limit)
        products = await find_products(self._catalog, project, [id for id, _ in rows])
        results = []
        for id, row in rows:
            value, score = row.total or 0, compute_score(answer, row, half_life_ms)
            change = (value - row.previous) / row.previous if row.previous else None
            catalog_fields = read_catalog_fields(products.get(id))
            results.append(TrendingProduct(id, value, score, row.previous, change, *catalog_fields))
        return Trending(
            by, answer.start, answer.end, half_life_ms // 1000, results, answer.meta,
            answer.previous_from, answer.previous_to,
        )  # fmt: skip

    async def _answer(self, project: str, query: Query) -> Answer:
        """Answer with a comparison, or without one if no kept buckets cover the previous period."""
        try:
            return (await self._engine.answer(project, [query]))[0]
        except InvalidParameter as error:
            if error.field not in ("compare", "interval"):
                raise
        answer = (await self._engine.answer(project, [replace(query, compare=None)]))[0]
        return replace(answer, meta=replace(answer.meta, reasons=[*(answer.meta.reasons or ()), NOT_COMPARED]))


def choose_interval(window_ms: int) -> str:
    """The interval whose points are short compared with the half-life, but not too many."""
    if window_ms <= MINUTES_UP_TO_MS:
        return "minute"
    return "hour" if window_ms <= HOURS_UP_TO_MS else "day"


def compute_score(answer: Answer, row: Result, half_life_ms: int) -> Number:
    starts = [_parse_ms(time) for time, _ in row.points]
    weights = compute_weights(starts, _parse_ms(answer.end), half_life_ms)
    weighted_sum = sum(weight * (number or 0) for weight, (_, number) in zip(weights, row.points, strict=True))
    return round(weighted_sum / ONE, SCORE_DIGITS)


def _parse_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
