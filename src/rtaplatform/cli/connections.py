"""The addresses of the servers for a command: from its options, the environment, or the instance of a data directory.

Each server is looked up separately, so one may be given while the others come from the instance.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from rtaplatform.core.errors import SetupError
from rtaplatform.core.server_addresses import (
    WrongAddress,
    read_kafka_servers,
    read_postgres_url,
    read_redis_url,
)
from rtaplatform.local.data.instance_file import RunningInstance, read_running
from rtaplatform.settings import CatalogSettings, KafkaSettings, LocalSettings, StoreSettings

KafkaOption = Annotated[
    str | None, typer.Option("--kafka", metavar="HOST:PORT,…", help="Kafka; else RTA_KAFKA_BOOTSTRAP_SERVERS.")
]
RedisOption = Annotated[str | None, typer.Option("--redis", metavar="URL", help="Redis or Valkey; else RTA_REDIS_URL.")]
PostgresOption = Annotated[
    str | None, typer.Option("--postgres", metavar="URL", help="PostgreSQL; else RTA_POSTGRES_URL.")
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="That of a running `rta up`, to use its servers.  [default: .rta]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

KAFKA_VARIABLE = "RTA_KAFKA_BOOTSTRAP_SERVERS"
POSTGRES_VARIABLE, MIGRATE_VARIABLE = "RTA_POSTGRES_URL", "RTA_POSTGRES_MIGRATE_URL"
REDIS_VARIABLE, LOADER_VARIABLE, LIMITER_VARIABLE = "RTA_REDIS_URL", "RTA_REDIS_LOADER_URL", "RTA_REDIS_LIMITER_URL"
_READERS: dict[str, Callable[[str], object]] = {
    KAFKA_VARIABLE: read_kafka_servers,
    POSTGRES_VARIABLE: read_postgres_url,
    MIGRATE_VARIABLE: read_postgres_url,
    REDIS_VARIABLE: read_redis_url,
    LOADER_VARIABLE: read_redis_url,
    LIMITER_VARIABLE: read_redis_url,
}


@dataclass(frozen=True)
class Connections:
    """The addresses given on the command line. The methods look up the others."""

    kafka: str | None = None
    redis: str | None = None
    postgres: str | None = None
    data_dir: Path | None = None

    def read_kafka_settings(self) -> KafkaSettings:
        """Raises SetupError if no Kafka is known, or its address is wrong."""
        return KafkaSettings(bootstrap_servers=self._find("Kafka", "--kafka", self.kafka, KAFKA_VARIABLE))

    def store_settings(self) -> StoreSettings:
        """Raises SetupError if no Redis is known, or its URL is wrong."""
        url = self._find("Redis", "--redis", self.redis, REDIS_VARIABLE)
        loader = None if self.redis else self._look_up(LOADER_VARIABLE)
        return StoreSettings(url=SecretStr(url), loader_url=SecretStr(loader) if loader else None)

    def read_catalog_settings(self) -> CatalogSettings:
        """Raises SetupError if no PostgreSQL is known, or its URL is wrong."""
        url = self._find("PostgreSQL", "--postgres", self.postgres, POSTGRES_VARIABLE)
        owner = None if self.postgres else self._look_up(MIGRATE_VARIABLE)
        return CatalogSettings(url=SecretStr(url), migrate_url=SecretStr(owner) if owner else None)

    def find_limiter_url(self) -> SecretStr | None:
        """The URL of the rate limiter's own Redis user, or None. Raises SetupError."""
        url = None if self.redis else self._look_up(LIMITER_VARIABLE)
        return SecretStr(url) if url else None

    def find_given_kafka(self) -> str | None:
        """Kafka from the option or the environment, or None. Raises SetupError."""
        return self._read_given("--kafka", self.kafka, KAFKA_VARIABLE)

    def find_given_redis(self) -> str | None:
        return self._read_given("--redis", self.redis, REDIS_VARIABLE)

    def find_given_postgres(self) -> str | None:
        return self._read_given("--postgres", self.postgres, POSTGRES_VARIABLE)

    def find_running(self) -> RunningInstance | None:
        """The instance that runs from the data directory, or None."""
        return read_running(find_folder(self.data_dir))

    def _find(self, server: str, option: str, option_value: str | None, variable: str) -> str:
        address = option_value or self._look_up(variable)
        if not address:
            raise SetupError(
                f"No {server} is known: nothing runs from {find_folder(self.data_dir)}.",
                f"Start `rta up`, name its --data-dir, or give {option} or {variable}.",
            )
        require_address(option if option_value else variable, variable, address)
        return address

    def _read_given(self, option: str, option_value: str | None, variable: str) -> str | None:
        address = option_value or os.environ.get(variable)
        if address:
            require_address(option if option_value else variable, variable, address)
        return address or None

    def _look_up(self, variable: str) -> str | None:
        if os.environ.get(variable):
            require_address(variable, variable, os.environ[variable])
            return os.environ[variable]
        instance = self.find_running()
        return instance.addresses.make_environment().get(variable) if instance else None


def require_address(name: str, variable: str, value: str) -> None:
    """Raise SetupError if the value of an option or variable (`name`) is not an address of its kind."""
    try:
        _READERS[variable](value)
    except WrongAddress as error:
        raise SetupError(f"{name} {error.problem}.", error.remedy, exit_code=2) from None


def find_folder(data_dir: Path | None) -> Path:
    """The absolute path of the data directory that the option or the environment names."""
    return (data_dir or LocalSettings().data_dir).expanduser().absolute()
