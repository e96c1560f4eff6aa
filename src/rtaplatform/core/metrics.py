"""The metrics, each defined once as a value.   Read by planner, API, docs and tests.

A metric names the rollups that hold it, smallest first, the measure, and the events that count; or it is derived: a
quotient, a difference or a quantile of others, computed when an answer is read.
Units: `count`, `money` (10⁻⁴ of a currency unit inside, currency units outside), `ratio`, `number`, `seconds`.
"""

from __future__ import annotations

from msgspec import Struct

from rtaplatform.core.rollups import (
    ACTIVES,
    ACTIVITY,
    BUYER_DIMENSIONS,
    BUYERS,
    EVENTS,
    LENGTHS,
    ORIGINS,
    PERSON_DIMENSIONS,
    PRODUCT_ATTRIBUTES,
    PRODUCT_ID,
    PRODUCTS,
    SALES,
    SCALE,
    SESSION_LENGTHS,
    SESSION_PAGES,
    SESSIONS,
    VISITS,
    Rollup,
)

INTERVALS = ("minute", "hour", "day", "week", "month", "none")


class MetricSource(Struct, frozen=True):
    """One way to answer a metric: `measure` of `rollup`, summed over these events (all if none is named)."""

    rollup: Rollup
    measure: str
    events: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the rollup, and those that the catalog adds."""
        return with_product_attributes(self.rollup.dimensions)


class AdditiveMetric(Struct, frozen=True, tag=True):
    """A metric that adds up: over buckets, and over dimensions. `scale` divides what is stored."""

    name: str
    unit: str
    description: str
    sources: tuple[MetricSource, ...]
    scale: int = 1

    @property
    def dimensions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d for source in self.sources for d in source.dimensions))


class DistinctMetric(Struct, frozen=True, tag=True):
    """Distinct persons in a period, estimated by HyperLogLog (standard error 0.81 %)."""

    name: str
    unit: str
    description: str
    dimensions: tuple[str, ...] = (*PERSON_DIMENSIONS, *PRODUCT_ATTRIBUTES)
    of: str = ""  # which persons: BUYERS, or "" for all


class LiveGauge(Struct, frozen=True, tag=True):
    """Persons seen in the last 5 minutes; it takes no period."""

    name: str
    unit: str
    description: str
    dimensions: tuple[str, ...] = ()


class DailyMetric(Struct, frozen=True, tag=True):
    """A number that each local day has of its own: `measure` of `actives`. A period has that of its last day."""

    name: str
    unit: str
    description: str
    measure: str
    dimensions: tuple[str, ...] = ()


MetricPart = AdditiveMetric | DistinctMetric | DailyMetric


class Combination(Struct, frozen=True):
    """The sum of `plus`, less the sum of `minus`. All of them are of one scale."""

    plus: tuple[MetricPart, ...]
    minus: tuple[MetricPart, ...] = ()

    @property
    def parts(self) -> tuple[MetricPart, ...]:
        return (*self.plus, *self.minus)


class DerivedMetric(Struct, frozen=True, tag=True):
    """`upper` ÷ `lower`, null where `lower` is 0; without `lower`, `upper` itself. All parts are of one moment."""

    name: str
    unit: str
    description: str
    upper: Combination
    lower: Combination | None = None

    @property
    def parts(self) -> tuple[MetricPart, ...]:
        """Each once."""
        return tuple(dict.fromkeys((*self.upper.parts, *(self.lower.parts if self.lower is not None else ()))))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Those of all parts. Parts are told apart by their events, so `event` is none of them."""
        first, *more_dimensions = (part.dimensions for part in self.parts)
        return tuple(d for d in first if d != "event" and all(d in dimensions for dimensions in more_dimensions))


class QuantileMetric(Struct, frozen=True, tag=True):
    """The length that this share of the sessions does not exceed, within `LENGTH_ERROR`."""

    name: str
    unit: str
    description: str
    share_percent: int
    counts: AdditiveMetric  # sessions, with a dimension `length`

    @property
    def parts(self) -> tuple[MetricPart, ...]:
        return (self.counts,)

    @property
    def dimensions(self) -> tuple[str, ...]:
        return tuple(d for d in self.counts.dimensions if d != LENGTH)


