"""Settings: one frozen class per stage. `cli` reads them from the environment once and passes them down.

Units are in the names. No secret has a default. `docs/reference/settings.md` lists all settings, and `tests/tidy` fails
when one is missing there.
"""

from __future__ import annotations

import logging
import re
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+")
SERVICE_LINKS_HINT = "Kubernetes sets it for a service of that name; `enableServiceLinks: false` in the pod stops that"


def _require_networks(text: str) -> str:
    for part in filter(None, map(str.strip, text.split(","))):
        ip_network(part)
    return text


def _require_existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError("there is no such file")
    return path


def _to_upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _require_power_of_two(partitions: int) -> int:
    if 16 % partitions:
        raise ValueError("it is 1, 2, 4, 8 or 16: with another number repeated events would count twice")
    return partitions


Port = Annotated[int, Field(ge=0, le=65535)]
File = Annotated[Path, AfterValidator(_require_existing)]
SecurityProtocol = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_to_upper)]


def make_config(prefix: str) -> SettingsConfigDict:
    """Return the configuration of a settings class. A variable with an empty value counts as not set."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="forbid", env_ignore_empty=True)


class StageSettings(BaseSettings):
    """The base of all settings. Variables that Kubernetes sets for services are ignored."""

    @model_validator(mode="before")
    @classmethod
    def _pass_over_service_links(cls, values: Any) -> Any:
        """Ignore variables such as RTA_API_PORT=tcp://10.0.0.7:8000, which Kubernetes sets for a service `rta-api`."""
        if not isinstance(values, dict):
            return values
        links = [
            name
            for name, value in values.items()
            if name.endswith("port") and isinstance(value, str) and SERVICE_LINK.fullmatch(value)
        ]
        for name in links:
            variable = f"{cls.model_config['env_prefix']}{name.upper()}"
            logging.getLogger(__name__).warning("%s is passed over: %s.", variable, SERVICE_LINKS_HINT)
        return {name: value for name, value in values.items() if name not in links}


class KafkaSettings(StageSettings):
    """Where Kafka is and how to reach it."""

    model_config = make_config("RTA_KAFKA_")

    bootstrap_servers: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: File | None = None
    ssl_certificate_location: File | None = None
    ssl_key_location: File | None = None
    ssl_key_password: SecretStr | None = None


class TopicSettings(StageSettings):
    """How topics are created. An existing topic is not changed."""

    model_config = make_config("RTA_TOPICS_")

    partitions: Annotated[int, Field(ge=1, le=16), AfterValidator(_require_power_of_two)] = 4
    replication_factor: Annotated[int, Field(ge=1)] = 1
    retention_bytes_per_partition: int = -1
    dead_letter_retention_hours: Annotated[int, Field(ge=1)] = 24 * 30


class StoreSettings(StageSettings):
    """Where Redis or Valkey is. `loader_url` has a user that may load functions; without it the user of `url` must."""

    model_config = make_config("RTA_REDIS_")

    url: SecretStr
    loader_url: SecretStr | None = None
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    timeout_seconds: Annotated[float, Field(gt=0)] = 5.0
    connection_seconds_max: Annotated[float, Field(gt=0, le=10)] = 4.0


class CatalogSettings(StageSettings):
    """Where PostgreSQL is. `migrate_url` has the role that owns the tables; without it the role of `url` must."""

    model_config = make_config("RTA_POSTGRES_")

    url: SecretStr
    migrate_url: SecretStr | None = None
    pool_size: Annotated[int, Field(ge=1)] = 5
    timeout_seconds: Annotated[float, Field(gt=0)] = 3.0
    key_cache_seconds: Annotated[float, Field(ge=0, le=30)] = 30.0
    key_cache_stale_seconds: Annotated[float, Field(ge=0)] = 900.0


class WorkerSettings(StageSettings):
    """How much a worker reads at once, and how much it caches."""

    model_config = make_config("RTA_WORKER_")

    group_id: str = "rta-workers"
    group_protocol: Literal["consumer", "classic"] = "consumer"  # before 4.0 it falls back
    batch_events_max: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    batch_bytes_max: Annotated[int, Field(ge=1_000_000)] = 16_000_000
    batch_wait_ms_max: Annotated[int, Field(ge=1)] = 50
    dedup_ids_cached_max: Annotated[int, Field(ge=1_000)] = 1_000_000
    idle_compare_ms: Annotated[int, Field(ge=100)] = 2_000
    metrics_port: Port = 0


class ProfilesSettings(StageSettings):
    """How much the profiles process reads at once."""

    model_config = make_config("RTA_PROFILES_")

    group_id: str = "rta-profiles"
    group_protocol: Literal["consumer", "classic"] = "consumer"  # before 4.0 it falls back
    batch_events_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    batch_wait_ms_max: Annotated[int, Field(ge=1)] = 200
    batch_users_max: Annotated[int, Field(ge=1, le=2_000)] = 500
    metrics_port: Port = 0


