"""The contract of the store: one suite, run on every adapter."""

from __future__ import annotations

import random
import secrets
import time
from typing import Any

import pytest
from msgspec import structs

from rtaplatform.core.errors import NotFound
from rtaplatform.core.ledger import LedgerRow, PartitionId, read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import SEATS_PREFIX, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import (
    Advance,
    Applied,
    BlockWrite,
    BucketContent,
    CellsKey,
    Conflicted,
    Delta,
    Moved,
    PersonWrite,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    ReadOnline,
    ReadPersonCounts,
    ReadPersons,
    ReadPersonValues,
    SketchKey,
)
from tests.comparison import SKETCH_ERROR_MAX
from tests.contract.conftest import Parts

PLACE = PartitionId("topic-web", 0)
NOW_MS = int(time.time() * 1000)
SEEN_MS = NOW_MS + 3_600_000  # of who is online: no clock passes it while the tests run
MINUTE = NOW_MS // 60_000
CELLS = CellsKey("demo", "activity", BucketKind.MINUTE, MINUTE)
BLOCK = f"demo:rta.events.web:3:{MINUTE}"


def make_row(next_offset: int) -> str:
    return LedgerRow(next_offset, next_offset - 1, NOW_MS, "00ff", 0, NOW_MS).to_text()


def advance(after: int, upto: int, **changes: Any) -> Delta:
    return Delta(moves=[Advance(PLACE, make_row(after) if after else "", make_row(upto))], **changes)


def make_block(expected: bytes, token: bytes, ids: bytes, *, replace: bool = False) -> BlockWrite:
    return BlockWrite(BLOCK, expected, token, NOW_MS, ids, replace)


async def read_cells(parts: Parts, *fields: str) -> dict[str, int]:
    snapshot = await parts.reader.read("demo", [ReadFields("activity", BucketKind.MINUTE, (MINUTE,), fields or None)])
    answer = snapshot.answers[0]
    assert isinstance(answer, list)
    assert isinstance(answer[0], dict)
    return {name: n for name, n in answer[0].items() if not name.startswith(SEATS_PREFIX)}


async def test_a_listing_has_every_field_as_it_is_stored(parts: Parts) -> None:
    name, great = make_field("count", "ä", "web"), 2**60 + 1
    delta = advance(0, 5, cells={CELLS: {"count": 5, name: -3, "~count": great}})
    assert parts.store.apply(0, "g1", delta) == Applied()
    read = ReadBuckets("activity", BucketKind.MINUTE, (MINUTE, MINUTE + 1))
    answer = (await parts.reader.read("demo", [read])).answers[0]
    assert isinstance(answer, list)
    listed, empty = answer
    assert isinstance(listed, BucketContent)
    assert empty == BucketContent([])
    pairs = zip(listed.fields[::2], listed.fields[1::2], strict=True)
    assert dict(pairs) == {b"count": b"5", name.encode(): b"-3", b"~count": b"%d" % great, b"#open": b"1"}


async def test_the_log_of_a_large_bucket_leads_from_any_listing_to_now(parts: Parts) -> None:
    """Whatever is written, also what fills the bucket, overflows or is no number to Lua."""
    key, chance = CellsKey("demo", "products", BucketKind.MINUTE, MINUTE), random.Random(3)
    view: dict[bytes, bytes] = {}
    position, followed = "", 0
    for turn in range(60):
        count = chance.choice([1, 3, 40, 400, 700])
        fields = {make_field("views", f"p-{chance.randint(0, 3_000)}"): chance.randint(1, 9) for _ in range(count)}
        if turn % 9 == 8:
            fields |= {make_field("views", f"q-{turn}-{n}"): 1 for n in range(2_500)}
        cells = {key: fields | {"views": sum(fields.values())}}
        if turn % 7 == 3:
            cells[key][make_field("orders", "great")] = 2**62
        assert parts.store.apply(0, "g1", advance(turn, turn + 1, cells=cells)) == Applied()
        if chance.random() < 0.3:
            continue
        reads: list[Read] = [ReadBuckets("products", BucketKind.MINUTE, (MINUTE,))]
        whole, changed = (
            await parts.reader.read(
                "demo", [*reads, ReadBucketLog("products", BucketKind.MINUTE, MINUTE, position or "0-0")]
            )
        ).answers
        assert isinstance(whole, list)
        listed = whole[0]
        assert isinstance(listed, BucketContent)
        content = dict(zip(listed.fields[::2], listed.fields[1::2], strict=True))
        if isinstance(changed, BucketContent):
            followed += 1
            view |= dict(zip(changed.fields[::2], changed.fields[1::2], strict=True))
            assert (view, changed.position) == (content, listed.position)
        view, position = content, listed.position
    assert followed > 5


