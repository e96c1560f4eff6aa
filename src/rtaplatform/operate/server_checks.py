"""Whether servers that are given can be used: by their names, their doors, and what they say of themselves.

For `rta doctor`, and for `rta up` before it starts anything. Each check returns a fact, or raises SetupError with the
host that is to blame and what to do. Names adapters, like wiring.py. A password is never in what is said.
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
from rtaplatform.stream.kafka.config import client_config

CONNECT_SECONDS_MAX = 3.0
ANSWER_SECONDS_MAX = 5.0
REDIS_MAJOR_MIN = 7
POSTGRES_MAJOR_MIN = 14


def check_kafka(settings: KafkaSettings) -> str:
    """A broker of the list answers, all that it names can be reached, and our topics, if there, can be used."""
    listed = read_kafka_servers(settings.bootstrap_servers)
    problems = [problem for endpoint in listed if (problem := _find_problem(endpoint))]
    if len(problems) == len(listed):
        raise SetupError(f"Kafka cannot be reached: {'; '.join(problems)}.", _name_or_start("--kafka", "broker"))
    client = AdminClient(client_config(settings) | {"socket.timeout.ms": int(ANSWER_SECONDS_MAX * 1000)})
    try:
        cluster = client.list_topics(timeout=ANSWER_SECONDS_MAX)
    except KafkaException as error:
        raise SetupError(
            f"Kafka at {settings.bootstrap_servers} takes connections, but does not answer: {error.args[0].str()}.",
            "See whether it is a Kafka, and whether RTA_KAFKA_SECURITY_PROTOCOL and RTA_KAFKA_SASL_… fit its listener.",
        ) from error
    named = [ServerEndpoint(str(broker.host), int(broker.port)) for broker in cluster.brokers.values()]
    unreachable = [problem for endpoint in named if (problem := _find_problem(endpoint))]
    if unreachable:
        raise SetupError(
            f"Kafka at {settings.bootstrap_servers} names brokers that cannot be reached: {'; '.join(unreachable)}.",
            "Set its advertised.listeners to addresses that lead to it from here.",
        )
    require_safe_topics({name: len(topic.partitions) for name, topic in cluster.topics.items()})
    return f"{_count(named, 'broker')} at {', '.join(map(str, named))}"


def require_safe_topics(partitions: Mapping[str, int]) -> None:
    """Raise SetupError for topics of events in whose number of partitions repeats would count twice."""
    known = {name: partitions[name] for name in EVENT_TOPICS if partitions.get(name)}  # 0: we may not look at it
    unsafe = [explain_unsafe_partitions(name, count) for name, count in known.items() if not is_dedup_safe(count)]
    if unsafe:
        raise SetupError(f"Partitions of a topic: {'; '.join(unsafe)}.", "See docs/how-to/use-given-servers.md, Kafka.")


def check_redis(url: str) -> str:
    """It answers, is new enough, is no replica, and drops no keys."""
    endpoint = read_redis_url(url)
    where = str(endpoint or "its socket file")
    if endpoint and (problem := _find_problem(endpoint)):
        raise SetupError(f"Redis cannot be reached: {problem}.", _name_or_start("--redis", "server"))
    try:
        with connect(url, ANSWER_SECONDS_MAX, ANSWER_SECONDS_MAX) as client:
            client.ping()
            found = _what_it_tells(client)
    except redis.AuthenticationError as error:
        raise SetupError(
            f"Redis at {where} refuses the login: {error}.", "Check user and password in its URL."
        ) from None
    except (redis.RedisError, OSError, TypeError, ValueError) as error:
        raise SetupError(
            f"Redis at {where} does not answer: {mask_urls(str(error))}.",
            "See whether it is a Redis or Valkey, and its log.",
        ) from None
    return _judge_redis(where, found)


def _what_it_tells(client: redis.Redis) -> dict[str, Any]:
    """Its own facts; none where our user may not ask for them."""
    try:
        return dict(client.info("everything"))
    except redis.exceptions.NoPermissionError:
        return {}


def _judge_redis(where: str, found: dict[str, Any]) -> str:
    version = str(found.get("valkey_version") or found.get("redis_version") or "")
    if not version:
        return f"a server at {where}, which does not tell our user its version"
    if int(version.partition(".")[0]) < REDIS_MAJOR_MIN:
        raise SetupError(f"Redis at {where} is {version}.", f"Version {REDIS_MAJOR_MIN}.0 or newer is needed.")
    if found.get("role", "master") != "master":
        raise SetupError(f"Redis at {where} is a replica, which takes no writes.", "Name the primary.")
    if (policy := found.get("maxmemory_policy", "noeviction")) != "noeviction":
        raise SetupError(
            f"Redis at {where} drops keys by itself ({policy}).", "Set its maxmemory-policy to noeviction."
        )
    return f"{'Valkey' if 'valkey_version' in found else 'Redis'} {version} at {where}"


def check_postgres(url: str) -> str:
    """It answers, is new enough, and takes writes."""
    endpoint = read_postgres_url(url)
    where = str(endpoint or "its socket file")
    if endpoint and (problem := _find_problem(endpoint)):
        raise SetupError(f"PostgreSQL cannot be reached: {problem}.", _name_or_start("--postgres", "server"))
    try:
        with psycopg.connect(url, connect_timeout=int(ANSWER_SECONDS_MAX)) as connection:
            major = connection.info.server_version // 10_000
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    except psycopg.Error as error:
        said = mask_urls((str(error).strip().splitlines() or [type(error).__name__])[0])
        raise SetupError(
            f"PostgreSQL at {where} does not let us in: {said}", "Check user, password and database."
        ) from None
    if major < POSTGRES_MAJOR_MIN:
        raise SetupError(f"PostgreSQL at {where} is {major}.", f"Version {POSTGRES_MAJOR_MIN} or newer is needed.")
    if row and row[0]:
        raise SetupError(f"PostgreSQL at {where} is a replica, which takes no writes.", "Name the primary.")
    return f"PostgreSQL {major} at {where}"


def _find_problem(endpoint: ServerEndpoint) -> str | None:
    """Why nobody can be reached there; None where somebody listens."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), CONNECT_SECONDS_MAX).close()
    except socket.gaierror as error:
        return f"the name {endpoint.host} leads nowhere ({error.strerror})"
    except OSError as error:
        return f"{endpoint} does not answer ({error.strerror or error})"
    return None


def _name_or_start(option: str, kind: str) -> str:
    return f"Start that {kind}, or correct {option}; see whether a firewall is between."


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
