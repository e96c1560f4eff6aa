"""What keys open: a cache in front of PostgreSQL that keeps known keys working while PostgreSQL is away.

An entry is fresh for 30 s. From 30 to 40 s it is served while it is renewed in the background; after 40 s the renewal
must finish first. So requests with a revoked key are refused after 40 s as long as PostgreSQL answers, and at once if
notifications arrive. A live connection ends within 60 s (`serve/query/key_watch.py`). While PostgreSQL is away, known
keys are served for 15 min, but never beyond their expiry. A failure says that it is away for 10 s only; then somebody
must try again. Unknown keys are remembered for 5 s. The times of last use are written in the background, in batches.
Everything is bounded. Keys of requests go through `find_from`, which limits the guesses of an address
(`key_roster.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from rtaplatform import telemetry
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.keys.key_format import KEY_CHARS_MAX, hash_key, is_mistyped
from rtaplatform.catalog.keys.key_roster import GuessSlots, KeyRoster, NoRoomForGuesses
from rtaplatform.catalog.keys.key_rows import KeyAccess, read_key, write_used
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

ENTRIES_MAX = 10_000
LOOKUPS_MAX = 2_000
LOOKUPS_AT_ONCE = 64
UNKNOWN_ENTRIES_MAX = 2_000
USED_SECONDS = 60.0  # how often the times of last use are written
USED_AT_ONCE = 500
UNKNOWN_SECONDS = 5.0
OVERDUE_SECONDS = 10.0  # after it was fresh; an older entry must be renewed before it is served
LOOK_UP_SECONDS_MAX = 3.0
LEAVE_ALONE_SECONDS = 1.0  # how long a server that failed is not asked again
AWAY_SECONDS = 10.0  # how long a failure says that the server is away
_FRESH = telemetry.KEY_LOOKUPS.labels("fresh")


class _CachedKey(NamedTuple):
    access: KeyAccess
    read_at: float
    is_well_typed: bool = False  # the checksum was computed: it takes as long as all else


class KeyCache:
    """Keys → what they open. At most one look-up per key is in flight."""

    def __init__(
        self, database: Database, settings: CatalogSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._settings, self._now = database, settings, now
        self._entries: dict[bytes, _CachedKey] = {}
        self._unknown: dict[bytes, float] = {}  # hash → when the look-up found no key
        self._lookups: dict[bytes, asyncio.Task[KeyAccess | None]] = {}
        self._lookup_slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._roster, self._guesses = KeyRoster(database, now), GuessSlots()
        self._failed_at = -math.inf  # when PostgreSQL failed last, if it has not answered since
        self._last_uses: dict[str, datetime] = {}
        self._changes = 0

    async def find(self, key: str) -> KeyAccess | None:
        """What `key` opens, or None. Raises Unavailable."""
        return await self.find_hashed(hash_key(key)) if 0 < len(key) <= KEY_CHARS_MAX else None

    async def find_hashed(self, key_hash: bytes) -> KeyAccess | None:
        """Like `find`, for the hash of a key."""
        access = await self._find(key_hash)
        if access is not None and (len(self._last_uses) < ENTRIES_MAX or access.key_id in self._last_uses):
            self._last_uses[access.key_id] = datetime.now(UTC)
        return access

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        """Like `find`, for a key that may be a guess: an unlisted key is looked up only if `may_guess`."""
        key_hash = hash_key(key) if 0 < len(key) <= KEY_CHARS_MAX else b""
        entry = self._entries.get(key_hash)
        if entry is None or not entry.is_well_typed:
            if not key_hash or is_mistyped(key):
                telemetry.KEY_LOOKUPS.labels("mistyped").inc()
                return None
            if entry is not None:
                self._entries[key_hash] = entry._replace(is_well_typed=True)
        if entry is not None or self._is_remembered_as_unknown(key_hash):
            return await self.find_hashed(key_hash)
        if may_guess and self._guesses.has_room(address):
            with self._guesses.hold(address):
                return await self.find_hashed(key_hash)
        if await self._roster.lists(key_hash):
            return await self.find_hashed(key_hash)
        telemetry.KEY_LOOKUPS.labels("not_tried").inc()
        if may_guess:
            raise NoRoomForGuesses
        return None

    def note_change(self, ids: Iterable[str] | None) -> None:
        """These keys were created, changed, revoked or deleted; None: any key may have been. Forgets unknown keys.

        A changed key is read again before it is served. If any key may have changed, entries are served while they are
        renewed.
        """
        self._changes += 1
        self._unknown.clear()
        self._roster.mark_changed()
        changed_ids = None if ids is None else set(ids)
        stale_since = self._now() - self._settings.key_cache_seconds - 1
        for key_hash, entry in list(self._entries.items()):
            if changed_ids is not None and entry.access.key_id in changed_ids:
                del self._entries[key_hash]
            elif changed_ids is None:
                self._entries[key_hash] = entry._replace(read_at=min(entry.read_at, stale_since))

    def note_project_change(self, project_id: str) -> None:
        """A project was changed or deleted, and its keys with it."""
        self.note_change([e.access.key_id for e in self._entries.values() if e.access.project_id == project_id])

    async def keep_writing_use(self) -> None:
        """Write when keys were last used, repeatedly until cancelled, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(USED_SECONDS)
                await self._write_used()
        finally:
            await self._write_used()

    async def _write_used(self) -> None:
        uses, self._last_uses = list(self._last_uses.items()), {}
        for start in range(0, len(uses), USED_AT_ONCE):
            try:
                await self._database.run(partial(write_used, last_uses=uses[start : start + USED_AT_ONCE]))
            except Unavailable:
                # These times are dropped: a key that is in use will be used again.
                return

    async def _find(self, key_hash: bytes) -> KeyAccess | None:
        entry = self._entries.get(key_hash)
        if entry is not None and self._is_fresh(entry):  # a known key is never remembered as unknown
            _FRESH.inc()
            return _drop_expired(entry.access)
        if self._is_remembered_as_unknown(key_hash):
            telemetry.KEY_LOOKUPS.labels("unknown").inc()
            return None
        if entry is not None and self._may_be_served(entry):
            telemetry.KEY_LOOKUPS.labels("stale").inc()
            if not self._is_left_alone():
                with contextlib.suppress(Unavailable):
                    self._renew(key_hash)
            return _drop_expired(entry.access)
        return _drop_expired(await self._read(key_hash, entry))

    def _is_remembered_as_unknown(self, key_hash: bytes) -> bool:
        return key_hash in self._unknown and self._now() - self._unknown[key_hash] <= UNKNOWN_SECONDS

    async def _read(self, key_hash: bytes, entry: _CachedKey | None) -> KeyAccess | None:
        try:
            if self._is_left_alone():
                raise Unavailable("postgres", "No answer a moment ago.")
            # Shielded: requests share the look-up, and one that is cancelled must not end it.
            return await asyncio.shield(self._renew(key_hash))
        except Unavailable:
            telemetry.KEY_LOOKUPS.labels("unavailable").inc()
            if entry is not None and self._may_be_served(entry):
                return entry.access
            raise

    def _is_fresh(self, entry: _CachedKey) -> bool:
        return self._now() - entry.read_at <= self._settings.key_cache_seconds

    def _may_be_served(self, entry: _CachedKey) -> bool:
        """Whether a stale entry may be served: for some seconds always, for long only while PostgreSQL is away."""
        settings, is_away = self._settings, self._now() - self._failed_at <= AWAY_SECONDS
        limit = settings.key_cache_stale_seconds if is_away else settings.key_cache_seconds + OVERDUE_SECONDS
        return self._now() - entry.read_at <= limit

    def _is_left_alone(self) -> bool:
        return self._now() - self._failed_at < LEAVE_ALONE_SECONDS

    def _renew(self, key_hash: bytes) -> asyncio.Task[KeyAccess | None]:
        task = self._lookups.get(key_hash)
        # A finished task may still be here until the loop's next turn. It does not count as in flight.
        if task is None or task.done():
            if len(self._lookups) >= LOOKUPS_MAX:
                raise Unavailable("postgres", "Too many keys are being looked up.")
            task = asyncio.create_task(self._look_up(key_hash))
            self._lookups[key_hash] = task
            task.add_done_callback(lambda task: self._forget_lookup(key_hash, task))
        return task

    def _forget_lookup(self, key_hash: bytes, task: asyncio.Task[KeyAccess | None]) -> None:
        if self._lookups.get(key_hash) is task:
            del self._lookups[key_hash]
        if not task.cancelled():
            task.exception()  # nobody waits for a renewal in the background

    async def _look_up(self, key_hash: bytes) -> KeyAccess | None:
        async with self._lookup_slots:
            if self._is_left_alone():
                raise Unavailable("postgres", "No answer a moment ago.")
            # Taken before the query: the answer may be as old as this. A change meanwhile makes it stale at once.
            asked_at, changes_before = self._now(), self._changes
            try:
                seconds = min(self._settings.timeout_seconds, LOOK_UP_SECONDS_MAX)
                access = await self._database.run(lambda connection: read_key(connection, key_hash), seconds=seconds)
            except Unavailable:
                self._failed_at = self._now()
                raise
        self._failed_at = -math.inf
        telemetry.KEY_LOOKUPS.labels("read").inc()
        if changes_before != self._changes:
            asked_at -= self._settings.key_cache_seconds + 1
        self._keep(key_hash, access, asked_at)
        return access

    def _keep(self, key_hash: bytes, access: KeyAccess | None, read_at: float) -> None:
        """Unknown keys are kept apart: a flood of them evicts no entry that is needed while PostgreSQL is away."""
        self._entries.pop(key_hash, None)
        self._unknown.pop(key_hash, None)
        if access is None:
            self._unknown[key_hash] = read_at
            while len(self._unknown) > UNKNOWN_ENTRIES_MAX:
                del self._unknown[next(iter(self._unknown))]
            return
        self._entries[key_hash] = _CachedKey(access, read_at)
        while len(self._entries) > ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]


def _drop_expired(access: KeyAccess | None) -> KeyAccess | None:
    if access is None or access.expires_at is None or access.expires_at > datetime.now(UTC):
        return access
    return None
