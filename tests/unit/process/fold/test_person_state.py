"""Values of persons are read once, always compared, and cached only as the store has them."""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.process.fold.person_state import PersonCache, PersonKey, PersonStates
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Applied, CellsKey, Conflicted, Delta

ANNA, BERT = ("demo", b"anna...."), ("demo", b"bert....")
CELL = CellsKey("demo", "people", BucketKind.DAY, 0)


class Desk:
    """One worker's copies of a store's persons."""

    def __init__(self, store: MemoryStore, persons_max: int = 10) -> None:
        self.store, self.cache = store, PersonCache(persons_max)
        self.fetched: list[PersonKey] = []

    def fetch(self, keys: Sequence[PersonKey]) -> list[bytes]:
        self.fetched += keys
        return self.store.read_persons(0, "g1", keys)

    def append(self, key: PersonKey, letters: bytes) -> Applied | Conflicted:
        """Add letters to a value; nothing is changed where they are empty."""
        self.cache.load([key], self.fetch)
        people, delta = PersonStates(self.cache), Delta([])
        people[key] = people[key] + letters
        people.count(CELL, {"letters": len(letters)})
        people.add_to(delta)
        outcome = self.store.apply(0, "g1", delta)
        assert isinstance(outcome, Applied | Conflicted)
        if isinstance(outcome, Applied):
            self.cache.accept(delta.persons)
        return outcome

    def forget(self, key: PersonKey) -> None:
        self.cache.load([key], self.fetch)
        people, delta = PersonStates(self.cache), Delta([])
        assert people[key]
        people[key] = b""
        people.add_to(delta)
        self.store.apply(0, "g1", delta)
        self.cache.accept(delta.persons)


def store() -> MemoryStore:
    new_store = MemoryStore(1)
    new_store.begin(0, expected="", generation="g1", topics={}, starts={})
    return new_store


def read_value(at: MemoryStore, key: PersonKey) -> bytes:
    return at.read_persons(0, "g1", [key])[0][8:]


def test_a_value_is_read_once_and_then_kept_as_the_store_has_it() -> None:
    at = store()
    desk = Desk(at)
    for letter in (b"a", b"b", b"c"):
        assert desk.append(ANNA, letter) == Applied()
    assert read_value(at, ANNA) == b"abc"
    assert desk.fetched == [ANNA]
    assert at.shards[0].totals.cells == {CELL: {"letters": 3}}


def test_a_copy_that_another_worker_has_outdated_is_refused_and_read_again() -> None:
    at = store()
    first, two = Desk(at), Desk(at)
    first.append(ANNA, b"a")
    two.append(ANNA, b"b")
    refused = first.append(ANNA, b"c")
    assert refused == Conflicted([], [ANNA], [], False)
    first.cache.drop(refused.persons)
    assert first.append(ANNA, b"c") == Applied()
    assert read_value(at, ANNA) == b"abc"


def test_a_person_without_a_value_is_compared_too() -> None:
    at = store()
    first, two = Desk(at), Desk(at)
    first.cache.load([ANNA], first.fetch)
    two.append(ANNA, b"b")
    assert isinstance(first.append(ANNA, b"a"), Conflicted)


def test_a_value_that_was_only_read_is_compared_and_keeps_its_token() -> None:
    at = store()
    first, two = Desk(at), Desk(at)
    first.append(ANNA, b"a")
    before = at.read_persons(0, "g1", [ANNA])
    assert first.append(ANNA, b"") == Applied()
    assert at.read_persons(0, "g1", [ANNA]) == before
    two.append(ANNA, b"b")
    assert isinstance(first.append(ANNA, b""), Conflicted)


def test_the_same_value_written_anew_has_another_token() -> None:
    at = store()
    past = at.take_snapshot()
    Desk(at).append(ANNA, b"a")
    first = at.read_persons(0, "g1", [ANNA])
    at.restore(past)
    Desk(at).append(ANNA, b"a")
    second = at.read_persons(0, "g1", [ANNA])
    assert (first[0][8:], second[0][8:]) == (b"a", b"a")
    assert first[0][:8] != second[0][:8]


def test_a_value_can_be_deleted_and_written_again() -> None:
    at = store()
    desk = Desk(at)
    desk.append(ANNA, b"a")
    desk.forget(ANNA)
    assert at.shards[0].totals.persons == {}
    assert desk.append(ANNA, b"b") == Applied()
    assert read_value(at, ANNA) == b"b"


def test_the_least_recently_used_values_are_dropped_first() -> None:
    desk = Desk(store(), persons_max=1)
    desk.append(ANNA, b"a")
    desk.append(BERT, b"b")
    desk.cache.trim()
    assert len(desk.cache) == 1
    desk.append(BERT, b"b")
    assert desk.fetched == [ANNA, BERT]
    desk.append(ANNA, b"a")
    assert desk.fetched == [ANNA, BERT, ANNA]
