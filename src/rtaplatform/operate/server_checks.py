"""Check whether given servers can be used: resolve their names, connect to them, and read their versions and settings.

For `rta doctor`, and for `rta up` before it starts anything. Each check returns a fact, or raises SetupError with the
host at fault and the remedy. Names adapters, like wiring. No message contains a password.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from rtaplatform.core.errors import SetupError
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.core.server_addresses import (
    ServerEndpoint,
    mask_urls,
    read_kafka_servers,
    read_postgres_url,
    read_redis_url,
)
from rtaplatform.process.worker.positions import explain_unsafe_partitions, is_dedup_safe
from rtaplatform.settings import KafkaSettings
from rtaplatform.store.redis.connections import connect
from rtaplatform.stream.kafka.config import make_client_config

CONNECT_SECONDS_MAX = 3.0
ANSWER_SECONDS_MAX = 5.0
REDIS_MAJOR_MIN = 7
POSTGRES_MAJOR_MIN = 14


def check_kafka(settings: KafkaSettings) -> str:
    """A listed broker answers, all brokers that it names can be reached, and existing topics of ours can be used."""
    endpoints = read_kafka_servers(settings.bootstrap_servers)
    problems = [problem for endpoint in endpoints if (problem := _find_problem(endpoint))]
    if len(problems) == len(endpoints):
        raise SetupError(f"Kafka cannot be reached: {'; '.join(problems)}.", _connect_remedy("--kafka", "broker"))
    client = AdminClient(make_client_config(settings) | {"socket.timeout.ms": int(ANSWER_SECONDS_MAX * 1000)})
    try:
        cluster = client.list_topics(timeout=ANSWER_SECONDS_MAX)
    except KafkaException as error:
        raise SetupError(
            f"Kafka at {settings.bootstrap_servers} takes connections, but does not answer: {error.args[0].str()}.",
            "See whether it is a Kafka, and whether RTA_KAFKA_SECURITY_PROTOCOL and RTA_KAFKA_SASL_… fit its listener.",
        ) from error
    brokers = [ServerEndpoint(str(broker.host), int(broker.port)) for broker in cluster.brokers.values()]
    unreachable = [problem for endpoint in brokers if (problem := _find_problem(endpoint))]
    if unreachable:
        raise SetupError(
            f"Kafka at {settings.bootstrap_servers} names brokers that cannot be reached: {'; '.join(unreachable)}.",
            "Set its advertised.listeners to addresses that lead to it from here.",
        )
    require_safe_topics({name: len(topic.partitions) for name, topic in cluster.topics.items()})
    return f"{_count_text(brokers, 'broker')} at {', '.join(map(str, brokers))}"


def require_safe_topics(partitions: Mapping[str, int]) -> None:
    """Raise SetupError for event topics with a number of partitions in which repeats would count twice."""
    counts = {name: partitions[name] for name in EVENT_TOPICS if partitions.get(name)}  # 0: we have no right to see it
    unsafe = [explain_unsafe_partitions(name, count) for name, count in counts.items() if not is_dedup_safe(count)]
    if unsafe:
        raise SetupError(f"Partitions of a topic: {'; '.join(unsafe)}.", "See docs/how-to/use-given-servers.md, Kafka.")


def check_redis(url: str) -> str:
    """The server answers, is new enough, is not a replica, and evicts no keys."""
    endpoint = read_redis_url(url)
    address = str(endpoint or "its socket file")
    if endpoint and (problem := _find_problem(endpoint)):
        raise SetupError(f"Redis cannot be reached: {problem}.", _connect_remedy("--redis", "server"))
    try:
        with connect(url, ANSWER_SECONDS_MAX, ANSWER_SECONDS_MAX) as client:
            client.ping()
            info = _read_info(client)
    except redis.AuthenticationError as error:
        raise SetupError(
            f"Redis at {address} refuses the login: {error}.", "Check user and password in its URL."
        ) from None
    except (redis.RedisError, OSError, TypeError, ValueError) as error:
        raise SetupError(
            f"Redis at {address} does not answer: {mask_urls(str(error))}.",
            "See whether it is a Redis or Valkey, and its log.",
        ) from None
    return _judge_redis(address, info)


def _read_info(client: redis.Redis) -> dict[str, Any]:
    """The server's INFO. Empty if our user may not read it."""
    try:
        return dict(client.info("everything"))
    except redis.exceptions.NoPermissionError:
        return {}


def _judge_redis(address: str, info: dict[str, Any]) -> str:
    version = str(info.get("valkey_version") or info.get("redis_version") or "")
    if not version:
        return f"a server at {address}, which does not tell our user its version"
    if int(version.partition(".")[0]) < REDIS_MAJOR_MIN:
        raise SetupError(f"Redis at {address} is {version}.", f"Version {REDIS_MAJOR_MIN}.0 or newer is needed.")
    if info.get("role", "master") != "master":
        raise SetupError(f"Redis at {address} is a replica, which takes no writes.", "Name the primary.")
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        raise SetupError(f"Redis at {address} evicts keys ({policy}).", "Set its maxmemory-policy to noeviction.")
    return f"{'Valkey' if 'valkey_version' in info else 'Redis'} {version} at {address}"


def check_postgres(url: str) -> str:
    """The server answers, is new enough, and takes writes."""
    endpoint = read_postgres_url(url)
    address = str(endpoint or "its socket file")
    if endpoint and (problem := _find_problem(endpoint)):
        raise SetupError(f"PostgreSQL cannot be reached: {problem}.", _connect_remedy("--postgres", "server"))
    try:
        with psycopg.connect(url, connect_timeout=int(ANSWER_SECONDS_MAX)) as connection:
            major = connection.info.server_version // 10_000
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    except psycopg.Error as error:
        message = mask_urls((str(error).strip().splitlines() or [type(error).__name__])[0])
        raise SetupError(
            f"PostgreSQL at {address} refuses the login: {message}", "Check user, password and database."
        ) from None
    if major < POSTGRES_MAJOR_MIN:
        raise SetupError(f"PostgreSQL at {address} is {major}.", f"Version {POSTGRES_MAJOR_MIN} or newer is needed.")
    if row and row[0]:
        raise SetupError(f"PostgreSQL at {address} is a replica, which takes no writes.", "Name the primary.")
    return f"PostgreSQL {major} at {address}"


def _find_problem(endpoint: ServerEndpoint) -> str | None:
    """Why no connection can be made, or None."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), CONNECT_SECONDS_MAX).close()
    except socket.gaierror as error:
        return f"the name {endpoint.host} leads nowhere ({error.strerror})"
    except OSError as error:
        return f"{endpoint} does not answer ({error.strerror or error})"
    return None


def _connect_remedy(option: str, kind: str) -> str:
    return f"Start that {kind}, or correct {option}; check whether a firewall is in between."


def _count_text(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
