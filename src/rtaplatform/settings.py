"""Settings, one frozen class per stage, read from the environment once, in `cli`, and passed down.

Units are in the names. No secret has a default. `docs/reference/settings.md` lists them all, and
`tests/tidy` fails when one is missing there.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _require_networks(text: str) -> str:
    for part in filter(None, map(str.strip, text.split(","))):
        ip_network(part)
    return text


Port = Annotated[int, Field(ge=0, le=65535)]


class KafkaSettings(BaseSettings):
    """Where Kafka is and how to reach it."""

    model_config = SettingsConfigDict(env_prefix="RTA_KAFKA_", frozen=True, extra="forbid")

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None
    ssl_key_password: SecretStr | None = None


class TopicSettings(BaseSettings):
    """How topics are created; an existing topic is left as it is."""

    model_config = SettingsConfigDict(env_prefix="RTA_TOPICS_", frozen=True, extra="forbid")

    partitions: Annotated[int, Field(ge=1, le=16)] = 4
    replication_factor: Annotated[int, Field(ge=1)] = 1
    retention_bytes_per_partition: int = -1
    dead_letter_retention_hours: Annotated[int, Field(ge=1)] = 24 * 30


class StoreSettings(BaseSettings):
    """Where Redis or Valkey is. `loader_url` is a user that may load functions; else that of `url` must be."""

    model_config = SettingsConfigDict(env_prefix="RTA_REDIS_", frozen=True, extra="forbid")

    url: SecretStr
    loader_url: SecretStr | None = None
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    timeout_seconds: Annotated[float, Field(gt=0)] = 5.0


class CatalogSettings(BaseSettings):
    """Where PostgreSQL is."""

    model_config = SettingsConfigDict(env_prefix="RTA_POSTGRES_", frozen=True, extra="forbid")

    url: SecretStr
    pool_size: Annotated[int, Field(ge=1)] = 5
    timeout_seconds: Annotated[float, Field(gt=0)] = 3.0
    key_cache_seconds: Annotated[float, Field(ge=0, le=60)] = 30.0
    key_cache_stale_seconds: Annotated[float, Field(ge=0)] = 900.0


class WorkerSettings(BaseSettings):
    """How much a worker takes at once, and how much it keeps."""

    model_config = SettingsConfigDict(env_prefix="RTA_WORKER_", frozen=True, extra="forbid")

    group_id: str = "rta-workers"
    group_protocol: Literal["consumer", "classic"] = "consumer"  # classic for brokers before 4.0
    batch_events_max: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    batch_bytes_max: Annotated[int, Field(ge=1_000_000)] = 16_000_000
    batch_wait_ms_max: Annotated[int, Field(ge=1)] = 50
    dedup_ids_cached_max: Annotated[int, Field(ge=1_000)] = 1_000_000
    idle_compare_ms: Annotated[int, Field(ge=100)] = 2_000
    metrics_port: Port = 0


class ProfilesSettings(BaseSettings):
    """How much the process of profiles takes at once."""

    model_config = SettingsConfigDict(env_prefix="RTA_PROFILES_", frozen=True, extra="forbid")

    group_id: str = "rta-profiles"
    group_protocol: Literal["consumer", "classic"] = "consumer"  # classic for brokers before 4.0
    batch_events_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    batch_wait_ms_max: Annotated[int, Field(ge=1)] = 200
    batch_users_max: Annotated[int, Field(ge=1, le=2_000)] = 500
    metrics_port: Port = 0


class CollectSettings(BaseSettings):
    """What the collector accepts, and how long it waits for Kafka."""

    model_config = SettingsConfigDict(env_prefix="RTA_COLLECT_", frozen=True, extra="forbid")

    batch_bytes_max: int = 4 * 1024 * 1024
    delivery_timeout_ms: Annotated[int, Field(ge=1_000)] = 10_000
    linger_ms: Annotated[int, Field(ge=0)] = 5
    queue_kbytes_max: Annotated[int, Field(ge=1_024)] = 65_536


class ApiSettings(BaseSettings):
    """How the API is served."""

    model_config = SettingsConfigDict(env_prefix="RTA_API_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Port = 8000
    live_interval_ms: Annotated[int, Field(ge=50)] = 250
    live_heartbeat_seconds: Annotated[float, Field(gt=0)] = 15.0
    live_connections_max: Annotated[int, Field(ge=1)] = 2_000
    live_send_timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    import_bytes_max: Annotated[int, Field(ge=1_000)] = 1 << 30


class LimitSettings(BaseSettings):
    """How much a key may ask for in a minute (0: no limit); `trusted_proxies`: networks, by commas."""

    model_config = SettingsConfigDict(env_prefix="RTA_LIMITS_", frozen=True, extra="forbid")

    collect_events_per_minute: Annotated[int, Field(ge=0)] = 3_000_000
    reads_per_minute: Annotated[int, Field(ge=0)] = 120_000
    catalog_per_minute: Annotated[int, Field(ge=0)] = 300_000
    admin_per_minute: Annotated[int, Field(ge=0)] = 60_000
    unknown_keys_per_minute: Annotated[int, Field(ge=0)] = 6_000
    trusted_proxies: Annotated[str, AfterValidator(_require_networks)] = ""


class LocalSettings(BaseSettings):
    """The embedded servers of `rta up`."""

    model_config = SettingsConfigDict(env_prefix="RTA_", frozen=True, extra="forbid")

    data_dir: Path = Path(".rta")
    cache_dir: Path | None = None
    maven_url: str | None = None
    kafka_heap_mb: Annotated[int, Field(ge=128)] = 256
    kafka_bytes_per_partition_max: Annotated[int, Field(ge=1_048_576)] = 1 << 30
    redis_bytes_max: Annotated[int, Field(ge=0)] = 0
