"""The things that take memory in the store, one by one: what `rta bench memory` and docs/reference/memory.md count.

Each item makes deltas that write a number of equal things and nothing else. Ids are random, so that nothing is shared.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TypeVar

from msgspec import Struct

from rtaplatform.core.rollups import ACQUISITION, ACTIVITY, EVENTS, PAGES, PRODUCTS, SALES, SESSIONS, Rollup, make_field
from rtaplatform.core.time.buckets import DAY_MS, HOUR_MS, BucketKind
from rtaplatform.process.people.identity import Alias
from rtaplatform.process.people.person_value import Person, encode_value
from rtaplatform.process.people.sessions import Session
from rtaplatform.store.port import BlockWrite, CellsKey, Delta, LooseWrite, OrderWrite, PersonWrite, SketchKey

AT_ONCE = 400
ITEMS_PER_STEP = 100_000
BUCKETS_MAX = 5_000
PERSONS = 200_000
TOPIC = "rta.events.web"
T = TypeVar("T")
# Rollup → the values of a combination's number. Names are as long as those of a usual shop.
COMBINATIONS: Mapping[str, Callable[[int], tuple[str, ...]]] = {
    ACTIVITY.name: lambda n: (f"Event Name {n}", "web"),
    EVENTS.name: lambda n: (f"Event Name {n}", "web", "DE", "phone"),
    PRODUCTS.name: lambda n: (f"product-{n}",),
    SALES.name: lambda n: (f"product-{n}", "DE", "web"),
    PAGES.name: lambda n: (f"/section/page-{n}", "web"),
    ACQUISITION.name: lambda n: ("newsletter", "email", f"campaign-{n}", "mail.example", "email"),
    SESSIONS.name: lambda n: ("web", f"C{n}", "phone"),
}


class MemoryItem(Struct, frozen=True):
    """`count` things are written by `make_deltas`. `in_one`: how many of them share a key of the store."""

    name: str
    in_one: int
    count: int
    make_deltas: Callable[[], list[Delta]]


def list_items(project: str, persons: int = PERSONS) -> list[MemoryItem]:
    items = [describe_field(project, PRODUCTS, in_one) for in_one in (1, 10, 100, 1_000, 10_000)]
    items += [
        describe_field(project, rollup, in_one)
        for rollup in (ACTIVITY, EVENTS, SALES, PAGES, ACQUISITION, SESSIONS)
        for in_one in (10, 1_000)
    ]
    items += [describe_sketch(project, members) for members in (1, 10, 100, 1_000, 10_000)]
    items += [describe_dedup_window(project, ids) for ids in (10, 1_000, 100_000)]
    items += [describe_loose_id(project, ids) for ids in (10, 1_000, 100_000)]
    return [
        *items,
        describe_order(project, ITEMS_PER_STEP),
        describe_visitor(project, persons),
        describe_person(project, persons),
    ]


def describe_field(project: str, rollup: Rollup, in_one: int) -> MemoryItem:
    """Fields of buckets. Small buckets are many, so that their memory stands out."""
    buckets = max(10, min(BUCKETS_MAX, ITEMS_PER_STEP // in_one))

    def make_deltas() -> list[Delta]:
        first, values = _choose_free_minute(), COMBINATIONS[rollup.name]
        cells = {make_field(rollup.measures[0], *values(n)): n + 1 for n in range(in_one)}
        keys = [CellsKey(project, rollup.name, BucketKind.MINUTE, first + n) for n in range(buckets)]
        writes = [(key, part) for key in keys for part in split_into_batches(cells.items())]
        batches = split_into_batches(writes, max(1, AT_ONCE // in_one))
        return [Delta([], cells={key: dict(part) for key, part in portion}) for portion in batches]

    return MemoryItem(f"field of {rollup.name}", in_one, buckets * in_one, make_deltas)


def describe_sketch(project: str, members: int) -> MemoryItem:
    """Sketches of a product's persons in an hour, with so many persons each."""
    sketches = max(20, min(2_000, ITEMS_PER_STEP // members))

    def make_deltas() -> list[Delta]:
        hour = _choose_free_minute()
        keys = [SketchKey(project, BucketKind.HOUR, hour, "product_id", f"product-{n}") for n in range(sketches)]
        portions = [(key, portion) for key in keys for portion in split_into_batches(_make_ids(members))]
        batches = split_into_batches(portions, max(1, AT_ONCE // members))
        return [Delta([], sketches={key: set(portion) for key, portion in part}) for part in batches]

    return MemoryItem("sketch", members, sketches, make_deltas)


def describe_dedup_window(project: str, ids: int) -> MemoryItem:
    """Ids of one dedup window, appended batch by batch, and of the first event after it."""

    def make_deltas() -> list[Delta]:
        minute = _choose_free_minute()
        now_ms, name, token, deltas = minute * 60_000, f"{project}:{TOPIC}:0:", b"", list[Delta]()
        for portion in split_into_batches(range(ids)):
            next_token = secrets.token_bytes(8)
            new_ids = secrets.token_bytes(8 * len(portion))
            deltas.append(Delta([], blocks=[BlockWrite(f"{name}{minute}", token, next_token, now_ms, new_ids, False)]))
            token = next_token
        later = BlockWrite(f"{name}{minute + 5}", b"", token, now_ms + 300_000, secrets.token_bytes(8), False)
        return [*deltas, Delta([], blocks=[later])]

    return MemoryItem("dedup id", ids, ids, make_deltas)


def describe_loose_id(project: str, ids: int) -> MemoryItem:
    """Ids that belong to no dedup window."""

    def make_deltas() -> list[Delta]:
        now_ms, name = _read_clock_ms(), f"{project}-{_choose_free_minute()}:{TOPIC}:0"
        portions = split_into_batches(_make_ids(ids))
        return [
            Delta([], loose=[LooseWrite(name, portion, [-1] * len(portion), [now_ms] * len(portion))])
            for portion in portions
        ]

    return MemoryItem("loose id", ids, ids, make_deltas)


def describe_order(project: str, orders: int) -> MemoryItem:
    def make_deltas() -> list[Delta]:
        now_ms, portions = _read_clock_ms(), split_into_batches(_make_ids(orders))
        return [
            Delta([], orders=[OrderWrite(project, portion, [-1] * len(portion), [now_ms] * len(portion))])
            for portion in portions
        ]

    return MemoryItem("order id", orders, orders, make_deltas)


def describe_visitor(project: str, persons: int) -> MemoryItem:
    """Persons without a login who came once: a value with one session."""

    def make_deltas() -> list[Delta]:
        value = _make_value(_read_clock_ms(), sessions=1)
        return [
            Delta([], persons=[_write(project, person, value) for person in portion])
            for portion in split_into_batches(_make_ids(persons))
        ]

    return MemoryItem("visitor", persons, persons, make_deltas)


def describe_person(project: str, persons: int) -> MemoryItem:
    """Persons who have logged in and are online: a value with two sessions, the link of a device, an online entry."""

    def make_deltas() -> list[Delta]:
        now_ms = _read_clock_ms()
        return [_make_persons(project, portion, now_ms) for portion in split_into_batches(_make_ids(persons))]

    return MemoryItem("person", persons, persons, make_deltas)


def _make_persons(project: str, persons: list[bytes], now_ms: int) -> Delta:
    devices = _make_ids(len(persons))
    writes = [
        write
        for person, device in zip(persons, devices, strict=True)
        for write in (
            _write(project, person, _make_value(now_ms, sessions=2, canonical=device)),
            _write(project, device, encode_value(Alias(person, now_ms, [(now_ms, person)]))),
        )
    ]
    return Delta([], persons=writes, online={project: dict.fromkeys(devices, now_ms)})


def _make_value(now_ms: int, *, sessions: int, canonical: bytes = b"") -> bytes:
    starts_ms = [now_ms - 6 * HOUR_MS * n for n in reversed(range(sessions))]
    origin = make_field("", "google", "cpc", "brand", "google.com", "paid")
    visits = [
        Session(start_ms, 754_321, 12, 2, "web", "DE", "phone", origin, "/products/17", "/checkout")
        for start_ms in starts_ms
    ]
    return encode_value(
        Person(now_ms - 40 * DAY_MS, canonical, now_ms, now_ms // DAY_MS, 0x8000_0421_0000_1001, visits)
    )


def _write(project: str, person: bytes, value: bytes) -> PersonWrite:
    return PersonWrite(project, person, b"", secrets.token_bytes(8), value)


def _make_ids(count: int) -> list[bytes]:
    return [secrets.token_bytes(8) for _ in range(count)]


def _read_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _choose_free_minute() -> int:
    """A minute from which on no other item has buckets. Its buckets expire in more than two days."""
    return _read_clock_ms() // 60_000 + 60 * secrets.randbelow(1_000_000)


def split_into_batches(items: Iterable[T], size: int = AT_ONCE) -> list[list[T]]:
    """Split the items into small batches. Large requests need a temporary buffer, which would distort the result."""
    iterator = iter(items)
    return list(iter(lambda: list(islice(iterator, size)), []))
