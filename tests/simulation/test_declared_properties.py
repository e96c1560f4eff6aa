"""A project declares properties while its events are counted: they count by them from then on, all after a rebuild."""

from __future__ import annotations

from typing import Any

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import OTHER, make_field
from tests.simulation.declaring_site import DeclaringSite


class PropertySite(DeclaringSite):
    def __init__(self) -> None:
        super().__init__(ProjectSettings("demo"))

    def declare(self, version: str, *names: str) -> None:
        self.store.set_projects([ProjectSettings("demo", event_properties=names)], version)

    def send(self, **properties: Any) -> None:
        self.append(type="track", event="Signed Up", anonymousId="a", properties=properties)


def test_events_count_from_the_declaration_on_and_a_rebuild_counts_those_before() -> None:
    site = PropertySite()
    site.send(plan="pro")
    site.count()
    assert site.read_day("property.plan") == {}
    site.declare("v1", "plan", "coupon")
    site.send(plan="pro")
    site.send(plan="free", coupon=7)
    site.count()
    assert site.read_day("property.plan") == {"count": 2, make_field("count", "pro"): 1, make_field("count", "free"): 1}
    assert site.read_day("property.coupon+event")[make_field("count", "7", "Signed Up")] == 1
    assert site.read_day("activity")["count"] == 3
    site.rebuild()
    assert site.read_day("property.plan") == {"count": 3, make_field("count", "pro"): 2, make_field("count", "free"): 1}
    site.declare("v2", "coupon")
    site.send(plan="pro")
    for _ in range(8):
        site.worker.turn()
    assert site.read_day("property.plan")["count"] == 3, "it is declared no more"
    assert site.read_day("property.coupon")["count"] == 4


def test_the_values_of_a_property_beyond_a_thousand_are_told_as_other_and_the_total_stays_exact() -> None:
    site = PropertySite()
    site.declare("v1", "search")
    for number in range(1_100):
        site.send(search=f"word {number}")
    site.send()
    for _ in range(4):
        site.count()
    fields = site.read_day("property.search")
    assert fields["count"] == 1_101
    assert fields[make_field("count", OTHER)] == 100
    assert fields[make_field("count", "")] == 1
    assert sum(name.startswith(make_field("count", "word")) for name in fields) == 1_000
