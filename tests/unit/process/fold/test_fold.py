"""Folding: each record has exactly one outcome, and however a log is cut into batches, the sums are the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import make_field
from rtaplatform.core.sharding import find_shard
from rtaplatform.core.time.buckets import DAY_MS, HOUR_MS, MINUTE_MS, BucketKind, compute_expiry_s
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.fold.decode_run import DecodedRecord, decode_run
from rtaplatform.process.fold.dedup import BlockCache, RepeatFilter
from rtaplatform.process.fold.fold import EventFold
from rtaplatform.process.fold.job import ECOMMERCE_JOB
from rtaplatform.process.fold.loose_ids import fetch_no_loose_ids
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Applied, CellsKey, Delta, SketchKey
from rtaplatform.stream.port import LogRecord, Partition, make_columns
from tests.comparison import Totals, is_note, read_memory_totals
from tests.comparison_of_people import EXACT, WORLDS, find_differences_in_any_order
from tests.examples import count_examples
from tests.unit.process.decode.odd_records import PROJECTS, Sent, count_by_a_worker, make_log, sent

NOW = 1_795_000_000_000
WEB = Partition("rta.events.web", 0)
BERLIN = {"demo": ProjectSettings("demo", "Europe/Berlin", "EUR")}
FEWEST = 20  # worlds, of which a fifth has to be exact: of fewer, too few may be


def make_message(**fields: Any) -> bytes:
    return json.dumps({"projectId": "demo", "type": "page", "messageId": "m", "anonymousId": "a", **fields}).encode()


def record(value: bytes | None, at: int = NOW, offset: int = 0) -> LogRecord:
    return LogRecord(WEB, offset, at, b"k", value, 0, False)


def load(cache: BlockCache, read: list[DecodedRecord]) -> None:
    """All that folding these asks for, of a store that knows nothing."""
    cache.load(ECOMMERCE_JOB.list_block_names(read), lambda names: [b""] * len(names))
    cache.loose.load(ECOMMERCE_JOB.list_loose_ids(read), fetch_no_loose_ids)


def fold(*records: LogRecord, stream_time_ms: int = 0, shards: int = 1, server_s: int = 0) -> tuple[Delta, EventFold]:
    cache = BlockCache(1_000)
    folding = EventFold(BERLIN, RepeatFilter(cache), server_s)
    read = decode_run(make_columns(records), stream_time_ms, BERLIN, shards).items
    load(cache, read)
    folding.add("web:0", read)
    return folding.make_delta(), folding


def count_outcomes(*records: LogRecord) -> dict[str, int]:
    return {name.removeprefix("web:0|"): n for name, n in fold(*records)[0].counts.items() if name.startswith("web:0|")}


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (make_message(), "applied"),
        (make_message(timestamp=format_iso_utc(NOW - 399 * DAY_MS)), "applied"),
        (make_message(timestamp=format_iso_utc(NOW - 402 * DAY_MS)), "late"),
        (make_message(timestamp=format_iso_utc(NOW + 300_000)), "applied"),
        (make_message(timestamp=format_iso_utc(NOW + 300_001)), "dead"),
        (make_message(timestamp="unreadable"), "applied"),
        (make_message(projectId="nobody's"), "dead"),
        (None, "dead"),
        (b"{", "dead"),
    ],
)
def test_a_record_is_exactly_one_of_four(value: bytes | None, outcome: str) -> None:
    assert count_outcomes(record(value)) == {"consumed": 1, outcome: 1}


def test_a_repeat_is_a_duplicate_and_nothing_else() -> None:
    assert count_outcomes(record(make_message()), record(make_message(), offset=1)) == {
        "consumed": 2,
        "applied": 1,
        "duplicate": 1,
    }
    late = make_message(timestamp=format_iso_utc(NOW - 402 * DAY_MS))
    assert count_outcomes(record(late), record(late, offset=1)) == {"consumed": 2, "late": 1, "duplicate": 1}
    dead = make_message(timestamp=format_iso_utc(NOW + HOUR_MS))
    assert count_outcomes(record(dead), record(dead, offset=1)) == {"consumed": 2, "dead": 2}


def test_stream_time_never_goes_back_and_decides() -> None:
    run = make_columns([record(b"", NOW), record(b"", NOW - 5), record(b"", -1), record(b"", NOW + 1)])
    assert [item.stream_time_ms for item in decode_run(run, NOW - 9, {}, 1).items] == [NOW, NOW, NOW, NOW + 1]
    assert decode_run(make_columns([record(b"", 5)]), NOW, {}, 1).stream_time_ms == NOW


@pytest.mark.parametrize(
    ("age_ms", "kinds"),
    [
        (0, "mhd"), (48 * HOUR_MS + MINUTE_MS - 1, "mhd"), (48 * HOUR_MS + MINUTE_MS, "hd"),
        (60 * DAY_MS + HOUR_MS - 1, "hd"), (60 * DAY_MS + HOUR_MS, "d"), (400 * DAY_MS - 1, "d"), (400 * DAY_MS, ""),
    ],
)  # fmt: skip
def test_an_event_updates_the_buckets_that_are_kept(age_ms: int, kinds: str) -> None:
    begin = 1_794_956_400_000  # a midnight in Berlin, so all three buckets begin at it
    delta, _ = fold(record(make_message(timestamp=format_iso_utc(begin)), begin + age_ms))
    assert {key.kind.value for key in delta.cells if key.rollup == "events"} == set(kinds)
    assert {key.kind.value for key in delta.sketches if not key.dimension} == set(kinds)


def test_an_event_is_counted_in_each_rollup_by_its_dimensions() -> None:
    value = make_message(source="ios", context={"location": {"country": "DE"}, "device": {"type": "phone"}})
    delta, _ = fold(record(value))
    minute = NOW // MINUTE_MS
    assert delta.cells[CellsKey("demo", "activity", BucketKind.MINUTE, minute)] == {
        "count": 1,
        make_field("count", "$page", "ios"): 1,
    }
    assert delta.cells[CellsKey("demo", "events", BucketKind.MINUTE, minute)] == {
        "count": 1,
        make_field("count", "$page", "ios", "DE", "phone"): 1,
    }


def test_a_bots_events_are_apart_and_it_is_no_person() -> None:
    delta, _ = fold(
        record(make_message(marks=["bot:x"], type="track", event="Product Viewed", properties={"product_id": "p"}))
    )
    fields = {name for cells in delta.cells.values() for name in cells}
    assert {name[0] for name in fields} == {"~"}
    assert not delta.sketches
    assert not delta.online


def test_persons_are_counted_by_place_and_product_in_hours_and_days_only() -> None:
    context = {"location": {"country": "DE"}}
    viewed = make_message(type="track", event="Product Viewed", properties={"product_id": "p"}, context=context)
    delta, _ = fold(record(viewed))
    sketches = {(key.kind.value, key.dimension, key.value) for key in delta.sketches}
    places = [("source", "web"), ("country", "DE"), ("device", ""), ("product_id", "p")]
    assert sketches == {(k, "", "") for k in "mhd"} | {(k, d, v) for k in "hd" for d, v in places}
    delta, _ = fold(record(make_message(type="track", event="Checkout Started", properties={"product_id": "p"})))
    assert not [key for key in delta.sketches if key.dimension == "product_id"]


def test_online_keeps_the_newest_time_of_a_person() -> None:
    records = [
        record(make_message(messageId=str(n), timestamp=format_iso_utc(NOW - ms)))
        for n, ms in enumerate((5_000, 1_000, 9_000))
    ]
    delta, _ = fold(*records)
    assert list(delta.online["demo"].values()) == [NOW - 1_000]


def test_uncounted_records_are_counted_at_stream_time() -> None:
    at = format_iso_utc(NOW - DAY_MS)
    delta, _ = fold(record(make_message(timestamp=at)), record(make_message(timestamp=at), NOW + MINUTE_MS, 1))
    assert delta.cells[CellsKey("demo", "quality", BucketKind.MINUTE, NOW // MINUTE_MS + 1)] == {"duplicate": 1}


def test_a_dead_letter_is_remembered_by_stream_time() -> None:
    delta, folding = fold(record(b"{", NOW), record(b"{", -1, 1), record(b"{", NOW - 500 * DAY_MS, 2))
    assert delta.dead == {f"rta.events.web:0:{n}": NOW for n in range(3)}
    assert [dead_letter.origin for dead_letter in folding.dead_letters] == list(delta.dead)


def test_a_dead_letter_belongs_to_the_project_it_names_if_there_is_one() -> None:
    def project_and_reason(value: bytes) -> tuple[str, str]:
        dead_letter = fold(record(value))[1].dead_letters[0]
        return dead_letter.project, str(dead_letter.reason)

    assert project_and_reason(make_message(type="x")) == ("demo", "unknown_type")
    assert project_and_reason(make_message(projectId="nobody's", type="x")) == ("", "unknown_project")
    assert project_and_reason(make_message(projectId=None)) == ("", "missing_project")
    assert project_and_reason(b"{") == ("", "not_json")


def test_a_record_is_counted_in_one_shard() -> None:
    for shards in (1, 2, 7):
        run = make_columns([record(make_message()), record(make_message(projectId="other")), record(b"{")])
        assert [item.shard for item in decode_run(run, 0, BERLIN, shards).items] == [
            find_shard("demo", shards),
            find_shard("other", shards),
            0,
        ]


# Merging -----------------------------------------------------------------------------------------------------------


def merge_deltas(*deltas: Delta) -> Totals:
    """What a store makes of some batches' increments, in this order."""
    store = MemoryStore()
    store.begin(0, expected="", generation="g1", topics={}, starts={})
    for delta in deltas:
        parts = Delta([], cells=delta.cells, sketches=delta.sketches, online=delta.online, counts=delta.counts)
        assert store.apply(0, "g1", parts) == Applied()
    return read_memory_totals(store)


