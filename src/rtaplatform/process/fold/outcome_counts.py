"""What became of the records of a batch: counts by partition, project and minute; dead letters.   Stage 3 of 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rtaplatform.core.events import RecordOutcome
from rtaplatform.core.time.buckets import MINUTE_MS
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.stream.port import DeadLetter

REPEATED_ORDER = "repeated_order"

OrderRepeats = Sequence[tuple[str, int]]  # project and stream time of each repeated order


class OutcomeCounts:
    """`quality`: (project, minute of stream time, measure) → how often. `dead`: origin → stream time."""

    def __init__(self) -> None:
        self._other_counts: Counter[tuple[str, str, RecordOutcome]] = Counter()  # (place, project, outcome)
        self._applied_counts: Counter[tuple[str, str]] = Counter()  # (place, project)
        self._notes: Counter[tuple[str, str]] = Counter()  # (project, measure)
        self._quality: Counter[tuple[str, int, str]] = Counter()
        self.dead: dict[str, int] = {}
        self.dead_letters: list[DeadLetter] = []

    def add_applied(self, place: str, project: str, n: int) -> None:
        self._applied_counts[(place, project)] += n

    def add_dead_letter(self, place: str, record: DecodedRecord) -> None:
        dead_letter = record.dead_letter
        assert dead_letter is not None
        self.dead_letters.append(dead_letter)
        if not record.replay_of:  # the origin of a replay is in the set, or was taken out for good
            self.dead[dead_letter.origin] = record.stream_time_ms
        self.add_uncounted(place, dead_letter.project, RecordOutcome.DEAD, record.stream_time_ms)

    def add_uncounted(self, place: str, project: str, outcome: RecordOutcome, stream_time_ms: int) -> None:
        self._other_counts[(place, project, outcome)] += 1
        if project:
            self._quality[(project, stream_time_ms // MINUTE_MS, outcome)] += 1

    def note(self, project: str, measure: str, stream_time_ms: int) -> None:
        self._quality[(project, stream_time_ms // MINUTE_MS, measure)] += 1
        self._notes[(project, measure)] += 1

    def count_outcomes(self, repeats: OrderRepeats) -> dict[str, int]:
        """How many records had each outcome, by partition and by project."""
        notes = self._notes + Counter((project, REPEATED_ORDER) for project, _ in repeats)
        counts: Counter[str] = Counter({f"{project}|{measure}": n for (project, measure), n in notes.items()})
        rows = ((place, project, RecordOutcome.APPLIED, n) for (place, project), n in self._applied_counts.items())
        other_rows = ((*key, n) for key, n in self._other_counts.items())
        for place, project, outcome, n in (*rows, *other_rows):
            counts[f"{place}|consumed"] += n
            counts[f"{place}|{outcome}"] += n
            counts[f"{project}|{outcome}"] += n
        return dict(counts)

    def count_quality(self, repeats: OrderRepeats) -> Counter[tuple[str, int, str]]:
        return self._quality + Counter((project, ms // MINUTE_MS, REPEATED_ORDER) for project, ms in repeats)
