"""The settings of our clients: addresses, SASL and TLS as configured, and safe producers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from pydantic import SecretStr

from rtaplatform.core.errors import SetupError
from rtaplatform.settings import KafkaSettings, WorkerSettings
from rtaplatform.stream.kafka.config import make_client_config, make_consumer_config, make_producer_config
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.membership import JOIN_MS_MAX, Membership
from rtaplatform.stream.kafka.partition_reader import _read_end
from rtaplatform.stream.port import Partition

PLAIN = KafkaSettings(bootstrap_servers="a:1,b:2")


def test_sasl_and_tls_settings_reach_the_client(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    settings = KafkaSettings(
        bootstrap_servers="a:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="rta",
        sasl_password=SecretStr("secret"),
        ssl_ca_location=authority,
    )
    config = make_client_config(settings)
    assert {name: value for name, value in config.items() if name.split(".")[0] in ("sasl", "ssl", "security")} == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "rta",
        "sasl.password": "secret",
        "ssl.ca.location": str(authority),
    }


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTA_KAFKA_SASL_PASSWORD", "secret")
    assert make_client_config(KafkaSettings(bootstrap_servers="a:1"))["sasl.password"] == "secret"


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(KafkaSettings(bootstrap_servers="a:1", sasl_password=SecretStr("secret")))


def test_producers_wait_for_all_replicas_and_partition_as_java_does() -> None:
    config = make_producer_config(PLAIN)
    assert config["acks"] == "all"
    assert config["enable.idempotence"]
    assert config["partitioner"] == "murmur2_random"


def test_readers_never_jump() -> None:
    config = make_consumer_config(PLAIN, "workers")
    assert config["auto.offset.reset"] == "error"
    assert config["isolation.level"] == "read_committed"
    assert config["enable.auto.commit"] is False


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_librdkafka_knows_every_name(protocol: str) -> None:
    Producer(make_producer_config(PLAIN))
    Consumer(make_consumer_config(PLAIN, "workers") | Membership(protocol).make_config()).close()


def write_statistics(state: str, age_ms: int, joining: str, rebalances: int = 0) -> str:
    group = {"state": state, "stateage": age_ms, "join_state": joining, "rebalance_cnt": rebalances}
    return json.dumps({"cgrp": group})


def test_brokers_that_let_a_member_wait_do_not_know_the_protocol() -> None:
    membership = Membership("consumer")
    for text in (write_statistics("query-coord", 90_000, "init"), write_statistics("up", 500, "init"), "{}"):
        membership.read_statistics(text)
        assert not membership.is_refused
    membership.read_statistics(write_statistics("up", JOIN_MS_MAX, "init"))
    assert membership.is_refused
    membership.fall_back("workers")
    assert (membership.protocol, membership.is_refused) == ("classic", False)


def test_a_member_that_has_joined_never_falls_back() -> None:
    membership = Membership("consumer")
    membership.read_statistics(write_statistics("up", 900, "steady", 1))
    membership.read_statistics(write_statistics("up", 90_000, "init"))
    assert not membership.is_refused


def test_a_fatal_error_of_the_client_ends_the_process() -> None:
    """No call of it succeeds any more: waiting for it would be for ever."""
    message = SimpleNamespace(error=lambda: KafkaError(KafkaError._FATAL, "fenced", True), topic=lambda: "t")
    with pytest.raises(SetupError, match="failed for good: fenced"):
        _read_end(Partition("t", 0), message)  # type: ignore[arg-type]  # what it asks of a message
    log = KafkaConsumer(PLAIN, WorkerSettings(), [Partition("rta.events.web", 0)])
    with pytest.raises(SetupError, match="failed for good"):
        log._handle_error(message)  # type: ignore[arg-type]
    log.close()
