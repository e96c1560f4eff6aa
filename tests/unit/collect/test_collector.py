"""The law: received = accepted + rejected + unknown, whatever Kafka does."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from rtaplatform.collect.collector import Collector
from rtaplatform.collect.draft import BatchRefused, EventRefused, Record
from rtaplatform.collect.envelope import Arrival, read_batch
from rtaplatform.collect.producer import Undelivered
from rtaplatform.telemetry import REGISTRY

ARRIVAL = Arrival(received_ms=1_795_341_600_000)
BODY = json.dumps(
    {"batch": [{"type": "track", "event": "x", "userId": "u"}, {"type": "page", "userId": "u"}, {"type": "page"}, 3]}
).encode()


class Log:
    def __init__(self) -> None:
        self.records: list[Record] = []

    async def append(self, records: Sequence[Record]) -> None:
        self.records.extend(records)


class HalfDeaf:
    """Acknowledges the first record only."""

    async def append(self, records: Sequence[Record]) -> None:
        raise Undelivered("away", acknowledged=1, unknown=len(records) - 1)


class Broken:
    async def append(self, records: Sequence[Record]) -> None:
        raise RuntimeError("a bug")


def counts() -> dict[str, float]:
    found = {"received": 0.0, "accepted": 0.0, "rejected": 0.0, "unknown": 0.0}
    for family in REGISTRY.collect():
        for sample in family.samples:
            name = sample.name.removeprefix("rta_collect_").removesuffix("_total")
            if name in found and sample.name.endswith("_total"):
                found[name] += sample.value
    return found


async def added(collector: Collector, error: type[Exception] | None = None) -> dict[str, float]:
    before = counts()
    if error is None:
        await collector.collect_batch(read_batch(BODY), "demo", ARRIVAL)
    else:
        with pytest.raises(error):
            await collector.collect_batch(read_batch(BODY), "demo", ARRIVAL)
    return {name: value - before[name] for name, value in counts().items()}


async def test_every_event_is_accepted_rejected_or_unknown() -> None:
    assert await added(Collector(Log())) == {"received": 4, "accepted": 2, "rejected": 2, "unknown": 0}
    assert await added(Collector(HalfDeaf()), Undelivered) == {
        "received": 4, "accepted": 1, "rejected": 2, "unknown": 1,
    }  # fmt: skip
    assert await added(Collector(Broken()), RuntimeError) == {
        "received": 4, "accepted": 0, "rejected": 2, "unknown": 2,
    }  # fmt: skip


async def test_batch_answers_what_was_taken_and_lists_the_rest() -> None:
    log = Log()
    answer = await Collector(log).collect_batch(read_batch(BODY), "demo", ARRIVAL)
    assert (answer["success"], answer["accepted"], len(log.records)) == (True, 2, 2)
    assert [set(one) for one in answer["rejected"]] == [{"index", "messageId", "reason", "field", "detail"}] * 2
    assert [(one["index"], one["reason"]) for one in answer["rejected"]] == [
        (2, "missing_identity"), (3, "not_an_object"),
    ]  # fmt: skip


async def test_strict_batch_tells_of_refusals_as_an_error_and_stores_the_others() -> None:
    log = Log()
    with pytest.raises(BatchRefused) as caught:
        await Collector(log).collect_batch_strictly(read_batch(BODY), "demo", ARRIVAL)
    assert caught.value.answer["accepted"] == len(log.records) == 2


async def test_single_call_that_is_refused_is_an_error() -> None:
    log = Log()
    with pytest.raises(EventRefused):
        await Collector(log).collect_single(b'{"userId":"u"}', "track", "demo", ARRIVAL)
    assert await Collector(log).collect_single(b'{"userId":"u"}', "page", "demo", ARRIVAL) == {"success": True}
    assert len(log.records) == 1
