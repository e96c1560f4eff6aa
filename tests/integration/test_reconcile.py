"""`rta reconcile` on real servers: no difference after everything that happens; a total changed by hand is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer

from rtaplatform.core.sharding import find_shard
from rtaplatform.store import redis_keys
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.config import make_producer_config
from tests.integration.chaos import Stack
from tests.integration.servers import TESTER

SHARES = ("--late", "0.05", "--duplicates", "0.05", "--malformed", "0.02", "--users", "300")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack", shards=2)
    yield running
    running.stop()


def reconcile(stack: Stack, *options: str) -> tuple[int, dict[str, Any]]:
    process = subprocess.run(
        [sys.executable, "-m", "rtaplatform.cli.main", "reconcile", "--json", *options],
        env=stack.make_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.stdout, process.stderr[-3_000:]
    of: dict[str, Any] = json.loads(process.stdout)["projects"][0]
    return process.returncode, of


def metrics(of: dict[str, Any]) -> dict[str, float]:
    return {metric["name"]: metric["recount"] for metric in of["metrics"]}


def change_a_day(stack: Stack, rollup: str, field: str, by: int) -> str:
    """Add to a counter of the newest day, as nobody may. Returns the key."""
    shard, store = find_shard("demo", stack.shards), RedisStore(stack.store_settings)
    state = store.read_state(shard)
    store.close()
    assert state is not None
    days = f"{redis_keys.make_generation_prefix(shard, state.generation)}c:demo:{rollup}:d:*"
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        newest = max(tester.scan_iter(days))  # late events may have made a day before
        tester.hincrby(newest, field, by)
    return str(newest)


def refund(stack: Stack) -> None:
    """An order and its refund, for certain: in the hours of the simulation there may be none."""
    producer = Producer(make_producer_config(stack.kafka_settings))
    amounts = {"order_id": "o-refunded", "currency": "EUR", "revenue": 12, "total": 12}
    for name in ("Order Completed", "Order Refunded"):
        event = {"projectId": "demo", "type": "track", "event": name, "messageId": name, "userId": "u-refunded"}
        value = json.dumps({**event, "properties": amounts}).encode()
        producer.produce("rta.events.server", value, b"demo:u-refunded")
    assert producer.flush(20) == 0


def test_nothing_differs_while_workers_go_on_and_are_killed_and_totals_are_rebuilt(stack: Stack) -> None:
    stack.spawn("simulate", "--rate", "0.4", "--backfill", "17h", "--seed", "5", *SHARES).wait(300)
    refund(stack)
    workers = [stack.spawn("worker"), stack.spawn("worker")]
    stack.drain()
    code, history = reconcile(stack)
    assert (code, history["buckets"]) == (0, []), history
    numbers = metrics(history)
    assert all(numbers[name] for name in ("events", "orders", "revenue", "refunds", "duplicates", "repeated_orders"))
    assert all(numbers[name] for name in ("sessions", "active_users, all days", "sessions by origin")), "of people"

    visitors = stack.spawn("simulate", "--rate", "100", "--duration", "20s", *SHARES)
    for _ in range(2):
        stack.kill(workers.pop())
        workers.append(stack.spawn("worker"))
        code, while_running = reconcile(stack)
        assert (code, while_running["buckets"]) == (0, []), while_running
    visitors.wait(120)
    stack.drain()
    rebuilt = stack.spawn("rebuild")
    assert rebuilt.wait(200) == 0
    code, after = reconcile(stack)
    assert (code, after["buckets"]) == (0, []), after
    assert metrics(after)["events"] > numbers["events"]


def test_a_total_that_was_changed_by_hand_is_found(stack: Stack) -> None:
    stack.spawn("worker")
    stack.spawn("simulate", "--rate", "0", "--events", "3000", *SHARES).wait(120)
    stack.drain()
    assert reconcile(stack)[0] == 0
    change_a_day(stack, "activity", "orders", 3)
    code, of = reconcile(stack)
    assert code == 4
    differing = {metric["name"]: metric["difference"] for metric in of["metrics"] if metric["difference"]}
    assert differing.get("orders") == 3
    assert [(b["rollup"], b["kind"], b["what"]) for b in of["buckets"]] == [("activity", "day", "orders")]
    change_a_day(stack, "products", "views\x1fp-1", -1)
    assert any("p-1" in bucket["what"] for bucket in reconcile(stack)[1]["buckets"])


def test_wrong_usage_and_servers_that_are_away(stack: Stack) -> None:
    for options, code in ((("--project", "nobody"), 2), (("--from", "soon"), 2), (("--kafka", "127.0.0.1:1"), 3)):
        command = [sys.executable, "-m", "rtaplatform.cli.main", "reconcile", *options]
        process = subprocess.run(
            command, env=stack.make_environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert process.returncode == code, process.stderr
