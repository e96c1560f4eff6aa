"""Where a command finds its servers: options, then the environment, then the instance of the data directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtaplatform.cli.connections import Connections
from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.instance_file import InstanceAddresses, RunningInstance, holding_lock, write_running

INSTANCE = InstanceAddresses(
    "instance:1", "redis://instance", "redis://loader", "redis://limiter", "postgresql://instance"
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in INSTANCE.make_environment():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Path]:
    with holding_lock(tmp_path):
        write_running(tmp_path, RunningInstance(1, "http://127.0.0.1:8000", "", INSTANCE, {}))
        yield tmp_path


def test_the_instance_of_the_data_directory_is_taken_where_nothing_is_said(instance: Path) -> None:
    connections = Connections(data_dir=instance)
    assert connections.read_kafka_settings().bootstrap_servers == "instance:1"
    store = connections.store_settings()
    assert store.url.get_secret_value() == "redis://instance"
    assert store.loader_url is not None
    assert store.loader_url.get_secret_value() == "redis://loader"
    assert connections.read_catalog_settings().url.get_secret_value() == "postgresql://instance"


def test_the_environment_comes_before_the_instance(instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTA_KAFKA_BOOTSTRAP_SERVERS", "environment:1")
    connections = Connections(data_dir=instance)
    assert connections.read_kafka_settings().bootstrap_servers == "environment:1"
    assert connections.read_catalog_settings().url.get_secret_value() == "postgresql://instance"


def test_an_option_comes_before_all(instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTA_REDIS_URL", "redis://environment")
    store = Connections(redis="redis://option", data_dir=instance).store_settings()
    assert store.url.get_secret_value() == "redis://option"
    assert store.loader_url is None  # the instance's loader belongs to another server


def test_without_any_of_them_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No Kafka is known") as caught:
        Connections(data_dir=tmp_path).read_kafka_settings()
    assert "rta up" in caught.value.remedy
    assert caught.value.exit_code == 3


SECRET = "p" + "#s/w@r:d%41+"


@pytest.mark.parametrize(
    ("variable", "read"),
    [
        ("RTA_REDIS_URL", Connections.store_settings),
        ("RTA_REDIS_URL", Connections.find_given_redis),
        ("RTA_REDIS_LOADER_URL", Connections.store_settings),
        ("RTA_REDIS_LIMITER_URL", Connections.find_limiter_url),
        ("RTA_POSTGRES_URL", Connections.read_catalog_settings),
        ("RTA_POSTGRES_URL", Connections.find_given_postgres),
    ],
)
def test_a_raw_special_character_is_said_with_the_variable_and_without_the_secret(
    variable: str, read: Callable[[Connections], object], instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{'postgresql' if 'POSTGRES' in variable else 'redis'}://user:{SECRET}@host/0")
    with pytest.raises(SetupError, match=f"{variable} is not a") as caught:
        read(Connections(data_dir=instance))
    assert caught.value.exit_code == 2
    assert "percent-encoded" in caught.value.remedy
    assert SECRET not in str(caught.value)


def test_an_option_that_is_wrong_is_named_and_not_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--kafka has 'nonsense'"):
        Connections(kafka="nonsense", data_dir=tmp_path).read_kafka_settings()
    with pytest.raises(SetupError, match="--redis is not a Redis URL"):
        Connections(redis="foo", data_dir=tmp_path).store_settings()
