"""Write records to Kafka and wait for acknowledgement.   Stage 1 of 6: the last thing before an answer of 200.

Promise: `append` returns once all replicas have acknowledged every record. Otherwise it raises `Unavailable` and says
how many are acknowledged and how many are unknown. librdkafka's queue is bounded in bytes, and each record in time
(`delivery.timeout.ms`). After a fatal error a new producer takes over. If Kafka refuses a record's timestamp,
`TimesRefused` says at once that the clock of this machine is wrong.

Delivery reports are polled on the event loop itself, every millisecond while records are in flight. A thread for them
would compete with the loop for the interpreter's lock. The same timer ends the wait of requests: one look at the oldest
of them, in place of a timer for each.

The event loop is yielded to after PORTION_RECORDS_MAX records of a request. One poll serves all reports that have come,
so further portions wait while REPORTS_MAX reports are outstanding: Kafka may acknowledge all of them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rtaplatform import telemetry
from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.collect.machine_clock import MachineClock
from rtaplatform.core.errors import Unavailable, WrongClock
from rtaplatform.core.events import COLLECTED_HEADER

BUSY_POLL_SECONDS = 0.001
IDLE_POLL_SECONDS = 1.0
WRONG_CLOCK_RETRY_SECONDS = 30
PORTION_RECORDS_MAX = 500  # about 2 ms
REPORTS_MAX = 10_000  # about 25 ms
_log = telemetry.make_logger("collect.producer")


class Undelivered(Unavailable):
    """Some records were not acknowledged in time: whether Kafka has them is unknown."""

    def __init__(self, detail: str, *, acknowledged: int, unknown: int) -> None:
        super().__init__("kafka", detail)
        self.acknowledged, self.unknown = acknowledged, unknown


class TimesRefused(Undelivered, WrongClock):
    """Kafka refuses the timestamps of the records: this machine's clock is ahead of Kafka's."""

    def __init__(self, fault: str, *, acknowledged: int, unknown: int) -> None:
        detail = f"The clock of this machine is wrong. {fault}"
        super().__init__(detail, acknowledged=acknowledged, unknown=unknown)
        self.retry_after_seconds = WRONG_CLOCK_RETRY_SECONDS


class _RequestRecords:
    """The records of one request. The future is done once all are reported."""

    __slots__ = ("code", "deadline", "failed", "future", "pending", "reason")

    def __init__(self, count: int, future: asyncio.Future[None], deadline: float) -> None:
        self.pending, self.failed, self.reason, self.future = count, 0, "", future
        self.deadline = deadline
        self.code: int | None = None

    def end_if_overdue(self, now: float) -> bool:
        """Whether nobody waits any more. Ends the wait of who has waited too long."""
        if not self.future.done():
            if now < self.deadline:
                return False
            self.future.set_exception(TimeoutError())
        return True

    def report(self, error: KafkaError | None, _: Message | None) -> None:
        self.pending -= 1
        if error is not None:
            if self.code != KafkaError.INVALID_TIMESTAMP:
                self.code = error.code()
            self.fail(1, error.str())
        elif not self.pending and not self.future.done():
            self.future.set_result(None)

    def fail_unsent(self, count: int, reason: str) -> None:
        self.pending -= count
        self.fail(count, reason)

    def fail(self, count: int, reason: str) -> None:
        self.failed, self.reason = self.failed + count, reason
        if not self.pending and not self.future.done():
            self.future.set_result(None)


class _PortionQueue:
    """The portions of requests after their first ones. Who comes first is first."""

    def __init__(self, turns: CooperativeQueue) -> None:
        self._turns, self._lock, self._poll_end = turns, asyncio.Lock(), asyncio.Event()

    def note_poll(self) -> None:
        self._poll_end.set()

    async def take(self, may_go_on: Callable[[], bool]) -> None:
        """Wait until a poll has made that true, then for a turn of the event loop."""
        async with self._lock:
            while not may_go_on():
                self._poll_end.clear()
                await self._poll_end.wait()
            await self._turns.take()


class EventProducer:
    """One librdkafka producer and its poll timer. Use it from one event loop: `start`, `append`, `stop`."""

    def __init__(
        self,
        make: Callable[[dict[str, Any]], Producer],
        config: dict[str, Any],
        wait_seconds: float,
        clock: MachineClock | None = None,
        turns: CooperativeQueue | None = None,
    ) -> None:
        """`turns` is shared by all code that does heavy work on this event loop."""
        self._make, self._config = make, config
        self._clock, self._portions = clock or MachineClock(), _PortionQueue(turns or CooperativeQueue())
        # A little longer than librdkafka's own limit, so that its verdict comes first.
        self._wait_seconds = wait_seconds + 1.0
        self._producer: Producer | None = None
        self._old_producers: list[Producer] = []
        self._in_flight = 0
        self._waiters: deque[_RequestRecords] = deque()  # in the order of their deadlines: all wait equally long
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        self._producer, self._loop = self._make_producer(), asyncio.get_running_loop()
        telemetry.COLLECT_IN_FLIGHT.set_function(lambda: self._in_flight)
        self._poll()

    async def stop(self, seconds: float) -> None:
        """Wait for records in flight, at most this long, then drop them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        if self._timer is not None:
            self._timer.cancel()
        producers, self._producer, self._old_producers = [*self._old_producers, self._producer], None, []
        self._portions.note_poll()
        for producer in producers:
            if producer is not None:
                producer.purge()
                await asyncio.to_thread(producer.flush, 1.0)

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        """Return once all are acknowledged; raises Undelivered."""
        if not records:
            return
        loop = self._loop or asyncio.get_running_loop()
        batch = _RequestRecords(len(records), loop.create_future(), loop.time() + self._wait_seconds)
        self._waiters.append(batch)
        if not self._in_flight:
            self._idle.clear()
            self._poll_soon(loop)
        self._in_flight += len(records)
        try:
            await self._send(records, batch)
            await batch.future
        except TimeoutError:
            raise self._make_undelivered(records, batch, "No acknowledgement in time.") from None
        finally:
            self._in_flight -= len(records)
            if not self._in_flight:
                self._idle.set()
        if batch.failed:
            raise self._find_times_refused(records, batch) or self._make_undelivered(records, batch, batch.reason)

    async def check(self) -> None:
        """Raise Unavailable if the broker does not answer with its metadata."""
        producer = self._producer
        if producer is None:
            raise Unavailable("kafka", "The producer is stopped.")
        try:
            await asyncio.to_thread(producer.list_topics, timeout=2.0)
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    async def _send(self, records: Sequence[CollectedRecord], batch: _RequestRecords) -> None:
        """Give the records to librdkafka, until the request has waited too long."""
        for start in range(0, len(records), PORTION_RECORDS_MAX):
            if start:
                await self._portions.take(lambda: self._may_go_on(batch))
            if batch.future.done():
                return
            count, fault = self._produce(records[start : start + PORTION_RECORDS_MAX], batch)
            if fault:
                batch.fail_unsent(len(records) - start - count, fault)
                return

    def _may_go_on(self, batch: _RequestRecords) -> bool:
        """Whether few enough reports are outstanding, or nobody waits for the request any more."""
        return self._producer is None or len(self._producer) <= REPORTS_MAX or batch.future.done()

    def _produce(self, records: Sequence[CollectedRecord], batch: _RequestRecords) -> tuple[int, str]:
        """Return how many librdkafka has taken, and why it takes no more; "" if it has taken all."""
        producer = self._producer
        if producer is None:
            raise Unavailable("kafka", "The producer is stopped.")
        produce, report = producer.produce, batch.report
        for count, record in enumerate(records):
            try:
                produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    timestamp=record.timestamp_ms,
                    headers=[(COLLECTED_HEADER, b"%d" % record.bytes_as_sent)],
                    on_delivery=report,
                )
            except BufferError:
                return count, "The queue to Kafka is full."
            except KafkaException as error:
                if error.args[0].fatal():
                    self._replace()
                return count, error.args[0].str()
        return len(records), ""

    def _find_times_refused(self, records: Sequence[CollectedRecord], batch: _RequestRecords) -> TimesRefused | None:
        """The error if timestamps were refused. For several records Kafka only says "invalid record"."""
        if batch.code == KafkaError.INVALID_TIMESTAMP:
            self._clock.note_refusal()
        elif batch.code != KafkaError.INVALID_RECORD:
            return None
        fault = self._clock.describe_fault()
        unknown = batch.failed + batch.pending
        return TimesRefused(fault, acknowledged=len(records) - unknown, unknown=unknown) if fault else None

    @staticmethod
    def _make_undelivered(records: Sequence[CollectedRecord], batch: _RequestRecords, reason: str) -> Undelivered:
        unknown = batch.failed + batch.pending
        return Undelivered(reason, acknowledged=len(records) - unknown, unknown=unknown)

    def _make_producer(self) -> Producer:
        producer = self._make(self._config | {"error_cb": self._on_error})
        telemetry.COLLECT_PRODUCERS.inc()
        return producer

    def _replace(self) -> None:
        """Replace the producer. If that fails the old one stays: it refuses the next record, which tries again."""
        if self._producer is None:
            return
        try:
            producer = self._make_producer()
        except KafkaException as error:
            _log.error("producer not replaced", reason=error.args[0].str())
            return
        _log.error("producer replaced", reason="fatal error")
        self._producer.purge()
        self._old_producers, self._producer = [*self._old_producers[-3:], self._producer], producer

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._replace()
        elif error.code() != KafkaError._TRANSPORT:  # librdkafka repeats it 20 times a second while a broker is away
            _log.warning("kafka error", code=error.name(), reason=error.str())

    def _poll_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Poll often from now on: the timer of an idle producer is replaced."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(BUSY_POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        if self._producer is None:
            return
        loop = self._loop or asyncio.get_running_loop()
        wait = BUSY_POLL_SECONDS if self._in_flight else IDLE_POLL_SECONDS
        # Set the timer before callbacks, which may fail: without it, no later request would learn of its delivery.
        self._timer = loop.call_later(wait, self._poll)
        for producer in (self._producer, *self._old_producers):
            producer.poll(0)
        now = loop.time()
        while self._waiters and self._waiters[0].end_if_overdue(now):
            self._waiters.popleft()
        self._portions.note_poll()