def fold_records(records: list[Sent]) -> Delta:
    projects = {project.slug: project for project in PROJECTS}
    cache = BlockCache(10_000)
    folding = EventFold(projects, RepeatFilter(cache))
    for partition, records_of_partition in make_log(records).records.items():
        read = decode_run(make_columns(records_of_partition), 0, projects, 1).items
        load(cache, read)
        folding.add(str(partition), read)
    return folding.make_delta()


short_lists = st.lists(sent, max_size=4)


@given(short_lists, short_lists, short_lists)
@settings(max_examples=count_examples(60), deadline=None)
def test_merging_is_associative_and_commutative_and_nothing_is_its_identity(
    a: list[Sent], b: list[Sent], c: list[Sent]
) -> None:
    first, two, three = fold_records(a), fold_records(b), fold_records(c)
    expected = merge_deltas(first, two, three)
    for order in ((three, two, first), (two, first, three), (Delta([]), first, Delta([]), two, three, Delta([]))):
        assert merge_deltas(*order) == expected
    assert merge_deltas(Delta([])) == Totals()


def test_a_log_may_be_cut_anywhere() -> None:
    tally = Counter[str]()

    @given(st.lists(sent, min_size=2, max_size=10), st.integers(1, 9))
    @settings(max_examples=max(FEWEST, count_examples(60)), deadline=None)
    def cut_it(records: list[Sent], batch_max: int) -> None:
        broker = make_log(records)
        whole, cut = (read_memory_totals(count_by_a_worker(broker, batch_max=size)) for size in (1_000, batch_max))
        cut.dead = whole.dead  # when a dead letter of 400 days ago is forgotten is no decision
        # A link that comes in a later batch than the events of both ids corrects no sketch any more, and is counted.
        if any(is_note(name) for name in (*cut.counts, *whole.counts)):
            cut.persons = whole.persons
        assert find_differences_in_any_order(cut, whole, tally, sketches=whole.persons) == []

    cut_it()
    assert tally[EXACT] > 0.2 * tally[WORLDS] > 0, tally


