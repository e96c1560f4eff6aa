"""The embedded servers, for real: they start, keep what was written through kill -9, and refuse what they should."""

from __future__ import annotations

import psycopg
import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis.exceptions import NoPermissionError

from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.local.servers.valkey import Valkey
from tests.integration.servers import Running, Servers


def test_all_three_serve_from_a_folder_with_a_blank_in_its_name(servers: Servers) -> None:
    assert servers.kafka.server.answers()
    assert servers.valkey.server.answers()
    assert servers.postgres.server.answers()


def test_kafka_keeps_acknowledged_records_through_kill_9(kafka_server: Running[Kafka]) -> None:
    where: dict[str, str | int | float | bool] = {"bootstrap.servers": kafka_server.server.bootstrap_servers}
    admin = AdminClient(where)
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    producer = Producer(where)
    for number in range(100):
        producer.produce("kept", str(number))
    assert producer.flush(20) == 0
    kafka_server.restart()
    consumer = Consumer(where | {"group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.subscribe(["kept"])
    values = [message.value() for message in consumer.consume(100, timeout=30)]
    consumer.close()
    assert values == [str(number).encode() for number in range(100)]


def test_kafka_does_not_make_topics_by_itself(kafka_server: Running[Kafka]) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_server.server.bootstrap_servers})
    assert "never-made" not in admin.list_topics(timeout=10).topics
    admin.list_topics("never-made", timeout=10)
    assert "never-made" not in admin.list_topics(timeout=10).topics


def test_valkey_keeps_what_was_written_through_kill_9(valkey_server: Running[Valkey]) -> None:
    with redis.Redis.from_url(valkey_server.server.make_url(), decode_responses=True) as client:
        client.set("rta:kept", "1")
        valkey_server.restart()
        assert client.get("rta:kept") == "1"
        client.delete("rta:kept")


@pytest.mark.parametrize(
    "command",
    [
        ("EVAL", "return 1", "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("CONFIG", "GET", "maxmemory"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("FUNCTION", "LOAD", "#!lua name=x\n"),
        ("FUNCTION", "FLUSH"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
        ("CLIENT", "KILL", "ID", "1"),
        ("GET", "not-ours"),
        ("PUBLISH", "not-ours", "x"),
    ],
    ids=" ".join,
)
def test_the_workers_user_is_refused(valkey_server: Running[Valkey], command: tuple[str, ...]) -> None:
    with redis.Redis.from_url(valkey_server.server.make_url("rta")) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_the_limiter_stays_on_its_own_keys(valkey_server: Running[Valkey]) -> None:
    with redis.Redis.from_url(valkey_server.server.make_url("rta-limiter")) as client:
        assert client.eval("return redis.call('incr', KEYS[1])", 1, "rta-limit:x") == 1
        with pytest.raises(NoPermissionError):
            client.eval("return redis.call('incr', KEYS[1])", 1, "rta:x")


def test_the_loader_loads_what_the_worker_calls(valkey_server: Running[Valkey]) -> None:
    library = (
        "#!lua name=probe\nredis.register_function('probe', function(keys) return redis.call('set', keys[1], 'x') end)"
    )
    with redis.Redis.from_url(valkey_server.server.make_url("rta-loader")) as loader:
        loader.function_load(library, replace=True)
        with redis.Redis.from_url(valkey_server.server.make_url("rta")) as worker:
            assert worker.fcall("probe", 1, "rta:probe") == b"OK"
            with pytest.raises(redis.RedisError):
                worker.fcall("probe", 1, "not-ours")
            worker.delete("rta:probe")
        loader.function_delete("probe")


def test_nobody_comes_in_without_a_password(valkey_server: Running[Valkey]) -> None:
    with redis.Redis(port=valkey_server.server.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_postgres_keeps_what_was_committed_through_kill_9(postgres_server: Running[Postgres]) -> None:
    url = postgres_server.server.owner_url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (x int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    postgres_server.restart()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchall() == [(1,)]
        connection.execute("DROP TABLE kept")


def test_a_wrong_password_is_refused_by_postgres(postgres_server: Running[Postgres]) -> None:
    port = postgres_server.server.port
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://rta:wrong@127.0.0.1:{port}/rta")
