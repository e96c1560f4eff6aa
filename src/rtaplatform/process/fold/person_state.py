"""Values of single persons: read, changed by a batch, written back.   Stage 3 of 6: stream → [process] → store.

A person acts in several partitions, so several workers change the person's value. Therefore a value is a function of
the set of the person's events, never of their order. A worker may cache values: `apply` compares the token of every
value that a batch has read, so a stale copy can never decide. What a batch changes is kept apart until the store has
accepted it.

A `PersonFold` defines which values there are, and what follows from them. Without one, nothing is read.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.store.port import CellsKey, Delta, PersonWrite

TOKEN_BYTES = 8
PersonKey = tuple[str, bytes]  # project, person
FetchPersons = Callable[[Sequence[PersonKey]], list[bytes]]


class PersonFold(Protocol):
    """How events change the values of persons. Pure."""

    def persons_of(self, record: DecodedRecord) -> Iterable[PersonKey]:
        """The persons whose values `add` will read."""
        ...

    def add(self, record: DecodedRecord, project: ProjectSettings, persons: PersonStates) -> None:
        """Take an event that counts. Never called for duplicates, late events or dead letters."""
        ...


class PersonCache:
    """The values of one shard that a worker has read, least recently used first; at most `persons_max`."""

    def __init__(self, persons_max: int) -> None:
        self._persons_max = persons_max
        self._stored: OrderedDict[PersonKey, bytes] = OrderedDict()  # token and value; empty if there is none

    def __len__(self) -> int:
        return len(self._stored)

    def missing(self, keys: Iterable[PersonKey]) -> list[PersonKey]:
        return [key for key in dict.fromkeys(keys) if key not in self._stored]

    def load(self, keys: Iterable[PersonKey], fetch: FetchPersons) -> None:
        """Fetch those of these values that are missing, in one call."""
        missing = self.missing(keys)
        if missing:
            self._stored.update(zip(missing, fetch(missing), strict=True))

    def __getitem__(self, key: PersonKey) -> bytes:
        self._stored.move_to_end(key)
        return self._stored[key]

    def drop(self, keys: Iterable[PersonKey]) -> None:
        for key in keys:
            self._stored.pop(key, None)

    def clear(self) -> None:
        self._stored.clear()

    def accept(self, writes: Iterable[PersonWrite]) -> None:
        """Update the copies as the store does when it applies these writes."""
        for write in writes:
            self._stored[(write.project, write.person)] = write.token + write.value if write.value else b""

    def trim(self) -> None:
        """Drop the least recently used values, down to the limit. Call it between batches only."""
        while len(self._stored) > self._persons_max:
            self._stored.popitem(last=False)


class PersonStates:
    """The values that one batch reads and changes, and the increments that follow from the changes."""

    def __init__(self, cache: PersonCache) -> None:
        self._cache = cache
        self._read: dict[PersonKey, bytes] = {}  # as stored when the batch first read it
        self._values: dict[PersonKey, bytes] = {}
        self._cells: dict[CellsKey, dict[str, int]] = {}

    def __getitem__(self, key: PersonKey) -> bytes:
        """The person's value, empty if there is none."""
        value = self._values.get(key)
        if value is None:
            stored = self._read[key] = self._cache[key]
            value = self._values[key] = stored[TOKEN_BYTES:]
        return value

    def __setitem__(self, key: PersonKey, value: bytes) -> None:
        """Set the person's value; the empty value deletes it."""
        if key not in self._read:
            self._read[key] = self._cache[key]
        self._values[key] = value

    def count(self, key: CellsKey, field: str, n: int) -> None:
        fields = self._cells.setdefault(key, {})
        fields[field] = fields.get(field, 0) + n

    def add_to(self, delta: Delta) -> None:
        delta.persons = [self._make_write(key, value) for key, value in self._values.items()]
        for key, fields in self._cells.items():
            cells = delta.cells.setdefault(key, {})
            for field, n in fields.items():
                cells[field] = cells.get(field, 0) + n

    def _make_write(self, key: PersonKey, value: bytes) -> PersonWrite:
        """An unchanged value is compared too, and keeps its token, so that other workers' copies stay valid."""
        stored = self._read[key]
        expected, is_same = stored[:TOKEN_BYTES], value == stored[TOKEN_BYTES:]
        token = expected if is_same and expected else secrets.token_bytes(TOKEN_BYTES)
        return PersonWrite(*key, expected, token, value)