async def test_some_fields_of_many_buckets_beside_others(parts: Parts) -> None:
    hour = CellsKey("demo", "events", BucketKind.HOUR, MINUTE // 60 * 60)
    fields = {f"count{n}": n + 1 for n in range(2_500)}
    assert parts.store.apply(0, "g1", advance(0, 5, cells={CELLS: {"count": 5}, hour: fields})) == Applied()
    reads: list[Read] = [
        ReadFields("activity", BucketKind.MINUTE, (MINUTE - 1, MINUTE), ("none", "count")),
        ReadOnline(0),
        ReadFields("events", BucketKind.HOUR, (hour.start,), ("none", *fields)),
        ReadFields("activity", BucketKind.MINUTE, (), ("count",)),
        ReadFields("activity", BucketKind.MINUTE, (MINUTE,), ()),
    ]
    assert (await parts.reader.read("demo", reads)).answers == ([{}, {"count": 5}], 0, [fields], [], [{}])


async def test_totals_and_position_move_together(parts: Parts) -> None:
    assert (
        parts.store.apply(0, "g1", advance(0, 5, cells={CELLS: {"count": 5, make_field("count", "a", "web"): 5}}))
        == Applied()
    )
    assert parts.store.apply(0, "g1", advance(5, 7, cells={CELLS: {"count": 2}})) == Applied()
    snapshot = await parts.reader.read("demo", [ReadFields("activity", BucketKind.MINUTE, (MINUTE, MINUTE + 1), None)])
    assert snapshot.answers == ([{"count": 7, make_field("count", "a", "web"): 5, "#open": 1}, {}],)
    assert snapshot.ledger == {PLACE: read_row(make_row(7))}
    state = parts.store.read_state(0)
    assert state is not None
    assert state.ledger == {PLACE: make_row(7)}
    assert state.starts == {PLACE: 0}
    assert state.projects["demo"].zone == "Europe/Berlin"


async def test_a_repeated_batch_changes_nothing(parts: Parts) -> None:
    delta = advance(0, 5, cells={CELLS: {"count": 5}})
    parts.store.apply(0, "g1", delta)
    assert parts.store.apply(0, "g1", delta) == Moved("g1", {PLACE: make_row(5)})
    assert await read_cells(parts) == {"count": 5}


async def test_a_worker_of_another_generation_is_refused(parts: Parts) -> None:
    assert parts.store.apply(0, "g0", advance(0, 5, cells={CELLS: {"count": 5}})) == Moved("g1", {PLACE: ""})
    assert await read_cells(parts) == {}


async def test_several_partitions_move_together_or_not_at_all(parts: Parts) -> None:
    other = PartitionId("topic-web", 1)
    parts.store.apply(0, "g1", advance(0, 5))
    delta = Delta(moves=[Advance(other, "", make_row(3)), Advance(PLACE, "", make_row(9))], cells={CELLS: {"count": 1}})
    assert parts.store.apply(0, "g1", delta) == Moved("g1", {other: "", PLACE: make_row(5)})
    assert await read_cells(parts) == {}


async def test_a_comparison_alone_sees_a_move_and_writes_nothing(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 5))
    assert parts.store.apply(0, "g1", advance(5, 5)) == Applied()
    assert parts.store.apply(0, "g1", advance(4, 4)) == Moved("g1", {PLACE: make_row(5)})


async def test_blocks_are_appended_under_their_token(parts: Parts) -> None:
    first, second = b"A" * 8, b"B" * 8
    parts.store.apply(0, "g1", advance(0, 1, blocks=[make_block(b"", first, b"1" * 8)]))
    parts.store.apply(0, "g1", advance(1, 2, blocks=[make_block(first, second, b"2" * 8)]))
    stored = parts.store.read_blocks(0, "g1", [BLOCK, "demo:rta.events.web:3:1"])
    assert stored == [second + NOW_MS.to_bytes(8, "big") + b"1" * 8 + b"2" * 8, b""]


