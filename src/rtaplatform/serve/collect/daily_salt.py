"""The salt of the day, by which visitors without an id are named.   Stage 6 of 6.

All API processes share it in Redis, below the limiter's prefix. Redis forgets it soon after its day, and so does each
process: from then on nobody can compute which visitor a hash was. While Redis is unavailable, or without the limiter's
user, a process has a salt of its own; then a visitor whose requests reach two processes has two ids.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from rtaplatform.serve.http.limits import AWAY_SECONDS, PREFIX, REDIS_SECONDS
from rtaplatform.serve.http.ticket_vault import DAY_SECONDS, SharedValues

SALT_BYTES = 32
KEPT_SECONDS = DAY_SECONDS + 3_600  # from its first use on, which is rarely long after midnight


class DailySalt:
    def __init__(self, shared_values: SharedValues | None = None, now: Callable[[], float] = time.time) -> None:
        """With `shared_values` None nothing is shared with other processes."""
        self._shared_values, self._now = shared_values, now
        self._day, self._salt, self._is_shared = -1, b"", False
        self._away_until = 0.0
        self._reading = asyncio.Lock()

    async def read(self) -> bytes:
        """Return the salt of this day (UTC)."""
        day = int(self._now() // DAY_SECONDS)
        if day != self._day or (not self._is_shared and self._may_ask()):
            async with self._reading:
                if day != self._day or (not self._is_shared and self._may_ask()):
                    await self._renew(day)
        return self._salt

    def _may_ask(self) -> bool:
        return self._shared_values is not None and self._now() >= self._away_until

    async def _renew(self, day: int) -> None:
        own_salt = self._salt if day == self._day else secrets.token_bytes(SALT_BYTES)
        shared_salt = await self._read_shared(day, own_salt)
        self._day, self._salt, self._is_shared = day, shared_salt or own_salt, shared_salt is not None

    async def _read_shared(self, day: int, proposal: bytes) -> bytes | None:
        if self._shared_values is None or not self._may_ask():
            return None
        name = f"{PREFIX}:visitor-salt:{day}"
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._shared_values.set(name, proposal, ex=KEPT_SECONDS, nx=True)
                salt = await self._shared_values.get(name)
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS
            return None
        return salt if salt is not None and len(salt) == SALT_BYTES else None
