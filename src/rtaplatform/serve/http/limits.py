"""Rate limits: requests and events per key and project, and guesses of keys per address.

All processes count together in Redis, by the library `limits`. A process takes a portion, a hundredth of the limit,
and spends it by itself, so that almost no request waits for Redis. A portion that is not spent by the end of the
minute is lost: nobody gets more than the limit, and with n processes a key may get n hundredths less. While Redis is
unavailable, each process counts by itself, and each has the whole limit.

Windows are minutes of the clock, so twice the limit may pass within 60 s that span two of them. Making projects is
counted by the hour. All keys of a project together have `project_factor` times the limit of one key: more keys do not
give a project more of the platform.

The events of each project are counted by the hour whatever the settings are. While the store is nearly full
(`store_room.py`), a project that has sent more than its guaranteed events is refused; the others go on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

from limits.aio.storage import MemoryStorage, RedisStorage
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

from rtaplatform import telemetry
from rtaplatform.serve.connections.networks import parse_networks
from rtaplatform.serve.http.store_room import StoreRoom
from rtaplatform.serve.limits.holder_limits import HolderLimits
from rtaplatform.serve.limits.limit_rules import (
    HOUR_SECONDS,
    Allowance,
    RateRule,
    make_nearly_full,
    make_too_many,
)
from rtaplatform.settings import LimitSettings

COLLECT, READ, CATALOG, ADMIN, UNKNOWN = "collect", "read", "catalog", "admin", "unknown"
COLLECT_IN_AN_HOUR = "collect_in_an_hour"
GUARANTEED = "collect_while_nearly_full"
PROJECTS, ALL_PROJECTS, PROJECT_CHANGES = "projects", "all_projects", "project_changes"
KINDS = {"read": READ, "catalog:read": CATALOG, "catalog:write": CATALOG, "admin": ADMIN, "collect": COLLECT}
_OF_PROJECT = {kind: f"{kind}_of_project" for kind in KINDS.values()}
GUARANTEED_PORTIONS = 1_000  # finer, since little of the guarantee is left when room is scarce
ROOM_SECONDS = 60  # Retry-After of a refusal for want of room
METERS_MAX = 20_000  # for keys and projects, and as many for addresses
REDIS_SECONDS = 0.25  # a request waits so long for Redis; after a failure none waits for AWAY_SECONDS
AWAY_SECONDS = 1.0
PREFIX = "rta-limit"


class Counter(Protocol):
    """A storage of the library `limits`."""

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count and return it. The count is forgotten `expiry` seconds after it began."""
        ...