@pytest.mark.parametrize("stale", [b"", b"Z" * 8])
async def test_a_stale_block_is_a_conflict_and_nothing_is_written(parts: Parts, stale: bytes) -> None:
    parts.store.apply(0, "g1", advance(0, 1, blocks=[make_block(b"", b"A" * 8, b"1" * 8)]))
    delta = advance(1, 2, blocks=[make_block(stale, b"B" * 8, b"2" * 8)], cells={CELLS: {"count": 1}})
    assert parts.store.apply(0, "g1", delta) == Conflicted([BLOCK], [], [], False)
    assert await read_cells(parts) == {}
    state = parts.store.read_state(0)
    assert state is not None
    assert state.ledger == {PLACE: make_row(1)}


async def test_a_block_without_new_ids_is_only_compared(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, blocks=[make_block(b"", b"A" * 8, b"1" * 8)]))
    assert parts.store.apply(0, "g1", advance(1, 2, blocks=[make_block(b"A" * 8, b"B" * 8, b"")])) == Applied()
    assert parts.store.read_blocks(0, "g1", [BLOCK])[0][:8] == b"A" * 8


async def test_a_block_that_ran_out_is_replaced(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, blocks=[make_block(b"", b"A" * 8, b"1" * 8)]))
    parts.store.apply(0, "g1", advance(1, 2, blocks=[make_block(b"A" * 8, b"B" * 8, b"2" * 8, replace=True)]))
    assert parts.store.read_blocks(0, "g1", [BLOCK])[0][16:] == b"2" * 8


async def test_blocks_are_forgotten_by_stream_time(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, blocks=[make_block(b"", b"A" * 8, b"1" * 8)]))
    parts.store.apply(
        0, "g1", advance(1, 2, expired_blocks={"rta.events.web:3": NOW_MS - 1, "rta.events.web:4": NOW_MS})
    )
    assert parts.store.read_blocks(0, "g1", [BLOCK]) != [b""]
    parts.store.apply(0, "g1", advance(2, 3, expired_blocks={"rta.events.web:3": NOW_MS}))
    assert parts.store.read_blocks(0, "g1", [BLOCK]) == [b""]


async def test_persons_are_written_under_their_token(parts: Parts) -> None:
    write = PersonWrite("demo", b"u-1", b"", b"A" * 8, b"value")
    assert parts.store.apply(0, "g1", advance(0, 1, persons=[write])) == Applied()
    assert parts.store.read_persons(0, "g1", [("demo", b"u-1"), ("demo", b"u-2")]) == [b"A" * 8 + b"value", b""]
    assert parts.store.apply(0, "g1", advance(1, 2, persons=[write])) == Conflicted([], [("demo", b"u-1")], [], False)
    erase = PersonWrite("demo", b"u-1", b"A" * 8, b"B" * 8, b"")
    assert parts.store.apply(0, "g1", advance(1, 2, persons=[erase])) == Applied()
    assert parts.store.read_persons(0, "g1", [("demo", b"u-1")]) == [b""]


async def test_a_dead_letter_is_replayed_once(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, dead={"rta.events.web:0:0": NOW_MS}))
    replay = advance(1, 2, replayed=["rta.events.web:0:0"], cells={CELLS: {"count": 1}})
    assert parts.store.apply(0, "g1", replay) == Applied()
    again = advance(2, 3, replayed=["rta.events.web:0:0"], cells={CELLS: {"count": 1}})
    assert parts.store.apply(0, "g1", again) == Conflicted([], [], ["rta.events.web:0:0"], False)
    assert await read_cells(parts) == {"count": 1}


async def test_origins_are_forgotten_with_the_dead_letters(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, dead={"rta.events.web:0:0": NOW_MS}))
    parts.store.apply(0, "g1", advance(1, 2, dead_before_ms=NOW_MS + 1))
    replay = advance(2, 3, replayed=["rta.events.web:0:0"])
    assert isinstance(parts.store.apply(0, "g1", replay), Conflicted)


async def test_changed_projects_are_a_conflict(parts: Parts) -> None:
    state = parts.store.read_state(0)
    assert state is not None
    assert state.projects_version
    assert parts.store.apply(0, "g1", advance(0, 1, projects_version=state.projects_version)) == Applied()
    assert parts.store.apply(0, "g1", advance(1, 2, projects_version="older")) == Conflicted([], [], [], True)


