"""What our clients tell librdkafka: addresses, SASL and TLS as they were set, and what makes producers safe."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from pydantic import SecretStr

from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka import client_config, consumer_config, producer_config

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
    config = client_config(settings)
    assert {name: value for name, value in config.items() if name.split(".")[0] in ("sasl", "ssl", "security")} == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "rta",
        "sasl.password": "secret",
        "ssl.ca.location": str(authority),
    }


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTA_KAFKA_SASL_PASSWORD", "secret")
    assert client_config(KafkaSettings(bootstrap_servers="a:1"))["sasl.password"] == "secret"


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(KafkaSettings(bootstrap_servers="a:1", sasl_password=SecretStr("secret")))


def test_producers_wait_for_all_replicas_and_partition_as_java_does() -> None:
    config = producer_config(PLAIN)
    assert config["acks"] == "all"
    assert config["enable.idempotence"]
    assert config["partitioner"] == "murmur2_random"


def test_readers_never_jump() -> None:
    config = consumer_config(PLAIN, "workers")
    assert config["auto.offset.reset"] == "error"
    assert config["isolation.level"] == "read_committed"
    assert config["enable.auto.commit"] is False


def test_librdkafka_knows_every_name() -> None:
    Producer(producer_config(PLAIN))
    Consumer(consumer_config(PLAIN, "workers")).close()
