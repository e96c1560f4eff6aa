"""The visitors: known users on their devices, and new or returning anonymous ones.   simulate: [visitors] → traffic.

A client is one browser or one installed app. A user may have several, each with its own anonymousId, and nobody else
logs in there. A client is in at most one session at a time, and rests for a while if there are enough others. Memory is
bounded: one client per user and source, a ring of anonymous visitors, and plans of some to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from rtaplatform.core.time.buckets import MINUTE_MS
from rtaplatform.simulate.shop.demo_catalog import draw_user
from rtaplatform.simulate.shop.people.countries import AwakeCountries
from rtaplatform.simulate.shop.people.devices import draw_device_context
from rtaplatform.simulate.shop.people.returns import Returns
from rtaplatform.simulate.shop.people.sdk_habits import draw_anonymous_id, draw_habits
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.weighted_choice import WeightedChoice

_SOURCE_WEIGHTS = {"web": 60, "ios": 18, "android": 17, "server": 0.5}
_NEWCOMERS = 0.35
_KNOWN_AMONG_RETURNING = 0.65
_NEVER_LOG_IN = 0.2
_WRONG_CLOCKS = 0.01
_NEW_ID_AFTER_LOGOUT = 0.5
_RING_MIN = 1_000
_RETURNS_PER_USER = 10
_REST_MS = 35 * MINUTE_MS
_TRIES = 4


class VisitorClient:
    """One browser or app, with its user and the context it sends. `user_id` is None for a visitor who never logs in."""

    __slots__ = (
        "anonymous_id",
        "context",
        "country",
        "habits",
        "is_busy",
        "is_logged_in",
        "rests_until_ms",
        "skew_ms",
        "source",
        "traits",
        "user_id",
    )

    def __init__(self, source: str, country: str, user: dict[str, Any] | None, rng: Random) -> None:
        self.source = source
        self.country = country
        self.user_id: str | None = user["id"] if user else None
        self.traits = {"email": user["email"], "name": user["name"], **user["traits"]} if user else {}
        self.anonymous_id = None if source == "server" else draw_anonymous_id(rng)
        self.habits = draw_habits(rng)
        self.context = draw_device_context(source, country, self.anonymous_id, rng)
        self.is_logged_in = source == "server"
        self.is_busy = False
        self.rests_until_ms = 0
        self.skew_ms = int((rng.random() - 0.5) * 7_200_000) if rng.random() < _WRONG_CLOCKS else 0

    def log_out(self, rng: Random) -> None:
        """Log the user out. Some clients make a new anonymousId then, as Segment's `reset` does."""
        self.is_logged_in = False
        if rng.random() < _NEW_ID_AFTER_LOGOUT:
            self.anonymous_id = draw_anonymous_id(rng)


class Visitors:
    """Chooses the next visitor."""

    def __init__(self, plan: SimulationPlan, rng: Random) -> None:
        self._plan, self._rng = plan, rng
        self._sources = WeightedChoice(plan.sources, [_SOURCE_WEIGHTS[source] for source in plan.sources])
        self._countries = AwakeCountries()
        self._user_clients: dict[tuple[int, str], VisitorClient] = {}
        self._ring: list[VisitorClient] = []
        self._ring_max = max(_RING_MIN, plan.users)
        self._returns: Returns[VisitorClient] = Returns(rng, self._ring_max * _RETURNS_PER_USER)

    def choose_visitor(self, now_ms: int) -> VisitorClient:
        """Return a client without a session, and mark it busy."""
        source = self._sources.draw(self._rng)
        client = self._draw_user(source) if source == "server" else self._choose_client(source, now_ms)
        client.is_busy = True
        return client

    def release(self, client: VisitorClient, now_ms: int) -> None:
        """Take a client back whose session has ended."""
        client.is_busy = False
        client.rests_until_ms = now_ms + _REST_MS
        if client.source != "server" and client.user_id is None:
            self._returns.plan(client, now_ms)

    def _choose_client(self, source: str, now_ms: int) -> VisitorClient:
        chance = self._rng.random()
        if chance < _NEWCOMERS:
            return self._create_newcomer(source, now_ms)
        if chance < _NEWCOMERS + (1 - _NEWCOMERS) * _KNOWN_AMONG_RETURNING:
            client = self._draw_rested(lambda: self._draw_user(source), now_ms)
        else:
            client = self._returns.take(now_ms) or self._choose_from_ring(source, now_ms)
        return self._create_newcomer(source, now_ms) if client.is_busy else client

    def _create_newcomer(self, source: str, now_ms: int) -> VisitorClient:
        country = self._countries.draw(now_ms, self._rng)
        client = VisitorClient(source, country, None, self._rng)
        if len(self._ring) < self._ring_max:
            self._ring.append(client)
        else:
            self._ring[int(self._rng.random() * self._ring_max)] = client
        return client

    def _choose_from_ring(self, source: str, now_ms: int) -> VisitorClient:
        if not self._ring:
            return self._create_newcomer(source, now_ms)
        return self._draw_rested(lambda: self._ring[int(self._rng.random() * len(self._ring))], now_ms)

    def _draw_rested(self, draw: Callable[[], VisitorClient], now_ms: int) -> VisitorClient:
        """Return a client who has rested and is awake; after a few tries any."""
        for _ in range(_TRIES):
            client = draw()
            if client.rests_until_ms <= now_ms and self._countries.is_awake(client.country, now_ms, self._rng):
                break
        return client

    def _draw_user(self, source: str) -> VisitorClient:
        # Users with low numbers come often.
        number = 1 + int(self._plan.users * self._rng.random() ** 1.5)
        client = self._user_clients.get((number, source))
        return client or self._make_first_visit(number, source)

    def _make_first_visit(self, number: int, source: str) -> VisitorClient:
        user = draw_user(number, self._plan.seed)
        client = VisitorClient(source, user["traits"]["country"], user, self._rng)
        if source != "server" and self._rng.random() < _NEVER_LOG_IN:
            client.user_id = None
        return self._user_clients.setdefault((number, source), client)
