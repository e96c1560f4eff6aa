"""One worker over a log of one partition, for a project that declares what it asks by."""

from __future__ import annotations

import json
from typing import Any

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.rebuild.rebuild import Rebuild
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog, MemoryPartitions
from rtaplatform.stream.port import Partition

WEB = Partition("rta.events.web", 0)
AT_MS = 1_795_000_000_000


class DeclaringSite:
    def __init__(self, project: ProjectSettings) -> None:
        self.broker, self.store = MemoryBroker({WEB.topic: 1}), MemoryStore(1)
        starts = {PartitionId(self.broker.ids[WEB.topic], 0): 0}
        self.store.begin(0, expected="", generation="g1", topics=dict(self.broker.ids), starts=starts)
        self.store.set_projects([project], "v0")
        log = MemoryLog(self.broker, 100)
        log.assign([WEB])
        self.worker = Worker(log, log, self.store, shards=1, sleep=lambda _: None, clock=lambda: 0.0)
        self.sent = 0

    def append(self, **fields: Any) -> None:
        """Send an event of the project `demo`, a millisecond after the one before."""
        self.sent += 1
        event = {"projectId": "demo", "messageId": f"m-{self.sent}", **fields}
        self.broker.append(WEB, AT_MS + self.sent, b"demo:a", json.dumps(event).encode())

    def count(self) -> None:
        for _ in range(8):
            self.worker.turn()

    def rebuild(self) -> None:
        log = TimeOrderedLog(MemoryPartitions(self.broker, read_max=100), batch_max=100)
        rebuild = Rebuild(log, MemoryLog(self.broker, 1), self.store, shards=1, sleep=lambda _: None)
        while rebuild.remaining:
            rebuild.step()

    def read_day(self, rollup: str) -> dict[str, int]:
        """The fields of the day, without what is known of seats."""
        days = [f for key, f in self.store.shards[0].totals.cells.items() if (key.rollup, key.kind) == (rollup, "d")]
        return {name: n for name, n in (days[0] if days else {}).items() if name[:1] != "#" and n}
