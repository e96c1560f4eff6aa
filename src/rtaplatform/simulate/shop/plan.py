"""The plan of a simulation: one value, read from the command line and passed down.

`start_ms` is its only absolute time. A live run begins there. History ends there, and so does a run at full speed with
a given number of events.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCES = ("web", "ios", "android", "server")
TIME_ZONE = "Europe/Berlin"
FULL_SPEED_EVENTS_PER_SECOND = 2_000.0
"""The rate of the events in their own time, if `rate` is 0 and they are sent as fast as possible."""

# Shares of what a simulation does unless told otherwise: its commands and benchmarks have them from here.
LATE_SHARE = 0.03
DUPLICATE_SHARE = 0.02
MALFORMED_SHARE = 0.01
DOUBLE_REPORT_SHARE = 0.1
RATE_MAX = 1_000_000  # events per second that a simulation may be asked for


@dataclass(frozen=True)
class SimulationPlan:
    """Shares are of all records, 0 to 1; `double_reports` is a share of orders, which page and server both report.
    `duration_ms`, `backfill_ms` and `events_max`: None for no limit."""

    start_ms: int
    project: str = "demo"
    rate: float = 50.0
    users: int = 2_000
    products: int = 200
    sources: tuple[str, ...] = SOURCES
    seed: int = 1
    late: float = LATE_SHARE
    duplicates: float = DUPLICATE_SHARE
    malformed: float = MALFORMED_SHARE
    double_reports: float = DOUBLE_REPORT_SHARE
    duration_ms: int | None = None
    backfill_ms: int | None = None
    events_max: int | None = None

    @property
    def events_per_second(self) -> float:
        """Return the rate of the events in their own time."""
        return self.rate or FULL_SPEED_EVENTS_PER_SECOND

    @property
    def first_ms(self) -> int:
        """Return the time of the first record."""
        if self.backfill_ms is not None:
            return self.start_ms - self.backfill_ms
        if self.rate == 0 and self.events_max is not None:
            return self.start_ms - int(self.events_max * 1000 / self.events_per_second)
        return self.start_ms
