"""The producer's promises, on a fake librdkafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.machine_clock import MachineClock
from rtaplatform.collect.producer import PORTION_RECORDS_MAX, REPORTS_MAX, EventProducer, TimesRefused, Undelivered
from rtaplatform.core.errors import Unavailable, WrongClock

RECORDS = [CollectedRecord("rta.events.web", b"demo:%d" % number, b"{}", 1_000, 2) for number in range(3)]
Report = Callable[[KafkaError | None, None], None]


class Librdkafka:
    """Acknowledges what it was given, at the next poll; `errors` are reported instead, first come."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.waiting, self.sent = config, list[Report](), list[bytes]()
        self.errors: list[KafkaError] = []
        self.capacity, self.is_mute, self.is_fatal = 1_000, False, False

    def produce(self, topic: str, *, key: bytes, on_delivery: Report, **_: Any) -> None:
        if self.is_fatal:
            raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", True))
        if len(self.waiting) >= self.capacity:
            raise BufferError
        self.sent.append(key)
        self.waiting.append(on_delivery)

    def poll(self, _: float) -> None:
        if self.is_mute:
            return
        reports, self.waiting = self.waiting, []
        for report in reports:
            report(self.errors.pop() if self.errors else None, None)

    def __len__(self) -> int:
        return len(self.waiting)

    def purge(self) -> None:
        self.errors, self.is_mute = [KafkaError(KafkaError._PURGE_QUEUE)] * len(self.waiting), False

    def flush(self, _: float) -> int:
        self.poll(0)
        return 0


class Factory:
    def __init__(self) -> None:
        self.producers: list[Librdkafka] = []

    def __call__(self, config: dict[str, Any]) -> Any:
        self.producers.append(Librdkafka(config))
        return self.producers[-1]


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
async def producer(factory: Factory) -> AsyncIterator[EventProducer]:
    new_producer = EventProducer(factory, {}, wait_seconds=-0.8)  # 0.2 s with what is added to librdkafka's own limit
    await new_producer.start()
    yield new_producer
    await new_producer.stop(0.1)


async def test_append_returns_once_all_are_acknowledged(producer: EventProducer, factory: Factory) -> None:
    factory.producers[0].is_mute = True
    task = asyncio.create_task(producer.append(RECORDS))
    await asyncio.sleep(0.05)
    assert not task.done()
    factory.producers[0].is_mute = False
    await task
    assert factory.producers[0].sent == [record.key for record in RECORDS]


async def test_nothing_to_append_is_done_at_once(producer: EventProducer) -> None:
    await producer.append([])


async def test_failed_report_makes_its_record_unknown(producer: EventProducer, factory: Factory) -> None:
    factory.producers[0].errors = [KafkaError(KafkaError._MSG_TIMED_OUT)]
    with pytest.raises(Undelivered) as caught:
        await producer.append(RECORDS)
    assert (caught.value.acknowledged, caught.value.unknown) == (2, 1)


async def test_a_refused_timestamp_is_reported_at_once_as_the_clocks_fault(
    producer: EventProducer, factory: Factory
) -> None:
    # Of records that came in one batch Kafka says "invalid record", of a single one "invalid timestamp".
    factory.producers[0].errors = [
        KafkaError(code)
        for code in (KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD)
    ]
    with pytest.raises(TimesRefused, match="clock of this machine is wrong") as caught:
        await producer.append(RECORDS)
    assert (caught.value.acknowledged, caught.value.unknown) == (0, 3)
    assert caught.value.retry_after_seconds >= 10
    assert isinstance(caught.value, WrongClock)


async def test_an_invalid_record_is_the_clocks_fault_only_if_the_clock_is_wrong(
    factory: Factory,
) -> None:
    clock = MachineClock()
    producer = EventProducer(factory, {}, 1, clock)
    await producer.start()
    factory.producers[0].errors = [KafkaError(KafkaError.INVALID_RECORD)]
    with pytest.raises(Undelivered) as caught:
        await producer.append(RECORDS[:1])
    assert not isinstance(caught.value, WrongClock)
    clock.compare(5_000, 1_000)
    factory.producers[0].errors = [KafkaError(KafkaError.INVALID_RECORD)]
    with pytest.raises(TimesRefused, match="4000 s ahead"):
        await producer.append(RECORDS[:1])
    await producer.stop(0.1)


async def test_a_full_queue_is_unavailable_and_counts_what_was_sent(producer: EventProducer, factory: Factory) -> None:
    factory.producers[0].capacity = 2
    with pytest.raises(Undelivered) as caught:
        await producer.append(RECORDS)
    assert (caught.value.acknowledged, caught.value.unknown) == (2, 1)
    await producer.append(RECORDS[:2])


