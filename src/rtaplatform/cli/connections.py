"""Where a command finds the servers: its options, else the environment, else the instance of a data directory.

Each server is looked up by itself, so that one may be given and the others taken from the instance.
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
    typer.Option("--data-dir", metavar="DIR", help="Of a running `rta up`, whose servers are taken.  [default: .rta]"),
]

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
    """What was given on the command line; the methods look up the rest."""

    kafka: str | None = None
    redis: str | None = None
    postgres: str | None = None
    data_dir: Path | None = None

    def kafka_settings(self) -> KafkaSettings:
        """Raises SetupError where no Kafka is known, or its address is wrong."""
        return KafkaSettings(bootstrap_servers=self._find("Kafka", "--kafka", self.kafka, KAFKA_VARIABLE))

    def store_settings(self) -> StoreSettings:
        """Raises SetupError where no Redis is known, or its URL is wrong."""
        url = self._find("Redis", "--redis", self.redis, REDIS_VARIABLE)
        loader = None if self.redis else self._known(LOADER_VARIABLE)
        return StoreSettings(url=SecretStr(url), loader_url=SecretStr(loader) if loader else None)

    def catalog_settings(self) -> CatalogSettings:
        """Raises SetupError where no PostgreSQL is known, or its URL is wrong."""
        url = self._find("PostgreSQL", "--postgres", self.postgres, POSTGRES_VARIABLE)
        owner = None if self.postgres else self._known(MIGRATE_VARIABLE)
        return CatalogSettings(url=SecretStr(url), migrate_url=SecretStr(owner) if owner else None)

    def limiter_url(self) -> SecretStr | None:
        """The URL of the rate limiter's own Redis user, None where there is none. Raises SetupError."""
        url = None if self.redis else self._known(LIMITER_VARIABLE)
        return SecretStr(url) if url else None

    def given_kafka(self) -> str | None:
        """Kafka by option or environment, None where neither names one. Raises SetupError."""
        return self._given("--kafka", self.kafka, KAFKA_VARIABLE)

    def given_redis(self) -> str | None:
        return self._given("--redis", self.redis, REDIS_VARIABLE)

    def given_postgres(self) -> str | None:
        return self._given("--postgres", self.postgres, POSTGRES_VARIABLE)

    def running(self) -> RunningInstance | None:
        """The instance that runs from the data directory."""
        return read_running(folder_of(self.data_dir))

    def _find(self, server: str, option: str, given: str | None, variable: str) -> str:
        found = given or self._known(variable)
        if not found:
            raise SetupError(
                f"No {server} is known: nothing runs from {folder_of(self.data_dir)}.",
                f"Start `rta up`, name its --data-dir, or give {option} or {variable}.",
            )
        require_address(option if given else variable, variable, found)
        return found

    def _given(self, option: str, given: str | None, variable: str) -> str | None:
        found = given or os.environ.get(variable)
        if found:
            require_address(option if given else variable, variable, found)
        return found or None

    def _known(self, variable: str) -> str | None:
        if os.environ.get(variable):
            require_address(variable, variable, os.environ[variable])
            return os.environ[variable]
        running = self.running()
        return running.addresses.environment().get(variable) if running else None


def require_address(name: str, variable: str, value: str) -> None:
    """Raise SetupError where the value of an option or variable, called `name`, is no address of its kind."""
    try:
        _READERS[variable](value)
    except WrongAddress as error:
        raise SetupError(f"{name} {error.problem}.", error.remedy, exit_code=2) from None


def folder_of(data_dir: Path | None) -> Path:
    """The data directory that an option or the environment names, absolute."""
    return (data_dir or LocalSettings().data_dir).expanduser().absolute()
