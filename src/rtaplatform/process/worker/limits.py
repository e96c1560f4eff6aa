"""How much a worker keeps and sends, and the exceptions that break off a batch.   Stage 3 of 6."""

from __future__ import annotations

from msgspec import Struct

CALL_SECONDS_MAX = 0.5
BATCH_RECORDS_MIN = 2_000
BATCH_RECORDS_LIMIT = 1_000_000  # the greatest value of RTA_WORKER_BATCH_EVENTS_MAX
GROWTH_MAX = 2.0  # from one batch to the next


class StateIsStale(Exception):
    """What is cached here cannot be trusted: read the ledger and go on from there."""


class BatchConflict(Exception):
    """Another worker has changed what the batch was computed from. Its copies are dropped; read its records again."""

    def __init__(self, records: int) -> None:
        super().__init__(records)
        self.records = records


class WorkerLimits(Struct, frozen=True):
    """How much a worker keeps, and how often it compares.

    `held_records_max` and `held_bytes_max` bound what was read and waits until other partitions have come within
    `apart_ms_max` of its stream time. With infinity, partitions are read as the log delivers them. A batch ends at
    `batch_records_max` or `batch_bytes_max` of what was held; the log bounds it otherwise.
    """

    dedup_ids_cached_max: int = 1_000_000
    sketch_members_cached_max: int = 500_000
    person_values_cached_max: int = 200_000
    orders_known_max: int = 50_000
    records_waiting_max: int = 20_000  # decoded records that wait for what the store must be asked
    idle_compare_seconds: float = 2.0
    apart_ms_max: float = 3_600_000
    held_records_max: int = 40_000
    held_bytes_max: int = 32_000_000
    batch_records_max: int = 20_000
    batch_bytes_max: int = 16_000_000


class BatchSize:
    """How many records a batch may have, so that each of its calls occupies the store for about half a second at most.

    While a call runs, the store answers nobody else. How long it takes depends on what the events have in common: those
    of a hundred projects take five times as long as those of one. So the size follows the calls, as if twice the
    records took twice as long. It never falls below BATCH_RECORDS_MIN: with fewer, each event costs far more, and a
    worker that is behind would not catch up.
    """

    def __init__(self) -> None:
        self.records_max = BATCH_RECORDS_LIMIT
        self._call_seconds = 0.0  # of the longest call since the last batch

    def note_call(self, seconds: float) -> None:
        """Note how long one call of a batch took, the calls of others included that came before it."""
        self._call_seconds = max(self._call_seconds, seconds)

    def adapt(self, records: int, *, is_applied: bool) -> None:
        """All calls of a batch of that size have ended. Small batches, and calls that failed at once, say nothing."""
        seconds, self._call_seconds = self._call_seconds, 0.0
        factor = min(GROWTH_MAX, CALL_SECONDS_MAX / max(seconds, 1e-6))
        is_too_large = factor < 1 and records >= BATCH_RECORDS_MIN
        if is_too_large or (is_applied and records >= self.records_max):
            self.records_max = min(BATCH_RECORDS_LIMIT, max(BATCH_RECORDS_MIN, int(records * factor)))
