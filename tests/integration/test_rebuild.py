"""`rta rebuild` on real servers: under load and kills; what it refuses, and what it leaves behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import redis
from confluent_kafka import Producer

from rtaplatform.core.errors import SetupError
from rtaplatform.core.rollups import SEATS_PREFIX
from rtaplatform.operate.rebuild_run import KEEP_OLD_HOURS, RebuildRun, abandon
from rtaplatform.settings import WorkerSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.redis.redis_generations import Cleaner, RedisGenerations
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_producer_config
from rtaplatform.stream.kafka.control_log import ControlLog
from rtaplatform.stream.port import Partition
from tests.comparison import Totals, is_note
from tests.integration.chaos import Stack, wait_until
from tests.integration.servers import TESTER

TOPIC = "rta.events.web"

# Which of two reports of an order counts depends on the order of reading.
ONE_REPORT = ("--double-reports", "0")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack", shards=2)
    yield running
    running.stop()


def list_generations(stack: Stack) -> list[str]:
    store = RedisStore(stack.store_settings)
    try:
        states = [store.read_state(shard) for shard in range(stack.shards)]
    finally:
        store.close()
    return [state.generation for state in states if state]


def start_rebuild(stack: Stack, shard: int | None = None, *, keep_old_hours: int = KEEP_OLD_HOURS) -> RebuildRun:
    kafka, store, worker = stack.kafka_settings, stack.store_settings, WorkerSettings()
    return RebuildRun(kafka, store, shard, worker=worker, keep_old_hours=keep_old_hours)


def rebuild(stack: Stack, *, keep_old_hours: int = KEEP_OLD_HOURS) -> dict[str, object]:
    running = start_rebuild(stack, keep_old_hours=keep_old_hours)
    try:
        running.check(partial=False)
        while running.step():
            running.read_progress()
        return running.summarise()
    finally:
        running.close()


def send(stack: Stack, count: int, prefix: str) -> None:
    producer = Producer(make_producer_config(stack.kafka_settings))
    for number in range(count):
        event = {"projectId": "demo", "type": "page", "messageId": f"{prefix}-{number}", "userId": f"u-{number}"}
        producer.produce(TOPIC, json.dumps(event).encode(), f"demo:u-{number}".encode())
    assert producer.flush(20) == 0


def count_dead_letters(stack: Stack) -> int:
    """How many dead letters were ever written, overwritten ones too."""
    broker = Broker(stack.kafka_settings)
    count = broker.describe_topics(["rta.dead-letters"])["rta.dead-letters"][1]
    extents = broker.read_extents(Partition("rta.dead-letters", number) for number in range(count))
    return sum(extent.high for extent in extents.values())


def test_it_switches_under_load_through_kills_and_the_totals_are_the_oracles(stack: Stack) -> None:
    rng = Random(23)
    before = list_generations(stack)
    workers = [stack.spawn("worker"), stack.spawn("worker")]
    shares = ("--late", "0.03", "--duplicates", "0.02", "--malformed", "0.01", *ONE_REPORT)
    visitors = stack.spawn("simulate", "--rate", "1200", "--duration", "40s", *shares)
    time.sleep(8)
    rebuilder = stack.spawn("rebuild")
    kills = 0
    while visitors.poll() is None:
        time.sleep(rng.uniform(0.3, 0.9) if kills < 4 else rng.uniform(1.0, 2.5))
        if kills < 4:  # one that has ended meanwhile was too quick for us: another one will not be
            if rebuilder.poll() is None:
                stack.kill(rebuilder)
                kills += 1
            rebuilder = stack.spawn("rebuild")
        elif rng.random() < 0.4:
            number = rng.randrange(2)
            stack.kill(workers[number])
            workers[number] = stack.spawn("worker")
    wait_until(lambda: rebuilder.poll() is not None, "the rebuild's end", 60)
    log = (stack.folder / "rebuild.log").read_text()
    assert rebuilder.returncode == 0, log[-2_000:]
    assert kills
    assert not set(before) & set(list_generations(stack)), log[-2_000:]
    stack.drain()
    wrong = stack.check()
    assert not wrong, f"{len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


def without_traces_of_batches(totals: Totals) -> Totals:
    """Leave out seats, counts of changes, notes, and what fell to 0: they depend on a worker's batches and order."""
    cells = {
        cell: {name: n for name, n in fields.items() if n and not name.startswith(SEATS_PREFIX)}
        for cell, fields in totals.cells.items()
    }
    return replace(totals, cells=cells, counts={name: n for name, n in totals.counts.items() if not is_note(name)})


def test_at_rest_it_brings_the_same_and_writes_no_dead_letter_again(stack: Stack) -> None:
    sent = stack.spawn(
        "simulate", "--rate", "0", "--events", "20000", "--malformed", "0.02", "--duplicates", "0.05", *ONE_REPORT
    )
    wait_until(lambda: sent.poll() is not None, "the visitors' end", 60)
    stack.spawn("worker")
    stack.drain()
    live, written, before = stack.read_totals(), count_dead_letters(stack), list_generations(stack)
    assert live.dead
    summary = rebuild(stack)
    assert summary["records"] == 20_000
    assert set(list_generations(stack)).isdisjoint(before)
    assert without_traces_of_batches(stack.read_totals()) == without_traces_of_batches(live)
    assert count_dead_letters(stack) == written
    send(stack, 10, "after")
    stack.drain()
    assert stack.check() == []


