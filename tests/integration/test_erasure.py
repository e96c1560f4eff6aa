"""A person is erased: from PostgreSQL and Redis at once, for good, and whatever crashes meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from psycopg.types.json import Jsonb

from rtaplatform.catalog.database import Database
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.values.ids import hash_persons
from rtaplatform.process.people.erased import TOMBSTONE
from rtaplatform.profiles import profile_rows
from rtaplatform.profiles.erasure import PersonErasure
from rtaplatform.profiles.erasure_receipt import PersonToErase
from rtaplatform.profiles.profile_rows import ProfileKey
from rtaplatform.profiles.traits import FieldStamp, IdentifyTraits
from rtaplatform.store.port import Delta
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.control_log import ControlLog
from tests.integration.catalog_stack import PROJECT_ID, CatalogStack, prepare
from tests.integration.log_ends import read_end
from tests.integration.servers import Servers

CANARY = "canary-4711@example.com"
AFTER_MS = 4_000_000_000_000


@pytest.fixture(scope="module")
def stack(servers: Servers) -> CatalogStack:
    return prepare(servers)


@pytest.fixture
async def database(stack: CatalogStack) -> AsyncIterator[Database]:
    new_database = Database(stack.catalog)
    yield new_database
    await new_database.close()


@pytest.fixture
def user() -> str:
    return f"u-{uuid.uuid4()}"


class Failing:
    """Erasure's servers; the n-th call of them all fails, after it was done or before."""

    def __init__(self, stack: CatalogStack, fail_at: int = 0, *, is_done: bool = False) -> None:
        self._control, self._store = ControlLog(stack.kafka), RedisStore(stack.store)
        self._fail_at, self._is_done, self._calls = fail_at, is_done, 0

    def make_erasure(self, database: Database) -> PersonErasure:
        return PersonErasure(database, self.record, self.forget, self.read_retention)

    def record(self, key: bytes, value: bytes) -> None:
        self._call(lambda: self._control.append(key, value))

    def forget(self, project: str, persons: Sequence[bytes]) -> dict[str, int]:
        counts: dict[str, int] = self._call(lambda: self._store.forget(project, persons, TOMBSTONE))
        return counts

    def read_retention(self) -> dict[str, tuple[int, int]]:
        retention: dict[str, tuple[int, int]] = self._call(self._control.read_retention)
        return retention

    def _call(self, act: Any) -> Any:
        self._calls += 1
        if self._calls != self._fail_at:
            return act()
        if self._is_done:
            act()
        raise Unavailable("tests", "it fails once")


def name_person(user: str) -> PersonToErase:
    return PersonToErase("demo", PROJECT_ID, user)


def put_user(stack: CatalogStack, user: str) -> None:
    with psycopg.connect(stack.servers.postgres_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (project_id, id, email, name, traits, anonymous_ids) VALUES (%s, %s, %s, 'Ada', %s, %s)",
            (PROJECT_ID, user, CANARY, Jsonb({"mail": CANARY}), [f"{user}-a", f"{user}-b"]),
        )
    put_online(stack, hash_persons(user, [f"{user}-a", f"{user}-b"]))


def put_online(stack: CatalogStack, persons: Sequence[bytes]) -> None:
    store = RedisStore(stack.store)
    state = store.read_state(0)
    assert state is not None
    store.apply(0, state.generation, Delta([], online={"demo": dict.fromkeys([*persons, b"somebody"], AFTER_MS)}))
    store.close()


