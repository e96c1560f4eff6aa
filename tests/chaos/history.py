"""What was done and what was seen during a run, as plain values; `truth.py` judges them afterwards.

Times are of the monotonic clock, in seconds; `wall_ms` are milliseconds since 1970. A thing seen has the time before
it was asked for, and the time after it was there: it was so at some moment in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from rtaplatform.core.ledger import PartitionId


class Span(NamedTuple):
    since: float
    until: float

    def overlaps(self, other: Span) -> bool:
        return self.since <= other.until and other.since <= self.until


class Answer(NamedTuple):
    """Of the API, to the question for all events. Where there was none, `status` alone, 0: no connection."""

    at: Span
    status: int
    total: int = 0
    complete: bool = False
    as_of_ms: int | None = None
    lag_ms: int | None = None
    sent_wall_ms: int = 0
    received_wall_ms: int = 0

    def includes(self, moment: float) -> bool:
        """Whether it says that it includes everything up to this moment."""
        return self.as_of_ms is not None and self.at.until - (self.received_wall_ms - self.as_of_ms) / 1000 > moment


class Readiness(NamedTuple):
    """Of /health/ready: the status, and which servers it says are missing."""

    at: Span
    status: int
    missing: tuple[str, ...] = ()


class Ends(NamedTuple):
    """Where the log ended, asked of Kafka itself."""

    at: Span
    received_wall_ms: int
    ends: dict[PartitionId, int]


class Ledger(NamedTuple):
    """Where the project's shard stood, asked of Valkey itself."""

    at: Span
    offsets: dict[PartitionId, int]


class Fault(NamedTuple):
    """One that was done: from its beginning until it was undone."""

    name: str
    at: Span


@dataclass
class History:
    """Each list is filled by one thread, in the order of asking.

    `down`: server → while it surely answered nobody. `rewinds`: when the store may have lost its last writes.
    `rebuilds`: each run of `rta rebuild`, under how it ended.
    """

    answers: list[Answer] = field(default_factory=list)
    readiness: list[Readiness] = field(default_factory=list)
    ends: list[Ends] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    rebuilds: list[Fault] = field(default_factory=list)
    down: dict[str, list[Span]] = field(default_factory=lambda: {"redis": [], "kafka": []})
    rewinds: list[Span] = field(default_factory=list)

    @contextmanager
    def noting_server_down(self, server: str) -> Iterator[None]:
        """Enter it once the server answers nobody, and leave it before it could again."""
        since = time.monotonic()
        yield
        self.down[server].append(Span(since, time.monotonic()))

    @contextmanager
    def rewinding(self) -> Iterator[None]:
        """Around everything by which the store may go back, until it answers again."""
        since = time.monotonic()
        yield
        self.rewinds.append(Span(since, time.monotonic()))

    @contextmanager
    def noting_fault(self, name: str) -> Iterator[None]:
        since = time.monotonic()
        yield
        self.faults.append(Fault(name, Span(since, time.monotonic())))
