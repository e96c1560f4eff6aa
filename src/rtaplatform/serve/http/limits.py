"""How much a key and its project may ask for in a minute, and how often an address may try keys that are none.

Counted in Redis, for all processes together, by the library `limits`; a process takes a portion of a hundredth of
the limit at a time and spends it by itself, so that almost no request waits for Redis. What a process has taken
and not spent by the minute's end is lost: nobody ever gets more than the limit, and with n processes somebody may
get n hundredths less. While Redis is away, every process counts by itself: the limit is one of each process then.

Minutes are the clock's, so in one that begins in the middle of a minute twice the limit may pass. Projects are
counted by the hour. All keys of a project together may ask for `project_factor` times what one of them may: nobody
gets more of the platform by making more keys.

The events of each project are counted by the hour whatever the settings are. Where the store is nearly full
(`store_room.py`), a project that has sent more than its guaranteed events waits until there is room, and the others go
on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple, Protocol

from limits.aio.storage import MemoryStorage, RedisStorage
from limits.errors import StorageError
from litestar.exceptions import TooManyRequestsException
from msgspec import Struct
from redis.asyncio import ConnectionPool

from rtaplatform import telemetry
from rtaplatform.serve.http.store_room import StoreRoom
from rtaplatform.settings import LimitSettings

COLLECT, READ, CATALOG, ADMIN, UNKNOWN = "collect", "read", "catalog", "admin", "unknown"
COLLECT_IN_AN_HOUR = "collect_in_an_hour"
GUARANTEED = "collect_while_nearly_full"
PROJECTS, ALL_PROJECTS, PROJECT_CHANGES = "projects", "all_projects", "project_changes"
KINDS = {"read": READ, "catalog:read": CATALOG, "catalog:write": CATALOG, "admin": ADMIN, "collect": COLLECT}
MINUTE_SECONDS, HOUR_SECONDS = 60, 3_600
PORTIONS = 100
GUARANTEED_PORTIONS = 1_000  # finer: where room is scarce, a small part of what is guaranteed counts
ROOM_SECONDS = 60  # who waits for room tries again so soon
METERS_MAX = 20_000  # of keys and projects, and as many of addresses
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


class RateRule(NamedTuple):
    """At most `limit` (0: any number) of `what` in each window."""

    limit: int
    what: str
    window_seconds: int = MINUTE_SECONDS
    portions: int = PORTIONS


class _Meter:
    """One key in one window: what was taken by all, and what of it this process has still to spend."""

    __slots__ = ("local", "lock", "taken", "window")

    def __init__(self, window: int) -> None:
        self.window, self.taken, self.local, self.lock = window, 0, 0, asyncio.Lock()


class RateLimits:
    def __init__(
        self,
        settings: LimitSettings,
        counter: Counter | None = None,
        now: Callable[[], float] = time.time,
        room: StoreRoom | None = None,
    ) -> None:
        """`counter` None: this process alone. `room` None: there is always room."""
        self._room = room or StoreRoom()
        self.trusted_proxies = networks_of(settings.trusted_proxies)
        self.projects_max, self.keys_per_project_max = settings.projects_max, settings.keys_per_project_max
        self._rules = rules_of(settings)
        self._shared, self._own, self._now = counter, MemoryStorage(), now
        # Addresses have their own, so that strangers push out no key's.
        self._meters: dict[tuple[str, str], _Meter] = {}
        self._addresses: dict[tuple[str, str], _Meter] = {}
        self._away_until = 0.0

    async def take(self, kind: str, who: str, cost: int = 1) -> Allowance:
        """Take `cost` (of more than the limit: the limit); raises TooManyRequestsException where it is not left."""
        rule = self._rules[kind]
        if rule.limit == 0:
            return Allowance(0, 0, 0)
        meter, cost = self._meter(kind, who), min(cost, rule.limit)
        await self._provide(meter, f"{kind}:{who}", rule, cost)
        allowance = self._allowance(meter, rule)
        if meter.local < cost:
            telemetry.RATE_LIMITED.labels(kind).inc()
            raise too_many(rule, allowance)
        meter.local -= cost
        return Allowance(rule.limit, max(0, allowance.remaining - cost), allowance.reset_seconds)

    async def take_of_key(self, kind: str, key_id: str, project_id: str, cost: int = 1) -> Allowance:
        """Take from a key and from its project; the scarcest allowance. Raises TooManyRequestsException."""
        taken = [await self.take(kind, key_id, cost), await self.take(of_project_kind(kind), project_id, cost)]
        if kind == COLLECT:
            taken.append(await self.take(COLLECT_IN_AN_HOUR, project_id, cost))
            await self._take_guaranteed(project_id, cost)
        limited = [allowance for allowance in taken if allowance.limit]
        return min(limited, key=lambda allowance: allowance.remaining) if limited else taken[0]

    def most_events(self) -> int:
        """How many one request may take, at most; 0: any number."""
        kinds = (COLLECT, of_project_kind(COLLECT), COLLECT_IN_AN_HOUR)
        return min((self._rules[kind].limit for kind in kinds if self._rules[kind].limit), default=0)

    def is_spent(self, kind: str, who: str) -> bool:
        """Whether nothing is left, as far as this process knows."""
        meter, rule = self._meters_of(kind).get((kind, who)), self._rules[kind]
        is_now = meter is not None and meter.window == self._window(rule)
        return bool(rule.limit) and meter is not None and is_now and meter.local == 0 and meter.taken >= rule.limit

    # inside ----------------------------------------------------------------------------------------------------

    async def _take_guaranteed(self, project_id: str, cost: int) -> None:
        """Counted always. Refused only where the store is nearly full, and the project has had its part."""
        rule = self._rules[GUARANTEED]
        if rule.limit == 0:
            return
        meter = self._meter(GUARANTEED, project_id)
        await self._provide(meter, f"{GUARANTEED}:{project_id}", rule, cost)
        is_left = meter.local >= cost
        meter.local -= min(cost, meter.local)
        if self._room.share is None:
            return
        guaranteed = max(1, round(rule.limit * self._room.share))
        if not is_left or meter.taken - meter.local > guaranteed:
            telemetry.RATE_LIMITED.labels(GUARANTEED).inc()
            reset_seconds = min(ROOM_SECONDS, self._allowance(meter, rule).reset_seconds)
            raise nearly_full(self._room.filled_percent, Allowance(guaranteed, 0, reset_seconds))

    async def _provide(self, meter: _Meter, name: str, rule: RateRule, cost: int) -> None:
        """Have so much to spend here, if that much is left."""
        if meter.local < cost and meter.taken < rule.limit:
            async with meter.lock:
                if meter.local < cost and meter.taken < rule.limit:
                    await self._fetch(meter, f"{name}:{meter.window}", rule, cost)

    def _window(self, rule: RateRule) -> int:
        return int(self._now() // rule.window_seconds)

    def _meters_of(self, kind: str) -> dict[tuple[str, str], _Meter]:
        return self._addresses if kind == UNKNOWN else self._meters

    def _meter(self, kind: str, who: str) -> _Meter:
        meters, window = self._meters_of(kind), self._window(self._rules[kind])
        meter = meters.get((kind, who))
        if meter is None or meter.window != window:
            meters.pop((kind, who), None)
            meter = meters[kind, who] = _Meter(window)
            while len(meters) > METERS_MAX:
                del meters[next(iter(meters))]
        return meter

    async def _fetch(self, meter: _Meter, name: str, rule: RateRule, cost: int) -> None:
        portion = max(cost - meter.local, rule.limit // rule.portions, 1)
        meter.taken = await self._count(name, portion, 2 * rule.window_seconds)
        meter.local += max(0, min(portion, rule.limit - (meter.taken - portion)))

    async def _count(self, name: str, portion: int, life_seconds: int) -> int:
        if self._shared is not None and self._now() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared.incr(name, life_seconds, portion)
            except (StorageError, OSError, TimeoutError):
                self._away_until = self._now() + AWAY_SECONDS
        if self._shared is not None:
            telemetry.LIMITS_ALONE.inc()
        return await self._own.incr(name, life_seconds, portion)

    def _allowance(self, meter: _Meter, rule: RateRule) -> Allowance:
        reset = math.ceil((meter.window + 1) * rule.window_seconds - self._now())
        left = meter.local + max(0, rule.limit - meter.taken)
        return Allowance(rule.limit, left, min(max(1, reset), rule.window_seconds))


def of_project_kind(kind: str) -> str:
    return f"{kind}_of_project"


def rules_of(settings: LimitSettings) -> dict[str, RateRule]:
    """All limits by their kinds."""
    of_key = {
        COLLECT: RateRule(settings.collect_events_per_minute, "events of this key"),
        READ: RateRule(settings.reads_per_minute, "requests of this key"),
        CATALOG: RateRule(settings.catalog_per_minute, "requests of this key"),
        ADMIN: RateRule(settings.admin_per_minute, "requests of this key"),
    }
    of_project = {
        of_project_kind(kind): RateRule(
            rule.limit * settings.project_factor, rule.what.replace("this key", "all keys of this project")
        )
        for kind, rule in of_key.items()
    }
    return of_key | of_project | {
        COLLECT_IN_AN_HOUR: RateRule(settings.project_events_per_hour, "events of this project", HOUR_SECONDS),
        GUARANTEED: RateRule(
            settings.guaranteed_events_per_hour, "events of this project", HOUR_SECONDS, GUARANTEED_PORTIONS
        ),
        UNKNOWN: RateRule(settings.unknown_keys_per_minute, "unknown keys from this address"),
        PROJECTS: RateRule(settings.projects_per_hour, "projects made by this project's keys", HOUR_SECONDS),
        ALL_PROJECTS: RateRule(settings.projects_per_hour_in_all, "projects made on this platform", HOUR_SECONDS),
        PROJECT_CHANGES: RateRule(settings.project_changes_per_hour, "changes of this project", HOUR_SECONDS),
    }  # fmt: skip


def networks_of(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks out of a list by commas."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def too_many(rule: RateRule, allowance: Allowance) -> TooManyRequestsException:
    window = "an hour" if rule.window_seconds == HOUR_SECONDS else "a minute"
    return _refusal(f"More than {allowance.limit} {rule.what} in {window}; {allowance.remaining} are left.", allowance)


def nearly_full(percent: int, allowance: Allowance) -> TooManyRequestsException:
    return _refusal(
        f"The platform's store is nearly full ({percent} %). Until there is room, a project may send {allowance.limit} "
        "events in an hour, and this one has sent more. Send the event again later.",
        allowance,
    )


def _refusal(detail: str, allowance: Allowance) -> TooManyRequestsException:
    wait = str(allowance.reset_seconds)
    headers = {**allowance.headers(), "Retry-After": wait, "X-RateLimit-Reset": wait}
    return TooManyRequestsException(detail=detail, headers=headers)


def redis_counter(pool: ConnectionPool) -> RedisStorage:
    """Counts in Redis, below PREFIX, which is all that its user may touch. Nothing is opened yet."""
    # The library takes what leads to the server from the pool: so no error of its own can hold a password.
    options: dict[str, Any] = {"connection_pool": pool}
    return RedisStorage("async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix=PREFIX, **options)