def dump_postgres(stack: CatalogStack) -> str:
    with psycopg.connect(stack.servers.postgres_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return "\n".join(
            str(row) for (name,) in tables for row in connection.execute(f"SELECT t::text FROM {name} t").fetchall()
        )


def dump_redis(stack: CatalogStack) -> bytes:
    """Everything but tombstones."""
    readers = {b"string": "get", b"hash": "hgetall", b"set": "smembers"}
    with redis.Redis.from_url(stack.servers.redis_tester_url) as client:
        lines = []
        for key in client.scan_iter():
            kind: Any = client.type(key)
            read: Any = (lambda key: client.zrange(key, 0, -1)) if kind == b"zset" else getattr(client, readers[kind])
            value: Any = read(key)
            if kind == b"hash":
                value = {name: row for name, row in value.items() if row[8:] != TOMBSTONE.value}
            lines.append(repr((key, value)).encode())
        return b"\n".join(lines)


def read_control_records(stack: CatalogStack, whose: str) -> list[dict[str, Any]]:
    broker, records = Broker(stack.kafka), []
    [(_, count)] = broker.describe_topics(["rta.control"]).values()
    consumer = Consumer({"bootstrap.servers": stack.servers.kafka_bootstrap_servers, "group.id": "tests"})
    places = [TopicPartition("rta.control", number, 0) for number in range(count)]
    ends = [read_end(consumer, place) for place in places]
    consumer.assign(places)  # all at once: what a consumer asks later waits for the fetch that is under way
    for _ in range(sum(ends)):
        message = consumer.poll(10)
        assert message is not None
        if message.key() == f"demo:{whose}".encode():
            records.append(json.loads(message.value() or b""))
    consumer.close()
    return records


async def apply(database: Database, user: str, at_ms: int, **fields: Any) -> dict[str, int]:
    event = IdentifyTraits("demo", user, FieldStamp(at_ms, "rta.events.web:0000:0"), at_ms, fields)
    return dict(await database.run(lambda c: profile_rows.write_batch(c, {ProfileKey("demo", user): [event]})))


async def test_nothing_of_the_profile_is_left(stack: CatalogStack, database: Database, user: str) -> None:
    put_user(stack, user)
    assert CANARY in dump_postgres(stack)
    receipt = await Failing(stack).make_erasure(database).erase(name_person(user))
    assert CANARY not in dump_postgres(stack)
    assert f"{user}-a" not in dump_postgres(stack)
    dump = dump_redis(stack)
    assert b"somebody" in dump
    assert not [
        person for person in hash_persons(user, [f"{user}-a", f"{user}-b"]) if repr(person)[2:-1].encode() in dump
    ]
    assert receipt["removed"] == {"profile": 1, "fields": 2, "traits": 1, "anonymous_ids": 2, "redis_members": 3}
    remains = {entry["where"]: entry for entry in receipt["remains"]}
    assert remains["Kafka topic rta.events.web"]["limit"] == "none is set"
    assert remains["Kafka topic rta.dead-letters"]["limit"].startswith(f"{30 * 86_400} s after each record's time")
    [record] = read_control_records(stack, f"user:{user}")
    assert record == {
        "type": "erase", "receiptId": receipt["id"], "projectId": "demo", "userId": user,
        "anonymousIds": [f"{user}-a", f"{user}-b"], "at": receipt["erased_at"],
    }  # fmt: skip


async def test_asked_again_it_gives_the_same_receipt(stack: CatalogStack, database: Database, user: str) -> None:
    put_user(stack, user)
    erasure = Failing(stack).make_erasure(database)
    receipt = await erasure.erase(name_person(user))
    assert await erasure.erase(name_person(user)) == receipt
    assert len(read_control_records(stack, f"user:{user}")) == 1


async def test_people_without_a_profile_are_erased_as_well(stack: CatalogStack, database: Database, user: str) -> None:
    """Events tell of them: by a user's id that nothing identified, by anonymous ids alone, by both."""
    erasure = Failing(stack).make_erasure(database)
    for user_id, ids in ((user, ()), (None, (f"{user}-a", f"{user}-b")), (f"{user}-2", (f"{user}-c",))):
        put_online(stack, hash_persons(user_id, ids))
        receipt = await erasure.erase(PersonToErase("demo", PROJECT_ID, user_id, ids))
        removed = receipt["removed"]
        assert receipt["user_id"] == user_id
        assert (removed["profile"], removed["anonymous_ids"]) == (0, len(ids))
        assert removed["redis_members"] == len(ids) + (user_id is not None)
        dump = dump_redis(stack)
        assert not [person for person in hash_persons(user_id, ids) if repr(person)[2:-1].encode() in dump]
        whose = f"user:{user_id}" if user_id else f"erasure:{receipt['id']}"
        [record] = read_control_records(stack, whose)
        assert (record["userId"], record["anonymousIds"]) == (user_id or "", list(ids))
        if user_id:
            assert await apply(database, user_id, AFTER_MS, email=CANARY) == {"erased": 1}
    again = await erasure.erase(name_person(user))
    assert len(read_control_records(stack, f"user:{user}")) == 1
    assert again["removed"]["profile"] == 0
    assert f"{user}-a" not in dump_postgres(stack)


async def test_more_ids_of_an_erased_user_are_erased_too(stack: CatalogStack, database: Database, user: str) -> None:
    put_user(stack, user)
    erasure = Failing(stack).make_erasure(database)
    first = await erasure.erase(name_person(user))
    put_online(stack, hash_persons(None, [f"{user}-later"]))
    second = await erasure.erase(PersonToErase("demo", PROJECT_ID, user, (f"{user}-later",)))
    assert (first["id"] != second["id"], second["removed"]["redis_members"]) == (True, 1)
    assert [record["anonymousIds"] for record in read_control_records(stack, f"user:{user}")][1:] == [[f"{user}-later"]]


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("fail_at", [1, 2, 3])
async def test_a_crash_between_two_steps_is_mended_by_asking_again(
    stack: CatalogStack, database: Database, user: str, fail_at: int, is_done: bool
) -> None:
    put_user(stack, user)
    with pytest.raises(Unavailable):
        await Failing(stack, fail_at, is_done=is_done).make_erasure(database).erase(name_person(user))
    assert CANARY not in dump_postgres(stack), "from the first step on"
    receipt = await Failing(stack).make_erasure(database).erase(name_person(user))
    assert {record["receiptId"] for record in read_control_records(stack, f"user:{user}")} == {receipt["id"]}
    assert receipt["removed"]["anonymous_ids"] == 2
    assert f"{user}-a" not in dump_postgres(stack)


async def test_what_a_crash_left_half_done_is_finished_by_the_process_of_profiles(
    stack: CatalogStack, database: Database, user: str
) -> None:
    put_user(stack, user)
    with pytest.raises(Unavailable):
        await Failing(stack, 1).make_erasure(database).erase(name_person(user))
    erasure = Failing(stack).make_erasure(database)
    assert await erasure.finish_pending() == 0, "it may be under way"
    with psycopg.connect(stack.servers.postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE erasures SET erased_at = erased_at - interval '1 minute'")
    assert await erasure.finish_pending() == 1
    assert await erasure.finish_pending() == 0
    assert len(read_control_records(stack, f"user:{user}")) == 1


async def test_erased_stays_erased_until_created_again(stack: CatalogStack, database: Database, user: str) -> None:
    put_user(stack, user)
    await Failing(stack).make_erasure(database).erase(name_person(user))
    assert await apply(database, user, 1_000, email=CANARY) == {"erased": 1}
    assert await apply(database, user, AFTER_MS, email=CANARY) == {"erased": 1}
    put_user(stack, user)
    assert await apply(database, user, 1_000, name="old") == {"erased": 1}
    assert await apply(database, user, AFTER_MS, name="new") == {"applied": 1}
    again = await Failing(stack).make_erasure(database).erase(name_person(user))
    assert len(read_control_records(stack, f"user:{user}")) == 2
    assert again["id"] in dump_postgres(stack)


async def test_writers_erasures_and_imports_of_the_same_users_never_lock_each_other_up(
    stack: CatalogStack, database: Database
) -> None:
    rng, users = random.Random(3), [f"{uuid.uuid4().hex[:6]}-{number}" for number in range(40)]
    erasure, events = Failing(stack).make_erasure(database), []

    async def write(number: int) -> None:
        chosen = sorted(rng.sample(users, 25))
        batch = {}
        for user in chosen:
            fields = {"traits.n": number, f"traits.t{number % 7}": number}
            event = IdentifyTraits("demo", user, FieldStamp(number, f"rta.events.web:0000:{number}"), number, fields)
            batch[ProfileKey("demo", user)] = [event]
            events.append(event)
        await database.run(lambda connection: profile_rows.write_batch(connection, batch))

    async def bulk() -> None:
        def upsert(connection: Any) -> None:
            rows = ", ".join(f"('{PROJECT_ID}', '{user}')" for user in sorted(users))
            connection.exec_driver_sql(
                f"INSERT INTO users (project_id, id) VALUES {rows} "
                "ON CONFLICT (project_id, id) DO UPDATE SET name = 'x'"
            )

        await database.run(upsert)

    async def erase() -> None:
        await write(0)
        victim = rng.choice(users[:10])
        await bulk()
        await erasure.erase(name_person(victim))

    for start in range(1, 100, 10):
        await asyncio.gather(*(write(n) for n in range(start, start + 10)), bulk(), bulk(), erase())
    with psycopg.connect(stack.servers.postgres_url) as connection:
        rows: dict[str, Any] = dict(connection.execute("SELECT id, traits FROM users").fetchall())
    for user in users[10:]:
        expected_traits: dict[str, Any] = {}
        for event in sorted((e for e in events if e.user_id == user), key=lambda e: e.stamp.time_ms):
            expected_traits |= {name.removeprefix("traits."): value for name, value in event.fields.items()}
        assert rows[user] == expected_traits
