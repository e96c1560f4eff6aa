"""What keys open, looked up with a cache that outlives PostgreSQL's absence.

An entry is fresh for 30 s, then renewed while it is served, and from 50 s on only served once renewed: a revoked
key is dead within 60 s as long as PostgreSQL answers, and at once where notifications arrive. While PostgreSQL is
away, known keys are served for 15 min, none beyond its expiry. Unknown keys are remembered for 5 s. When a key was
last used is written beside, a batch at a time. Everything is bounded.
Strangers' keys come in by `find_from`, which looks up only so many guesses of an address (`key_roster.py`).
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
from rtaplatform.catalog.keys.key_format import KEY_CHARS_MAX, digest, is_mistyped
from rtaplatform.catalog.keys.key_roster import GuessSlots, KeyRoster, NoRoomForGuesses
from rtaplatform.catalog.keys.key_rows import KeyAccess, read_key, write_used
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

ENTRIES_MAX = 10_000
LOOKUPS_MAX = 2_000
LOOKUPS_AT_ONCE = 64
UNKNOWN_ENTRIES_MAX = 2_000
USED_SECONDS = 60.0  # how often it is written when a key was last used
USED_AT_ONCE = 500
UNKNOWN_SECONDS = 5.0
OVERDUE_SECONDS = 20.0  # beyond fresh: from then on an entry must be renewed before it is served
AWAY_SECONDS = 1.0  # how long a server that failed is left alone


Clock = Callable[[], float]


class _CachedKey(NamedTuple):
    access: KeyAccess
    at: float


class KeyCache:
    """Keys → what they open. One look-up per key in flight."""

    def __init__(
        self, database: Database, settings: CatalogSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._settings, self._now = database, settings, now
        self._entries: dict[bytes, _CachedKey] = {}
        self._unknown: dict[bytes, float] = {}  # hash → when it was found to be nobody's
        self._lookups: dict[bytes, asyncio.Task[KeyAccess | None]] = {}
        self._turn = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._roster, self._guesses = KeyRoster(database, now), GuessSlots()
        self._away, self._leave_alone_until = False, 0.0
        self._used: dict[str, datetime] = {}
        self._changes = 0

    async def find(self, key: str) -> KeyAccess | None:
        """What `key` opens, None where it opens nothing; raises Unavailable."""
        return await self.find_hashed(digest(key)) if 0 < len(key) <= KEY_CHARS_MAX else None

    async def find_hashed(self, hashed: bytes) -> KeyAccess | None:
        """What the key with this hash opens; as `find`."""
        access = await self._find(hashed)
        if access is not None and (len(self._used) < ENTRIES_MAX or access.key_id in self._used):
            self._used[access.key_id] = datetime.now(UTC)
        return access

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        """As `find`, for a key that may be a guess: one that is not listed is looked up only if `may_guess`."""
        if not 0 < len(key) <= KEY_CHARS_MAX or is_mistyped(key):
            telemetry.KEY_LOOKUPS.labels("mistyped").inc()
            return None
        hashed = digest(key)
        if hashed in self._entries or self._is_known_to_be_unknown(hashed):
            return await self.find_hashed(hashed)
        if may_guess and self._guesses.has_room(address):
            with self._guesses.taken(address):
                return await self.find_hashed(hashed)
        if await self._roster.lists(hashed):
            return await self.find_hashed(hashed)
        telemetry.KEY_LOOKUPS.labels("not_tried").inc()
        if may_guess:
            raise NoRoomForGuesses
        return None

    def change(self, ids: Iterable[str] | None) -> None:
        """These keys have been made, changed, revoked or deleted (None: any may have been); unknown ones may be known.

        What is dropped is read again before it is served; what is only in doubt is served while it is renewed.
        """
        self._changes += 1
        self._unknown.clear()
        self._roster.touch()
        named = None if ids is None else set(ids)
        doubtful = self._now() - self._settings.key_cache_seconds - 1
        for hashed, entry in list(self._entries.items()):
            if named is not None and entry.access.key_id in named:
                del self._entries[hashed]
            elif named is None:
                self._entries[hashed] = entry._replace(at=min(entry.at, doubtful))

    def change_project(self, project_id: str) -> None:
        """A project has been changed or deleted, and its keys with it."""
        self.change([e.access.key_id for e in self._entries.values() if e.access.project_id == project_id])

    async def note_use(self) -> None:
        """Write when keys were last used, again and again until cancelled, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(USED_SECONDS)
                await self._write_used()
        finally:
            await self._write_used()

    async def _write_used(self) -> None:
        used, self._used = list(self._used.items()), {}
        for at in range(0, len(used), USED_AT_ONCE):
            try:
                await self._database.run(partial(write_used, used=used[at : at + USED_AT_ONCE]))
            except Unavailable:
                # Not worth keeping: whoever is in use will be so again.
                return

    async def _find(self, hashed: bytes) -> KeyAccess | None:
        if self._is_known_to_be_unknown(hashed):
            telemetry.KEY_LOOKUPS.labels("unknown").inc()
            return None
        entry = self._entries.get(hashed)
        if entry is not None and self._is_fresh(entry):
            telemetry.KEY_LOOKUPS.labels("fresh").inc()
            return _unexpired(entry.access)
        if entry is not None and self._may_be_served(entry):
            telemetry.KEY_LOOKUPS.labels("stale").inc()
            if self._now() >= self._leave_alone_until:
                self._renew_unheard(hashed)
            return _unexpired(entry.access)
        return _unexpired(await self._read(hashed, entry))

    def _is_known_to_be_unknown(self, hashed: bytes) -> bool:
        return self._now() - self._unknown.get(hashed, -math.inf) <= UNKNOWN_SECONDS

    async def _read(self, hashed: bytes, entry: _CachedKey | None) -> KeyAccess | None:
        try:
            if self._now() < self._leave_alone_until:
                raise Unavailable("postgres", "No answer a moment ago.")
            # Shielded: the look-up is shared, and one request that goes away must not end it.
            return await asyncio.shield(self._renew(hashed))
        except Unavailable:
            telemetry.KEY_LOOKUPS.labels("unavailable").inc()
            if entry is not None and self._may_be_served(entry):
                return entry.access
            raise

    def _is_fresh(self, entry: _CachedKey) -> bool:
        return self._now() - entry.at <= self._settings.key_cache_seconds

    def _may_be_served(self, entry: _CachedKey) -> bool:
        """Whether a stale entry may stand for a while: shortly always, long only while PostgreSQL is away."""
        settings = self._settings
        limit = settings.key_cache_stale_seconds if self._away else settings.key_cache_seconds + OVERDUE_SECONDS
        return self._now() - entry.at <= limit

    def _renew_unheard(self, hashed: bytes) -> None:
        with contextlib.suppress(Unavailable):
            self._renew(hashed)

    def _renew(self, hashed: bytes) -> asyncio.Task[KeyAccess | None]:
        task = self._lookups.get(hashed)
        # One that has ended may stand here until the loop's next turn: what it found is not asked for again.
        if task is None or task.done():
            if len(self._lookups) >= LOOKUPS_MAX:
                raise Unavailable("postgres", "Too many keys are being looked up.")
            task = asyncio.create_task(self._look_up(hashed))
            self._lookups[hashed] = task
            task.add_done_callback(lambda done: self._forget(hashed, done))
        return task

    def _forget(self, hashed: bytes, task: asyncio.Task[KeyAccess | None]) -> None:
        if self._lookups.get(hashed) is task:
            del self._lookups[hashed]
        if not task.cancelled():
            task.exception()  # a renewal in the background may fail unheard

    async def _look_up(self, hashed: bytes) -> KeyAccess | None:
        async with self._turn:
            if self._now() < self._leave_alone_until:
                raise Unavailable("postgres", "No answer a moment ago.")
            # From before the question: the answer may be as old as that. What changed meanwhile puts it in doubt.
            begun, changes = self._now(), self._changes
            try:
                access = await self._database.run(lambda connection: read_key(connection, hashed))
            except Unavailable:
                self._away, self._leave_alone_until = True, self._now() + AWAY_SECONDS
                raise
        self._away = False
        telemetry.KEY_LOOKUPS.labels("read").inc()
        if changes != self._changes:
            begun -= self._settings.key_cache_seconds + 1
        self._keep(hashed, access, begun)
        return access

    def _keep(self, hashed: bytes, access: KeyAccess | None, at: float) -> None:
        """Unknown keys have their own place: a flood of them pushes out nothing that serves us without PostgreSQL."""
        self._entries.pop(hashed, None)
        self._unknown.pop(hashed, None)
        if access is None:
            self._unknown[hashed] = at
            while len(self._unknown) > UNKNOWN_ENTRIES_MAX:
                del self._unknown[next(iter(self._unknown))]
            return
        self._entries[hashed] = _CachedKey(access, at)
        while len(self._entries) > ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]


def _unexpired(access: KeyAccess | None) -> KeyAccess | None:
    if access is None or access.expires_at is None or access.expires_at > datetime.now(UTC):
        return access
    return None
