"""Values of single persons: read, changed by a batch, written back.   Stage 3 of 6: stream → [process] → store.

A person acts in several partitions, so several workers change the person's value. Therefore a value is a function of
the set of the person's events, never of their order. A worker may cache values: `apply` compares the token of every
value that a batch has read, so a stale copy can never decide. What a batch changes is kept apart until the store has
accepted it.

A `PersonFold` defines which values there are, and what follows from them. Without one, nothing is read.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, islice
from operator import itemgetter
from typing import Protocol

from msgspec import Struct

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import MINUTE_MS, compute_expiry_s
from rtaplatform.process.decode.commerce import EventCommerce
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.tally import merge_fields
from rtaplatform.store.port import CellsKey, Delta, PersonWrite

TOKEN_BYTES = 8
PersonKey = tuple[str, bytes]  # project, person
FetchPersons = Callable[[Sequence[PersonKey]], list[bytes]]


PointedAt = Callable[[PersonKey, bytes], Iterable[PersonKey]]


class PersonNames(Struct):
    """The ids under which persons are counted at the end of a batch, by project.

    `canonical`: of an id that an event names, the id that is counted instead. `by_time`: of an id that has had several
    users, the canonical ids before its first link, and from the time of each link on. `online`: the newest event of
    each changed person, by canonical id. `left_online`: ids that are canonical no more. `traits`: by which declared
    traits an event counts, by the identity of the event.
    """

    canonical: dict[str, dict[bytes, bytes]] = {}
    by_time: dict[str, dict[bytes, tuple[bytes, list[tuple[int, bytes]]]]] = {}
    online: dict[str, dict[bytes, int]] = {}
    left_online: dict[str, set[bytes]] = {}
    traits: dict[int, DeclaredValues] = {}


def find_ids_in_minute(names: PersonNames, project: str, minute: int) -> dict[bytes, bytes]:
    """The id that is counted instead of another one; of an id with several users, as at the end of that minute."""
    by_time, ids = names.by_time.get(project), names.canonical.get(project, {})
    if not by_time:
        return ids
    until_ms = (minute + 1) * MINUTE_MS - 1
    at_time = {
        person: links[at - 1][1] if (at := bisect_right(links, until_ms, key=itemgetter(0))) else before
        for person, (before, links) in by_time.items()
    }
    return ids | at_time


class PersonBatch(Protocol):
    """The persons of one batch in one shard."""

    def add(self, records: Sequence[DecodedRecord]) -> None:
        """Take events that count. Duplicates, late events and dead letters are never among them."""
        ...

    def settle(self, orders: Sequence[tuple[DecodedEvent, EventCommerce]] = ()) -> PersonNames:
        """Change the values, once all events are there. Called again, it begins again with the values as read.

        `orders`: those of the events that count as orders.
        """
        ...

    @property
    def notes(self) -> Mapping[tuple[str, str], int]:
        """What the batch counts for operators: how often, by project and name."""
        ...


class PersonFold(Protocol):
    """How events change the values of persons. Pure."""

    def list_persons(self, records: Sequence[DecodedRecord]) -> Iterable[PersonKey]:
        """The persons whose values a batch of these records reads, as far as the records name them."""
        ...

    def list_named_persons(self, key: PersonKey, value: bytes) -> Iterable[PersonKey]:
        """The persons whose values are read as well, because this value names them. Their values name nobody."""
        ...

    def begin(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> PersonBatch: ...


def point_at_nobody(_key: PersonKey, _value: bytes) -> Iterable[PersonKey]:
    """The `list_named_persons` of values that name nobody."""
    return ()


class PersonCache:
    """The values of one shard that a worker has read; at most `persons_max`. Those of the oldest batch are first.

    A batch writes or compares each value that it reads, so `accept` says which are in use.
    """

    def __init__(self, persons_max: int) -> None:
        self._persons_max = persons_max
        self._values: dict[PersonKey, bytes] = {}  # token and value; empty if there is none

    def __len__(self) -> int:
        return len(self._values)

    def list_missing(self, keys: Iterable[PersonKey], pointed_at: PointedAt = point_at_nobody) -> list[PersonKey]:
        """Those of these keys that are not cached, and those that cached values of them point at."""
        values, missing_keys = self._values, dict[PersonKey, None]()
        for key in keys:
            value = values.get(key)
            if value is None:
                missing_keys[key] = None
            elif value:
                for other in pointed_at(key, value[TOKEN_BYTES:]):
                    if other not in values:
                        missing_keys[other] = None
        return list(missing_keys)

    def load(self, keys: Iterable[PersonKey], fetch: FetchPersons, pointed_at: PointedAt = point_at_nobody) -> None:
        """Fetch those of these values that are missing, and those that they point at: in one call, or in two."""
        missing_keys = list(dict.fromkeys(key for key in keys if key not in self._values))
        if missing_keys:
            self._values.update(zip(missing_keys, fetch(missing_keys), strict=True))
            self.load(self.list_missing(missing_keys, pointed_at), fetch)

    def __getitem__(self, key: PersonKey) -> bytes:
        return self._values[key]

    def drop(self, keys: Iterable[PersonKey]) -> None:
        for key in keys:
            self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()

    def restore(self, values: Mapping[PersonKey, bytes]) -> None:
        """The copies as they were before a batch that was refused."""
        self._values.update(values)

    def accept(self, writes: Iterable[PersonWrite]) -> None:
        """Update the copies as the store does when it applies these writes."""
        values = self._values
        for write in writes:
            key = (write.project, write.person)
            values.pop(key, None)  # so that it comes last
            values[key] = write.token + write.value if write.value else b""

    def trim(self) -> None:
        """Drop the values that were not used for longest, down to the limit. Call it between batches only."""
        for key in list(islice(self._values, max(0, len(self._values) - self._persons_max))):
            del self._values[key]


class PersonStates:
    """The values that one batch reads and changes, and the increments that follow from the changes."""

    def __init__(self, cache: PersonCache) -> None:
        self._cache = cache
        self._read: dict[PersonKey, bytes] = {}  # as stored when the batch first read it
        self._new_values: dict[PersonKey, bytes] = {}
        self._cells: dict[CellsKey, dict[str, int]] = {}

    def __getitem__(self, key: PersonKey) -> bytes:
        """The person's value, empty if there is none."""
        value = self._new_values.get(key)
        if value is not None:
            return value
        stored_value = self._read.get(key)
        if stored_value is None:
            stored_value = self._read[key] = self._cache[key]
        return stored_value[TOKEN_BYTES:]

    def __setitem__(self, key: PersonKey, value: bytes) -> None:
        """Set the person's value; the empty value deletes it."""
        if key not in self._read:
            self._read[key] = self._cache[key]
        self._new_values[key] = value

    def write(self, values: Mapping[PersonKey, bytes]) -> None:
        """Set the values of persons, all of which were read."""
        self._new_values.update(values)

    def count(self, key: CellsKey, fields: Mapping[str, int]) -> None:
        merge_fields(self._cells, key, fields)

    def take_back(self) -> None:
        """The batch was refused: the copies are as they were before it, and nothing is read or changed yet."""
        self._cache.restore(self._read)
        self._read, self._new_values, self._cells = {}, {}, {}

    def add_to(self, delta: Delta, server_s: int = 0) -> None:
        """Add writes and increments. `server_s`: a time that the store's clock has passed; buckets expire by it."""
        tokens = os.urandom(TOKEN_BYTES * len(self._read))
        delta.persons = [
            self._make_write(key, stored_value, tokens[at : at + TOKEN_BYTES])
            for at, (key, stored_value) in zip(count(step=TOKEN_BYTES), self._read.items(), strict=False)
        ]
        for key, fields in self._cells.items():
            if not server_s or compute_expiry_s(key.kind, key.start) > server_s:
                merge_fields(delta.cells, key, fields)

    def _make_write(self, key: PersonKey, stored_value: bytes, new_token: bytes) -> PersonWrite:
        """An unchanged value is compared too, and keeps its token, so that other workers' copies stay valid."""
        project, person = key
        token, value = stored_value[:TOKEN_BYTES], stored_value[TOKEN_BYTES:]
        new_value = self._new_values.get(key, value)
        if new_value == value and token:
            return PersonWrite(project, person, token, token, value)
        return PersonWrite(project, person, token, new_token, new_value)
