"""State of tickets that all API processes share: the secrets that sign them, and which have been used.

Each purpose has secrets of its own: a ticket for one purpose is void for any other. A secret signs for one period.

It is in Redis, below the limiter's prefix, and with the limiter's user. While Redis is unavailable, or without such a
user, a process has secrets of its own: then a ticket opens streams only at the process that issued it. No call fails.
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
SECRETS_MAX = 4  # of a period: a new one is made if Redis has lost the first
READ_AGAIN_SECONDS = 10.0
CLAIMS_MAX = 10_000  # kept in this process while Redis is unavailable


class SharedValues(Protocol):
    """The part of a Redis client that the vault uses."""

    async def get(self, name: str) -> bytes | None: ...

    async def set(self, name: str, value: bytes, *, ex: int, nx: bool) -> object: ...

    async def delete(self, name: str) -> object: ...


def make_redis_values(pool: ConnectionPool) -> SharedValues:
    """Make a client for values in Redis. It opens nothing yet."""
    # The client is typed for both its kinds, asynchronous and not.
    client: Any = Redis.from_pool(pool)
    values: SharedValues = client
    return values


class TicketVault:
    def __init__(
        self,
        shared_values: SharedValues | None = None,
        now: Callable[[], float] = time.time,
        *,
        purpose: str = "ticket",
        period_seconds: int = DAY_SECONDS,
    ) -> None:
        """With `shared_values` None nothing is shared with other processes."""
        self._shared_values, self._now, self._purpose, self.period_seconds = shared_values, now, purpose, period_seconds
        self._own_secret = secrets.token_bytes(SECRET_BYTES)
        self._secrets: dict[int, list[bytes]] = {}
        self._read_at: dict[int, float] = {}
        self._claims: dict[str, float] = {}
        self._away_until = 0.0

    async def find_signing_secret(self, period: int) -> bytes:
        """Return the secret that signs tickets of this period (periods since 1970)."""
        if period not in self._secrets:
            await self._read(period)
        return (self._secrets.get(period) or [self._own_secret])[0]

    async def find_secrets(self, period: int, *, is_missing: bool = False) -> list[bytes]:
        """Return the secrets that may have signed tickets of this period. `is_missing`: the known ones have not."""
        is_due = self._now() - self._read_at.get(period, 0.0) > READ_AGAIN_SECONDS
        if period not in self._secrets or (is_missing and is_due):
            await self._read(period)
        return [*self._secrets.get(period, ()), self._own_secret]

    async def claim(self, name: str, life_seconds: float) -> bool:
        """Claim a name. False if it has been claimed before."""
        try:
            if (values := self._find_reachable()) is not None:
                async with asyncio.timeout(REDIS_SECONDS):
                    return bool(await values.set(self._claim_key(name), b"1", ex=max(1, int(life_seconds)), nx=True))
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS
        return self._claim_here(name, life_seconds)

    async def release(self, name: str) -> None:
        """Undo a claim."""
        self._claims.pop(name, None)
        try:
            if (values := self._find_reachable()) is not None:
                async with asyncio.timeout(REDIS_SECONDS):
                    await values.delete(self._claim_key(name))
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS

    # inside ----------------------------------------------------------------------------------------------------

    def _find_reachable(self) -> SharedValues | None:
        return self._shared_values if self._now() >= self._away_until else None

    def _claim_here(self, name: str, life_seconds: float) -> bool:
        now = self._now()
        if self._claims.get(name, 0.0) > now:
            return False
        while len(self._claims) >= CLAIMS_MAX:
            del self._claims[next(iter(self._claims))]
        self._claims[name] = now + life_seconds
        return True

    async def _read(self, period: int) -> None:
        """Read the period's secret. If Redis has none, store the one known here, or a new one."""
        if (values := self._find_reachable()) is None:
            return
        name, old_secrets = f"{PREFIX}:{self._purpose}-secret:{period}", self._secrets.get(period, [])
        proposal = old_secrets[0] if old_secrets else secrets.token_bytes(SECRET_BYTES)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                # A ticket of the period's last second is valid for another period.
                await values.set(name, proposal, ex=2 * self.period_seconds, nx=True)
                current = await values.get(name)
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._now() + AWAY_SECONDS
            return
        if current is not None and len(current) == SECRET_BYTES:
            self._read_at[period] = self._now()
            self._secrets[period] = [current, *(secret for secret in old_secrets if secret != current)][:SECRETS_MAX]
        for past_period in [known_period for known_period in self._secrets if known_period < period - 1]:
            del self._secrets[past_period]
            self._read_at.pop(past_period, None)

    def _claim_key(self, name: str) -> str:
        return f"{PREFIX}:{self._purpose}:{name}"
