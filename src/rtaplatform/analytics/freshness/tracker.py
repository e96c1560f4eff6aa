"""How fresh and how whole an answer is.   Stage 5 of 6, pure: fed by `watch.py` and by every snapshot read.

`as_of` is a proof, not an estimate: a sample says where the logs ended after an instant T, so a ledger that has
passed all those ends holds everything appended before T. A broker that has just come back may not list all topics, or
an end of earlier: such a sample proves nothing. Durations come from the monotonic clock. The greatest position ever
ever seen per shard and partition is remembered, so a store that went back in time is noticed, by whatever generation it
answers. Where the log itself has lost its end (`rta topics adopt` accepts that), what lay beyond it is forgotten.
`log_ends.py` has the samples and their limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from rtaplatform.analytics.freshness.log_ends import LogEndHistory, LogInstant
from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.store.port import Snapshot

STUCK_S = 10.0


class LedgerPosition(Struct):
    """Where a shard stands in a partition, and since when."""

    offset: int
    since_s: float
    greatest: int


class Freshness(Struct, frozen=True):
    """What `meta` says. `reasons` are for operators: why it is not complete."""

    as_of_ms: int | None
    lag_ms: int | None
    reasons: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return not self.reasons


class PartitionState(Struct, frozen=True):
    shard: int
    topic_id: str
    partition: int
    lag: int
    advanced_s_ago: float
    behind: int


class FreshnessState(Struct, frozen=True):
    """For health and signals. `sample_age_s` None: the log's ends were never read."""

    sample_age_s: float | None
    partitions: list[PartitionState]
    stops: dict[str, str]
    torn: list[int]