Metric = AdditiveMetric | DistinctMetric | LiveGauge | DailyMetric | DerivedMetric | QuantileMetric


def with_product_attributes(dimensions: tuple[str, ...]) -> tuple[str, ...]:
    """These dimensions; with the product's attributes if the product is one of them."""
    return (*dimensions, *PRODUCT_ATTRIBUTES) if PRODUCT_ID in dimensions else dimensions


def _from_visit(measure: str, *events: str) -> tuple[MetricSource, ...]:
    """Events by what is known of the visit, too. `measure` of the rollups of visits counts these events only."""
    of_visits = [MetricSource(rollup, measure) for rollup in VISITS if measure in rollup.measures]
    return (*_from_events("count", *events), *of_visits)


def _from_events(measure: str, *events: str) -> tuple[MetricSource, ...]:
    return (MetricSource(ACTIVITY, measure, events), MetricSource(EVENTS, measure, events))


def _from_commerce(measure: str, product_measure: str, *events: str) -> tuple[MetricSource, ...]:
    by_product = [MetricSource(PRODUCTS, product_measure)]
    if product_measure in SALES.measures:
        by_product.append(MetricSource(SALES, product_measure))
    by_origin = [MetricSource(ORIGINS, measure)] if measure in ORIGINS.measures else []
    return (*_from_events(measure, *events), *by_product, *by_origin)


def _sum_sessions(measure: str, scale: int = 1) -> AdditiveMetric:
    sources = (MetricSource(SESSIONS, measure), MetricSource(ORIGINS, measure))
    return AdditiveMetric(measure, "count", f"`{measure}` of sessions.", sources, scale)


def _sum_by_page(name: str, end: str) -> AdditiveMetric:
    description = f"Sessions that begin in the period, by the page of their {end} event."
    return AdditiveMetric(name, "count", description, (MetricSource(SESSION_PAGES, name),))


def _make_quotient(name: str, unit: str, description: str, upper: MetricPart, lower: MetricPart) -> DerivedMetric:
    return DerivedMetric(name, unit, description, Combination((upper,)), Combination((lower,)))


PRODUCT_VIEWS = AdditiveMetric(
    "product_views", "count", "Product Viewed events.", _from_commerce("count", "views", "Product Viewed")
)
ADDS_TO_CART = AdditiveMetric(
    "adds_to_cart", "count", "Product Added events.", _from_commerce("count", "adds", "Product Added")
)
ORDERS = AdditiveMetric("orders", "count", "Orders completed.", _from_commerce("orders", "orders", "Order Completed"))
REVENUE = AdditiveMetric(
    "revenue", "money", "Money taken, in the project's currency.",
    _from_commerce("revenue", "revenue", "Order Completed"), SCALE,
)  # fmt: skip
REFUNDS = AdditiveMetric(
    "refunds",
    "money",
    "Money paid back for orders that were refunded or cancelled, in the project's currency.",
    _from_commerce("refunds", "refunds", "Order Refunded", "Order Cancelled"),
    SCALE,
)
# A part only: their amounts are not in `revenue`.
FOREIGN_ORDERS = AdditiveMetric(
    "orders in other currencies", "count", "Order Completed events whose currency is not the project's.",
    (*_from_events("other_currencies", "Order Completed"), MetricSource(ORIGINS, "other_currencies")),
)  # fmt: skip

ACTIVE_USERS = DailyMetric("active_users", "count", "Distinct persons active on the day.", "dau")
MONTHLY_ACTIVE_USERS = DailyMetric(
    "monthly_active_users", "count", "Distinct persons active on one of the 30 days up to the day.", "mau"
)
VISITORS = DistinctMetric("visitors", "count", "Distinct persons: users with all linked devices, else anonymous ids.")
SESSION_COUNT = AdditiveMetric(
    "sessions", "count", "Sessions that begin in the period: events of a person without a gap of over 30 minutes.",
    _sum_sessions("sessions").sources,
)  # fmt: skip
WITH_ADD, WITH_BOTH = _sum_sessions("with_add"), _sum_sessions("with_add_and_order")
LENGTH = "length"  # a dimension of its rollups, and of no question
COUNTS_BY_LENGTH = AdditiveMetric(
    "sessions by length", "count", "Sessions of a length.",
    (MetricSource(LENGTHS, "sessions"), MetricSource(SESSION_LENGTHS, "sessions")),
)  # fmt: skip

