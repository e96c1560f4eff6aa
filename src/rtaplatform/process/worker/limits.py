"""How much a worker keeps, and the exceptions that break off a batch.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from msgspec import Struct


class StateIsStale(Exception):
    """What is cached here cannot be trusted: read the ledger and go on from there."""


class BatchConflict(Exception):
    """Another worker has changed what the batch was computed from. Its copies are dropped; read its records again."""

    def __init__(self, records: int) -> None:
        super().__init__(records)
        self.records = records


class WorkerLimits(Struct, frozen=True):
    """How much a worker keeps, and how often it compares."""

    dedup_ids_cached_max: int = 1_000_000
    sketch_members_cached_max: int = 500_000
    person_values_cached_max: int = 200_000
    orders_known_max: int = 50_000
    records_waiting_max: int = 20_000  # decoded records that wait for what the store must be asked
    idle_compare_seconds: float = 2.0
