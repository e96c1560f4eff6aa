"""Answers by the traits that a project declares, of a log of one partition that a worker has counted."""

from __future__ import annotations

import asyncio

import pytest

from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.analytics.plan.declared_dimensions import resolve_metric
from rtaplatform.core.declarations import TRAIT_METRICS, make_trait_rollup
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import SKETCH_ERROR, Answer
from rtaplatform.core.time.buckets import BucketKind, find_sketch_retention_ms
from tests.simulation.test_declared_traits import TraitSite
from tests.unit.analytics.answer.counted_traffic import make_engine, read_totals

ORDER = {"order_id": "o-1", "total": 20, "products": [{"product_id": "p", "quantity": 2, "price": 10}]}


@pytest.fixture(scope="module")
def site() -> TraitSite:
    site = TraitSite("plan", "size")
    site.identify(plan="pro")
    site.identify(user="other", plan="free")
    site.send(userId="u")
    site.send(anonymousId="a")
    site.send("track", event="Order Completed", userId="u", properties=ORDER)
    site.send("track", event="Order Refunded", userId="u", properties={"order_id": "o-1", "total": 5})
    site.count()
    return site


def ask(site: TraitSite, metric: str, **parameters: str) -> Answer:
    query = parse_parameters(metric, [("from", "2026-11-18"), ("to", "2026-11-19"), *parameters.items()])
    return asyncio.run(make_engine(site.store).answer("demo", [query]))[0]


@pytest.mark.parametrize(
    ("metric", "want"),
    [
        ("events", {"pro": 4, "free": 1, "(none)": 1}),
        ("page_views", {"pro": 1, "(none)": 1}),
        ("visitors", {"pro": 1, "free": 1, "(none)": 1}),
        ("orders", {"pro": 1}),
        ("units", {"pro": 2}),
        ("revenue", {"pro": 20}),
        ("refunds", {"pro": 5}),
        ("net_revenue", {"pro": 15}),
        ("average_order_value", {"pro": 20}),
    ],
)
def test_metrics_by_a_trait_say_that_it_is_the_one_known_when_they_were_counted(
    site: TraitSite, metric: str, want: dict[str, int]
) -> None:
    answer = ask(site, metric, breakdown="user.plan")
    assert {key: n for (key,), n in read_totals(answer).items() if n} == want
    assert answer.meta.traits == "at_apply"
    assert ask(site, metric).meta.traits is not answer.meta.traits
    assert answer.meta.error == (SKETCH_ERROR if metric == "visitors" else 0)


def test_a_filter_by_trait_and_rows_by_event(site: TraitSite) -> None:
    assert read_totals(ask(site, "events", breakdown="user.plan,event"))[("pro", "$page")] == 1
    assert read_totals(ask(site, "events", **{"user.plan": "pro,free", "interval": "hour"})) == {(): 5}
    assert read_totals(ask(site, "visitors", **{"user.plan": "(none)"})) == {(): 1}
    assert read_totals(ask(site, "events", breakdown="user.size")) == {("(none)",): 6}


@pytest.mark.parametrize(
    ("metric", "parameters", "field"),
    [
        ("events", {"breakdown": "user.coupon"}, "breakdown"),
        ("events", {"user.coupon": "a"}, "user.coupon"),
        ("events", {"user.a b": "a"}, "user.a b"),
        ("events", {"breakdown": "user.plan,source"}, "breakdown"),
        ("events", {"breakdown": "user.plan,user.size"}, "breakdown"),
        ("events", {"breakdown": "user.plan", "interval": "minute"}, "interval"),
        ("orders", {"breakdown": "user.plan,event"}, "breakdown"),
        ("sessions", {"breakdown": "user.plan"}, "breakdown"),
        ("visitors", {"breakdown": "user.plan,source"}, "breakdown"),
    ],
)
def test_what_is_not_kept_by_trait_is_refused(
    site: TraitSite, metric: str, parameters: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        ask(site, metric, **parameters)
    assert refusal.value.field == field
    assert refusal.value.hint or refusal.value.allowed


def test_the_list_of_metrics_tells_which_have_traits_and_only_where_some_are_declared() -> None:
    project, demo, other = ProjectSettings("demo", user_traits=("plan",)), ProjectSettings("demo"), ProjectSettings("x")
    assert all("user.plan" in resolve_metric(name, project).dimensions for name in TRAIT_METRICS)
    assert all(
        resolve_metric(name, demo).dimensions == resolve_metric(name, other).dimensions for name in TRAIT_METRICS
    )
    assert "user.plan" not in resolve_metric("sessions", project).dimensions
    assert project.folding[-1] == ("plan",)
    assert make_trait_rollup("plan").measures[0] == "count"
    assert find_sketch_retention_ms(BucketKind.HOUR, "user.plan") == find_sketch_retention_ms(
        BucketKind.HOUR, "channel"
    )
