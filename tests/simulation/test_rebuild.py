"""Rebuilds in the simulated world. The worlds of test_worker.py have them too; here is what is theirs alone."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from rtaplatform.core.events import PersonNote
from rtaplatform.core.rollups import FALLING, PERSONS, SEATS_PREFIX, SEPARATOR, TRAIT_PREFIX
from rtaplatform.process.people.identity import Alias
from rtaplatform.process.people.person_value import decode_value
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.memory.memory_totals import MemoryTotals
from tests.simulation.planted_rebuilds import PLANTS, make_planted_world
from tests.simulation.world import World

DAY_MS = 86_400_000
SEEDS_MAX = 60
AT_REST = range(30)
LIVES_MAX = 1_000


@pytest.mark.tester
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_of_rebuilds_is_found(plant: type[Any]) -> None:
    assert any(make_planted_world(plant, number).run() for number in range(SEEDS_MAX)), plant.__doc__


@pytest.mark.parametrize("number", AT_REST)
def test_at_rest_a_rebuild_is_the_same_to_the_last_number(number: int) -> None:
    world = World(number)
    assert world.run() == []
    live = [make_digest(shard.totals, world.partitions_were_added) for shard in world.store.shards]
    assert world.rebuilds.finish(world.rebuilds.make_rebuild(fault_rate=0.0)) == []
    assert [make_digest(shard.totals, world.partitions_were_added) for shard in world.store.shards] == live


@pytest.mark.tester
def test_worlds_have_rebuilds_that_come_to_their_end_under_faults() -> None:
    """So that what the worlds show of them is none of nothing."""
    worlds = [World(number) for number in range(20)]
    assert [world.run() for world in worlds] == [[]] * len(worlds)
    assert sum(world.rebuilds.switches for world in worlds) > len(worlds) // 2


def test_a_rebuild_is_killed_again_and_again_and_gone_on_with() -> None:
    """One life after another, each of a few calls; what they have built together is what was there."""
    world = World(5, steps=60, fault_rate=0.0)
    assert world.run() == []
    assert isinstance(world.store, MemoryStore)
    live = [make_digest(shard.totals, world.partitions_were_added) for shard in world.store.shards]
    world.fault_rate = 0.06
    world.rebuilds.is_calm = True  # else there would be more to count than there was
    world.rebuilds.running.clear()
    switches_expected, lives = world.rebuilds.switches + 2 * world.shards, 0
    while world.rebuilds.switches < switches_expected and lives < LIVES_MAX:
        if not world.rebuilds.running:
            world.rebuilds.running = [world.rebuilds.make_rebuild()]
            lives += 1
        world.rebuilds.work()
    assert 10 < lives < LIVES_MAX
    assert [make_digest(shard.totals, world.partitions_were_added) for shard in world.store.shards] == live


def test_what_a_rebuild_has_begun_itself_is_not_gone_on_with() -> None:
    """Also where one shard has switched, and another one is behind and built on."""
    world = World(5, steps=0, fault_rate=0.0, shards=(2,))
    world.arrive()
    assert world.run() == []
    rebuild, calls = world.rebuilds.make_rebuild(), itertools.count()

    def count_more() -> None:
        if next(calls) == world.shards:  # each switch is tried twice: the first time it hears what is read
            world.arrive()
            assert world.settle() == []

    world.rebuilds.act_meanwhile = count_more  # type: ignore[method-assign]  # called before each try to switch
    assert world.rebuilds.finish(rebuild) == []
    assert next(calls) > 2 * world.shards
    assert rebuild.resumed == set()


def sum_over_traits(fields: Mapping[str, int]) -> Counter[str]:
    """The fields of a rollup by trait, and perhaps by event, without the trait."""
    sums: Counter[str] = Counter()
    for name, n in fields.items():
        measure, *values = name.split(SEPARATOR)
        if not name.startswith(SEATS_PREFIX):
            sums[SEPARATOR.join((measure, "any", *values[1:])) if values else measure] += n
    return sums


def make_digest(totals: MemoryTotals, without_quality: bool) -> dict[str, Any]:
    """All that a generation holds but tokens, and blocks that may go; sketches are exact sets here.

    Which of two equal records came first, across partitions that were added, is not for us to say: then the minute of
    a duplicate may differ, and the block that holds an id. Of an order that several partitions report any may be first,
    so the time of an order and the minute of a repeat may differ. What was added and taken back is as if it had never
    been, but that a session keeps the seats of all places that it has had. Which ids of linked people are in a sketch
    depends on what was read before the link. By which trait an event counts depends on what was read before it in other
    partitions, so the sums over all traits are compared; test_declared_traits.py compares each.
    """
    linked = find_linked_ids(totals)
    cells = {
        key: {
            field: n
            for field, n in fields.items()
            if n and field != "repeated_order" and not (key.rollup in FALLING and field.startswith(SEATS_PREFIX))
        }
        for key, whole in totals.cells.items()
        for fields in (sum_over_traits(whole) if key.rollup.startswith(TRAIT_PREFIX) else whole,)
        if key.rollup != PERSONS.name or not linked[key.project]
    }
    sketches = {
        key: members - linked[key.project]
        for key, members in totals.sketches.items()
        if not key.dimension.startswith(TRAIT_PREFIX)
    }
    counts = {name: n for name, n in totals.counts.items() if name.rpartition("|")[2] not in set(PersonNote)}
    newest = max((int(row.split("|")[-1]) for row in totals.ledger.values()), default=0)
    ids = {
        name: sorted(block[16 + at : 24 + at] for at in range(0, len(block) - 16, 8))
        for name, block in totals.blocks.items()
        if int.from_bytes(block[8:16], "big") > newest - DAY_MS
    }
    loose = {(name, id): at for name, times in totals.loose.items() for id, at in times.items() if at > newest - DAY_MS}
    return {
        "cells": {
            key: fields for key, fields in cells.items() if fields and not (without_quality and key[1] == "quality")
        },
        "sketches": {key: members for key, members in sketches.items() if members},
        "online": totals.online,
        "persons": {key: value[8:] for key, value in totals.persons.items()},
        "orders": {project: set(orders) for project, orders in totals.orders.items()},
        "dead": totals.dead,
        "ledger": totals.ledger,
        "counts": {} if without_quality else counts,
        "blocks": {} if without_quality else ids,
        "loose": {} if without_quality else loose,
    }


def find_linked_ids(totals: MemoryTotals) -> dict[str, set[bytes]]:
    """By project, the anonymous ids that have users, and these users."""
    linked: dict[str, set[bytes]] = defaultdict(set)
    for (project, person), stored in totals.persons.items():
        value = decode_value(stored[8:])
        if isinstance(value, Alias):
            linked[project] |= {person, value.heir, *(user for _, user in value.links)}
    return linked
