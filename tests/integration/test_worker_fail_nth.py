"""For n = 1, 2, …: the n-th command of a worker to the real store fails, by a cut, in silence or with an error.

Whatever the client library makes of it, the totals are the oracle's afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import islice
from random import Random

import pytest
import redis
from pydantic import SecretStr

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import StoreSettings
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.comparison import SKETCH_ERROR_MAX, check_the_law, compute_expected, find_differences, read_redis_totals
from tests.contract.conftest import store_settings
from tests.integration.cutting import CUTS, DONE_SILENT, SILENT, Plan, Proxy, make_redis_proxy, read_command_name
from tests.integration.servers import TESTER, Running, flush
from tests.integration.test_reader_fail_nth import ERRORS, EVERY_TENTH, TIMEOUT_SECONDS, discard_if_exec, replace_port
from tests.simulation.faults import start_call
from tests.simulation.home import RULES
from tests.simulation.persons import Witness
from tests.simulation.world import PROJECTS, draw_traffic

RECORDS, SHARDS, TURNS_MAX = 40, 2, 100
TOPICS = {"rta.events.web": 2, "rta.events.mobile": 1, "rta.events.server": 1}
WAYS: dict[str, str | bytes] = {
    **{way: way for way in CUTS},
    **{name: ERRORS[name] for name in ("loading", "memory", "busy", "replica", "disk")},
}


@pytest.fixture
async def behind(valkey_server: Running[Valkey]) -> AsyncIterator[Proxy]:
    async with make_redis_proxy(valkey_server.server.port) as new_proxy:
        yield new_proxy


def run(valkey: Running[Valkey], port: Proxy) -> list[str]:
    """Count a short log, with one worker whose store is behind the proxy. Everything that is wrong at the end."""
    flush(valkey)
    broker, witness = _fill_log()
    direct = store_settings(valkey, SHARDS)
    with redis.Redis.from_url(valkey.server.make_url(TESTER)) as tester:
        store = RedisStore(direct)
        for shard in range(SHARDS):
            store.begin(shard, expected="", generation="g1", topics=dict(broker.ids), starts={})
        store.set_projects(PROJECTS)
        plan, port.plan = port.plan, Plan()
        url = SecretStr(replace_port(port, direct.url.get_secret_value()))
        cut = RedisStore(StoreSettings(url=url, shards=SHARDS, timeout_seconds=TIMEOUT_SECONDS))
        port.plan = plan
        log = MemoryLog(broker, batch_max=9, portion_max=4)
        log.assign(broker.list_partitions())
        clock = iter(range(10**6))
        worker = Worker(
            log, log, cut, shards=SHARDS, start_call=start_call, sleep=lambda _: None,
            clock=lambda: float(next(clock)),
        )  # fmt: skip
        for _ in range(TURNS_MAX):
            worker.turn()
            if worker.is_settled and _is_at_the_end(store, broker):
                break
        else:
            return [f"the end was not reached; stops: {worker.positions.stops}"]
        cut.close()
        store.close()
        totals, expected_totals = read_redis_totals(tester), compute_expected(witness.truth)
        return find_differences(totals, expected_totals, distinct_tolerance=SKETCH_ERROR_MAX) + check_the_law(totals)


def _fill_log() -> tuple[MemoryBroker, Witness]:
    broker, witness = (
        MemoryBroker(TOPICS),
        Witness(RULES),
    )
    start_ms = time.time_ns() // 1_000_000
    for sent in islice(draw_traffic(7, Random(7), 300.0, start_ms), RECORDS):
        partition = Partition(sent.topic, find_bucket(sent.key, TOPICS[sent.topic]))
        broker.append(partition, sent.timestamp, sent.key, sent.value)
    for p, records in broker.records.items():
        for r in records:
            witness.add(ConsumedRecord(p.topic, p.number, r.offset, r.timestamp_ms, r.key, r.value))
    return broker, witness


def _is_at_the_end(store: RedisStore, broker: MemoryBroker) -> bool:
    ends = {
        PartitionId(broker.ids[p.topic], p.number): len(records) for p, records in broker.records.items() if records
    }
    states = [store.read_state(shard) for shard in range(SHARDS)]
    return all(int(s.ledger.get(place, "0").split("|")[0]) == end for s in states if s for place, end in ends.items())


@pytest.mark.parametrize("way", WAYS)
async def test_any_command_of_a_worker_may_fail_once(valkey_server: Running[Valkey], behind: Proxy, way: str) -> None:
    behind.plan = clean = Plan()
    assert await asyncio.to_thread(run, valkey_server, behind) == []
    names = [read_command_name(call) for call in clean.calls]
    assert {b"HGET", b"MULTI", b"EXEC", b"MGET", b"FCALL", b"HGETALL"} <= set(names)
    for n in range(1, len(names) + 1, EVERY_TENTH if way in (SILENT, DONE_SILENT) else 1):
        behind.plan = Plan(n, WAYS[way], instead=discard_if_exec)
        wrong = await asyncio.to_thread(run, valkey_server, behind)
        assert not wrong, f"call {n}, {names[n - 1].decode()}: {way}:\n" + "\n".join(wrong[:20])