class _Meter:
    """One key in one window: the count of all processes, and the part that this process may still spend."""

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
        """With `counter` None this process counts alone; with `room` None the store is never full."""
        self._room = room or StoreRoom()
        self.trusted_proxies = parse_networks(settings.trusted_proxies)
        self.projects_max, self.keys_per_project_max = settings.projects_max, settings.keys_per_project_max
        self._rules = make_rules(settings)
        self.holders = HolderLimits(settings, now)
        self._shared_counter, self._own_counter, self._now = counter, MemoryStorage(), now
        # Addresses have meters of their own, so that strangers cannot push out those of keys.
        self._meters: dict[tuple[str, str], _Meter] = {}
        self._addresses: dict[tuple[str, str], _Meter] = {}
        self._away_until = 0.0

    async def take(self, kind: str, holder: str, cost: int = 1) -> Allowance:
        """Take `cost`, at most the whole limit. Raises TooManyRequestsException if less than that remains."""
        rule = self._rules[kind]
        if rule.limit == 0:
            return Allowance(0, 0, 0)
        meter, cost = self._find_meter(kind, holder), min(cost, rule.limit)
        await self._provide(meter, f"{kind}:{holder}", rule, cost)
        allowance = self._compute_allowance(meter, rule)
        if meter.local < cost:
            telemetry.RATE_LIMITED.labels(kind).inc()
            raise make_too_many(rule, allowance)
        meter.local -= cost
        return Allowance(rule.limit, max(0, allowance.remaining - cost), allowance.reset_seconds)

    async def take_for_key(self, kind: str, key_id: str, project_id: str, cost: int = 1) -> Allowance:
        """Take from a key and from its project. Returns the scarcest allowance. Raises TooManyRequestsException."""
        if (allowance := self._take_held(kind, key_id, project_id, cost)) is not None:
            return allowance
        allowances = [await self.take(kind, key_id, cost), await self.take(_OF_PROJECT[kind], project_id, cost)]
        if kind == COLLECT:
            allowances.append(await self.take(COLLECT_IN_AN_HOUR, project_id, cost))
            await self._take_guaranteed(project_id, cost)
        limits = [allowance for allowance in allowances if allowance.limit]
        return min(limits, key=lambda allowance: allowance.remaining) if limits else allowances[0]

    @cached_property
    def events_max(self) -> int:
        """How many events one request may take at most; 0 means no limit."""
        limits = [self._rules[kind].limit for kind in (COLLECT, _OF_PROJECT[COLLECT], COLLECT_IN_AN_HOUR)]
        return min(filter(None, limits), default=0)

    def is_spent(self, kind: str, holder: str) -> bool:
        """Whether nothing remains, as far as this process knows."""
        meter, rule = self._find_meters(kind).get((kind, holder)), self._rules[kind]
        is_now = meter is not None and meter.window == self._find_window(rule)
        return bool(rule.limit) and meter is not None and is_now and meter.local == 0 and meter.taken >= rule.limit

    # inside ----------------------------------------------------------------------------------------------------

    def _take_held(self, kind: str, key_id: str, project_id: str, cost: int) -> Allowance | None:
        """Take from the portions that this process holds, without waiting. None if one of them has too little."""
        now, guaranteed = self._now(), None
        if kind == COLLECT and self._rules[GUARANTEED].limit:
            guaranteed = self._find_open_meter(GUARANTEED, project_id, now)
            if guaranteed is None or self._room.share is not None:
                return None
            if guaranteed.local < cost and guaranteed.taken < self._rules[GUARANTEED].limit:
                return None
        meters = []
        for kind_of_holder, holder in _list_holders(kind, key_id, project_id):
            rule = self._rules[kind_of_holder]
            if rule.limit:
                meter = self._find_open_meter(kind_of_holder, holder, now)
                if meter is None or meter.local < cost:
                    return None
                meters.append((meter, rule))
        for meter, _ in meters:
            meter.local -= cost
        if guaranteed is not None:
            guaranteed.local -= min(cost, guaranteed.local)
        return self._compute_allowance(*min(meters, key=_count_remaining), now) if meters else Allowance(0, 0, 0)

    def _find_open_meter(self, kind: str, holder: str, now: float) -> _Meter | None:
        """The meter of the current window, if there is one."""
        meter = self._meters.get((kind, holder))
        return meter if meter is not None and meter.window == now // self._rules[kind].window_seconds else None

    async def _take_guaranteed(self, project_id: str, cost: int) -> None:
        """Count always. Refuse only if the store is nearly full and the project has used up its guarantee."""
        rule = self._rules[GUARANTEED]
        if rule.limit == 0:
            return
        meter = self._find_meter(GUARANTEED, project_id)
        await self._provide(meter, f"{GUARANTEED}:{project_id}", rule, cost)
        has_enough = meter.local >= cost
        meter.local -= min(cost, meter.local)
        if self._room.share is None:
            return
        guaranteed = max(1, round(rule.limit * self._room.share))
        if not has_enough or meter.taken - meter.local > guaranteed:
            telemetry.RATE_LIMITED.labels(GUARANTEED).inc()
            reset_seconds = min(ROOM_SECONDS, self._compute_allowance(meter, rule).reset_seconds)
            raise make_nearly_full(self._room.filled_percent, Allowance(guaranteed, 0, reset_seconds))

    async def _provide(self, meter: _Meter, name: str, rule: RateRule, cost: int) -> None:
        """Fetch portions until this process has `cost` to spend, or nothing remains."""
        if meter.local < cost and meter.taken < rule.limit:
            async with meter.lock:
                if meter.local < cost and meter.taken < rule.limit:
                    await self._fetch(meter, f"{name}:{meter.window}", rule, cost)

    def _find_window(self, rule: RateRule) -> int:
        return int(self._now() // rule.window_seconds)

    def _find_meters(self, kind: str) -> dict[tuple[str, str], _Meter]:
        return self._addresses if kind == UNKNOWN else self._meters

    def _find_meter(self, kind: str, holder: str) -> _Meter:
        meters, window = self._find_meters(kind), self._find_window(self._rules[kind])
        meter = meters.get((kind, holder))
        if meter is None or meter.window != window:
            meters.pop((kind, holder), None)
            meter = meters[kind, holder] = _Meter(window)
            while len(meters) > METERS_MAX:
                del meters[next(iter(meters))]
        return meter

    async def _fetch(self, meter: _Meter, name: str, rule: RateRule, cost: int) -> None:
        portion = max(cost - meter.local, rule.limit // rule.portions, 1)
        meter.taken = await self._count(name, portion, 2 * rule.window_seconds)
        meter.local += max(0, min(portion, rule.limit - (meter.taken - portion)))

    async def _count(self, name: str, portion: int, life_seconds: int) -> int:
        if self._shared_counter is not None and self._now() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared_counter.incr(name, life_seconds, portion)
            except (StorageError, OSError, TimeoutError):
                self._away_until = self._now() + AWAY_SECONDS
        if self._shared_counter is not None:
            telemetry.LIMITS_ALONE.inc()
        return await self._own_counter.incr(name, life_seconds, portion)

    def _compute_allowance(self, meter: _Meter, rule: RateRule, now: float | None = None) -> Allowance:
        reset = math.ceil((meter.window + 1) * rule.window_seconds - (self._now() if now is None else now))
        return Allowance(rule.limit, _count_remaining((meter, rule)), min(max(1, reset), rule.window_seconds))


def _count_remaining(pair: tuple[_Meter, RateRule]) -> int:
    meter, rule = pair
    return meter.local + max(0, rule.limit - meter.taken)


def _list_holders(kind: str, key_id: str, project_id: str) -> list[tuple[str, str]]:
    """Whose limits a request counts against."""
    holders = [(kind, key_id), (_OF_PROJECT[kind], project_id)]
    if kind == COLLECT:
        holders.append((COLLECT_IN_AN_HOUR, project_id))
    return holders


def make_rules(settings: LimitSettings) -> dict[str, RateRule]:
    """Return all limits by kind."""
    of_key = {
        COLLECT: RateRule(settings.collect_events_per_minute, "events of this key"),
        READ: RateRule(settings.reads_per_minute, "requests of this key"),
        CATALOG: RateRule(settings.catalog_per_minute, "requests of this key"),
        ADMIN: RateRule(settings.admin_per_minute, "requests of this key"),
    }
    of_project = {
        _OF_PROJECT[kind]: RateRule(
            rule.limit * settings.project_factor, rule.subject.replace("this key", "all keys of this project")
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


def make_redis_counter(pool: ConnectionPool) -> RedisStorage:
    """Make a counter in Redis below PREFIX, the only keys that its user may touch. It opens nothing yet."""
    # The library gets a pool instead of a URL, so that none of its errors can show a password.
    options: dict[str, Any] = {"connection_pool": pool}
    return RedisStorage("async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix=PREFIX, **options)
