"""The feed of this process: the newest records of the log, for whoever looks.   stream → [feed] → serve.

One thread reads the tail of the event topics, of `rta.rejected` and of `rta.dead-letters`. It starts with the first
question or listener and ends LINGER_S after the last, so a feed costs nothing while nobody looks. It joins no group and
commits nothing. If it falls behind, it skips ahead and says how much it passed over.

Bounds: a ring of the newest records for `read_recent`, of all projects (`record_ring.py`); for each listener one
message (`feed_listener.py`); DECODED_MAX events of a project from one portion. Use it from one event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.core.errors import Busy, PlatformError, Unavailable
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.feed.event_items import EventReader, FeedItem
from rtaplatform.feed.feed_filter import FeedFilter
from rtaplatform.feed.feed_listener import FeedListener
from rtaplatform.feed.record_ring import RecordRing
from rtaplatform.stream.port import RecordTail, TailPortion, TailRecord

LAST_RECORDS = 1_000  # of each partition, read when the feed starts
LINGER_S = 30.0
POLL_S = 0.1
RETRY_S = 1.0
CAUGHT_UP_S_MAX = 8.0  # that `read_recent` waits for the first reading
DECODED_MAX = 200
PROJECT_RECORDS_MAX = 5_000  # that one answer of `read_recent` looks at

log_line = telemetry.make_logger("feed")


class RecentEvents(Struct, frozen=True):
    """The newest items first. What arrived before `scanned_from` was not looked at. `scanned`: records looked at."""

    items: list[FeedItem]
    scanned_from: str | None
    scanned: int


class EventFeed:
    def __init__(self, tail: RecordTail, *, linger_s: float = LINGER_S) -> None:
        self._tail, self._linger_s = tail, linger_s
        self._ring = RecordRing()
        self._listeners: set[FeedListener] = set()
        self._readers: dict[str, EventReader] = {}  # used by the thread only
        self._wanted_until = 0.0
        self._thread: threading.Thread | None = None
        self._life = threading.Lock()  # of the thread: nobody may rely on one that ends
        self._loop: asyncio.AbstractEventLoop | None = None
        self._caught_up = asyncio.Event()
        self._problem: PlatformError | None = None
        self.is_closing = False

    # for routes ------------------------------------------------------------------------------------------------

    async def read_recent(self, project: str, feed_filter: FeedFilter, limit: int) -> RecentEvents:
        """The project's newest events that the filter accepts. Raises Unavailable."""
        self._start()
        try:
            async with asyncio.timeout(CAUGHT_UP_S_MAX):
                await self._caught_up.wait()
        except TimeoutError:
            raise self._problem or Busy("The newest events are being read. Ask again.") from None
        return await asyncio.to_thread(find_recent, self._ring.list_records(), project, feed_filter, limit)

    @asynccontextmanager
    async def listen(self, project: str, feed_filter: FeedFilter) -> AsyncIterator[FeedListener]:
        """Join the feed of a project, from now on. The listener's `wait_for_message` gives the messages."""
        if self.is_closing:
            raise Busy("This process stops. Connect again.")
        listener = FeedListener(project, feed_filter)
        listener.set_problem(self._problem)
        self._listeners.add(listener)
        self._start()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._wanted_until = time.monotonic() + self._linger_s

    def close(self) -> None:
        """Wake all listeners, and let the thread end."""
        self.is_closing = True
        for listener in self._listeners:
            listener.wake()

    async def stop(self) -> None:
        """Close it, and wait for the thread."""
        self.close()
        await self.join()

    async def join(self) -> None:
        """Wait until the thread has ended: after `close`, or because nobody looks any more."""
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join)

    # the thread ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._life:
            self._wanted_until = time.monotonic() + self._linger_s
            if self.is_closing or self._thread is not None:
                return
            self._loop = asyncio.get_running_loop()
            self._caught_up.clear()
            self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
            self._thread.start()

    def _is_wanted(self) -> bool:
        return not self.is_closing and (bool(self._listeners) or time.monotonic() < self._wanted_until)

    def _goes_on(self) -> bool:
        """Whether the thread is still wanted. If not, the next question starts another one."""
        with self._life:
            if not self._is_wanted():
                self._thread = None
                self._ring.clear()
                self._readers.clear()
            return self._thread is not None

    def _run(self) -> None:
        while self._goes_on():
            try:
                self._tail.open(LAST_RECORDS)
                self._ring.clear()
                self._follow()
            except PlatformError as error:
                log_line.warning("feed interrupted", reason=str(error))
                self._tell(error)
                time.sleep(RETRY_S)
            except Exception as error:  # whatever it is, listeners must learn of it
                log_line.error("feed failed", exc_info=error)
                self._tell(Unavailable("kafka", "The feed has failed."))
                time.sleep(RETRY_S)
            finally:
                self._tail.close()

    def _follow(self) -> None:
        has_caught_up = False
        while self._is_wanted():
            portion = self._tail.poll(POLL_S)
            if has_caught_up:
                self._distribute(portion)
            self._ring.add(portion.records)
            if portion.is_at_end and not has_caught_up:
                has_caught_up = True
                self._tell(None)

    def _tell(self, problem: PlatformError | None) -> None:
        """Tell the event loop that the tail can be read, or why not."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._set_problem, problem)

    def _set_problem(self, problem: PlatformError | None) -> None:
        self._problem = problem
        if problem is None:
            self._caught_up.set()
        else:
            self._caught_up.clear()
        for listener in self._listeners:
            listener.set_problem(problem)

    def _distribute(self, portion: TailPortion) -> None:
        assert self._loop is not None
        listeners = list(self._listeners)
        projects = {listener.project for listener in listeners}
        self._readers = {project: self._readers.get(project) or self._make_reader(project) for project in projects}
        for project, reader in self._readers.items():
            records = [record for record in portion.records if reader.may_be_ours(record)]
            unread_count = max(0, len(records) - DECODED_MAX)
            # Of records that were passed over, the project has the share that it has of those that were read.
            unread_count += round(portion.skipped * len(records) / len(portion.records)) if portion.records else 0
            items = [item for item in map(reader.read, records[-DECODED_MAX:]) if item is not None]
            for listener in listeners:
                if listener.project == project and (items or unread_count):
                    accepted = [item for item in items if listener.accepts(item)]
                    self._loop.call_soon_threadsafe(listener.offer, accepted, unread_count)

    def _make_reader(self, project: str) -> EventReader:
        """A reader that knows the ids in the ring, so that it recognises their repeats."""
        reader = EventReader(project)
        for record in self._ring.list_records()[-PROJECT_RECORDS_MAX:]:
            if reader.may_be_ours(record):
                reader.read(record)
        return reader


def find_recent(tail_records: Sequence[TailRecord], project: str, feed_filter: FeedFilter, limit: int) -> RecentEvents:
    """Find the project's newest events among records that are in order within each partition."""
    reader, listener = EventReader(project), FeedListener(project, feed_filter)
    our_records = [record for record in tail_records if reader.may_be_ours(record)]
    records = our_records[-PROJECT_RECORDS_MAX:]
    items: dict[str, FeedItem] = {}
    for item in filter(None, map(reader.read, records)):
        items[item.id] = item  # a dead letter replaces the event that it was made of
    accepted = [item for item in items.values() if listener.accepts(item)]
    accepted.sort(key=lambda item: item.received_at or "", reverse=True)
    looked_at = records if len(our_records) > len(records) else tail_records
    oldest_ms = min((record.timestamp_ms for record in looked_at if record.timestamp_ms >= 0), default=None)
    return RecentEvents(accepted[:limit], format_iso_utc(oldest_ms) if oldest_ms is not None else None, len(records))
