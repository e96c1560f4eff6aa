"""Profiles from events: the log's identify events become rows of `users`.   A process of its own: `rta profiles`.

Counting never waits for PostgreSQL, so this reader has its own group and its own committed offsets:
    1 read       a batch of the log; only its identify events are kept
    2 write      one transaction per bounded number of users, which locks their rows in the order of their ids
    3 commit     the offsets, only after that
After a crash the batch is read and folded again, and folding a repeat changes nothing (traits.py). While PostgreSQL
is away, the process waits, keeps its position and loses nothing.

A record that raises an error of ours is logged, counted as `internal` and skipped, so that it cannot end the process
again and again. The workers decide on their own whether it is counted or becomes a dead letter. Where many records
raise, the version is wrong and not the records: the process ends, and no offset is committed.
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
from rtaplatform.core.errors import NOT_OF_A_RECORD, Quarantined, Unavailable
from rtaplatform.profiles import profile_rows
from rtaplatform.profiles.identify import read_identify
from rtaplatform.profiles.profile_rows import ProfileKey
from rtaplatform.profiles.traits import IdentifyTraits, UserProfile, fold, to_row
from rtaplatform.stream.port import LogRecord

BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
COMMIT_SECONDS = 1.0  # least time between commits of batches without an identify event
TRANSACTION_SECONDS_MAX = 10.0
RAISING_MAX = 100  # more records of a batch that raise, if they are most of its identify events, end the process
# Classes of SQLSTATE: bad data, a broken constraint, a limit that is exceeded. A retry would not help.
REFUSING_CLASSES = ("22", "23", "54")

log_line = telemetry.make_logger("profiles")
Batch = dict[ProfileKey, list[IdentifyTraits]]
ReadRecord = Callable[[LogRecord, int], IdentifyTraits | None]


class ProfileLog(Protocol):
    """What the worker reads: `stream/kafka/group_consumer.py`."""

    def poll(self) -> Sequence[tuple[LogRecord, int]]: ...

    def commit(self) -> None: ...


class RowsRefused(Exception):
    """PostgreSQL will never take these rows."""


class ProfileWorker:
    """The loop. Setting `stopping` ends it after the current batch, or while it waits."""

    def __init__(
        self, log: ProfileLog, database: Database, *, users_max: int, read: ReadRecord = read_identify
    ) -> None:
        self._log, self._database, self._users_max, self._read = log, database, users_max, read
        self._committed_at = 0.0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        while not self.stopping.is_set():
            await self.turn()

    async def turn(self) -> int:
        """Process one batch. Returns its number of records."""
        records = await self._retry_until_available(lambda: asyncio.to_thread(self._log.poll)) or ()
        batch = read_batch(records, self._read)
        users = sorted(batch)
        for start in range(0, len(users), self._users_max):
            await self._write({user: batch[user] for user in users[start : start + self._users_max]})
        is_due = time.monotonic() - self._committed_at > COMMIT_SECONDS
        # The offsets move only past what is in the tables. If we are stopped while PostgreSQL is away, they stay.
        if (users or is_due) and not self.stopping.is_set():
            await asyncio.to_thread(self._log.commit)
            self._committed_at = time.monotonic()
        return len(records)

    async def _write(self, batch: Batch) -> None:
        """Write the batch. If PostgreSQL refuses it, write its halves, down to the one event that is left out."""
        try:
            with telemetry.PROFILES_BATCH_SECONDS.time():
                outcomes = await self._retry_until_available(lambda: self._run_transaction(batch))
        except RowsRefused as refusal:
            await self._write_halves(batch, refusal)
            return
        for outcome, count in (outcomes or {}).items():
            telemetry.PROFILES_EVENTS.labels(outcome).inc(count)

    async def _write_halves(self, batch: Batch, refusal: RowsRefused) -> None:
        halves = _split(batch)
        for half in halves:
            await self._write(half)
        if not halves:
            event = next(iter(batch.values()))[0]
            log_line.warning("event_refused", position=event.stamp.position, reason=str(refusal))
            telemetry.PROFILES_EVENTS.labels("refused").inc()

    async def _run_transaction(self, batch: Batch) -> Counter[str]:
        def work(connection: Connection) -> Counter[str]:
            try:
                return profile_rows.write_batch(connection, batch)
            except DBAPIError as error:
                if _is_refusal(error.orig):
                    raise RowsRefused(type(error.orig).__name__) from error
                raise

        return await self._database.run(work, seconds=TRANSACTION_SECONDS_MAX)

    async def _retry_until_available(self, act: Callable[[], Any]) -> Any:
        """What `act` returns, after as many tries as it takes. None if we are told to stop meanwhile."""
        tries = 0
        while not self.stopping.is_set():
            try:
                return await act()
            except Unavailable as error:
                telemetry.PROFILES_WAITS.labels(error.server).inc()
                if tries == 0:
                    log_line.warning("server_unavailable", server=error.server, error=error.detail)
                await self._pause(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)])
                tries += 1
        return None

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


def read_batch(records: Sequence[tuple[LogRecord, int]], read: ReadRecord = read_identify) -> Batch:
    """The identify events among the records, by user. What changes no profile is only counted, by its reason.

    Raises the last error if more than `RAISING_MAX` records raise and these are most of the identify events.
    """
    batch: Batch = defaultdict(list)
    errors: list[Exception] = []
    events = 0
    for record, stream_time_ms in records:
        try:
            event = read(record, stream_time_ms)
            if event is not None:
                to_row(fold(UserProfile(), [event]))  # an event that cannot be folded raises here, by itself
        except Quarantined as fault:
            events += 1
            telemetry.PROFILES_EVENTS.labels(fault.reason if type(fault.reason) is str else "dead").inc()
        except NOT_OF_A_RECORD:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the bug is: one record must not end the process for ever
            errors.append(error)
            log_line.error("record_skipped", record=f"{record.partition}:{record.offset}", error=repr(error)[:500])
            telemetry.PROFILES_EVENTS.labels("internal").inc()
        else:
            if event is not None:
                events += 1
                batch[ProfileKey(event.project, event.user_id)].append(event)
                _count_left_out(event)
    if len(errors) > max(RAISING_MAX, events):
        raise errors[-1]
    for partition, stream_time_ms in {record.partition: stream_time_ms for record, stream_time_ms in records}.items():
        telemetry.PROFILES_RECORD_AT.labels(partition.topic, partition.number).set(stream_time_ms / 1000)
    return dict(batch)


def _count_left_out(event: IdentifyTraits) -> None:
    for reason, count in event.left_out.items():
        telemetry.PROFILES_CLEANED.labels(reason).inc(count)


def _split(batch: Batch) -> list[Batch]:
    """Two halves: of the users, or of the events of a single user. None for a single event."""
    users = list(batch)
    middle = len(users) // 2
    if middle:
        return [{user: batch[user] for user in half} for half in (users[:middle], users[middle:])]
    (user,) = users
    events = batch[user]
    middle = len(events) // 2
    return [{user: half} for half in (events[:middle], events[middle:])] if middle else []


def _is_refusal(error: BaseException | None) -> bool:
    """Without an SQLSTATE the server has not seen the data: the driver itself refused to send it."""
    state = getattr(error, "sqlstate", None)
    return state[:2] in REFUSING_CLASSES if state else type(error).__name__ == "DataError"
