"""The visitors: known users on their devices, and new or returning anonymous ones.   simulate: [visitors] → traffic.

A client is one browser or one installed app. A user may have several, each with its own anonymousId. A client is in at
most one session at a time. Memory is bounded: one client per user and source, and a ring of anonymous visitors who may
return.
"""

from __future__ import annotations

from random import Random
from typing import Any

from rtaplatform.simulate.shop.demo_catalog import COUNTRIES, COUNTRY_WEIGHTS, demo_user
from rtaplatform.simulate.shop.devices import device_context
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.weighted_choice import WeightedChoice

_SOURCE_WEIGHTS = {"web": 60, "ios": 18, "android": 17, "server": 0.5}
_NEWCOMERS = 0.35
_KNOWN_AMONG_RETURNING = 0.65
_NEVER_LOG_IN = 0.2
_WRONG_CLOCKS = 0.01
_RING_MIN = 1_000
_COUNTRIES = WeightedChoice(COUNTRIES, COUNTRY_WEIGHTS)


class VisitorClient:
    """One browser or app, with its user and the context it sends. `user_id` is None for a visitor who never logs in."""

    __slots__ = (
        "anonymous_id",
        "context",
        "country",
        "is_busy",
        "is_logged_in",
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
        self.anonymous_id = None if source == "server" else f"a-{rng.getrandbits(48):012x}"
        self.context = device_context(source, country, rng)
        self.is_logged_in = source == "server"
        self.is_busy = False
        self.skew_ms = int((rng.random() - 0.5) * 7_200_000) if rng.random() < _WRONG_CLOCKS else 0


class Visitors:
    """Chooses the next visitor."""

    def __init__(self, plan: SimulationPlan, rng: Random) -> None:
        self._plan, self._rng = plan, rng
        self._sources = WeightedChoice(plan.sources, [_SOURCE_WEIGHTS[source] for source in plan.sources])
        self._user_clients: dict[tuple[int, str], VisitorClient] = {}
        self._ring: list[VisitorClient] = []
        self._ring_max = max(_RING_MIN, plan.users)

    def choose_visitor(self) -> VisitorClient:
        """Return a client without a session, and mark it busy."""
        source = self._sources.draw(self._rng)
        client = self._known_user(source) if source == "server" else self._choose_client(source)
        client.is_busy = True
        return client

    def _choose_client(self, source: str) -> VisitorClient:
        chance = self._rng.random()
        if chance < _NEWCOMERS:
            return self._create_newcomer(source)
        is_known_user = chance < _NEWCOMERS + (1 - _NEWCOMERS) * _KNOWN_AMONG_RETURNING
        client = self._known_user(source) if is_known_user else self._choose_returning(source)
        return self._create_newcomer(source) if client.is_busy else client

    def _create_newcomer(self, source: str) -> VisitorClient:
        country = _COUNTRIES.draw(self._rng)
        client = VisitorClient(source, country, None, self._rng)
        if len(self._ring) < self._ring_max:
            self._ring.append(client)
        else:
            self._ring[int(self._rng.random() * self._ring_max)] = client
        return client

    def _choose_returning(self, source: str) -> VisitorClient:
        if not self._ring:
            return self._create_newcomer(source)
        return self._ring[int(self._rng.random() * len(self._ring))]

    def _known_user(self, source: str) -> VisitorClient:
        # Users with low numbers come often.
        number = 1 + int(self._plan.users * self._rng.random() ** 1.5)
        client = self._user_clients.get((number, source))
        return client or self._first_visit(number, source)

    def _first_visit(self, number: int, source: str) -> VisitorClient:
        user = demo_user(number, self._plan.seed)
        client = VisitorClient(source, user["traits"]["country"], user, self._rng)
        if source != "server" and self._rng.random() < _NEVER_LOG_IN:
            client.user_id = None
        return self._user_clients.setdefault((number, source), client)
