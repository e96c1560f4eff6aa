"""`rta doctor` and the start of `rta up` with servers that are given: each error names the host, and no secret."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from rtaplatform.cli.commands.doctor import examine, require_given
from rtaplatform.cli.connections import Connections
from rtaplatform.core.errors import SetupError
from rtaplatform.operate.server_checks import check_kafka, check_postgres, check_redis
from rtaplatform.settings import KafkaSettings
from tests.integration.servers import Servers

SECRET = "not#the/right@one"


def make_kafka_settings(text: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=text)


def test_servers_that_can_be_used_are_said_with_version_and_place(servers: Servers) -> None:
    assert (
        check_kafka(make_kafka_settings(servers.kafka_bootstrap_servers))
        == f"1 broker at {servers.kafka_bootstrap_servers}"
    )
    assert check_redis(servers.redis_url).endswith(f"at 127.0.0.1:{servers.valkey.server.port}")
    assert check_postgres(servers.postgres_url) == f"PostgreSQL 18 at 127.0.0.1:{servers.postgres.server.port}"


@pytest.mark.parametrize(
    "check",
    [
        lambda host: check_kafka(make_kafka_settings(host)),
        lambda host: check_redis(f"redis://u:{quote(SECRET, safe='')}@{host}"),
        lambda host: check_postgres(f"postgresql://u:{quote(SECRET, safe='')}@{host}/rta"),
    ],
)
@pytest.mark.parametrize("host", ["no-such-host.invalid:9092", "127.0.0.1:1"])
def test_a_host_that_cannot_be_reached_is_named(check: Callable[[str], str], host: str) -> None:
    with pytest.raises(SetupError) as caught:
        check(host)
    assert host.partition(":")[0] in caught.value.problem
    assert caught.value.exit_code == 3
    assert SECRET not in str(caught.value)


def test_a_login_that_is_refused_is_told_from_a_server_that_is_away(servers: Servers) -> None:
    redis_port, postgres_port = servers.valkey.server.port, servers.postgres.server.port
    with pytest.raises(SetupError, match=f"127.0.0.1:{redis_port} refuses the login"):
        check_redis(f"redis://rta:{quote(SECRET, safe='')}@127.0.0.1:{redis_port}")
    with pytest.raises(SetupError, match=f"127.0.0.1:{postgres_port} refuses the login") as caught:
        check_postgres(f"postgresql://rta:{quote(SECRET, safe='')}@127.0.0.1:{postgres_port}/rta")
    assert SECRET not in str(caught.value)


def test_what_listens_and_is_no_kafka_is_said(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SetupError, match=f"Kafka at {address} takes connections, but does not answer"):
            check_kafka(make_kafka_settings(address))


def test_a_redis_that_drops_keys_or_takes_no_writes_is_refused(servers: Servers) -> None:
    with redis.Redis.from_url(servers.redis_tester_url) as tester:
        try:
            tester.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(SetupError, match="evicts keys"):
                check_redis(servers.redis_url)
            tester.config_set("maxmemory-policy", "noeviction")
            tester.replicaof("127.0.0.1", "1")
            with pytest.raises(SetupError, match="is a replica"):
                check_redis(servers.redis_url)
        finally:
            tester.replicaof("NO", "ONE")
            tester.config_set("maxmemory-policy", "noeviction")


def test_doctor_looks_at_given_servers_and_not_at_the_embedded_ones(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTA_REDIS_URL", servers.redis_url)
    connections = Connections(kafka="no-such-host.invalid:9092")
    findings = {finding.name: finding for finding in examine(tmp_path / "new", 0, connections)}
    assert not findings["kafka"].ok
    assert "no-such-host.invalid" in findings["kafka"].fact
    assert findings["redis"].ok
    assert not findings.keys() & {"java", "valkey"}
    with pytest.raises(SetupError, match=r"no-such-host\.invalid"):
        require_given(connections)