async def test_a_new_project_is_found_and_changes_nothing_for_batches_under_way(parts: Parts) -> None:
    before = parts.store.read_state(0)
    assert before is not None
    shop, berlin = ProjectSettings("shop", "Asia/Tokyo", "JPY"), before.projects["demo"]
    tell(parts, [shop, structs.replace(berlin, week_start="sunday")])
    assert parts.store.read_projects(0, ["shop", "nobody"]) == {"shop": shop}
    assert parts.store.read_projects(0, []) == {}
    assert read_version(parts) == before.projects_version
    tell(parts, [structs.replace(berlin, currency="USD")])
    assert read_version(parts) != before.projects_version


def read_version(parts: Parts) -> str:
    state = parts.store.read_state(0)
    assert state is not None
    return state.projects_version


def tell(parts: Parts, projects: list[ProjectSettings]) -> None:
    store: Any = parts.store
    store.set_projects(projects, *(["another"] if isinstance(store, MemoryStore) else []))


async def test_amounts_beyond_what_a_double_holds_are_exact(parts: Parts) -> None:
    large = 2**62
    parts.store.apply(0, "g1", advance(0, 1, cells={CELLS: {"revenue": large - 1}}))
    parts.store.apply(0, "g1", advance(1, 2, cells={CELLS: {"revenue": -(2**53) - 1}}))
    assert await read_cells(parts) == {"revenue": large - 1 - 2**53 - 1}


async def test_an_overflow_flags_its_field_and_the_batch_goes_on(parts: Parts) -> None:
    for offset in range(2):
        parts.store.apply(0, "g1", advance(offset, offset + 1, cells={CELLS: {"revenue": 2**62, "count": 1}}))
    snapshot = await parts.reader.read("demo", [ReadFields("activity", BucketKind.MINUTE, (MINUTE,), None)])
    assert snapshot.answers == ([{"revenue": 2**62, "count": 2, "!": 1, "!revenue": 1}],)
    named = ReadFields("activity", BucketKind.MINUTE, (MINUTE - 1, MINUTE), ("count", "revenue", "units"))
    assert (await parts.reader.read("demo", [named])).answers == ([{}, {"count": 2, "revenue": 2**62, "!revenue": 1}],)


