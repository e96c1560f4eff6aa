"""received = accepted + rejected + unknown, whatever Kafka does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from rtaplatform.collect.body.draft import BatchRefused, CollectedRecord, EventRefused
from rtaplatform.collect.body.envelope import EventBatch, RequestArrival, read_batch
from rtaplatform.collect.collector import PORTION_EVENTS_MAX, Collector
from rtaplatform.collect.producer import Undelivered
from rtaplatform.telemetry import REGISTRY

ARRIVAL = RequestArrival(received_ms=1_795_341_600_000)
BODY = json.dumps(
    {"batch": [{"type": "track", "event": "x", "userId": "u"}, {"type": "page", "userId": "u"}, {"type": "page"}, 3]}
).encode()


class Log:
    def __init__(self) -> None:
        self.records: list[CollectedRecord] = []

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.records.extend(records)


class HalfDeaf:
    """Acknowledges the first record only."""

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        raise Undelivered("away", acknowledged=1, unknown=len(records) - 1)


class Broken:
    async def append(self, records: Sequence[CollectedRecord]) -> None:
        raise RuntimeError("a bug")


def read_counts() -> dict[str, float]:
    counts = {"received": 0.0, "accepted": 0.0, "rejected": 0.0, "unknown": 0.0}
    for family in REGISTRY.collect():
        for sample in family.samples:
            name = sample.name.removeprefix("rta_collect_").removesuffix("_total")
            if name in counts and sample.name.endswith("_total"):
                counts[name] += sample.value
    return counts


async def count_added(collector: Collector, error: type[Exception] | None = None) -> dict[str, float]:
    before = read_counts()
    if error is None:
        await collector.collect_batch(read_batch(BODY), "demo", ARRIVAL)
    else:
        with pytest.raises(error):
            await collector.collect_batch(read_batch(BODY), "demo", ARRIVAL)
    return {name: value - before[name] for name, value in read_counts().items()}


async def test_every_event_is_accepted_rejected_or_unknown() -> None:
    assert await count_added(Collector(Log())) == {"received": 4, "accepted": 2, "rejected": 2, "unknown": 0}
    assert await count_added(Collector(HalfDeaf()), Undelivered) == {
        "received": 4, "accepted": 1, "rejected": 2, "unknown": 1,
    }  # fmt: skip
    assert await count_added(Collector(Broken()), RuntimeError) == {
        "received": 4, "accepted": 0, "rejected": 2, "unknown": 2,
    }  # fmt: skip


async def test_a_batch_answers_how_many_were_accepted_and_lists_the_rest() -> None:
    log = Log()
    answer = await Collector(log).collect_batch(read_batch(BODY), "demo", ARRIVAL)
    assert set(answer) == {"success", "accepted", "rejected"}
    assert (answer["success"], answer["accepted"], len(log.records)) == (False, 2, 2)
    assert [set(rejection) for rejection in answer["rejected"]] == [
        {"index", "messageId", "reason", "field", "detail"}
    ] * 2
    assert [(rejection["index"], rejection["reason"]) for rejection in answer["rejected"]] == [
        (2, "missing_identity"), (3, "not_an_object"),
    ]  # fmt: skip


async def test_a_strict_batch_answers_refusals_with_an_error_and_stores_the_others() -> None:
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


async def test_batch_of_good_events_succeeds_and_an_empty_one_too() -> None:
    for events in ([], [{"type": "page", "userId": "u"}]):
        answer = await Collector(Log()).collect_batch(
            read_batch(json.dumps({"batch": events}).encode()), "demo", ARRIVAL
        )
        assert answer == {"success": True, "accepted": len(events), "rejected": []}


async def test_late_events_are_reported_by_their_indexes() -> None:
    page = {"type": "page", "userId": "u"}
    old = {**page, "timestamp": "2019-05-01T00:00:00Z"}
    answer = await Collector(Log()).collect_batch(
        read_batch(json.dumps({"batch": [page, old, 5, old]}).encode()), "demo", ARRIVAL
    )
    assert (answer["accepted"], answer["late"]) == (3, [1, 3])
    answer_to_single = await Collector(Log()).collect_single(json.dumps(old).encode(), "page", "demo", ARRIVAL)
    assert answer_to_single == {"success": True, "late": [0]}


async def test_other_tasks_run_while_a_large_batch_is_collected() -> None:
    body = json.dumps({"batch": [{"type": "page", "userId": "u"}] * 5_000}).encode()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    answer = await Collector(Log()).collect_batch(read_batch(body), "demo", ARRIVAL)
    other.cancel()
    assert answer["accepted"] == 5_000
    assert turns >= 24


async def test_batches_that_arrive_together_take_turns_from_their_first_events_on() -> None:
    """The answers of a limiter may come for many batches at once: each of them is at its first events then."""
    event = b'{"type":"page","userId":"u"}'
    event_count, by_turn = 0, [0]

    class Watched(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal event_count
            for event in super().__iter__():
                event_count += 1
                yield event

    async def watch() -> None:
        while True:
            by_turn.append(event_count)
            await asyncio.sleep(0)

    watching, collector = asyncio.create_task(watch()), Collector(Log())
    batches = [EventBatch(Watched([event] * 1_000)) for _ in range(8)]
    answers = await asyncio.gather(*(collector.collect_batch(batch, "demo", ARRIVAL) for batch in batches))
    watching.cancel()
    assert [answer["accepted"] for answer in answers] == [1_000] * 8
    assert max(after - before for before, after in pairwise([*by_turn, event_count])) <= 2 * PORTION_EVENTS_MAX


async def test_large_batches_are_read_in_turns_of_their_own() -> None:
    body = json.dumps({"batch": [{"type": "page", "userId": "u", "properties": {"x": "y" * 500}}] * 200}).encode()
    batch_count, by_turn = 0, [0]

    async def read() -> None:
        nonlocal batch_count
        await collector.read_batch(body)
        batch_count += 1

    async def watch() -> None:
        while True:
            by_turn.append(batch_count)
            await asyncio.sleep(0)

    watching, collector = asyncio.create_task(watch()), Collector(Log())
    await asyncio.gather(*(read() for _ in range(8)))
    watching.cancel()
    assert max(after - before for before, after in pairwise([*by_turn, batch_count])) == 1


class Counting(Log):
    """Knows how much it was given at once; fails at the given call."""

    def __init__(self, fails_at: int = 0) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self._fails_at = fails_at

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.sizes.append(sum(len(record.value) for record in records))
        if len(self.sizes) == self._fails_at:
            raise Undelivered("away", acknowledged=1, unknown=len(records) - 1)
        await super().append(records)


LARGE = json.dumps({"context": {"x": "y" * 7_000}, "batch": [{"type": "page", "userId": "u"}] * 4_999 + [5]}).encode()


async def test_a_small_batch_with_large_defaults_is_never_in_memory_as_a_whole() -> None:
    log = Counting()
    answer = await Collector(log).collect_batch(read_batch(LARGE), "demo", ARRIVAL)
    assert (answer["accepted"], len(answer["rejected"]), len(log.records)) == (4_999, 1, 4_999)
    assert max(log.sizes) < 8 << 20


async def test_counts_add_up_if_a_part_of_a_batch_is_unknown() -> None:
    before = read_counts()
    log = Counting(fails_at=3)
    with pytest.raises(Undelivered):
        await Collector(log).collect_batch(read_batch(LARGE), "demo", ARRIVAL)
    added = {name: value - before[name] for name, value in read_counts().items()}
    assert added["received"] == added["accepted"] + added["rejected"] + added["unknown"]
    assert added["accepted"] == len(log.records) + 1


@pytest.mark.parametrize("body", [b"", b" \n"])
async def test_an_empty_body_is_named_so(body: bytes) -> None:
    with pytest.raises(EventRefused, match=r"^It is empty\.$"):
        await Collector(Log()).collect_single(body, "track", "demo", ARRIVAL)


async def test_a_body_that_is_not_json_is_cut_in_a_thread_and_counted() -> None:
    collector = Collector(Log())
    batch = await collector.read_batch(b'{"batch":[{"type":"page","userId":"u"},NaN]}')
    answer = await collector.collect_batch(batch, "demo", ARRIVAL)
    assert (answer["accepted"], [(rejection["index"], rejection["reason"]) for rejection in answer["rejected"]]) == (
        1,
        [(1, "not_json")],
    )


async def test_a_long_message_id_is_not_sent_back_as_a_whole() -> None:
    body = json.dumps({"batch": [{"type": "page", "userId": "u", "messageId": "m" * 30_000}]}).encode()
    (refused,) = (await Collector(Log()).collect_batch(read_batch(body), "demo", ARRIVAL))["rejected"]
    assert (refused["reason"], refused["messageId"]) == ("id_too_long", "m" * 256)


async def test_ids_that_name_nobody_are_counted_in_a_signal() -> None:
    def placeholders() -> float:
        return REGISTRY.get_sample_value("rta_collect_placeholder_ids_total") or 0

    before = placeholders()
    events = [{"type": "page", "userId": name} for name in ("undefined", "NULL", "0", "u-1", "nullable")]
    await Collector(Log()).collect_batch(read_batch(json.dumps({"batch": events}).encode()), "demo", ARRIVAL)
    assert placeholders() - before == 3
