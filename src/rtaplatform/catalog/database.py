"""PostgreSQL, reached asynchronously.   Every failure is `Unavailable("postgres", …)`.

Bounded: the pool, the wait for a connection, each statement (on the server) and each transaction as a
whole (here, for a server that hangs). Works behind a pooler in transaction mode: nothing is prepared, and
the time limit is set within the transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
CONNECTION_LIFE_SECONDS = 1_800


def driver_url(url: str) -> str:
    """SQLAlchemy's form of a `postgresql://` URL."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


class Database:
    """A bounded pool; `run` is the only way in."""

    def __init__(self, settings: CatalogSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._engine: AsyncEngine = create_async_engine(
            driver_url(settings.url.get_secret_value()),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout_seconds,
            pool_pre_ping=True,
            pool_recycle=CONNECTION_LIFE_SECONDS,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, int(settings.timeout_seconds)),
                "prepare_threshold": None,
                "application_name": "rta",
            },
        )
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, work: Work[T], *, seconds: float | None = None) -> T:
        """Run `work` in one transaction; raises Unavailable. Broken constraints pass through as IntegrityError."""
        limit = self._seconds if seconds is None else seconds
        task = asyncio.ensure_future(self._transact(work, limit))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Not wait_for: cancelling waits for the server's answer, which may never come.
        done, _ = await asyncio.wait({task}, timeout=limit + 0.5)
        if not done:
            task.cancel()
            raise Unavailable("postgres", f"No answer within {limit:g} s.")
        try:
            return task.result()
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise Unavailable("postgres", _sentence(error)) from error

    async def check(self) -> None:
        """Raise Unavailable where PostgreSQL does not answer, or has not been migrated."""
        await self.run(_probe)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await self._engine.dispose()

    async def _transact(self, work: Work[T], seconds: float) -> T:
        async with self._engine.begin() as connection:
            await connection.execute(
                text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(int(seconds * 1000))}
            )
            return await work(connection)


async def _probe(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT 1 FROM projects LIMIT 1"))


def _sentence(error: Exception) -> str:
    """The first line of the driver's own words: never the statement or its parameters."""
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0][:200] if words else type(error).__name__
