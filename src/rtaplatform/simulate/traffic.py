"""The stream of records of a simulated shop.   simulate: pace, people, journey, malformed → [traffic] → sender.

Promise: the same plan gives the same records, byte for byte; another start time shifts the times, makes
other messageIds and changes nothing else (history follows the hour of the day, so there a start also moves the
rhythm). Memory is bounded.
Limits: every slot of time takes the step that is due, else opens a session, so that the rate is kept exactly and
steps wait a little when many are due.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import exp, log
from random import Random
from typing import Any

from rtaplatform.simulate.resends import Resends
from rtaplatform.simulate.shop.demo_catalog import demo_products
from rtaplatform.simulate.shop.devices import arrival
from rtaplatform.simulate.shop.journey import DemoShop, JourneyStep, after_sales, journey, standing_order
from rtaplatform.simulate.shop.malformed import broken
from rtaplatform.simulate.shop.pace import slots
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.popularity import Popularity
from rtaplatform.simulate.shop.records import TOPIC_OF_SOURCE, SimulatedRecord, record_of
from rtaplatform.simulate.shop.visitors import VisitorClient, Visitors
from rtaplatform.simulate.shop.visits import Visit, VisitSealing, message_of

_LATE_MIN_MS, _LATE_MAX_MS = 5 * 60_000, 6 * 3_600_000
_BOTS = 0.01
_WARM_UP_MS = 120_000
_STEPS_SKIPPED_MAX = 14


class _Traffic:
    """Turns slots of time into records."""

    def __init__(self, plan: SimulationPlan) -> None:
        self._plan = plan
        self._rng = rng = Random(f"rta:{plan.seed}")
        # A run that is started again within the minute must not look like a repeat of itself.
        self._sealing = VisitSealing(plan.project, Random(plan.start_ms).getrandbits(128), rng)
        self._people = Visitors(plan, rng)
        popularity = Popularity(demo_products(plan.products, plan.seed), rng)
        self._shop = DemoShop(popularity, rng, "server" in plan.sources)
        self._due: list[tuple[int, int, Visit]] = []
        self._resends = Resends(rng)
        self._visits = self._events = self._late = 0

    def record(self, slot_ms: int) -> SimulatedRecord:
        """Return the record of this slot."""
        chance = self._rng.random()
        now_ms = self._plan.first_ms + slot_ms
        if chance < self._plan.duplicates and self._resends:
            return self._resend(now_ms)
        message, good = self._next_event(slot_ms, now_ms)
        if 1 - chance <= self._plan.malformed:
            return broken(message, good, now_ms, self._rng)
        self._resends.remember(now_ms, good)
        return good

    def _resend(self, now_ms: int) -> SimulatedRecord:
        again = self._resends.draw(now_ms)
        return again if self._plan.backfill_ms is not None else again._replace(timestamp=now_ms)

    def _next_event(self, slot_ms: int, now_ms: int) -> tuple[dict[str, Any], SimulatedRecord]:
        self._shop.popularity.advance(slot_ms)
        visit = heappop(self._due)[2] if self._due and self._due[0][0] <= slot_ms else self._open(slot_ms)
        step = visit.coming
        message = message_of(visit, step, now_ms, self._sealing)
        self._events += 1
        self._late += visit.lag_ms > 0
        own_ms = now_ms - visit.lag_ms
        stamp = now_ms if self._plan.backfill_ms is None else own_ms
        self._go_on(visit, step, slot_ms)
        return message, record_of(message, TOPIC_OF_SOURCE[visit.source], stamp)

    def _go_on(self, visit: Visit, step: JourneyStep, slot_ms: int) -> None:
        client = visit.client
        if step.order is not None and self._shop.confirms and client.logged_in:
            confirm = step.type != "track"
            self._follow_up(client, after_sales(step.order, self._shop, confirm=confirm), slot_ms)
        following = next(visit.steps, None)
        if following is None:
            client.busy = False
            return
        visit.coming = following
        self._push(slot_ms + following.pause_ms, visit)

    def _follow_up(self, client: VisitorClient, steps: Iterator[JourneyStep], slot_ms: int) -> None:
        first = next(steps, None)
        if first is None:
            return
        server = VisitorClient("server", client.country, None, self._rng)
        server.user_id = client.user_id
        visit = Visit(server, "server", _prepend(first, steps))
        self._push(slot_ms + first.pause_ms, visit)

    def _push(self, due_ms: int, visit: Visit) -> None:
        self._visits += 1
        heappush(self._due, (due_ms, self._visits, visit))

    def _open(self, slot_ms: int) -> Visit:
        client = self._people.visitor()
        if client.source == "server":
            visit = Visit(client, "server", standing_order(client, self._shop))
        else:
            visit = Visit(client, client.source, journey(client, self._shop))
            self._arrive(visit)
            self._skip(visit, slot_ms)
        # A device that was offline sends its whole session later; opened when too few late ones were sent.
        if self._late < self._plan.late * self._events:
            visit.lag_ms = int(exp(log(_LATE_MIN_MS) + self._rng.random() * log(_LATE_MAX_MS / _LATE_MIN_MS)))
        return visit

    def _skip(self, visit: Visit, slot_ms: int) -> None:
        """When the run begins, people are in the middle of their visits."""
        if slot_ms > self._rng.random() * _WARM_UP_MS:
            return
        for _ in range(int(self._rng.random() * _STEPS_SKIPPED_MAX)):
            following = next(visit.steps, None)
            if following is None:
                visit.steps = journey(visit.client, self._shop)
                following = next(visit.steps)
            visit.coming = following

    def _arrive(self, visit: Visit) -> None:
        if visit.source != "web":
            return
        campaign, visit.referrer = arrival(self._rng)
        if campaign:
            visit.context = {**visit.context, "campaign": campaign}
        if self._rng.random() < _BOTS:
            visit.marks = ["bot:user_agent"]


def events(plan: SimulationPlan) -> Iterator[SimulatedRecord]:
    """Yield the records of the plan in the order of sending."""
    traffic = _Traffic(plan)
    return map(traffic.record, slots(plan))


def _prepend(first: JourneyStep, steps: Iterator[JourneyStep]) -> Iterator[JourneyStep]:
    yield first
    yield from steps
