"""Profiles from events: the log's identify events become rows of `users`.   A process of its own: `rta profiles`.

Counting never waits for PostgreSQL, so this reader has a group and committed offsets of its own:
    1 read       a batch of the log, its identify events only
    2 write      per bounded number of users one transaction, which locks their rows in the order of their ids
    3 commit     the offsets, only after that
A crash anywhere reads and folds again what was done, and the fold of a repeat changes nothing (traits.py). PostgreSQL
away: it waits, keeps its place, and loses nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from rtaplatform import telemetry
from rtaplatform.catalog.database import Database
from rtaplatform.core.errors import Quarantined, Unavailable
from rtaplatform.profiles import profile_rows
from rtaplatform.profiles.identify import read_identify
from rtaplatform.profiles.profile_rows import ProfileKey
from rtaplatform.profiles.traits import IdentifyTraits
from rtaplatform.stream.port import LogRecord

BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
COMMIT_SECONDS = 1.0  # at least between commits of batches without an identify event
TRANSACTION_SECONDS_MAX = 10.0
# Of SQLSTATE: the data is wrong, a constraint is broken, a limit is passed. Trying again would not help.
REFUSING_CLASSES = ("22", "23", "54")

log_line = telemetry.logger("profiles")
Batch = dict[ProfileKey, list[IdentifyTraits]]


class ProfileLog(Protocol):
    """What is read: `stream/kafka/group_consumer.py`."""

    def poll(self) -> Sequence[tuple[LogRecord, int]]: ...

    def commit(self) -> None: ...


class RowsRefused(Exception):
    """PostgreSQL will never take these rows."""


class ProfileWorker:
    """The loop. `stopping` ends it after the batch under way, or while it waits."""

    def __init__(self, log: ProfileLog, database: Database, *, users_max: int) -> None:
        self._log, self._database, self._users_max = log, database, users_max
        self._committed_at = 0.0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        while not self.stopping.is_set():
            await self.turn()

    async def turn(self) -> int:
        """One batch; returns how many records it had."""
        records = await self._patiently(lambda: asyncio.to_thread(self._log.poll)) or ()
        batch = identify_of(records)
        people = sorted(batch)
        for start in range(0, len(people), self._users_max):
            await self._write({person: batch[person] for person in people[start : start + self._users_max]})
        is_due = time.monotonic() - self._committed_at > COMMIT_SECONDS
        # The offsets move only past what is in the tables; a stop while PostgreSQL is away leaves them where they are.
        if (people or is_due) and not self.stopping.is_set():
            await asyncio.to_thread(self._log.commit)
            self._committed_at = time.monotonic()
        return len(records)

    async def _write(self, batch: Batch) -> None:
        """All of it; in halves where PostgreSQL refuses it, until what it refuses stands alone and is left out."""
        try:
            with telemetry.PROFILES_BATCH_SECONDS.time():
                outcomes = await self._patiently(lambda: self._transaction(batch))
        except RowsRefused as why:
            await self._write_apart(batch, why)
            return
        for outcome, number in (outcomes or {}).items():
            telemetry.PROFILES_EVENTS.labels(outcome).inc(number)

    async def _write_apart(self, batch: Batch, why: RowsRefused) -> None:
        pieces = _halves(batch)
        for piece in pieces:
            await self._write(piece)
        if not pieces:
            event = next(iter(batch.values()))[0]
            log_line.warning("identify event left out", position=event.stamp.position, why=str(why))
            telemetry.PROFILES_EVENTS.labels("refused").inc()

    async def _transaction(self, batch: Batch) -> Counter[str]:
        def work(connection: Connection) -> Counter[str]:
            try:
                return profile_rows.write(connection, batch)
            except DBAPIError as error:
                if _is_refusal(error.orig):
                    raise RowsRefused(type(error.orig).__name__) from error
                raise

        return await self._database.run(work, seconds=TRANSACTION_SECONDS_MAX)

    async def _patiently(self, act: Callable[[], Any]) -> Any:
        """What `act` returns, as often as it takes; None where we are to stop meanwhile."""
        tries = 0
        while not self.stopping.is_set():
            try:
                return await act()
            except Unavailable as error:
                telemetry.PROFILES_WAITS.labels(error.server).inc()
                if tries == 0:
                    log_line.warning("waiting", server=error.server, error=error.detail)
                await self._pause(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)])
                tries += 1
        return None

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


def identify_of(records: Sequence[tuple[LogRecord, int]]) -> Batch:
    """The identify events among the records, by person; what changes no profile is counted by its reason."""
    batch: Batch = defaultdict(list)
    for record, stream_time_ms in records:
        try:
            event = read_identify(record, stream_time_ms)
        except Quarantined as why:
            telemetry.PROFILES_EVENTS.labels(why.reason if type(why.reason) is str else "dead").inc()
            continue
        if event is not None:
            batch[ProfileKey(event.project, event.user_id)].append(event)
            for reason, number in event.left_out.items():
                telemetry.PROFILES_CLEANED.labels(reason).inc(number)
    for partition, at in {record.partition: stream_time_ms for record, stream_time_ms in records}.items():
        telemetry.PROFILES_RECORD_AT.labels(partition.topic, partition.number).set(at / 1000)
    return dict(batch)


def _halves(batch: Batch) -> list[Batch]:
    """By persons, then by events; none where there is only one event."""
    people = list(batch)
    middle = len(people) // 2
    if middle:
        return [{person: batch[person] for person in piece} for piece in (people[:middle], people[middle:])]
    (person,) = people
    events = batch[person]
    return [{person: piece} for piece in (events[: len(events) // 2], events[len(events) // 2 :])] if events[1:] else []


def _is_refusal(error: BaseException | None) -> bool:
    """Without a state of the server's own the driver has refused it: a text that cannot be sent."""
    state = getattr(error, "sqlstate", None)
    return state[:2] in REFUSING_CLASSES if state else type(error).__name__ == "DataError"
