"""Where a command finds the servers: its options, else the environment, else the instance of a data directory.

Each server is looked up by itself, so that one may be given and the others taken from the instance.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from rtaplatform.core.errors import SetupError
from rtaplatform.local.running import Running, read_running
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


@dataclass(frozen=True)
class Connections:
    """What was given on the command line; the methods look up the rest."""

    kafka: str | None = None
    redis: str | None = None
    postgres: str | None = None
    data_dir: Path | None = None

    def kafka_settings(self) -> KafkaSettings:
        """Raises SetupError where no Kafka is known."""
        return KafkaSettings(
            bootstrap_servers=self._find("Kafka", "--kafka", self.kafka, "RTA_KAFKA_BOOTSTRAP_SERVERS")
        )

    def store_settings(self) -> StoreSettings:
        """Raises SetupError where no Redis is known."""
        url = self._find("Redis", "--redis", self.redis, "RTA_REDIS_URL")
        loader = None if self.redis else self._known("RTA_REDIS_LOADER_URL")
        return StoreSettings(url=SecretStr(url), loader_url=SecretStr(loader) if loader else None)

    def catalog_settings(self) -> CatalogSettings:
        """Raises SetupError where no PostgreSQL is known."""
        return CatalogSettings(url=SecretStr(self._find("PostgreSQL", "--postgres", self.postgres, "RTA_POSTGRES_URL")))

    def limiter_url(self) -> SecretStr | None:
        """The URL of the rate limiter's own Redis user, None where there is none."""
        url = None if self.redis else self._known("RTA_REDIS_LIMITER_URL")
        return SecretStr(url) if url else None

    def running(self) -> Running | None:
        """The instance that runs from the data directory."""
        return read_running(folder_of(self.data_dir))

    def _find(self, server: str, option: str, given: str | None, variable: str) -> str:
        found = given or self._known(variable)
        if not found:
            raise SetupError(
                f"No {server} is known: nothing runs from {folder_of(self.data_dir)}.",
                f"Start `rta up`, name its --data-dir, or give {option} or {variable}.",
            )
        return found

    def _known(self, variable: str) -> str | None:
        if os.environ.get(variable):
            return os.environ[variable]
        running = self.running()
        return running.addresses.environment().get(variable) if running else None


def folder_of(data_dir: Path | None) -> Path:
    """The data directory that an option or the environment names, absolute."""
    return (data_dir or LocalSettings().data_dir).expanduser().absolute()
