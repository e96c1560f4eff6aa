"""A world whose log is damaged too: topics made again, ends lost, beginnings gone; and an operator who accepts it.

A worker must stop at each, and count nothing over it; what stays counted is what was counted before. So the truth is
that of the records which the ledger says are in, from all incarnations of a topic: those that were counted and then
lost from the log, and those that came in their place. One shard, so that there is one such list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rtaplatform.core.ledger import PartitionId, read_next_offset
from rtaplatform.process.rebuild.adoption import adopt
from rtaplatform.process.worker.positions import hash_record
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.stream.port import LogRecord, Partition
from tests.simulation.home import RULES
from tests.simulation.persons import Witness
from tests.simulation.world import World

INCARNATIONS_APART = 1_000  # partitions between one incarnation of a topic and the next, as the oracle is told


@dataclass
class History:
    """What one generation has counted of each place: records that were lost since, and from where on the log has it."""

    lost: dict[PartitionId, list[LogRecord]] = field(default_factory=dict)
    since: dict[PartitionId, int] = field(default_factory=dict)


class DamagedWorld(World):
    often = 1.0

    def __init__(self, seed: int, **kinds: Any) -> None:
        self.histories: dict[str, History] = {}
        self.archive: dict[PartitionId, tuple[Partition, list[LogRecord]]] = {}
        self.damages = 0
        super().__init__(seed, shards=(1,), **kinds)

    def list_more_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        damages = [(0.2, self.recreate), (0.3, self.truncate), (0.3, self.expire)]
        return [(weight * self.often, damage) for weight, damage in damages] + [(1.0, self.operate)]

    # happenings ------------------------------------------------------------------------------------------------

    def recreate(self) -> None:
        topic = self.rng.choice(sorted(self.broker.ids))
        self._keep(topic)
        self.broker.recreate(topic)
        self.damages += 1

    def truncate(self) -> None:
        """The newest records are lost, and others may come in their place, even more than were there.

        Not where a position was just accepted: until something is counted behind it there is no record to tell it by.
        """
        partition = self.choose()
        records = list(self.broker.records.get(partition, []))
        lost = self.rng.randint(0, len(records) - self.broker.low.get(partition, 0))
        self.let_all_arrive()
        before = self.find_next_offset(partition)
        self.broker.truncate(partition, lost)
        if self.store.read_state(0).ledger.get(self.find_place(partition), "").split("|")[1:2] != ["-1"]:
            for _ in range(self.rng.choice([0, 0, 3, 20])):
                self.arrive()
        self.damages += 1
        if before > len(records) - lost:
            self.check_nothing_is_counted(partition)
            self.accept(partition, records)

    def expire(self) -> None:
        """The oldest records are gone: those that were counted, or more."""
        partition = self.choose()
        records = self.broker.records.get(partition, [])
        low = self.rng.randint(self.broker.low.get(partition, 0), len(records))
        self.let_all_arrive()
        before = self.find_next_offset(partition)
        self.broker.expire(partition, low)
        self.damages += 1
        if before < low:
            self.check_nothing_is_counted(partition)
            self.accept(partition, records)

    def operate(self) -> None:
        """Accept the topics that were made again."""
        state = self.store.read_state(0)
        topic_ids = {} if state is None else state.topics
        for partition in self.broker.list_partitions():
            place = self.find_place(partition)
            if topic_ids.get(partition.topic, place.topic_id) != place.topic_id:
                if state.ledger.get(place):
                    self.wrong.append(f"{partition} was counted, made again, and not accepted")
                self.accept(partition, [])

    def begin(self, shard: int, expected: str = "") -> None:
        super().begin(shard, expected)
        lows = {self.find_place(p): low for p, low in self.broker.low.items()}
        self.histories[f"g{self.call_count}"] = History(since=lows)

    # the operator ----------------------------------------------------------------------------------------------

    def accept(self, partition: Partition, records: list[LogRecord]) -> None:
        """Take the partition as it is; `records`: those that were there. What can't be taken is counted again."""
        self.past = []
        state, place = self.store.read_state(0), self.find_place(partition)
        extent = self.log(self.broker).read_extents([partition])[partition]
        adoption = adopt(partition, extent, state, self.hash_records(partition))
        if adoption is None:
            self.begin_again(0)
        else:
            text = state.ledger.get(place, "")
            before = read_next_offset(text) if text else state.starts.get(place, 0)
            history = self.histories[state.generation]
            history.lost.setdefault(place, []).extend(records[history.since.get(place, 0) : before])
            history.since[place] = read_next_offset(adoption.move.to_row)
            gaps = {adoption.origin: adoption.gap}
            assert self.store.adopt(0, state.generation, partition.topic, place.topic_id, [adoption.move], gaps), (
                "nobody else was at work"
            )
        self.past = [self.take_snapshot()]

    def let_all_arrive(self) -> None:
        """What is on its way is there before the log is cut: nobody has read more than the ledger will tell."""
        while self.late:
            self.deliver()
        for number in range(len(self.workers)):
            self.replace(number)
        self.past = [self.take_snapshot()]

    def check_nothing_is_counted(self, partition: Partition) -> None:
        """Workers see it, and must leave it alone."""
        before = self.find_next_offset(partition)
        for _ in range(8):
            self.work()
        if self.find_next_offset(partition) != before:
            self.wrong.append(
                f"{partition} was counted over a gap, from {before} to {self.find_next_offset(partition)}"
            )

    # helpers ---------------------------------------------------------------------------------------------------

    def choose(self) -> Partition:
        return self.rng.choice(self.broker.list_partitions())

    def find_place(self, partition: Partition) -> PartitionId:
        return PartitionId(self.broker.ids[partition.topic], partition.number)

    def find_next_offset(self, partition: Partition) -> int:
        """The offset that the shard counts next."""
        state, place = self.store.read_state(0), self.find_place(partition)
        text = state.ledger.get(place, "")
        return read_next_offset(text) if text else state.starts.get(place, 0)

    def hash_records(self, partition: Partition) -> dict[int, str]:
        """Of all records that are there now."""
        low = self.broker.low.get(partition, 0)
        return {r.offset: hash_record(r) for r in self.broker.records.get(partition, [])[low:]}

    def _keep(self, topic: str) -> None:
        """What is there now may be counted, and lost then."""
        for number in range(self.broker.partitions[topic]):
            partition = Partition(topic, number)
            self.archive[self.find_place(partition)] = (partition, self.broker.records.get(partition, []))

    # the end ---------------------------------------------------------------------------------------------------

    def recount(self) -> Witness:
        witness = Witness(RULES)
        for topic in self.broker.ids:
            self._keep(topic)
        state = self.store.read_state(0)
        history = self.histories[state.generation]
        for place, text in sorted(state.ledger.items(), key=lambda row: len(row[0].topic_id)):
            partition, records = self.archive[place]
            counted = history.lost.get(place, []) + records[history.since.get(place, 0) : read_next_offset(text)]
            number = partition.number + INCARNATIONS_APART * len(place.topic_id)
            for r in counted:
                witness.add(ConsumedRecord(partition.topic, number, r.offset, r.timestamp_ms, r.key, r.value))
        dead = {_as_in_the_log(origin): reason for origin, reason in witness.truth.dead.items()}
        witness.truth.dead = dead
        return witness


def _as_in_the_log(origin: str) -> str:
    topic, number, offset = origin.split(":")
    return f"{topic}:{int(number) % INCARNATIONS_APART}:{offset}"
