"""Worlds in which the workers were away for days, and then read a log whose partitions differ in size and pace.

People move between website, app and server, so their events lie in several partitions. In the order of time nobody's
event is late. Workers may die, be given other partitions, or own one that another one owns too; servers may not answer.
The totals must be those of the oracle, which takes the log in the order of time, and nothing may be `late_state`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import structs

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.simulate.shop.records import write_time
from rtaplatform.stream.port import Partition
from tests.simulation.home import PROJECTS
from tests.simulation.people_world import DAY, HOUR, NAMES, TOPICS, PeopleWorld
from tests.simulation.world import START_MS

SOURCES = ("web",) * 12 + ("ios",) * 3 + ("server",)  # the website has most of the events
PERSONS = 5


class CatchUpWorld(PeopleWorld):
    """`days` of events are in the log before a worker begins; a few more arrive meanwhile."""

    days = 9
    events_per_day = 40

    def __init__(self, seed: int, **parts: Any) -> None:
        super().__init__(seed, **{"steps": 150, **parts})
        self.chance = Random(f"catch-up {seed}")
        self.now_ms, self.sent = START_MS, 0
        for _ in range(self.days * self.events_per_day):
            self.arrive()

    def arrive(self) -> None:
        """One event, some time after the one before."""
        self.now_ms += int(self.chance.expovariate(1.0) * DAY / self.events_per_day)
        self.sent += 1
        source, user = self.chance.choice(SOURCES), f"u{self.chance.randrange(PERSONS)}"
        project = self.chance.choice(PROJECTS).slug
        message = {
            "projectId": project, "type": "track", "event": self.chance.choice(NAMES), "messageId": f"m{self.sent}",
            "source": source, "timestamp": write_time(self.now_ms // 1_000 * 1_000), "userId": user,
            "properties": {"product_id": "p-1", "price": 1}, "context": {"page": {"path": "/a"}},
        }  # fmt: skip
        if source == "web":
            message["anonymousId"] = f"{user}-{self.chance.randrange(3)}"  # one of their devices
        key = f"{project}:{message.get('anonymousId', user)}".encode()
        partition = Partition(TOPICS[source], find_bucket(key, self.broker.partitions[TOPICS[source]]))
        self.broker.append(partition, self.now_ms, key, json.dumps(message).encode())

    def list_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        return [(40, self.work), (1, self.rebalance), (0.5, self.overlap), (2, self.deliver), (3, self.arrive)]

    def make_limits(self) -> WorkerLimits:
        """Little is held, so that the log must hold back as well."""
        return structs.replace(super().make_limits(), apart_ms_max=HOUR, held_records_max=self.rng.choice([40, 10_000]))

    def find_counted_offset(self, partition: Partition) -> int:
        """How far the shard that is furthest has counted it."""
        place = PartitionId(self.broker.ids[partition.topic], partition.number)
        offsets: list[int] = [self.store.read_state(n).find_next_offset(place) for n in range(self.shards)]
        return max(offsets)

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        counts = self.home.read_totals().counts
        late = {name: n for name, n in counts.items() if n and name.endswith("|late_state")}
        return super().check(distinct_tolerance=distinct_tolerance) + [f"read too late: {late}"] * bool(late)