def test_a_torn_shard_is_whole_again(stack: Stack) -> None:
    stack.spawn("worker")
    send(stack, 300, "a")
    stack.drain()
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        for shard, generation in enumerate(list_generations(stack)):
            tester.set(f"{redis_keys.make_generation_prefix(shard, generation)}inflight", "half of a batch")
    send(stack, 200, "b")
    rebuild(stack)
    stack.drain()
    assert stack.check() == []
    assert stack.read_totals().counts["demo|applied"] == 500


def test_who_is_erased_stays_erased_in_what_is_built(stack: Stack) -> None:
    stack.spawn("worker")
    send(stack, 2, "before")
    record = {"type": "erase", "receiptId": "era_1", "projectId": "demo", "userId": "u-0", "anonymousIds": [], "at": ""}
    ControlLog(stack.kafka_settings).append(b"demo:user:u-0", json.dumps(record).encode())
    stack.drain()
    rebuild(stack)
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        online = [tester.zcard(key) for key in tester.scan_iter("rta:*:online:demo")]
    # The old generation, which nobody has told, has both; the new one has the other person.
    assert sorted(online) == [1, 2]


def test_a_server_that_goes_away_meanwhile_is_waited_for(stack: Stack) -> None:
    send(stack, 300, "a")
    for server in (stack.valkey, stack.kafka):
        running = start_rebuild(stack)
        running.check(partial=False)
        server.kill()
        assert running.step()
        running.read_progress()
        server.start()
        while running.step():
            running.read_progress()
        running.close()
    assert stack.check() == []


def test_what_was_read_before_goes_after_a_day_and_not_sooner(stack: Stack) -> None:
    stack.spawn("worker")
    send(stack, 50, "a")
    stack.drain()
    before = list_generations(stack)
    rebuild(stack)
    store = RedisStore(stack.store_settings)
    cleaner = Cleaner(RedisGenerations(store, stack.shards), stack.shards)
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:

        def left() -> int:
            return sum(
                1
                for s, name in enumerate(before)
                for _ in tester.scan_iter(f"{redis_keys.make_generation_prefix(s, name)}*")
            )

        assert cleaner.run_steps(100) == 0
        keys_left = left()
        assert keys_left
        for shard, name in enumerate(before):
            tester.hset(redis_keys.make_retired_key(shard), name, 0)
        assert cleaner.run_steps(100) + cleaner.run_steps(100) == keys_left
        assert left() == 0
        assert not any(tester.exists(redis_keys.make_retired_key(shard)) for shard in range(stack.shards))
    store.close()
    assert stack.check() == []


@pytest.mark.parametrize("hours", [0, 2])
def test_the_totals_before_are_kept_as_long_as_it_is_told(stack: Stack, hours: int) -> None:
    """By the command itself: no worker runs that would delete them later."""
    counting = stack.spawn("worker")
    send(stack, 50, "a")
    stack.drain()
    counting.terminate()
    counting.wait(20)
    before = list_generations(stack)
    rebuilder = stack.spawn("rebuild", "--keep-old", str(hours))
    wait_until(lambda: rebuilder.poll() is not None, "the rebuild's end", 60)
    log_text = (stack.folder / "rebuild.log").read_text()
    assert rebuilder.returncode == 0, log_text
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        now = tester.time()[0]
        for shard, name in enumerate(before):
            keys_left = list(tester.scan_iter(f"{redis_keys.make_generation_prefix(shard, name)}*"))
            until_s = [int(at) for at in tester.hgetall(redis_keys.make_retired_key(shard)).values()]
            if hours:
                assert keys_left, log_text
                assert [0 < at - now <= hours * 3_600 for at in until_s] == [True]
            else:
                assert (keys_left, until_s) == ([], []), log_text
    words = f"are kept for {hours} hours" if hours else "are dropped"
    assert f"The totals before {words}." in log_text
    assert stack.check() == []


def test_an_unfinished_one_is_gone_on_with_or_abandoned(stack: Stack) -> None:
    send(stack, 100, "a")
    running = start_rebuild(stack, 0)
    running.check(partial=False)
    running.step()
    running.close()
    again = start_rebuild(stack, 0)
    assert "unfinished" in again.check(partial=False)[0]
    while again.step():
        pass
    assert again.summarise()["resumed"] == [0]
    again.close()
    store = RedisStore(stack.store_settings)
    RedisGenerations(store, stack.shards).begin_building(1, expected="", generation="g", topics={}, starts={})
    store.close()
    assert "nothing" in abandon(stack.store_settings, 0)[0]
    assert "dropped" in abandon(stack.store_settings, 1)[0]


def test_it_says_what_it_cannot_do(stack: Stack) -> None:
    with pytest.raises(SetupError, match="no shard 9"):
        start_rebuild(stack, 9)
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        tester.hset(redis_keys.make_shard_key(0), "schema", "0")
        assert "schema 0" in find_refusal(stack)
        tester.hset(redis_keys.make_shard_key(0), "schema", "1")
        manifest = f"{redis_keys.make_generation_prefix(0, list_generations(stack)[0])}manifest"
        topic_id = tester.hget(manifest, f"topic:{TOPIC}") or b""
        tester.hset(manifest, f"topic:{TOPIC}", "another")
        assert "was re-created" in find_refusal(stack)
        tester.hset(manifest, f"topic:{TOPIC}", topic_id)
        tester.config_set("maxmemory", int(tester.info("memory")["used_memory"] * 1.05))
        assert "maxmemory" in find_refusal(stack)
        tester.config_set("maxmemory", 0)


def find_refusal(stack: Stack) -> str:
    running = start_rebuild(stack)
    try:
        running.check(partial=False)
    except SetupError as error:
        return str(error)
    finally:
        running.close()
    return ""
