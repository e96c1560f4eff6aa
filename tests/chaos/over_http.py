"""The API's answers after a run, against the oracle's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, Truth
from tests.chaos.people_over_http import find_wrong_people
from tests.chaos.site import READ_KEY, Site
from tests.chaos.watch import PROJECT

AMOUNT = 10_000  # the oracle's amounts are in 1/10,000


def find_differences_over_http(site: Site, period: Mapping[str, str], truth: Truth) -> list[str]:
    """Each answer that is not the oracle's, not complete, or not exact."""
    of = truth.projects[PROJECT]
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {READ_KEY}"}, timeout=60) as client:

        def ask(metric: str, **more: str) -> dict[str, Any]:
            reply = client.get(f"/v1/metrics/{metric}", params={**period, **more}).raise_for_status()
            return dict(reply.json())

        return [
            *_compare_whole(ask, of),
            *_compare_by_source(ask, of),
            *_compare_meta(ask, of),
            *find_wrong_people(client, truth),
        ]


Ask = Callable[..., dict[str, Any]]


def _compare_whole(ask: Ask, of: ProjectTruth) -> Iterator[str]:
    expected_totals = {
        "events": _sum(of, "count"),
        "orders": _sum(of, "orders"),
        "revenue": _sum(of, "revenue") / AMOUNT,
        "product_views": sum(n["views"] for (kind, *_), n in of.products.items() if kind == "day"),
        "adds_to_cart": sum(n["adds"] for (kind, *_), n in of.products.items() if kind == "day"),
    }
    for metric, want in expected_totals.items():
        actual = ask(metric)["results"][0]["total"]
        if abs(actual - want) > 1e-6 * abs(want):
            yield f"HTTP {metric}: {actual} instead of {want}"
    actual = ask("events", bots="include")["results"][0]["total"]
    if actual != of.totals["applied"]:
        yield f"HTTP events with bots: {actual} instead of {of.totals['applied']}"


def _compare_by_source(ask: Ask, of: ProjectTruth) -> Iterator[str]:
    expected_totals: dict[str, int] = {}
    for (kind, _, _, source, *_), numbers in of.events.items():
        if kind == "day":
            expected_totals[source] = expected_totals.get(source, 0) + numbers["count"]
    actual = {row["dimensions"]["source"]: row["total"] for row in ask("events", breakdown="source")["results"]}
    if actual != expected_totals:
        yield f"HTTP events by source: {actual} instead of {expected_totals}"


def _compare_meta(ask: Ask, of: ProjectTruth) -> Iterator[str]:
    """What `meta` says of it."""
    meta = ask("events")["meta"]
    expected_meta = {
        "complete": True,
        "exact": True,
        "error": 0,
        "duplicates": of.totals["duplicate"],
        "late": of.totals["late"],
    }
    for name, want in expected_meta.items():
        if meta[name] != want:
            yield f"HTTP meta.{name}: {meta[name]} instead of {want}"


def _sum(of: ProjectTruth, measure: str) -> int:
    return sum(numbers[measure] for (kind, *_), numbers in of.events.items() if kind == "day")
