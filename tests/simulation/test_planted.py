"""The tester is tested: each planted bug is found within SEEDS_MAX seeds."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from rtaplatform.process.fold.person_state import TOKEN_BYTES
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Applied, Conflicted, Delta, Outcome, PersonWrite
from tests.simulation import capped, planted, planted_catch_up, planted_orders, planted_shared, poisoned
from tests.simulation.world import World

pytestmark = pytest.mark.tester
SEEDS_MAX = 60
PLANTS: tuple[type[Any], ...] = (
    *planted.PLANTS,
    *planted_shared.PLANTS,
    *planted_orders.PLANTS,
    *capped.PLANTS,
    *poisoned.PLANTS,
    *planted_catch_up.PLANTS,
)


def make_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    if plant in capped.PLANTS:
        return capped.make_planted_world(plant, seed)
    if plant in poisoned.PLANTS:
        return poisoned.make_planted_world(plant, seed)
    if plant in planted_catch_up.PLANTS:
        return planted_catch_up.make_planted_world(plant, seed)
    if plant in planted_orders.PLANTS:
        return planted_orders.make_planted_world(plant, seed)
    ours = plant in planted_shared.PLANTS
    return planted_shared.make_planted_world(plant, seed) if ours else planted.make_planted_world(plant, seed)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: type[Any]) -> None:
    assert any(make_world(plant, number).run() for number in range(SEEDS_MAX)), plant.__doc__


def test_nothing_is_found_where_nothing_is_planted() -> None:
    """In the world that is made for some of them: the others have a test of their own."""
    assert [planted_shared.CutWorld(number).run() for number in range(6)] == [[]] * 6


def make_random_token(_before: bytes) -> bytes:
    return secrets.token_bytes(TOKEN_BYTES)


def make_counted_token(before: bytes) -> bytes:
    return (int.from_bytes(before, "big") + 1).to_bytes(TOKEN_BYTES, "big")


def write_late(token: Callable[[bytes], bytes]) -> tuple[Outcome, bytes]:
    """One reads a value; the store goes back, and another writes to it; then the first one's write arrives."""
    store, person = MemoryStore(1), b"anna...."
    store.begin(0, expected="", generation="g", topics={}, starts={})

    def write(expected: bytes, value: bytes) -> Outcome:
        return store.apply(0, "g", Delta([], persons=[PersonWrite("demo", person, expected, token(expected), value)]))

    def read() -> bytes:
        return store.read_persons(0, "g", [("demo", person)])[0]

    write(b"", b"a")
    past = store.take_snapshot()
    write(read()[:TOKEN_BYTES], b"ab")
    value = read()
    store.restore(past)
    write(read()[:TOKEN_BYTES], b"ac")
    return write(value[:TOKEN_BYTES], value[TOKEN_BYTES:] + b"d"), read()[TOKEN_BYTES:]


def test_a_version_that_counts_up_matches_after_a_roll_back_and_a_random_one_does_not() -> None:
    """Planted by hand: at random it takes a roll-back, and as many other writes after it, under one late call."""
    assert write_late(make_counted_token) == (Applied(), b"abd"), "the c is lost, and the b counted that was taken back"
    assert write_late(make_random_token) == (Conflicted([], [("demo", b"anna....")], [], False), b"ac")


def test_there_are_enough_plants() -> None:
    assert len(PLANTS) >= 35
