"""Samples of the logs' ends: they prove how fresh a ledger is.   Stage 5 of 6, pure; for tracker.py.

Each partition keeps only the samples in which its end grew. So a query costs one binary search per partition, however
far the ledger lags. An end falls only if the log has lost records. A broker that has just come back may report an
older end, so a lower end counts only after FALLEN_S, or as soon as an operator has accepted it.
Limits: SAMPLES_MAX samples. Older ones are thinned to one in ten seconds, then the oldest are dropped.
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
    """A moment on both clocks of this machine."""

    wall_ms: int
    monotonic_s: float


class EndSample(Struct, frozen=True):
    """The ends of the logs, read after `at`. Samples are numbered in order."""

    number: int
    at: LogInstant
    ends: dict[PartitionId, int]
    topics: frozenset[str]


class LogGrowth(Struct):
    """The growth of one partition: the samples in which its end had grown, and the last sample with the partition."""

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

    def find_first_beyond(self, offset: int) -> int | None:
        """Return the index of the first sample whose end lies beyond the offset."""
        index = bisect_right(self.ends, offset)
        return index if index < len(self.ends) else None


class LogEndHistory:
    def __init__(self) -> None:
        self._samples: list[EndSample] = []
        self._growths: dict[PartitionId, LogGrowth] = {}
        self._reported_ends: Mapping[
            PartitionId, int
        ] = {}  # the ends of the newest sample, as the brokers reported them
        self._lower_since: dict[PartitionId, float] = {}

    @property
    def latest(self) -> Mapping[PartitionId, int]:
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
        """Add a sample. Returns the ends that have fallen for good."""
        previous = self.latest
        number = self._samples[-1].number + 1 if self._samples else 0
        highest = {place: max(end, previous.get(place, 0)) for place, end in ends.items()}
        self._reported_ends = dict(ends)
        self._samples.append(EndSample(number, at, highest, frozenset(place.topic_id for place in highest)))
        for place, end in highest.items():
            self._growths.setdefault(place, LogGrowth([], [], [])).add(number, at.monotonic_s, end)
        fallen_places = [place for place in highest if self._has_fallen(place, at.monotonic_s)]
        if len(self._samples) >= SAMPLES_MAX:
            self._thin(at.monotonic_s)
        return {place: lower for place in fallen_places if (lower := self.accept_fall(place)) is not None}

    def accept_fall(self, place: PartitionId) -> int | None:
        """Accept a lower end and return it; None if the end is not lower. All samples forget what lay beyond it."""
        end = self._reported_ends.get(place)
        if end is None or end >= self.latest[place]:
            return None
        self._lower_since.pop(place, None)
        for index, sample in enumerate(self._samples):
            if sample.ends.get(place, 0) > end:
                self._samples[index] = EndSample(sample.number, sample.at, sample.ends | {place: end}, sample.topics)
        self._growths[place] = self._compute_growth(place)
        return end

    def find_proof(self, offsets: Mapping[PartitionId, int], topics: frozenset[str]) -> LogInstant | None:
        """Return the moment of the newest sample that has all these topics, and no end beyond these offsets."""
        beyond = [
            (growth.samples[index], growth.last_sample)
            for place, growth in self._growths.items()
            if (index := growth.find_first_beyond(offsets.get(place, 0))) is not None
        ]
        candidates = len(self._samples)
        while candidates:
            sample = self._samples[candidates - 1]
            first = min((first for first, last in beyond if first <= sample.number <= last), default=None)
            if first is not None:
                candidates = self._count_before(first)
            elif topics <= sample.topics:
                return sample.at
            else:
                candidates -= 1
        return None

    def find_unread_since(self, place: PartitionId, offset: int) -> float | None:
        """Return since when (monotonic seconds) the log has reached beyond the offset; None if it does not."""
        growth = self._growths.get(place)
        if growth is None or growth.last_sample != self._samples[-1].number:
            return None
        index = growth.find_first_beyond(offset)
        return None if index is None else growth.at_s[index]

    # inside ----------------------------------------------------------------------------------------------------

    def _count_before(self, number: int) -> int:
        return bisect_left(self._samples, number, key=lambda sample: sample.number)

    def _has_fallen(self, place: PartitionId, now_s: float) -> bool:
        if self._reported_ends[place] >= self.latest[place]:
            self._lower_since.pop(place, None)
            return False
        return now_s - self._lower_since.setdefault(place, now_s) >= FALLEN_S

    def _compute_growth(self, place: PartitionId) -> LogGrowth:
        growth = LogGrowth([], [], [])
        for sample in self._samples:
            if place in sample.ends:
                growth.add(sample.number, sample.at.monotonic_s, sample.ends[place])
        return growth

    def _thin(self, now_s: float) -> None:
        """Drop samples: of those over a minute old, one in ten seconds is enough. Four come each second."""
        kept_samples: list[EndSample] = []
        for sample in self._samples:
            is_young = now_s - sample.at.monotonic_s < FRESH_S
            if (
                is_young
                or not kept_samples
                or sample.at.monotonic_s - kept_samples[-1].at.monotonic_s >= THINNED_EVERY_S
            ):
                kept_samples.append(sample)
        self._samples = kept_samples[-SAMPLES_MAX * 9 // 10 :]
        places = {place for sample in self._samples for place in sample.ends}
        self._growths = {place: self._compute_growth(place) for place in places}
