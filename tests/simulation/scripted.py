"""Worlds in which happens what a script says and nothing else, where a situation is too rare to be left to chance.

Each leads straight to one, and ends as every world does: one healthy worker, then the totals must be the oracle's. No
call fails but where the script says so, and a call is under way until somebody waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.store.port import Outcome, Switched
from rtaplatform.stream.port import Partition
from tests.simulation.faults import start_call
from tests.simulation.world import START_MS, Running, World

WEB, MOBILE = "rta.events.web", "rta.events.mobile"
STEPS_MAX = 100


class ScriptedWorld(World):
    """`script` it. `parts` are a world's: the store's home, the worker, the rebuild."""

    def __init__(self, seed: int, **parts: Any) -> None:
        self.begun_calls = self.sent = 0
        self.before_next_call: Callable[[], None] | None = None
        super().__init__(seed, steps=0, fault_rate=0.0, shards=(1,), **parts)

    def run_script(self) -> None:
        raise NotImplementedError

    def run(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        self.run_script()
        return super().run(distinct_tolerance=distinct_tolerance)

    def begin_call(self, call: Callable[[], Outcome]) -> Callable[[], Outcome]:
        self.begun_calls += 1
        before, self.before_next_call = self.before_next_call, None

        def arrive() -> Outcome:
            if before is not None:
                before()
            return call()

        return start_call(arrive, at_once=False)

    def view(self, topic: str, user: str, *, has_id: bool = True) -> Partition:
        """A page that a user looks at; without an id nobody asks whether it is a repeat. Returns where it went."""
        self.sent += 1
        key = b"demo:anna"
        event = {"projectId": "demo", "type": "page", "userId": user}
        if has_id:
            event["messageId"] = f"m-{self.sent}"
        partition = Partition(topic, find_bucket(key, self.broker.partitions[topic]))
        self.broker.append(partition, START_MS + self.sent, key, json.dumps(event).encode())
        return partition

    def act_until_a_call_is_under_way(self, act: Callable[[], object]) -> None:
        before = self.begun_calls
        for _ in range(STEPS_MAX):
            act()
            if self.begun_calls > before:
                return
        raise AssertionError("the script leads nowhere: no call was begun")


def lose() -> None:
    """The call never arrives."""
    raise Unavailable("redis", "lost before")


class CallWithoutAnEffect(ScriptedWorld):
    """A batch is sent and never arrives. Nothing else is read before that is noticed; another record is after it."""

    def run_script(self) -> None:
        worker = self.workers[0]
        worker.log.assign([self.view(WEB, "anna")])
        self.before_next_call = lose
        self.act_until_a_call_is_under_way(worker.worker.turn)
        worker.worker.turn()
        self.view(WEB, "anna")
        self.act_until_a_call_is_under_way(worker.worker.turn)
        worker.worker.turn()


class StoreGoesBackUnderACall(ScriptedWorld):
    """The store comes back without its last write while the next call is under way; then others are read of."""

    def run_script(self) -> None:
        worker = self.workers[0]
        worker.log.assign([self.view(WEB, "anna", has_id=False)])
        self._count(worker)
        past = self.take_snapshot()
        self.view(WEB, "bob", has_id=False)
        self._count(worker)
        self.before_next_call = lambda: self.home.restore(0, past[0])
        for user in ("carl", "dora"):
            self.view(WEB, user, has_id=False)
            self._count(worker)

    def _count(self, running: Running) -> None:
        self.act_until_a_call_is_under_way(running.worker.turn)
        running.worker.turn()


class TwoMeetSomebodyNew(ScriptedWorld):
    """Two workers read of one person, in partitions of their own, before either has written of her."""

    views = 1  # of her, in each partition

    def run_script(self) -> None:
        pair = self.workers[:2]
        for running, topic in zip(pair, (WEB, MOBILE), strict=True):
            running.log.assign({self.view(topic, "anna") for _ in range(self.views)})
            self.act_until_a_call_is_under_way(running.worker.turn)
        for running in pair:
            running.worker.turn()


class TwoMeetInSeveralRecords(TwoMeetSomebodyNew):
    """Whoever is second goes on from its copies then, in smaller batches."""

    views = 3

    def run_script(self) -> None:
        super().run_script()
        for _ in range(3 * self.views):
            self.workers[1].worker.turn()


class TwoMeetInALooseId(ScriptedWorld):
    """Two workers read one id, in partitions of one topic, before either has written it. A bot's: no person decides."""

    def run_script(self) -> None:
        pair, key = self.workers[:2], b"demo:anna"
        event = {"projectId": "demo", "type": "page", "userId": "anna", "messageId": "m", "marks": ["bot:agent"]}
        for number, running in enumerate(pair):
            self.broker.append(Partition(WEB, number), START_MS, key, json.dumps(event).encode())
            running.log.assign([Partition(WEB, number)])
            self.act_until_a_call_is_under_way(running.worker.turn)
        for running in pair:
            running.worker.turn()


class TwoMeetInAnOrder(ScriptedWorld):
    """Two workers read reports of one order before either has counted it. A bot's: no person decides."""

    def run_script(self) -> None:
        pair = self.workers[:2]
        event = {
            "projectId": "demo",
            "type": "track",
            "event": "Order Completed",
            "userId": "anna",
            "marks": ["bot:agent"],
            "properties": {"order_id": "o-1", "product_id": "p-1", "price": 5},
        }
        for number, running in enumerate(pair):
            report = json.dumps({**event, "messageId": f"m-{number}"}).encode()
            self.broker.append(Partition(WEB, number), START_MS, b"demo:%d" % number, report)
            running.log.assign([Partition(WEB, number)])
            self.act_until_a_call_is_under_way(running.worker.turn)
        for running in pair:
            running.worker.turn()


class SwitchUnderACall(ScriptedWorld):
    """Two rebuilds build one generation, and the other one switches to it while a call is under way."""

    def run_script(self) -> None:
        self.view(WEB, "anna")
        rebuild = self.rebuilds.make_rebuild()
        self.before_next_call = self._switch
        self.rebuilds.finish(rebuild)
        assert self.store.read_state(0).generation == rebuild.names[0]

    def _switch(self) -> None:
        """Nothing is counted yet, so nothing is behind."""
        read, generations = self.store.read_state(0).generation, self.home.generations
        built = generations.read_building(0).generation
        assert generations.switch(0, expected=read, generation=built, lost={}) == Switched()
