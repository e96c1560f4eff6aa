"""For n = 1, 2, …: the n-th call of a rebuild to log or store fails once, and it builds what was counted live."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.core.values.ids import hash_persons
from rtaplatform.process.people.erased import TOMBSTONE
from rtaplatform.process.rebuild.rebuild import Rebuild
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.stream.kafka.config import CONTROL
from rtaplatform.stream.memory import MemoryBroker, MemoryLog, MemoryPartitions
from rtaplatform.stream.port import Partition
from tests.simulation.faults import Crash, start_call
from tests.simulation.test_fail_nth_call import ERRORS, SHARDS, TURNS_MAX, Failing, Plan, Scenario, make_harmless_plan
from tests.simulation.test_rebuild import make_digest
from tests.simulation.world import PROJECTS, TOPICS


class Rebuilding:
    """A short log that is counted, somebody in it who is erased, and one rebuild of it at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.clock = plan, 0.0
        self.live = Scenario(make_harmless_plan(), MemoryBroker({**TOPICS, CONTROL: 1}))
        assert self.live.run() == []
        self._erase_somebody()
        self.before = self._list_digests()

    def _erase_somebody(self) -> None:
        visitor = self._find_visitor()
        value = {"type": "erase", "projectId": PROJECTS[0].slug, "userId": "nobody", "anonymousIds": [visitor]}
        newest = max(records[-1].timestamp_ms for records in self.live.broker.records.values())
        self.live.broker.append(Partition(CONTROL, 0), newest + 1, b"", json.dumps(value).encode())
        self.live.store.forget(PROJECTS[0].slug, hash_persons("nobody", [visitor]), TOMBSTONE)

    def _find_visitor(self) -> str:
        values = (_read(record.value) for records in self.live.broker.records.values() for record in records)
        ours = (v for v in values if v.get("projectId") == PROJECTS[0].slug and not v.get("userId"))
        return next(str(v["anonymousId"]) for v in ours if v.get("anonymousId"))

    def _list_digests(self) -> list[dict[str, Any]]:
        return [make_digest(shard.totals, without_quality=False) for shard in self.live.store.shards]

    def run(self) -> list[str]:
        """Everything that is wrong at the end."""
        rebuild = self.make_rebuild()
        for _ in range(TURNS_MAX):
            self.clock += 0.9
            try:
                rebuild.step()
            except Crash:
                rebuild = self.make_rebuild()
            if not rebuild.remaining:
                return [] if self._list_digests() == self.before else ["what was built is not what was counted"]
        return [f"the rebuild of {rebuild.remaining} never came to its end"]

    def make_rebuild(self) -> Rebuild:
        store, dead_letters = self.live.store, MemoryLog(self.live.broker)
        return Rebuild(
            TimeOrderedLog(Failing(MemoryPartitions(self.live.broker, read_max=7), self.plan), batch_max=20),
            Failing(dead_letters, self.plan),
            Failing(store, self.plan),
            shards=SHARDS,
            limits=WorkerLimits(dedup_ids_cached_max=10, person_values_cached_max=4),
            start_call=start_call,
            sleep=lambda _: None,
            clock=lambda: self.clock,
        )


def _read(value: bytes | None) -> dict[str, Any]:
    try:
        message = json.loads(value or b"")
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS)
def test_any_call_of_a_rebuild_may_fail_once(error: str, is_after: bool) -> None:
    clean = make_harmless_plan()
    assert Rebuilding(clean).run() == []
    names = {
        "list_partitions", "read_extents", "seek", "read", "read_building", "begin_building", "read_state",
        "read_blocks", "read_loose_ids", "read_persons", "build", "erase", "switch",
    }  # fmt: skip
    assert names <= set(clean.calls)
    for n in range(1, len(clean.calls) + 1):
        plan = Plan(n, ERRORS[error], is_after)
        wrong = Rebuilding(plan).run()
        assert not wrong, f"call {n}, {plan.calls[n - 1]}, {error}: {wrong}"
