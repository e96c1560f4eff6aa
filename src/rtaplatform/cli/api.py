"""`rta api`: collecting, queries and live updates, in one process without children.

Granian runs embedded on our own event loop, so nothing of ours can outlive this process. SIGINT and SIGTERM
stop it: no new connections, requests in progress are finished, at most STOP_SECONDS_MAX in all.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, PostgresOption, RedisOption

if TYPE_CHECKING:
    from granian.server.embed import Server

    from rtaplatform.settings import ApiSettings

STOP_SECONDS_MAX = 8.0
HEADER_READ_MS_MAX = 10_000


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else RTA_API_HOST.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else RTA_API_PORT; 0: any free.  [8000]")] = None,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Serve collecting, queries and live updates.

    Examples:

        rta api

        rta api --host 0.0.0.0 --port 8080 --kafka k1:9092 --redis redis://cache --postgres postgresql://rta@db/rta
    """
    from rtaplatform import telemetry
    from rtaplatform.local.lifeline import die_with_parent
    from rtaplatform.serve.app import create_app
    from rtaplatform.settings import ApiSettings, CollectSettings, LimitSettings
    from rtaplatform.wiring import build_api

    if os.environ.get("RTA_SUPERVISED"):
        die_with_parent()
    telemetry.configure_logging()
    connections = Connections(kafka, redis, postgres, data_dir)
    settings = _with_options(ApiSettings(), host, port)
    parts = build_api(
        connections.kafka_settings(), connections.store_settings(), connections.catalog_settings(),
        api=settings, collect=CollectSettings(), limits=LimitSettings(), limiter_url=connections.limiter_url(),
    )  # fmt: skip
    stopped_in_time = asyncio.run(_serve(lambda: create_app(parts), settings, parts.before_stop))
    if not stopped_in_time:
        # A thread that waits for a server that hangs would keep the interpreter from ending.
        os._exit(0)


def _with_options(settings: ApiSettings, host: str | None, port: int | None) -> ApiSettings:
    asked, address = settings.port if port is None else port, host or settings.host
    return settings.model_copy(update={"host": address, "port": asked or _any_free(address)})


def _any_free(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


async def _serve(make_app: Callable[[], Any], settings: ApiSettings, before_stop: Callable[[], None]) -> bool:
    """Serve until told to stop; whether the stop was in time."""
    from rtaplatform import telemetry

    log = telemetry.logger("api")
    server, stop = _make_server(make_app(), settings), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serving, stopping = asyncio.create_task(server.serve()), asyncio.create_task(stop.wait())
    # What is there from the start stays: the garbage collector need not look at it again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # a question makes thousands of objects, and hardly one in a cycle
    log.info("api_started", host=settings.host, port=settings.port)
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        log.info("api_stopping")
        before_stop()
        server.stop()  # type: ignore[no-untyped-call]  # untyped in granian
    done, _ = await asyncio.wait({serving}, timeout=STOP_SECONDS_MAX)
    stopping.cancel()
    log.info("api_stopped", in_time=bool(done))
    if done:
        serving.result()
    return bool(done)


def _make_server(app: Any, settings: ApiSettings) -> Server:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    return Server(
        app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.auto,
        backlog=1024,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS_MAX),
        log_dictconfig={"loggers": {"_granian": {"handlers": [], "level": "WARNING", "propagate": True}}},
        log_access=False,
    )
