"""The stream of records of a simulated shop.   simulate: pace, people, journey, malformed → [traffic] → sender.

Promise: the same plan gives the same records, byte for byte. Another start time shifts the times and changes the
messageIds. It also changes who is awake: visitors' countries and the rhythm of history follow the hour of the day.
Memory is bounded.
Limits: every time slot takes a step that is due, or else opens a session. So the rate is exact, and steps wait a little
when many are due.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import exp, log
from random import Random
from typing import Any

from rtaplatform.simulate.resends import Resends
from rtaplatform.simulate.shop.after_sales import follow_order, repeat_order
from rtaplatform.simulate.shop.demo_catalog import draw_products
from rtaplatform.simulate.shop.journey import DemoShop, JourneyStep, walk_shop
from rtaplatform.simulate.shop.malformed import break_record
from rtaplatform.simulate.shop.pace import plan_slots
from rtaplatform.simulate.shop.people.devices import draw_arrival
from rtaplatform.simulate.shop.people.visitors import VisitorClient, Visitors
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.popularity import Popularity
from rtaplatform.simulate.shop.records import TOPIC_OF_SOURCE, SimulatedRecord, encode_record
from rtaplatform.simulate.shop.visits import Visit, VisitSealing, make_message

_LATE_MIN_MS, _LATE_MAX_MS = 5 * 60_000, 6 * 3_600_000
_BOTS = 0.01
_WARM_UP_MS = 120_000
_STEPS_SKIPPED_MAX = 14


class _Traffic:
    """Turns slots of time into records."""

    def __init__(self, plan: SimulationPlan) -> None:
        self._plan = plan
        self._rng = rng = Random(f"rta:{plan.seed}")
        # The start time is part of the messageIds: a run that is started again at once must not look like a repeat.
        self._sealing = VisitSealing(plan.project, Random(plan.start_ms).getrandbits(128), rng)
        self._visitors = Visitors(plan, rng)
        popularity = Popularity(draw_products(plan.products, plan.seed), rng)
        self._shop = DemoShop(popularity, rng, "server" in plan.sources, plan.double_reports)
        self._due: list[tuple[int, int, Visit]] = []
        self._resends = Resends(rng)
        self._visits = self._events = self._late = 0

    def make_record(self, slot_ms: int) -> SimulatedRecord:
        """Return the record of this slot."""
        chance = self._rng.random()
        now_ms = self._plan.first_ms + slot_ms
        if chance < self._plan.duplicates and self._resends:
            return self._resend(now_ms)
        message, good_record = self._draw_event(slot_ms, now_ms)
        if 1 - chance <= self._plan.malformed:
            return break_record(message, good_record, now_ms, self._rng)
        self._resends.remember(now_ms, good_record)
        return good_record

    def _resend(self, now_ms: int) -> SimulatedRecord:
        record = self._resends.draw(now_ms)
        return record if self._plan.backfill_ms is not None else record._replace(timestamp=now_ms)

    def _draw_event(self, slot_ms: int, now_ms: int) -> tuple[dict[str, Any], SimulatedRecord]:
        self._shop.popularity.advance(slot_ms)
        visit = heappop(self._due)[2] if self._due and self._due[0][0] <= slot_ms else self._open_visit(slot_ms)
        step = visit.next_step
        message = make_message(visit, step, now_ms, self._sealing)
        self._events += 1
        self._late += visit.lag_ms > 0
        own_ms = now_ms - visit.lag_ms
        timestamp_ms = now_ms if self._plan.backfill_ms is None else own_ms
        self._continue_visit(visit, step, slot_ms)
        return message, encode_record(message, TOPIC_OF_SOURCE[visit.source], timestamp_ms)

    def _continue_visit(self, visit: Visit, step: JourneyStep, slot_ms: int) -> None:
        client = visit.client
        if step.order is not None and self._shop.confirms and client.is_logged_in:
            self._follow_up(client, follow_order(step.order, self._shop, confirm=step.confirm), slot_ms)
        next_step = next(visit.steps, None)
        if next_step is None:
            self._visitors.release(client, self._plan.first_ms + slot_ms)
            return
        visit.next_step = next_step
        self._push(slot_ms + next_step.pause_ms, visit)

    def _follow_up(self, client: VisitorClient, steps: Iterator[JourneyStep], slot_ms: int) -> None:
        first_step = next(steps, None)
        if first_step is None:
            return
        server = VisitorClient("server", client.country, None, self._rng)
        server.user_id = client.user_id
        visit = Visit(server, "server", _prepend(first_step, steps))
        self._push(slot_ms + first_step.pause_ms, visit)

    def _push(self, due_ms: int, visit: Visit) -> None:
        self._visits += 1
        heappush(self._due, (due_ms, self._visits, visit))

    def _open_visit(self, slot_ms: int) -> Visit:
        client = self._visitors.choose_visitor(self._plan.first_ms + slot_ms)
        if client.source == "server":
            visit = Visit(client, "server", repeat_order(client, self._shop))
        else:
            visit = Visit(client, client.source, walk_shop(client, self._shop))
            self._set_arrival(visit)
            self._skip_steps(visit, slot_ms)
        # A device that was offline sends its whole session late. Such a session is opened if too few events were late.
        if self._late < self._plan.late * self._events:
            visit.lag_ms = int(exp(log(_LATE_MIN_MS) + self._rng.random() * log(_LATE_MAX_MS / _LATE_MIN_MS)))
        return visit

    def _skip_steps(self, visit: Visit, slot_ms: int) -> None:
        """Skip some steps of a session at the start of the run, when visitors are in the middle of their visits."""
        if slot_ms > self._rng.random() * _WARM_UP_MS:
            return
        for _ in range(int(self._rng.random() * _STEPS_SKIPPED_MAX)):
            next_step = next(visit.steps, None)
            if next_step is None:
                visit.steps = walk_shop(visit.client, self._shop)
                next_step = next(visit.steps)
            visit.next_step = next_step

    def _set_arrival(self, visit: Visit) -> None:
        if visit.source != "web":
            return
        visit.arrival = draw_arrival(self._rng)
        if self._rng.random() < _BOTS:
            visit.marks = ["bot:user_agent"]


def draw_events(plan: SimulationPlan) -> Iterator[SimulatedRecord]:
    """Yield the records of the plan in the order of sending."""
    traffic = _Traffic(plan)
    return map(traffic.make_record, plan_slots(plan))


def _prepend(first_step: JourneyStep, steps: Iterator[JourneyStep]) -> Iterator[JourneyStep]:
    yield first_step
    yield from steps