async def test_distinct_persons_unite_over_buckets_and_values(parts: Parts) -> None:
    keys = {
        SketchKey("demo", BucketKind.HOUR, MINUTE // 60 * 60, "source", "web"): {b"a", b"b"},
        SketchKey("demo", BucketKind.HOUR, MINUTE // 60 * 60, "source", "ios"): {b"b", b"c"},
        SketchKey("demo", BucketKind.HOUR, MINUTE // 60 * 60, "", ""): {b"a", b"b", b"c"},
    }
    parts.store.apply(0, "g1", advance(0, 1, sketches=keys))
    buckets = ((BucketKind.HOUR, MINUTE // 60 * 60), (BucketKind.HOUR, MINUTE // 60 * 60 + 60))
    snapshot = await parts.reader.read(
        "demo",
        [
            ReadPersons(buckets),
            ReadPersons(buckets, "source", ("web",)),
            ReadPersons(buckets, "source", ("web", "ios", "server")),
            ReadPersons((), "source", ("web",)),
            ReadPersonValues(buckets, "source"),
        ],
    )
    assert snapshot.answers == (3, 2, 3, 0, ["ios", "web"])


async def test_persons_of_each_value_are_counted_bucket_by_bucket(parts: Parts) -> None:
    hour, other = MINUTE // 60 * 60, MINUTE // 60 * 60 - 60
    keys = {
        SketchKey("demo", BucketKind.HOUR, hour, "product_id", "a:1"): {b"a", b"b"},
        SketchKey("demo", BucketKind.HOUR, hour, "product_id", "ü"): {b"c"},
        SketchKey("demo", BucketKind.HOUR, hour, "source", "web"): {b"a"},
        SketchKey("demo", BucketKind.HOUR, other, "product_id", "a:1"): {b"c"},
        SketchKey("demo", BucketKind.HOUR, hour, "", ""): {b"a", b"b", b"c"},
    }
    parts.store.apply(0, "g1", advance(0, 1, sketches=keys))
    reads: list[Read] = [
        ReadPersonCounts("product_id", BucketKind.HOUR, (hour, other, hour - 6_000)),
        ReadPersonCounts("source", BucketKind.HOUR, (hour,)),
        ReadPersonCounts("source", BucketKind.HOUR, ()),
    ]

    async def counts() -> list[list[dict[str, int]]]:
        answers: Any = (await parts.reader.read("demo", reads)).answers
        return [
            [
                {v.decode(): int(n) for v, n in zip(content.fields[::2], content.fields[1::2], strict=True)}
                for content in answer
            ]
            for answer in answers
        ]

    assert await counts() == [[{"a:1": 2, "ü": 1}, {"a:1": 1}, {}], [{"web": 1}], []]
    more = {SketchKey("demo", BucketKind.HOUR, hour, "product_id", "ü"): {b"d"}}
    parts.store.apply(0, "g1", advance(1, 2, sketches=more))
    assert await counts() == [[{"a:1": 2, "ü": 2}, {"a:1": 1}, {}], [{"web": 1}], []]


async def test_many_persons_join_the_few_that_are_there_and_few_the_many(parts: Parts) -> None:
    hour, everybody = MINUTE // 60 * 60, [secrets.token_bytes(8) for _ in range(9_000)]
    portions = [everybody[:500], everybody[300:4_300], everybody[4_000:8_800], everybody[8_700:]]
    for number, portion in enumerate(portions):
        keys = {
            SketchKey("demo", BucketKind.HOUR, hour, "", ""): portion,
            SketchKey("demo", BucketKind.HOUR, hour, "source", "web"): portion[::2],
        }
        assert parts.store.apply(0, "g1", advance(number, number + 1, sketches=keys)) == Applied()
    buckets = ((BucketKind.HOUR, hour),)
    reads: list[Read] = [
        ReadPersons(buckets),
        ReadPersons(buckets, "source", ("web",)),
        ReadPersonValues(buckets, "source"),
    ]
    estimate, web, values = (await parts.reader.read("demo", reads)).answers
    assert values == ["web"]
    assert estimate == pytest.approx(len(everybody), rel=SKETCH_ERROR_MAX)
    assert web == pytest.approx(len({member for portion in portions for member in portion[::2]}), rel=SKETCH_ERROR_MAX)


async def test_online_keeps_the_newest_time_of_each_person(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, online={"demo": {b"a": SEEN_MS, b"b": SEEN_MS - 400_000}}))
    parts.store.apply(0, "g1", advance(1, 2, online={"demo": {b"a": SEEN_MS - 500_000}}))
    reads = [ReadOnline(SEEN_MS - 300_000), ReadOnline(0), ReadOnline(0, SEEN_MS - 1), ReadOnline(0, SEEN_MS)]
    assert (await parts.reader.read("demo", reads)).answers == (1, 2, 1, 2)


async def test_who_is_known_under_another_id_leaves_the_online_set(parts: Parts) -> None:
    parts.store.apply(0, "g1", advance(0, 1, online={"demo": {b"a": SEEN_MS, b"b": SEEN_MS}}))
    later = {"demo": {b"c": SEEN_MS}}
    parts.store.apply(0, "g1", advance(1, 2, online=later, left_online={"demo": {b"a", b"nobody"}}))
    assert (await parts.reader.read("demo", [ReadOnline(0)])).answers == (2,)


async def test_an_unknown_project_is_said_to_be_unknown(parts: Parts) -> None:
    with pytest.raises(NotFound):
        await parts.reader.read("nobody", [ReadOnline(0)])


async def test_a_stop_is_seen_by_readers_until_it_is_taken_back(parts: Parts) -> None:
    parts.store.set_stop(0, "rta.events.web:0", "truncated")
    assert (await parts.reader.read("demo", [])).stops == {"rta.events.web:0": "truncated"}
    parts.store.set_stop(0, "rta.events.web:0", "")
    assert (await parts.reader.read("demo", [])).stops == {}


async def test_change_notifications_name_the_projects_that_moved(parts: Parts) -> None:
    notifications = parts.reader.follow_notifications()
    first = await anext(notifications)
    assert first.projects is None
    parts.store.apply(0, "g1", advance(0, 1, cells={CELLS: {"count": 1}}))
    assert (await anext(notifications)).projects == frozenset({"demo"})
