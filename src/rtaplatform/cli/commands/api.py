"""`rta api`: collecting, queries and live updates, in one process without children.

Granian runs embedded on our own event loop, so there are no children that could outlive this process. SIGINT and
SIGTERM stop it: it takes no new connections and finishes the requests in progress, within STOP_SECONDS_MAX in all. If a
background task dies, the process stops in the same way with exit code 1, and its supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, KafkaOption, PostgresOption, RedisOption
from rtaplatform.cli.listener import open_listener, reserve_files
from rtaplatform.settings import ApiHalf

if TYPE_CHECKING:
    from rtaplatform.settings import ApiSettings
    from rtaplatform.wiring.api import Dependencies

STOP_SECONDS_MAX = 8.0
DEATH_SECONDS_MAX = STOP_SECONDS_MAX + 4  # includes closing what is open
DEAD_CODE = 1
# Read by the server's own allocator when it is loaded. One arena, and large blocks without a spare page: 500 clients
# that read nothing take 3 MB less.
ALLOCATOR_OPTIONS = ("_RJEM_MALLOC_CONF", "narenas:1,cache_oblivious:false")
FINISH_SECONDS_MAX = 5.0  # then requests still in progress are answered with 503, or closed


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else RTA_API_HOST.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else RTA_API_PORT; 0: any free.  [8000]")] = None,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    postgres: PostgresOption = None,
    data_dir: DataDirOption = None,
    only: Annotated[
        ApiHalf | None,
        typer.Option(help="One half: collect, or query (all the rest).  Else RTA_API_ONLY.  [both]"),
    ] = None,
) -> None:
    """Serve collecting, queries and live updates: all of them, or one half.

    Examples:

        rta api

        rta api --host 0.0.0.0 --port 8080 --kafka k1:9092 --redis redis://cache --postgres postgresql://rta@db/rta

        rta api --only collect --port 8001
    """
    import uvloop

    from rtaplatform import telemetry
    from rtaplatform.local.supervisor.parent_death import die_with_parent
    from rtaplatform.serve.app import create_app
    from rtaplatform.settings import ApiSettings, CollectSettings, LimitSettings, ProfilesSettings, WorkerSettings
    from rtaplatform.wiring.api import build_api

    os.environ.setdefault(*ALLOCATOR_OPTIONS)
    if os.environ.get("RTA_SUPERVISED"):
        die_with_parent()
    telemetry.configure_logging()
    connections = Connections(kafka, redis, postgres, data_dir)
    settings, ending = _with_options(ApiSettings(), host, port, only), ApiEnding()
    parts = build_api(
        connections.read_kafka_settings(), connections.store_settings(), connections.read_catalog_settings(),
        api=settings, collect=CollectSettings(), limits=LimitSettings(), limiter_url=connections.find_limiter_url(),
        workers_group=WorkerSettings().group_id, profiles_group=ProfilesSettings().group_id,
        on_death=ending.note_death,
    )  # fmt: skip
    parts.bounds.guard.connections_max = _count_possible_connections(settings)
    with (
        open_listener(settings.host, settings.port) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(lambda: create_app(parts), listener, parts, ending.stop))
        # Everything is closed. A thread that waits for a server that hangs must not keep this process alive.
        os._exit(ending.exit_code)


class ApiEnding:
    """Why the process ends: it was asked to (only `stop` is set), or a background task has died."""

    def __init__(self, exit_now: Callable[[int], None] = os._exit, seconds: float = DEATH_SECONDS_MAX) -> None:
        self.stop, self.exit_code = asyncio.Event(), 0
        self._exit_now, self._seconds = exit_now, seconds

    def note_death(self) -> None:
        """Ask for a stop. If stopping hangs, the process ends itself, because nobody would send another signal."""
        if self.exit_code or self.stop.is_set():
            return
        self.exit_code = DEAD_CODE
        self.stop.set()
        timer = threading.Timer(self._seconds, self._exit_now, [DEAD_CODE])
        timer.daemon = True
        timer.start()


def _with_options(settings: ApiSettings, host: str | None, port: int | None, only: ApiHalf | None) -> ApiSettings:
    options = {"host": host, "port": port, "only": only}
    return settings.model_copy(update={name: value for name, value in options.items() if value is not None})


def _count_possible_connections(settings: ApiSettings) -> int:
    from rtaplatform import telemetry

    possible = reserve_files(settings.connections_max)
    if possible < settings.connections_max:
        telemetry.make_logger("api").warning(
            "open_files_limited",
            connections_max=possible,
            wanted=settings.connections_max,
            hint="Raise the limit of open files: ulimit -n, or LimitNOFILE=.",
        )
    return possible


async def _serve(
    make_app: Callable[[], Any], listener: socket.socket, parts: Dependencies, stop: asyncio.Event
) -> None:
    """Serve until told to stop."""
    from rtaplatform import telemetry
    from rtaplatform.cli.http_server import make_server  # loads Granian, which reads ALLOCATOR_OPTIONS

    log = telemetry.make_logger("api")
    server = make_server(make_app(), listener, parts.bounds.guard.connections_max)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    host, port = listener.getsockname()[:2]
    with parts.bounds.guard.watching(port):
        serving, stopping = asyncio.create_task(server.serve()), asyncio.create_task(stop.wait())
        # Objects from the start live as long as the process: the garbage collector need not visit them.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # a query makes thousands of objects, hardly any in a cycle
        log.info("api_started", host=host, port=port)
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            log.info("api_stopping")
            parts.before_stop()
            server.stop()  # type: ignore[no-untyped-call]  # untyped in granian
        is_done = await _end_requests(serving, parts)
    stopping.cancel()
    log.info("api_stopped", in_time=is_done)
    if is_done:
        serving.result()


async def _end_requests(serving: asyncio.Task[None], parts: Dependencies) -> bool:
    """Give requests some time to finish, then end them. Returns whether the server has ended."""
    finished_tasks, _ = await asyncio.wait({serving}, timeout=FINISH_SECONDS_MAX)
    if not finished_tasks:
        parts.bounds.exchanges.end_all()
        finished_tasks, _ = await asyncio.wait({serving}, timeout=STOP_SECONDS_MAX - FINISH_SECONDS_MAX)
    return bool(finished_tasks)
