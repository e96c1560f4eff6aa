"""Write records to Kafka and wait for acknowledgement.   Stage 1 of 6: the last thing before an answer of 200.

Promise: `append` returns once all replicas have acknowledged every record. Otherwise it raises `Unavailable` and says
how many are acknowledged and how many are unknown. librdkafka's queue is bounded in bytes, and each record in time
(`delivery.timeout.ms`). After a fatal error a new producer takes over. If Kafka refuses a record's timestamp,
`TimesRefused` says at once that the clock of this machine is wrong.

Delivery reports are polled on the event loop itself, every millisecond while records are in flight. A thread for them
would compete with the loop for the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rtaplatform import telemetry
from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.machine_clock import MachineClock
from rtaplatform.core.errors import Unavailable, WrongClock
from rtaplatform.core.events import COLLECTED_HEADER

BUSY_POLL_SECONDS = 0.001
IDLE_POLL_SECONDS = 1.0
WRONG_CLOCK_RETRY_SECONDS = 30
_log = telemetry.logger("collect.producer")


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

    __slots__ = ("code", "failed", "future", "pending", "reason")

    def __init__(self, count: int, future: asyncio.Future[None]) -> None:
        self.pending, self.failed, self.reason, self.future = count, 0, "", future
        self.code: int | None = None

    def report(self, error: KafkaError | None, _: Message | None) -> None:
        self.pending -= 1
        if error is not None:
            if self.code != KafkaError.INVALID_TIMESTAMP:
                self.code = error.code()
            self.fail(1, error.str())
        elif not self.pending and not self.future.done():
            self.future.set_result(None)

    def fail(self, count: int, reason: str) -> None:
        self.failed, self.reason = self.failed + count, reason
        if not self.pending and not self.future.done():
            self.future.set_result(None)


class EventProducer:
    """One librdkafka producer and its poll timer. Use it from one event loop: `start`, `append`, `stop`."""

    def __init__(
        self,
        make: Callable[[dict[str, Any]], Producer],
        config: dict[str, Any],
        wait_seconds: float,
        clock: MachineClock | None = None,
    ) -> None:
        self._make, self._config = make, config
        self._clock = clock or MachineClock()
        # A little longer than librdkafka's own limit, so that its verdict comes first.
        self._wait_seconds = wait_seconds + 1.0
        self._producer: Producer | None = None
        self._retired: list[Producer] = []
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._producer = self._make_producer()
        self._poll()

    async def stop(self, seconds: float) -> None:
        """Wait for records in flight, at most this long, then drop them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        if self._timer is not None:
            self._timer.cancel()
        producers, self._producer, self._retired = [*self._retired, self._producer], None, []
        for producer in producers:
            if producer is not None:
                producer.purge()
                await asyncio.to_thread(producer.flush, 1.0)

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        """Return once all are acknowledged; raises Undelivered."""
        if not records:
            return
        batch = _RequestRecords(len(records), asyncio.get_running_loop().create_future())
        self._in_flight += len(records)
        self._idle.clear()
        try:
            self._send(records, batch)
            self._poll_soon()
            async with asyncio.timeout(self._wait_seconds):
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

    def _send(self, records: Sequence[CollectedRecord], batch: _RequestRecords) -> None:
        producer = self._producer
        if producer is None:
            raise Unavailable("kafka", "The producer is stopped.")
        for sent_count, record in enumerate(records):
            try:
                producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    timestamp=record.timestamp_ms,
                    headers=[(COLLECTED_HEADER, b"%d" % record.bytes_as_sent)],
                    on_delivery=batch.report,
                )
            except BufferError:
                return self._fail_unsent(len(records) - sent_count, batch, "The queue to Kafka is full.")
            except KafkaException as error:
                if error.args[0].fatal():
                    self._replace()
                return self._fail_unsent(len(records) - sent_count, batch, error.args[0].str())
        return None

    def _find_times_refused(self, records: Sequence[CollectedRecord], batch: _RequestRecords) -> TimesRefused | None:
        """The error if timestamps were refused. For several records Kafka only says "invalid record"."""
        if batch.code == KafkaError.INVALID_TIMESTAMP:
            self._clock.note_refusal()
        elif batch.code != KafkaError.INVALID_RECORD:
            return None
        fault = self._clock.fault()
        unknown = batch.failed + batch.pending
        return TimesRefused(fault, acknowledged=len(records) - unknown, unknown=unknown) if fault else None

    @staticmethod
    def _fail_unsent(count: int, batch: _RequestRecords, reason: str) -> None:
        batch.pending -= count
        batch.fail(count, reason)

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
        self._retired, self._producer = [*self._retired[-3:], self._producer], producer

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._replace()
        elif error.code() != KafkaError._TRANSPORT:  # librdkafka repeats it 20 times a second while a broker is away
            _log.warning("kafka error", code=error.name(), reason=error.str())

    def _poll_soon(self) -> None:
        if self._timer is None or self._timer.when() > asyncio.get_running_loop().time() + BUSY_POLL_SECONDS:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(BUSY_POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        if self._producer is None:
            return
        telemetry.COLLECT_IN_FLIGHT.set(self._in_flight)
        wait = BUSY_POLL_SECONDS if self._in_flight else IDLE_POLL_SECONDS
        # Set the timer before callbacks, which may fail: without it, no later request would learn of its delivery.
        self._timer = asyncio.get_running_loop().call_later(wait, self._poll)
        for producer in (self._producer, *self._retired):
            producer.poll(0)
