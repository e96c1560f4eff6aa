"""`rta profiles`: identify events in Kafka become profiles in PostgreSQL. Any number of them share the partitions."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, PostgresOption, RedisOption
from rtaplatform.cli.signals_server import serve_signals

if TYPE_CHECKING:
    from rtaplatform.settings import ProfilesSettings


def command(
    metrics_port: Annotated[int, typer.Option(help="Serve signals for Prometheus there; 0: nowhere.")] = 0,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Keep the user profiles up to date with identify events, and finish erasures that were interrupted.

    Examples:

        rta profiles

        rta profiles --kafka broker:9092 --postgres postgresql://user:password@host/rta --metrics-port 9101
    """
    from rtaplatform import telemetry
    from rtaplatform.settings import ProfilesSettings

    connections = Connections(kafka=kafka, redis=redis, postgres=postgres, data_dir=data_dir)
    settings = ProfilesSettings()
    telemetry.configure_logging()
    serve_signals(metrics_port or settings.metrics_port)
    asyncio.run(_run(connections, settings))


async def _run(connections: Connections, settings: ProfilesSettings) -> None:
    from rtaplatform.wiring.profiles import build_profiles

    parts = build_profiles(
        connections.read_kafka_settings(), connections.store_settings(), connections.read_catalog_settings(), settings
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, parts.profiles.stopping.set)
    async with parts.running():
        await parts.profiles.run()
