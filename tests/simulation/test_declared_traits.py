"""A project declares traits of users: events count by what is known of their person when they are read."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import make_field
from rtaplatform.process.fold.person_state import TOKEN_BYTES
from rtaplatform.process.people.person_value import KnownTrait, Person, decode_value
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, recount
from tests.comparison import compute_expected, find_differences, read_memory_totals
from tests.simulation.declaring_site import AT_MS, WEB, DeclaringSite
from tests.simulation.persons import make_key
from tests.simulation.traits_world import PLANTS, TraitsWorld


class TraitSite(DeclaringSite):
    def __init__(self, *traits: str) -> None:
        super().__init__(ProjectSettings("demo", user_traits=traits))

    def declare(self, version: str, *traits: str) -> None:
        self.store.set_projects([ProjectSettings("demo", user_traits=traits)], version)

    def send(self, type_: str = "page", *, later_ms: int = 0, **fields: Any) -> None:
        self.append(type=type_, timestamp=AT_MS + self.sent + 1 + later_ms, **fields)

    def identify(self, later_ms: int = 0, user: str = "u", **traits: Any) -> None:
        self.send("identify", later_ms=later_ms, userId=user, traits=traits)

    def read_by_value(self, trait: str, measure: str = "count") -> dict[str, int]:
        prefix = make_field(measure, "")
        return {n[len(prefix) :]: k for n, k in self.read_day(f"user.{trait}").items() if n.startswith(prefix)}

    def count_visitors(self, trait: str) -> dict[str, int]:
        sketches = self.store.shards[0].totals.sketches.items()
        return {key.value: len(ids) for key, ids in sketches if (key.dimension, key.kind) == (f"user.{trait}", "d")}

    def find_differences(self) -> list[str]:
        """From what the oracle says."""
        project = self.store.read_projects(0, ["demo"])["demo"]
        records = [ConsumedRecord(*WEB, r.offset, r.timestamp_ms, r.key, r.value) for r in self.broker.records[WEB]]
        rules = {"zone": project.zone, "currency": project.currency, "user_traits": project.user_traits}
        return find_differences(
            read_memory_totals(self.store), compute_expected(recount(records, projects={"demo": rules}))
        )

    def read_stored(self, space: str, text: str) -> bytes:
        return self.store.shards[0].totals.persons[("demo", make_key((space, text)))][TOKEN_BYTES:]

    def read_known(self, user: str = "u") -> tuple[KnownTrait, ...]:
        value = decode_value(self.read_stored("u", user))
        assert isinstance(value, Person)
        return value.traits


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_event_counts_by_the_trait_that_was_known_before_it_wherever_the_batch_is_cut(*, is_cut: bool) -> None:
    site = TraitSite("plan")
    for plan in ("", "free", "", "pro", ""):
        if plan:
            site.identify(plan=plan)
        else:
            site.send(userId="u")
        if is_cut:
            site.count()
    site.count()
    assert site.read_by_value("plan") == {"": 1, "free": 2, "pro": 2}
    assert site.read_by_value("plan", "page_views") == {"": 1, "free": 1, "pro": 1}
    assert site.count_visitors("plan") == {"": 1, "free": 1, "pro": 1}
    assert site.read_day("user.plan+event")[make_field("count", "pro", "$page")] == 1


def test_the_latest_identify_by_event_time_decides_and_null_removes() -> None:
    site = TraitSite("plan", "size")
    site.identify(later_ms=1_000, plan="pro", size=5, other="x")
    site.identify(plan="old", size="old")
    site.send(userId="u")
    site.count()
    assert site.read_by_value("plan") == {"pro": 3}
    assert [(trait.name, trait.text) for trait in site.read_known()] == [("plan", "pro"), ("size", "5")]
    site.identify(later_ms=2_000, plan=None, size=["a"])
    site.identify(later_ms=1_500, plan="late")
    site.count()
    assert site.read_by_value("plan") == {"pro": 3, "": 2}
    assert site.read_by_value("size") == {"5": 3, "": 2}


def test_a_link_makes_the_traits_those_of_the_united_person() -> None:
    site = TraitSite("plan")
    site.send("identify", anonymousId="a", context={"traits": {"plan": "free"}})
    site.send(anonymousId="a")
    site.send(userId="u")
    site.send("identify", anonymousId="a", userId="u")
    site.send(userId="u")
    site.count()
    assert site.read_by_value("plan") == {"free": 4, "": 1}
    site.identify(plan="pro")
    site.send(anonymousId="a")
    site.count()
    assert site.read_by_value("plan") == {"free": 4, "": 1, "pro": 2}
    assert [trait.text for trait in site.read_known()] == ["pro"]


@pytest.mark.parametrize("cut_after", [(), (1,), (2,), (1, 2), (1, 2, 3)])
def test_who_has_two_ids_is_one_visitor_by_trait_wherever_the_batch_is_cut(cut_after: tuple[int, ...]) -> None:
    site = TraitSite("plan")
    events: list[dict[str, Any]] = [{"anonymousId": "a"}, {"anonymousId": "a", "userId": "u"}, {"userId": "u"}]
    for number, ids in enumerate(events, start=1):
        site.send(**ids)
        if number in cut_after:
            site.count()
    site.send(anonymousId="b", userId="u", later_ms=-1_000)  # the id that was seen first is another one now
    site.count()
    assert site.count_visitors("plan") == {"": 2 if cut_after else 1}
    assert site.find_differences() == []


def test_orders_and_refunds_count_by_trait_and_a_repeated_order_adds_nothing() -> None:
    site = TraitSite("plan")
    site.identify(plan="pro")
    order = {"order_id": "o-1", "total": 20, "products": [{"product_id": "p", "quantity": 2, "price": 10}]}
    for _ in range(2):
        site.send("track", event="Order Completed", userId="u", properties=order)
    site.send("track", event="Order Refunded", userId="u", properties={"order_id": "o-1", "total": 5})
    site.count()
    assert site.read_by_value("plan") == {"pro": 4}
    assert {m: site.read_by_value("plan", m) for m in ("orders", "units", "revenue", "refunds")} == {
        "orders": {"pro": 1}, "units": {"pro": 20_000}, "revenue": {"pro": 200_000}, "refunds": {"pro": 50_000},
    }  # fmt: skip


def test_a_person_of_a_project_without_traits_is_stored_as_before() -> None:
    site, other = TraitSite(), TraitSite("plan")
    for site_of_two in (site, other):
        site_of_two.identify(plan="pro")
        site_of_two.count()
    assert site.read_day("user.plan") == {}
    before, after = site.read_stored("u", "u"), other.read_stored("u", "u")
    assert (before[0], after[0]) == (0x98, 0x99)
    assert after[1 : len(before)] == before[1:]
    assert after[len(before) :] != b"", "the traits come last"
    site.declare("v1", "plan")
    site.send(userId="u")
    site.count()
    assert site.read_by_value("plan") == {"": 1}, "it is learned from the declaration on"
    site.rebuild()
    assert site.read_by_value("plan") == {"pro": 2}, "a rebuild learns from all that the log has"
    site.declare("v2")
    site.send(userId="u")
    site.count()
    assert site.read_known() == ()


def test_bots_have_no_traits_and_the_rows_sum_to_all_events() -> None:
    site = TraitSite("plan")
    site.identify(plan="pro")
    site.send(userId="u", marks=["bot:agent"])
    site.send("identify", userId="u", traits={"plan": "bot"}, marks=["bot:agent"])
    site.count()
    assert site.read_by_value("plan") == {"pro": 1}
    assert site.read_day("user.plan")[make_field("~count", "")] == site.read_day("activity")["~count"] == 2


@pytest.mark.parametrize("number", range(6))
def test_numbers_by_trait_are_the_oracles_where_a_person_is_in_one_partition(number: int) -> None:
    world = TraitsWorld(number, is_apart=True)
    assert world.run() == []
    assert world.open_events() == 0 or world.partitions_were_added


@pytest.mark.parametrize("number", range(6))
def test_elsewhere_the_values_sum_to_all_events(number: int) -> None:
    world = TraitsWorld(number, is_apart=False)
    assert world.run() == []
    assert world.open_events() > 0


def test_a_delta_that_is_made_again_counts_traits_again_and_never_twice() -> None:
    world = TraitsWorld(1, is_apart=False, fault_rate=0.0, steps=0)
    world.work_in_turns(150)
    assert world.outcomes["conflict of persons"] > 5, world.outcomes
    assert world.run() == []


@pytest.mark.tester
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_of_traits_is_found(plant: type[Any]) -> None:
    assert any(TraitsWorld(seed, is_apart=True, fold=plant, steps=100).run() for seed in range(20)), plant.__doc__
