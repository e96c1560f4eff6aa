"""How much a key may ask for in a minute, and how often an address may try keys that are none.

Counted in Redis, for all processes together, by the library `limits`; a process takes a portion of a hundredth of
the limit at a time and spends it by itself, so that almost no request waits for Redis. What a process has taken
and not spent by the minute's end is lost: nobody ever gets more than the limit, and with n processes somebody may
get n hundredths less. While Redis is away, every process counts by itself: the limit is one of each process then.

Minutes are the clock's, so in one that begins in the middle of a minute twice the limit may pass.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from limits.aio.storage import MemoryStorage, RedisStorage
from limits.errors import StorageError
from litestar.exceptions import TooManyRequestsException
from msgspec import Struct
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rtaplatform import telemetry
from rtaplatform.settings import LimitSettings

COLLECT, READ, CATALOG, ADMIN, UNKNOWN = "collect", "read", "catalog", "admin", "unknown"
KINDS = {"read": READ, "catalog:read": CATALOG, "catalog:write": CATALOG, "admin": ADMIN, "collect": COLLECT}
WINDOW_SECONDS = 60
PORTIONS = 100
METERS_MAX = 20_000
REDIS_SECONDS = 0.25  # a request waits so long for Redis, once in AWAY_SECONDS
AWAY_SECONDS = 1.0
PREFIX = "rta-limit"


class Counter(Protocol):
    """A storage of the library: adds to a count that is forgotten after `expiry` seconds, and tells it."""

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int: ...


class Allowance(Struct, frozen=True):
    """What is left. A limit of 0 is none."""

    limit: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class _Meter:
    """One key in one minute: what was taken by all, and what of it this process has still to spend."""

    __slots__ = ("local", "lock", "taken", "window")

    def __init__(self, window: int) -> None:
        self.window, self.taken, self.local, self.lock = window, 0, 0, asyncio.Lock()


class Limits:
    def __init__(
        self, settings: LimitSettings, counter: Counter | None = None, now: Callable[[], float] = time.time
    ) -> None:
        """`counter` None: this process alone."""
        self.trusted_proxies = settings.trusted_proxies
        self._limits = {
            COLLECT: settings.collect_events_per_minute,
            READ: settings.reads_per_minute,
            CATALOG: settings.catalog_per_minute,
            ADMIN: settings.admin_per_minute,
            UNKNOWN: settings.unknown_keys_per_minute,
        }
        self._shared, self._own, self._now = counter, MemoryStorage(), now
        self._meters: dict[tuple[str, str], _Meter] = {}
        self._away_until = 0.0

    async def take(self, kind: str, who: str, cost: int = 1) -> Allowance:
        """Take `cost` (of more than the limit: the limit); raises TooManyRequestsException where it is not left."""
        limit = self._limits[kind]
        if limit == 0:
            return Allowance(0, 0, 0)
        meter, cost = self._meter(kind, who), min(cost, limit)
        if meter.local < cost and meter.taken < limit:
            async with meter.lock:
                if meter.local < cost and meter.taken < limit:
                    await self._fetch(meter, f"{kind}:{who}:{meter.window}", limit, cost)
        allowance = self._allowance(meter, limit)
        if meter.local < cost:
            telemetry.RATE_LIMITED.labels(kind).inc()
            raise too_many(kind, allowance)
        meter.local -= cost
        return Allowance(limit, max(0, allowance.remaining - cost), allowance.reset_seconds)

    def is_spent(self, kind: str, who: str) -> bool:
        """Whether nothing is left, as far as this process knows."""
        meter, limit = self._meters.get((kind, who)), self._limits[kind]
        is_now = meter is not None and meter.window == self._window()
        return bool(limit) and meter is not None and is_now and meter.local == 0 and meter.taken >= limit

    # inside ----------------------------------------------------------------------------------------------------

    def _window(self) -> int:
        return int(self._now() // WINDOW_SECONDS)

    def _meter(self, kind: str, who: str) -> _Meter:
        meter, window = self._meters.get((kind, who)), self._window()
        if meter is None or meter.window != window:
            self._meters.pop((kind, who), None)
            meter = self._meters[kind, who] = _Meter(window)
            while len(self._meters) > METERS_MAX:
                del self._meters[next(iter(self._meters))]
        return meter

    async def _fetch(self, meter: _Meter, name: str, limit: int, cost: int) -> None:
        portion = max(cost - meter.local, limit // PORTIONS, 1)
        meter.taken = await self._count(name, portion)
        meter.local += max(0, min(portion, limit - (meter.taken - portion)))

    async def _count(self, name: str, portion: int) -> int:
        if self._shared is not None and self._now() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared.incr(name, 2 * WINDOW_SECONDS, portion)
            except (StorageError, OSError, TimeoutError):
                self._away_until = self._now() + AWAY_SECONDS
        if self._shared is not None:
            telemetry.LIMITS_ALONE.inc()
        return await self._own.incr(name, 2 * WINDOW_SECONDS, portion)

    def _allowance(self, meter: _Meter, limit: int) -> Allowance:
        reset = math.ceil((meter.window + 1) * WINDOW_SECONDS - self._now())
        return Allowance(limit, meter.local + max(0, limit - meter.taken), min(max(1, reset), WINDOW_SECONDS))


def too_many(kind: str, allowance: Allowance) -> TooManyRequestsException:
    wait = str(allowance.reset_seconds)
    what = {COLLECT: "events of this key", UNKNOWN: "unknown keys from this address"}.get(kind, "requests of this key")
    return TooManyRequestsException(
        detail=f"More than {allowance.limit} {what} in a minute; {allowance.remaining} are left.",
        headers={**allowance.headers(), "Retry-After": wait, "X-RateLimit-Reset": wait},
    )


def redis_counter(url: str) -> RedisStorage:
    """Counts in Redis, below PREFIX, which is all that its user may touch. Nothing is opened yet."""
    return RedisStorage(
        f"async+{url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=PREFIX,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        protocol=2,
        retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # the library hands all options on
    )