_NEW_PERSONS = (MetricSource(ACTIVES, "new"),)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        AdditiveMetric("events", "count", "Events of all six call types.", _from_visit("count")),
        AdditiveMetric("page_views", "count", "Pages and screens seen.", _from_visit("page_views", "$page", "$screen")),
        VISITORS,
        AdditiveMetric("new_visitors", "count", "Persons who were first seen on a day.", _NEW_PERSONS),
        DistinctMetric(
            "buyers", "count", "Distinct persons with an order.", (*BUYER_DIMENSIONS, *PRODUCT_ATTRIBUTES), BUYERS
        ),
        LiveGauge("online", "count", "Distinct persons seen in the last 5 minutes."),
        ACTIVE_USERS,
        DailyMetric(
            "weekly_active_users", "count", "Distinct persons active on one of the 7 days up to the day.", "wau"
        ),
        MONTHLY_ACTIVE_USERS,
        _make_quotient(
            "stickiness", "ratio", "`active_users` ÷ `monthly_active_users` of the same day.", ACTIVE_USERS,
            MONTHLY_ACTIVE_USERS,
        ),
        SESSION_COUNT,
        _sum_by_page("entries", "first"),
        _sum_by_page("exits", "last"),
        _make_quotient("sessions_per_visitor", "number", "`sessions` ÷ `visitors`.", SESSION_COUNT, VISITORS),
        _make_quotient(
            "events_per_session", "number", "Events in sessions ÷ `sessions`.", _sum_sessions("events"), SESSION_COUNT
        ),
        _make_quotient(
            "session_duration", "seconds", "Mean length of a session, from its first to its last event.",
            _sum_sessions("duration_ms", 1_000), SESSION_COUNT,
        ),
        QuantileMetric(
            "session_duration_median", "seconds", "Length that half of the sessions do not exceed.", 50,
            COUNTS_BY_LENGTH,
        ),
        QuantileMetric(
            "session_duration_p95", "seconds", "Length that 95 % of the sessions do not exceed.", 95, COUNTS_BY_LENGTH
        ),
        _make_quotient(
            "bounce_rate", "ratio", "Sessions of one event ÷ `sessions`.", _sum_sessions("bounces"), SESSION_COUNT
        ),
        _make_quotient(
            "conversion_rate", "ratio", "Sessions with an order ÷ `sessions`.", _sum_sessions("with_order"),
            SESSION_COUNT,
        ),
        DerivedMetric(
            "cart_abandonment_rate", "ratio",
            "1 − sessions with an add to cart and an order ÷ sessions with an add to cart.",
            Combination((WITH_ADD,), (WITH_BOTH,)), Combination((WITH_ADD,)),
        ),
        PRODUCT_VIEWS,
        ADDS_TO_CART,
        AdditiveMetric(
            "checkouts", "count", "Checkout Started events.", _from_commerce("count", "checkouts", "Checkout Started")
        ),
        ORDERS,
        AdditiveMetric("units", "count", "Units ordered.", _from_commerce("units", "units", "Order Completed"), SCALE),
        REVENUE,
        DerivedMetric(
            "average_order_value", "money", "`revenue` ÷ orders in the project's currency.",
            Combination((REVENUE,)), Combination((ORDERS,), (FOREIGN_ORDERS,)),
        ),
        REFUNDS,
        DerivedMetric(
            "net_revenue", "money", "`revenue` − `refunds`, each counted at its own time.",
            Combination((REVENUE,), (REFUNDS,)),
        ),
        _make_quotient("view_to_cart", "ratio", "`adds_to_cart` ÷ `product_views`.", ADDS_TO_CART, PRODUCT_VIEWS),
        _make_quotient("cart_to_order", "ratio", "`orders` ÷ `adds_to_cart`.", ORDERS, ADDS_TO_CART),
        _make_quotient("view_to_order", "ratio", "`orders` ÷ `product_views`.", ORDERS, PRODUCT_VIEWS),
    )
}  # fmt: skip
DIMENSIONS = tuple(dict.fromkeys(d for metric in METRICS.values() for d in metric.dimensions))
ONLINE_WINDOW_MS = 5 * 60_000
