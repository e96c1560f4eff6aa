"""Where the logs ended, as sampled: what a ledger's position proves.   Stage 5 of 6, pure; for tracker.py.

Of each partition only the samples in which its end grew are looked at, so a question costs a search a partition,
however far the ledger lags. An end falls only where the log has lost it: a broker that has just come back may tell one
of earlier, so a lower end counts after FALLEN_S, or as soon as somebody has accepted it.
Limits: SAMPLES_MAX samples; older ones are thinned to one in ten seconds, then the oldest go.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from msgspec import Struct

from rtaplatform.core.ledger import PartitionId

SAMPLES_MAX = 2_400
THINNED_EVERY_S = 10.0
FRESH_S = 60.0  # samples younger than this are all kept
FALLEN_S = 10.0


class LogInstant(Struct, frozen=True):
    """A moment on both clocks."""

    wall_ms: int
    monotonic_s: float


class EndSample(Struct, frozen=True):
    """Where the logs ended, asked after `at`. Samples are numbered as they come."""

    number: int
    at: LogInstant
    ends: dict[PartitionId, int]
    topics: frozenset[str]


class LogGrowth(Struct):
    """One partition's end: each sample in which it was greater than before, and the last that had the partition."""

    ends: list[int] = []
    samples: list[int] = []
    at_s: list[float] = []
    last_sample: int = -1

    def add(self, sample: int, at_s: float, end: int) -> None:
        self.last_sample = sample
        if not self.ends or end > self.ends[-1]:
            self.ends.append(end)
            self.samples.append(sample)
            self.at_s.append(at_s)

    def first_beyond(self, offset: int) -> int | None:
        """The index of the first sample that the offset does not cover."""
        index = bisect_right(self.ends, offset)
        return index if index < len(self.ends) else None


class LogEndHistory:
    def __init__(self) -> None:
        self._samples: list[EndSample] = []
        self._growths: dict[PartitionId, LogGrowth] = {}
        self._told: Mapping[PartitionId, int] = {}  # the newest sample's ends, as the brokers told them
        self._lower_since: dict[PartitionId, float] = {}

    @property
    def known(self) -> Mapping[PartitionId, int]:
        return self._samples[-1].ends if self._samples else {}

    @property
    def topics(self) -> frozenset[str]:
        return self._samples[-1].topics if self._samples else frozenset()

    @property
    def newest_at(self) -> LogInstant | None:
        return self._samples[-1].at if self._samples else None

    @property
    def oldest_at(self) -> LogInstant | None:
        return self._samples[0].at if self._samples else None

    def add(self, at: LogInstant, ends: Mapping[PartitionId, int]) -> dict[PartitionId, int]:
        """Take a sample. Returns the ends that have fallen, and stayed so."""
        last = self.known
        number = self._samples[-1].number + 1 if self._samples else 0
        known = {place: max(end, last.get(place, 0)) for place, end in ends.items()}
        self._told = dict(ends)
        self._samples.append(EndSample(number, at, known, frozenset(place.topic_id for place in known)))
        for place, end in known.items():
            self._growths.setdefault(place, LogGrowth([], [], [])).add(number, at.monotonic_s, end)
        fallen = [place for place in known if self._has_fallen(place, at.monotonic_s)]
        if len(self._samples) >= SAMPLES_MAX:
            self._thin(at.monotonic_s)
        return {place: lower for place in fallen if (lower := self.accept_fall(place)) is not None}

    def accept_fall(self, place: PartitionId) -> int | None:
        """The lower end that the log has now; None where it is not lower. What lay beyond is in no sample any more."""
        end = self._told.get(place)
        if end is None or end >= self.known[place]:
            return None
        self._lower_since.pop(place, None)
        for index, sample in enumerate(self._samples):
            if sample.ends.get(place, 0) > end:
                self._samples[index] = EndSample(sample.number, sample.at, sample.ends | {place: end}, sample.topics)
        self._growths[place] = self._growth_of(place)
        return end

    def proved_by(self, offsets: Mapping[PartitionId, int], topics: frozenset[str]) -> LogInstant | None:
        """The moment of the newest sample whose ends lie all within these offsets, and that has all these topics."""
        beyond = [
            (growth.samples[index], growth.last_sample)
            for place, growth in self._growths.items()
            if (index := growth.first_beyond(offsets.get(place, 0))) is not None
        ]
        left = len(self._samples)
        while left:
            sample = self._samples[left - 1]
            first = min((first for first, last in beyond if first <= sample.number <= last), default=None)
            if first is not None:
                left = self._count_before(first)
            elif topics <= sample.topics:
                return sample.at
            else:
                left -= 1
        return None

    def unread_since(self, place: PartitionId, offset: int) -> float | None:
        """Since when, in seconds, the log has had more than this; None where it has not, or does not say."""
        growth = self._growths.get(place)
        if growth is None or growth.last_sample != self._samples[-1].number:
            return None
        index = growth.first_beyond(offset)
        return None if index is None else growth.at_s[index]

    # inside ----------------------------------------------------------------------------------------------------

    def _count_before(self, number: int) -> int:
        return bisect_left(self._samples, number, key=lambda sample: sample.number)

    def _has_fallen(self, place: PartitionId, now_s: float) -> bool:
        if self._told[place] >= self.known[place]:
            self._lower_since.pop(place, None)
            return False
        return now_s - self._lower_since.setdefault(place, now_s) >= FALLEN_S

    def _growth_of(self, place: PartitionId) -> LogGrowth:
        growth = LogGrowth([], [], [])
        for sample in self._samples:
            if place in sample.ends:
                growth.add(sample.number, sample.at.monotonic_s, sample.ends[place])
        return growth

    def _thin(self, now_s: float) -> None:
        """Samples come four times a second; of those over a minute old, one in ten seconds is enough."""
        kept: list[EndSample] = []
        for sample in self._samples:
            is_young = now_s - sample.at.monotonic_s < FRESH_S
            if is_young or not kept or sample.at.monotonic_s - kept[-1].at.monotonic_s >= THINNED_EVERY_S:
                kept.append(sample)
        self._samples = kept[-SAMPLES_MAX * 9 // 10 :]
        self._growths = {place: self._growth_of(place) for place in {p for s in self._samples for p in s.ends}}
