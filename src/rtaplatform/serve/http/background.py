"""The works that go on beside the requests, and what happens when one of them dies.

The pain: a work that has died is missed by nobody. The process says that it is ready, while times stand still or
shards are told nothing. Each work waits for what may be away; what ends one all the same is a bug of ours, and ends
the process, so that whoever keeps it starts it again with all its works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable

TELL_SECONDS = 30.0
RETRY_SECONDS = 1.0

Work = Coroutine[Any, Any, None]
log_line = telemetry.logger("background")


@asynccontextmanager
async def going_on(
    works: Callable[[], list[Work]], before_stop: Callable[[], None], on_death: Callable[[], None]
) -> AsyncIterator[None]:
    """The works go on inside. `on_death` is called when one has died of an error; the others go on until the end."""

    def look(work: asyncio.Task[None]) -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            log_line.error("work_died", work=work.get_name(), exc_info=error)
            on_death()

    tasks = [asyncio.create_task(work, name=getattr(work, "__qualname__", "")) for work in works()]
    for task in tasks:
        task.add_done_callback(look)
    try:
        yield
    finally:
        before_stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def started_and_closed(
    start: Callable[[], Awaitable[None]],
    going_on: AbstractAsyncContextManager[None],
    close: Callable[[], Awaitable[None]],
) -> AsyncIterator[None]:
    """Started, with the works going on beside; then closed."""
    await start()
    try:
        async with going_on:
            yield
    finally:
        await close()


async def keep_told(tell: Callable[[], Awaitable[None]], news: asyncio.Event, *, every_s: float = TELL_SECONDS) -> None:
    """Tell: when there are news, and again and again, since an emptied shard knows nothing.

    A shard that is damaged, or a server that refuses us, is said once in the log, and told again with the next turn.
    """
    said = ""
    while True:
        news.clear()
        try:
            await tell()
            said = ""
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        except Exception as error:  # noqa: BLE001  # what a damaged server answers must not end the process again and again
            if said != (said := f"{type(error).__name__}: {error}"):
                log_line.error("cannot_tell_of_projects", error=said)
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await news.wait()
