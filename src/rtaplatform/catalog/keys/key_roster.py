"""A list of all valid keys, as eight bytes of each hash. It tells guesses from keys not yet seen by this process.

Every address may make a limited number of guesses. A valid key from an address that has used them up must still pass,
also in a process that has just started: such a key is in the roster. The roster is read again on demand if it may be
out of date, at most every second. A key that it does not list yet is looked up as a guess.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import LargeBinary, func, literal, or_, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.tables import KEYS
from rtaplatform.core.errors import Unavailable

LISTED_BYTES = 8
LISTED_MAX = 2_000_000  # 16 MB; further keys are looked up as guesses
AGE_SECONDS_MAX = 10.0
CHANGED_AGE_SECONDS_MAX = 1.0  # after a notification of a change
REST_FACTOR = 20  # a large roster is read less often
READ_SECONDS_MAX = 10.0
GUESSES_AT_ONCE_MAX = 64
GUESSES_AT_ONCE_OF_ADDRESS_MAX = 8


class KeyRoster:
    """The hashes of all valid keys, read at most every second. Lives on one event loop."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        self._database, self._now = database, now
        self._hash_prefixes = b""
        self._read_at, self._read_seconds = -AGE_SECONDS_MAX - 1, 0.0
        self._is_changed = True
        self._task: asyncio.Task[None] | None = None

    def mark_changed(self) -> None:
        """Note that keys were created or changed."""
        self._is_changed = True

    async def lists(self, key_hash: bytes) -> bool:
        """Whether there is a key with this hash. Raises Unavailable."""
        if self._has(key_hash):
            return True
        if self._task is None and self._is_due():
            self._task = asyncio.create_task(self._read())
            self._task.add_done_callback(_drop_error)
        if self._task is not None:
            # Shielded: requests share this read, and one that is cancelled must not end it.
            await asyncio.shield(self._task)
        return self._has(key_hash)

    def _has(self, key_hash: bytes) -> bool:
        prefix, prefixes = key_hash[:LISTED_BYTES], self._hash_prefixes
        count = len(prefixes) // LISTED_BYTES
        index = bisect_left(range(count), prefix, key=lambda n: prefixes[n * LISTED_BYTES : (n + 1) * LISTED_BYTES])
        return prefixes[index * LISTED_BYTES : (index + 1) * LISTED_BYTES] == prefix

    def _is_due(self) -> bool:
        age_max = CHANGED_AGE_SECONDS_MAX if self._is_changed else AGE_SECONDS_MAX
        return self._now() - self._read_at > max(age_max, self._read_seconds * REST_FACTOR)

    async def _read(self) -> None:
        # Set before the read: a change during it causes another read.
        self._read_at, self._is_changed = self._now(), False
        try:
            self._hash_prefixes = await self._database.run(read_listed, seconds=READ_SECONDS_MAX)
            self._read_seconds = self._now() - self._read_at
        finally:
            self._task = None


def _drop_error(task: asyncio.Task[None]) -> None:
    """Waiting requests see the error themselves. If none waits any more, it is dropped."""
    if not task.cancelled():
        task.exception()


def read_listed(connection: Connection) -> bytes:
    """The first bytes of the hashes of all keys that are neither revoked nor expired, sorted."""
    valid = (
        select(func.substring(KEYS.c.sha256, 1, LISTED_BYTES, type_=LargeBinary).label("listed"))
        .where(KEYS.c.revoked_at.is_(None), or_(KEYS.c.expires_at.is_(None), KEYS.c.expires_at > func.now()))
        .order_by(KEYS.c.sha256)
        .limit(LISTED_MAX)
        .subquery()
    )
    prefixes = func.string_agg(valid.c.listed, aggregate_order_by(literal(b"", LargeBinary), valid.c.listed))
    return bytes(connection.scalar(select(prefixes)) or b"")


class GuessSlots:
    """Limits how many unlisted keys are looked up at once, in all and per address."""

    def __init__(self) -> None:
        self._slots_taken: Counter[str] = Counter()

    def has_room(self, address: str) -> bool:
        return (
            self._slots_taken.total() < GUESSES_AT_ONCE_MAX
            and self._slots_taken[address] < GUESSES_AT_ONCE_OF_ADDRESS_MAX
        )

    @contextmanager
    def hold(self, address: str) -> Iterator[None]:
        """Hold one slot. Check `has_room` first."""
        self._slots_taken[address] += 1
        try:
            yield
        finally:
            self._slots_taken[address] -= 1
            if not self._slots_taken[address]:
                del self._slots_taken[address]


class NoRoomForGuesses(Unavailable):
    """This address already has as many look-ups at once as it may."""

    def __init__(self) -> None:
        super().__init__("postgres", "Too many unknown keys are being looked up.")
