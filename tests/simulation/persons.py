"""The values of persons: what a store holds against what the oracle says, in plain words."""

from __future__ import annotations

from collections.abc import Mapping

from rtaplatform.core.values.ids import hash_persons
from rtaplatform.process.fold.person_state import TOKEN_BYTES, PersonKey
from rtaplatform.process.people.person_value import Person, decode_value
from rtaplatform.simulate.oracle.oracle import Oracle
from rtaplatform.simulate.oracle.oracle_people import Id, OraclePeople
from rtaplatform.store.memory.memory_store import MemoryStore

Values = dict[PersonKey, tuple[int, int, int]]  # first seen, last seen, on how many days


class Witness(Oracle):
    """The oracle, which also says what value each person has."""

    def find_people(self) -> dict[str, OraclePeople]:
        return {slug: self.truth.count_people(slug) for slug in self.truth.visits}

    def find_values(self) -> Values:
        return {
            (slug, make_key(person)): (visits[0].time, visits[-1].time, len(people.find_days(person)))
            for slug, people in self.find_people().items()
            for person, visits in people.persons.items()
        }


def make_key(person: Id) -> bytes:
    space, text = person
    return hash_persons(text if space == "u" else None, () if space == "u" else (text,))[0]


def select_values(stored: Mapping[PersonKey, bytes]) -> Values:
    """The persons among these values, as stored: an anonymous id that has a user is none."""
    values = ((key, decode_value(value[TOKEN_BYTES:])) for key, value in stored.items())
    return {key: (v.first_ms, v.newest_ms, v.mask.bit_count()) for key, v in values if isinstance(v, Person)}


def read_values(store: MemoryStore) -> Values:
    return {key: value for shard in store.shards for key, value in select_values(shard.totals.persons).items()}


def find_differing(actual: Values, expected: Values) -> list[str]:
    """Each person whose value is another one, as a line. A value keeps 64 days, so nobody may be seen over more."""
    return [
        f"person {key}: {actual.get(key)} instead of {expected.get(key)}"
        for key in sorted(actual.keys() | expected.keys())
        if actual.get(key) != expected.get(key)
    ]