class FreshnessTracker:
    """`clock_fault` says why the clock of this machine is wrong, if it is: then no `as_of` is told by it."""

    def __init__(self, clock_fault: Callable[[], str | None] = lambda: None) -> None:
        self._clock_fault = clock_fault
        self._ends = LogEndHistory()
        self._positions: dict[tuple[int, PartitionId], LedgerPosition] = {}
        self._floors: dict[PartitionId, int] = {}
        self._stops: dict[int, dict[str, str]] = {}
        self._torn: set[int] = set()

    def sample(self, before: LogInstant, ends: Mapping[PartitionId, int]) -> None:
        """`before` is read before the ends are asked for."""
        for place, end in self._ends.add(before, ends).items():
            self._forget_beyond(place, end)

    def seed(self, committed: Mapping[PartitionId, int]) -> None:
        """The group's committed offsets: every shard's ledger was there once."""
        for place, offset in committed.items():
            self._floors[place] = max(offset, self._floors.get(place, 0))

    def observe(self, snapshot: Snapshot, now: LogInstant) -> Freshness:
        """Take in a snapshot's ledger, and say how fresh and whole its answers are."""
        shard = snapshot.shard
        self._stops[shard] = dict(snapshot.stops)
        (self._torn.add if snapshot.torn else self._torn.discard)(shard)
        offsets = self._offsets(snapshot)
        self._forget_others(shard, offsets)
        for place, offset in offsets.items():
            self._note((shard, place), offset, now)
            row = snapshot.ledger.get(place)
            if row is not None and row.last_offset < 0 and self._behind(shard, place):
                self._look_whether_adopted(place)
        as_of = self._as_of(snapshot, offsets)
        lag = None if as_of is None else max(0, self._age_ms(as_of, now))
        reasons, fault = self._reasons(snapshot, offsets, now), self._clock_fault()
        if fault is not None:
            return Freshness(None, lag, (*reasons, f"the clock of this machine is wrong: {fault}"))
        return Freshness(None if as_of is None else as_of.wall_ms, lag, reasons)

    def state(self, now: LogInstant) -> FreshnessState:
        newest, ends = self._ends.newest_at, self._ends.known
        return FreshnessState(
            None if newest is None else now.monotonic_s - newest.monotonic_s,
            [
                PartitionState(
                    shard, place.topic_id, place.partition, max(0, ends.get(place, 0) - position.offset),
                    now.monotonic_s - position.since_s, self._behind(shard, place),
                )
                for (shard, place), position in sorted(self._positions.items())
            ],
            {f"{shard}/{what}": why for shard, stops in self._stops.items() for what, why in stops.items()},
            sorted(self._torn),
        )  # fmt: skip

    def progress(self) -> tuple[int, int]:
        """Records that are counted, and that wait, about: of several shards each has its part of a partition."""
        ends, shards = self._ends.known, len({shard for shard, _ in self._positions}) or 1
        counted = sum(position.offset for position in self._positions.values())
        waiting = sum(max(0, ends.get(place, 0) - position.offset) for (_, place), position in self._positions.items())
        return counted // shards, waiting // shards

    # inside ----------------------------------------------------------------------------------------------------

    def _offsets(self, snapshot: Snapshot) -> dict[PartitionId, int]:
        """The next offset of each partition that is known: without a row it is where the generation begins."""
        known = set(snapshot.topics.values())
        places = {*snapshot.ledger, *snapshot.starts, *self._ends.known}
        return {
            place: snapshot.ledger[place].next_offset if place in snapshot.ledger else snapshot.starts.get(place, 0)
            for place in places
            if place.topic_id in known
        }

    def _note(self, key: tuple[int, PartitionId], offset: int, now: LogInstant) -> None:
        position = self._positions.get(key)
        if position is None:
            self._positions[key] = LedgerPosition(offset, now.monotonic_s, max(offset, self._floors.get(key[1], 0)))
        elif position.offset != offset:
            position.offset, position.since_s = offset, now.monotonic_s
            position.greatest = max(offset, position.greatest)

    def _forget_others(self, shard: int, offsets: Mapping[PartitionId, int]) -> None:
        """Partitions of a topic that was re-created are no longer ours to catch up with."""
        for key in [k for k in self._positions if k[0] == shard and k[1] not in offsets]:
            del self._positions[key]

    def _look_whether_adopted(self, place: PartitionId) -> None:
        """The row of one who has accepted a log without its end: nothing has been counted behind it yet."""
        if (end := self._ends.accept_fall(place)) is not None:
            self._forget_beyond(place, end)

    def _forget_beyond(self, place: PartitionId, end: int) -> None:
        """The log has lost its end, and holds nothing from here on: nobody is behind for what is gone."""
        for (_, known), position in self._positions.items():
            if known == place:
                position.greatest = min(position.greatest, end)
        if place in self._floors:
            self._floors[place] = min(self._floors[place], end)

    def _as_of(self, snapshot: Snapshot, offsets: Mapping[PartitionId, int]) -> LogInstant | None:
        topics = frozenset(snapshot.topics.values())
        proved = self._ends.proved_by(offsets, topics)
        if proved is not None:
            return proved
        if not topics <= self._ends.topics:
            return None
        return self._as_of_records(offsets, snapshot.ledger)

    def _as_of_records(
        self, offsets: Mapping[PartitionId, int], ledger: Mapping[PartitionId, LedgerRow]
    ) -> LogInstant | None:
        """Behind every sample: the stream time of the partition that lags most is the best that is known."""
        oldest = self._ends.oldest_at
        lagging = [place for place, end in self._ends.known.items() if end > offsets.get(place, 0)]
        if oldest is None or not all(place in ledger for place in lagging):
            return None
        wall_ms = min([oldest.wall_ms, *(ledger[place].stream_time_ms for place in lagging)])
        return LogInstant(wall_ms, oldest.monotonic_s - (oldest.wall_ms - wall_ms) / 1000)

    @staticmethod
    def _age_ms(then: LogInstant, now: LogInstant) -> int:
        return round((now.monotonic_s - then.monotonic_s) * 1000)

    def _reasons(self, snapshot: Snapshot, offsets: Mapping[PartitionId, int], now: LogInstant) -> tuple[str, ...]:
        reasons = [f"stopped {what}: {why}" for what, why in sorted(snapshot.stops.items())]
        if snapshot.torn:
            reasons.append(f"shard {snapshot.shard} is torn")
        if self._ends.newest_at is None:
            reasons.append("the log's ends are not known yet")
        for place in sorted(offsets):
            if behind := self._behind(snapshot.shard, place):
                reasons.append(f"{place.topic_id}:{place.partition} is {behind} behind where it was")
            if self._stuck_s(snapshot.shard, place, offsets[place], now) >= STUCK_S:
                reasons.append(f"{place.topic_id}:{place.partition} does not advance")
        return tuple(reasons)

    def _behind(self, shard: int, place: PartitionId) -> int:
        position = self._positions[shard, place]
        return max(0, max(position.greatest, self._floors.get(place, 0)) - position.offset)

    def _stuck_s(self, shard: int, place: PartitionId, offset: int, now: LogInstant) -> float:
        """How long there has been something to read that was not read."""
        unread = self._ends.unread_since(place, offset)
        return 0.0 if unread is None else now.monotonic_s - max(unread, self._positions[shard, place].since_s)
