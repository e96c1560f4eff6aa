"""The background tasks of the API, and what happens when one of them dies.

The pain: nobody misses a dead task. The process says that it is ready, while freshness stands still or shards get no
new settings. Each task waits out the outages of servers. An error that ends one all the same is a bug of ours. It ends
the process, so that a supervisor starts it again with all its tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable

PUBLISH_EVERY_SECONDS = 30.0
RETRY_SECONDS = 1.0

BackgroundTask = Coroutine[Any, Any, None]
log_line = telemetry.make_logger("background")


@asynccontextmanager
async def run_in_background(
    make_tasks: Callable[[], list[BackgroundTask]], before_stop: Callable[[], None], on_death: Callable[[], None]
) -> AsyncIterator[None]:
    """Run the tasks inside the context. If one dies of an error `on_death` is called, and the others go on."""

    def report_death(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log_line.error("background_task_died", task=task.get_name(), exc_info=error)
            on_death()

    tasks = [asyncio.create_task(coroutine, name=getattr(coroutine, "__qualname__", "")) for coroutine in make_tasks()]
    for task in tasks:
        task.add_done_callback(report_death)
    try:
        yield
    finally:
        before_stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def run_lifespan(
    start: Callable[[], Awaitable[None]],
    background: AbstractAsyncContextManager[None],
    close: Callable[[], Awaitable[None]],
) -> AsyncIterator[None]:
    """Start, run the background tasks inside the context, then close."""
    await start()
    try:
        async with background:
            yield
    finally:
        await close()


async def keep_publishing(
    publish: Callable[[], Awaitable[None]], has_changed: asyncio.Event, *, every_s: float = PUBLISH_EVERY_SECONDS
) -> None:
    """Publish the projects after each change, and at intervals, since a shard that was emptied has lost them.

    An error, such as a damaged shard, is logged once. The next turn tries again.
    """
    logged_error = ""
    while True:
        has_changed.clear()
        try:
            await publish()
            logged_error = ""
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        except Exception as error:  # noqa: BLE001  # a damaged server must not end the process again and again
            if logged_error != (logged_error := f"{type(error).__name__}: {error}"):
                log_line.error("projects_not_published", error=logged_error)
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await has_changed.wait()
