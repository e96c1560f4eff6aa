"""Identify events on the real Kafka become rows of the real PostgreSQL: once, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg.rows import dict_row

from rtaplatform.catalog.database import Database
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.profiles.profile_worker import ProfileWorker
from rtaplatform.settings import ProfilesSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.group_consumer import CommittingConsumer
from rtaplatform.stream.kafka.group_offsets import GroupOffsets
from rtaplatform.stream.port import GroupPosition, Partition
from tests.integration.catalog_stack import CatalogStack, prepare
from tests.integration.servers import Servers

START_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def stack(servers: Servers) -> CatalogStack:
    return prepare(servers)


@dataclass
class Source:
    """Produces identify events, and knows what must come of them."""

    stack: CatalogStack
    rng: random.Random

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.stack.servers.kafka_bootstrap_servers, "acks": "all"})
        self.sent: list[dict[str, Any]] = []

    def send(self, user_id: str, at_ms: int, traits: dict[str, Any], anonymous_id: str = "a", **more: Any) -> None:
        event = {"projectId": "demo", "type": "identify", "userId": user_id, "anonymousId": anonymous_id,
                 "timestamp": format_iso_utc(at_ms), "traits": traits} | more  # fmt: skip
        topic, partition = self.rng.choice(["rta.events.web", "rta.events.mobile"]), self.rng.randrange(4)

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            place = (message.topic(), message.partition(), message.offset())
            self.sent.append(
                {"user": user_id, "at": at_ms, "traits": traits, "place": place, "anonymous": anonymous_id}
            )

        self._producer.produce(topic, json.dumps(event).encode(), b"k", partition, delivered, timestamp=at_ms)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def compute_rows(self) -> dict[str, dict[str, Any]]:
        """User → row, by plain dicts."""
        rows: dict[str, dict[str, Any]] = {}
        for event in sorted(self.sent, key=lambda event: (event["at"], event["place"])):
            row = rows.setdefault(
                event["user"], {"email": None, "name": None, "traits": {}, "anonymous_ids": set(), "first": event["at"]}
            )
            row["anonymous_ids"].add(event["anonymous"])
            row["last"] = event["at"]
            for key, value in event["traits"].items():
                if key in ("email", "name"):
                    row[key] = value
                elif value is None:
                    row["traits"].pop(key, None)
                else:
                    row["traits"][key] = value
        return rows


@pytest.fixture
def source(stack: CatalogStack) -> Source:
    return Source(stack, random.Random(7))


@asynccontextmanager
async def opening_profiles(stack: CatalogStack, group: str) -> AsyncIterator[ProfileWorker]:
    log, database = CommittingConsumer(stack.kafka, ProfilesSettings(group_id=group)), Database(stack.catalog)
    try:
        yield ProfileWorker(log, database, users_max=50)
    finally:
        await asyncio.to_thread(log.close)
        await database.close()


async def catch_up(stack: CatalogStack, group: str) -> None:
    async with opening_profiles(stack, group) as loop:
        deadline = time.monotonic() + 60
        while stack.measure_lag(group) != 0:
            assert time.monotonic() < deadline, f"lag {stack.measure_lag(group)}"
            for _ in range(5):
                await loop.turn()


def list_all_partitions(broker: Broker) -> list[Partition]:
    return [Partition(name, number) for name, (_, count) in broker.describe_topics().items() for number in range(count)]


def read_rows(stack: CatalogStack) -> dict[str, dict[str, Any]]:
    with psycopg.connect(stack.servers.postgres_url, row_factory=dict_row) as connection:
        return {row["id"]: row for row in connection.execute("SELECT * FROM users").fetchall()}


def select_columns(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "email": row["email"], "name": row["name"], "traits": row["traits"],
        "anonymous_ids": set(row["anonymous_ids"]),
        "first": round(row["first_seen"].timestamp() * 1000), "last": round(row["last_seen"].timestamp() * 1000),
    }  # fmt: skip


def find_differences(stack: CatalogStack, source: Source) -> dict[str, Any]:
    actual, expected = read_rows(stack), source.compute_rows()
    return {
        user: (select_columns(actual[user]) if user in actual else None, row)
        for user, row in expected.items()
        if user not in actual or select_columns(actual[user]) != row
    }


def make_history(source: Source, events: int, users: int) -> None:
    mark, rng = uuid.uuid4().hex[:8], source.rng
    for _ in range(events):
        traits = {key: rng.choice([None, rng.randrange(9), "x"]) for key in rng.sample(["plan", "age", "city"], 2)}
        if rng.random() < 0.3:
            traits |= {"email": f"{rng.randrange(99)}@example.com", "name": rng.choice(["Ada", None])}
        user = f"{mark}-{rng.randrange(users)}"
        source.send(user, START_MS + rng.randrange(2_000), traits, f"a-{rng.randrange(5)}")
    source.flush()


async def test_identify_events_become_profiles_and_a_replay_changes_nothing(
    stack: CatalogStack, source: Source
) -> None:
    make_history(source, 600, 30)
    source.send("nobody", START_MS, {}, projectId="no such project")
    source.flush()
    source.sent.pop()
    group = f"group-{uuid.uuid4()}"
    await catch_up(stack, group)
    assert find_differences(stack, source) == {}
    before = read_rows(stack)
    assert "nobody" not in before
    await catch_up(stack, f"group-{uuid.uuid4()}")
    assert read_rows(stack) == before, "also its version and updated_at"


async def test_the_group_says_from_outside_how_far_it_is(stack: CatalogStack, source: Source) -> None:
    group = f"group-{uuid.uuid4()}"
    broker = Broker(stack.kafka)
    offsets = GroupOffsets(stack.kafka, group, broker)
    source.send(f"{group}-0", START_MS, {"plan": "x"})
    source.flush()
    there = sum(extent.readable - extent.low for extent in broker.read_extents(list_all_partitions(broker)).values())
    assert offsets.look() == GroupPosition({}, there)
    await catch_up(stack, group)
    before = offsets.look()
    assert before.behind == 0
    make_history(source, 20, 5)
    assert offsets.look() == GroupPosition(before.offsets, 20)
    await catch_up(stack, group)
    after = offsets.look()
    assert (after.behind, sum(after.offsets.values())) == (0, sum(before.offsets.values()) + 20)


async def test_what_postgres_refuses_is_left_out_and_the_rest_is_kept(stack: CatalogStack, source: Source) -> None:
    mark = uuid.uuid4().hex[:8]
    for number in range(20):
        source.send(f"{mark}-{number}", START_MS, {"plan": "x", "nul\x00": "\x00"})
    with psycopg.connect(stack.servers.postgres_owner_url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE users ADD CONSTRAINT poison CHECK (id <> '{mark}-7')")
    source.flush()
    await catch_up(stack, f"group-{uuid.uuid4()}")
    actual = read_rows(stack)
    assert sorted(user for user in actual if user.startswith(mark)) == sorted(
        f"{mark}-{number}" for number in range(20) if number != 7
    )
    assert actual[f"{mark}-1"]["traits"] == {"plan": "x", "nul": ""}


@pytest.fixture
def spawn(stack: CatalogStack, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []

    def start(group: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **stack.make_environment(), "RTA_PROFILES_GROUP_ID": group}
        environment |= {"RTA_PROFILES_BATCH_EVENTS_MAX": "100"}
        with (tmp_path / "profiles.log").open("ab") as out:
            command = [sys.executable, "-m", "rtaplatform.cli.main", "profiles"]
            child = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


def test_killed_processes_and_a_killed_postgres_lose_nothing(
    stack: CatalogStack, source: Source, spawn: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    group = f"group-{uuid.uuid4()}"
    children = [spawn(group), spawn(group)]
    for fault in ("child", "postgres", "kafka", "child", "postgres away", "child"):
        make_history(source, 400, 40)
        time.sleep(source.rng.uniform(0.2, 1.5))
        if fault == "child":
            children[0].kill()
            children = [children[1], spawn(group)]
        elif fault in ("postgres", "kafka"):
            (stack.servers.postgres if fault == "postgres" else stack.servers.kafka).restart()
        else:
            stack.servers.postgres.kill()
            time.sleep(3)
            stack.servers.postgres.start()
    deadline = time.monotonic() + 90
    while stack.measure_lag(group) != 0:
        assert time.monotonic() < deadline, f"lag {stack.measure_lag(group)}"
        time.sleep(0.5)
    assert find_differences(stack, source) == {}
    assert all(child.poll() is None for child in children)
    children[0].send_signal(signal.SIGTERM)
    assert children[0].wait(10) == 0


async def test_an_outage_keeps_the_place_and_a_stop_meanwhile_is_quick(stack: CatalogStack, source: Source) -> None:
    group = f"group-{uuid.uuid4()}"
    await catch_up(stack, group)
    make_history(source, 50, 5)
    stack.servers.postgres.kill()
    try:
        async with opening_profiles(stack, group) as loop:
            running = asyncio.create_task(loop.run())
            await asyncio.sleep(3)
            assert not running.done()
            loop.stopping.set()
            await asyncio.wait_for(running, 5)
        assert stack.measure_lag(group) == 50
    finally:
        stack.servers.postgres.start()
    await catch_up(stack, group)
    assert find_differences(stack, source) == {}


async def test_an_edit_outlives_events_from_before_it_and_yields_to_later_ones(
    stack: CatalogStack, source: Source
) -> None:
    now = int(time.time() * 1000)
    with psycopg.connect(stack.servers.postgres_url, autocommit=True) as connection:
        project = connection.execute("SELECT id FROM projects WHERE slug = 'demo'").fetchone()
        assert project is not None
        connection.execute(
            "INSERT INTO users (project_id, id, email, traits) VALUES (%s, 'edited', 'by@example.com', %s)",
            (project[0], '{"plan": "free"}'),
        )
        source.send("edited", now - 60_000, {"email": "old@example.com", "plan": "old", "city": "Bonn"})
        source.flush()
        await catch_up(stack, "edits")
        profile = connection.execute("SELECT email, traits FROM users WHERE id = 'edited'").fetchone()
        assert profile == ("by@example.com", {"plan": "free", "city": "Bonn"})
        source.send("edited", now + 60_000, {"plan": "paid"})
        source.flush()
        await catch_up(stack, "edits")
        profile = connection.execute("SELECT email, traits FROM users WHERE id = 'edited'").fetchone()
        assert profile == ("by@example.com", {"plan": "paid", "city": "Bonn"})
