"""For n = 1, 2, …: the n-th call of the collector to Kafka, PostgreSQL or Redis fails, in each way that it can.

200 is said only of what Kafka has acknowledged; everything else is a designed error; and once the client has sent
again what was not answered by 200, a worker counts each event exactly once. Nothing is left behind.
"""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.worker.worker import Worker
from rtaplatform.serve.http import limits
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, recount
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from rtaplatform.telemetry import REGISTRY
from tests.comparison import check_the_law, compute_expected, find_differences, read_memory_totals
from tests.simulation.collecting import WAYS, Plan, Site, make_requests
from tests.simulation.faults import start_call
from tests.simulation.home import RULES
from tests.simulation.world import PROJECTS, TOPICS

REQUESTS = make_requests()
EVENTS = sum(len(sending.ids) for sending in REQUESTS)
COUNTERS = ("received", "accepted", "rejected", "unknown")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REDIS_SECONDS", 0.02)


async def run(plan: Plan) -> Site:
    """Everything is sent, and everything must be in order again."""
    site, before = Site(plan), read_collected()
    try:
        await site.producer.start()
    except KafkaException:  # not made: a process that cannot begin ends, and is started again
        await site.producer.start()
    await site.send_all(REQUESTS)
    site.wrong += list_left_behind(site)
    after = {name: value - before[name] for name, value in read_collected().items()}
    if after["received"] != after["accepted"] + after["rejected"] + after["unknown"]:
        site.wrong.append(f"the law: {after}")
    await site.producer.stop(0.1)
    site.wrong += find_miscounted(site.broker.stored)
    return site


def list_left_behind(site: Site) -> list[str]:
    queued = sum(len(kafka.waiting) + len(kafka.silent) for kafka in site.producers)
    in_flight = site.producer._in_flight
    return [f"{queued} are queued, {in_flight} in flight"] if queued or in_flight else []


def read_collected() -> dict[str, float]:
    counts = dict.fromkeys(COUNTERS, 0.0)
    for sample in (sample for family in REGISTRY.collect() for sample in family.samples):
        name = sample.name.removeprefix("rta_collect_").removesuffix("_total")
        if name in counts and sample.name.endswith("_total"):
            counts[name] += sample.value
    return counts


def find_miscounted(stored: list[CollectedRecord]) -> list[str]:
    """What a worker makes of the log, held against the oracle's numbers and the number of events that were sent."""
    broker, store = MemoryBroker(TOPICS), MemoryStore()
    starts = {PartitionId(topic_id, 0): 0 for topic_id in broker.ids.values()}
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts=starts)
    store.set_projects(PROJECTS, "v1")
    for record in stored:
        partition = Partition(record.topic, find_bucket(record.key, TOPICS[record.topic]))
        broker.append(partition, record.timestamp_ms, record.key, record.value)
    log = MemoryLog(broker)
    log.assign(broker.list_partitions())
    worker = Worker(log, log, store, shards=1, start_call=start_call, sleep=lambda _: None, clock=lambda: 0.0)
    for _ in range(20):
        worker.turn()
    totals_in_store = read_memory_totals(store)
    consumed_records = (
        ConsumedRecord(p.topic, p.number, r.offset, r.timestamp_ms, r.key, r.value)
        for p, rs in broker.records.items()
        for r in rs
    )
    truth = recount(consumed_records, projects=RULES)
    applied = totals_in_store.counts.get("demo|applied", 0)
    wrong = find_differences(totals_in_store, compute_expected(truth)) + check_the_law(totals_in_store)
    return wrong + ([] if applied == EVENTS else [f"{applied} events are counted of {EVENTS}"])


async def test_without_a_failure_every_request_is_answered_at_once() -> None:
    site = await run(Plan())
    assert site.wrong == []
    assert set(site.plan.calls) == set(WAYS)
    assert len(site.broker.stored) == EVENTS + 1  # the repeat


@pytest.mark.parametrize(("name", "way"), [(name, way) for name, ways in WAYS.items() for way in ways])
async def test_any_call_of_the_collector_may_fail_once(name: str, way: str) -> None:
    calls = (await run(Plan())).plan.calls
    hit = [n for n, called in enumerate(calls, 1) if called == name]
    assert hit
    for n in hit:
        site = await run(Plan(n, way))
        assert not site.wrong, f"call {n}, {name}: {way}: {len(site.wrong)} wrong:\n" + "\n".join(site.wrong[:20])