class CollectSettings(StageSettings):
    """What the collector accepts, and how long it waits for Kafka.

    `location_file` is a file in MaxMind's format, for the countries of visitors. `denied_properties` are names of
    properties and traits that are never stored, separated by commas. A visitor of pages with more than
    `bot_events_per_minute` is marked as a bot from then on; 0 marks nobody.
    """

    model_config = make_config("RTA_COLLECT_")

    batch_bytes_max: int = 4 * 1024 * 1024
    delivery_timeout_ms: Annotated[int, Field(ge=1_000)] = 10_000
    linger_ms: Annotated[int, Field(ge=0)] = 5
    queue_kbytes_max: Annotated[int, Field(ge=1_024)] = 65_536
    location_file: File | None = None
    denied_properties: str = ""
    bot_events_per_minute: Annotated[int, Field(ge=0)] = 3_000


class ApiHalf(StrEnum):
    """One half of the API. The halves may run as two processes, so that a slow query does not delay collecting.

    Each half also serves health, signals and the description of its own routes.
    """

    COLLECT = "collect"  # the routes that SDKs send events to
    QUERY = "query"  # all others: queries, live answers, the catalog, projects, keys


class ApiSettings(StageSettings):
    """How the API is served, and how many bytes of bodies and answers it may hold. `only` selects one half."""

    model_config = make_config("RTA_API_")

    host: str = "127.0.0.1"
    port: Port = 8000
    only: ApiHalf | None = None
    live_interval_ms: Annotated[int, Field(ge=50)] = 250
    live_heartbeat_seconds: Annotated[float, Field(gt=0)] = 15.0
    live_connections_max: Annotated[int, Field(ge=1)] = 3_000
    live_send_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    connections_max: Annotated[int, Field(ge=32)] = 4_096
    bodies_bytes_max: Annotated[int, Field(ge=1 << 20)] = 12 << 20
    answers_bytes_max: Annotated[int, Field(ge=1 << 20)] = 32 << 20
    import_bytes_max: Annotated[int, Field(ge=1_000)] = 1 << 30
    import_lines_max: Annotated[int, Field(ge=1_000)] = 5_000_000


class LimitSettings(StageSettings):
    """The limits of a key; 0 means no limit. All keys of a project together have `project_factor` times as much.

    Within a key, each API process counts `address_events_per_minute` and, of pages and apps,
    `browser_events_per_minute` for each address, and `person_events_per_minute` for each person who sends alone.

    While the store is fuller than `nearly_full_percent`, a project may send at most `guaranteed_events_per_hour`, and
    fewer the less room is left. `trusted_proxies` are networks, separated by commas.
    """

    model_config = make_config("RTA_LIMITS_")

    collect_events_per_minute: Annotated[int, Field(ge=0)] = 3_000_000
    address_events_per_minute: Annotated[int, Field(ge=0)] = 2_000_000
    browser_events_per_minute: Annotated[int, Field(ge=0)] = 120_000
    person_events_per_minute: Annotated[int, Field(ge=0)] = 100_000
    reads_per_minute: Annotated[int, Field(ge=0)] = 120_000
    catalog_per_minute: Annotated[int, Field(ge=0)] = 300_000
    admin_per_minute: Annotated[int, Field(ge=0)] = 60_000
    unknown_keys_per_minute: Annotated[int, Field(ge=0)] = 6_000
    project_factor: Annotated[int, Field(ge=1)] = 4
    project_events_per_hour: Annotated[int, Field(ge=0)] = 0
    guaranteed_events_per_hour: Annotated[int, Field(ge=0)] = 500_000
    nearly_full_percent: Annotated[int, Field(ge=1, le=100)] = 85
    projects_per_hour: Annotated[int, Field(ge=0)] = 60
    projects_per_hour_in_all: Annotated[int, Field(ge=0)] = 600
    project_changes_per_hour: Annotated[int, Field(ge=0)] = 600
    projects_max: Annotated[int, Field(ge=0)] = 10_000
    keys_per_project_max: Annotated[int, Field(ge=0)] = 1_000
    trusted_proxies: Annotated[str, AfterValidator(_require_networks)] = ""


class LocalSettings(StageSettings):
    """The embedded servers of `rta up`."""

    model_config = make_config("RTA_")

    data_dir: Path = Path(".rta")
    cache_dir: Path | None = None
    maven_url: str | None = None
    kafka_heap_mb: Annotated[int, Field(ge=128)] = 256
    kafka_bytes_max: Annotated[int, Field(ge=1 << 30)] = 4 << 30
    redis_bytes_max: Annotated[int, Field(ge=0)] = 0