def test_a_sketch_key_holds_each_person_once() -> None:
    values = [make_message(messageId=str(n), userId="u") for n in range(5)]
    delta, _ = fold(*(record(value, offset=n) for n, value in enumerate(values)))
    assert len(delta.sketches[SketchKey("demo", BucketKind.MINUTE, NOW // MINUTE_MS, "", "")]) == 1


@pytest.mark.parametrize("days", [1, 3, 59, 70, 399])
def test_buckets_that_the_store_has_expired_are_left_out_and_nothing_else(days: int) -> None:
    """Its clock is so many days ahead of the records: what it drops anyway is not computed."""
    server_s = NOW // 1000 + days * 86_400
    ages = [0, 5, 61 * 60_000, 30 * HOUR_MS, 50 * HOUR_MS, 20 * DAY_MS, 61 * DAY_MS, 399 * DAY_MS]
    records = [
        record(make_message(messageId=str(n), anonymousId=f"a{n % 3}", timestamp=format_iso_utc(NOW - age)), NOW, n)
        for n, age in enumerate(ages)
    ]
    whole, part = fold(*records)[0], fold(*records, server_s=server_s)[0]
    assert part.cells == {key: fields for key, fields in whole.cells.items() if is_left(key.kind, key.start, server_s)}
    assert part.sketches == {key: p for key, p in whole.sketches.items() if is_left(key.kind, key.start, server_s)}
    assert (part.counts, part.online, part.loose) == (whole.counts, whole.online, whole.loose)
    assert len(part.blocks) == len(whole.blocks)


def is_left(kind: BucketKind, start: int, server_s: int) -> bool:
    return compute_expiry_s(kind, start) > server_s
