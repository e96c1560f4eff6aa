"""Duplicates: an id counts once in its block, for 24 hours of stream time. Loose ids: test_loose_ids.py."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.time.buckets import HOUR_MS
from rtaplatform.process.fold.dedup import (
    BLOCK_WEIGHT,
    WINDOW_MS,
    BlockCache,
    Lookup,
    RepeatFilter,
    plan_lookup,
    read_block,
    without_expired,
)
from rtaplatform.store.port import BlockWrite

T = 1_795_000_000_000
NAME = "demo:rta.events.web:3:29916666"


def make_lookup(name: str) -> Lookup:
    return Lookup(name, "", is_near=True)


class Shard:
    """Stored blocks, and one worker's cache of them."""

    def __init__(self, ids_max: int = 1_000) -> None:
        self.stored: dict[str, bytes] = {}
        self.cache = BlockCache(ids_max)
        self.fetched: list[str] = []

    def fetch(self, names: Sequence[str]) -> list[bytes]:
        self.fetched += names
        return [self.stored.get(name, b"") for name in names]

    def ask_batch(self, *records: tuple[int, int], name: str = NAME) -> list[bool]:
        """Ask about (id, stream time) in turn, and let the store take what comes of it."""
        self.cache.load([name], self.fetch)
        repeat_filter = RepeatFilter(self.cache)
        repeats = [
            repeat_filter.is_repeat(make_lookup(name), identity, stream_time_ms) for identity, stream_time_ms in records
        ]
        self.take(repeat_filter.make_writes())
        return repeats

    def take(self, writes: list[BlockWrite]) -> None:
        for write in writes:
            before = self.stored.get(write.name, b"")
            assert before[:8] == write.expected
            if write.ids:
                ids_before = b"" if write.replace else before[16:]
                self.stored[write.name] = write.token + write.last_write_ms.to_bytes(8, "big") + ids_before + write.ids
        self.cache.accept(writes)

    def read_ids(self, name: str = NAME) -> list[int]:
        ids = array("Q")
        ids.frombytes(self.stored[name][16:])
        return sorted(ids)


def test_an_id_counts_once_within_a_batch_and_across_batches() -> None:
    shard = Shard()
    assert shard.ask_batch((1, T), (2, T), (1, T + 5)) == [False, False, True]
    assert shard.ask_batch((2, T + 10), (3, T + 10)) == [True, False]
    assert shard.read_ids() == [1, 2, 3]


def test_a_block_counts_as_empty_exactly_24_hours_after_its_last_write() -> None:
    shard = Shard()
    assert shard.ask_batch((1, T)) == [False]
    assert shard.ask_batch((1, T + WINDOW_MS - 1)) == [True]
    assert shard.ask_batch((1, T + WINDOW_MS)) == [False]
    assert shard.read_ids() == [1]  # replaced


def test_only_a_new_id_prolongs_its_block() -> None:
    repeated, prolonged = Shard(), Shard()
    for shard, identity in ((repeated, 1), (prolonged, 2)):
        shard.ask_batch((1, T))
        shard.ask_batch((identity, T + WINDOW_MS - 1))
    assert repeated.ask_batch((1, T + WINDOW_MS)) == [False]
    assert prolonged.ask_batch((1, T + WINDOW_MS)) == [True]


def test_the_window_holds_within_one_batch_too() -> None:
    shard = Shard()
    later = T + WINDOW_MS
    assert shard.ask_batch((1, T), (1, later - 1), (2, later), (1, later), (1, later), (2, later)) == [
        False, True, False, False, True, True,
    ]  # fmt: skip
    assert shard.read_ids() == [1, 2]


def test_a_block_that_expires_within_a_batch_is_replaced() -> None:
    shard = Shard()
    shard.ask_batch((1, T), (2, T))
    assert shard.ask_batch((3, T + 1), (4, T + 1 + WINDOW_MS), (1, T + 1 + WINDOW_MS)) == [False, False, False]
    assert shard.read_ids() == [1, 4]


def test_events_with_a_time_are_in_the_block_of_its_minute() -> None:
    first = T // 60_000
    for at in (first * 60_000, first * 60_000 + 59_999):
        assert plan_lookup("demo", "t", 3, at, T) == make_lookup(f"demo:t:3:{first}")
    assert plan_lookup("demo", "t", 3, 0, 1) == make_lookup("demo:t:3:0")


def test_every_block_that_decided_is_compared_and_only_those_with_new_ids_are_written() -> None:
    shard = Shard()
    shard.ask_batch((1, T))
    shard.cache.load([NAME, "demo:t:3:5"], shard.fetch)
    repeat_filter = RepeatFilter(shard.cache)
    assert repeat_filter.is_repeat(make_lookup(NAME), 1, T + 1)
    assert not repeat_filter.is_repeat(make_lookup("demo:t:3:5"), 1, T + 1)
    first, second = sorted(repeat_filter.make_writes(), key=lambda write: write.name)
    assert (first.name, first.expected, first.ids) == (NAME, shard.stored[NAME][:8], b"")
    assert (second.name, second.expected, second.ids) == ("demo:t:3:5", b"", (1).to_bytes(8, "little"))


