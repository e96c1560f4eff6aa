"""What all API processes must agree on about tickets: the secrets that sign them, and which have opened a stream.

It lives in Redis, as the limiter's user, below its prefix. While Redis is away, or where there is no such user, a
process has its own: tickets then open streams at the process that issued them. Nothing here fails.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from rtaplatform.serve.http.limits import AWAY_SECONDS, PREFIX, REDIS_SECONDS

DAY_SECONDS = 86_400
SECRET_BYTES = 32
SECRETS_MAX = 4  # of a day: more than one where Redis has forgotten the first
READ_AGAIN_SECONDS = 10.0
CLAIMS_MAX = 10_000  # of this process alone


class SharedValues(Protocol):
    """The calls of a Redis client that are needed."""

    async def get(self, name: str) -> bytes | None: ...

    async def set(self, name: str, value: bytes, *, ex: int, nx: bool) -> object: ...

    async def delete(self, name: str) -> object: ...


def redis_values(pool: ConnectionPool) -> SharedValues:
    """Values in Redis. Nothing is opened yet."""
    # The client's calls are typed for both kinds of it, with and without a loop.
    client: Any = Redis.from_pool(pool)
    shared: SharedValues = client
    return shared


class TicketVault:
    def __init__(self, shared: SharedValues | None = None, now: Callable[[], float] = time.time) -> None:
        """`shared` None: this process alone."""
        self._shared, self._now = shared, now
        self._own = secrets.token_bytes(SECRET_BYTES)
        self._secrets: dict[int, list[bytes]] = {}
        self._read_at: dict[int, float] = {}
        self._claims: dict[str, float] = {}
        self._away_until = 0.0

    async def signing_secret(self, day: int) -> bytes:
        """The secret for tickets of this day (since 1970)."""
        if day not in self._secrets:
            await self._read(day)
        return (self._secrets.get(day) or [self._own])[0]

    async def secrets_of(self, day: int, *, again: bool = False) -> list[bytes]:
        """All that tickets of this day may be signed with; `again`: one is missing, as it seems."""
        is_due = self._now() - self._read_at.get(day, 0.0) > READ_AGAIN_SECONDS
        if day not in self._secrets or (again and is_due):
            await self._read(day)
        return [*self._secrets.get(day, ()), self._own]

    async def claim(self, name: str, life_seconds: float) -> bool:
        """Whether nobody has claimed this before."""
        try:
            if (shared := self._reachable()) is not None:
                async with asyncio.timeout(REDIS_SECONDS):
                    return bool(await shared.set(_claim(name), b"1", ex=max(1, int(life_seconds)), nx=True))
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS
        return self._claim_here(name, life_seconds)

    async def release(self, name: str) -> None:
        """Take a claim back: nothing came of it."""
        self._claims.pop(name, None)
        try:
            if (shared := self._reachable()) is not None:
                async with asyncio.timeout(REDIS_SECONDS):
                    await shared.delete(_claim(name))
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS

    # inside ----------------------------------------------------------------------------------------------------

    def _reachable(self) -> SharedValues | None:
        return self._shared if self._now() >= self._away_until else None

    def _claim_here(self, name: str, life_seconds: float) -> bool:
        now = self._now()
        if self._claims.get(name, 0.0) > now:
            return False
        while len(self._claims) >= CLAIMS_MAX:
            del self._claims[next(iter(self._claims))]
        self._claims[name] = now + life_seconds
        return True

    async def _read(self, day: int) -> None:
        """The day's secret: what this process knows, or a new one, where Redis has none."""
        if (shared := self._reachable()) is None:
            return
        name, known = f"{PREFIX}:ticket-secret:{day}", self._secrets.get(day, [])
        mine = known[0] if known else secrets.token_bytes(SECRET_BYTES)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await shared.set(name, mine, ex=2 * DAY_SECONDS, nx=True)
                found = await shared.get(name)
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS
            return
        if found is not None and len(found) == SECRET_BYTES:
            self._read_at[day] = self._now()
            self._secrets[day] = [found, *(one for one in known if one != found)][:SECRETS_MAX]
        for old in [one for one in self._secrets if one < day - 1]:
            del self._secrets[old]
            self._read_at.pop(old, None)


def _claim(name: str) -> str:
    return f"{PREFIX}:ticket:{name}"
