"""A shop in the memory store, for tests of analytics. Events are folded as the workers would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.analytics.read.product_attributes import ProductCatalog
from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import ACTIVITY, EVENTS, PRODUCTS, QUALITY, SALES, make_field
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, find_bucket_starts
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Advance, Applied, CellsKey, Delta, SketchKey

PROJECT = ProjectSettings("demo", "Europe/Berlin", "EUR")
PLACE = PartitionId("topic-1", 0)
NOON = 1_795_345_200_000 // MINUTE_MS * MINUTE_MS  # 2026-11-22T11:00:00Z, noon in Berlin
PRODUCT_MEASURES = {
    "Product Viewed": "views",
    "Product Added": "adds",
    "Checkout Started": "checkouts",
    "Order Completed": "orders",
}


class Happening(Struct, frozen=True):
    """An event, as far as totals depend on it."""

    at_ms: int
    event: str = "$page"
    source: str = "web"
    person: str = "a"
    product: str = ""
    revenue: int = 0
    country: str = "DE"
    is_bot: bool = False
    is_foreign: bool = False


class Clock:
    """A clock that a test sets."""

    def __init__(self, at_ms: int = NOON) -> None:
        self.at_ms = at_ms

    def __call__(self) -> LogInstant:
        return LogInstant(self.at_ms, self.at_ms / 1000)


class Shop:
    """`store` and `reader` replace the memory store, which is both."""

    def __init__(
        self,
        project: ProjectSettings = PROJECT,
        catalog: ProductCatalog | None = None,
        *,
        store: Any = None,
        reader: Any = None,
        caps: Caps = CAPS,
    ) -> None:
        self.project = project
        self.store = store or make_memory_store(project, caps)
        self.reader = reader or self.store
        self.store.begin(0, expected="", generation="g1", topics={"rta.events.web": PLACE.topic_id}, starts={})
        self.clock = Clock()
        self.freshness = FreshnessTracker()
        self.engine = Engine(self.reader, self.freshness, self.clock, catalog)
        self.offset = 0

    def take(self, happenings: Iterable[Happening], **quality: int) -> None:
        """Apply them in one batch."""
        taken = list(happenings)
        delta = Delta(moves=[self._move(len(taken))] if taken else [])
        for happening in taken:
            _fold(delta, self.project, happening)
        for name, number in quality.items():
            for key in list_keys_at(self.project, QUALITY.name, self.clock.at_ms):
                _add(delta, key, name, number)
        state = self.store.read_state(0)
        assert state is not None
        assert isinstance(self.store.apply(0, state.generation, delta), Applied)

    def make_next_move(self) -> Advance:
        """The ledger's advance by one event."""
        return self._move(1)

    def _move(self, events: int) -> Advance:
        before, self.offset = self.offset, self.offset + events
        return Advance(PLACE, _make_row(before), _make_row(self.offset))


def make_engine_without_caches(shop: Shop, catalog: ProductCatalog | None = None) -> Engine:
    """An engine over the same store without caches: it reads each question whole, in one snapshot."""
    return Engine(shop.reader, FreshnessTracker(), shop.clock, catalog, windows=WindowCaches(lambda _plan: False))


def make_memory_store(project: ProjectSettings = PROJECT, caps: Caps = CAPS) -> MemoryStore:
    store = MemoryStore(caps=caps)
    store.set_projects([project], "1")
    return store


def _make_row(offset: int) -> str:
    return LedgerRow(offset, offset - 1, NOON, "h", 0, NOON).to_text() if offset else ""


def list_keys_at(project: ProjectSettings, rollup: str, at_ms: int) -> list[CellsKey]:
    starts = find_bucket_starts(at_ms // MINUTE_MS, project.zone)
    kinds = {BucketKind.MINUTE: starts.minute, BucketKind.HOUR: starts.hour, BucketKind.DAY: starts.day}
    return [CellsKey(project.slug, rollup, kind, start) for kind, start in kinds.items()]


def _add(delta: Delta, key: CellsKey, name: str, number: int) -> None:
    fields = delta.cells.setdefault(key, {})
    fields[name] = fields.get(name, 0) + number


def _fold(delta: Delta, project: ProjectSettings, happening: Happening) -> None:
    h, prefix = happening, "~" if happening.is_bot else ""
    measures = {"count": 1}
    if h.event == "Order Completed":
        measures |= {"orders": 1, "units": 10_000, "revenue": h.revenue, "other_currencies": int(h.is_foreign)}
    values = {ACTIVITY.name: (h.event, h.source), EVENTS.name: (h.event, h.source, h.country, "phone")}
    for rollup, dimensions in values.items():
        for key in list_keys_at(project, rollup, h.at_ms):
            for measure, number in measures.items():
                _add(delta, key, prefix + measure, number)
                _add(delta, key, prefix + make_field(measure, *dimensions), number)
    if h.product:
        for key in list_keys_at(project, PRODUCTS.name, h.at_ms):
            for measure in (PRODUCT_MEASURES[h.event], *(("units",) if h.revenue else ())):
                _sell(delta, key, prefix + measure, h.product, 10_000 if measure == "units" else 1)
            if h.revenue:
                _sell(delta, key, prefix + "revenue", h.product, h.revenue)
        _fold_sales(delta, project, h, prefix)
    if not h.is_bot:
        _see(delta, project, h)


def _fold_sales(delta: Delta, project: ProjectSettings, h: Happening, prefix: str) -> None:
    sold = {PRODUCT_MEASURES[h.event]: 1, "units": 10_000 if h.revenue else 0, "revenue": h.revenue}
    for key in list_keys_at(project, SALES.name, h.at_ms):
        for measure in SALES.measures:
            if key.kind is not BucketKind.MINUTE and sold.get(measure):
                _add(delta, key, prefix + measure, sold[measure])
                _add(delta, key, prefix + make_field(measure, h.product, h.country, h.source), sold[measure])


def _sell(delta: Delta, key: CellsKey, measure: str, product: str, number: int) -> None:
    _add(delta, key, measure, number)
    _add(delta, key, make_field(measure, product), number)


def _see(delta: Delta, project: ProjectSettings, h: Happening) -> None:
    person = h.person.encode()
    assert isinstance(delta.sketches, dict)
    for key in list_keys_at(project, "", h.at_ms):
        sketches = [("", "")]
        if key.kind is not BucketKind.MINUTE:
            places = [("source", h.source), ("country", h.country), ("device", "phone")]
            sketches += [*places, *([("product_id", h.product)] if h.product else [])]
            if h.event == "Order Completed":
                bought = [*places, ("product_id", h.product)]
                sketches += [("buyers", ""), *((f"buyers_{name}", value) for name, value in bought)]
        for dimension, value in sketches:
            sketch = SketchKey(project.slug, key.kind, key.start, dimension, value)
            delta.sketches.setdefault(sketch, set()).add(person)
    online = delta.online.setdefault(project.slug, {})
    online[person] = max(h.at_ms, online.get(person, 0))