def test_each_attempt_has_tokens_of_its_own() -> None:
    tokens = set()
    for _ in range(20):
        shard = Shard()
        shard.ask_batch((1, T))
        tokens.add(shard.stored[NAME][:8])
    assert len(tokens) == 20


def test_a_refused_batch_leaves_nothing_behind() -> None:
    shard = Shard()
    shard.cache.load([NAME], shard.fetch)
    assert not RepeatFilter(shard.cache).is_repeat(make_lookup(NAME), 1, T)
    assert not RepeatFilter(shard.cache).is_repeat(make_lookup(NAME), 1, T)


def test_the_cache_drops_the_least_recently_used_block() -> None:
    shard = Shard(ids_max=4 + 2 * BLOCK_WEIGHT)
    for n in range(3):
        shard.ask_batch((2 * n, T), (2 * n + 1, T), name=f"demo:t:0:{n}")
    shard.cache.trim()
    assert (len(shard.cache), shard.cache.ids) == (2, 4)
    shard.fetched.clear()
    assert shard.ask_batch((0, T), name="demo:t:0:0") == [True]
    assert shard.fetched == ["demo:t:0:0"]
    assert shard.ask_batch((4, T), name="demo:t:0:2") == [True]
    assert shard.fetched == ["demo:t:0:0"]


def test_the_cache_counts_its_ids() -> None:
    shard = Shard()
    shard.ask_batch((1, T), (2, T))
    shard.ask_batch((3, T + WINDOW_MS))  # replaces both
    assert shard.cache.ids == 1
    shard.cache.drop([NAME, "never there"])
    assert (len(shard.cache), shard.cache.ids) == (0, 0)
    shard.ask_batch(*((n, T + WINDOW_MS) for n in range(100, 200)))
    assert shard.cache.ids == 101
    shard.cache.clear()
    assert shard.cache.ids == 0


def test_blocks_count_towards_the_limit_as_ids_do() -> None:
    shard = Shard(ids_max=1_000)
    for n in range(400):
        shard.ask_batch((n, T), name=f"demo:t:0:{n}")
        shard.cache.load([f"demo:t:1:{n}"], shard.fetch)  # there is none, and that is kept too
        shard.cache.trim()
        assert shard.cache.weight == shard.cache.ids + BLOCK_WEIGHT * len(shard.cache) <= 1_000
    assert len(shard.cache) >= 150


def test_an_absent_block_is_an_empty_one() -> None:
    assert read_block(b"") == read_block(b"")
    assert read_block(b"").ids == set()
    assert read_block(b"12345678" + (5).to_bytes(8, "big") + array("Q", [7, 9]).tobytes()).ids == {7, 9}


happenings = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([0, 1, HOUR_MS, WINDOW_MS // 2, WINDOW_MS - 1, WINDOW_MS])),
    max_size=20,
)


@given(happenings, st.sets(st.integers(0, 20)), st.integers(0, 3))
def test_neither_batch_sizes_nor_the_cache_change_what_is_a_repeat(
    apart: list[tuple[int, int]], cuts: set[int], ids_max: int
) -> None:
    records, now = [], T
    for identity, ms in apart:
        now += ms
        records.append((identity, now))
    whole, parts = Shard(), Shard(ids_max)
    expected = whole.ask_batch(*records)
    actual: list[bool] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(records)], strict=True):
        actual += parts.ask_batch(*records[begin:end]) if records[begin:end] else []
        parts.cache.trim()
        if ids_max == 0:
            parts.cache.clear()
    assert actual == expected


def test_ids_that_would_be_forgotten_at_once_are_compared_and_not_written() -> None:
    old = BlockWrite("demo:rta.events.web:3:7", b"", b"t" * 8, 1_000, b"i" * 8, False)
    young = BlockWrite("demo:rta.events.web:3:8", b"x" * 8, b"t" * 8, 1_001, b"i" * 8, False)
    other = BlockWrite("demo:rta.events.web:4:7", b"", b"t" * 8, 1_000, b"i" * 8, False)
    compared = BlockWrite("demo:rta.events.web:3:9", b"y" * 8, b"t" * 8, 0, b"", False)
    writes = without_expired([old, young, other, compared], {"rta.events.web:3": 1_000})
    assert writes[0] == BlockWrite(old.name, b"", b"t" * 8, 0, b"", False)
    assert writes[1:] == [young, other, compared]
