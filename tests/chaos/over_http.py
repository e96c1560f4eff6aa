"""The API's answers after a run, against the oracle's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, Truth
from tests.chaos.site import READ_KEY, Site
from tests.chaos.watch import PROJECT

AMOUNT = 10_000  # the oracle's amounts are in 1/10,000


def differences_over_http(site: Site, period: Mapping[str, str], truth: Truth) -> list[str]:
    """Each answer that is not the oracle's, not complete, or not exact."""
    of = truth.projects[PROJECT]
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {READ_KEY}"}, timeout=60) as client:

        def ask(metric: str, **more: str) -> dict[str, Any]:
            reply = client.get(f"/v1/metrics/{metric}", params={**period, **more}).raise_for_status()
            return dict(reply.json())

        return [*_whole(ask, of), *_by_source(ask, of), *_told(ask, of)]


Ask = Callable[..., dict[str, Any]]


def _whole(ask: Ask, of: ProjectTruth) -> Iterator[str]:
    wanted = {
        "events": _sum(of, "count"),
        "orders": _sum(of, "orders"),
        "revenue": _sum(of, "revenue") / AMOUNT,
        "product_views": sum(n["views"] for (kind, *_), n in of.products.items() if kind == "day"),
        "adds_to_cart": sum(n["adds"] for (kind, *_), n in of.products.items() if kind == "day"),
    }
    for metric, want in wanted.items():
        got = ask(metric)["results"][0]["total"]
        if abs(got - want) > 1e-6 * abs(want):
            yield f"HTTP {metric}: {got} instead of {want}"
    got = ask("events", bots="include")["results"][0]["total"]
    if got != of.totals["applied"]:
        yield f"HTTP events with bots: {got} instead of {of.totals['applied']}"


def _by_source(ask: Ask, of: ProjectTruth) -> Iterator[str]:
    wanted: dict[str, int] = {}
    for (kind, _, _, source, *_), numbers in of.events.items():
        if kind == "day":
            wanted[source] = wanted.get(source, 0) + numbers["count"]
    got = {row["dimensions"]["source"]: row["total"] for row in ask("events", breakdown="source")["results"]}
    if got != wanted:
        yield f"HTTP events by source: {got} instead of {wanted}"


def _told(ask: Ask, of: ProjectTruth) -> Iterator[str]:
    """What `meta` says of it."""
    meta = ask("events")["meta"]
    wanted = {
        "complete": True,
        "exact": True,
        "error": 0,
        "duplicates": of.totals["duplicate"],
        "late": of.totals["late"],
    }
    for name, want in wanted.items():
        if meta[name] != want:
            yield f"HTTP meta.{name}: {meta[name]} instead of {want}"


def _sum(of: ProjectTruth, measure: str) -> int:
    return sum(numbers[measure] for (kind, *_), numbers in of.events.items() if kind == "day")
