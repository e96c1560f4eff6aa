"""The oracle's result: plain dicts of exact numbers, and the same as JSON.

Amounts are whole 10⁻⁴ units. Bucket starts are minutes since 1970, and kinds are `minute`, `hour` and `day`. Records
without a known project are under the project "".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from rtaplatform.simulate.oracle.oracle_people import OraclePeople, OraclePersonRules, OracleVisit
from rtaplatform.simulate.oracle.oracle_report import report_people, unite
from rtaplatform.simulate.oracle.origins.oracle_properties import PropertyTruth
from rtaplatform.simulate.oracle.origins.oracle_traits import TraitTruth
from rtaplatform.simulate.oracle.origins.oracle_visits import VisitTruth

EventCell = tuple[str, int, str, str, str, str]
"""kind, start, name, source, country, device"""
ProductCell = tuple[str, int, str]
"""kind, start, product_id"""
SalesCell = tuple[str, int, str, str, str]
"""kind, start, product_id, country, source"""
PersonCell = tuple[str, int, str, str]
"""kind, start, then a dimension of `PERSON_DIMENSIONS` and its value; both are "" for all persons of the project"""
PERSON_DIMENSIONS = (
    "source", "country", "device", "utm_source", "utm_medium", "utm_campaign", "referrer", "channel", "os", "browser",
    "region", "language", "page", "product_id",
)  # fmt: skip


_NOTES = ("unchecked", "unreadable_time", "unreadable_amount", "repeated_order")


def _make_counts(*names: str) -> defaultdict[Any, dict[str, int]]:
    return defaultdict(lambda: dict.fromkeys(names, 0))


def _make_event_cells() -> defaultdict[EventCell, dict[str, int]]:
    return _make_counts("count", "orders", "units", "revenue", "refunds", "other_currencies")


def _make_product_cells() -> defaultdict[ProductCell, dict[str, int]]:
    return _make_counts("views", "adds", "checkouts", "orders", "units", "revenue", "refunds", "refunded_units")


def _make_sales_cells() -> defaultdict[SalesCell, dict[str, int]]:
    return _make_counts("views", "adds", "orders", "units", "revenue")


def _make_quality_cells() -> defaultdict[tuple[str, int], dict[str, int]]:
    return _make_counts("duplicate", "late", "dead", *_NOTES)


def _make_totals() -> dict[str, int]:
    return dict.fromkeys(("applied", "duplicate", "late", "dead", *_NOTES), 0)


def _make_shared_cells() -> defaultdict[tuple[str, int], dict[str, int]]:
    return _make_counts("shared_views", "shared_adds", "shared_checkouts", "shared_orders", "refund_events")


@dataclass
class ProjectTruth:
    """The numbers of one project. `bot_…`: events marked as a bot's. `shared`: events with several products.

    `persons` and `buyers` hold the ids of events. Who is who is in the visits of `Truth`.
    """

    totals: dict[str, int] = field(default_factory=_make_totals)
    dead_by_reason: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    events: dict[EventCell, dict[str, int]] = field(default_factory=_make_event_cells)
    bot_events: dict[EventCell, dict[str, int]] = field(default_factory=_make_event_cells)
    products: dict[ProductCell, dict[str, int]] = field(default_factory=_make_product_cells)
    bot_products: dict[ProductCell, dict[str, int]] = field(default_factory=_make_product_cells)
    sales: dict[SalesCell, dict[str, int]] = field(default_factory=_make_sales_cells)
    bot_sales: dict[SalesCell, dict[str, int]] = field(default_factory=_make_sales_cells)
    shared: dict[tuple[str, int], dict[str, int]] = field(default_factory=_make_shared_cells)
    bot_shared: dict[tuple[str, int], dict[str, int]] = field(default_factory=_make_shared_cells)
    persons: dict[PersonCell, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    buyers: dict[PersonCell, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    quality: dict[tuple[str, int], dict[str, int]] = field(default_factory=_make_quality_cells)

    def as_dict(self, people: OraclePeople) -> dict[str, Any]:
        """Return lists of rows, sorted; a person is `u:` or `a:` and the id. Linked ids are one person."""
        event_names = ("kind", "start", "name", "source", "country", "device")
        product_names = ("kind", "start", "product_id")
        return {
            "totals": self.totals,
            "dead_by_reason": dict(sorted(self.dead_by_reason.items())),
            "events": _make_rows(self.events, event_names),
            "bot_events": _make_rows(self.bot_events, event_names),
            "products": _make_rows(self.products, product_names),
            "bot_products": _make_rows(self.bot_products, product_names),
            "sales": _make_rows(self.sales, ("kind", "start", "product_id", "country", "source")),
            "persons": _make_person_rows(self.persons, people),
            "buyers": _make_person_rows(self.buyers, people),
            "quality": _make_rows(self.quality, ("kind", "start")),
            **report_people(people),
        }


@dataclass
class Truth:
    """The numbers of all projects. `consumed` by (topic, partition); `dead` by origin `topic:partition:offset`.

    `visits` and `rules` by slug: what `people` are counted from. `alternatives` by slug: of two reports of an order in
    two partitions, what the counted one has added, and what the other one would have. `origins` by slug: visits.
    `properties` by slug: events by declared properties. `traits` by slug: what is counted by declared traits.
    """

    projects: dict[str, ProjectTruth] = field(default_factory=lambda: defaultdict(ProjectTruth))
    consumed: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    dead: dict[str, str] = field(default_factory=dict)
    visits: dict[str, list[OracleVisit]] = field(default_factory=lambda: defaultdict(list))
    rules: dict[str, OraclePersonRules] = field(default_factory=dict)
    alternatives: dict[str, list[tuple[ProjectTruth, ProjectTruth]]] = field(default_factory=lambda: defaultdict(list))
    origins: dict[str, VisitTruth] = field(default_factory=lambda: defaultdict(VisitTruth))
    properties: dict[str, PropertyTruth] = field(default_factory=lambda: defaultdict(PropertyTruth))
    traits: dict[str, TraitTruth] = field(default_factory=dict)

    def count_people(self, slug: str) -> OraclePeople:
        """Count the people of a project."""
        orders = self.origins[slug].orders_of_nobody if slug in self.origins else ()
        return OraclePeople(self.visits.get(slug, ()), self.rules.get(slug, OraclePersonRules()), orders)

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON can hold."""
        return {
            "projects": {
                slug: {
                    **project.as_dict(self.count_people(slug)),
                    **self.origins[slug].list_rows(),
                    **self.properties[slug].list_rows(),
                }
                for slug, project in sorted(self.projects.items())
            },
            "consumed": {
                f"{topic}:{partition}": number for (topic, partition), number in sorted(self.consumed.items())
            },
            "dead": self.dead,
        }


def _make_rows(cells: dict[Any, dict[str, int]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{**dict(zip(names, key, strict=True)), **numbers} for key, numbers in sorted(cells.items())]


def _make_person_rows(persons: dict[PersonCell, set[tuple[str, str]]], people: OraclePeople) -> list[dict[str, Any]]:
    groups = [(cell, unite(ids, people)) for cell, ids in sorted(persons.items())]
    return [
        {
            "kind": kind,
            "start": start,
            **{name: value if name == dimension else None for name in PERSON_DIMENSIONS},
            "count": len(members),
            "ids": sorted(f"{space}:{name}" for space, name in members),
        }
        for (kind, start, dimension, value), members in groups
    ]
