"""`rta worker`: events in Kafka become totals in Redis. Any number of them share the partitions."""

from __future__ import annotations

import gc
import time
from collections.abc import Sized
from typing import TYPE_CHECKING, Annotated

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, RedisOption
from rtaplatform.cli.signals_server import serve_signals
from rtaplatform.cli.stop_signals import record_stop_signals

if TYPE_CHECKING:
    from rtaplatform.wiring.worker import WorkerParts

GUARD_SECONDS = 60.0


def command(
    metrics_port: Annotated[int, typer.Option(help="Serve signals for Prometheus there; 0: nowhere.")] = 0,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Run one worker until it is stopped. Start more of them to share the partitions.

    Examples:

        rta worker

        rta worker --kafka broker:9092 --redis redis://user:password@host:6379/0 --metrics-port 9100
    """
    from rtaplatform import telemetry
    from rtaplatform.settings import WorkerSettings
    from rtaplatform.wiring.worker import build_worker

    connections = Connections(kafka=kafka, redis=redis, data_dir=data_dir)
    settings = WorkerSettings()
    telemetry.configure_logging()
    serve_signals(metrics_port or settings.metrics_port)
    # A batch makes many containers that live as long as the batch. The garbage collector would visit them in vain.
    gc.set_threshold(200_000, 20, 100)
    run(build_worker(connections.read_kafka_settings(), connections.store_settings(), settings), record_stop_signals())


def run(parts: WorkerParts, received_signals: Sized) -> None:
    """Run turns until a signal arrives or a turn raises."""
    try:
        guarded_at = -GUARD_SECONDS
        while not received_signals:
            if time.monotonic() - guarded_at >= GUARD_SECONDS:
                guarded_at = time.monotonic()
                parts.guard()
            parts.worker.turn()
    finally:
        parts.close()