async def test_no_answer_from_kafka_is_unavailable(producer: EventProducer, factory: Factory) -> None:
    factory.producers[0].is_mute = True
    with pytest.raises(Undelivered) as caught:
        await producer.append(RECORDS)
    assert (caught.value.acknowledged, caught.value.unknown) == (0, 3)
    factory.producers[0].is_mute = False
    await producer.append(RECORDS)


async def test_fatal_error_brings_a_new_producer(producer: EventProducer, factory: Factory) -> None:
    factory.producers[0].is_mute = True
    waiting = asyncio.create_task(producer.append(RECORDS[:1]))
    await asyncio.sleep(0.01)
    factory.producers[0].is_fatal = True
    with pytest.raises(Unavailable):
        await producer.append(RECORDS)
    with pytest.raises(Undelivered):
        await waiting
    await producer.append(RECORDS)
    assert [len(kafka.sent) for kafka in factory.producers] == [1, 3]


async def test_a_fatal_error_in_the_callback_brings_a_new_producer(producer: EventProducer, factory: Factory) -> None:
    factory.producers[0].config["error_cb"](KafkaError(KafkaError._FATAL, "fenced", True))
    await producer.append(RECORDS)
    assert len(factory.producers) == 2


async def test_an_unavailable_broker_is_logged_once_not_at_every_retry(
    producer: EventProducer, factory: Factory
) -> None:
    tell = factory.producers[0].config["error_cb"]
    with capture_logs() as log_lines:
        for _ in range(50):
            tell(KafkaError(KafkaError._TRANSPORT, "connection refused"))
        tell(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert [line["code"] for line in log_lines] == ["_ALL_BROKERS_DOWN"]


async def test_stopped_producer_takes_nothing(factory: Factory) -> None:
    producer = EventProducer(factory, {}, wait_seconds=1)
    with pytest.raises(Unavailable):
        await producer.append(RECORDS)


BATCH = [CollectedRecord("rta.events.web", b"demo:%d" % number, b"{}", 1_000, 2) for number in range(2_500)]


async def test_no_turn_of_the_event_loop_sends_more_than_a_portion(factory: Factory) -> None:
    producer = EventProducer(factory, {}, wait_seconds=30)
    await producer.start()
    kafka, sent_by_turn = factory.producers[0], [0]
    kafka.capacity = 100_000

    async def watch() -> None:
        while True:
            sent_by_turn.append(len(kafka.sent))
            await asyncio.sleep(0)

    await producer.append(BATCH[:1])
    watching = asyncio.create_task(watch())
    await asyncio.gather(*(producer.append(BATCH) for _ in range(2)))
    watching.cancel()
    grown = [after - before for before, after in pairwise(sent_by_turn)]
    assert sum(grown) >= len(BATCH)
    # Both requests begin in one turn: their first portions belong to what made them.
    assert max(grown) <= 2 * PORTION_RECORDS_MAX
    assert sorted(grown)[-3] <= PORTION_RECORDS_MAX
    assert len(kafka.sent) == 1 + 2 * len(BATCH)
    await producer.stop(0.1)


async def test_no_more_reports_are_outstanding_than_one_poll_may_serve(factory: Factory) -> None:
    producer = EventProducer(factory, {}, wait_seconds=30)
    await producer.start()
    kafka = factory.producers[0]
    kafka.capacity, kafka.is_mute = 100_000, True
    sending = [asyncio.create_task(producer.append(BATCH)) for _ in range(12)]
    await asyncio.sleep(0.2)
    assert REPORTS_MAX <= len(kafka.waiting) <= REPORTS_MAX + 2 * PORTION_RECORDS_MAX
    kafka.is_mute = False
    await asyncio.gather(*sending)
    assert len(kafka.sent) == 12 * len(BATCH)
    await producer.stop(0.1)


async def test_a_request_that_waits_for_reports_too_long_is_told_so_and_sends_no_more(factory: Factory) -> None:
    producer = EventProducer(factory, {}, wait_seconds=-0.8)
    await producer.start()
    kafka = factory.producers[0]
    kafka.capacity, kafka.is_mute = 100_000, True
    sent = await asyncio.gather(*(producer.append(BATCH) for _ in range(12)), return_exceptions=True)
    assert [(type(outcome), getattr(outcome, "unknown", 0)) for outcome in sent] == [(Undelivered, len(BATCH))] * 12
    assert len(kafka.sent) < 12 * len(BATCH)
    await producer.stop(0.1)
