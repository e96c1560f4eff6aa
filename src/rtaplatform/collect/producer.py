"""Records → Kafka, acknowledged.   Stage 1 of 6: the last thing before an answer of 200.

Promise: `append` returns once Kafka has acknowledged each record (all replicas); else it raises
`Unavailable` and says how many are acknowledged and how many are unknown. Bounded: librdkafka's queue by
bytes, each record by `delivery.timeout.ms`. After a fatal error a new producer takes over. Where Kafka refuses the time
of a record, `TimesRefused` says at once that the clock of this machine is wrong.

Delivery reports are served on the event loop itself, every millisecond while something is in flight: a
thread of its own would fight the loop for the interpreter's lock.
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
    """Kafka refuses the times of the records: the clock of this machine is ahead of Kafka's."""

    def __init__(self, fault: str, *, acknowledged: int, unknown: int) -> None:
        detail = f"The clock of this machine is wrong. {fault}"
        super().__init__(detail, acknowledged=acknowledged, unknown=unknown)
        self.retry_after_seconds = WRONG_CLOCK_RETRY_SECONDS


class _Parcel:
    """The records of one request: counts down to one future."""

    __slots__ = ("code", "failed", "future", "left", "reason")

    def __init__(self, count: int, future: asyncio.Future[None]) -> None:
        self.left, self.failed, self.reason, self.future = count, 0, "", future
        self.code: int | None = None

    def report(self, error: KafkaError | None, _: Message | None) -> None:
        self.left -= 1
        if error is not None:
            if self.code != KafkaError.INVALID_TIMESTAMP:
                self.code = error.code()
            self.fail(1, error.str())
        elif not self.left and not self.future.done():
            self.future.set_result(None)

    def fail(self, count: int, reason: str) -> None:
        self.failed, self.reason = self.failed + count, reason
        if not self.left and not self.future.done():
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
        self._producer = self._made()
        self._poll()

    async def stop(self, seconds: float) -> None:
        """Wait for what is in flight, at most so long, then let go of it."""
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
        parcel = _Parcel(len(records), asyncio.get_running_loop().create_future())
        self._in_flight += len(records)
        self._idle.clear()
        try:
            self._send(records, parcel)
            self._hurry()
            async with asyncio.timeout(self._wait_seconds):
                await parcel.future
        except TimeoutError:
            raise self._undelivered(records, parcel, "No acknowledgement in time.") from None
        finally:
            self._in_flight -= len(records)
            if not self._in_flight:
                self._idle.set()
        if parcel.failed:
            raise self._refusal(records, parcel) or self._undelivered(records, parcel, parcel.reason)

    async def check(self) -> None:
        """Raise Unavailable where the broker's metadata cannot be had."""
        producer = self._producer
        if producer is None:
            raise Unavailable("kafka", "The producer is stopped.")
        try:
            await asyncio.to_thread(producer.list_topics, timeout=2.0)
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    def _send(self, records: Sequence[CollectedRecord], parcel: _Parcel) -> None:
        producer = self._producer
        if producer is None:
            raise Unavailable("kafka", "The producer is stopped.")
        for sent, record in enumerate(records):
            try:
                producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    timestamp=record.timestamp_ms,
                    headers=[(COLLECTED_HEADER, b"%d" % record.bytes_as_sent)],
                    on_delivery=parcel.report,
                )
            except BufferError:
                return self._give_up(len(records) - sent, parcel, "The queue to Kafka is full.")
            except KafkaException as error:
                if error.args[0].fatal():
                    self._replace()
                return self._give_up(len(records) - sent, parcel, error.args[0].str())
        return None

    def _refusal(self, records: Sequence[CollectedRecord], parcel: _Parcel) -> TimesRefused | None:
        """Whether times are refused. Of several records together Kafka says "invalid record", which may mean others."""
        if parcel.code == KafkaError.INVALID_TIMESTAMP:
            self._clock.note_refusal()
        elif parcel.code != KafkaError.INVALID_RECORD:
            return None
        fault = self._clock.fault()
        unknown = parcel.failed + parcel.left
        return TimesRefused(fault, acknowledged=len(records) - unknown, unknown=unknown) if fault else None

    @staticmethod
    def _give_up(count: int, parcel: _Parcel, reason: str) -> None:
        parcel.left -= count
        parcel.fail(count, reason)

    @staticmethod
    def _undelivered(records: Sequence[CollectedRecord], parcel: _Parcel, reason: str) -> Undelivered:
        unknown = parcel.failed + parcel.left
        return Undelivered(reason, acknowledged=len(records) - unknown, unknown=unknown)

    def _made(self) -> Producer:
        made = self._make(self._config | {"error_cb": self._on_error})
        telemetry.COLLECT_PRODUCERS.inc()
        return made

    def _replace(self) -> None:
        """Where none can be made, the old one stays: it refuses the next record, and that tries again."""
        if self._producer is None:
            return
        try:
            made = self._made()
        except KafkaException as error:
            _log.error("producer_not_replaced", detail=error.args[0].str())
            return
        _log.error("producer_replaced", why="fatal error")
        self._producer.purge()
        self._retired, self._producer = [*self._retired[-3:], self._producer], made

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._replace()
        elif error.code() != KafkaError._TRANSPORT:  # of a broker that is away librdkafka speaks 20 times a second
            _log.warning("kafka_trouble", code=error.name(), detail=error.str())

    def _hurry(self) -> None:
        if self._timer is None or self._timer.when() > asyncio.get_running_loop().time() + BUSY_POLL_SECONDS:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(BUSY_POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        if self._producer is None:
            return
        telemetry.COLLECT_IN_FLIGHT.set(self._in_flight)
        wait = BUSY_POLL_SECONDS if self._in_flight else IDLE_POLL_SECONDS
        # Before callbacks, which may fail: without its timer, no later request would hear of its delivery.
        self._timer = asyncio.get_running_loop().call_later(wait, self._poll)
        for producer in (self._producer, *self._retired):
            producer.poll(0)
