"""The contract of generations that are built beside the one that is read: one suite, run on every adapter."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import (
    Advance,
    Applied,
    Behind,
    Conflicted,
    Delta,
    ErasedKeys,
    Moved,
    PersonWrite,
    ReadFields,
    ReadOnline,
    Replaced,
    Switched,
)
from tests.contract.conftest import TOMBSTONE, TOPICS, Parts
from tests.contract.test_store import BLOCK, CELLS, MINUTE, NOW_MS, PLACE, SEEN_MS, advance, make_block, make_row

CONTROL = PartitionId("topic-control", 0)


@pytest.fixture
def building(parts: Parts) -> Parts:
    """With `g2` being built beside `g1`."""
    assert begin(parts, "", "g2") == "g2"
    return parts


def begin(parts: Parts, expected: str, generation: str, start: int = 0) -> str:
    starts = {PLACE: start} if start else {}
    return str(
        parts.generations.begin_building(0, expected=expected, generation=generation, topics=TOPICS, starts=starts)
    )


def switch(parts: Parts, expected: str = "g1", generation: str = "g2", lost: Any = None) -> Any:
    return parts.generations.switch(0, expected=expected, generation=generation, lost=lost or {})


async def count(parts: Parts) -> int:
    answer = (
        await parts.reader.read("demo", [ReadFields("activity", BucketKind.MINUTE, (MINUTE,), ("count",))])
    ).answers[0]
    assert isinstance(answer, list)
    assert isinstance(answer[0], dict)
    return answer[0].get("count", 0)


async def test_what_is_built_is_not_read_until_the_switch(building: Parts) -> None:
    building.store.apply(0, "g1", advance(0, 5, cells={CELLS: {"count": 5}}))
    assert building.generations.build(0, "g2", advance(0, 5, cells={CELLS: {"count": 7}})) == Applied()
    assert await count(building) == 5
    assert switch(building) == Switched()
    assert await count(building) == 7
    state = building.store.read_state(0)
    assert state is not None
    assert (state.generation, state.ledger, state.topics) == ("g2", {PLACE: make_row(5)}, TOPICS)
    assert state.projects["demo"].zone == "Europe/Berlin"
    assert building.generations.read_building(0) is None


async def test_what_is_built_has_a_manifest_and_a_ledger_of_its_own(parts: Parts) -> None:
    assert parts.generations.read_building(0) is None
    begin(parts, "", "g2", start=3)
    parts.store.apply(0, "g1", advance(0, 5))
    parts.generations.build(0, "g2", advance(0, 4))
    state = parts.generations.read_building(0)
    assert state is not None
    assert (state.generation, state.ledger, state.starts, state.torn) == ("g2", {PLACE: make_row(4)}, {PLACE: 3}, False)
    assert state.projects["demo"].zone == "Europe/Berlin"


async def test_the_one_that_is_read_cannot_be_built_nor_the_other_way_round(building: Parts) -> None:
    delta = advance(0, 5, cells={CELLS: {"count": 5}})
    assert building.generations.build(0, "g1", delta) == Moved("g2", {PLACE: ""})
    assert building.store.apply(0, "g2", delta) == Moved("g1", {PLACE: ""})
    assert await count(building) == 0
    assert switch(building) == Switched()
    assert await count(building) == 0


async def test_a_repeated_batch_is_refused_there_too(building: Parts) -> None:
    delta = advance(0, 5, cells={CELLS: {"count": 5}})
    building.generations.build(0, "g2", delta)
    assert building.generations.build(0, "g2", delta) == Moved("g2", {PLACE: make_row(5)})
    switch(building)
    assert await count(building) == 5


async def test_a_worker_of_the_old_generation_is_refused_after_the_switch(building: Parts) -> None:
    building.store.apply(0, "g1", advance(0, 5))
    building.generations.build(0, "g2", advance(0, 6))
    switch(building)
    assert building.store.apply(0, "g1", advance(5, 6)) == Moved("g2", {PLACE: make_row(6)})
    assert building.generations.build(0, "g2", advance(6, 7)) == Moved("", {PLACE: ""})
    assert building.store.apply(0, "g2", advance(6, 7)) == Applied()


async def test_a_generation_that_is_behind_is_not_read(building: Parts) -> None:
    other = PartitionId("topic-web", 1)
    building.store.apply(0, "g1", advance(0, 5))
    building.generations.build(0, "g2", Delta([Advance(PLACE, "", make_row(4)), Advance(other, "", make_row(9))]))
    assert switch(building) == Behind([PLACE])
    state = building.store.read_state(0)
    assert state is not None
    assert state.generation == "g1"
    building.generations.build(0, "g2", advance(4, 5))
    assert switch(building) == Switched()


async def test_an_absent_row_is_at_its_start(parts: Parts) -> None:
    begin(parts, "", "g2", start=4)
    parts.store.apply(0, "g1", advance(0, 5))
    assert switch(parts) == Behind([PLACE])
    begin(parts, "g2", "g3", start=5)
    assert switch(parts, generation="g3") == Switched()


async def test_rows_of_a_topic_that_is_no_more_hold_nothing_up(building: Parts) -> None:
    building.store.apply(0, "g1", Delta([Advance(PartitionId("topic-before", 0), "", make_row(50))]))
    assert switch(building) == Switched()


async def test_a_row_that_the_log_has_lost_holds_nothing_up_as_long_as_it_stays(building: Parts) -> None:
    building.store.apply(0, "g1", advance(0, 5))
    assert switch(building, lost={PLACE: make_row(4)}) == Behind([PLACE])
    assert switch(building, lost={PLACE: make_row(5)}) == Switched()


async def test_only_what_is_expected_is_replaced(building: Parts) -> None:
    assert switch(building, expected="g0") == Replaced("g1", "g2")
    assert switch(building, generation="g9") == Replaced("g1", "g2")
    assert begin(building, "g9", "g3") == "g2"
    assert begin(building, "g2", "g3") == "g3"
    assert switch(building) == Replaced("g1", "g3")
    assert building.generations.build(0, "g2", advance(0, 1)) == Moved("g3", {PLACE: ""})


async def test_a_generation_that_is_dropped_is_built_no_more(building: Parts) -> None:
    assert begin(building, "g2", "") == ""
    assert building.generations.read_building(0) is None
    assert building.generations.build(0, "g2", advance(0, 1)) == Moved("", {PLACE: ""})
    assert switch(building) == Replaced("g1", "")
    assert set(building.generations.read_retired(0)) == {"g2"}


async def test_what_was_read_before_is_kept_as_retired(building: Parts) -> None:
    switch(building)
    assert set(building.generations.read_retired(0)) == {"g1"}


async def test_blocks_are_those_of_the_generation(building: Parts) -> None:
    building.store.apply(0, "g1", advance(0, 1, blocks=[make_block(b"", b"A" * 8, b"1" * 8)]))
    building.generations.build(0, "g2", advance(0, 1, blocks=[make_block(b"", b"B" * 8, b"2" * 8)]))
    assert building.generations.read_blocks(0, "g2", [BLOCK])[0][:8] == b"B" * 8
    assert building.store.read_blocks(0, "g1", [BLOCK])[0][:8] == b"A" * 8


async def test_the_stops_of_the_old_one_end_with_the_switch(building: Parts) -> None:
    building.store.set_stop(0, "shard 0", "torn")
    switch(building)
    assert (await building.reader.read("demo", [])).stops == {}


async def test_a_person_is_erased_once_where_the_log_says_so(building: Parts) -> None:
    sightings = {"demo": {b"a" * 8: SEEN_MS, b"b" * 8: SEEN_MS}}
    building.generations.build(0, "g2", advance(0, 1, online=sightings))
    erasure = ErasedKeys("demo", (b"a" * 8,), CONTROL, 1, TOMBSTONE)
    assert building.generations.erase(0, "g2", erasure)
    building.generations.build(0, "g2", advance(1, 2, online=sightings))
    assert building.generations.erase(0, "g2", erasure)
    assert not building.generations.erase(0, "g9", erasure)
    assert building.generations.erase(0, "g2", ErasedKeys("demo", (b"b" * 8,), CONTROL, 2, TOMBSTONE))
    switch(building)
    assert (await building.reader.read("demo", [ReadOnline(NOW_MS - 1)])).answers == (1,)


PERSON, OTHER_ID, SOMEBODY = b"a" * 8, b"o" * 8, b"s" * 8


def make_seen_person(first: int) -> Delta:
    """A person with a value, online under another id, and somebody else."""
    write = PersonWrite("demo", PERSON, b"", b"T" * 8, b"also " + OTHER_ID)
    online = {"demo": {PERSON: SEEN_MS, OTHER_ID: SEEN_MS, SOMEBODY: SEEN_MS}}
    return advance(first, first + 1, persons=[write], online=online)


def read_value(parts: Parts, generation: str) -> bytes:
    return parts.store.read_persons(0, generation, [("demo", PERSON)])[0]


async def test_who_is_erased_leaves_a_tombstone_in_every_generation(building: Parts) -> None:
    building.store.apply(0, "g1", make_seen_person(0))
    assert building.generations.build(0, "g2", make_seen_person(0)) == Applied()
    assert switch(building) == Switched()
    assert begin(building, "", "g3") == "g3"
    building.generations.build(0, "g3", make_seen_person(0))
    building.forget("demo", [PERSON], TOMBSTONE)
    tokens = {read_value(building, generation)[:8] for generation in ("g1", "g2")}
    assert tokens.isdisjoint({b"T" * 8, b""})
    assert [read_value(building, generation)[8:] for generation in ("g1", "g2")] == [b"erased"] * 2
    assert (await building.reader.read("demo", [ReadOnline(0)])).answers == (1,)
    # What is built counts the time before the erasure yet.
    assert read_value(building, "g3") == b"T" * 8 + b"also " + OTHER_ID
    assert switch(building, "g2", "g3") == Switched()
    assert read_value(building, "g3")[8:] == b"erased"
    assert read_value(building, "g3")[:8] != b"T" * 8
    assert (await building.reader.read("demo", [ReadOnline(0)])).answers == (1,)


async def test_a_worker_that_knew_the_person_is_refused(parts: Parts) -> None:
    parts.store.apply(0, "g1", make_seen_person(0))
    parts.forget("demo", [PERSON, SOMEBODY], TOMBSTONE)
    known_person = PersonWrite("demo", PERSON, b"T" * 8, b"U" * 8, b"more")
    absent = PersonWrite("demo", SOMEBODY, b"", b"U" * 8, b"new")
    outcome = parts.store.apply(0, "g1", advance(1, 2, persons=[known_person, absent]))
    assert outcome == Conflicted([], [("demo", PERSON), ("demo", SOMEBODY)], [], False)


async def test_of_many_persons_of_several_projects_exactly_the_changed_ones_are_named(parts: Parts) -> None:
    """So many that the server compares them in parts. Some have no value."""
    keys = [(f"p-{n // 1_500}", n.to_bytes(8, "big")) for n in range(2_600)]
    first = [PersonWrite(*key, b"", b"T" * 8, b"value" if n % 3 else b"") for n, key in enumerate(keys)]
    assert parts.store.apply(0, "g1", advance(0, 1, persons=first)) == Applied()
    stored = [b"T" * 8 + b"value" if n % 3 else b"" for n in range(len(keys))]
    assert parts.store.read_persons(0, "g1", keys) == stored

    changed = {0, 1, 999, 1_000, 1_499, 1_500, 2_599}  # 0, 999 and 1,500 are taken for present, and are not
    tokens = [b"" if n % 3 == 0 else b"T" * 8 for n in range(len(keys))]
    wrong = [(b"" if token else b"T" * 8) if n in changed else token for n, token in enumerate(tokens)]
    second = [PersonWrite(*key, token, b"U" * 8, b"more") for key, token in zip(keys, wrong, strict=True)]
    assert parts.store.apply(0, "g1", advance(1, 2, persons=second)) == Conflicted(
        [], [keys[n] for n in sorted(changed)], [], False
    )
    assert parts.store.read_persons(0, "g1", keys) == stored


async def test_an_erasure_in_the_log_leaves_a_tombstone_in_what_is_built(building: Parts) -> None:
    building.generations.build(0, "g2", make_seen_person(0))
    assert building.generations.erase(0, "g2", ErasedKeys("demo", (PERSON,), CONTROL, 1, TOMBSTONE))
    assert read_value(building, "g2")[8:] == b"erased"
    assert switch(building) == Switched()
    assert (await building.reader.read("demo", [ReadOnline(0)])).answers == (1,)


async def test_who_is_erased_twice_is_counted_once(parts: Parts) -> None:
    parts.store.apply(0, "g1", make_seen_person(0))
    removed = [parts.forget("demo", [PERSON, SOMEBODY], TOMBSTONE) for _ in range(2)]
    if parts.kind == "redis":
        assert removed == [{"online": 3, "values": 1}, {"online": 0, "values": 0}]


async def test_listeners_hear_of_the_switch_and_of_nothing_that_is_built(building: Parts) -> None:
    notifications = building.reader.follow_notifications()
    assert (await anext(notifications)).projects is None
    building.generations.build(0, "g2", advance(0, 1, cells={CELLS: {"count": 1}}))
    switch(building)
    assert (await anext(notifications)).projects is None
    building.store.apply(0, "g2", advance(1, 2, cells={CELLS: {"count": 1}}))
    assert (await anext(notifications)).projects == frozenset({"demo"})
