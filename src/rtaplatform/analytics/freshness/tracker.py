"""How fresh and how complete an answer is.   Stage 5 of 6, pure: fed by `watch.py` and by every snapshot read.

`as_of` is a proof, not an estimate. A sample has the ends of the logs after an instant T. A ledger that has passed all
these ends includes everything appended before T. A broker that has just come back may list too few topics, or an older
end; such a sample proves nothing. Durations come from the monotonic clock.
The greatest position ever seen is kept per shard and partition, so a store that went back in time is noticed, whatever
its generation. If the log itself has lost its end (`rta topics adopt` accepts that), positions beyond it are forgotten.
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
    """The position of a shard in a partition, and since when it has not moved."""

    offset: int
    since_s: float
    greatest: int


class Freshness(Struct, frozen=True):
    """The freshness in an answer's `meta`. `reasons` tell operators why the answer is not complete."""

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
    """The state for health and signals. `sample_age_s` is None if the ends of the logs were never read."""

    sample_age_s: float | None
    partitions: list[PartitionState]
    stops: dict[str, str]
    torn: list[int]


class FreshnessTracker:
    """`clock_fault` says why this machine's clock is wrong, or None. With a wrong clock there is no `as_of`."""

    def __init__(self, clock_fault: Callable[[], str | None] = lambda: None) -> None:
        self._clock_fault = clock_fault
        self._ends = LogEndHistory()
        self._positions: dict[tuple[int, PartitionId], LedgerPosition] = {}
        self._floors: dict[PartitionId, int] = {}
        self._stops: dict[int, dict[str, str]] = {}
        self._torn_shards: set[int] = set()

    def sample(self, before: LogInstant, ends: Mapping[PartitionId, int]) -> None:
        """Add a sample of the logs' ends. `before` is a moment before they were read."""
        for place, end in self._ends.add(before, ends).items():
            self._forget_beyond(place, end)

    def seed(self, offsets: Mapping[PartitionId, int]) -> None:
        """Note the group's committed offsets: every shard's ledger has been that far."""
        for place, offset in offsets.items():
            self._floors[place] = max(offset, self._floors.get(place, 0))

    def observe(self, snapshot: Snapshot, now: LogInstant) -> Freshness:
        """Note a snapshot's ledger, and return how fresh and complete its answers are."""
        shard = snapshot.shard
        self._stops[shard] = dict(snapshot.stops)
        (self._torn_shards.add if snapshot.torn else self._torn_shards.discard)(shard)
        offsets = self._find_offsets(snapshot)
        self._drop_other_partitions(shard, offsets)
        for place, offset in offsets.items():
            self._note((shard, place), offset, now)
            row = snapshot.ledger.get(place)
            if row is not None and row.last_offset < 0 and self._count_behind(shard, place):
                self._accept_fall(place)
        as_of = self._as_of(snapshot, offsets)
        lag = None if as_of is None else max(0, self._compute_age_ms(as_of, now))
        reasons, fault = self._list_reasons(snapshot, offsets, now), self._clock_fault()
        if fault is not None:
            return Freshness(None, lag, (*reasons, f"the clock of this machine is wrong: {fault}"))
        return Freshness(None if as_of is None else as_of.wall_ms, lag, reasons)

    def report_state(self, now: LogInstant) -> FreshnessState:
        newest, ends = self._ends.newest_at, self._ends.latest
        return FreshnessState(
            None if newest is None else now.monotonic_s - newest.monotonic_s,
            [
                PartitionState(
                    shard, place.topic_id, place.partition, max(0, ends.get(place, 0) - position.offset),
                    now.monotonic_s - position.since_s, self._count_behind(shard, place),
                )
                for (shard, place), position in sorted(self._positions.items())
            ],
            {f"{shard}/{subject}": reason for shard, stops in self._stops.items() for subject, reason in stops.items()},
            sorted(self._torn_shards),
        )  # fmt: skip

    def estimate_progress(self) -> tuple[int, int]:
        """Estimate how many records are counted, and how many wait. Each shard has its own part of a partition."""
        ends, shards = self._ends.latest, len({shard for shard, _ in self._positions}) or 1
        events_counted = sum(position.offset for position in self._positions.values())
        events_waiting = sum(
            max(0, ends.get(place, 0) - position.offset) for (_, place), position in self._positions.items()
        )
        return events_counted // shards, events_waiting // shards

    # inside ----------------------------------------------------------------------------------------------------

    def _find_offsets(self, snapshot: Snapshot) -> dict[PartitionId, int]:
        """Return the next offset of each known partition. Without a row it is where the generation begins."""
        topic_ids = set(snapshot.topics.values())
        places = {*snapshot.ledger, *snapshot.starts, *self._ends.latest}
        return {
            place: snapshot.ledger[place].next_offset if place in snapshot.ledger else snapshot.starts.get(place, 0)
            for place in places
            if place.topic_id in topic_ids
        }

    def _note(self, key: tuple[int, PartitionId], offset: int, now: LogInstant) -> None:
        position = self._positions.get(key)
        if position is None:
            self._positions[key] = LedgerPosition(offset, now.monotonic_s, max(offset, self._floors.get(key[1], 0)))
        elif position.offset != offset:
            position.offset, position.since_s = offset, now.monotonic_s
            position.greatest = max(offset, position.greatest)

    def _drop_other_partitions(self, shard: int, offsets: Mapping[PartitionId, int]) -> None:
        """Drop the positions of topics that were re-created: nothing is left to catch up with."""
        for key in [k for k in self._positions if k[0] == shard and k[1] not in offsets]:
            del self._positions[key]

    def _accept_fall(self, place: PartitionId) -> None:
        """Accept the log's lower end: this row was written by `rta topics adopt`, and nothing was counted after it."""
        if (end := self._ends.accept_fall(place)) is not None:
            self._forget_beyond(place, end)

    def _forget_beyond(self, place: PartitionId, end: int) -> None:
        """Forget positions beyond `end`: the log has lost its records from there on, so no shard is behind for them."""
        for (_, other), position in self._positions.items():
            if other == place:
                position.greatest = min(position.greatest, end)
        if place in self._floors:
            self._floors[place] = min(self._floors[place], end)

    def _as_of(self, snapshot: Snapshot, offsets: Mapping[PartitionId, int]) -> LogInstant | None:
        topics = frozenset(snapshot.topics.values())
        proof = self._ends.find_proof(offsets, topics)
        if proof is not None:
            return proof
        if not topics <= self._ends.topics:
            return None
        return self._as_of_records(offsets, snapshot.ledger)

    def _as_of_records(
        self, offsets: Mapping[PartitionId, int], ledger: Mapping[PartitionId, LedgerRow]
    ) -> LogInstant | None:
        """Behind every sample: the stream time of the partition that lags most is the best that is known."""
        oldest = self._ends.oldest_at
        lagging_places = [place for place, end in self._ends.latest.items() if end > offsets.get(place, 0)]
        if oldest is None or not all(place in ledger for place in lagging_places):
            return None
        wall_ms = min([oldest.wall_ms, *(ledger[place].stream_time_ms for place in lagging_places)])
        return LogInstant(wall_ms, oldest.monotonic_s - (oldest.wall_ms - wall_ms) / 1000)

    @staticmethod
    def _compute_age_ms(then: LogInstant, now: LogInstant) -> int:
        return round((now.monotonic_s - then.monotonic_s) * 1000)

    def _list_reasons(self, snapshot: Snapshot, offsets: Mapping[PartitionId, int], now: LogInstant) -> tuple[str, ...]:
        reasons = [f"stopped {subject}: {reason}" for subject, reason in sorted(snapshot.stops.items())]
        if snapshot.torn:
            reasons.append(f"shard {snapshot.shard} is torn")
        if self._ends.newest_at is None:
            reasons.append("the log's ends are not known yet")
        for place in sorted(offsets):
            if behind := self._count_behind(snapshot.shard, place):
                reasons.append(f"{place.topic_id}:{place.partition} is {behind} behind where it was")
            if self._measure_stuck_s(snapshot.shard, place, offsets[place], now) >= STUCK_S:
                reasons.append(f"{place.topic_id}:{place.partition} does not advance")
        return tuple(reasons)

    def _count_behind(self, shard: int, place: PartitionId) -> int:
        position = self._positions[shard, place]
        return max(0, max(position.greatest, self._floors.get(place, 0)) - position.offset)

    def _measure_stuck_s(self, shard: int, place: PartitionId, offset: int, now: LogInstant) -> float:
        """Return for how long there have been records to read, while the position did not move."""
        unread_since_s = self._ends.find_unread_since(place, offset)
        if unread_since_s is None:
            return 0.0
        return now.monotonic_s - max(unread_since_s, self._positions[shard, place].since_s)
