"""What a project declares as dimensions: properties of events and traits of users.   Pure; read by all stages.

`property.<name>` is a property of events, `user.<trait>` a trait of the event's person. Each has two rollups, kept by
hour and day: its values, and its values by the event's name. So one of few values has a row for every event's name, and
one of many values has no more than `VALUES_MAX` a bucket. A trait has sketches of persons by value, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rtaplatform.core.rollups import TRAIT_PREFIX, WITHOUT_MINUTES, Rollup

METRIC = "events"  # the metric that has properties as dimensions
# The metrics that have traits as dimensions.
TRAIT_METRICS = (
    "events", "page_views", "visitors", "orders", "units", "revenue", "average_order_value", "refunds", "net_revenue",
)  # fmt: skip
PREFIX = "property."
DECLARED_MAX = 8  # properties of a project, and as many traits
VALUES_MAX = 1_000  # seats in a bucket for the values of one property or trait
NAME_CHARS = 40
NAME = "[A-Za-z_][A-Za-z0-9_-]{0,39}"  # a regular expression
AT_APPLY = "at_apply"  # what an answer says of its traits: they are those that were known when the event was counted
_WITH_EVENT = "+event"
_PROPERTY = re.compile(re.escape(PREFIX) + NAME)
_TRAIT = re.compile(re.escape(TRAIT_PREFIX) + NAME)
_OF_TRAITS = ("count", "page_views", "orders", "units", "revenue", "refunds", "other_currencies")


def is_property(dimension: str) -> bool:
    """Whether a dimension has the form of a property's. Only the project tells whether it is declared."""
    return dimension.startswith(PREFIX) and _PROPERTY.fullmatch(dimension) is not None


def is_trait(dimension: str) -> bool:
    """Whether a dimension has the form of a user trait's. Only the project tells whether it is declared."""
    return dimension.startswith(TRAIT_PREFIX) and _TRAIT.fullmatch(dimension) is not None


def list_properties(dimensions: Iterable[str]) -> set[str]:
    """The names of the properties among these dimensions."""
    return {name[len(PREFIX) :] for name in dimensions if name.startswith(PREFIX)}


def list_traits(dimensions: Iterable[str]) -> set[str]:
    """The names of the user traits among these dimensions."""
    return {name[len(TRAIT_PREFIX) :] for name in dimensions if name.startswith(TRAIT_PREFIX)}


@lru_cache(maxsize=1_024)
def make_value_rollup(name: str) -> Rollup:
    """Events by the value of a property."""
    return Rollup(PREFIX + name, (PREFIX + name,), ("count",))


@lru_cache(maxsize=1_024)
def make_value_and_event_rollup(name: str) -> Rollup:
    """Events by the value of a property and by their name."""
    return Rollup(PREFIX + name + _WITH_EVENT, (PREFIX + name, "event"), ("count",))


@lru_cache(maxsize=1_024)
def make_trait_rollup(name: str) -> Rollup:
    """Events, page views, orders and refunds by the value of a user trait."""
    return Rollup(TRAIT_PREFIX + name, (TRAIT_PREFIX + name,), _OF_TRAITS)


@lru_cache(maxsize=1_024)
def make_trait_and_event_rollup(name: str) -> Rollup:
    """Events by the value of a user trait and by their name."""
    return Rollup(TRAIT_PREFIX + name + _WITH_EVENT, (TRAIT_PREFIX + name, "event"), ("count",))


def is_declared(rollup: str) -> bool:
    """Whether a rollup is that of a declared property or user trait."""
    return rollup.startswith((PREFIX, TRAIT_PREFIX))


def has_events(rollup: str) -> bool:
    """Whether a declared rollup has the event's name as its second dimension."""
    return rollup.endswith(_WITH_EVENT)


def has_minutes(rollup: str) -> bool:
    """Whether the rollup is kept by minute too."""
    return rollup not in WITHOUT_MINUTES and not is_declared(rollup)
